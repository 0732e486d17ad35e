"""Prices: one reader of the amounts in files, for events and for the catalogue.

Arrives: cells as shops write them: `12.5`, `$1,234.50`, `1.234,50 €`, `15.00 USD`, `1 299,00 kr`, `CHF 1'234.50`,
`₹1,09,900`, `from $5`, `12.50 - 15.00`, `(3.20)`. Leaves: a number, or None where the cell has no amount. Next:
`stream.sources.cell_columns` and `stream.sources.catalogue`.

Only signs and words of currencies may stand beside the number, so `2 pcs` has no price. `1.234` is read as 1.234: a
point before three digits is a decimal point, unless there are several points or a comma behind them.
"""

import math
import re
import unicodedata

MAX_PRICE = 1e9

_SPACES = "\u00a0\u202f\u2009'\u2019"
"""What stands between groups of three digits, besides a plain space, a comma or a point."""
_GROUPED = rf"\d{{1,3}}(?:[ {_SPACES}]\d{{3}})+(?:[.,]\d+)?"
_PLAIN = r"\d+(?:[.,]\d+)*"
_NUMBER = re.compile(rf"(?<![\d.,])(?:{_GROUPED}|{_PLAIN}|[.,]\d+)(?!\d)")
_WORDS = frozenset(
    (
        *(
            "kr",
            "kr.",
            "zł",
            "zl",
            "kč",
            "kc",
            "ft",
            "lei",
            "lev",
            "лв",
            "лв.",
            "руб",
            "руб.",
            "р",
            "р.",
            "грн",
            "грн.",
        ),
        *("rs", "rs.", "tl", "din", "rp", "rm", "r", "a", "c", "s", "us", "hk", "nt", "nz", "ca", "au", "mx", "yen"),
        *("euro", "euros", "eur", "dollar", "dollars", "pound", "pounds", "yuan", "rupees"),
        *("from", "ab", "à", "de", "dès", "von", "desde"),
    )
)
"""Words of currencies in small letters (three capital letters are taken for a code), and words for `from`."""
_CODE = re.compile(r"[A-Z]{3}")
_RANGE = re.compile(r"\s*(?:-|–|—|to|bis)\s*")
_MINUS = "-−"


def amount_of(written: str) -> float | None:
    """Return the amount in a cell, the first one of a range; None when the cell has no amount. It may be negative."""
    cell = written.strip()
    found = _NUMBER.search(cell)
    if found is None:
        return None
    before, behind = cell[: found.start()], cell[found.end() :]
    negative = False
    if before.startswith("(") and behind.endswith(")"):
        before, behind, negative = before[1:], behind[:-1], True
    elif before.strip()[:1] and before.strip()[0] in _MINUS:
        before, negative = before.strip()[1:], True
    elif before.strip()[-1:] and before.strip()[-1] in _MINUS:
        before, negative = before.strip()[:-1], True
    elif behind and behind[-1] in _MINUS:
        behind, negative = behind[:-1], True
    second = _NUMBER.search(behind)
    if second is not None:  # a range: a mark between two amounts
        between = behind[: second.start()]
        if not any(map(_is_mark, re.split(r"\s+", between.strip()))) or _NUMBER.search(behind, second.end()):
            return None
        behind = f"{_RANGE.sub(' ', between)} {behind[second.end() :]}"
    if not (_is_currency(before) and _is_currency(behind)):
        return None
    number = _number(found.group())
    if number is None or not math.isfinite(number):
        return None
    return -number if negative else number


def price_of(written: str) -> float | None:
    """Return the price in a cell, or None when it has no price from 0 to `MAX_PRICE`."""
    amount = amount_of(written)
    return amount if amount is not None and 0 <= amount <= MAX_PRICE else None


def _is_mark(word: str) -> bool:
    return word in ("-", "–", "—", "to", "bis")


def _is_currency(written: str) -> bool:
    for word in written.split():
        plain = "".join(mark for mark in word if unicodedata.category(mark) != "Sc")
        if plain and _CODE.fullmatch(plain) is None and plain.casefold() not in _WORDS:
            return False
    return True


def _number(written: str) -> float | None:
    """Return the number. Of two different marks the last one is the decimal mark."""
    digits = re.sub(rf"[ {_SPACES}]", "", written)
    commas, points = digits.count(","), digits.count(".")
    if commas and points:
        decimal = max(digits.rfind(","), digits.rfind("."))
        thousands = "." if digits[decimal] == "," else ","
        if digits.count(digits[decimal]) > 1:
            return None
        digits = digits.replace(thousands, "").replace(",", ".")
    elif commas:
        *_, last = digits.split(",")
        # `1,234` and `1,09,900` are groups; a comma before another number of digits is a decimal comma.
        digits = digits.replace(",", "" if len(last) == 3 and digits[0] != "0" else ".")
        if digits.count(".") > 1:
            return None
    elif points > 1:
        if any(len(group) != 3 for group in digits.split(".")[1:]):
            return None
        digits = digits.replace(".", "")
    return float(digits)
