"""The option `--text-encoder` of verbs that make item features. Without it, the training file decides."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from sagestream.printable import BadParameter

if TYPE_CHECKING:
    from training.config import TrainingConfig


def _checked(name: str | None) -> str | None:
    from training.config import MAX_TEXT_ENCODER, TEXT_ENCODERS

    if name is not None and (len(name) > MAX_TEXT_ENCODER or not re.fullmatch(TEXT_ENCODERS, name)):
        raise BadParameter(f"{name[:100]!r} is neither tfidf nor sentence-transformers:<path or name>")
    return name


TextEncoder = Annotated[
    str | None,
    typer.Option(
        "--text-encoder",
        help="What reads the words of items: tfidf, or sentence-transformers:<path or name>; default: as configured.",
        show_default=False,
        callback=_checked,
    ),
]


def with_text_encoder(config: "TrainingConfig", name: str | None) -> "TrainingConfig":
    """Return the settings with the encoder of the option, or unchanged settings if `name` is None."""
    return config if name is None else config.model_copy(update={"text_encoder": name})
