"""Levels that the engine learns from each device's own history, and what is judged once a day or once a night.

Nothing here is certain before enough was seen; until then a cell says None, and its rule "learning".
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any, ClassVar, Final

from building.site import DAY, MINUTE
from rules.cells import Lasting, Signal, Timeline
from rules.clocks import Ticker
from rules.metering import Meter, Used

HOUR: Final = 60 * MINUTE
SAMPLE_EVERY: Final = 30  # minutes between two looks at a level that is being learned


def fresh(memory: Timeline, signal: Signal, moment: int) -> float | None:
    """The number that ``signal`` says at ``moment``; None when unknown."""
    if memory.history is not None and signal.spoken:
        memory.history.catch_up(signal, moment)
    known = not signal.unknown and not isinstance(signal.value, str) and moment - signal.heard < signal.stale_after
    return float(signal.value) if known else None


@functools.lru_cache(maxsize=4096)  # what stands by says the same again and again
def _size(power: float) -> str:
    """W, rounded to what a level can tell apart."""
    return f"{power:.1f}" if power < 20 else f"{power:.2g}" if power < 100 else f"{power:.3g}"


class LowLevel(Lasting):
    """What an appliance draws when nobody uses it, from its own history.

    Power is looked at every half hour and counted by size; old days fade. Idle is what lies below a third of the
    highest power at work, and the level is its middle: of an appliance that rests at one power that power, of one that
    is never quiet (a laptop on its charger) what it usually takes. What is seldom below a third of its highest power
    is always on, and its level is the middle of all. When the level has not been seen for days, the appliance was
    changed and all is learned afresh.
    """

    __slots__ = ("absent", "counts", "days", "level", "looks", "near", "signal", "tz")
    STATE: ClassVar = ("counts", "days", "level", "looks", "near", "absent")

    FEWEST_DAYS: ClassVar = 3
    _LOOKS_A_DAY: ClassVar = 24  # fewer do not make a day that counts
    _SHARE: ClassVar = 0.15  # part of the time that an appliance must be idle to be one that rests at all
    _IDLE: ClassVar = 1 / 3  # of the highest power: below it nothing is at work
    _FADE: ClassVar = 0.85  # what a day's looks count a day later
    _WIDTH: ClassVar = 0.15  # a level wanders by this part, or by half a watt
    _GONE_DAYS: ClassVar = 3
    _FEWEST_NEAR: ClassVar = 2  # looks at the level that make it seen on a day

    def __init__(self, memory: Timeline, signal: Signal, ticker: Ticker) -> None:
        super().__init__(memory, 3)
        self.signal = signal
        self.tz = ticker.tz
        self.counts: dict[str, float] = {}
        self.days = 0  # days seen that went into the level
        self.level: float | None = None
        self.looks = 0  # today
        self.near = 0  # of them, at or below the level
        self.absent = 0  # days in a row without the level
        ticker.listeners.append(self)

    def hear(self, moment: int) -> None:
        value = fresh(self.memory, self.signal, moment)
        if value is not None:
            self.look(value)
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(self.tz)
        if local.hour == local.minute == 0:
            self.close_day(moment)

    def look(self, *values: float) -> None:
        """Count looks at the power, W, one after the other; one that is not known is NaN."""
        counts = self.counts
        top = -1.0 if self.level is None else self._top(self.level)
        for value in values:
            if value >= 0:
                size = _size(value)
                counts[size] = counts.get(size, 0.0) + 1.0
                self.looks += 1
                if value <= top:
                    self.near += 1

    def close_day(self, moment: int) -> None:
        """Judge the looks of the day that ends at ``moment``."""
        looks, self.looks = self.looks, 0
        if looks < self._LOOKS_A_DAY:
            return
        self.days += 1
        before = self.level
        self._notice_change()
        self.level = self._middle() if self.days >= self.FEWEST_DAYS else None
        self.counts = {size: count * self._FADE for size, count in self.counts.items() if count > 0.3}
        if self.level != before:
            self.tell(moment)

    def _notice_change(self) -> None:
        near, self.near = self.near, 0
        if self.level is None:
            return
        top = self._top(self.level)
        self.absent = self.absent + 1 if near < self._FEWEST_NEAR else 0
        if self.absent >= self._GONE_DAYS:
            self.counts = {size: count for size, count in self.counts.items() if float(size) > top}
            self.days, self.absent = self._GONE_DAYS, 0

    def _top(self, level: float) -> float:
        return level + max(level * self._WIDTH, 0.5)

    def _middle(self) -> float | None:
        sizes = sorted((float(size), count) for size, count in self.counts.items())
        if not sizes:
            return None
        whole = sum(count for _, count in sizes)
        idle = [(size, count) for size, count in sizes if size < self._IDLE * sizes[-1][0]]
        if sum(count for _, count in idle) < self._SHARE * whole:
            idle = sizes
        half = sum(count for _, count in idle) / 2
        for size, count in idle:
            half -= count
            if half <= 0:
                return size
        return None


class Edge:
    """The power above which an appliance is at work rather than standing by: learned, else as set.

    Learned edges keep to a few fixed sizes, so that a reading needs to be looked at only when it crosses one.
    """

    SIZES: ClassVar = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
    LARGE: ClassVar = (30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0)
    _ROOM: ClassVar = 1.3  # an appliance standing by wanders by less than this

    def __init__(self, learned: LowLevel | None, given: float, sizes: Sequence[float]) -> None:
        self.learned = learned
        self.given = given
        self.sizes = sizes

    @property
    def level(self) -> float | None:
        """The learned standby, W; None while learning, or when the appliance draws nothing at rest."""
        level = self.learned.level if self.learned is not None else None
        return level if level is not None and 0.5 <= level <= self.sizes[-1] / self._ROOM else None

    @property
    def watts(self) -> float:
        if self.level is None:
            return self.given
        return self.sizes[bisect_left(self.sizes, self.level * self._ROOM)]

    def facts(self) -> dict[str, Any]:
        """What is known of the level, for evidence."""
        if self.learned is None:
            return {}
        if self.learned.level is None:
            return {"learning": self.learned.days}
        return {"standby_level": self.learned.level, "days_seen": self.learned.days}


class Night(Lasting):
    """Load of a meter from 01:00 to 05:00, night by night, against its own nights of the last weeks."""

    __slots__ = ("_margin", "_meter", "_tz", "began", "excess", "least", "levels", "mark", "over", "power")
    STATE: ClassVar = ("mark", "levels", "over", "power", "began", "excess")
    INSTANTS: ClassVar = ("mark", "began")

    FEWEST: ClassVar = 5
    MOST: ClassVar = 21
    MINUTES: ClassVar = (60, 300)

    def __init__(self, memory: Timeline, meter: Meter, ticker: Ticker, margin: float, least: float) -> None:
        super().__init__(memory, 3)
        self._meter, self._margin, self.least, self._tz = meter, margin, least, ticker.tz
        self.mark: Sequence[float] = ()
        self.levels: list[float] = []  # W, of the nights before
        self.over: bool | None = None
        self.power = 0.0  # W, of the last night
        self.began = 0
        self.excess = 0.0  # kWh above the base since it began
        ticker.listeners.append(self)

    @property
    def base(self) -> float | None:
        return median(self.levels) if len(self.levels) >= self.FEWEST else None

    def hear(self, moment: int) -> None:
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(self._tz)
        if local.hour * 60 + local.minute == self.MINUTES[0]:
            self.mark = self._meter.mark(moment)
            return
        if not self.mark:
            return
        mark, self.mark = tuple(self.mark), ()
        used = self._meter.between(mark, moment)
        hours = (moment - mark[0]) / HOUR
        if used.kwh is None or used.estimated or hours <= 0:
            self.over = None
        else:
            self._judge(used.kwh * 1000 / hours, hours, int(mark[0]))
        self.tell(moment)

    def _judge(self, power: float, hours: float, since: int) -> None:
        base, self.power = self.base, power
        over = base is not None and power > base * (1 + self._margin / 100) and power - base >= self.least
        if over and base is not None:
            if not self.over:
                self.began, self.excess = since, 0.0
            self.excess += (power - base) * hours / 1000
        self.over = over if base is not None else None
        self.levels = [*self.levels, power][-self.MOST :]

    def spent(self, _since: int, _moment: int) -> Used:
        """kWh above the base: a measurement less a learned level, so an estimate."""
        return Used(kwh=self.excess, estimated=True)

    def facts(self) -> dict[str, Any]:
        base = self.base
        return {"night_power": self.power, "base": base, "nights_seen": len(self.levels)}


class NightFlow(Lasting):
    """The lowest hour of each night's water, against the nights of the last weeks; two nights in a row count."""

    __slots__ = ("_meter", "_tz", "began", "leak", "least", "lowest", "lows", "mark", "over", "streak",
                 "tonight")  # fmt: skip
    STATE: ClassVar = ("mark", "lows", "over", "streak", "tonight", "began", "lowest", "leak")
    INSTANTS: ClassVar = ("mark", "began")

    FEWEST: ClassVar = 7
    MOST: ClassVar = 28
    MINUTES: ClassVar = (60, 120, 180, 240, 300)

    def __init__(self, memory: Timeline, meter: Meter, ticker: Ticker, least: float) -> None:
        super().__init__(memory, 3)
        self._meter, self.least, self._tz = meter, least, ticker.tz
        self.mark: Sequence[float] = ()
        self.tonight: list[float] = []  # L, hour by hour
        self.lows: list[float] = []  # L/h, the lowest hour of each night before
        self.streak = 0
        self.over: bool | None = None
        self.lowest = 0.0
        self.leak = 0.0  # L/h, the lowest hour of the last night that was over
        self.began = 0
        ticker.listeners.append(self)

    @property
    def base(self) -> float | None:
        return max(self.lows) if len(self.lows) >= self.FEWEST else None

    def hear(self, moment: int) -> None:
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(self._tz)
        minute = local.hour * 60 + local.minute
        if self.mark and minute != self.MINUTES[0]:
            used = self._meter.between(tuple(self.mark), moment)
            if used.litres is not None and self._meter.heard_since(int(self.mark[0])):
                self.tonight.append(used.litres)
        else:
            self.tonight = []
        self.mark = self._meter.mark(moment)
        if minute == self.MINUTES[-1]:
            self._close(moment)
            self.mark = ()

    def _close(self, moment: int) -> None:
        if len(self.tonight) < len(self.MINUTES) - 1:
            self.over = None
        else:
            base, self.lowest = self.base, min(self.tonight)
            if base is None or self.lowest < max(base * 1.25, base + self.least):
                self.streak = 0
                self.lows = [*self.lows, self.lowest][-self.MOST :]  # a leak does not become the base
            else:
                self.began = self.began if self.streak else moment - (self.MINUTES[-1] - self.MINUTES[0]) * MINUTE
                self.streak += 1
                self.leak = self.lowest
            self.over = None if base is None else self.streak >= 2
        self.tell(moment)

    def facts(self) -> dict[str, Any]:
        return {"night_flow": self.lowest, "base": self.base, "nights_seen": len(self.lows)}


class Balance(Lasting):
    """A parent meter against the sum of its children, from midnight to midnight."""

    __slots__ = ("_children", "_kind", "_margin", "_parent", "began", "least", "marks", "over", "told")
    STATE: ClassVar = ("marks", "over", "told", "began")
    INSTANTS: ClassVar = ("marks", "began")

    def __init__(
        self,
        memory: Timeline,
        parent: Meter,
        children: Sequence[Meter],
        ticker: Ticker,
        margin: float,
        least: float,
        kind: str,
    ) -> None:
        super().__init__(memory, 3)
        self._parent, self._children = parent, children
        self._margin, self.least, self._kind = margin, least, kind
        self.marks: list[Sequence[float]] = []
        self.over: bool | None = None
        self.told: list[float] = []  # of the last whole day: the parent, the children together
        self.began = 0
        ticker.listeners.append(self)

    def hear(self, moment: int) -> None:
        meters = (self._parent, *self._children)
        if self.marks:
            self._judge([self._used(meter, mark, moment) for meter, mark in zip(meters, self.marks, strict=True)])
        self.marks = [meter.mark(moment) for meter in meters]
        self.tell(moment)

    def _used(self, meter: Meter, mark: Sequence[float], moment: int) -> float | None:
        used = meter.between(tuple(mark), moment)
        if used.estimated or not meter.heard_since(int(moment - HOUR)):
            return None
        return used.kwh if self._kind == "kwh" else used.litres

    def _judge(self, amounts: Sequence[float | None]) -> None:
        known = [amount for amount in amounts if amount is not None]
        if len(known) < len(amounts):
            self.over = None
            return
        parent, children = known[0], sum(known[1:])
        self.told = [parent, children]
        apart = abs(parent - children)
        over = apart > self._margin / 100 * max(parent, children) and apart >= self.least
        if over and not self.over:
            self.began = int(self.marks[0][0])
        self.over = over

    def spent(self, _since: int, _moment: int) -> Used:
        """What the last day's children do not account for; an estimate, as some of it is the meters' error."""
        if len(self.told) < 2 or self.told[0] <= self.told[1]:
            return Used()
        lost = self.told[0] - self.told[1]
        return Used(kwh=lost, estimated=True) if self._kind == "kwh" else Used(litres=lost, estimated=True)

    def facts(self) -> dict[str, Any]:
        if len(self.told) < 2:
            return {}
        parent, children = self.told
        return {
            "parent": parent,
            "children": children,
            "difference_percent": 100 * (parent - children) / max(parent, 1e-9),
        }


class Pace(Lasting):
    """What a department has used this month, against the part of its yearly quota that the same days are worth."""

    __slots__ = ("_margin", "_meters", "_quota", "_tz", "began", "marks", "month", "over", "told")
    STATE: ClassVar = ("marks", "month", "over", "told", "began")
    INSTANTS: ClassVar = ("marks", "began")

    FEWEST_DAYS: ClassVar = 3
    _YEAR: ClassVar = 365.25 * DAY

    def __init__(
        self,
        memory: Timeline,
        meters: Sequence[Meter],
        quotas: tuple[float | None, float | None],
        ticker: Ticker,
        margin: float,
    ) -> None:
        super().__init__(memory, 3)
        self._meters, self._margin, self._tz = meters, margin, ticker.tz
        self._quota = quotas  # kWh and m3 a year
        self.marks: list[Sequence[float]] = []
        self.month = 0
        self.over: bool | None = None
        self.told: list[float] = []  # kWh, kWh allowed, m3, m3 allowed
        self.began = 0
        ticker.listeners.append(self)

    def hear(self, moment: int) -> None:
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(self._tz)
        if self.month and self.marks:
            self._judge(moment)
        month = local.year * 12 + local.month
        if month != self.month:
            self.month = month
            self.marks = [meter.mark(moment) for meter in self._meters]
        self.tell(moment)

    def _judge(self, moment: int) -> None:
        elapsed = moment - int(self.marks[0][0])
        if elapsed < self.FEWEST_DAYS * DAY:
            self.over = False if self.over else self.over  # a new month begins with a clean sheet
            return
        pairs = [meter.between(tuple(mark), moment) for meter, mark in zip(self._meters, self.marks, strict=True)]
        used = (sum(u.kwh or 0.0 for u in pairs), sum(u.litres or 0.0 for u in pairs) / 1000)
        allowed = [None if quota is None else quota * elapsed / self._YEAR for quota in self._quota]
        over = any(a is not None and u > a * (1 + self._margin / 100) for u, a in zip(used, allowed, strict=True))
        if over and not self.over:
            self.began = moment - DAY
        self.over = over
        self.told = [used[0], allowed[0] or 0.0, used[1], allowed[1] or 0.0]

    def spent(self, _since: int, _moment: int) -> Used:
        """What is above the pace so far this month."""
        if len(self.told) < 4:
            return Used()
        kwh, kwh_allowed, water, water_allowed = self.told
        return Used(
            kwh=max(kwh - kwh_allowed, 0.0) if self._quota[0] is not None else None,
            litres=max(water - water_allowed, 0.0) * 1000 if self._quota[1] is not None else None,
        )

    def facts(self) -> dict[str, Any]:
        names = ("kwh", "kwh_allowed", "m3", "m3_allowed")
        return dict(zip(names, self.told, strict=False))


class LampLight(Lasting):
    """What one lamp adds to the light on a sensor, learned from the moments at which it was switched."""

    __slots__ = ("_lux", "_lux_of", "before", "delay", "edge", "is_lit", "jumps", "lit", "sensor")
    STATE: ClassVar = ("jumps", "lit", "before", "edge")
    INSTANTS: ClassVar = ("edge",)

    MOST: ClassVar = 7

    def __init__(self, memory: Timeline, lit: Callable[[], bool | None], lux: Signal) -> None:
        super().__init__(memory, 2)
        self.is_lit, self.sensor = lit, lux
        self.delay = 2 * lux.track.device.every
        self.jumps: list[float] = []  # a new list with every change
        self._lux: float | None = None  # and what it was reckoned from
        self._lux_of = self.jumps
        self.lit: bool | None = None
        self.before: float | None = None
        self.edge = 0

    @property
    def lux(self) -> float | None:
        """lx; None before it was ever seen to be switched."""
        if self._lux_of is not self.jumps:
            self._lux, self._lux_of = median(self.jumps) if self.jumps else None, self.jumps
        return self._lux

    def hear(self, moment: int) -> None:
        before, self.lit = self.lit, self.is_lit()
        if self.lit is not None and before is not None and self.lit != before:
            self.edge = moment
            self.before = fresh(self.memory, self.sensor, moment)
            self.wake_at(moment + self.delay)

    def wake(self, moment: int) -> None:
        after = fresh(self.memory, self.sensor, moment)
        if self.before is not None and after is not None and self.edge:
            jump = after - self.before if self.lit else self.before - after
            self.jumps = [*self.jumps, max(jump, 0.0)][-self.MOST :]
            self.tell(moment)
        self.edge = 0

    def resume(self, moment: int) -> None:
        if self.edge:
            self.wake_at(max(self.edge + self.delay, moment + 1))
