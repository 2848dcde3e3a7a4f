"""What a rule watches, wired to one device: a three-valued test over cells, and what goes with it into a finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rules.cells import Cell, Signal
from rules.findings import Used
from rules.presence import Room

Truth = bool | None
"""True, False, or None for unknown."""

Evidence = Mapping[str, Any]
"""What a finding carries: readings, limits, presence, facts."""

Values = Mapping[str, float]
"""Parameters of one rule for one device: name -> number; durations in milliseconds."""


class Text(NamedTuple):
    """The same words in Chinese and in English."""

    zh: str
    en: str

    def of(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


class Part(NamedTuple):
    """One of the conditions that make up a rule's, as ``why`` tells it, and the cells that it alone looks at."""

    name: Text
    test: Callable[[], Truth]
    inputs: Sequence[Cell]


@dataclass(frozen=True)
class Condition:
    """A rule wired to one device.

    ``test``      true, false or unknown now; pure over the cells in ``inputs``
    ``inputs``    cells whose change asks for a new test
    ``shown``     signals that go into the evidence
    ``room``      whose presence or calendar takes part, if any
    ``share``     what part of the device's consumption is waste (None: all of it); a share is an estimate
    ``began``     when the condition began, where that is before the moment at which it was seen
    ``proved``    until when it is proved to have held, where that lags behind the present
    ``head``      litres already used when it was seen to have begun
    ``parts``     the conditions it is made of, by name, for ``why``
    ``sure``      from when on the emptiness it rests on is sure; nothing is raised before
    ``spent``     waste from when it began to a moment, of a rule that reckons it itself
    ``facts``     what else the evidence should show: learned levels, sums of a day
    """

    test: Callable[[], Truth]
    inputs: Sequence[Cell]
    shown: Sequence[Signal]
    room: Room | None = None
    share: Callable[[], float] | None = None
    began: Callable[[], int] | None = None
    proved: Callable[[], int] | None = None
    head: Callable[[], float] | None = None
    sure: Callable[[], int] | None = None
    spent: Callable[[int, int], Used] | None = None
    facts: Callable[[], dict[str, Any]] | None = None
    parts: Sequence[Part] = ()


def room_empty(room: Room) -> Part:
    """Nobody is there; without sensors: it is outside working hours."""
    return Part(Text("房间无人", "nobody is there"), lambda: room.vacant, (room,))


def not_needed(room: Room) -> Part:
    """Nobody is there, or it is outside working hours."""
    return Part(
        Text("无人或非工作时间", "nobody is there, or it is outside working hours"), lambda: room.unneeded, (room,)
    )


def both(first: Truth, second: Truth) -> Truth:
    """Three-valued and: one false makes it false, else one unknown makes it unknown."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def either(first: Truth, second: Truth) -> Truth:
    """Three-valued or: one true makes it true, else one unknown makes it unknown."""
    if first or second:
        return True
    return None if first is None or second is None else False
