"""The baselines of the offline benchmark by name.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`, tuned on the split's validation and fitted on what it knows.
Next: `training.benchmark.run` runs each over every split.

Each is tuned in the settings that move it most (of SASRec the steps, of LightGCN steps, layers and rate; their width
stands), and in two more that matter on data with an order in time: a profile that forgets by rank, and a term of recent
popularity; both are used where the validation likes them better. Own counts are in `personal-frequency` alone.
"""

from collections.abc import Mapping

from training.baselines.factorisation import fit_als, fit_bpr
from training.baselines.frequency import fit_personal_frequency
from training.baselines.lightgcn import fit_lightgcn
from training.baselines.linear import fit_ease
from training.baselines.neighbours import fit_itemknn
from training.baselines.popularity import fit_popular, fit_recent
from training.baselines.sasrec import fit_sasrec
from training.baselines.tuning import BaselineFit

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
}
