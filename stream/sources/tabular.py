"""Tables: any file with a user and an item, and optionally a time, a type, a rating or price, a quantity and an order.

Arrives: CSV, TSV, JSON or Parquet, and column names where the header does not tell the meaning. Leaves: events, block
by block or as a table; rejected rows are counted by reason. Two equal rows are two events, because many shops write one
line for each piece; a file that names its events by an id repeats them without harm. Next: `stream.sources.source`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, MAX_ID_LENGTH, EventType, milliseconds
from stream.sources.baskets import ANY_SEPARATOR, exploded, suspected
from stream.sources.catalogue import NO_TEXT
from stream.sources.cell_columns import amounts, event_types, ids, taken_back
from stream.sources.decisive import look
from stream.sources.event_names import TAKEN_BACK, means_nothing
from stream.sources.files.compressed import NotUnderstood, content_mark
from stream.sources.formats.columns import Block, is_nested, text
from stream.sources.headers import GUESTS, ColumnMapping, guess_columns, plain_name
from stream.sources.item_headers import ItemColumns
from stream.sources.items_beside import ItemsBeside
from stream.sources.nested import given_columns, open_table
from stream.sources.options import SourceOptions
from stream.sources.rules import base_rules, kept
from stream.sources.shaping import Shaped, only
from stream.sources.source import Found, Part, Reading, Source
from stream.sources.table import COLUMNS, ORDER_COLUMNS, EventTable
from stream.sources.times import UNORDERED, form_of, times, unordered
from stream.sources.understood import Understood, understand

TABLE = "a table"
CURRENCY = r"[A-Z]{3}"
"""An ISO 4217 code. Another word in its place is left out."""
_KINDS = tuple(kind.value for kind in EventType)


def events_part(
    path: Path,
    *,
    form: str = TABLE,
    options: SourceOptions | None = None,
    header: list[str] | None = None,
    shaped: Shaped | None = None,
    beside: ItemColumns | None = None,
) -> Part:
    """Return the part of a file of interactions. Without times the rows keep their order, one second each from 1990 on.

    Args:
        path: the file.
        form: its name.
        options: what its owner says of it.
        header: its columns, if the part shall say at once what they are taken for.
        shaped: how the rows of a published form are changed first.
        beside: the columns of the items, when the same rows tell them. The newest row of an item counts.
    """
    options = options or SourceOptions()

    def blocks(reading: Reading) -> Iterator[Found]:
        with open_table(path, reading.rejections, options) as file:
            mapping = _mapping(file.header, options, shaped)
            understood = _understood(file.header, mapping, options, shaped)
            items = None if beside is None else ItemsBeside(beside)
            reshape = None if shaped is None else shaped.reshaping()
            reading.understood[str(path)] = understood
            mark = content_mark(path, stop=reading.stop)
            if mark is None:
                return
            for read in file.blocks(_wanted(mapping, shaped, beside)):
                whole = read if reshape is None else reshape(read)
                block = exploded(whole, mapping.item, options.item_separator)
                if options.explode is not None:
                    block = exploded(block, _several(mapping, options.explode), options.item_separator or ANY_SEPARATOR)
                elif not understood.rows and options.item_separator is None:
                    understood.basket_mark = suspected(block.table[mapping.item])
                if not understood.rows and mapping.time is not None:
                    understood.times_are = form_of(block.table[mapping.time])
                table = event_columns(block, mapping, options)
                block, table = without_no_events(block, table, understood)
                rules = {NO_TEXT: is_nested(block.table[mapping.user]) | is_nested(block.table[mapping.item])}
                rules["the header again"] = _second_header(block.table, mapping)
                if mapping.time is not None:
                    rules[UNORDERED] = unordered(block.table[mapping.time], day_first=options.day_first)
                if shaped is not None:
                    rules |= shaped.rules(block.table)
                rules |= base_rules(table, latest_ms=reading.latest_ms)
                good = kept(table, block, rules, reading.rejections, path=path, unit=file.unit)
                reading.share = file.share
                understood.add(good)
                if items is not None:
                    items.add(block.table.loc[good.index], good)
                for name, nothing in unread(block.table, table, mapping).items():
                    understood.unread[name] += nothing
                yield with_ids(good, mark, block, None if mapping.id is None else block.table[mapping.id])
        if items is not None:
            yield items.items()

    found = ""
    if header is not None:
        mapping = _mapping(header, options, shaped)
        found = _understood(header, mapping, options, shaped).in_words()
        found = found if beside is None else f"{found} · the items of the same rows"
    if shaped is not None:  # the columns of a published form say already what decides
        return Part(path, form, blocks, found)
    return Part(path, form, blocks, found, look=lambda: look(path, options))


def _mapping(header: Sequence[str], options: SourceOptions, shaped: Shaped | None) -> ColumnMapping:
    return guess_columns(list(header), given_columns(header, options)) if shaped is None else shaped.mapping


def _several(mapping: ColumnMapping, column: str) -> str:
    if column not in (mapping.user, mapping.item):
        raise NotUnderstood(f"--explode names neither the users ({mapping.user}) nor the items ({mapping.item})")
    return column


def _wanted(mapping: ColumnMapping, shaped: Shaped | None, beside: ItemColumns | None) -> list[str]:
    if shaped is not None:
        return list(shaped.wanted)
    return list(dict.fromkeys([*mapping.columns, *(beside.columns if beside else ())]))


def without_no_events(block: Block, table: pd.DataFrame, understood: Understood) -> tuple[Block, pd.DataFrame]:
    """Return the rows without those whose type is known and means no event; these are counted apart."""
    odd = ~table["event_type"].isin(_KINDS)
    if not odd.any():
        return block, table
    none = odd & table["event_type"].map(means_nothing).astype(bool)
    if not none.any():
        return block, table
    understood.no_events.update(table["event_type"][none].tolist())
    return only(block, ~none), table[~none].reset_index(drop=True)


def _understood(header: list[str], mapping: ColumnMapping, options: SourceOptions, shaped: Shaped | None) -> Understood:
    return understand(
        header,
        mapping.by_meaning() if shaped is None or not shaped.told else shaped.told,
        read=mapping.columns if shaped is None else shaped.wanted,
        rows_are=default_type(mapping, options) if mapping.type is None or options.event_type is not None else "",
        clock=str(options.zone),
        day_first=options.day_first,
    )


def unread(raw: pd.DataFrame, table: pd.DataFrame, mapping: ColumnMapping) -> dict[str, int]:
    """Return how many cells of prices and quantities hold something that is no number, by column."""
    found = {}
    for name, meaning in ((mapping.value, "value"), (mapping.quantity, "quantity")):
        if name is not None:
            found[name] = int((table[meaning].isna() & (text(raw[name]) != "")).sum())
    return found


def event_columns(block: Block, mapping: ColumnMapping, options: SourceOptions) -> pd.DataFrame:
    """Return the cells of a block by meaning, in the form that the rules need.

    A purchase of a negative quantity, or in an order that was cancelled or refunded, takes a purchase back. So does a
    row whose own type is a return or a cancellation: its quantity counts without its sign.
    """
    raw = block.table
    nothing = pd.Series(np.nan, index=raw.index)
    order = pd.Series(milliseconds(EARLIEST) + block.numbers.astype(np.float64) * 1000, index=raw.index)
    quantity = amounts(raw[mapping.quantity]) if mapping.quantity else nothing
    orders = {"order_id": ids(raw[mapping.order], literal=options.literal_ids)} if mapping.order else {}
    if mapping.currency:
        code = text(raw[mapping.currency]).str.upper()
        orders["currency"] = code.where(code.str.fullmatch(CURRENCY), "")
    table = pd.DataFrame(
        {
            "event_type": _types(raw, mapping, options),
            "user_id": _users(raw[mapping.user], mapping.user, options),
            "item_id": ids(raw[mapping.item], literal=options.literal_ids),
            "event_time": times(raw[mapping.time], day_first=options.day_first, zone=options.zone)
            if mapping.time
            else order,
            "value": _finite(amounts(raw[mapping.value])) if mapping.value else nothing,
            **orders,
            "quantity": quantity,
        }
    )
    bought = table["event_type"] == EventType.PURCHASE.value
    back = taken_back(raw[mapping.status]) if mapping.status else pd.Series("", index=raw.index, dtype="string")
    back = back.where((back != "") | ~(table["quantity"] < 0), EventType.RETURN.value)
    table["event_type"] = table["event_type"].where(~bought | (back == ""), back)
    taking_back = table["event_type"].isin(list(TAKEN_BACK))
    table["quantity"] = table["quantity"].where(~taking_back, table["quantity"].abs())
    return table


def _users(column: "pd.Series[Any]", name: str, options: SourceOptions) -> "pd.Series[str]":
    found = ids(column, literal=options.literal_ids)
    guests = plain_name(name) in GUESTS and not options.literal_ids
    return found.where(found != "0", "") if guests else found


def _types(raw: pd.DataFrame, mapping: ColumnMapping, options: SourceOptions) -> "pd.Series[str]":
    if mapping.type and options.event_type is None:
        return event_types(raw[mapping.type], options.type_names)
    return pd.Series(default_type(mapping, options), index=raw.index, dtype="string")


def default_type(mapping: ColumnMapping, options: SourceOptions) -> str:
    """Return the type of the rows of a file without types: a rating where it has ratings, else a purchase."""
    if options.event_type is not None:
        return options.event_type
    rated = mapping.value is not None and not mapping.priced
    return EventType.RATING.value if rated else EventType.PURCHASE.value


def _finite(values: "pd.Series[float]") -> "pd.Series[float]":
    return values.where(np.isfinite(values), np.nan)


def _second_header(raw: pd.DataFrame, mapping: ColumnMapping) -> "pd.Series[bool]":
    """Return the mask of the rows that repeat the header, as files that were joined have them."""
    return (text(raw[mapping.user]) == mapping.user) & (text(raw[mapping.item]) == mapping.item)


def with_ids(good: pd.DataFrame, mark: str, block: Block, named: "pd.Series[Any] | None" = None) -> pd.DataFrame:
    """Return `good` (rows of the block) as rows of a table.

    The event id is the cell of `named`; where there is none, it is the file's mark and the row's number.
    """
    rows = good.index.to_numpy()
    found = pd.Series([f"{mark}-{number}" for number in block.numbers[rows].tolist()], index=good.index, dtype="string")
    if named is not None:
        given = ids(named.loc[good.index])
        found = found.where((given == "") | (given.str.len() > MAX_ID_LENGTH), given)
    if block.pieces is not None:  # the first item keeps the name of its row
        pieces = pd.Series([f"-{piece}" if piece else "" for piece in block.pieces[rows].tolist()], index=good.index)
        found = found + pieces.astype("string")
    known = [*COLUMNS, *(name for name in ORDER_COLUMNS if name in good)]
    return good.assign(event_id=found, event_time=good["event_time"].astype("int64"))[known]


def read(
    path: Path,
    options: SourceOptions | None = None,
    *,
    users: int | None = None,
    min_item_users: int = 1,
    seed: int = 0,
) -> EventTable:
    """Read all events of a file into memory, sorted by time.

    Raises `UnreadableFile` when the file is not a table, `NotUnderstood` when its meaning is not clear.
    """
    part = events_part(path, options=options)
    part.look()
    return Source([part]).read(Reading(), users=users, min_item_users=min_item_users, seed=seed)
