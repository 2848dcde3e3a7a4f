"""Energy and volume per quarter of an hour, hour, day and month, and how well each is known. Pure.

What a step of a counter books is spread evenly over its time into *slots*, quarters of an hour in UTC. A slot knows
four numbers: the amount booked, the time that is covered by bookings, the time covered by estimates alone, and how long
the step was that lies across the slot's beginning. From these every coarser interval in local time is a plain sum, and
its state follows:

    measured   covered, and its two ends lie in steps short enough to say what was before and after
    settled    covered, but an end lies within a gap: the total over the gap is known, its spread is not
    estimated  covered by power times duration where no counter is
    missing    a part is not covered; the amount is what was booked, and none at all where nothing was
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

QUARTER: Final = 900_000
DAY: Final = 86_400_000
SLOTS_A_DAY: Final = DAY // QUARTER
PERIODS: Final = ("15m", "1h", "1d", "1mo")
BOOKED, COVERED, ESTIMATED, ACROSS = range(4)

_COVERED_ENOUGH: Final = 0.95  # of an interval; a plug that restarts loses one poll, and no more
_SHORT: Final = 0.1  # of an interval: a step of that length may lie across its end
_STEPS: Final = {"15m": QUARTER, "1h": 4 * QUARTER}

Slots = NDArray[np.float64]
"""Four rows (see BOOKED …) by any number of slots."""


class State(IntEnum):
    """How well an interval is known, from best to worst."""

    MEASURED = 0
    SETTLED = 1
    ESTIMATED = 2
    MISSING = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class SlotBook:
    """Slots of one series, by UTC day (days since 1970); what is not there is zero."""

    def __init__(self) -> None:
        self.days: dict[int, Slots] = {}
        self.touched: set[int] = set()

    def book(self, since: int, at: int, amount: float, *, estimated: bool = False) -> None:
        """``amount`` passed evenly from ``since`` to ``at`` (ms UTC)."""
        first, last = since // QUARTER, (at - 1) // QUARTER
        for slot in range(first, last + 1):
            inside = min(at, (slot + 1) * QUARTER) - max(since, slot * QUARTER)
            column = self._column(slot)
            column[BOOKED] += amount if first == last else amount * inside / (at - since)
            column[COVERED] += inside
            if estimated:
                column[ESTIMATED] += inside
            if slot > first:
                column[ACROSS] = at - since

    def forget_after(self, edge: int, column: Sequence[float]) -> None:
        """Nothing was booked after ``edge``; ``column`` is what its own slot held by then."""
        slot = edge // QUARTER
        for day in [day for day in self.days if day > slot // SLOTS_A_DAY]:
            self.days[day][:] = 0.0
            self.touched.add(day)
        place = slot % SLOTS_A_DAY
        of_day = self._day(slot // SLOTS_A_DAY)
        of_day[:, place + 1 :] = 0.0
        of_day[:, place] = column

    def column(self, moment: int) -> list[float]:
        """The four numbers of the slot in which ``moment`` lies."""
        slot = moment // QUARTER
        of_day = self.days.get(slot // SLOTS_A_DAY)
        return [0.0] * 4 if of_day is None else [float(number) for number in of_day[:, slot % SLOTS_A_DAY]]

    def _column(self, slot: int) -> Slots:
        return self._day(slot // SLOTS_A_DAY)[:, slot % SLOTS_A_DAY]

    def _day(self, day: int) -> Slots:
        self.touched.add(day)
        of_day = self.days.get(day)
        if of_day is None:
            of_day = self.days[day] = np.zeros((4, SLOTS_A_DAY))
        return of_day


class Amounts(NamedTuple):
    """Intervals of one series, one entry each: the amount booked (0 where nothing is covered), shares of the time that
    is covered and that is measured, and the state (see State)."""

    booked: NDArray[np.float64]
    covered: NDArray[np.float64]
    measured: NDArray[np.float64]
    states: NDArray[np.int64]


def bounds_of(period: str, start: int, end: int, tz: tzinfo) -> list[int]:
    """Beginnings, in local time, of every ``period`` that overlaps [start, end), and the end of the last; ms UTC.

    A day of 23 or 25 hours has so many hours; every hour begins a whole number of hours after midnight.
    """
    day = datetime.fromtimestamp(start / 1000, UTC).astimezone(tz).date()
    if period == "1mo":
        day = day.replace(day=1)
    bounds: list[int] = []
    while not bounds or bounds[-1] < end:
        following = (day.replace(day=1) + timedelta(days=32)).replace(day=1) if period == "1mo" else day + timedelta(1)
        first, last = (int(datetime(d.year, d.month, d.day, tzinfo=tz).timestamp() * 1000) for d in (day, following))
        bounds += range(first, last, _STEPS.get(period, last - first))
        if last >= end:
            bounds.append(last)
        day = following
    low = max(number for number, bound in enumerate(bounds) if bound <= max(start, bounds[0]))
    high = next(number for number, bound in enumerate(bounds) if bound >= end)
    return bounds[low : high + 1]


def amounts_of(slots: Slots, start: int, bounds: Sequence[int], until: int, short: int) -> Amounts:
    """The intervals between ``bounds``, out of ``slots`` that begin at ``start`` and reach one beyond the last bound.

    ``until`` is how far the present reaches: of a running interval only the part before it counts. A step of up to
    ``short`` ms (three periods of the meter) may lie across an end of an interval.
    """
    places = (np.array(bounds, np.int64) - start) // QUARTER
    totals = np.concatenate((np.zeros((3, 1)), np.cumsum(slots[:3], axis=1)), axis=1)[:, places]
    booked, covered, estimated = totals[:, 1:] - totals[:, :-1]
    lengths = np.diff(np.minimum(np.array(bounds, np.int64), until)).astype(np.float64)
    whole = np.maximum(lengths, 1.0)
    across = slots[ACROSS][places]
    limit = np.maximum(short, _SHORT * np.diff(np.array(bounds, np.float64)))
    settled = (across[:-1] > limit) | (across[1:] > limit)
    states = np.where(settled, State.SETTLED, State.MEASURED)
    states = np.where(estimated > (1 - _COVERED_ENOUGH) * whole, State.ESTIMATED, states)
    states = np.where(covered < _COVERED_ENOUGH * lengths, State.MISSING, states)
    share = np.clip(covered / whole, 0.0, 1.0)
    return Amounts(booked, share, np.clip((covered - estimated) / whole, 0.0, 1.0), states.astype(np.int64))


class Interval(NamedTuple):
    """What one place or device used in one interval. ``values``: energy, heat (kWh), volume, gas, fuel (m3), as far as
    they apply and are known; ``cost`` and ``kgco2`` None where they are not known. Shares are of the time, over all
    meters: measured by counters, and covered by counters or estimates; what is left is missing."""

    scope: str
    tags: Mapping[str, str]
    period: str
    start: int
    end: int
    values: Mapping[str, float]
    cost: float | None
    kgco2: float | None
    state: State
    share_measured: float
    share_covered: float


class Sum:
    """Amounts of one place, medium by medium, out of those of its meters."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.booked: dict[str, NDArray[np.float64]] = {}
        self._known: dict[str, NDArray[np.bool_]] = {}
        self._share = np.zeros(count)
        self._covered = np.zeros(count)
        self._meters = 0
        self.states = np.zeros(count, np.int64)

    def add(self, field: str, amounts: Amounts) -> None:
        """One more meter of the medium ``field``."""
        if field not in self.booked:
            self.booked[field] = np.zeros(self._count)
            self._known[field] = np.zeros(self._count, np.bool_)
        self.booked[field] += amounts.booked
        self._known[field] |= amounts.covered > 0
        self._share += amounts.measured
        self._covered += amounts.covered
        self._meters += 1
        self.states = np.maximum(self.states, amounts.states)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the time that is measured, over all meters."""
        return self._share / max(1, self._meters)

    @property
    def covered(self) -> NDArray[np.float64]:
        """Share of the time that is measured or estimated, over all meters."""
        return self._covered / max(1, self._meters)

    def values(self, number: int) -> dict[str, float]:
        """What is known of the ``number``-th interval."""
        known = ((field, self.booked[field]) for field in self.booked if self._known[field][number])
        return {field: round(float(amounts[number]), 6) for field, amounts in known}


def joined(parts: Iterable[Amounts]) -> Amounts:
    """Amounts of one device that come from two places: its counter, and amounts told by hand for other times."""
    first, *others = parts
    for other in others:
        covered = np.minimum(first.covered + other.covered, 1.0)
        both = np.where(
            other.covered > 0,
            np.where(first.covered > 0, np.maximum(first.states, other.states), other.states),
            first.states,
        )
        complete = (covered >= _COVERED_ENOUGH) & (both == State.MISSING)
        first = Amounts(
            first.booked + other.booked,
            covered,
            np.minimum(first.measured + other.measured, 1.0),
            np.where(complete, State.SETTLED, both),
        )
    return first
