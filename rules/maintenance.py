"""Devices that fail: silent ones, ones that say the same for half a day, ones that say what cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar, Final, overload

from building.site import MINUTE
from rules.ageing import CROWD, FEW
from rules.cells import NEVER, Cell, Lasting, Signal, Timeline, Track
from rules.clocks import Ticker
from rules.learning import fresh
from rules.readings_file import Flags, Ints

HOUR: Final = 60 * MINUTE
_SAMPLES_A_DAY: Final = 24
_SELDOM: Final = (
    0.05  # part of the looks at which a counter may be found not to have moved, to be remarkable when it stops
)
_MOST_IDLE: Final = 12  # looks of one standstill that count towards it, so that a meter that was dead is known again


class Life(Lasting):
    """Whether one device speaks. ``silent`` True from ``limit`` ms after its last reading until the next."""

    __slots__ = ("_calls", "limit", "silent", "since", "track")
    STATE: ClassVar = ("silent", "since")
    INSTANTS: ClassVar = ("since",)

    def __init__(self, memory: Timeline, track: Track, limit: int, calls: RollCalls) -> None:
        super().__init__(memory, 2)
        self.track = track
        self.limit = limit
        self._calls = calls
        self.silent = False
        self.since = NEVER
        track.life = self

    def last(self, moment: int) -> int:
        """Instant of the last reading, of the first moment of all where there was none."""
        history = self.memory.history
        last = max(self.memory.begun, self.track.said)
        for signal in self.track.signals.values():
            if history is not None:
                history.catch_up(signal, moment)
            last = max(last, signal.heard)
        return last

    def resume(self, moment: int) -> None:
        if not self.silent:
            self._calls.enlist(self, moment)

    def fall_silent(self, moment: int) -> None:
        self.silent, self.since = True, self.last(moment)
        self.track.release()  # so that its next word is noticed
        self.tell(moment)

    def speak(self, moment: int) -> None:
        """It has said something."""
        if self.silent:
            self.silent = False
            self.tell(moment)
            self._calls.enlist(self, moment)


_SAID: Final = attrgetter("track.said")


class RollCall(Cell):
    """Sees which devices of a crowd have fallen silent; one look at the oldest reading while all speak."""

    __slots__ = ("limit", "lives")

    def __init__(self, memory: Timeline, limit: int) -> None:
        super().__init__(memory, 2)
        self.limit = limit
        self.lives: list[Life] = []

    def enlist(self, life: Life, moment: int) -> None:
        self.lives.append(life)
        due = self._due(life, moment)
        if not self.waking or due < self.waking:
            self.wake_at(due)

    def _due(self, life: Life, moment: int) -> int:
        history = self.memory.history
        last = life.last(moment)
        return (last if history is None else history.said_until(life.track, self.limit, last)) + self.limit

    def wake(self, moment: int) -> None:
        if self.memory.history is None and self.lives:
            due = min(map(_SAID, self.lives)) + self.limit
            if due > moment:
                self.wake_at(due)
                return
        lives, self.lives = self.lives, []
        due = 0
        for life in lives:
            end = self._due(life, moment)
            if end <= moment:
                life.fall_silent(moment)
                continue
            self.lives.append(life)
            due = min(due, end) if due else end
        if due:
            self.wake_at(due)


class RollCalls:
    """The crowds of one site, by their limit: those that still take devices in."""

    def __init__(self, memory: Timeline) -> None:
        self._memory = memory
        self._open: dict[int, RollCall] = {}

    def enlist(self, life: Life, moment: int) -> None:
        crowd = self._open.get(life.limit)
        if crowd is None or len(crowd.lives) >= (CROWD if self._memory.history is None else FEW):
            crowd = self._open[life.limit] = RollCall(self._memory, life.limit)
        crowd.enlist(life, moment)


class Doubt(Lasting):
    """Whether a device says what cannot be, until for ``hold`` ms it has not (``rules.cells.Guard``)."""

    __slots__ = ("active", "bad", "hold", "last", "since", "what")
    STATE: ClassVar = ("active", "bad", "last", "since", "what")
    INSTANTS: ClassVar = ("last", "since")

    def __init__(self, memory: Timeline, hold: int) -> None:
        super().__init__(memory, 2)
        self.hold = hold
        self.active = False
        self.bad: list[str] = []  # quantities that are implausible now
        self.since = self.last = NEVER
        self.what = ""

    def flaw(self, signal: Signal, since: int, at: int, lasting: bool) -> None:
        if lasting and signal.quantity not in self.bad:
            self.bad.append(signal.quantity)
        if not self.active:
            self.active, self.since, self.what = True, since, signal.quantity
            self.wake_at(at)  # told when all of the reading is known
        elif self.waking == at:
            self.since, self.what = min(self.since, since), min(self.what, signal.quantity)
        else:
            self.wake_at(at + self.hold)
        self.last = at

    def mend(self, signal: Signal, at: int) -> None:
        if signal.quantity in self.bad:
            self.bad.remove(signal.quantity)
            self.last = at
            self.wake_at(at + self.hold)

    def wake(self, moment: int) -> None:
        if moment == self.last:
            self.wake_at(self.last + self.hold)
        elif self.bad or moment < self.last + self.hold:
            return
        else:
            self.active = False
        self.tell(moment)

    def resume(self, moment: int) -> None:
        if self.active:
            self.wake_at(moment if self.last == moment else max(self.last + self.hold, moment + 1))


class Still(Lasting):
    """Whether a value that ought to move stands still, by a look every hour.

    ``since`` is the look from which it has been the same. A zero is only remarkable where there never was one. One that
    ``excuses`` others of its device is a counter: while it moves, they may stand still. It ``stands_in`` for them
    where none of them ever spoke, and is then only remarkable where it seldom stood still: that of a circuit that is
    off every night does so by right.
    """

    __slots__ = ("alone", "excuses", "idle", "looks", "lowest", "moved", "moves", "others", "quantity", "signal",
                 "since", "stands_in", "value")  # fmt: skip
    STATE: ClassVar = ("value", "since", "moved", "lowest", "looks", "moves", "idle")
    INSTANTS: ClassVar = ("since", "moved")

    KNOWN_AFTER: ClassVar = 3 * _SAMPLES_A_DAY
    MOST_IDLE: ClassVar = _MOST_IDLE * HOUR

    def __init__(
        self,
        memory: Timeline,
        signal: Signal,
        ticker: Ticker,
        others: Sequence[Still],
        *,
        alone: bool,
        excuses: Sequence[Still] | None,
        stands_in: bool,
    ) -> None:
        super().__init__(memory, 3)
        self.signal = signal
        self.quantity = signal.quantity
        self.excuses = excuses
        self.stands_in = stands_in
        self.others = others  # of the same kind and quantity, itself among them
        self.alone = alone  # whether it is remarkable without a neighbour that moves
        self.value: float | None = None
        self.since = self.moved = NEVER
        self.lowest: float | None = None
        self.looks = 0
        self.moves = self.idle = 0  # looks at which a counter had moved, and had not
        ticker.listeners.append(self)

    def hear(self, moment: int) -> None:
        value = fresh(self.memory, self.signal, moment)
        if value is None:
            self.value, self.since = None, NEVER
        elif value != self.value:
            if self.value is not None:
                self.moved = moment
                self.moves += 1
            self.value, self.since = value, self.signal.heard
        elif moment - self.since <= self.MOST_IDLE:
            self.idle += 1
        if value is not None:
            self.looks += 1
            if value != 0 or self.looks <= self.KNOWN_AFTER:
                self.lowest = value if self.lowest is None else min(self.lowest, value)
        self.tell(moment)

    @property
    def judged(self) -> bool:
        """Whether its own standing still may be a fault."""
        if self.excuses is None:
            return True
        return self.stands_in and not any(one.signal.spoken for one in self.excuses)

    def still(self) -> bool | None:
        """Whether it stands still although it, or its neighbours, ought to move."""
        if self.value is None:
            return None
        if self.excuses is not None and not seldom_stands(self.moves, self.idle):
            return False
        if (
            self.value == 0
            and self.excuses is None
            and not (self.looks > self.KNOWN_AFTER and (self.lowest or 0.0) > 0)
        ):
            return False
        neighbours = [other for other in self.others if other is not self]
        if not neighbours:
            return self.alone and self.moved != NEVER
        return any(other.moved > self.since for other in neighbours)


@overload
def seldom_stands(moves: int, idle: int) -> bool: ...
@overload
def seldom_stands(moves: Ints, idle: Ints) -> Flags: ...
def seldom_stands(moves: int | Ints, idle: int | Ints) -> bool | Flags:
    """Whether a counter that had moved at ``moves`` looks, and at ``idle`` had not, is known to move nearly always."""
    looks = moves + idle
    return (looks > Still.KNOWN_AFTER) & (idle <= _SELDOM * looks + _MOST_IDLE)


def worst(cells: Sequence[Still], after: int, moment: int) -> Still | None:
    """The one that has stood still longest; None when none has for ``after`` ms."""
    found = [cell for cell in cells if cell.value is not None and moment - cell.since >= after and cell.still()]
    return min(found, key=lambda cell: cell.since) if found else None


def shown(cell: Still | None) -> dict[str, Any]:
    """What stands still, for evidence."""
    return {} if cell is None else {"quantity": cell.quantity, "value": cell.value}
