"""Reading: one device, one instant, the quantities that came together.

Instants are whole milliseconds since 1970-01-01 UTC, set where the answer arrives and carried to the end. An ``int``
rather than a ``datetime``, because a reading is made and compared hundreds of thousands of times a second, and because
the store keys points by the millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Grade(IntEnum):
    """How far a value may be trusted. Rules take GOOD alone; anything else is unknown to them."""

    GOOD = 0
    SUSPECT = 1
    BAD = 2


class Flaw(NamedTuple):
    """Why one quantity of a reading is not good."""

    grade: Grade
    reason: str


class Quality(NamedTuple):
    """Quality of a reading: the worst grade in it, the reason for the whole, and the flaws of single quantities.

    A flawed quantity that still has a number (implausible, frozen) stays in ``Reading.values``; one that has none
    (refused register, "no value" mark) is absent from it. Either way ``flaws`` names it.
    """

    grade: Grade = Grade.GOOD
    reason: str = ""
    flaws: Mapping[str, Flaw] = MappingProxyType({})

    def of(self, quantity: str) -> Grade:
        """Grade of one quantity: its own flaw, else that of the reading as a whole (when a whole reason is given)."""
        flaw = self.flaws.get(quantity)
        if flaw is not None:
            return flaw.grade
        return self.grade if self.reason else Grade.GOOD


GOOD: Final = Quality()
"""The quality nearly every reading has; compare with ``is`` on hot paths."""


class Reading(NamedTuple):
    """What one device said at one instant. Immutable.

    ``device``    id in devices.yaml
    ``taken_at``  milliseconds since 1970 UTC, when the answer arrived
    ``values``    quantity name -> number in that quantity's unit (or a word); only what was really said
    ``quality``   GOOD, or what is wrong and why

    "No answer" is a reading too: no values, quality BAD with the reason.
    """

    device: str
    taken_at: int
    values: Mapping[str, float | str]
    quality: Quality = GOOD


def no_answer(device: str, at: int, reason: str) -> Reading:
    """The fact that ``device`` said nothing at ``at``; travels like any reading and is never turned into a value."""
    return Reading(device, at, {}, Quality(Grade.BAD, reason))


def with_flaws(device: str, at: int, values: Mapping[str, float | str], flaws: Mapping[str, Flaw]) -> Reading:
    """A reading some of whose quantities are not good; without flaws it is simply GOOD."""
    if not flaws:
        return Reading(device, at, values)
    return Reading(device, at, values, Quality(max(flaw.grade for flaw in flaws.values()), "", flaws))
