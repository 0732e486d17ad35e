"""Log context: what the current work is about, for every log line that is written meanwhile, by whatever module.

Arrives: fields such as `run_id`, from where the work begins. Leaves: the fields of the current thread or task.
Next: `graphstore.logs` writes them into lines of JSON.

A field may be a function, which is called when a line is written: a batch pays for its ids only if it logs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_fields: ContextVar[Mapping[str, object]] = ContextVar("log_fields")
_NOTHING: Mapping[str, object] = {}


@contextmanager
def logged_with(**fields: object) -> Iterator[None]:
    """Add the fields to each line of this thread or task in the block. Inner blocks add to outer ones."""
    token = _fields.set({**_fields.get(_NOTHING), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def log_fields() -> dict[str, object]:
    """Return the fields of the current work."""
    return {name: value() if callable(value) else value for name, value in _fields.get(_NOTHING).items()}
