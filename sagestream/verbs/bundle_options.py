"""Bundle options: how verbs let a user name a model, a snapshot and the form of the answer."""

from pathlib import Path
from typing import Annotated

import typer

from graphstore.config import GraphstoreConfig
from sagestream.printable import BadParameter

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModelVersion = Annotated[
    str | None, typer.Argument(help="A model of the registry; default: the champion.", show_default=False)
]
Bundle = Annotated[
    Path | None, typer.Option(help="A bundle's directory instead of a registered model.", show_default=False)
]
SnapshotName = Annotated[
    str | None,
    typer.Option("--snapshot", help="Name or directory of a snapshot; default: the newest.", show_default=False),
]


def bundle_directory(model_version: str | None, bundle: Path | None) -> Path:
    """Return the directory of the named bundle, or of the registered model; without both, of the champion.

    Raises `BadParameter` for both, `UnknownModel` and `NoChampion`.
    """
    from sagestream.registered import registered_bundle

    if bundle is None:
        return registered_bundle(GraphstoreConfig(), model_version)
    if model_version is not None:
        raise BadParameter("name a model or a bundle, not both", param_hint="--bundle")
    return bundle
