"""Intervals out of the ledger, for places, in local time: what reports, pages and dashboards show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from building.site import Department, Device, Site, SiteInfo
from collector.intervals import DAY, PERIODS, QUARTER, Amounts, Interval, State, Sum, amounts_of, bounds_of, joined
from collector.metering import Place, counted_quantity, counts_short, field_of, places_of, tags_of
from collector.storing.ledger import Ledger
from collector.storing.packing import StoredPoint

POWER: Final = "active_power"
SWITCH: Final = "on"
TOLD: Final = "told by hand"
"""Series of the ledger beside those of counters: estimates from power, or from a switch and the rated power, and
amounts that people told."""


def intervals(
    site: Site,
    ledger: Ledger,
    places: Mapping[Place, Sequence[Device]] | None,
    period: str,
    start: int,
    end: int,
    until: int,
) -> Iterator[Interval]:
    """Every interval of ``period`` (see PERIODS) that overlaps [start, end), place by place (None: all of the site).

    ``until`` (ms) is how far the accounting has come: a running interval is judged by the part before it. A meter that
    was never heard is left out; one that was heard later is missing before that.
    """
    assert period in PERIODS
    bounds = bounds_of(period, start, end, site.site.tz)
    numbers = ledger.series()
    known: dict[str, Amounts | None] = {}
    for place, devices in (places if places is not None else places_of(site)).items():
        total = Sum(len(bounds) - 1)
        heard = False
        for device in devices:
            if device.id not in known:
                known[device.id] = _amounts(ledger, numbers, device, bounds, until)
            amounts = known[device.id]
            if amounts is not None:
                heard = True
                total.add(field_of(device), amounts)
        if heard:
            yield from _of_place(site, place, period, bounds, total)


def _amounts(
    ledger: Ledger, numbers: Mapping[tuple[str, str], int], device: Device, bounds: Sequence[int], until: int
) -> Amounts | None:
    """The intervals of one device: counter and what was told by hand, else the estimate from power or switch."""
    for names in ((counted_quantity(device), TOLD), (POWER,), (SWITCH,)):
        found = [numbers[device.id, name] for name in names if (device.id, name) in numbers]
        if found:
            short = counts_short(device)
            parts = []
            for number in found:
                first, slots = ledger.slots(number, bounds[0], bounds[-1] + QUARTER)
                parts.append(amounts_of(slots, first, bounds, until, short))
            return joined(parts)
    return None


def _of_place(site: Site, place: Place, period: str, bounds: Sequence[int], total: Sum) -> Iterator[Interval]:
    tags = tags_of(site, place)
    measured, covered = total.shares, total.covered
    for number, (begin, end) in enumerate(pairwise(bounds)):
        values = total.values(number)
        cost, kgco2 = _worth(site.site, values)
        state = State(int(total.states[number]))
        shares = round(float(measured[number]), 4), round(float(covered[number]), 4)
        yield Interval(place[0], tags, period, begin, end, values, cost, kgco2, state, *shares)


def _worth(info: SiteInfo, values: Mapping[str, float]) -> tuple[float | None, float | None]:
    """Cost and kg CO2 of what is known; None where a price or factor is not known for one of the media."""
    tariffs, factors = info.tariffs, info.factors
    prices = {"energy": tariffs.electricity, "volume": tariffs.water, "heat": tariffs.heat, "gas": tariffs.gas}
    prices["fuel"] = tariffs.fuel
    weights = {"energy": factors.grid_co2, "volume": 0.0, "heat": factors.heat_co2, "gas": factors.gas_co2}
    weights["fuel"] = factors.fuel_co2
    return _total(values, prices), _total(values, weights)


def standard_coal(info: SiteInfo, values: Mapping[str, float]) -> float | None:
    """kg of standard coal of what is known, by the site's factors; None where one is not told for one of the media."""
    factors = info.factors
    weights = {"energy": factors.standard_coal, "volume": 0.0, "heat": factors.heat_coal, "gas": factors.gas_coal}
    weights["fuel"] = factors.fuel_coal
    return _total(values, weights)


def _total(values: Mapping[str, float], each: Mapping[str, float | None]) -> float | None:
    total = 0.0
    for field, amount in values.items():
        factor = each[field]
        if factor is None:
            return None
        total += amount * factor
    return round(total, 6) if values else None


def interval_point(site: Site, interval: Interval) -> StoredPoint:
    """The point that an InfluxDB gets.

    ``hour`` is the local hour in which the interval begins. A department has its headcount, area and the part of its
    year's quota that falls on the interval beside, for charts to divide by.
    """
    fields: dict[str, float | str] = dict(interval.values)
    if interval.cost is not None:
        fields["cost"] = interval.cost
    if interval.kgco2 is not None:
        fields["kgco2"] = interval.kgco2
    fields["state"] = interval.state.word
    fields["share_measured"] = interval.share_measured
    if interval.end - interval.start < DAY // 2:
        fields["hour"] = float(datetime.fromtimestamp(interval.start / 1000, UTC).astimezone(site.site.tz).hour)
    if interval.scope == "department":
        fields |= _to_divide_by(site.department[interval.tags["department"]], interval.end - interval.start)
    return StoredPoint("interval", {**interval.tags, "period": interval.period}, fields, interval.start)


def _to_divide_by(department: Department, length: int) -> dict[str, float]:
    part = length / (365 * DAY)
    told = {
        "headcount": float(department.headcount) or None,
        "area": department.area,
        "quota": None if department.quota.electricity is None else department.quota.electricity * part,
    }
    return {name: value for name, value in told.items() if value is not None}
