"""Alerts against the truth: per rule what was found, missed and made up, how late, and at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from building.money import price
from building.site import Device, Site
from rules.alerts import Alert
from rules.catalogue import CATALOGUE
from simulators.faults import FALSIFYING, HUSHING, Fault
from simulators.truth import Expected, Truth

_SLACK: Final = 2 * 60_000  # ms beside the stretch within which an alert of it may begin or end
_ESTIMATED: Final = ("aircon_setpoint", "water_leak")
"""Rules that say themselves that they estimate: nobody measures what would have been drawn at another setpoint, or what
of the water in a room with people was wanted."""
_COARSE: Final = {"meter_stuck": 3_600_000, "aircon_room_temperature": 120_000}
"""ms: a meter is looked at every hour; gateways tell the room in tenths, through which it glides in minutes."""
_AFTERMATH: Final = 36 * 3_600_000  # ms after a fault of a meter in which rules that look at whole days may speak of it
_OF_DAYS: Final = ("night_base_load", "water_leak", "quota_pace", "balance_mismatch", "meter_stuck")
_HALF_A_WATT: Final = 0.5  # Tasmota and most plugs say whole watts
_FIRST_DAY: Final = 24 * 3_600_000
_BY_MIDNIGHT: Final = ("night_base_load", "quota_pace")
_OF_METERS: Final = ("meter_silent", "meter_implausible", *_OF_DAYS)


@dataclass
class RuleScore:
    """One rule. ``delays``: ms from the beginning of the condition to the alert; ``late``: the same beyond the rule's
    own time and one period of the device. ``true`` and ``told``: waste of the found ones as (kWh, litres);
    ``unseen``: what of it no reading can tell: what passed between two readings at the ends, and halves of a plug's
    whole watts."""

    faults: int = 0
    found: int = 0
    false: int = 0
    delays: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    true: list[float] = field(default_factory=lambda: [0.0, 0.0])
    told: list[float] = field(default_factory=lambda: [0.0, 0.0])
    unseen: list[float] = field(default_factory=lambda: [0.0, 0.0])
    cost_true: float = 0.0
    cost_told: float = 0.0
    priced: bool = True
    estimated: bool = False  # by the rule's own word, wherever it speaks: not held to the truth
    told_roughly: bool = False  # an alert of it says so: nothing measures what it speaks of, as a rated power
    missed_ones: list[Expected] = field(default_factory=list)
    false_ones: list[Alert] = field(default_factory=list)

    @property
    def missed(self) -> int:
        return self.faults - self.found

    @property
    def precision(self) -> float | None:
        """None where nothing was said."""
        said = self.found + self.false
        return self.found / said if said else None

    @property
    def recall(self) -> float | None:
        """None where there was nothing to find."""
        return self.found / self.faults if self.faults else None

    def to_json(self) -> dict[str, Any]:
        return {
            "faults": self.faults, "found": self.found, "missed": self.missed, "false": self.false,
            "precision": _short(self.precision), "recall": _short(self.recall),
            "median_delay_s": round(median(self.delays) / 1000, 1) if self.delays else None,
            "cost_true": round(self.cost_true, 4) if self.priced else None,
            "cost_told": round(self.cost_told, 4) if self.priced else None,
        }  # fmt: skip


def _short(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def score(site: Site, alerts: Sequence[Alert], truth: Truth, now: int) -> dict[str, RuleScore]:
    """The score of every rule of the catalogue that had something to find, or said something, up to ``now``."""
    scores: dict[str, RuleScore] = {}
    due = [one for one in truth.all_due(now) if one.rule in CATALOGUE]
    of_rule: dict[str, list[Alert]] = {}
    for alert in alerts:
        of_rule.setdefault(alert.rule, []).append(alert)
    for one in due:
        margin = one.after + 3 * _every(site, one)
        if one.sure and one.is_due(now) and one.since is not None and one.since + margin <= now:
            said = of_rule.get(one.rule, ())
            _book(site, one, said, scores.setdefault(one.rule, RuleScore()), truth.start, now)
    for rule, every in of_rule.items():
        known = [one for one in due if one.rule == rule]
        for alert in every:
            if not any(_fits(alert, one) for one in known) and not _excused(site, alert, truth):
                own = scores.setdefault(rule, RuleScore())
                own.false += 1
                own.false_ones.append(alert)
    return {rule: scores[rule] for rule in CATALOGUE if rule in scores}


def _book(site: Site, one: Expected, alerts: Iterable[Alert], own: RuleScore, start: int, now: int) -> None:
    own.faults += 1
    fitting = [alert for alert in alerts if _fits(alert, one)]
    if not fitting:
        own.missed_ones.append(one)
        return
    assert one.since is not None
    own.found += 1
    raised = min(alert.raised for alert in fitting)
    own.delays.append(raised - one.since)
    own.late.append(raised - one.since - one.after - _period(site, one, start))
    if one.kwh is None or one.litres is None or one.ended is None or one.ended + _SLACK > now:
        return
    cost = price(site.site, kwh=one.kwh or None, litres=one.litres or None).cost
    own.priced &= cost is not None or not (one.kwh or one.litres)
    own.cost_true += cost or 0.0
    for alert in fitting:
        own.cost_told += alert.waste.get("cost") or 0.0
        own.estimated |= one.rule in _ESTIMATED
        own.told_roughly |= alert.used.estimated
        for place, key in enumerate(("kwh", "litres")):
            own.told[place] += alert.waste.get(key) or 0.0
    # Whether it is light enough is told by a sensor that speaks more seldom than the lamp's meter.
    seen = _period(site, one, start) if one.rule == "lights_in_daylight" else _every(site, one)
    part = seen / max(one.ended - one.since, 1)
    for place, amount in enumerate((one.kwh, one.litres)):
        own.true[place] += amount
        own.unseen[place] += amount * part
    device = site.device.get(one.device)
    if device is not None and device.kind == "plug":
        own.unseen[0] += _HALF_A_WATT * (one.ended - one.since) / 3.6e9


def _every(site: Site, one: Expected) -> int:
    """ms between two readings of what the alert is about; a department's are its meters', judged at midnight."""
    device = site.device.get(one.device)
    return 0 if device is None else device.every


def _period(site: Site, one: Expected, start: int) -> int:
    """ms between two words of what the rule goes by: the slowest device it needs, or the pulses of a trickle.

    What a lamp itself gives a light sensor shows in the step when it is switched: on the first day from ``start`` on,
    two more reports of the sensor go by until that is known, and with it what daylight there is beside the lamp.
    """
    device = site.device.get(one.device)
    if device is None:
        return 0
    period = device.every + _COARSE.get(one.rule, 0)
    if one.rule == "lights_in_daylight":
        period = max([d.every for d in site.devices if d.kind == "sensor" and d.zone == device.zone], default=period)
        if one.since is not None and one.since < start + _FIRST_DAY:
            period *= 3
    if device.kind == "water" and one.fault is not None and one.fault.size > 0:
        period += round((device.litres_per_pulse or 1.0) / one.fault.size * 60_000)
    return period


def _fits(alert: Alert, one: Expected) -> bool:
    if alert.rule != one.rule or (alert.device or alert.department) != one.device:
        return False
    assert one.since is not None
    slack = -1 if one.rule in _BY_MIDNIGHT else _SLACK  # of two that touch each is another
    over = one.ended is None or alert.since <= one.ended + slack
    return over and (alert.ended is None or alert.ended >= one.since - slack)


def _excused(site: Site, alert: Alert, truth: Truth) -> bool:
    """Whether a known fault explains an alert that is not the one it is there for.

    What is said of a device while its own readings are false is nobody's false alarm: the reading was.
    """
    return any(
        fault.kind in FALSIFYING and fault.place == alert.device and fault.start <= alert.raised <= fault.end + _SLACK
        for fault in truth.book.all
    ) or any(
        fault.start - _SLACK <= (alert.ended or alert.raised)
        and fault.end + (_AFTERMATH if alert.rule in _OF_DAYS else _SLACK) >= alert.since
        and alert.rule in _OF_METERS
        and (fault.kind in HUSHING or fault.kind in FALSIFYING)
        and _touches(site, fault, alert, truth)
        for fault in truth.book.all
    )


def _touches(site: Site, fault: Fault, alert: Alert, truth: Truth) -> bool:
    """Whether what the alert is about, or a meter behind it, is in the fault's place."""
    about = site.device.get(alert.device or "")
    here = [device for device in site.devices if fault.place in (device.id, device.zone, device.link)]
    if about is None:
        return True
    above = {front for device in here for front in truth.installation.above(device.id)}
    same_department = any(_department(site, device) == alert.department for device in here)
    return about in here or about.id in above or (alert.rule == "quota_pace" and same_department)


def _department(site: Site, device: Device) -> str | None:
    return site.department_of(device)


def to_json(scores: Mapping[str, RuleScore], readings: Mapping[str, int]) -> dict[str, Any]:
    """The object that ``simulate --score --json`` prints."""
    return {"rules": {rule: own.to_json() for rule, own in scores.items()}, "readings": dict(readings)}
