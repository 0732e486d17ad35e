"""Settings of training: the training file for the model, the environment for the deployment.

The settings of a model (features, GraphSAGE, the blend, evaluation) are in a file, which `tune` writes and
`train --config` reads. The scheduler and all other programs read the file in `SAGESTREAM_TRAINING_CONFIG`. The settings
of a deployment (gate, schedule, threads) come from the environment, which main reads once.
"""

from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from graphstore.config import PREFIX

TEXT_ENCODER = "tfidf"
TEXT_ENCODERS = r"^(tfidf|sentence-transformers:\S.*)$"
MAX_TEXT_ENCODER = 1024
NAME_ENCODING: Literal["hashed", "one-hot"] = "hashed"


class SageConfig(BaseModel):
    """The GraphSAGE term: the shape of the model and the settings of its fit."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    dim: int = Field(default=64, ge=1, le=1024, description="width of item embeddings and user vectors")
    layers: int = Field(default=2, ge=0, le=8, description="SAGE layers over item - user - item")
    aggregation: Literal["mean", "max", "lstm"] = Field(
        default="mean", description="aggregator over a node's neighbours: mean, maximum, or an LSTM over a few"
    )
    decoder: Literal["cosine", "dot", "mlp"] = Field(
        default="cosine", description="how two vectors become a score: cosine over a temperature, dot product, network"
    )
    neighbours: tuple[Annotated[int, Field(ge=-1)], ...] | None = Field(
        default=None,
        description="sampled neighbours a hop, two hops a layer, -1 for all; null: a step sees the sampled whole graph",
    )
    last_items: int = Field(default=200, ge=1, le=10_000, description="newest distinct items that make a user vector")
    half_lives_ranks: tuple[float, ...] = Field(
        default=(20.0, 100.0, inf),
        min_length=1,
        max_length=8,
        description="half-lives of a user vector in items; inf: no decay",
    )
    repeats: bool = Field(default=True, description="learn from repeats too; false: from first events only")
    ties: Literal["basket", "random"] = Field(
        default="basket",
        description="events with the same time: one basket, or single choices in a random order",
    )
    target_half_life_spans: float | None = Field(
        default=None,
        gt=0,
        description="age at which a basket is half as likely to be drawn, in time spans of the log; null: all alike",
    )
    loss: Literal["softmax", "bce", "bpr"] = Field(default="softmax", description="sampled softmax or an alternative")
    negatives: int = Field(default=1024, ge=1, le=65_536, description="negatives a step, shared by its positives")
    negative_power: float = Field(default=0.75, ge=0, le=1, description="negatives are sampled by count to this power")
    learning_rate: float = Field(default=5e-3, gt=0, le=1, description="AdamW step size")
    weight_decay: float = Field(default=1e-4, ge=0, le=1, description="AdamW weight decay")
    weight_average: float = Field(
        default=0.98, ge=0, lt=1, description="decay per step of the moving average over the weights"
    )
    batch_size: int = Field(default=2048, ge=1, le=1_000_000, description="positive events a step, about")
    graph_edges: int = Field(default=50_000, ge=1, description="edges of the message-passing graph that a step samples")
    max_steps: int = Field(
        default=600, ge=1, le=1_000_000, description="largest number of steps of a fit, and of an update"
    )
    evaluate_every: int = Field(
        default=25, ge=1, le=1_000_000, description="steps between evaluations on the validation window"
    )
    patience: int = Field(
        default=4, ge=1, le=1_000, description="evaluations without a better NDCG before the fit stops"
    )
    update_epochs: int = Field(default=4, ge=1, le=100, description="epochs of an update over new and replayed events")
    update_learning_rate: float = Field(default=2e-3, gt=0, le=1, description="AdamW step size of an update")
    replay_ratio: float = Field(default=3.0, ge=0, le=100, description="old baskets replayed for each new one")
    replay_half_life_seconds: float = Field(
        default=180 * 86_400, gt=0, description="age at which an old basket is half as likely to be replayed"
    )

    @model_validator(mode="after")
    def _two_hops_a_layer(self) -> Self:
        if self.neighbours is not None and len(self.neighbours) != 2 * self.layers:
            raise ValueError(
                f"neighbours names {len(self.neighbours)} hops, {self.layers} layers over item - user - item take "
                f"{2 * self.layers}"
            )
        return self


class TrainingFile(BaseModel):
    """Settings of a model. They come only from the training file; no environment variable sets them."""

    sage: SageConfig = Field(SageConfig(), description="the GraphSAGE term")
    recommend_repeats: Literal["auto", "yes", "no"] = Field(
        "auto", description="recommend items that a user knows; auto: if users often return to known items"
    )
    text_encoder: str = Field(
        TEXT_ENCODER,
        pattern=TEXT_ENCODERS,
        max_length=MAX_TEXT_ENCODER,
        description="encoder of item texts: tfidf, or sentence-transformers:<path or name> (extra text)",
    )
    name_encoding: Literal["hashed", "one-hot"] = Field(
        NAME_ENCODING,
        description="columns of categories and brands: hashed, or one-hot if there are enough columns for all names",
    )
    training_seed: int = Field(0, ge=0, description="seed of the scheduler's runs")
    blend_l2: float | None = Field(
        None,
        gt=0,
        le=1_000,
        description="penalty on the squared weights of the blend; null: the blend's default, with few users maybe more",
    )
    blend_focus: float | None = Field(
        None,
        ge=0,
        le=4,
        description="how much more likely targets count than others; 0: equally; null: the blend's default",
    )
    blend_memory_mb: int = Field(512, ge=16, description="memory for the features in a fit of the blend")
    evaluation_users: int = Field(5_000, ge=1, description="largest number of users in an evaluation")
    tuning_users: int = Field(1_000, ge=1, description="largest number of users to tune the baselines on")


class _Environment(EnvSettingsSource):
    """The environment variables, without the fields of the training file."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        if field_name in TrainingFile.model_fields:
            return None, field_name, False
        return super().get_field_value(field, field_name)


class TrainingConfig(BaseSettings, TrainingFile):
    """All settings of training. `training.config_file` overrides the environment with a training file."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_parse_none_str="", env_ignore_empty=True
    )

    training_config: Path | None = Field(
        None,
        exclude=True,  # a bundle stores the content of the file, not its path
        description="the training file (JSON, as `tune` writes it) for `train`, the scheduler and all others",
    )
    training_threads: int = Field(1, ge=1, le=256, description="threads of a training run")
    gate_min_users: int = Field(
        30, ge=1, description="users in the test window of an update, and where the champion has seen a part of it"
    )
    gate_alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="probability that a change that is no better is promoted in any of its tries",
    )
    gate_min_coverage: float = Field(
        0.5, ge=0, le=1, description="share of the champion's item coverage that a challenger needs"
    )
    probation_share: float = Field(
        0.1, ge=0, le=0.5, description="share of shoppers who keep the previous champion after a promotion; 0: nobody"
    )
    probation_seconds: float = Field(
        7 * 86_400.0, ge=0, le=366 * 86_400, description="longest probation of a new champion, in a shop with traffic"
    )
    scheduler_tick_seconds: float = Field(10.0, gt=0, le=86_400, description="time between two checks for work")
    scheduler_stop_seconds: float = Field(
        10.0, ge=0, le=86_400, description="longest wait for a running training at a stop"
    )
    retrain_min_events: int = Field(5_000, ge=1, description="new interactions that start an incremental retrain")
    retrain_full_seconds: float = Field(86_400.0, gt=0, description="time between two full GraphSAGE trainings")
    retrain_interval_seconds: float | None = Field(
        None, gt=0, description="time after which a run starts although few events are new; unset: never"
    )
    retrain_hour: int | None = Field(
        None, ge=0, le=23, description="hour of the day (UTC) of the full trainings; unset: as soon as one is due"
    )
    champion_max_age_seconds: float = Field(
        14 * 86_400.0, gt=0, description="age of the champion's events at which new events start a full training"
    )
    bundles_kept: int = Field(5, ge=1, le=1_000, description="newest models whose bundles stay, besides those in use")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment."""
        return init_settings, _Environment(settings_cls)


Encoding = Literal["hashed", "one-hot"]
