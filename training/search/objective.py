"""Objective: the value of a configuration on the validation window, for tuning.

Arrives: a snapshot, and a configuration to start from. Leaves: NDCG@20 of the sum of terms, for any configuration.
Next: `training.search.tune` searches it.

The closed-form terms are fitted once. Each configuration fits GraphSAGE on the past and evaluates the sum out of fold
(`training.search.blend_search`). A blend evaluated on its own fitting users would always prefer a smaller penalty.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from optuna.distributions import distribution_to_json
from torch import Tensor

from graphstore.snapshots.files import Snapshot
from training.baselines.gate import tune_baselines
from training.config import TrainingConfig
from training.data.dataset import Dataset, TooFewEvents, full_split, should_recommend_repeats
from training.data.splits import SEARCH_USERS, EvaluationSplit, temporal
from training.features.items import fit_item_encoder
from training.models.candidate import blend_settings, closed_form_terms
from training.options import FitEvaluation, TrainingOptions
from training.sage.checkpoint import fingerprint
from training.sage.fit import fit_sage
from training.search.blend_search import BlendSearch
from training.search.space import SearchSpace
from training.terms.filter_bank import FilterBank
from training.terms.protocol import ClosedFormTerm


@dataclass(frozen=True)
class Objective:
    """Evaluates trials, and holds everything that all trials of a study share."""

    split: EvaluationSplit
    terms: list[ClosedFormTerm]
    """The closed-form terms, fitted on the past."""
    features: Tensor  # [num_items, width]
    config: TrainingConfig
    space: SearchSpace
    seed: int
    name: str
    """Contains a hash of everything that decides the value of a trial."""

    @classmethod
    def of(cls, snapshot: Snapshot, *, config: TrainingConfig, seed: int) -> Self:
        """Raises `TooFewEvents` when the snapshot cannot be split in three, or its validation window has no users."""
        dataset = Dataset.from_snapshot(snapshot)
        cuts = full_split(dataset.log, champion_as_of=None, min_users=0)
        repeats = should_recommend_repeats(dataset, cuts, config=config)
        split = temporal(dataset.log, repeats=repeats)
        if not len(split.validation):
            raise TooFewEvents(f"nobody took anything new in the validation window of {snapshot.snapshot_id}")
        encoder = fit_item_encoder(
            dataset.catalogue, split.past.items, text_encoder=config.text_encoder, name_encoding=config.name_encoding
        )
        features = encoder.transform(dataset.catalogue)
        _, linear_filter = tune_baselines(split.past, split.validation.sample(config.tuning_users, seed=seed))
        config = config.model_copy(update={"sage": config.sage.model_copy(update={"repeats": repeats})})
        space = SearchSpace(config)
        total = hashlib.sha256(
            fingerprint(dataset.log, features, split.validation, config=config.sage, seed=seed).encode()
        )
        blend = blend_settings(config)
        shared = [blend.l2, blend.focus, config.blend_memory_mb, config.tuning_users, config.evaluation_users]
        points = {name: distribution_to_json(one) for name, one in space.distributions.items()}
        total.update(json.dumps([shared, points]).encode())
        return cls(
            split=split,
            terms=closed_form_terms(
                split.past,
                filters=FilterBank([linear_filter]),
                features=features,
                repeats=repeats,
                horizon_ms=cuts.test - cuts.validation,
                seed=seed,
            ),
            features=features,
            config=config,
            space=space,
            seed=seed,
            name=f"sagestream-{total.hexdigest()[:16]}",
        )

    def ndcg(self, config: TrainingConfig, *, on_evaluation: Callable[[FitEvaluation], None]) -> float:
        """NDCG@20 of the sum with GraphSAGE fitted so, out of fold, over at most `SEARCH_USERS` of the validation."""
        window = self.split.validation
        options = TrainingOptions(seed=self.seed, on_evaluation=on_evaluation)
        sage = fit_sage(self.split.past, self.features, config=config.sage, options=options, validation=window)
        blend, users = blend_settings(config), window.sample(SEARCH_USERS, seed=self.seed)
        search = BlendSearch(self.split, users, [], config.blend_memory_mb, self.seed, blend.focus)
        return float(search.out_of_fold([*self.terms, sage], blend.l2).mean())
