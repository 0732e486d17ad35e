"""Contenders: the baselines of the offline benchmark, by name.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`, tuned on the validation window of the split and fitted on all
known events. Next: `training.benchmark.run` runs each baseline over every split.

The search tunes the settings that change the ranking most. For SASRec these are the steps, for LightGCN the steps, the
layers and the learning rate; their embedding size is fixed. Two more settings matter on data with an order in time: the
decay of the profile by rank, and a term of recent popularity. A baseline uses both when they improve the validation
score. `personal-frequency`, `tifu-knn` and `up-cf` count how often a user took an item, so they rank repeats; the
others only know that the user took it.
"""

from collections.abc import Mapping

from training.baselines.factorisation import fit_als, fit_bpr
from training.baselines.frequency import fit_personal_frequency
from training.baselines.lightgcn import fit_lightgcn
from training.baselines.linear import fit_ease
from training.baselines.neighbours import fit_itemknn
from training.baselines.popularity import fit_popular, fit_recent
from training.baselines.sasrec import fit_sasrec
from training.baselines.tifu_knn import fit_tifu_knn
from training.baselines.tuning import BaselineFit
from training.baselines.upcf import fit_upcf

LIBRARIES: Mapping[str, str] = {"als": "implicit", "bpr": "implicit"}
"""The library of a baseline that only the benchmark needs. It is asked for before the first fit."""

BASELINES: Mapping[str, BaselineFit] = {
    "popular": fit_popular,
    "recent": fit_recent,
    "itemknn": fit_itemknn,
    "ease": fit_ease,
    "als": fit_als,
    "bpr": fit_bpr,
    "lightgcn": fit_lightgcn,
    "sasrec": fit_sasrec,
    "personal-frequency": fit_personal_frequency,
    "tifu-knn": fit_tifu_knn,
    "up-cf": fit_upcf,
}
