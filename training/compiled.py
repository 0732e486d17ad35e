"""Compiled functions: numba, loaded at the first call.

Arrives: a function of arrays and numbers. Leaves: the same function as machine code. Next: the loops of
`training.graph`, `training.terms` and `training.models` are decorated with `compiled`.

numba with LLVM takes 40 MB and half a second in each process. A process that serves a model in closed form calls no
such loop, so it does not load numba.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any, Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Compiled(Generic[_P, _T]):
    """A function that numba compiles at its first call. The machine code is cached beside the source file."""

    def __init__(self, function: Callable[_P, _T], fastmath: Collection[str]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._fastmath = fastmath

    def __call__(self, *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Return the result of the compiled function."""
        result: _T = self.dispatcher(*arguments, **named)
        return result

    @functools.cached_property
    def dispatcher(self) -> Any:
        """The dispatcher of numba. numba must find dispatchers behind the names of functions that this one calls."""
        import numba

        module = self._function.__globals__
        called = {name: module[name] for name in self._function.__code__.co_names if name in module}
        module.update({name: value.dispatcher for name, value in called.items() if isinstance(value, Compiled)})
        return numba.njit(cache=True, fastmath=set(self._fastmath) or False)(self._function)


def compiled(*, fastmath: Collection[str] = ()) -> Callable[[Callable[_P, _T]], Compiled[_P, _T]]:
    """Return a decorator for a compiled function. `fastmath` names the allowed rewrites of arithmetic, as LLVM does."""
    return lambda function: Compiled(function, fastmath)
