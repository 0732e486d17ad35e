"""Named tables: the tables of the trade, by name and by recognition of their columns.

Arrives: files whose columns are those of a published form. Leaves: their parts, in the form's own meaning; `None` for
another file. Next: `stream.sources.opening`.

Forms whose rows are in several files collect them (`Joined`) until all files are seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stream.sources.catalogue import items_part
from stream.sources.datasets import (
    dunnhumby,
    gorse,
    headerless,
    instacart,
    merchant,
    olist,
    personalize,
    rees46,
    shopify,
    woocommerce,
)
from stream.sources.files.compressed import NotUnderstood, UnreadableFile
from stream.sources.headers import ColumnMapping, plain_name
from stream.sources.item_headers import NAMED, ItemColumns, item_columns
from stream.sources.options import SourceOptions
from stream.sources.shaping import Shaped, of_tables, piece_price
from stream.sources.source import Part, Source
from stream.sources.tabular import events_part

Open = Callable[[Path, Sequence[str], SourceOptions], Part]


@dataclass(frozen=True)
class NamedTable:
    """A form of one file: the columns that it has at least, and those that it does not have."""

    family: str
    needs: frozenset[str]
    open: Open
    lacks: frozenset[str] = frozenset()
    spelled: bool = True
    """Whether the names are written as here; else in capitals or small letters, as `plain_name` compares them."""


def _hm_transactions(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    columns = {"user": "customer_id", "item": "article_id", "time": "t_dat", "price": "price"}
    known = replace(options, columns=columns)
    return events_part(path, form="H&M transactions", options=known, header=list(header))


def _hm_articles(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    columns = item_columns(header, "article_id", options.columns)
    return items_part(path, form="H&M articles", layout=options.layout, columns=columns)


def _tafeng(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """The price is what was paid for the whole line. The months' files begin with the month."""
    user, item, time, amount, paid, kind = (
        next(name for name in header if plain_name(name) == wanted)
        for wanted in ("customer_id", "product_id", "transaction_dt", "amount", "sales_price", "product_subclass")
    )
    mapping = ColumnMapping(user=user, item=item, time=time, value=paid, quantity=amount, priced=True)
    shaped = Shaped(
        mapping,
        [user, item, time, amount, paid, kind],
        {**mapping.by_meaning(), "price": f"{paid} of a piece", "categories": kind},
        of_tables(lambda table: table.assign(**{paid: piece_price(table[paid], table[amount])})),
    )
    beside = ItemColumns(item, categories=(kind,))
    return events_part(path, form="Ta-Feng", options=options, header=list(header), shaped=shaped, beside=beside)


TABLES = (
    NamedTable("shopify", shopify.ORDER_NEEDS, shopify.orders_part, spelled=False),
    NamedTable("shopify", shopify.PRODUCT_NEEDS, shopify.products_part, spelled=False),
    NamedTable("woocommerce", woocommerce.PRODUCT_NEEDS, woocommerce.products_part, spelled=False),
    NamedTable("rees46", rees46.NEEDS, rees46.events),
    NamedTable("gorse", gorse.FEEDBACK_NEEDS, gorse.feedback_part),
    NamedTable("gorse", gorse.ITEM_NEEDS, gorse.gorse_items_part, frozenset(("user_id",))),
    NamedTable("gorse", gorse.USER_NEEDS, gorse.gorse_users_part, frozenset(("item_id",))),
    NamedTable("dunnhumby", dunnhumby.LINE_NEEDS, dunnhumby.lines_part, spelled=False),
    NamedTable("dunnhumby", dunnhumby.PRODUCT_NEEDS, dunnhumby.products_part, spelled=False),
    NamedTable("hm", frozenset(("t_dat", "customer_id", "article_id", "price")), _hm_transactions),
    NamedTable("hm", frozenset(("article_id", "product_code", "prod_name")), _hm_articles),
    NamedTable(
        "ta-feng",
        frozenset(("transaction_dt", "customer_id", "product_id", "product_subclass", "amount", "sales_price")),
        _tafeng,
        spelled=False,
    ),
)
JOINED = {"instacart": instacart, "olist": olist}
HEADERLESS = ("yoochoose", "taobao")
FAMILIES = (*dict.fromkeys(table.family for table in TABLES), "merchant", "personalize", *JOINED, *HEADERLESS)
"""The names of the forms."""


@dataclass
class NamedTables:
    """Recognises the files of one call. `family` allows the forms of one name alone; None: all."""

    options: SourceOptions
    family: str | None = None
    _files: dict[str, dict[str, list[Path]]] = field(default_factory=dict)

    def part(self, path: Path, header: Sequence[str]) -> Part | None:
        """Return the part of a file, None when it has none of the forms. Raises `UnreadableFile`.

        The part of a file that belongs to others is empty until `finished`.
        """
        plain = {plain_name(name) for name in header}
        known = set(header)
        for name, module in JOINED.items():
            role = next(
                (r for r, needs in module.ROLES.items() if needs <= known and not module.LACKS[r] & known), None
            )
            if role is not None and self._wants(name):
                self._files.setdefault(name, {}).setdefault(role, []).append(path)
                return Part(path, f"{name} {role}", lambda _: iter(()))
        fitting = (table for table in TABLES if table.needs <= (known if table.spelled else plain))
        table = next((table for table in fitting if not table.lacks & plain and self._wants(table.family)), None)
        if table is not None:
            return table.open(path, header, self.options)
        if self._wants("merchant") and merchant.recognises(header):
            return merchant.feed_part(path, header, self.options)
        if self._wants("personalize") and (found := personalize.part(path, header, self.options)) is not None:
            return found
        form = headerless.form_of(header)
        if form is not None and self._wants(form.form.split()[0].lower()):
            return headerless.part(path, form, self.options)
        return None

    def finished(self, source: Source) -> Source:
        """Return the source with the files that belong together as parts. Raises `NotUnderstood` when one lacks."""
        parts = list(source.parts)
        for name, files in self._files.items():
            for role, other, what in (("lines", "orders", "the orders"), ("orders", "lines", "the lines")):
                if role in files and other not in files:
                    raise NotUnderstood(
                        f"{files[role][0]}: {name}'s {role} say little without {what}: give both files in one call"
                    )
            own = {path for paths in files.values() for path in paths}
            parts = [part for part in parts if part.path not in own]
            parts += JOINED[name].parts(files, self.options)
        if not parts:
            raise UnreadableFile("these files name things, but there is neither an event nor an item in them")
        return replace(source, parts=parts)

    def _wants(self, family: str) -> bool:
        return self.family in (None, family)


def is_said(options: SourceOptions) -> bool:
    """Return whether the file's owner names columns of interactions, so that no form is guessed."""
    named = any(name for meaning, name in options.columns.items() if meaning not in NAMED)
    return named or bool(options.layout.names or options.explode)
