"""Errands: what an operator asks for on the dashboard, on its way to the monitor, and what became of it.

Arrives: an errand from the web process, which has no SQL. Leaves: a list in Redis, and the state of each errand. Next:
`monitoring.errands` runs each errand and tells its state; the web process shows it.

An errand is taken off the list only after it has ended, so a monitor that is killed runs it again: every kind may run
twice. State and result expire, because they name a shopper. Redis that lost its content has lost the errands, too: the
operator sees that the errand is unknown and asks again. Rejected: a topic of Kafka, as in `graphstore.redis.asked`.
This module does not import SQLAlchemy.
"""

import secrets
from contextlib import suppress
from typing import Literal, cast, get_args

import msgspec
from redis import Redis

from graphstore.redis.corrupt import left_out

Kind = Literal["forget", "export", "dlq_replay", "retrain"]
"""`forget` and `export`: a shopper, the subject is any id of the person. `dlq_replay`: the subject is the topic, a
space, and the reason as the dashboard shows it; without a subject all letters. `retrain`: the subject is the reason."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Word = Literal["waiting", "running", "done", "failed"]
"""How far an errand is."""

WAITING: Word = "waiting"
RUNNING: Word = "running"
DONE: Word = "done"
FAILED: Word = "failed"

LIST = "dash:errands"
"""List: the errands as JSON, oldest first."""

NEWEST = "dash:errands:newest"
"""List: the ids of the last errands, newest first."""

KNOWN = "dash:errands:known"
"""Sorted set: the ids of all errands whose state has not expired, by its time (epoch ms)."""

MAX_WAITING = 50
"""More errands than this are refused: none that waits is dropped."""

KEPT = 20
"""The number of ids in `dash:errands:newest`."""

MAX_SUBJECT = 500
"""Characters of a subject."""

MAX_WHO = 64
"""Characters of the name of whoever asks."""

MAX_SAID = 2_000
"""Characters that tell what became of an errand; the rest is cut."""

STATE_SECONDS = 86_400
"""A state expires after this time without a change."""

RESULT_SECONDS = 900
"""A result expires after this time: an export holds all that is known of a person."""

MAX_RESULT_BYTES = 8 * 1024 * 1024

STATES_AT_ONCE = 500


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `asked_at` is epoch ms."""

    id: str
    kind: Kind
    subject: str
    who: str
    asked_at: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an errand. `subject` is empty once a shopper is forgotten. `changed_at` is epoch ms."""

    id: str
    kind: Kind
    subject: str
    who: str
    asked_at: int
    state: Word
    changed_at: int
    said: str = ""
    """In words: the result, or why it failed or waits."""
    attempts: int = 0
    """How often it was begun."""
    has_result: bool = False
    """Whether `result` returns something, until it expires."""


class NotAsked(ValueError):
    """The errand is not allowed, or too many wait. The message tells which."""


_PUT = f"""
local waiting = redis.call('LRANGE', '{LIST}', 0, -1)
for _, raw in ipairs(waiting) do
  local readable, known = pcall(cjson.decode, raw)
  if readable and known.kind == ARGV[1] and known.subject == ARGV[2] then return known.id end
end
if #waiting >= {MAX_WAITING} then return '' end
redis.call('RPUSH', '{LIST}', ARGV[4])
redis.call('LPUSH', '{NEWEST}', ARGV[3])
redis.call('LTRIM', '{NEWEST}', 0, {KEPT - 1})
redis.call('SET', KEYS[1], ARGV[5], 'EX', {STATE_SECONDS})
redis.call('ZADD', '{KNOWN}', ARGV[6], ARGV[3])
redis.call('ZREMRANGEBYSCORE', '{KNOWN}', '-inf', '(' .. string.format('%d', ARGV[6] - {STATE_SECONDS * 1000}))
return ARGV[3]
"""


def state_key(errand_id: str) -> str:
    """JSON of `State`; it expires."""
    return f"dash:errand:{errand_id}"


def result_key(errand_id: str) -> str:
    """The bytes of a result; it expires sooner."""
    return f"dash:errand:{errand_id}:result"


def ask(redis: Redis, kind: str, subject: str, *, who: str, now: int) -> str:
    """Put an errand on the list and return its id. An equal errand that has not ended is not put twice.

    `now` is epoch ms. Raises `NotAsked`, `redis.RedisError`.
    """
    if kind not in KINDS:
        raise NotAsked(f"{kind!r} is none of {', '.join(KINDS)}")
    _check(kind, subject, who)
    errand = Errand(id=secrets.token_urlsafe(12), kind=kind, subject=subject, who=who, asked_at=now)
    encoded = msgspec.json.encode(errand), msgspec.json.encode(_state(errand))
    arguments: list[str | bytes] = [kind, subject, errand.id, *encoded, str(now)]
    found = cast(bytes, redis.eval(_PUT, 1, state_key(errand.id), *arguments))
    if not found:
        raise NotAsked(f"{MAX_WAITING} errands wait already: does the monitor run?")
    return found.decode()


def state(redis: Redis, errand_id: str) -> State | None:
    """Return what became of the errand; None: unknown, or expired. Raises `redis.RedisError`."""
    raw = cast("bytes | None", redis.get(state_key(errand_id)))
    return None if raw is None else _read(errand_id, raw)


def newest(redis: Redis) -> list[State]:
    """Return the last errands that have not expired, newest first. Raises `redis.RedisError`."""
    ids = cast("list[bytes]", redis.lrange(NEWEST, 0, -1))
    if not ids:
        return []
    rows = cast("list[bytes | None]", redis.mget([state_key(raw.decode()) for raw in ids]))
    told = zip(ids, rows, strict=True)
    return [found for name, raw in told if raw is not None and (found := _read(name.decode(), raw)) is not None]


def result(redis: Redis, errand_id: str) -> bytes | None:
    """Return the result, JSON; None: there is none, or it has expired. Raises `redis.RedisError`."""
    return cast("bytes | None", redis.get(result_key(errand_id)))


def first(redis: Redis) -> bytes | None:
    """Return the oldest errand on the list; `decode` reads it. None: nothing waits. Raises `redis.RedisError`."""
    return cast("bytes | None", redis.lindex(LIST, 0))


def waiting(redis: Redis) -> int:
    """Return how many errands have not ended. Raises `redis.RedisError`."""
    return redis.llen(LIST)


def decode(raw: bytes) -> Errand:
    """Return the errand. Raises `NotAsked`."""
    try:
        errand = msgspec.json.decode(raw, type=Errand)
    except msgspec.MsgspecError as error:
        raise NotAsked(str(error)) from error
    _check(errand.kind, errand.subject, errand.who)
    return errand


def tell(
    redis: Redis,
    errand: Errand,
    word: Word,
    said: str = "",
    *,
    now: int,
    attempts: int = 0,
    result: bytes | None = None,
) -> None:
    """Write what became of an errand, and its result. Raises `NotAsked` for a result that is too large,
    `redis.RedisError`."""
    if result is not None and len(result) > MAX_RESULT_BYTES:
        raise NotAsked(f"a result of {len(result):,} bytes is larger than {MAX_RESULT_BYTES:,}")
    told = _state(errand, word, said[:MAX_SAID], now=now, attempts=attempts, has_result=result is not None)
    pipeline = redis.pipeline(transaction=True)
    if result is not None:
        pipeline.set(result_key(errand.id), result, ex=RESULT_SECONDS)
    pipeline.set(state_key(errand.id), msgspec.json.encode(told), ex=STATE_SECONDS)
    pipeline.zadd(KNOWN, {errand.id: now})
    pipeline.execute()


def take_off(redis: Redis, raw: bytes) -> None:
    """Take an errand off the list, after it has ended. Raises `redis.RedisError`."""
    redis.lrem(LIST, 1, raw)  # type: ignore[arg-type]  # the stubs know text alone


def drop_of(redis: Redis, subjects: set[str]) -> int:
    """Delete what names forgotten ids; return how many errands. Raises `redis.RedisError`.

    These are exports, also those that wait, and errands to forget that have failed. One that waits or runs clears its
    own name at its end.
    """
    ids = [raw.decode() for raw in cast("list[bytes]", redis.zrange(KNOWN, 0, -1))]
    gone: set[str] = set()
    for start in range(0, len(ids), STATES_AT_ONCE):
        some = ids[start : start + STATES_AT_ONCE]
        rows = cast("list[bytes | None]", redis.mget([state_key(name) for name in some]))
        states = [_read(name, raw) for name, raw in zip(some, rows, strict=True) if raw is not None]
        gone.update(one.id for one in states if one is not None and one.subject in subjects and _is_left(one))
    for raw in cast("list[bytes]", redis.lrange(LIST, 0, -1)):
        with suppress(NotAsked):  # what cannot be read is dropped when its turn comes
            if decode(raw).id in gone:
                take_off(redis, raw)
    if gone:
        redis.delete(*[key(one) for one in gone for key in (state_key, result_key)])
        redis.zrem(KNOWN, *gone)
    return len(gone)


def _is_left(state: State) -> bool:
    return state.kind == "export" or (state.kind == "forget" and state.state == FAILED)


def _check(kind: str, subject: str, who: str) -> None:
    least = 1 if kind in ("forget", "export") else 0
    if not least <= len(subject) <= MAX_SUBJECT or "\0" in subject:
        raise NotAsked(f"the subject of {kind} has {least} to {MAX_SUBJECT} characters, and no NUL")
    if not 1 <= len(who) <= MAX_WHO:
        raise NotAsked(f"whoever asks has a name of 1 to {MAX_WHO} characters")


def _state(
    errand: Errand,
    word: Word = WAITING,
    said: str = "",
    *,
    now: int | None = None,
    attempts: int = 0,
    has_result: bool = False,
) -> State:
    forgotten = errand.kind == "forget" and word == DONE
    return State(
        id=errand.id,
        kind=errand.kind,
        subject="" if forgotten else errand.subject,
        who=errand.who,
        asked_at=errand.asked_at,
        state=word,
        changed_at=errand.asked_at if now is None else now,
        said=said,
        attempts=attempts,
        has_result=has_result,
    )


def _read(errand_id: str, raw: bytes) -> State | None:
    """Return the state; None when somebody else wrote to the key."""
    try:
        return msgspec.json.decode(raw, type=State)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        left_out("errand", state_key(errand_id), error)
        return None
