"""A coverage-guided fuzzer of the decoder: `python -m tests.fuzz.decoder --seconds n` (atheris).

Arrives: bytes that libFuzzer makes from valid events of each kind; the first byte says which kind is meant. Leaves:
nothing, or a crash: any exception but `InvalidEvent`, an event that does not survive being written and read again, or
one with something in it that no store takes. Exit 0: none was found.

The decoder proper is C, which nobody instruments, so what guides the search is what it says: each reason, without what
is particular to one message, counts as a branch that was reached, and so does each kind of content of a valid event.
"""

import argparse
import math
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import atheris
import msgspec

with atheris.instrument_imports(include=["stream.events"]):
    from stream import events

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BRANCHES = 1 << 12
PART = 1 << 5
MAX_LENGTH = 1 << 11

_TIME = datetime(2026, 1, 5, 11, 59, 0, 123456, tzinfo=UTC)
SEEDS: tuple[msgspec.Struct, ...] = (
    events.Interaction(
        event_id="e1",
        event_type=events.EventType.PURCHASE,
        user_id="u1",
        item_id="😀\\ü",
        event_time=_TIME,
        value=-1.5e-7,
        quantity=1_000_000,
        request_id="r",
        position=0,
    ),
    events.Impression(
        request_id="r",
        user_id="u",
        slot="home",
        event_time=_TIME,
        model_version="m",
        variant="v",
        items=[
            events.ImpressionItem(item_id=f"i{n}", position=n, score=float(-n), propensity=0.5, source="batch")
            for n in range(2)
        ],
    ),
    events.ItemChange(item_id="i", event_time=_TIME, price=2.5, stock=None, attributes={"colour": "red", "old": None}),
    events.CatalogItem(
        item_id="i", title='T"ea', categories=["a", "b"], brand="B", price=2.5, available=False, event_time=_TIME
    ),
    events.UserAttributes(
        user_id="u", attributes={"city": "Zürich", "age": 41, "vip": True, "score": 0.5}, event_time=_TIME
    ),
    events.Identity(anonymous_id="s", user_id="u", event_time=_TIME),
    events.Seen(request_id="r", user_id="u", positions=[0, 2], event_time=_TIME),
    events.UserTouched(user_id="u", event_time=_TIME),
    events.ModelAnnouncement(model_version="m", status="champion", bundle="models/m", event_time=_TIME),
    events.DeadLetter(raw=b"\xff{", topic="t", partition=1, offset=2, error="bad", first_seen=_TIME),
)
KINDS = tuple(type(seed) for seed in SEEDS)


_PARTICULAR = re.compile(r"0x\w+|\d+|unknown field `.*`|enum value .*|in position .*", re.DOTALL)
"""What a reason says of one message alone: numbers, the names of unknown fields, bad values."""


class Fault(AssertionError):
    """Something that the decoder let through, and that nobody behind it can hold."""


def check(data: bytes, reached: Callable[[int], None]) -> None:
    """Decode `data` as the kind that its first byte names; raises whatever is wrong."""
    kind, raw = KINDS[(data[0] if data else 0) % len(KINDS)], data[1:]
    try:
        event = events.decode(raw, kind, now=NOW)
    except events.InvalidEvent as error:
        str(error).encode()
        reached(_branch(kind.__name__, _PARTICULAR.sub("", str(error))))
        return
    again = events.decode(events.encode(event), kind, now=NOW, max_bytes=2 * events.MAX_EVENT_BYTES)
    if again != event:
        raise Fault(f"{event} was written and read as {again}")
    for value in _leaves(msgspec.structs.asdict(event)):
        _check_storable(value)
        reached(_branch(kind.__name__, type(value).__name__, _size(value)))
    if isinstance(event, events.Event):
        time = events.milliseconds(event.event_time)
        if not events.milliseconds(events.EARLIEST) <= time <= events.milliseconds(NOW + events.MAX_FUTURE):
            raise Fault(f"a time out of bounds: {event.event_time}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        for name, content in value.items():
            yield name
            yield from _leaves(content)
    elif isinstance(value, list):
        for content in value:
            yield from _leaves(content)
    else:
        yield value


def _check_storable(value: Any) -> None:
    if isinstance(value, str):
        value.encode()  # a lone surrogate has no UTF-8
        if "\0" in value:
            raise Fault("a NUL that PostgreSQL refuses")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Fault(f"{value} that JSON cannot write")


def _size(value: Any) -> int:
    """A coarse size, so that growing something is something new."""
    if isinstance(value, str | bytes):
        return len(value).bit_length()
    if isinstance(value, int | float):
        return math.frexp(value)[1] // 64 if abs(value) < 1e300 else 99
    return 0


def _branch(*parts: object) -> int:
    return zlib.crc32(repr(parts).encode()) % BRANCHES


def instrumented() -> Callable[[int], None]:
    """A function with a branch for each number below `BRANCHES`: entering one is coverage that libFuzzer sees.

    Many small ones beneath it: atheris' time to instrument a function grows with the square of its length.
    """
    parts = [_instrumented_part() for _ in range(BRANCHES // PART)]

    def reached(number: int) -> None:
        parts[number // PART](number % PART)

    return reached


def _instrumented_part() -> Callable[[int], None]:
    lines = ["def reached(number):", *(f"    if number == {number}: return {number}" for number in range(PART))]
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)  # our own text
    part: Callable[[int], None] = atheris.instrument_func(scope["reached"])
    return part


def write_seeds(directory: Path) -> None:
    """A corpus of one valid event of each kind."""
    for number, seed in enumerate(SEEDS):
        (directory / type(seed).__name__).write_bytes(bytes([number]) + events.encode(seed))


def main() -> None:
    """Fuzz for so many seconds; the process ends with libFuzzer's code.

    The corpus stays in `--directory`, so that the next run goes on from it, and so does the input of a crash.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "sagestream-fuzz")
    given = parser.parse_args()
    reached = instrumented()
    for number, seed in enumerate(SEEDS):  # a fuzzer whose seeds are refused fuzzes nothing
        check(bytes([number]) + events.encode(seed), reached)
    corpus, tokens = given.directory / "corpus", given.directory / "tokens"
    corpus.mkdir(parents=True, exist_ok=True)
    write_seeds(corpus)
    tokens.write_text("".join(f'"{_token(word)}"\n' for word in _words()))
    options = [
        f"-max_total_time={given.seconds}",
        f"-max_len={MAX_LENGTH}",
        f"-seed={given.seed}",
        f"-dict={tokens}",
        f"-artifact_prefix={given.directory}/",
        "-print_final_stats=1",
        "-timeout=10",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: check(data, reached))
    atheris.Fuzz()


def _words() -> list[str]:
    names = {field.encode_name for kind in (*KINDS, events.ImpressionItem) for field in msgspec.structs.fields(kind)}
    return sorted(names | {*events.EventType, "\\u0000", "\\ud800", "1e400", "null", "true", "NaN", "T24:00:00Z", "é"})


def _token(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()
