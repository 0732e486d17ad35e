"""Doors: the table of all calls, which the blocking and the asynchronous client share.

A `Door` is a call as a method. Asked of a blocking client it returns the answer, of an asynchronous one something to
await, and type checkers know which. Rejected: to write each method twice, or to generate one client's source from the
other's, because two texts of one contract drift apart.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar, overload

from serving.client import catalogue, shoppers, telling
from serving.client import lists as list_calls  # one of the calls is called like the module
from serving.client.call import Call

P = ParamSpec("P")
T = TypeVar("T")


class Door(Generic[P, T]):
    """A method that makes a call and sends it."""

    def __init__(self, call: Callable[P, Call[T]]) -> None:
        self._call = call
        self.__doc__ = call.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, client: "BlockingDoors", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AwaitedDoors", owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: "BlockingDoors | AwaitedDoors | None", owner: type) -> Callable[P, Any]:
        """Return the method of this client; of the class, the function that makes the call."""
        if client is None:
            return self._call
        send: Callable[[Call[T]], Any] = client.send

        @wraps(self._call)
        def method(*args: P.args, **options: P.kwargs) -> Any:
            return send(self._call(*args, **options))

        return method


class Doors:
    """Every call by its name."""

    recommendations = Door(list_calls.recommendations)
    lists = Door(list_calls.lists)
    similar = Door(list_calls.similar)
    bought_together = Door(list_calls.bought_together)
    trending = Door(list_calls.trending)
    best_sellers = Door(list_calls.best_sellers)
    categories = Door(list_calls.categories)
    category_items = Door(list_calls.category_items)

    events = Door(telling.events)
    messages = Door(telling.messages)
    seen = Door(telling.seen)
    track = Door(telling.track)

    item = Door(catalogue.item)
    put_items = Door(catalogue.put_items)
    change_items = Door(catalogue.change_items)
    delete_items = Door(catalogue.delete_items)
    put_item = Door(catalogue.put_item)
    change_item = Door(catalogue.change_item)
    delete_item = Door(catalogue.delete_item)
    stock = Door(catalogue.stock)

    user = Door(shoppers.user)
    put_user = Door(shoppers.put_user)
    identities = Door(shoppers.identities)
    token = Door(shoppers.token)
    ask_export = Door(shoppers.ask_export)
    export = Door(shoppers.export)
    forget = Door(shoppers.forget)
    erasure = Door(shoppers.erasure)

    retrain = Door(telling.retrain)
    description = Door(telling.description)


class BlockingDoors(Doors, ABC):
    """The calls of a client that waits for each answer."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Return the answer of a call. Raises `SagestreamError`."""


class AwaitedDoors(Doors, ABC):
    """The calls of a client for asyncio."""

    @abstractmethod
    async def send(self, call: Call[T]) -> T:
        """Return the answer of a call. Raises `SagestreamError`."""
