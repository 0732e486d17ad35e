"""Parts that are installed when asked for: a verb that lacks one names the extra that brings it."""

from importlib.util import find_spec


def require(module: str, *, extra: str) -> None:
    """Raises `ImportError` where the top-level `module` is not installed; it is not loaded."""
    if find_spec(module) is None:
        raise ImportError(f'{module} is not installed: pip install ".[{extra}]"', name=module)
