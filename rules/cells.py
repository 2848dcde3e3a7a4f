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
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from building.calendar import WorkCalendar
from building.instants import EARLIEST
from building.quantities import QUANTITIES, Nature
from building.readings import Reading
from building.site import MINUTE, Device

if TYPE_CHECKING:
    from rules.catalogue.page import Condition, Rule
    from rules.metering import Meter, Used

NEVER: Final = EARLIEST - 1
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

    def spoken_until(self, signal: Signal) -> int:
        """Last instant of the stretch of readings, none of them stale, in which ``signal`` now stands."""


class Cell:
    """Something that changes and tells those who listen."""

    __slots__ = ("listeners", "memory", "number", "rank", "waking")

    def __init__(self, memory: Memory, rank: int) -> None:
        self.memory = memory
        self.rank = rank
        self.number: float = 0.0
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


class Signal(Cell):
    """One quantity of one device: the last value, and the interval around it that leaves every rule as it is."""

    __slots__ = (
        "_cuts",
        "base",
        "covered",
        "each",
        "heard",
        "high",
        "low",
        "quantity",
        "stale_after",
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
        self._cuts: list[float] = [0.5] if nature is Nature.STATE else []
        self.summed = COUNTER if nature is Nature.COUNTER else 0
        self.each = False  # every change counts
        self.low: Any = _NOWHERE
        self.high: Any = _NOWHERE
        self.value: float | str = 0.0
        self.heard = NEVER
        self.unknown = True
        self.total = 0.0  # quantity times ms, or the counter's value
        self.covered = 0  # ms over which the integral is known
        self.base = 0.0  # what a counter had lost by resets

    @property
    def spoken(self) -> bool:
        """Whether it was ever told, even if it is unknown now."""
        return self.heard != NEVER

    def cut(self, cuts: Iterable[float]) -> None:
        """Values on either side of each cut are different to some rule; a cut belongs to what is above it."""
        self._cuts = sorted({*self._cuts, *cuts})

    def cuts(self) -> list[float]:
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
            self.low, self.high = value, above(quantity.high)
            return
        place = bisect_right(self._cuts, value)
        self.low = self._cuts[place - 1] if place else quantity.low
        ceiling = above(quantity.high)
        self.high = min(self._cuts[place], ceiling) if place < len(self._cuts) else ceiling

    def lose(self) -> bool:
        """Become unknown; True when it was known."""
        was = not self.unknown
        self.unknown = True
        self.low = self.high = _NOWHERE
        return was

    def add(self, value: float, at: int) -> None:
        """Count the stretch from the last reading to this one; a gap counts nothing."""
        gap = at - self.heard
        if gap < self.stale_after and not self.unknown:
            assert not isinstance(self.value, str)
            self.total += (self.value if self.summed == HELD else (self.value + value) * 0.5) * gap
            self.covered += gap


class Track:
    """One device: its signals, and its last sign of life."""

    __slots__ = ("ages", "device", "on_change", "said", "signals")

    def __init__(self, device: Device, ages: Ages) -> None:
        self.device = device
        self.ages = ages
        self.signals: dict[str, Signal] = {}
        self.on_change = device.reports == "on_change"
        self.said = NEVER

    def silence(self, moment: int) -> None:
        """The device is known to be offline."""
        lost = [signal for signal in self.signals.values() if signal.lose()]
        for signal in lost:
            signal.tell(moment)


class Ages(Cell):
    """Sees that values told too long ago become unknown, for all devices of one zone."""

    __slots__ = ("spoken",)

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory, 2)
        self.spoken: list[Signal] = []  # signals told at least once

    def deadline(self, signal: Signal) -> int:
        """When the last value of ``signal`` no longer says what is so."""
        history = self.memory.history
        if history is not None:
            return history.spoken_until(signal) + signal.stale_after
        track = signal.track
        return (track.said if track.on_change else signal.heard) + signal.stale_after

    def wake(self, moment: int) -> None:
        """Runs once in about three rounds of readings, so it is kept short."""
        live = self.memory.history is None
        lost: list[Signal] = []
        due = 0
        for signal in self.spoken:
            if signal.unknown:
                continue
            end = signal.heard + signal.stale_after
            if end <= moment or not live:
                end = self.deadline(signal)
            if end <= moment:
                lost.append(signal)
            elif end < due or not due:
                due = end
        if due:
            self.wake_at(due)
        if lost:
            self._lose(lost, moment)

    def watch(self, signal: Signal) -> None:
        """Wake when ``signal`` goes stale; an earlier wish already made will do."""
        due = self.deadline(signal)
        if not self.waking or due < self.waking:
            self.wake_at(due)

    def resume(self, moment: int) -> None:
        due = min((self.deadline(signal) for signal in self.spoken if not signal.unknown), default=0)
        if due:
            self.wake_at(due)

    def _lose(self, lost: list[Signal], moment: int) -> None:
        for signal in lost:
            if self.memory.history is not None:
                self.memory.history.catch_up(signal, moment)
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


class Patience(Cell):
    """Ends the time a sensor that was never heard is given to speak."""

    __slots__ = ("track",)

    def __init__(self, memory: Memory, track: Track) -> None:
        super().__init__(memory, 2)
        self.track = track

    def wake(self, moment: int) -> None:
        self.tell(moment)

    def resume(self, moment: int) -> None:
        if self.waiting(moment):
            self.wake_at(self.memory.begun + self.track.device.stale_after)

    def waiting(self, moment: int) -> bool:
        return self.track.said == NEVER and moment < self.memory.begun + self.track.device.stale_after


class Room(Cell):
    """Presence in one zone, from all its sensors, and the working hours that hold there.

    ``occupied``  True, False or None (unknown); without sensors always None
    ``vacant``    nobody there; without sensors: outside working hours
    ``unneeded``  nobody there, or outside working hours
    """

    __slots__ = ("_declared", "_state", "awaited", "hold", "last_sign", "occupied", "sources", "working", "yes", "zone")

    def __init__(self, memory: Memory, zone: str | None, hold: int, working: Working) -> None:
        super().__init__(memory, 3)
        self.zone = zone
        self.hold = hold
        self.working = working
        self.sources: list[Signal] = []
        self.awaited: list[Patience] = []  # sensors that may yet turn out to tell presence
        self._declared = False
        self.last_sign = NEVER
        self.yes = False
        self.occupied: bool | None = None
        self._state: tuple[bool | None, bool | None] = (None, None)

    def declare(self) -> None:
        """A device of the zone is said to tell presence: until it does, presence is unknown."""
        self._declared = True

    @property
    def sensed(self) -> bool:
        """Whether presence is known by sensors here at all."""
        if self._declared or any(source.spoken for source in self.sources):
            return True
        # A sensor not yet heard may be one for presence; it is given its own time to speak before it counts as none.
        return any(patience.waiting(self.memory.now) for patience in self.awaited)

    @property
    def vacant(self) -> bool | None:
        return self._state[0]

    @property
    def unneeded(self) -> bool | None:
        return self._state[1]

    def resume(self, moment: int) -> None:
        for patience in self.awaited:
            patience.resume(moment)
        self.judge(moment)

    def wake(self, moment: int) -> None:
        self.hear(moment)

    def hear(self, moment: int) -> None:
        before = self._state
        self.judge(moment)
        if self._state != before:
            self.tell(moment)

    def judge(self, moment: int) -> None:
        """Who says what: one yes is enough, and is held; a no counts when every source that ever spoke is fresh."""
        off_hours = None if self.working.state is None else not self.working.state
        if not self.sensed:
            self.occupied = None
            self._state = (off_hours, off_hours)
            return
        spoken = [source for source in self.sources if source.spoken]
        yes = any(not source.unknown and source.number >= 0.5 for source in spoken)
        if yes or self.yes:  # a yes that ends now was a sign until now
            self.last_sign = max(self.last_sign, moment)
        self.yes = yes
        held_until = self.last_sign + self.hold
        if yes:
            self.occupied = True
        elif moment < held_until:
            self.occupied = True
            self.wake_at(held_until)
        elif not spoken or any(source.unknown for source in spoken):
            self.occupied = None
        else:
            self.occupied = False
        empty = None if self.occupied is None else not self.occupied
        unneeded = True if empty or off_hours else (None if empty is None or off_hours is None else False)
        self._state = (empty, unneeded)


class Steps(Cell):
    """Whether water runs, told from the steps of a volume counter.

    Two steps prove a flow above ``limit`` (L/min) between them when their litres divided by the time between them
    exceed it. After a step the next one is awaited for as long as the counter's own step takes at the limit.
    """

    __slots__ = ("began", "last", "limit", "patience", "running", "seen", "step", "volume")

    def __init__(self, memory: Memory, volume: Signal, limit: float) -> None:
        super().__init__(memory, 3)
        self.volume = volume
        self.limit = limit
        device = volume.track.device
        step = device.litres_per_pulse or 1.0
        self.patience = max(round(step / limit * MINUTE), 2 * device.every)
        self.last = NEVER  # instant of the last step
        self.began = NEVER  # instant of the step with which this running began
        self.seen: float | None = None  # m3 at the last step
        self.step = 0.0  # litres of the last step
        self.running: bool | None = None

    def wake(self, moment: int) -> None:
        if not self.volume.unknown and moment >= self.last + self.patience and self.running is not False:
            self.running = False
            self.tell(moment)

    def hear(self, moment: int) -> None:
        if self.volume.unknown:
            self.running = None
        elif self.seen is None or self.volume.number < self.seen:
            self.seen, self.last, self.running = self.volume.number, moment, None
            self.wake_at(moment + self.patience)
        elif self.volume.number > self.seen:
            self._step((self.volume.number - self.seen) * 1000, moment)
        elif self.running is None and moment >= self.last + self.patience:
            self.running = False
        self.tell(moment)

    def _step(self, litres: float, moment: int) -> None:
        fast = litres * MINUTE > self.limit * (moment - self.last)
        if fast and not self.running:
            self.began = self.last
        # A lone step after a pause proves nothing yet; the next one will.
        self.running = fast
        self.seen, self.last, self.step = self.volume.number, moment, litres
        self.wake_at(moment + self.patience)


QUIET, PENDING, FIRING = "quiet", "pending", "firing"


class Watch(Cell):
    """One rule on one device: quiet, pending or firing.

    Unknown neither raises nor clears. While pending it stops the count: the time not known is added to the wait. If
    more time than the whole wait goes unknown at once, the count starts again. A firing watch stays so until the
    condition is known to be false.
    """

    __slots__ = ("after", "condition", "device", "due", "excess", "mark", "meter", "phase", "place", "raised", "rule",
                 "share", "since", "unknown_since", "zone")  # fmt: skip

    def __init__(
        self, memory: Memory, rule: Rule, device: Device, after: int, condition: Condition, meter: Meter, place: int
    ) -> None:
        super().__init__(memory, 4)
        self.rule, self.device, self.zone = rule, device.id, device.zone
        self.after, self.condition, self.meter, self.place = after, condition, meter, place
        self.phase = QUIET
        self.since = self.due = self.raised = 0
        self.unknown_since = 0
        self.mark: tuple[float, ...] = ()  # the meter when the condition began, or when the share last changed
        self.excess: tuple[float, float] | None = None  # kWh and litres already booked, of a rule with a share
        self.share = 1.0

    def hear(self, moment: int) -> None:
        truth = self.condition.test()
        if truth is None:
            if self.phase != QUIET and not self.unknown_since:
                self.unknown_since = moment
        elif truth:
            self._holds(moment)
        else:
            self._ends(moment)

    def wake(self, moment: int) -> None:
        self._judge_due(moment)

    def used(self, moment: int) -> Used:
        """Waste from ``since`` to ``moment``."""
        return self.meter.wasted(self.mark, moment, self.rule.wasted, self.excess, self.share, self.condition.share)

    def _holds(self, moment: int) -> None:
        if self.phase == QUIET:
            self._begin(moment)
        elif self.unknown_since:
            gap, self.unknown_since = moment - self.unknown_since, 0
            if self.phase == PENDING:
                if gap > self.after:
                    self._begin(moment)
                else:
                    self.due += gap
        self._book(moment)
        self._judge_due(moment)

    def _begin(self, moment: int) -> None:
        began = self.condition.began
        self.phase = PENDING
        self.since = min(began(), moment) if began is not None else moment
        self.due = self.since + self.after
        self.unknown_since = 0
        head = self.condition.head
        self.excess = None if head is None else (0.0, head())
        self.share = self.condition.share() if self.condition.share is not None else 1.0
        self.mark = self.meter.mark(moment)

    def _book(self, moment: int) -> None:
        """A share that changes while it runs: book what was used at the old one."""
        if self.condition.share is None:
            return
        share = self.condition.share()
        if share != self.share:
            used = self.used(moment)
            self.excess = (used.kwh or 0.0, used.litres or 0.0)
            self.mark = self.meter.mark(moment)
            self.share = share

    def _judge_due(self, moment: int) -> None:
        if self.phase != PENDING or self.unknown_since:
            return
        proved = self.condition.proved
        if moment < self.due:
            self.wake_at(self.due)
        elif proved is None or proved() >= self.due:
            self.phase, self.raised = FIRING, self.due if proved is None else moment
            self._say("raised", self.raised)

    def _ends(self, moment: int) -> None:
        phase, self.phase, self.unknown_since = self.phase, QUIET, 0
        if phase == FIRING:
            self._say("resolved", moment)
        self.mark, self.excess = (), None

    def _say(self, state: str, at: int) -> None:
        self.memory.findings.append(
            Finding(
                state, self.rule.name, self.device, self.zone, self.since, self.raised, at, self.used(at),
                self._evidence(at),
            )
        )  # fmt: skip

    def _evidence(self, moment: int) -> dict[str, Any]:
        history = self.memory.history
        readings = []
        for signal in self.condition.shown:
            if history is not None:
                history.catch_up(signal, moment)
            if signal.spoken:
                readings.append(
                    {
                        "device": signal.track.device.id,
                        "quantity": signal.quantity,
                        "value": None if signal.unknown else signal.value,
                        "time": signal.heard,
                    }
                )
        room = self.condition.room
        return {"readings": readings, "limits": self.memory.limits[self.place], "presence": room and presence(room)}


def presence(room: Room) -> dict[str, Any]:
    """Whose word it was that nobody was there."""
    if room.occupied is not False:
        return {"source": "calendar", "last_sign": None, "devices": []}
    devices = list(dict.fromkeys(s.track.device.id for s in room.sources if s.spoken))
    return {
        "source": "sensors",
        "last_sign": None if room.last_sign == NEVER else room.last_sign,
        "devices": devices,
    }


class Memory:
    """All cells of one site (or of the zones one worker owns), the heap of due moments, and the event time."""

    def __init__(self) -> None:
        self.now = NEVER
        self.begun = NEVER
        self.tracks: dict[str, Track] = {}
        self.known: dict[str, dict[str, Signal]] = {}  # signals of devices that need no more watching of their life
        self.rooms: dict[str | None, Room] = {}
        self.clocks: list[Cell] = []
        self.ages: dict[str | None, Ages] = {}
        self.steps: list[Steps] = []
        self.watches: dict[tuple[str, str], Watch] = {}
        self.limits: list[dict[str, float]] = []
        self.findings: list[Finding] = []
        self.history: History | None = None
        self.late: list[
            tuple[int, str, int, Reading]
        ] = []  # readings held back until ``lateness`` has passed, as a heap
        self.heap: list[tuple[int, int, int, Cell]] = []
        self._order = 0

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

    def begin(self, moment: int) -> None:
        """The first moment of all: calendars and rooms take their state."""
        self.now = self.begun = moment
        for cell in self.clocks:
            cell.resume(moment)
        for room in self.rooms.values():
            room.resume(moment)

    def advance(self, moment: int) -> None:
        """Let every due moment up to ``moment`` come, each at its own time."""
        heap = self.heap
        while heap and heap[0][0] <= moment:
            due, _, _, cell = heapq.heappop(heap)
            if cell.waking == due:  # else the wish was overtaken by a newer one
                self.now = max(self.now, due)
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
        if not signal.spoken:
            signal.track.ages.spoken.append(signal)
        if not good or not fits(signal.quantity, value):
            signal.heard = at
            return signal.lose()
        if signal.summed and not isinstance(value, str):
            if signal.summed == COUNTER:
                if value < signal.total:
                    signal.base += signal.total - value
                signal.total = value
            else:
                signal.add(value, at)
        signal.settle(value)
        signal.heard = at
        signal.track.ages.watch(signal)
        return True


def fits(quantity: str, value: float | str) -> bool:
    """A number in the plausible range, or a word of the list."""
    entry = QUANTITIES[quantity]
    if entry.nature is Nature.WORD:
        return value in entry.words
    return not isinstance(value, str) and entry.low <= value <= entry.high
