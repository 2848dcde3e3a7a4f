"""What a report says of alerts: sums over the JSON objects that the program keeps of them. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from building.instants import from_iso
from building.site import MINUTE, Site
from dashboards.report import Alerts, Answers, Costly, Line, Waste
from rules.catalogue import rule_of

_COSTLIEST: Final = 10
_EXCUSES: Final = ("false_alarm", "on_purpose")
_ANSWERED: Final = ("acknowledged", "silenced")
_NOBODY: Final = ("rules", "silence over")  # who makes changes besides people
_SILENT: Final = "meter_silent"
_SUMS: Final = ("kwh", "litres", "kgco2")

Json = Mapping[str, Any]


class Told:
    """The alerts that were raised, ended or open in [start, end) (ms), each as it stood last.

    ``kept`` are records of alerts in the order of their changes, ``now_open`` those that are open at present; one that
    is neither over nor open now belongs to a rule or device that the site no longer has, and nobody saw its end.
    """

    def __init__(self, kept: Iterable[Json], now_open: Iterable[Json], start: int, end: int) -> None:
        self._start, self._end = start, end
        alerts = {str(alert["id"]): alert for alert in kept}
        fresh = {str(alert["id"]): alert for alert in now_open}
        self._open_now = fresh.keys()
        latest = (alerts | {ident: alert for ident, alert in fresh.items() if ident not in alerts}).values()
        self.alerts = [alert for alert in latest if self.raised(alert) or self.ended(alert) or self.open(alert)]

    def raised(self, alert: Json) -> bool:
        """Whether it was raised in this time."""
        return self._start <= from_iso(alert["raised"]) < self._end

    def ended(self, alert: Json) -> bool:
        """Whether it ended in this time."""
        return alert["ended"] is not None and self._start <= from_iso(alert["ended"]) < self._end

    def open(self, alert: Json) -> bool:
        """Whether it was going on at the end of this time."""
        if from_iso(alert["raised"]) >= self._end:
            return False
        return alert["id"] in self._open_now if alert["ended"] is None else from_iso(alert["ended"]) >= self._end

    def silences(self) -> dict[str, int]:
        """How long (ms) of this time each device was told to be silent."""
        lasted: Counter[str] = Counter()
        for alert in self.alerts:
            if alert["rule"] == _SILENT and alert["device"] and (self.ended(alert) or self.open(alert)):
                begin = max(self._start, from_iso(alert["since"]))
                end = self._end if alert["ended"] is None else min(self._end, from_iso(alert["ended"]))
                lasted[alert["device"]] += max(0, end - begin)
        return dict(lasted)


def sums(site: Site, told: Told, audit: Iterable[Json], department: str | None) -> Alerts:
    """Those of ``department``, or all; ``audit`` are the changes made to alerts, in order."""
    alerts = [alert for alert in told.alerts if department in (None, alert["department"])]
    over = [alert for alert in alerts if told.ended(alert)]
    wasteful = {rule for rule in {alert["rule"] for alert in alerts} if _is_waste(site, rule)}
    waste = [alert for alert in over if alert["rule"] in wasteful]

    def lines(key: str, *, of_rules: bool) -> list[Line]:
        groups: dict[str, list[Json]] = defaultdict(list)
        for alert in alerts:
            groups[str(alert[key] or "")].append(alert)
        found = []
        for name, these in groups.items():
            raised, ended, still = (sum(map(test, these)) for test in (told.raised, told.ended, told.open))
            counts = not of_rules or name in wasteful
            summed = [one for one in these if told.ended(one) and (of_rules or one["rule"] in wasteful)]
            found.append(Line(name, raised, ended, still, _sum(summed), counts))
        return sorted(found, key=lambda line: (-(line.waste.cost or 0), -line.raised, line.key))

    return Alerts(
        _sum(waste),
        lines("rule", of_rules=True),
        lines("department", of_rules=False),
        [_costly(alert) for alert in sorted(waste, key=_weight, reverse=True)[:_COSTLIEST] if any(_weight(alert))],
        _answers([alert for alert in alerts if told.raised(alert)], waste, audit),
    )


def _is_waste(site: Site, rule: str) -> bool:
    """Not so what lies above a quota or a base, and what is not accounted for: other alerts tell what it was."""
    try:
        return rule_of(site, rule).steady
    except KeyError:
        return True  # a rule of the site's own that it has no more; of the catalogue none is lost


def _sum(alerts: Sequence[Json]) -> Waste:
    """Each sum is of the alerts of which it is known; money is unknown as soon as anything wasted has no price."""
    sums = {}
    for name in _SUMS:
        known = [alert["waste"][name] for alert in alerts if alert["waste"][name] is not None]
        sums[name] = sum(known) if known else None
    costs = [alert["waste"]["cost"] for alert in alerts if alert["waste"]["kwh"] or alert["waste"]["litres"]]
    known_costs = [cost for cost in costs if cost is not None]
    return Waste(**sums, cost=sum(known_costs) if costs and len(known_costs) == len(costs) else None)


def _weight(alert: Json) -> tuple[float, float, float]:
    waste = alert["waste"]
    return waste["cost"] or 0.0, waste["kwh"] or 0.0, waste["litres"] or 0.0


def _costly(alert: Json) -> Costly:
    evidence = alert["evidence"]
    return Costly(
        alert["id"], alert["rule"], alert["zone"], alert["device"], alert["department"], alert["since"],
        alert["ended"], _sum([alert]), bool(evidence.get("estimated")), _reason(alert),
    )  # fmt: skip


def _reason(alert: Json) -> str:
    answer = alert["evidence"].get("answer") or {}
    return str(answer.get("reason") or "")


def _answers(raised: Sequence[Json], ended: Sequence[Json], audit: Iterable[Json]) -> Answers:
    begun = {alert["id"]: from_iso(alert["raised"]) for alert in raised}
    first: dict[str, int] = {}
    for step in audit:
        if step.get("alert") in begun and step.get("to") in _ANSWERED and step.get("who") not in _NOBODY:
            first.setdefault(step["alert"], from_iso(step["at"]))
    for alert in raised:  # an answer as the alert itself has it
        if at := (alert["evidence"].get("answer") or {}).get("at"):
            first.setdefault(alert["id"], from_iso(at))
    took = [max(0.0, (at - begun[ident]) / MINUTE) for ident, at in first.items()]
    reasons = Counter(reason for alert in raised if (reason := _reason(alert)))
    excused = [alert for alert in ended if _reason(alert) in _EXCUSES]
    return Answers(len(raised), len(took), median(took) if took else None, dict(reasons), _sum(excused))
