"""Injections: the events that a simulation puts into a shop, to see how fast a policy has its clicks back.

Arrives: a name and a day from the command line. Leaves: an `Injection`. Next: `latent_world` and `future_world` change
what is wanted, `traffic` changes what is recorded.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from graphstore.errors import UserError
from graphstore.retention import DAY_MS

InjectionName = Literal["season", "taste_shift", "catalogue_swap", "price_shock", "bots", "tracking_outage"]

INJECTIONS: tuple[InjectionName, ...] = get_args(InjectionName)

IN_WORDS: dict[InjectionName, str] = {
    "season": "the demand for each category begins to rise and fall, in waves of two weeks",
    "taste_shift": "most shoppers turn to the tastes of another group of shoppers, and the groups to other items",
    "catalogue_swap": "half of the items leave the shop, and new ones take their places",
    "price_shock": "half of the categories become much dearer",
    "bots": "programs click a few items all day, about as often as all shoppers together",
    "tracking_outage": "for a day nine of ten clicks and purchases are not recorded",
}
"""Each injection as a sentence for people."""


class UnknownInjection(UserError):
    """No injection has this name, or this world cannot have it."""


@dataclass(frozen=True)
class Injection:
    """What happens, and on which day of the simulation."""

    name: InjectionName
    day: int

    def active(self, time: int, opening: int) -> bool:
        """Return whether it has happened at a time (epoch ms). A tracking outage ends after a day."""
        begin = opening + self.day * DAY_MS
        if self.name == "tracking_outage":
            return begin <= time < begin + DAY_MS
        return time >= begin


def injection_of(name: str, day: int) -> Injection:
    """Return the injection of this name. Raises `UnknownInjection`."""
    for known in INJECTIONS:
        if known == name:
            return Injection(known, day)
    raise UnknownInjection(f"no injection {name}: there are {', '.join(INJECTIONS)}")
