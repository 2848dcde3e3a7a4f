"""What was really so: a row per zone and minute, and for every fault of people the alert it must raise.

The times an alert is due are worked out here from the table of rules in the design, not by the rules themselves: this
is the witness they are measured against.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from building.durations import parse_duration
from building.site import Site
from simulators.faults import Fault, Kind

_MOST_ROWS: Final = 2_000_000  # 1,000 zones for a day and a half, ten zones for four months

RULES: Final[Mapping[Kind, tuple[str, int, tuple[str, ...]]]] = {
    Kind.LAMP_LEFT_ON: ("lights_left_on", 15 * 60_000, ("lights_in_daylight",)),
    Kind.TAP_RUNNING: ("tap_left_running", 10 * 60_000, ("water_leak",)),
    Kind.SETPOINT: ("aircon_setpoint", 10 * 60_000, ("aircon_room_temperature",)),
    Kind.AIRCON_IN_EMPTY_ROOM: ("aircon_unoccupied", 30 * 60_000, ()),
    Kind.STANDBY: ("standby_load", 30 * 60_000, ("night_base_load",)),
}
"""Kind of fault -> the rule that must speak, its usual ``after`` in ms, and rules that may rightly speak as well."""


class Row(NamedTuple):
    """One zone in one minute. ``energy`` kWh and ``litres`` are what it used since the simulation began."""

    at: int
    zone: str
    people: int
    lamp_on: bool
    aircon_on: bool
    setpoint: float | None
    temperature: float
    flow: float
    energy: float
    litres: float


@dataclass
class Expected:
    """The alert that ``fault`` must raise about ``device``.

    ``since`` is when the condition began, ``raised`` when the rule's time is over, ``ended`` when the condition ended
    (None while it lasts). ``kwh`` and ``litres`` are the true waste from ``since`` on. All None until it is so.
    ``may_also`` names rules whose alerts about the same thing are no false alarms.
    """

    fault: Fault
    rule: str
    zone: str | None
    device: str
    after: int
    may_also: tuple[str, ...] = ()
    since: int | None = None
    ended: int | None = None
    kwh: float | None = None
    litres: float | None = None

    @property
    def raised(self) -> int | None:
        """When the alert is due; None while the condition has not begun."""
        return None if self.since is None else self.since + self.after

    def is_due(self, now: int) -> bool:
        """Whether the alert must have been raised at ``now``: the condition held for the rule's whole time."""
        if self.since is None or now < self.since + self.after:
            return False
        return self.ended is None or self.ended - self.since >= self.after


class Watch:
    """Follows one expected alert: is its condition so, and what does it waste per second?"""

    def __init__(self, expected: Expected, condition: Callable[[], bool], waste: Callable[[], tuple[float, float]]):
        """``waste`` tells W and L/min at this moment."""
        self.expected = expected
        self._condition = condition
        self._waste = waste

    def look(self, now: int) -> None:
        """Note whether the condition holds from ``now`` on."""
        told = self.expected
        if told.ended is not None and told.since is not None and told.ended - told.since >= told.after:
            return  # the first stretch that was long enough is the one that counts
        if self._condition() and told.fault.holds(now):
            if told.since is None or told.ended is not None:
                told.since, told.ended, told.kwh, told.litres = now, None, 0.0, 0.0
        elif told.since is not None and told.ended is None:
            told.ended = now

    def book(self, seconds: float) -> None:
        """Book the waste of the ``seconds`` that follow the last look."""
        told = self.expected
        if told.since is None or told.ended is not None or told.kwh is None or told.litres is None:
            return
        watts, flow = self._waste()
        told.kwh += watts * seconds / 3_600_000
        told.litres += flow * seconds / 60


class Truth:
    """Everything that is known for certain about the simulated building."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque(maxlen=_MOST_ROWS)
        self.expected: list[Expected] = []

    def due(self, now: int) -> list[Expected]:
        """The alerts that must have been raised by ``now``."""
        return [expected for expected in self.expected if expected.is_due(now)]


def rule_of(site: Site, fault: Fault, zone: str | None) -> tuple[str, int, tuple[str, ...]]:
    """The rule that ``fault`` must raise, its ``after`` at this site and zone, and the rules that may speak as well."""
    rule, after, may_also = RULES[fault.kind]
    settings = site.rules.get(rule)
    if isinstance(settings, Mapping):
        zones = settings.get("zones")
        of_zone = zones.get(zone) if isinstance(zones, Mapping) else None
        for found in (settings, of_zone):
            if isinstance(found, Mapping) and "after" in found:
                after = parse_duration(found["after"])
    return rule, after, may_also
