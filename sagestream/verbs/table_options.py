"""Table options: the options that say what the columns of a table mean, the same for every verb that reads files.

Arrives: a verb with a parameter `words`. Leaves: the verb with these options instead. Next: Typer; the verb gets the
options as one `sagestream.datasets.TableWords`.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

import typer

from sagestream.datasets import TableWords

WORDS = "words"


def _column(option: str, what: str) -> Any:
    return Annotated[str | None, typer.Option(option, help=f"Column of {what}.", show_default=False)]


OPTIONS: dict[str, Any] = {
    "user": _column("--user-col", "the user"),
    "item": _column("--item-col", "the item, or item_1,item_2 or item_* of a wide row"),
    "time": _column("--time-col", "the time, or date,clock of two columns"),
    "value": _column("--value-col", "the rating or price"),
    "price": _column("--price-col", "the price: the rows are purchases"),
    "type": _column("--type-col", "the event's type"),
    "quantity": _column("--quantity-col", "the quantity"),
    "id": _column("--id-col", "the event's id: the same id counts once"),
    "status": _column("--status-col", "the order's state: cancelled and refunded ones take back"),
    "order": _column("--order-col", "the order that a purchase belongs to"),
    "currency": _column("--currency-col", "the price's currency"),
    "explode": _column("--explode", "several items or users in a cell: a list, or parted by | ; , or spaces"),
    "title": _column("--title-col", "an item's title"),
    "category": _column("--category-col", "an item's categories"),
    "brand": _column("--brand-col", "an item's brand"),
    "available": _column("--available-col", "whether an item can be bought"),
    "columns": Annotated[
        str | None,
        typer.Option(
            "--columns",
            help="Of a table without header: user,item,rating,time (- for one to skip).",
            show_default=False,
        ),
    ],
    "encoding": Annotated[
        str | None, typer.Option("--encoding", help="Of a table that is not UTF-8, as latin-1.", show_default=False)
    ],
    "day_first": Annotated[
        bool, typer.Option("--day-first", help="Of a table: dates as 01/12/2010 or 01-12-2010 begin with the day.")
    ],
    "timezone": Annotated[
        str | None,
        typer.Option(
            "--timezone", help="Of times that name no zone, as Europe/Berlin; without it UTC.", show_default=False
        ),
    ],
    "event_type": Annotated[
        str | None, typer.Option("--type", help="The type of all rows, as view or purchase.", show_default=False)
    ],
    "type_map": Annotated[
        str | None,
        typer.Option("--type-map", help="What types of the file mean, as pv=view,fav=click.", show_default=False),
    ],
    "item_separator": Annotated[
        str | None,
        typer.Option(
            "--item-separator", help="What parts the items in a cell of a basket, as '|'.", show_default=False
        ),
    ],
    "start_date": Annotated[
        str | None,
        typer.Option(
            "--start-date", help="The date of day 1 where days are numbers, as 2017-01-01.", show_default=False
        ),
    ],
    "literal_ids": Annotated[
        bool, typer.Option("--literal-ids", help="Words for no value (nan, NULL, undefined) are ids, too.")
    ],
    "no_times": Annotated[
        bool, typer.Option("--no-times", help="A file without times: its rows in their order, from 1990.")
    ],
}
"""The options by the field of `TableWords`."""


def with_table_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Give the verb the options of a table in place of its parameter `words`."""
    defaults = {field.name: field.default for field in fields(TableWords)}
    added = [
        inspect.Parameter(
            f"{name}_col" if name in TableWords.MEANINGS else name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if name in TableWords.MEANINGS else defaults[name],
            annotation=option,
        )
        for name, option in OPTIONS.items()
    ]
    names = dict(zip((parameter.name for parameter in added), OPTIONS, strict=True))
    signature = inspect.signature(verb, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += added if name == WORDS else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    @functools.wraps(verb)
    def wrapped(**given: Any) -> None:
        said = {names[name]: given.pop(name) for name in names}
        mapping = {name: said.pop(name) for name in TableWords.MEANINGS}
        verb(**given, words=TableWords(mapping, **said))

    del wrapped.__wrapped__  # Typer would read the parameters of the verb
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
    return wrapped
