"""What a page of the catalogue says about its rule; the config check, the messages and the docs are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from building.site import MINUTE, Department, Device

if TYPE_CHECKING:
    from rules.bench import Bench
    from rules.cells import Cell, Signal
    from rules.metering import Used
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
    """One of the conditions that make up a rule's, as ``why`` tells it."""

    name: Text
    test: Callable[[], Truth]


class Parameter(NamedTuple):
    """One number a site may set. ``unit`` "ms" means a duration, written as text such as 15m."""

    name: str
    unit: str
    default: float
    low: float
    high: float
    sentence: Text


def after(default_minutes: int, text: Text) -> Parameter:
    """How long the condition of a rule must hold before it is raised."""
    return Parameter("after", "ms", default_minutes * MINUTE, 1000, 7 * 24 * 60 * MINUTE, text)


def clear(default_minutes: int) -> Parameter:
    """How long the condition must be over before the alert is; keeps what flickers from being raised anew."""
    text = Text("情况消失多久后解除告警", "How long it must be over before the alert ends")
    return Parameter("clear", "ms", default_minutes * MINUTE, 0, 24 * 60 * MINUTE, text)


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


@dataclass(frozen=True)
class Rule:
    """One rule: what it needs, what can be set, what it says to people, and how it is wired to a device."""

    name: str
    sentence: Text
    title: Text  # {place} and {device} are filled in
    advice: Text
    clause: Text  # the campaign's word
    severity: Literal["info", "warning", "critical"]
    parameters: tuple[Parameter, ...]
    kinds: tuple[str, ...]
    quantities: tuple[str, ...]
    wasted: Literal["kwh", "litres"] | None  # None: no waste, or the condition reckons it itself
    applies: Callable[[Device], bool]
    wire: Callable[[Bench, Device, Values], Condition | None]  # None: this device lacks what the rule needs
    pairs: Sequence[tuple[str, str]] = field(default=())  # parameters of which the first must be below the second
    detail: Callable[[Evidence], Text | None] | None = None  # the sentence with the values of the case
    of_department: Callable[[Bench, Department, Values], Condition | None] | None = None  # about departments instead

    @property
    def inputs(self) -> str:
        """Kinds and quantities it looks at."""
        return f"{', '.join(self.kinds)}: {', '.join(self.quantities)}"

    def defaults(self) -> dict[str, float]:
        return {parameter.name: parameter.default for parameter in self.parameters}

    def parameter(self, name: str) -> Parameter | None:
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


def read(evidence: Evidence, quantity: str) -> float | str | None:
    """The value of ``quantity`` in the evidence; None where it is unknown or not shown."""
    return next((r["value"] for r in evidence["readings"] if r["quantity"] == quantity), None)


def room_empty(room: Room) -> Part:
    """Nobody is there; without sensors: it is outside working hours."""
    return Part(Text("房间无人", "nobody is there"), lambda: room.vacant)


def not_needed(room: Room) -> Part:
    """Nobody is there, or it is outside working hours."""
    return Part(Text("无人或非工作时间", "nobody is there, or it is outside working hours"), lambda: room.unneeded)


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
