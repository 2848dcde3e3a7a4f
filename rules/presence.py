"""Whether somebody is in a zone: from sensors that see people, from signs that people leave, and from the calendar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from building.site import DAY, MINUTE
from rules.cells import NEVER, Cell, Lasting, Signal, Timeline, Track
from rules.clocks import Working

STUCK_AFTER: Final = 20 * 60 * MINUTE
"""Nobody stays in an office for so long without once being out of a sensor's sight."""

NEVER_AFTER: Final = 7 * DAY
"""A sensor that has seen nobody for so long since it was first heard may be blind: until it does, it says nothing."""


class Patience(Cell):
    """Ends the time a sensor is given to say for the first time whether somebody is there."""

    __slots__ = ("track",)

    def __init__(self, memory: Timeline, track: Track) -> None:
        super().__init__(memory, 2)
        self.track = track

    def wake(self, moment: int) -> None:
        self.tell(moment)

    def resume(self, moment: int) -> None:
        if self.waiting(moment):
            self.wake_at(self.memory.begun + self.track.device.stale_after)

    def waiting(self, moment: int) -> bool:
        return moment < self.memory.begun + self.track.device.stale_after


class Witness(Lasting):
    """A sensor that sees people, believed only while it behaves like one."""

    __slots__ = ("ever", "first", "signal", "yes_since")
    STATE: ClassVar = ("first", "ever", "yes_since")
    INSTANTS: ClassVar = ("first", "yes_since")

    def __init__(self, memory: Timeline, signal: Signal) -> None:
        super().__init__(memory, 2)
        self.signal = signal
        self.first = NEVER  # when it was first heard
        self.ever = False  # whether it ever saw anybody
        self.yes_since = NEVER
        signal.listeners.append(self)

    @property
    def track(self) -> Track:
        return self.signal.track

    @property
    def quantity(self) -> str:
        return self.signal.quantity

    @property
    def heard(self) -> int:
        return self.signal.heard

    @property
    def value(self) -> float | str:
        return self.signal.value

    @property
    def sees(self) -> bool:
        """Whether it says that somebody is there, and may be believed."""
        return not self.unknown and self.signal.number >= 0.5

    @property
    def spoken(self) -> bool:
        return self.signal.spoken

    @property
    def stuck(self) -> bool:
        """Whether it has said the same for longer than can be."""
        if self.yes_since != NEVER:
            return self.memory.now >= self.yes_since + STUCK_AFTER
        return not self.ever and self.first != NEVER and self.memory.now >= self.first + NEVER_AFTER

    @property
    def unknown(self) -> bool:
        return self.signal.unknown or self.stuck

    def hear(self, moment: int) -> None:
        if self.first == NEVER:
            self.first = moment
        if not self.signal.unknown:
            if self.signal.number < 0.5:
                self.yes_since = NEVER
            elif self.yes_since == NEVER:
                self.yes_since, self.ever = moment, True
        self.resume(moment)
        self.tell(moment)

    def wake(self, moment: int) -> None:
        self.tell(moment)

    def resume(self, moment: int) -> None:
        due = self.yes_since + STUCK_AFTER if self.yes_since != NEVER else self.first + NEVER_AFTER
        if self.first != NEVER and due > moment and (self.yes_since != NEVER or not self.ever):
            self.wake_at(due)


class Trace(Lasting):
    """A sign that people leave without being seen: a door that opens or closes, a machine that is set to work.

    ``telling(before, now)`` says whether a change is one; ``rest`` ms it must have been as it was before.
    """

    __slots__ = ("_rest", "_telling", "changed", "last", "signal")
    STATE: ClassVar = ("last", "changed")
    INSTANTS: ClassVar = ("changed",)

    def __init__(self, memory: Timeline, signal: Signal, telling: Callable[[float, float], bool], rest: int) -> None:
        super().__init__(memory, 2)
        self.signal = signal
        self._telling = telling
        self._rest = rest
        self.last: float | None = None
        self.changed = NEVER
        signal.listeners.append(self)

    def hear(self, moment: int) -> None:
        before, self.last = self.last, None if self.signal.unknown else self.signal.number
        if before == self.last:
            return
        rested, self.changed = moment - self.changed >= self._rest, moment
        if before is not None and self.last is not None and rested and self._telling(before, self.last):
            self.tell(moment)


class Bookings(Lasting):
    """Times for which people of a zone have said that they will be there outside working hours."""

    __slots__ = ("fixed", "spans")
    STATE: ClassVar = ("spans",)

    def __init__(self, memory: Timeline, fixed: list[tuple[int, int]]) -> None:
        super().__init__(memory, 1)
        self.fixed = fixed  # of the site's file
        self.spans: list[list[int]] = []  # told while running; start and end, ms

    def holds(self, moment: int) -> bool:
        return any(start <= moment < end for start, end in (*self.fixed, *self.spans))

    def count(self, moment: int) -> int:
        """Told bookings that are not over."""
        return sum(end > moment for _, end in self.spans)

    def book(self, start: int, end: int, moment: int) -> bool:
        """From ``start`` to ``end`` people are expected; False when that was known."""
        return self._change([start, end], moment, add=True)

    def cancel(self, start: int, end: int, moment: int) -> bool:
        """Take back what was booked; False when it was not."""
        return self._change([start, end], moment, add=False)

    def _change(self, span: list[int], moment: int, *, add: bool) -> bool:
        if (span in self.spans) == add:
            return False
        spans = [kept for kept in self.spans if kept[1] > moment and kept != span]
        self.spans = [*spans, span] if add else spans
        self.wake(moment)
        return True

    def wake(self, moment: int) -> None:
        self.resume(moment)
        self.tell(moment)

    def resume(self, moment: int) -> None:
        edges = [edge for span in (*self.fixed, *self.spans) for edge in span if edge > moment]
        if edges:
            self.wake_at(min(edges))


class Room(Lasting):
    """Presence in one zone, from all its sensors, and the working hours that hold there.

    A zone counts as empty from the last sign of people on, but that is sure only once ``hold`` has passed without
    another: a rule may count from the last sign, and must not speak before the zone is sure to be empty.

    ``occupied``  True, False or None (unknown); True until the hold has passed; without sensors always None
    ``vacant``    nobody there since the last sign; without sensors: outside working hours
    ``unneeded``  nobody there since the last sign, or outside working hours
    """

    __slots__ = ("_declared", "_state", "awaited", "bookings", "hold", "last_sign", "sources", "traces", "working",
                 "yes", "zone")  # fmt: skip
    STATE: ClassVar = ("last_sign", "yes")
    INSTANTS: ClassVar = ("last_sign",)

    def __init__(self, memory: Timeline, zone: str | None, hold: int, working: Working, bookings: Bookings) -> None:
        super().__init__(memory, 3)
        self.zone = zone
        self.hold = hold
        self.working = working
        self.bookings = bookings
        self.sources: list[Witness] = []
        self.traces: list[Trace] = []
        self.awaited: list[Patience] = []  # sensors that may yet turn out to tell presence
        self._declared = False
        self.last_sign = NEVER
        self.yes = False
        self._state: tuple[bool | None, bool | None] = (None, None)

    def declare(self) -> None:
        """A device of the zone is said to tell presence: until it does, presence is unknown."""
        self._declared = True

    @property
    def expected(self) -> bool | None:
        """Whether people are expected: working hours, or a booking."""
        return True if self.bookings.holds(self.memory.now) else self.working.state

    @property
    def sensed(self) -> bool:
        """Whether presence is known by sensors here at all."""
        if self._declared or any(source.spoken for source in self.sources):
            return True
        # A sensor not yet heard may be one for presence; it is given its own time to speak before it counts as none.
        return any(patience.waiting(self.memory.now) for patience in self.awaited)

    @property
    def occupied(self) -> bool | None:
        empty = self._state[0]
        if empty is None or not self.sensed:
            return None
        return not empty or self.memory.now < self.vacant_for_sure()

    @property
    def vacant(self) -> bool | None:
        return self._state[0]

    def vacant_for_sure(self) -> int:
        """From when on ``vacant`` is sure to be no mere pause between two signs."""
        return NEVER if self.last_sign == NEVER else self.last_sign + self.hold

    def unneeded_for_sure(self) -> int:
        """The same for ``unneeded``; the end of working hours needs no confirmation."""
        if self.expected is False:
            return NEVER
        sure = self.vacant_for_sure()
        return min(sure, self.working.waking) if self.working.state else sure

    @property
    def unneeded(self) -> bool | None:
        return self._state[1]

    def resume(self, moment: int) -> None:
        for patience in self.awaited:
            patience.resume(moment)
        self.judge(moment)

    def hear(self, moment: int) -> None:
        before = self._state
        self.judge(moment)
        if self._state != before:
            self.tell(moment)

    def sign(self, moment: int) -> None:
        """Somebody was there just now, though nothing sees people: what was pending starts again."""
        self.last_sign = max(self.last_sign, moment)
        if self._state[0]:
            self._state = (False, False if self.expected else self._state[1])
            self.tell(moment)
            self.hear(moment)

    def judge(self, moment: int) -> None:
        """Who says what: one yes is enough; a no counts when every source that ever spoke is fresh."""
        off_hours = None if self.expected is None else not self.expected
        if not self.sensed:
            self._state = (off_hours, off_hours)
            return
        spoken = [source for source in self.sources if source.spoken]
        yes = any(source.sees for source in spoken)
        if yes or self.yes:  # a yes that ends now was a sign until now
            self.last_sign = max(self.last_sign, moment)
        self.yes = yes
        empty = False if yes else None if not spoken or any(source.unknown for source in spoken) else True
        unneeded = True if empty or off_hours else (None if empty is None or off_hours is None else False)
        self._state = (empty, unneeded)


class Doorman(Cell):
    """Passes the traces of a zone on to its room."""

    __slots__ = ("room",)

    def __init__(self, memory: Timeline, room: Room) -> None:
        super().__init__(memory, 3)
        self.room = room

    def hear(self, moment: int) -> None:
        self.room.sign(moment)


def presence(room: Room) -> dict[str, Any]:
    """Whose word it was that nobody was there."""
    last_sign = None if room.last_sign == NEVER or room.yes else room.last_sign  # while somebody is there, it is now
    if room.occupied is not False:
        return {"source": "calendar", "last_sign": last_sign, "devices": []}
    devices = list(dict.fromkeys(source.track.device.id for source in room.sources if source.spoken))
    return {"source": "sensors", "last_sign": last_sign, "devices": devices}
