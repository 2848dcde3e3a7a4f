"""What was really so: for every rule of the design the stretches in which its condition held, and why.

The conditions and the times an alert is due are worked out here from the table of rules in the design and from what is
so in the building, not from readings and not by the rules themselves: this is the witness they are measured against.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from building.site import Device, Site
from simulators.courses import Course, both, combined, either, on_grid
from simulators.faults import FALSIFYING, HUSHING, OF_LINKS, OF_PEOPLE, Fault, FaultBook, Kind
from simulators.installation import NOWHERE, Installation
from simulators.recognising import sees_people
from simulators.settings import HOUR, MINUTE, Settings
from simulators.tallies import Excess, Tallies

if TYPE_CHECKING:
    from simulators.days import Day

_GLARING: Final = 1.15  # times the limit: daylight beside lamps of which no sensor can say that it is less

_OF_EMPTINESS: Final = ("lights_left_on", "aircon_unoccupied")

RULE_OF: Final[Mapping[Kind, str]] = {
    Kind.LAMP_LEFT_ON: "lights_left_on",
    Kind.LAMP_IN_DAYLIGHT: "lights_in_daylight",
    Kind.TAP_RUNNING: "tap_left_running",
    Kind.CISTERN_LEAK: "water_leak",
    Kind.SETPOINT: "aircon_setpoint",
    Kind.AIRCON_IN_EMPTY_ROOM: "aircon_unoccupied",
    Kind.WINDOW_OPEN: "aircon_unoccupied",
    Kind.STANDBY: "standby_load",
    Kind.EQUIPMENT_LEFT_ON: "equipment_left_on",
    Kind.KETTLE: "high_power_appliance",
}
"""Kind of fault of people -> the rule that must speak."""

_OF_THE_PLACE: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.LAMP_LEFT_ON: ("lights_in_daylight",),
    Kind.LAMP_IN_DAYLIGHT: ("lights_left_on",),
    Kind.SETPOINT: ("aircon_room_temperature",),
    Kind.AIRCON_IN_EMPTY_ROOM: ("aircon_room_temperature", "aircon_setpoint"),
    Kind.WINDOW_OPEN: ("aircon_room_temperature",),
    Kind.CISTERN_LEAK: ("tap_left_running",),
    Kind.STANDBY: ("equipment_left_on",),
    Kind.EQUIPMENT_LEFT_ON: ("standby_load",),
    Kind.KETTLE: ("equipment_left_on",),
}


@dataclass
class Expected:
    """An alert that is due about ``device`` (or a department), and the fault that is to blame for it.

    ``since`` is when the condition began, ``raised`` when the rule's time is over, ``ended`` when the condition ended
    (None while nothing is known of its end). ``kwh`` and ``litres`` are the true waste of the whole stretch, as far as
    it is known; None where a rule is not about waste. Not ``sure``: it lasted just about as long as the rule waits, or
    what the rule needs was itself disturbed; the alert may come or not. ``may_also`` names rules whose alerts about the
    same thing are no false alarms.
    """

    fault: Fault | None
    rule: str
    zone: str | None
    device: str
    after: int
    may_also: tuple[str, ...] = ()
    since: int | None = None
    ended: int | None = None
    kwh: float | None = None
    litres: float | None = None
    sure: bool = True
    clear: float | None = None
    """ms in which the condition was beyond doubt; None where it always is."""

    @property
    def raised(self) -> int | None:
        """When the alert is due; None while the condition has not begun."""
        return None if self.since is None else self.since + self.after

    @property
    def primary(self) -> bool:
        """Whether it is the alert that its fault is there for."""
        return self.fault is not None and RULE_OF.get(self.fault.kind) == self.rule

    def is_due(self, now: int) -> bool:
        """Whether the alert must have been raised at ``now``: the condition held for the rule's whole time."""
        if self.since is None or now < self.since + self.after:
            return False
        return self.ended is None or self.ended - self.since >= self.after

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file of expected alerts, times in ms since 1970 UTC."""
        fault = self.fault
        return {
            "rule": self.rule, "zone": self.zone, "device": self.device, "since": self.since, "raised": self.raised,
            "ended": self.ended, "kwh": self.kwh, "litres": self.litres, "sure": self.sure,
            "fault": None if fault is None else fault.name,
        }  # fmt: skip


class _Condition(NamedTuple):
    rule: str
    device: Device
    holds: Course
    watts: Course | None = None
    flow: Course | None = None
    clear: Course | None = None
    """1 while the condition is beyond doubt, where a sensor may judge a little differently."""


@dataclass
class Truth:
    """Everything that is known for certain about what rules should say of the building, up to the day last told."""

    site: Site
    installation: Installation
    book: FaultBook
    start: int
    stretches: list[Expected] = field(default_factory=list)
    """Every stretch in which a condition held at least about as long as its rule waits."""
    _open: dict[tuple[str, str], Expected] = field(default_factory=dict)
    _expected: list[Expected] | None = None

    def __post_init__(self) -> None:
        self._settings = Settings(self.site)
        self.stretches += _of_devices(self.site, self.book, self._settings)
        self._tallies = Tallies(self.site, self.installation, self.book, self.start)
        self._sensed = {d.zone for d in self.site.devices if sees_people(d)}

    @property
    def expected(self) -> list[Expected]:
        """The alert each fault of people is there for: one for each device that shows it, as far as time has come."""
        if self._expected is not None:
            return self._expected
        found: dict[tuple[Fault, str], Expected] = {}
        for one in [*self.stretches, *self._open.values()]:
            if one.primary and one.fault is not None and self._is_asked(one):
                key = (one.fault, one.device)
                known = found.get(key)
                if known is None or _length(known) < known.after:
                    found[key] = one
        self._expected = sorted(found.values(), key=lambda one: one.since or 0)
        return self._expected

    def due(self, now: int) -> list[Expected]:
        """The alerts of faults of people that must have been raised by ``now``."""
        return [expected for expected in self.expected if expected.is_due(now)]

    def all_due(self, now: int) -> list[Expected]:
        """Every alert that must, or where it is not sure may, have been raised by ``now``."""
        every = [*self.stretches, *self._open.values(), *map(self._of_tally, self._tallies.found)]
        return [one for one in every if one.since is not None and one.since <= now and self._is_asked(one)]

    def _is_asked(self, one: Expected) -> bool:
        """Whether the site has not told the rule to be silent there."""
        return self._settings.looks_at(one.rule, one.device, one.zone)

    def _of_tally(self, found: Excess) -> Expected:
        zone = self.site.device[found.about].zone if found.about in self.site.device else None
        return Expected(None, found.rule, zone, found.about, found.after, (), found.since, found.ended,
                        found.kwh, found.litres, sure=found.sure)  # fmt: skip

    def take(self, day: Day) -> None:
        """Add a day that has been worked out, the one after the last."""
        going, self._open, self._expected = self._open, {}, None
        for condition in self._conditions(day):
            watts, flow = condition.watts, condition.flow
            for start, end in condition.holds.stretches():
                start = max(start, self.start)
                if end <= start:
                    continue
                key = (condition.rule, condition.device.id)
                one = going.pop(key, None) if start == max(day.begin, self.start) else None
                if one is None:
                    one = self._begin(condition, start)
                if watts is not None:
                    one.kwh = (one.kwh or 0.0) + watts.between(start, end) / 3.6e9
                if flow is not None:
                    one.litres = (one.litres or 0.0) + flow.between(start, end) / 60_000
                if condition.clear is not None:
                    one.clear = (one.clear or 0.0) + condition.clear.between(start, end)
                if end == day.end:
                    self._open[key] = one
                else:
                    self._end(one, end)
        for one in going.values():
            self._end(one, day.begin)
        self.stretches += _balances(day, self.installation, self.book)
        self._tallies.take(day)

    def _begin(self, condition: _Condition, start: int) -> Expected:
        device = condition.device
        after = self._settings.after(condition.rule, device)
        if condition.rule in _OF_EMPTINESS and device.zone in self._sensed:
            after = max(after, self._settings.hold(device))  # who is gone for less may come back
        one = Expected(None, condition.rule, device.zone, device.id, after, since=start, kwh=0.0, litres=0.0)
        one.fault = self._culprit(condition.rule, device, start)
        one.may_also = () if one.fault is None else _OF_THE_PLACE.get(one.fault.kind, ())
        return one

    def _culprit(self, rule: str, device: Device, start: int) -> Fault | None:
        """The fault of people at the device or in its zone that is there when the condition begins."""
        zones = (device.id, device.zone)
        here = [f for f in self.book.all if f.place in zones and f.kind in OF_PEOPLE and f.start <= start < f.end]
        meant = [fault for fault in here if RULE_OF[fault.kind] == rule]
        return next(iter(meant or here), None)

    def _end(self, one: Expected, end: int) -> None:
        one.ended = end
        device = self.site.device[one.device]
        # Its beginning and its end are each seen up to a period late; and what is seen is a moment on its way.
        slack = (
            device.every
            + MINUTE // 2
            + (5 * MINUTE if one.rule in ("lights_in_daylight", "aircon_room_temperature") else 0)
        )
        length = _length(one)
        if length < one.after - slack:
            return
        certain = length if one.clear is None else one.clear
        one.sure = certain >= one.after + slack and not self._disturbed(one, device)
        self.stretches.append(one)

    def _disturbed(self, one: Expected, device: Device) -> bool:
        """Whether something the rule goes by was silent or false during the stretch, or shortly before."""
        assert one.since is not None
        since, until = one.since - HOUR, one.ended or one.since
        asked = {device.id} | {d.id for d in self.site.devices if d.zone is not None and d.zone == device.zone}
        asked |= {self.site.device[ident].link or "" for ident in asked}
        return any(
            fault.place in asked and (fault.kind in HUSHING or fault.kind in FALSIFYING)
            for fault in self.book.all
            if fault.start < until and fault.end > since
        )

    # -- the table of rules -------------------------------------------------------------------------------------------

    def _conditions(self, day: Day) -> Iterator[_Condition]:
        for zone, place in self.installation.places.items():
            idle = either(day.empty[zone], day.off_hours[zone])
            for ident in place.lights if day.lamps[zone].values.any() else ():
                yield from self._lamps(day, zone, ident)
            for ident in place.plugs:
                yield from self._plugs(day, zone, ident, idle)
            for ident in place.sockets:
                watts, working = day.power[ident], self._number("equipment_left_on", "working_above", zone)
                yield self._of("equipment_left_on", ident, both(_above(watts, working), idle), watts)
            for ident in place.aircons:
                yield from self._aircons(day, zone, ident)
            for ident in place.taps:
                flow = day.flow[zone]
                if zone != NOWHERE and flow.values.any():
                    limit = self._number("tap_left_running", "flow_above", zone)
                    yield self._of("tap_left_running", ident, _above(flow, limit), None, flow)
                    yield self._of("water_leak", ident, _above(flow, 0), None, day.leak[zone])

    def _of(
        self, rule: str, ident: str, holds: Course, watts: Course | None = None, flow: Course | None = None
    ) -> _Condition:
        return _Condition(rule, self.site.device[ident], holds, watts, flow)

    def _number(self, rule: str, key: str, zone: str) -> float:
        return self._settings.number(rule, key, zone)

    def _lamps(self, day: Day, zone: str, ident: str) -> Iterator[_Condition]:
        watts = day.power[ident]
        if (
            watts.values.max() <= self._number("lights_left_on", "on_above", zone)
            and self.site.device[ident].kind != "light"
        ):
            return
        yield self._of("lights_left_on", ident, both(day.lamps[zone], day.empty[zone]), watts)
        if zone in self._sensed:
            limit = self._number("lights_in_daylight", "lux_above", zone)
            bright, glaring = (
                on_grid(day.grid, day.daylight[zone] > times * limit, day.end) for times in (1.0, _GLARING)
            )
            yield _Condition(
                "lights_in_daylight", self.site.device[ident], both(day.lamps[zone], bright), watts,
                clear=both(day.lamps[zone], glaring),
            )  # fmt: skip

    def _plugs(self, day: Day, zone: str, ident: str, idle: Course) -> Iterator[_Condition]:
        watts = day.power[ident]
        low, high = (self._number("standby_load", key, zone) for key in ("band_low", "band_high"))
        working = self._number("equipment_left_on", "working_above", zone)
        strong = self._number("high_power_appliance", "power_above", zone)
        dozing = combined(lambda power: (power >= low) & (power <= high), watts)
        yield self._of("standby_load", ident, both(dozing, idle), watts)
        yield self._of("equipment_left_on", ident, both(_above(watts, working), idle), watts)
        yield self._of("high_power_appliance", ident, _above(watts, strong), watts)

    def _aircons(self, day: Day, zone: str, ident: str) -> Iterator[_Condition]:
        device = self.site.device[ident]
        floor, ceiling = self._settings.limits("aircon_setpoint", device)
        on, watts, asked = day.switched[ident], day.power[ident], day.setpoint[ident]
        if not on.values.any():
            return
        yield self._of("aircon_unoccupied", ident, both(on, day.empty[zone]), watts)
        beyond = _below(asked, floor) if day.cooling else _above(asked, ceiling)
        fair = day.fair.get(ident)
        excess = combined(lambda own, twin: own - twin, watts, fair) if fair is not None else None
        yield self._of("aircon_setpoint", ident, both(on, beyond), excess)
        room = day.temperature[zone]
        floor, ceiling = self._settings.limits("aircon_room_temperature", device)
        margin = self._number("aircon_room_temperature", "margin", zone)
        far = on_grid(day.grid, room < floor - margin if day.cooling else room > ceiling + margin, day.end)
        yield self._of("aircon_room_temperature", ident, both(on, far))


def _length(one: Expected) -> int:
    return (one.ended if one.ended is not None else 1 << 60) - (one.since or 0)


def _above(course: Course, limit: float) -> Course:
    return combined(lambda value: value > limit, course)


def _below(course: Course, limit: float) -> Course:
    return combined(lambda value: value < limit, course)


# -- faults of devices ------------------------------------------------------------------------------------------------

_MUTED: Final = frozenset({Kind.CUT_FRAME, Kind.WRONG_CRC, Kind.WRONG_UNIT, Kind.LATE, Kind.GARBAGE, Kind.EXCEPTION})


def _of_devices(site: Site, book: FaultBook, settings: Settings) -> Iterator[Expected]:
    """Alerts about the devices themselves; these follow from the faults alone."""
    for fault in book.all:
        for device in devices_of(site, fault):
            length = fault.end - fault.start
            rule, sure = _said_of(fault, length)
            if not rule:
                continue
            after = settings.after(rule, device)
            if rule == "meter_silent" and device.reports == "on_change":
                after = device.max_age
            if length >= after:
                sure = sure and length >= after + 3 * device.every
                yield Expected(fault, rule, device.zone, device.id, after, (), fault.start, fault.end, sure=sure)


def _said_of(fault: Fault, length: int) -> tuple[str, bool]:
    """The rule a fault of a device must move, and whether that is sure."""
    if fault.kind in HUSHING:
        return "meter_silent", True
    if fault.kind in _MUTED or fault.kind is Kind.NO_VALUE:
        return "meter_silent", False
    if fault.kind is Kind.FROZEN:
        return "meter_stuck", length >= 14 * HOUR
    if fault.kind in (Kind.IMPLAUSIBLE, Kind.SWAPPED_WORDS):
        return "meter_implausible", fault.kind is Kind.IMPLAUSIBLE
    return "", False


def devices_of(site: Site, fault: Fault) -> Iterable[Device]:
    """The devices that suffer from a fault of devices or wires."""
    if fault.kind in OF_LINKS:
        return [device for device in site.devices if device.link == fault.place]
    return [site.device[fault.place]] if fault.kind not in OF_PEOPLE else []


def _balances(day: Day, installation: Installation, book: FaultBook) -> Iterator[Expected]:
    """Days on which a parent meter and what is behind it do not agree, because one of them reads wrongly."""
    wrong = {fault.place: fault for fault in book.all if fault.kind is Kind.DRIFT}
    if not wrong:
        return
    for parent, behind in installation.children.items():
        culprit = next((wrong[ident] for ident in (parent, *behind) if ident in wrong), None)
        if culprit is None or culprit.start > day.begin or culprit.end < day.end:
            continue
        whole = _told(day, parent, wrong)
        apart = abs(whole - sum(_told(day, child, wrong) for child in behind if child in day.power))
        missing, kwh = apart / max(whole, 1e-9), apart / 3.6e9
        if missing > 0.035 and kwh > 0.9:  # about a kilowatt-hour is within what two meters differ by
            sure = missing > 0.08 and kwh > 1.1
            yield Expected(culprit, "balance_mismatch", installation.site.device[parent].zone, parent,
                           24 * HOUR, (), day.begin, day.end, sure=sure)  # fmt: skip


def _told(day: Day, ident: str, wrong: Mapping[str, Fault]) -> float:
    fault = wrong.get(ident)
    return day.power[ident].whole * (1 + (fault.size if fault else 0.0))
