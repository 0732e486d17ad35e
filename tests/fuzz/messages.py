"""Messages for the decoder: nearly valid events of every kind, written as only a broken client writes them.

Fields hold what is at the edge of the contract or just beyond it, as JSON text, so that the numbers, escapes, repeated
keys and encodings that no encoder of ours would write come up, too.
"""

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from stream.events import (
    MAX_ID_LENGTH,
    CatalogItem,
    DeadLetter,
    EventType,
    Identity,
    Impression,
    Interaction,
    ItemChange,
    ModelAnnouncement,
    Seen,
    UserAttributes,
    UserTouched,
)

KINDS: tuple[type[msgspec.Struct], ...] = (
    Interaction,
    Impression,
    CatalogItem,
    ItemChange,
    UserAttributes,
    Identity,
    Seen,
    UserTouched,
    ModelAnnouncement,
    DeadLetter,
)
STORED = KINDS[:7]

_ODD = [
    "\x01", "\t", "\n", "\x7f", "\x85", "\xa0", "é", "e\u0301", "ß", "İ", "日", "\u200b", "\u202e", "\u2028", "\ue000",
    "\ufdd0", "\ufeff", "\ufffd", "\uffff", "😀", "\U0010ffff", "'", '"', "\\", "\\N", "%", "%s", "{", "}", ":a",
    "\\u0000", "/", "\\.", "--", ";", "$1", "null", "NaN", "-1", " ",
]  # fmt: skip
_pieces = st.one_of(st.sampled_from(_ODD), st.characters(codec="utf-8", exclude_characters="\0"))
ids = st.one_of(
    st.lists(_pieces, min_size=1, max_size=6).map("".join),
    st.sampled_from("aé😀").map(lambda character: character * MAX_ID_LENGTH),
)
"""Nearly all of them valid: what is stored is the aim."""

texts = st.lists(_pieces, max_size=12).map("".join)


def quoted(text: str, escaped: bool) -> str:
    return json.dumps(text, ensure_ascii=escaped)


strings = st.builds(quoted, st.one_of(ids, texts), st.booleans())
_ESCAPES = ["", "\\ud800", "\\udc00\\ud800", "\\ud83d\\ude00", "\\u0000", "a\\u0000", "\\\\u0000", "\\x", "\\"]
broken_strings = st.one_of(
    st.sampled_from("aé😀").map(lambda character: quoted(character * (MAX_ID_LENGTH + 1), False)),
    st.sampled_from(_ESCAPES).map('"{}"'.format),
)
_NUMBERS = [
    "0",
    "-0",
    "-0.0",
    "1.0",
    "1e400",
    "-1e400",
    "1e-400",
    "5e-324",
    "1.7976931348623157e308",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1E+2",
]
good_numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(_NUMBERS),
    st.sampled_from([309, 4299, 4300, 4301, 9000]).map(lambda digits: "9" * digits),
)
"""Of the JSON grammar, if not of the contract."""

numbers = st.one_of(good_numbers, st.sampled_from(["NaN", "Infinity", "-Infinity", "01", ".5", "1.", "+1", "0x1"]))
small_numbers = st.one_of(st.sampled_from(["0", "1", "2", "10000", "1000000"]), numbers)
wrong = st.one_of(
    st.sampled_from(["null", "true", "false", "[]", "{}", "[[]]", "", "undefined"]),
    st.sampled_from(["[", '{"a":']).map(lambda opening: opening * 5000),
    numbers,
    strings,
    broken_strings,
)
_DATES = ["2026-01-05", "1990-01-01", "1989-12-31", "0001-01-01", "9999-12-31", "2026-02-30", "2024-02-29"]
_CLOCKS = ["00:00:00", "12:59:59.999", "11:59:59.9999999", "23:59:59.999999", "23:59:60", "24:00:00", "11:00:00.1"]
_ZONES = ["Z", "z", "+00:00", "-00:00", "+14:00", "-23:59", "+23:59", "+24:00", "", "+0100"]
times = st.one_of(
    st.datetimes().map(lambda time: quoted(f"{time.isoformat()}Z", False)),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(_DATES),
        st.sampled_from(["T", "t", " "]),
        st.sampled_from(_CLOCKS),
        st.sampled_from(_ZONES),
    ).map(json.dumps),
)
_GOOD_TIMES = [
    "2026-01-05T11:00:00Z",
    "1990-01-01T00:00:00Z",
    "2026-01-05T14:00:00+02:00",
    "2026-01-05T12:59:59.9999999Z",
    "2025-06-01T00:00:00.0004Z",
    "1990-01-01T23:59:59.999+23:59",
    "2026-01-04 13:01:00-23:59",
]
good_times = st.sampled_from(_GOOD_TIMES).map(json.dumps)


@st.composite
def objects(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[str]], optional: frozenset[str]) -> str:
    """JSON of an object: its fields in any order, some left out, some twice."""
    names = [name for name in fields if name not in optional or draw(st.booleans())]
    names = draw(st.permutations(names))
    if draw(st.integers(0, 9)) == 0:
        names = [*names, draw(st.sampled_from(names))]  # the last one counts
    space = draw(st.sampled_from(["", "", " ", "\n\t"]))
    pairs = [f"{quoted(name, False)}{space}:{space}{draw(fields[name])}" for name in names]
    return "{" + f",{space}".join(pairs) + "}"


def arrays(elements: st.SearchStrategy[str], max_size: int = 4) -> st.SearchStrategy[str]:
    return st.lists(elements, max_size=max_size).map(lambda found: f"[{','.join(found)}]")


_shares = st.sampled_from(["1", "1.0", "5e-324", "0.1", "1e-9"])
_listed = {
    "item_id": strings,
    "position": st.sampled_from(["0", "1", "2", "77", "10000"]),
    "score": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "propensity": _shares,
    "source": strings,
}
_attributes = st.lists(
    st.tuples(strings, st.one_of(strings, numbers, st.sampled_from(["true", "false"]))), max_size=4
).map(lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}")

_FIELDS: dict[type[Any], dict[str, st.SearchStrategy[str]]] = {
    Interaction: {
        "event_id": strings,
        "event_type": st.sampled_from([*EventType]).map(json.dumps),
        "user_id": strings,
        "item_id": strings,
        "event_time": good_times,
        "value": st.one_of(good_numbers, st.just("null")),
        "quantity": st.sampled_from(["1", "7", "0.45", "2.5e-3", "1000000", "null"]),
        "request_id": st.one_of(strings, st.just("null")),
        "position": st.sampled_from(["0", "10000", "null"]),
        "order_id": st.one_of(strings, st.just("null")),
        "currency": st.sampled_from(['"EUR"', '"XTS"', "null"]),
    },
    Impression: {
        "request_id": strings,
        "user_id": strings,
        "slot": strings,
        "event_time": good_times,
        "model_version": strings,
        "variant": strings,
        "items": arrays(objects(_listed, frozenset())),
        "confirmed": st.sampled_from(["true", "false"]),
        "robot": st.sampled_from(["true", "false"]),
        "client": st.one_of(strings, st.just('""')),
    },
    CatalogItem: {
        "item_id": strings,
        "event_time": good_times,
        "title": strings,
        "categories": arrays(strings),
        "brand": strings,
        "price": st.sampled_from(["0", "-0.0", "1e9", "0.1", "null", "5e-324"]),
        "available": st.sampled_from(["true", "false"]),
    },
    ItemChange: {
        "item_id": strings,
        "event_time": good_times,
        "title": strings,
        "categories": arrays(strings),
        "brand": strings,
        "price": st.sampled_from(["0", "1e9", "0.1", "null", "5e-324"]),
        "available": st.sampled_from(["true", "false"]),
        "attributes": _attributes,
        "stock": st.sampled_from(["0", "7", "2147483647", "null"]),
        "product_id": st.one_of(strings, st.just("null")),
    },
    UserAttributes: {"user_id": strings, "event_time": good_times, "attributes": _attributes},
    Identity: {"anonymous_id": strings, "user_id": strings, "event_time": good_times},
    Seen: {
        "request_id": strings,
        "user_id": strings,
        "event_time": good_times,
        "positions": arrays(st.sampled_from(["0", "1", "2", "77", "10000"])),
    },
    UserTouched: {"user_id": strings, "event_time": good_times},
    ModelAnnouncement: {"model_version": strings, "status": strings, "bundle": strings, "event_time": good_times},
    DeadLetter: {
        "raw": st.binary(max_size=20).map(lambda raw: msgspec.json.encode(raw).decode()),
        "topic": strings,
        "partition": small_numbers,
        "offset": small_numbers,
        "error": strings,
        "first_seen": good_times,
    },
}


def _optional(kind: type[Any]) -> frozenset[str]:
    return frozenset(field.name for field in msgspec.structs.fields(kind) if not field.required)


def nearly_valid(kind: type[Any]) -> st.SearchStrategy[bytes]:
    """Most of them valid: odd, but within the contract."""
    return objects(_FIELDS[kind], _optional(kind)).map(str.encode)


def messages(kind: type[Any]) -> st.SearchStrategy[bytes]:
    """Anything: nearly valid ones with a field spoiled, another encoding, cut off, garbled, or plain bytes."""
    fields = _FIELDS[kind]
    spoilt = st.sampled_from(sorted(fields)).flatmap(
        lambda name: objects({**fields, name: st.one_of(wrong, times)}, _optional(kind))
    )
    unknown = objects({**fields, "colour": wrong}, frozenset())
    missing = st.sampled_from(sorted(fields)).flatmap(lambda name: objects(fields, frozenset({name})))
    text = st.one_of(spoilt, unknown, missing)
    raw = text.map(str.encode)
    return st.one_of(
        raw,
        nearly_valid(kind),
        st.builds(
            lambda content, codec: content.encode(codec), text, st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])
        ),
        st.builds(lambda content: content.encode("latin-1", errors="replace"), text),
        st.builds(lambda content, cut: content[: cut % (len(content) + 1)], raw, st.integers(0, 10_000)),
        st.builds(_garbled, raw, st.integers(0, 10_000), st.binary(min_size=1, max_size=3)),
        st.binary(max_size=300),
        st.text(max_size=100).map(lambda content: json.dumps(content).encode()),
    )


def _garbled(raw: bytes, place: int, put: bytes) -> bytes:
    place %= len(raw) + 1
    return raw[:place] + put + raw[place + len(put) :]
