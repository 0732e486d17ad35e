"""Routing: decides which model and which variant a shopper gets in a slot.

Arrives: the splits in the Redis key `recs:routing`, written by `serving.publisher`. Leaves: an `Assignment` for each
request. Next: `serving.recommend` reads the lists of the assigned model, and the impression carries the variant.

A split divides the shoppers among arms. A probation is a split of all slots, and so is an experiment without a slot.
An assignment is sticky: it depends on the salt of the split and the shopper's id alone, so it needs no storage and is
the same in every process. Different salts make different splits independent of each other. The web process uses this
module, so it imports neither SQL nor torch.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import Annotated

import msgspec

from graphstore.errors import UserError

ROUTING = "recs:routing"
"""The Redis key. Without it, every shopper gets the champion."""
CHAMPION_VARIANT = "champion"
PREVIOUS_VARIANT = "previous"
"""The variant of shoppers who stay with the previous champion during a probation."""
PROBATION = "probation"
"""The name of the split of a probation. No experiment may have it."""

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class MalformedRouting(UserError, ValueError):
    """The bytes in Redis are not a routing."""


class Exploration(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a slot deviates from the list's order. The defaults mean no exploration."""

    temperature: Annotated[float, msgspec.Meta(ge=0.0, le=100.0)] = 0.0
    """Temperature of a Plackett-Luce ranking over the list's scores; 0: the list's own order."""
    new_items: Share = 0.0
    """Probability that a position shows a new item."""


class Arm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One arm of a split."""

    name: str
    share: Share
    model_version: str | None = None
    """None: the champion."""
    exploration: Exploration = Exploration()


class Split(msgspec.Struct, frozen=True, omit_defaults=True):
    """A division of the shoppers among arms. Shoppers beyond the sum of the shares are not in the split."""

    name: str
    salt: str
    arms: tuple[Arm, ...]
    slot: str | None = None
    """The only slot of the split, or None for all slots."""


class Assignment(msgspec.Struct, frozen=True):
    """What one shopper gets in one slot."""

    variant: str
    """`champion`, `previous`, or `EXPERIMENT/ARM`. The impression stores it."""
    model_version: str
    exploration: Exploration = Exploration()


class Routing(msgspec.Struct, frozen=True, omit_defaults=True):
    """All running splits. The first split that holds the shopper decides."""

    splits: tuple[Split, ...] = ()
    champion: str | None = None
    """The pointer that was written with it. Beside another pointer the routing is stale."""

    def among(self, versions: Collection[str]) -> "Routing":
        """Return the routing without the splits that need another model than these."""
        return msgspec.structs.replace(
            self, splits=tuple(split for split in self.splits if Routing((split,)).versions() <= {*versions})
        )

    def versions(self) -> set[str]:
        """Return the models, beside the champion, whose lists must stay and stay fresh."""
        return {arm.model_version for split in self.splits for arm in split.arms if arm.model_version is not None}

    def assign(self, user_id: str, slot: str | None, *, champion: str) -> Assignment:
        """Return what the shopper gets. `slot` is None for a list that is not shown."""
        for split in self.splits:
            if split.slot is not None and split.slot != slot:
                continue
            arm = arm_of(split, user_id)
            if arm is not None:
                return Assignment(_variant(split, arm), arm.model_version or champion, arm.exploration)
        return Assignment(CHAMPION_VARIANT, champion)


NO_SPLITS = Routing()


def arm_of(split: Split, user_id: str) -> Arm | None:
    """Return the shopper's arm, or None when the shopper is not in the split."""
    place, end = position(split.salt, user_id), 0.0
    for arm in split.arms:
        end += arm.share
        if place < end:
            return arm
    return None


def position(salt: str, user_id: str) -> float:
    """Return a number in [0, 1) that looks uniform over the shoppers and is always the same for one shopper."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest[:7], "big") / 2**56  # 53 bits would do; a float holds every such quotient below 1


def encode(routing: Routing) -> bytes:
    """Return the routing as JSON."""
    return msgspec.json.encode(routing)


def decode(raw: bytes | None) -> Routing:
    """Return the routing; without bytes, one without splits. Raises `MalformedRouting`."""
    if raw is None:
        return Routing()
    try:
        return msgspec.json.decode(raw, type=Routing)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise MalformedRouting(f"{ROUTING} holds no routing: {error}") from error


def probation(previous: str, share: float, *, salt: str) -> Split:
    """Return the split of a probation: `share` of the shoppers stay with the previous champion."""
    return Split(PROBATION, salt, (Arm(PREVIOUS_VARIANT, share, previous),))


def _variant(split: Split, arm: Arm) -> str:
    return arm.name if split.name == PROBATION else f"{split.name}/{arm.name}"


def check(splits: Sequence[Split]) -> None:
    """Raise `ValueError` when two splits have one name, or when the shares of a split exceed 1."""
    names = [split.name for split in splits]
    if len(set(names)) != len(names):
        raise ValueError("two splits have the same name")
    for split in splits:
        if not split.arms or sum(arm.share for arm in split.arms) > 1 + 1e-9:
            raise ValueError(f"the shares of {split.name} are not between 0 and 1 together")
