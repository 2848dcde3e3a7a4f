"""What the engine remembers, as small cells that wake each other.

A reading moves a ``Signal`` only when its value leaves the interval within which no rule can tell the difference;
all else (presence, calendar, timers) runs on such changes and on due moments, kept in one heap. While a device says
the same quantities every time and none of them leaves its interval, not even its signals are touched: the ``Track``
alone holds its last reading. So most readings cost a look-up and a comparison or two.
"""

from __future__ import annotations

import functools
import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol

from building.instants import EARLIEST
from building.quantities import QUANTITIES, Nature
from building.site import DAY, Device
from rules.findings import Finding

NEVER: Final = EARLIEST - 1
TRAPEZIUM, COUNTER, HELD = 1, 2, 3  # how a signal is summed: straight between readings, a counter, held till the next
_NOWHERE: Final = math.inf  # lower end of an interval that holds nothing: an unknown signal
_MOVED: Final = -1  # in place of the number of quantities of a device that is not steady


Turn = tuple[int, int, float]
"""A reading that changed a signal: its instant, the instant of the reading before it, and the value of that one."""


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

    def turn(self, signal: Signal) -> Turn | None:
        """See ``Signal.turned``."""

    def prepare(self, watch: Cell) -> None:
        """Bring all that the condition of ``watch`` looks at to the present."""

    def holds_back(self, watch: Cell, state: str, at: int) -> bool:
        """Whether what ``watch`` has found need not be said now, as it will be said with its end."""


class Timeline:
    """Event time of one site, the heap of what is due when, and what was found on the way."""

    def __init__(self) -> None:
        self.now = NEVER
        self.begun = NEVER
        self.history: History | None = None
        self.findings: list[Finding] = []
        self.heap: list[tuple[int, int, int, Cell]] = []
        self._order = 0

    def numbered(self) -> int:
        """A number above all given so far, to keep things of one moment in the order they came."""
        self._order += 1
        return self._order

    def push(self, moment: int, cell: Cell) -> None:
        """Wake ``cell`` at ``moment``. Of one moment, ages go first, then calendars, and watches last."""
        heapq.heappush(self.heap, (moment, cell.rank, self.numbered(), cell))

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


class Cell:
    """Something that changes and tells those who listen."""

    __slots__ = ("listeners", "memory", "rank", "waking")

    def __init__(self, memory: Timeline, rank: int) -> None:
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


class Lasting(Cell):
    """A cell with something to remember over a restart: the attributes named in ``STATE``, plain data all.

    Those in ``INSTANTS`` are moments of the past, or marks of a meter, or lists of such marks.
    """

    __slots__ = ()
    STATE: ClassVar[tuple[str, ...]] = ()
    INSTANTS: ClassVar[tuple[str, ...]] = ()


@functools.lru_cache(maxsize=10_000)
def above(limit: float) -> float:
    """The next number above ``limit``: the same object every time, so that thousands of signals share its memory."""
    return math.nextafter(limit, math.inf)


@functools.lru_cache(maxsize=10_000)
def _shared(cuts: tuple[float, ...]) -> tuple[float, ...]:
    """One object for equal cuts, for the same reason."""
    return cuts


Bands = tuple[tuple[str, Any, Any], ...]
"""Quantities with the lower end of their interval and the upper, which is outside."""


@functools.lru_cache(maxsize=10_000)
def _alike(bands: Bands) -> Bands:
    """One object for devices with equal bands: what a thousand lamps are compared with stays in the processor."""
    return bands


class Signal(Cell):
    """One quantity of one device: the last value, and the interval around it that leaves every rule as it is.

    While the device is steady (see ``Track``), value, instant and integral of the signal are read from there.
    """

    __slots__ = (
        "_coarse",
        "_cuts",
        "_total",
        "_value",
        "ages",
        "base",
        "before",
        "counted",
        "each",
        "fell_at",
        "fell_from",
        "finer_while",
        "high",
        "low",
        "number",
        "quantity",
        "said",
        "source",
        "stale_after",
        "started",
        "summed",
        "track",
        "turn",
        "unknown",
    )  # fmt: skip

    def __init__(self, memory: Timeline, track: Track, quantity: str) -> None:
        super().__init__(memory, 0)
        self.track = track
        self.quantity = quantity
        self.stale_after = track.device.stale_after
        nature = QUANTITIES[quantity].nature
        slow = track.device.slow
        if nature is Nature.COUNTER and slow is not None and track.device.reports == "period":
            self.stale_after = 3 * slow
        self._cuts: tuple[float, ...] = (0.5,) if nature is Nature.STATE else ()
        self._coarse: tuple[float, ...] = self._cuts  # those that always make a difference
        self.finer_while: tuple[Signal, str] | None = None  # the others only while this one says that word
        self.summed = COUNTER if nature is Nature.COUNTER else 0
        self.each = False  # every change counts
        self.low: Any = _NOWHERE
        self.high: Any = _NOWHERE
        self._value: float | str = 0.0
        self.number = 0.0  # the value with which it last entered an interval
        self.said = NEVER  # its last reading, unless ``source`` knows better
        self.source: Signal | Track = self
        self.before = NEVER  # instant of the reading before the last change
        self.unknown = True
        self.turn: Turn | None = None  # of one summed straight between readings, if known before; else None
        self._total = 0.0
        self.counted = 0  # ms of earlier stretches over which the integral is known
        self.started = NEVER  # when the stretch of readings began that still goes on
        self.ages: Watcher | None = None  # who sees that it goes stale
        self.base = 0.0  # what a counter had lost by resets
        self.fell_from = math.inf  # the highest a counter stood at before it fell
        self.fell_at = NEVER

    @property
    def heard(self) -> int:
        """Instant of the last reading, ms."""
        return self.source.said

    @heard.setter
    def heard(self, at: int) -> None:
        self.said = at

    @property
    def value(self) -> float | str:
        return self._value if self.source is self else self.track.values[self.quantity]

    @value.setter
    def value(self, value: float | str) -> None:
        self._value = value

    @property
    def total(self) -> float:
        """Quantity times ms, of a summed one; or the counter's value."""
        if self.source is self or not self.summed:
            return self._total
        return self.track.total if self.summed != COUNTER else self.value  # type: ignore[return-value]  # counters hold numbers

    @total.setter
    def total(self, total: float) -> None:
        self._total = total

    @property
    def spoken(self) -> bool:
        """Whether it was ever told, even if it is unknown now."""
        return self.said != NEVER

    def turned(self, moment: int) -> tuple[int, float] | None:
        """Instant and value of the reading before the one at ``moment``, if that changed what was known; else None."""
        history = self.memory.history
        turn = self.turn if history is None else history.turn(self)
        return None if turn is None or turn[0] != moment else (turn[1], turn[2])

    @property
    def ages_matter(self) -> bool:
        """Whether it makes a difference when it goes stale."""
        return bool(self.listeners) or self.summed in (TRAPEZIUM, HELD)

    @property
    def covered(self) -> int:
        """ms over which the integral is known, up to the last reading."""
        return self.counted if self.unknown else self.counted + self.heard - self.started

    def cut(self, cuts: Iterable[float]) -> None:
        """Values on either side of each cut are different to some rule; a cut belongs to what is above it."""
        self._cuts = _shared(tuple(sorted({*self._cuts, *cuts})))
        self._coarse = _shared(tuple(sorted({*self._coarse, *cuts})))

    def cut_while(self, other: Signal, word: str, cuts: Iterable[float]) -> None:
        """The same for cuts at which no rule sees a difference unless ``other``, of the same device, says ``word``."""
        self.finer_while = (other, word)
        self._cuts = _shared(tuple(sorted({*self._cuts, *cuts})))

    def cuts(self, *, finer: bool = True) -> tuple[float, ...]:
        return self._cuts if finer else self._coarse

    def settle(self, value: float | str) -> None:
        """Take ``value`` as known and set the interval around it."""
        self._value = value
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

    def keep(self, value: float | str, at: int) -> bool:
        """Take a value that changes nothing but the signal itself; False when it does more, or comes late."""
        try:
            if not self.low <= value < self.high or at <= self.said:
                return False
        except TypeError:  # text for a number, or the other way round
            return False
        if self.summed == COUNTER:
            self.low = self._total = value  # type: ignore[assignment]  # counters hold numbers
        elif self.summed:
            self.add(value, at)  # type: ignore[arg-type]  # summed signals hold numbers
        self._value, self.said = value, at
        return True

    def stand_alone(self) -> None:
        """Take back from the device what it held for this signal while it was steady."""
        self._value, self._total, self.said = self.value, self.total, self.track.said
        self.source = self
        if self.summed == COUNTER:
            self.low = self._total

    def lose(self) -> bool:
        """Become unknown; True when it was known."""
        self.track.release()
        was = not self.unknown
        self.counted = self.covered
        self.unknown = True
        self.low = self.high = _NOWHERE
        return was

    def count(self, value: float, at: int) -> None:
        """Take a counter that fell, or came back to where it had fallen from; a short fall was a glitch, no use."""
        if value < self._total:
            self.base += self._total - value
            if self.fell_from == math.inf or self._total > self.fell_from:
                self.fell_from = self._total
            self.fell_at = at
            if self.track.guard is not None:
                self.track.guard.flaw(self, self.before, at, False)
        elif value >= self.fell_from:
            if at - self.fell_at <= DAY and self.base >= self.fell_from - self._total:
                self.base -= self.fell_from - self._total
            self.fell_from = math.inf
        self._total = value

    def add(self, value: float, at: int) -> None:
        """Count the stretch from the last reading to this one; a gap, in which it was unknown, counts nothing."""
        if not self.unknown:
            assert not isinstance(self._value, str)
            self._total += (self._value if self.summed == HELD else (self._value + value) * 0.5) * (at - self.said)


class Guard(Protocol):
    """Who is told of readings that cannot be true."""

    def flaw(self, signal: Signal, since: int, at: int, lasting: bool) -> None:
        """``signal`` was said to be what it cannot be at ``at``; since ``since`` it is in doubt."""

    def mend(self, signal: Signal, at: int) -> None:
        """``signal`` is plausible again."""


class Watcher(Protocol):
    """Who sees to it that what is told no longer becomes unknown."""

    def watch(self, signal: Signal) -> None:
        """Have ``signal`` become unknown when it goes stale."""


class Patient(Protocol):
    """Who sees that a steady device does not stop speaking for ``patience`` ms."""

    @property
    def patience(self) -> int: ...


class Listener(Protocol):
    """Who wants to know that a device speaks, when it has said nothing for ``limit`` ms."""

    @property
    def limit(self) -> int: ...

    def speak(self, moment: int) -> None:
        """It has said something."""


class Track:
    """One device: its signals, and its last sign of life.

    A device that said the same quantities twice, none of which left its interval, is steady: readings then go into
    ``values``, ``said`` and ``total``, and its signals read them from here. ``count`` is how many quantities a reading
    must have to be one of those; ``bands`` the intervals of all but counters, which may rise up to what ``rising``
    says; ``summed`` how the last of the bands is summed, if it is, and ``number`` its last value.
    """

    __slots__ = ("_shape", "_summed", "ageing", "bands", "count", "device", "guard", "life", "number", "on_change",
                 "pulse", "rising", "said", "signals", "summed", "total", "values")  # fmt: skip

    def __init__(self, device: Device, ageing: Watcher) -> None:
        self.device = device
        self.ageing = ageing
        self.guard: Guard | None = None
        self.life: Listener | None = None
        self.pulse: Patient | None = None  # who sees that it stops speaking while steady
        self.signals: dict[str, Signal] = {}
        self.on_change = device.reports == "on_change"
        self.said = NEVER
        self.values: Mapping[str, float | str] = {}
        self.count = _MOVED
        self.bands: Bands = ()
        self.rising: tuple[tuple[str, float], ...] = ()
        self.summed = 0
        self.number: Any = 0.0
        self.total = 0.0
        self._shape: tuple[Signal, ...] = ()  # the signals that read their last word from here
        self._summed: Signal | None = None

    @property
    def steady(self) -> bool:
        return self.count != _MOVED

    @property
    def patience(self) -> int | None:
        """ms without a word after which the first of its steady signals goes stale; None when none needs watching."""
        return min((signal.stale_after for signal in self._shape if signal.ages_matter), default=None)

    def hold(self, values: Mapping[str, float | str], at: int) -> bool:
        """Be steady from this reading on, the latest, if each of its signals stands as it says; True if so."""
        signals = [signal for quantity in values if (signal := self.signals.get(quantity)) is not None]
        summed = [signal for signal in signals if signal.summed in (TRAPEZIUM, HELD)]
        if not signals or len(summed) > 1:
            return False
        self._summed = summed[0] if summed else None
        self._shape = tuple(signals)
        return self._settle(values, at)

    def _settle(self, values: Mapping[str, float | str], at: int) -> bool:
        """Take over from the signals of the shape; False when one of them does not stand as ``values`` say."""
        bands, rising, summed = [], [], self._summed
        for signal in self._shape:
            if signal.unknown or signal.said != at:
                return False
            if signal.summed == COUNTER and not signal.each:
                rising.append((signal.quantity, signal.high))
            elif signal is not summed:
                bands.append((signal.quantity, signal.low, signal.high))
        self.summed = 0
        if summed is not None:
            bands.append((summed.quantity, summed.low, summed.high))
            self.summed, self.total, self.number = summed.summed, summed.total, summed.value
        self.bands, self.rising = _alike(tuple(bands)), tuple(rising)
        self.values, self.said, self.count = values, at, len(values)
        for signal in self._shape:
            signal.source = self
        return True

    def shift(
        self, values: Mapping[str, float | str], at: int, take: Callable[[Signal, float | str, int, bool], bool]
    ) -> list[Signal]:
        """A steady device says the same quantities, some of them outside their interval; the signals that changed.

        It stays steady in the new intervals, unless something became unknown, or will change again at once.
        """
        changed = []
        self.count = _MOVED
        for signal in self._shape:
            signal.stand_alone()
        for signal in self._shape:
            value = values[signal.quantity]
            if not signal.keep(value, at) and take(signal, value, at, True):
                changed.append(signal)
        if any(signal.each for signal in changed) or not self._settle(values, at):
            self.said, self.values = at, values
            for signal in self._shape:
                if not signal.unknown:
                    self.ageing.watch(signal)
        return changed

    def release(self) -> None:
        """Be steady no longer: give back to the signals what stands here of them."""
        if self.count == _MOVED:
            return
        self.count = _MOVED
        for signal in self._shape:
            signal.stand_alone()
            self.ageing.watch(signal)

    def silence(self, moment: int) -> None:
        """The device is known to be offline."""
        for signal in self.signals.values():
            history = signal.memory.history
            if history is not None:  # what it said up to now counts
                history.catch_up(signal, moment)
        lost = [signal for signal in self.signals.values() if signal.lose()]
        for signal in lost:
            signal.tell(moment)
