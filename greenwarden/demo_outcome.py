"""What became of the demo: the books balanced, and each known fault held against the alerts that were raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from building.site import Site
from collector.storing.embedded import DATABASE
from collector.storing.stored import StoredReadings
from greenwarden.books import Books
from rules.alerts import Alert
from simulators.truth import Expected

_SLACK: Final = 10 * 60_000  # an alert of a fault may begin or end this much (ms) beside the fault's own condition


@dataclass
class Outcome:
    """The demo's result; ``to_json`` is the object on the last line of ``--json``."""

    site: Site
    books: Books
    lost: int
    expected: Sequence[Expected]
    matches: Sequence[Alert | None]
    false_alarms: Sequence[Alert]
    alerts: Sequence[Alert]

    @property
    def found(self) -> int:
        return sum(match is not None for match in self.matches)

    @property
    def missed(self) -> list[Expected]:
        """Faults that were due and raised no alert."""
        return [one for one, match in zip(self.expected, self.matches, strict=True) if match is None]

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing missed, nothing made up."""
        return self.lost == 0 and self.found == len(self.expected) and not self.false_alarms

    def waste(self) -> dict[str, Any]:
        """Waste of all alerts together; stretches that two alerts share count once for each; None: known of none."""
        total: dict[str, Any] = dict.fromkeys(("kwh", "litres", "cost", "kgco2"))
        for alert in self.alerts:
            for key in total:
                if alert.waste.get(key) is not None:
                    total[key] = (total[key] or 0.0) + alert.waste[key]
        rounded = {key: None if value is None else round(value, 3) for key, value in total.items()}
        return rounded | {"currency": self.site.site.tariffs.currency}

    def to_json(self) -> dict[str, Any]:
        return {
            "readings": sum(self.books.readings.values()),
            "lost": self.lost,
            "faults": len(self.expected),
            "found": self.found,
            "missed": len(self.expected) - self.found,
            "false_alarms": len(self.false_alarms),
            "waste": self.waste(),
        }


def balance(
    site: Site,
    data: Path,
    books: Books,
    raised: Sequence[Alert],
    due: Sequence[Expected],
    known_faults: Sequence[Expected],
) -> Outcome:
    """Compare what was published with what the store in ``data`` has, and what was raised with what had to be.

    ``due`` are the alerts that must be there; ``known_faults`` excuse others that may be.
    """
    with StoredReadings(data / DATABASE) as stored:
        lost = books.lost(stored, 0, 1 << 62)
    alerts = sorted(raised, key=lambda alert: alert.raised)
    matches = [_match(one, alerts) for one in due]
    known = {alert.id for alert in matches if alert is not None}
    rightful = [one for one in known_faults if one.since is not None]
    false_alarms = [alert for alert in alerts if alert.id not in known and not _excused(alert, rightful)]
    return Outcome(site, books, lost, due, matches, false_alarms, alerts)


def _match(expected: Expected, alerts: Sequence[Alert]) -> Alert | None:
    return next((alert for alert in alerts if alert.rule == expected.rule and _overlap(alert, expected)), None)


def _excused(alert: Alert, expected: Sequence[Expected]) -> bool:
    """Whether a known fault explains ``alert``, as the one it must raise or one it may raise as well."""
    return any(alert.rule in (one.rule, *one.may_also) and _overlap(alert, one) for one in expected)


def _overlap(alert: Alert, expected: Expected) -> bool:
    if alert.device != expected.device and (alert.zone is None or alert.zone != expected.zone):
        return False
    assert expected.since is not None
    over = expected.ended is None or alert.since <= expected.ended + _SLACK
    return over and (alert.ended is None or alert.ended >= expected.since - _SLACK)
