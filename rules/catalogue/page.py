"""What a page of the catalogue says about its rule; the config check, the messages and the docs are made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from building.site import MINUTE, Department, Device
from rules.bench import Bench
from rules.condition import (
    Condition,
    Evidence,
    Part,
    Text,
    Truth,
    Values,
    both,
    either,
    not_needed,
    room_empty,
)

__all__ = [
    "Condition",
    "Evidence",
    "Parameter",
    "Part",
    "Rule",
    "Text",
    "Truth",
    "Values",
    "after",
    "both",
    "clear",
    "either",
    "nobody_by_sensors",
    "not_needed",
    "read",
    "room_empty",
]  # fmt: skip


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
    brief: Text | None = None  # the sentence about one case, where ``sentence`` tells of several kinds of case
    lost: Text = field(default=Text("浪费", "Wasted"))  # what its consumption is called
    of_department: Callable[[Bench, Department, Values], Condition | None] | None = None  # about departments instead

    @property
    def steady(self) -> bool:
        """Whether what it costs runs on hour by hour; not so where it is reckoned by night, day or month."""
        return self.lost.en == "Wasted"

    @property
    def told(self) -> Text:
        """What is said of a case whose values are not to be told."""
        return self.brief or self.sentence

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


def nobody_by_sensors(evidence: Evidence) -> bool:
    """Whether sensors said that nobody was there; else it was the calendar."""
    return (evidence.get("presence") or {}).get("source") == "sensors"
