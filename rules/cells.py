"""What the engine remembers, as small cells that wake each other.

A reading moves a ``Signal`` only when its value leaves the interval within which no rule can tell the difference;
all else (presence, calendar, timers) runs on such changes and on due moments, kept in one heap. So most readings cost
a look-up and a comparison.
"""

from __future__ import annotations

import functools
import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, time, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol

from building.calendar import WorkCalendar
from building.instants import EARLIEST
from building.quantities import QUANTITIES, Nature
from building.readings import Reading
from building.site import DAY, Device

if TYPE_CHECKING:
    from rules.maintenance import Life, RollCall
    from rules.metering import Used
    from rules.presence import Room
    from rules.watching import Watch

NEVER: Final = EARLIEST - 1
_CROWD: Final = 128  # signals whose age is seen to together
_FEW: Final = 8  # the same in columns, where each look costs a search
TRAPEZIUM, COUNTER, HELD = 1, 2, 3  # how a signal is summed: straight between readings, a counter, held till the next
_NOWHERE: Final = math.inf  # lower end of an interval that holds nothing: an unknown signal


class Finding(NamedTuple):
    """What the engine says: a rule's condition on a device was raised, or has ended.

    ``since`` began, ``at`` happened, both ms; ``used`` is the waste between them so far.
    """

    state: str  # "raised" or "resolved"
    rule: str
    device: str
    zone: str | None
    since: int
    raised: int
    at: int
    used: Used
    evidence: Mapping[str, Any]


class History(Protocol):
    """Readings that lie in columns instead of coming one by one; lets cells catch up with them."""

    def set_now(self, moment: int) -> None:
        """A due moment has come: all readings before it have been said."""

    def catch_up(self, signal: Signal, moment: int) -> None:
        """Bring value, instant and integral of ``signal`` to its last reading at or before ``moment``."""

    def said_until(self, track: Track, limit: int, last: int) -> int:
        """Last reading of ``track`` before it says nothing for ``limit`` ms, from its reading at ``last`` on."""

    def spoken_until(self, signal: Signal) -> int:
        """Last instant of the stretch of readings, none of them stale, in which ``signal`` now stands."""


class Cell:
    """Something that changes and tells those who listen."""

    __slots__ = ("listeners", "memory", "rank", "waking")

    def __init__(self, memory: Memory, rank: int) -> None:
        self.memory = memory
        self.rank = rank
        self.waking = 0
        self.listeners: list[Cell] = []

    def wake(self, moment: int) -> None:
        """A due moment has come."""

    def hear(self, moment: int) -> None:
        """A cell listened to has changed."""

    def resume(self, moment: int) -> None:
        """Take up again after a restart: state and due moments as they stood at ``moment``; tells nobody."""

    def tell(self, moment: int) -> None:
        for listener in self.listeners:
            listener.hear(moment)

    def wake_at(self, moment: int) -> None:
        """Ask for ``wake`` at ``moment``; the newest wish holds."""
        if moment != self.waking:
            self.waking = moment
            self.memory.push(moment, self)


@functools.lru_cache(maxsize=10_000)
def above(limit: float) -> float:
    """The next number above ``limit``: the same object every time, so that thousands of signals share its memory."""
    return math.nextafter(limit, math.inf)


@functools.lru_cache(maxsize=10_000)
def _shared(cuts: tuple[float, ...]) -> tuple[float, ...]:
    """One object for equal cuts, for the same reason."""
    return cuts


class Signal(Cell):
    """One quantity of one device: the last value, and the interval around it that leaves every rule as it is."""

    __slots__ = (
        "_cuts",
        "ages",
        "base",
        "before",
        "counted",
        "each",
        "fell_at",
        "fell_from",
        "heard",
        "high",
        "low",
        "number",
        "quantity",
        "stale_after",
        "started",
        "summed",
        "total",
        "track",
        "unknown",
        "value",
    )  # fmt: skip

    def __init__(self, memory: Memory, track: Track, quantity: str) -> None:
        super().__init__(memory, 0)
        self.track = track
        self.quantity = quantity
        self.stale_after = track.device.stale_after
        nature = QUANTITIES[quantity].nature
        slow = track.device.slow
        if nature is Nature.COUNTER and slow is not None and track.device.reports == "period":
            self.stale_after = 3 * slow
        self._cuts: tuple[float, ...] = (0.5,) if nature is Nature.STATE else ()
        self.summed = COUNTER if nature is Nature.COUNTER else 0
        self.each = False  # every change counts
        self.low: Any = _NOWHERE
        self.high: Any = _NOWHERE
        self.value: float | str = 0.0
        self.number = 0.0  # the value with which it last entered an interval
        self.heard = NEVER
        self.before = NEVER  # instant of the reading before the last change
        self.unknown = True
        self.total = 0.0  # quantity times ms, or the counter's value
        self.counted = 0  # ms of earlier stretches over which the integral is known
        self.started = NEVER  # when the stretch of readings began that still goes on
        self.ages: Ages | None = None  # who sees that it goes stale
        self.base = 0.0  # what a counter had lost by resets
        self.fell_from = math.inf  # the highest a counter stood at before it fell
        self.fell_at = NEVER

    @property
    def spoken(self) -> bool:
        """Whether it was ever told, even if it is unknown now."""
        return self.heard != NEVER

    @property
    def covered(self) -> int:
        """ms over which the integral is known, up to the last reading."""
        return self.counted if self.unknown else self.counted + self.heard - self.started

    def cut(self, cuts: Iterable[float]) -> None:
        """Values on either side of each cut are different to some rule; a cut belongs to what is above it."""
        self._cuts = _shared(tuple(sorted({*self._cuts, *cuts})))

    def cuts(self) -> tuple[float, ...]:
        return self._cuts

    def settle(self, value: float | str) -> None:
        """Take ``value`` as known and set the interval around it."""
        self.value = value
        self.unknown = False
        if isinstance(value, str):
            self.low, self.high = value, value + "\0"
            return
        self.number = value
        quantity = QUANTITIES[self.quantity]
        if self.each:
            self.low, self.high = value, math.nextafter(value, math.inf)
            return
        if self.summed == COUNTER:
            self.low, self.high = value, min(self.fell_from, above(quantity.high))
            return
        place = bisect_right(self._cuts, value)
        self.low = self._cuts[place - 1] if place else quantity.low
        ceiling = above(quantity.high)
        self.high = min(self._cuts[place], ceiling) if place < len(self._cuts) else ceiling

    def lose(self) -> bool:
        """Become unknown; True when it was known."""
        was = not self.unknown
        self.counted = self.covered
        self.unknown = True
        self.low = self.high = _NOWHERE
        return was

    def count(self, value: float, at: int) -> None:
        """Take a counter that fell, or came back to where it had fallen from; a short fall was a glitch, no use."""
        if value < self.total:
            self.base += self.total - value
            if self.fell_from == math.inf or self.total > self.fell_from:
                self.fell_from = self.total
            self.fell_at = at
            if self.track.guard is not None:
                self.track.guard.flaw(self, self.before, at, False)
        elif value >= self.fell_from:
            if at - self.fell_at <= DAY and self.base >= self.fell_from - self.total:
                self.base -= self.fell_from - self.total
            self.fell_from = math.inf
        self.total = value

    def add(self, value: float, at: int) -> None:
        """Count the stretch from the last reading to this one; a gap, in which it was unknown, counts nothing."""
        if not self.unknown:
            assert not isinstance(self.value, str)
            self.total += (self.value if self.summed == HELD else (self.value + value) * 0.5) * (at - self.heard)


class Guard(Protocol):
    """Who is told of readings that cannot be true."""

    def flaw(self, signal: Signal, since: int, at: int, lasting: bool) -> None:
        """``signal`` was said to be what it cannot be at ``at``; since ``since`` it is in doubt."""

    def mend(self, signal: Signal, at: int) -> None:
        """``signal`` is plausible again."""


class Track:
    """One device: its signals, and its last sign of life."""

    __slots__ = ("device", "guard", "lead", "life", "on_change", "said", "signals")

    def __init__(self, device: Device) -> None:
        self.device = device
        self.guard: Guard | None = None
        self.life: Life | None = None
        self.lead: Signal | None = None  # the signal heard last when that was asked
        self.signals: dict[str, Signal] = {}
        self.on_change = device.reports == "on_change"
        self.said = NEVER

    def silence(self, moment: int) -> None:
        """The device is known to be offline."""
        lost = [signal for signal in self.signals.values() if signal.lose()]
        for signal in lost:
            signal.tell(moment)


class Ages(Cell):
    """Sees that values told too long ago become unknown, for a crowd of signals that are given the same time.

    One look at the oldest of them, once in about two rounds of readings, is all it takes while they speak.
    """

    __slots__ = ("_age", "on_change", "signals", "stale_after")

    def __init__(self, memory: Memory, stale_after: int, on_change: bool) -> None:
        super().__init__(memory, 2)
        self.stale_after = stale_after
        self.on_change = on_change
        self._age: Callable[[Signal], int] = attrgetter("track.said" if on_change else "heard")
        self.signals: list[Signal] = []

    def deadline(self, signal: Signal) -> int:
        """When the last value of ``signal`` no longer says what is so."""
        history = self.memory.history
        return (self._age(signal) if history is None else history.spoken_until(signal)) + self.stale_after

    def wake(self, moment: int) -> None:
        if self.memory.history is None and self.signals:
            due = min(map(self._age, self.signals)) + self.stale_after
            if due > moment:
                self.wake_at(due)
                return
        self._sift(moment)

    def watch(self, signal: Signal) -> None:
        """Wake when ``signal`` goes stale; an earlier wish already made will do."""
        if signal.ages is None:
            signal.ages = self
            self.signals.append(signal)
        due = self.deadline(signal)
        if not self.waking or due < self.waking:
            self.wake_at(due)

    def _sift(self, moment: int) -> None:
        """Part the signals that are stale from those that speak."""
        lost: list[Signal] = []
        fresh: list[Signal] = []
        due = 0
        for signal in self.signals:
            if signal.unknown:
                signal.ages = None
                continue
            end = self.deadline(signal)
            if end <= moment:
                lost.append(signal)
                continue
            fresh.append(signal)
            due = min(due, end) if due else end
        self.signals = fresh
        if due:
            self.wake_at(due)
        for signal in lost:
            if self.memory.history is not None:
                self.memory.history.catch_up(signal, moment)
            signal.ages = None
            signal.lose()
        for cell in dict.fromkeys(listener for signal in lost for listener in signal.listeners):
            cell.hear(moment)


class Working(Cell):
    """Whether it is within working hours, for all zones that keep the same hours."""

    __slots__ = ("calendar", "state", "zone")

    def __init__(self, memory: Memory, calendar: WorkCalendar, zone: str | None) -> None:
        super().__init__(memory, 1)
        self.calendar = calendar
        self.zone = zone
        self.state: bool | None = None

    def wake(self, moment: int) -> None:
        before = self.state
        self.resume(moment)
        if self.state is not before:
            self.tell(moment)

    def resume(self, moment: int) -> None:
        self.state = self.calendar.is_working(moment, self.zone)
        self.wake_at(self.calendar.next_change(moment, self.zone))


class SeasonNow(Cell):
    """What the calendar calls the season: cooling, heating or none."""

    __slots__ = ("calendar", "name", "tz")

    def __init__(self, memory: Memory, calendar: WorkCalendar, tz: Any) -> None:
        super().__init__(memory, 1)
        self.calendar = calendar
        self.tz = tz
        self.name: str | None = None

    def wake(self, moment: int) -> None:
        before = self.name
        self.resume(moment)
        if self.name != before:
            self.tell(moment)

    def resume(self, moment: int) -> None:
        self.name = self.calendar.season(moment)
        tomorrow = self.calendar.local_date(moment) + timedelta(days=1)
        self.wake_at(int(datetime.combine(tomorrow, time(), self.tz).timestamp() * 1000))


class Lasting(Cell):
    """A cell with something to remember over a restart: the attributes named in ``STATE``, plain data all."""

    __slots__ = ()
    STATE: ClassVar[tuple[str, ...]] = ()


class Memory:
    """All cells of one site (or of the zones one worker owns), the heap of due moments, and the event time."""

    def __init__(self) -> None:
        self.now = NEVER
        self.begun = NEVER
        self.tracks: dict[str, Track] = {}
        self.known: dict[str, dict[str, Signal]] = {}  # signals of devices that need no more watching of their life
        self.rooms: dict[str | None, Room] = {}
        self.clocks: list[Cell] = []
        self.kept: dict[tuple[str, str], Lasting] = {}  # by zone and name: what a restart must not forget
        self._ages: dict[tuple[int, bool], Ages] = {}  # the crowds that still take signals in
        self.watches: dict[tuple[str, str], Watch] = {}
        self.limits: list[dict[str, Any]] = []
        self.findings: list[Finding] = []
        self.history: History | None = None
        self.roll_calls: dict[int, RollCall] = {}  # by limit: the crowd that still takes devices in
        self.late: list[
            tuple[int, str, int, Reading]
        ] = []  # readings held back until ``lateness`` has passed, as a heap
        self.heap: list[tuple[int, int, int, Cell]] = []
        self._order = 0

    def keep(self, zone: str | None, name: str, cell: Lasting) -> None:
        """Have ``cell`` saved under ``name``."""
        self.kept[(zone or "", name)] = cell

    def numbered(self) -> int:
        """A number above all given so far, to keep things of one moment in the order they came."""
        self._order += 1
        return self._order

    def push(self, moment: int, cell: Cell) -> None:
        """Wake ``cell`` at ``moment``. Of one moment, calendars go first and watches last."""
        heapq.heappush(self.heap, (moment, cell.rank, self.numbered(), cell))

    def hear(self, track: Track, at: int) -> None:
        """A device has given a sign of life. Once is enough of those that report by the period."""
        if at > track.said:
            track.said = at
        if not track.on_change:
            self.known[track.device.id] = track.signals
        if track.life is not None:
            track.life.speak(at)

    def begin(self, moment: int) -> None:
        """The first moment of all: calendars and rooms take their state."""
        self.now = self.begun = moment
        for cell in self.clocks:
            cell.resume(moment)
        for cell in self.kept.values():
            cell.resume(moment)

    def advance(self, moment: int) -> None:
        """Let every due moment up to ``moment`` come, each at its own time."""
        heap = self.heap
        while heap and heap[0][0] <= moment:
            due, _, _, cell = heapq.heappop(heap)
            if cell.waking == due:  # else the wish was overtaken by a newer one
                if due > self.now:
                    self.now = due
                    if self.history is not None:
                        self.history.set_now(due)
                cell.waking = 0
                cell.wake(due)
        if moment > self.now:
            self.now = moment

    def take(self, signal: Signal, value: float | str, at: int, good: bool) -> bool:
        """A value that leaves its interval, or comes late, or is flawed; True when listeners must hear of it."""
        if at <= signal.heard:
            return False  # twice, or overtaken by a later one
        signal.before = signal.heard
        if not good or not fits(signal.quantity, value):
            lost = signal.lose()
            signal.heard = at
            worded = QUANTITIES[signal.quantity].nature is Nature.WORD
            told = not worded and not isinstance(value, str) and math.isfinite(value)
            if signal.track.guard is not None and told:  # else it is no value, which is no fault of a meter
                signal.track.guard.flaw(signal, at, at, True)
            return lost
        if signal.summed and not isinstance(value, str):
            if signal.summed == COUNTER:
                signal.count(value, at)
            else:
                signal.add(value, at)
        if signal.unknown:
            signal.started = at
            if signal.track.guard is not None:
                signal.track.guard.mend(signal, at)
        signal.settle(value)
        signal.heard = at
        self.watch(signal)
        return True

    def watch(self, signal: Signal) -> None:
        """See that ``signal`` becomes unknown when it goes stale, where that makes a difference."""
        if signal.ages is not None:
            signal.ages.watch(signal)
        elif signal.listeners or signal.summed in (TRAPEZIUM, HELD):
            kind = (signal.stale_after, signal.track.on_change)
            crowd = self._ages.get(kind)
            if crowd is None or len(crowd.signals) >= (_CROWD if self.history is None else _FEW):
                crowd = self._ages[kind] = Ages(self, *kind)
            crowd.watch(signal)

    def signal(self, track: Track, quantity: str) -> Signal | None:
        """The signal of a quantity of ``track``, made when first heard; None if it is no quantity."""
        signal = track.signals.get(quantity)
        if signal is None and quantity in QUANTITIES:
            signal = track.signals[quantity] = Signal(self, track, quantity)
        return signal


def fits(quantity: str, value: float | str) -> bool:
    """A number in the plausible range, or a word of the list."""
    entry = QUANTITIES[quantity]
    if entry.nature is Nature.WORD:
        return value in entry.words
    return not isinstance(value, str) and entry.low <= value <= entry.high
