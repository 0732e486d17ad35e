"""Compiled functions: numba, loaded at the first call.

Arrives: a function of arrays and numbers. Leaves: the same function as machine code. Next: the loops of
`training.graph`, `training.terms` and `training.models` are decorated with `compiled`.

numba with LLVM takes 40 MB and half a second in each process. A process that serves a model in closed form calls no
such loop, so it does not load numba.
"""

import functools
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Compiled(Generic[_P, _T]):
    """A function that numba compiles at its first call.

    The machine code is cached beside the source file. It holds the compiled functions that this one calls, but numba
    compares it only with the source of this one. So it is thrown away when the source of one of the others is newer.
    """

    def __init__(self, function: Callable[_P, _T], fastmath: Collection[str], threads: bool) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._fastmath = fastmath
        self._threads = threads

    def __call__(self, *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Return the result of the compiled function."""
        result: _T = self.dispatcher(*arguments, **named)
        return result

    @functools.cached_property
    def dispatcher(self) -> Any:
        """The dispatcher of numba. numba must find dispatchers behind the names of functions that this one calls."""
        import numba

        fastmath = set(self._fastmath) or False
        dispatcher: Any = numba.njit(cache=True, fastmath=fastmath, nogil=self._threads)(self._function)
        newest = max(source.stat().st_mtime_ns for source in sources_of(self._function))
        for index in Path(dispatcher.stats.cache_path).glob(f"*.{self._function.__qualname__}-*.nbi"):
            with suppress(FileNotFoundError):  # another process throws it away, too
                if index.stat().st_mtime_ns <= newest:
                    index.unlink()
        module = self._function.__globals__
        called = {name: module[name] for name in self._function.__code__.co_names if name in module}
        module.update({name: value.dispatcher for name, value in called.items() if isinstance(value, Compiled)})
        return dispatcher

    @property
    def py_func(self) -> Callable[..., Any]:
        """The function itself; a dispatcher of numba calls it so, too."""
        return self._function


def sources_of(function: Callable[..., Any]) -> frozenset[Path]:
    """Return the source files of a function and of all compiled functions that it calls."""
    named: list[Any] = [function.__globals__.get(name) for name in function.__code__.co_names]
    called = (value.py_func for value in named if hasattr(value, "py_func") and value.py_func is not function)
    return frozenset({Path(function.__code__.co_filename)}).union(*map(sources_of, called))


def compiled(
    *, fastmath: Collection[str] = (), threads: bool = False
) -> Callable[[Callable[_P, _T]], Compiled[_P, _T]]:
    """Return a decorator for a compiled function.

    `fastmath` names the allowed rewrites of arithmetic, as LLVM does. With `threads`, several threads may call it at
    once: what one of them writes, no other one reads.
    """
    return lambda function: Compiled(function, fastmath, threads)
