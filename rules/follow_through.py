"""What it was worth that an alert came to its end: the waste that did not happen."""

from __future__ import annotations

from typing import Any

from building.calendar import WorkCalendar
from building.instants import to_iso
from building.money import price
from building.site import Site
from rules.alerts import Alert


def saving(site: Site, calendar: WorkCalendar, alert: Alert) -> dict[str, Any] | None:
    """Waste from the alert's end to the next begin or end of work, at the pace it had: an estimate, marked so.

    None for an alert that is open or measured nothing, and where work began or ended in between: then it was the hour
    that ended it, not a person.
    """
    ended = alert.ended
    if ended is None or ended <= alert.since or alert.since < calendar.since(ended, alert.zone):
        return None
    kwh, litres = alert.used.kwh, alert.used.litres
    if kwh is None and litres is None:
        return None
    until = calendar.next_change(ended, alert.zone)
    ratio = (until - ended) / (ended - alert.since)
    waste = price(
        site.site, kwh=None if kwh is None else kwh * ratio, litres=None if litres is None else litres * ratio
    )
    saved = {name: round(value, 4) if isinstance(value, float) else value for name, value in waste._asdict().items()}
    return saved | {"until": to_iso(until, site.site.tz), "estimated": True}
