"""What a replay found, added up: by rule and by department, in alerts, minutes, energy, water, money and messages.

Messages are counted by the dispatcher that decides about them in live running (``rules.dispatch``), fed with the same
alerts at the same moments, so grouping, hours, limits and chatter count as they would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from building.instants import to_iso
from building.site import MINUTE, Site
from rules.alerts import Alert
from rules.dispatch import Dispatcher
from rules.routing import Plan

_STEP: Final = 1000  # ms, the shortest time between two looks of the dispatcher


@dataclass
class Item:
    """One line of the bill. Energy in kWh, water in litres, ``cost`` in the site's currency, ``kgco2`` in kg.

    A sum is of the alerts of which it is known, and None where it is known of none.
    """

    alerts: int = 0
    minutes: float = 0.0
    kwh: float | None = None
    litres: float | None = None
    cost: float | None = None
    kgco2: float | None = None

    def add(self, minutes: float, waste: Mapping[str, Any]) -> None:
        """Take in an alert that lasted so many ``minutes``."""
        self.alerts += 1
        self.minutes += minutes
        for key in ("kwh", "litres", "cost", "kgco2"):
            known = waste[key]
            if known is not None:
                setattr(self, key, (getattr(self, key) or 0.0) + known)

    def as_dict(self) -> dict[str, Any]:
        return {name: None if value is None else round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Bill:
    """``departments``: "" holds what belongs to none."""

    total: Item
    rules: Mapping[str, Item]
    departments: Mapping[str, Item]
    messages: Mapping[str, int]  # by department


def bill(site: Site, alerts: Sequence[Alert], last: int) -> Bill:
    """The sums over ``alerts``; those still open count up to ``last`` (ms)."""
    total, rules, departments = Item(), dict[str, Item](), dict[str, Item]()
    for alert in alerts:
        minutes, waste = ((last if alert.ended is None else alert.ended) - alert.since) / MINUTE, alert.waste
        for item in (
            total,
            rules.setdefault(alert.rule, Item()),
            departments.setdefault(alert.department or "", Item()),
        ):
            item.add(minutes, waste)
    return Bill(total, rules, departments, messages(site, alerts, last))


def messages(site: Site, alerts: Iterable[Alert], last: int) -> Mapping[str, int]:
    """How many messages would have gone out up to ``last``, by department.

    Of a site without channels: as many as one channel would get that is told of every change.
    """
    sent: Counter[str] = Counter()
    if not site.channels:
        for alert in alerts:
            sent[alert.department or ""] += 1 if alert.ended is None else 2
        return dict(sent)
    dispatcher = Dispatcher(Plan(site, site.channels))
    tz = site.site.tz
    changes: list[tuple[int, int, dict[str, Any]]] = []
    for number, alert in enumerate(alerts):
        final = alert.to_json()
        firing = final | {"state": "firing", "ended": None, "raised": to_iso(alert.raised, tz)}
        changes.append((alert.raised, number, firing))
        if alert.ended is not None:
            changes.append((alert.ended, number, final))

    def look(until: int) -> None:
        looked = 0
        while dispatcher.due is not None and dispatcher.due < until:
            looked = max(dispatcher.due, looked + _STEP)
            sent.update(letter.department or "" for letter in dispatcher.step(looked))

    for moment, _, change in sorted(changes, key=lambda item: item[:2]):
        look(moment)
        sent.update(letter.department or "" for letter in dispatcher.take(change, moment))
    look(last + 1)
    return dict(sent)


@dataclass(frozen=True)
class Difference:
    """What other settings would have changed: alerts more (or fewer), and the part of the cost still seen (None: 0/0).

    The share is of energy and water priced at the tariffs, or of kWh where there is no price.
    """

    alerts: int
    kept: float | None


def difference(before: Item, after: Item) -> Difference:
    """``after`` against ``before``."""
    key = next((key for key in ("cost", "kwh", "litres") if getattr(before, key)), None)
    kept = None if key is None else (getattr(after, key) or 0.0) / getattr(before, key)
    return Difference(after.alerts - before.alerts, kept)
