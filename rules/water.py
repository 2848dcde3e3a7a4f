"""Whether water runs, and whether it ever stops: told from a flow, or from the steps of a volume counter."""

from __future__ import annotations

from typing import ClassVar, Final

from building.site import MINUTE
from rules.cells import NEVER, Lasting, Signal, Timeline

HOUR: Final = 60 * MINUTE
_SLOWEST: Final = 5.0  # L/h; what runs slower than this is not told from use by coarse pulses
_UNSEEN: Final = 2
_SEEN: Final = 5 * MINUTE  # readings of a counter further apart do not show whether water ran all the time
_LONGEST_PAUSE: Final = 6 * HOUR
_ALIKE: Final = 0.25  # part by which the lowest flow of a leak may differ from one hour to the next
_OFTEN: Final = 0.25  # part of the day in which nobody uses water, so that a leak runs alone: some hours of the night
_OVER_A_NIGHT: Final = 12 * HOUR
_MOST_STRETCHES: Final = 64  # two days of stretches, so that one hour of long ago does not decide


def risen(number: float, seen: float, peak: float | None) -> tuple[float, float | None]:
    """From where a rise to ``number`` counts: a fall that is made up for was no use."""
    return (peak, None) if peak is not None and number >= peak else (seen, peak)


class Steps(Lasting):
    """Whether water runs, told from the steps of a volume counter.

    Two steps prove a flow above ``limit`` (L/min) between them when their litres divided by the time between them
    exceed it. After a step the next one is awaited for as long as the counter's own step takes at the limit; readings
    that show none for that long prove a pause. A reading that is lost or late proves nothing.
    """

    __slots__ = ("began", "last", "limit", "patience", "peak", "running", "seen", "step", "volume")
    STATE: ClassVar = ("last", "began", "seen", "running", "step", "peak")
    INSTANTS: ClassVar = ("last", "began")

    def __init__(self, memory: Timeline, volume: Signal, limit: float) -> None:
        super().__init__(memory, 3)
        self.volume = volume
        self.limit = limit
        device = volume.track.device
        step = device.litres_per_pulse or 1.0
        self.patience = max(round(step / limit * MINUTE), 2 * device.every)
        self.last = NEVER  # instant of the last step
        self.began = NEVER  # instant from which this running is proved
        self.seen: float | None = None  # m3 at the last step
        self.step = 0.0  # litres of the last step
        self.peak: float | None = None  # m3 from which the counter fell
        self.running: bool | None = None

    def wake(self, moment: int) -> None:
        if self.volume.unknown or self.running is False:
            return
        if self._still():
            self.running = False
            self.tell(moment)
        else:
            self.wake_at(moment + self.volume.track.device.every)

    def _still(self) -> bool:
        """Whether the wait for a step, which is over, was read to its end; what speaks on change has nothing to say."""
        track = self.volume.track
        if track.on_change:
            return True
        if self.memory.history is not None:
            self.memory.history.catch_up(self.volume, self.memory.now)
        # The last reading of the wait may come at its very end, or a little after.
        return self.volume.heard >= self.last + self.patience - track.device.every * 3 // 2

    def resume(self, moment: int) -> None:
        if self.seen is not None:
            due, every = self.last + self.patience, self.volume.track.device.every
            self.wake_at(due if due > moment else due + ((moment - due) // every + 1) * every)

    def hear(self, moment: int) -> None:
        if self.volume.unknown:
            self.running = None
        elif self.seen is None or self.volume.number < self.seen:
            self.peak = self.seen if self.peak is None else self.peak
            self.seen, self.last, self.running = self.volume.number, moment, None
            self.wake_at(moment + self.patience)
        elif self.volume.number > self.seen:
            self.seen, self.peak = risen(self.volume.number, self.seen, self.peak)
            self._step((self.volume.number - self.seen) * 1000, moment)
        elif self.running is None and moment >= self.last + self.patience:
            self.running = False
        self.tell(moment)

    def _step(self, litres: float, moment: int) -> None:
        # Readings without a step between the two: nothing ran before the last of them.
        still = self.volume.before
        start = still if still - self.last >= self.patience else self.last
        if start != self.last and self.running:
            self.running = False
            self.tell(moment)
        # A step over a long time may be one short use: it proves no running.
        seen = moment - self.volume.before <= max(_SEEN, round(self.volume.track.device.litres_per_pulse or 1.0)
                                                  * MINUTE / self.limit)  # fmt: skip
        fast = seen and litres * MINUTE > self.limit * (moment - start)
        if fast and not self.running:
            self.began = start
        # A lone step after a pause proves nothing yet; the next one will.
        self.running = fast
        self.seen, self.last, self.step = self.volume.number, moment, litres
        self.wake_at(moment + self.patience)


class Flowing(Lasting):
    """Whether water runs, told by its flow; a dip shorter than ``pause`` ms is no break.

    ``proved`` is until when readings show it: a meter that speaks every second while water runs, and else every few
    minutes, has stopped long before its last word is too old to be believed. From ``after`` ms on it is looked at
    again and again, so that a rule that waits for the proof hears of it.
    """

    __slots__ = ("after", "began", "flow", "limit", "pause", "running", "tempo", "until")
    STATE: ClassVar = ("began", "running", "until")
    INSTANTS: ClassVar = ("began", "until")

    def __init__(self, memory: Timeline, flow: Signal, limit: float, pause: int, after: int) -> None:
        super().__init__(memory, 3)
        self.flow = flow
        self.limit = limit
        self.pause = pause
        self.after = after
        self.tempo = min(flow.track.device.every, MINUTE)
        self.began = NEVER
        self.running: bool | None = None
        self.until = NEVER  # when a dip will have become a break
        flow.listeners.append(self)

    @property
    def proved(self) -> int:
        """Until when it is sure to have run; what speaks on change only runs until it says otherwise."""
        if self.flow.track.on_change:
            return self.memory.now
        if self.memory.history is not None:
            self.memory.history.catch_up(self.flow, self.memory.now)
        return self.flow.heard + self.tempo

    def hear(self, moment: int) -> None:
        if self.flow.unknown:
            self.running = None
        elif self.flow.number > self.limit:
            if not self.running:
                self.began = moment
            self.running, self.until = True, NEVER
        elif self.running and self.until == NEVER and moment < self.flow.before + self.pause:
            self.until = moment + self.pause  # it ran until this reading, and dribbles on at most
        elif self.until == NEVER or moment >= self.until:
            self.running, self.until = False, NEVER
        self.resume(moment)
        self.tell(moment)

    def wake(self, moment: int) -> None:
        if self.until != NEVER and moment >= self.until and not self.flow.unknown:
            self.running, self.until = False, NEVER
        self.resume(moment)
        self.tell(moment)

    def resume(self, moment: int) -> None:
        if self.until != NEVER:
            self.wake_at(max(self.until, moment + 1))
        elif self.running:
            step = max(self.tempo // 2, 1000)
            looks = max(0, moment - self.began - self.after) // step + 1
            self.wake_at(self.began + self.after + looks * step)


class Ceaseless(Lasting):
    """Whether consumption has gone on without a pause: steps of a counter, none of them later than ``pause``.

    A pause is proved by readings that show no step for so long; a gap in the readings proves nothing.
    """

    __slots__ = ("began", "drawn", "due", "floor", "last", "least", "mark", "pause", "peak", "rates", "running", "seen",
                 "volume")  # fmt: skip
    STATE: ClassVar = ("last", "began", "seen", "running", "least", "peak", "due", "mark", "drawn", "rates", "floor")
    INSTANTS: ClassVar = ("last", "began", "due", "mark")

    def __init__(self, memory: Timeline, volume: Signal, pause: int) -> None:
        super().__init__(memory, 3)
        self.volume = volume
        litres = volume.track.device.litres_per_pulse or 1.0
        self.pause = max(pause, min(round(litres / _SLOWEST * HOUR), _LONGEST_PAUSE))
        self.last = NEVER
        self.began = NEVER  # the step after the last pause
        self.seen: float | None = None
        self.peak: float | None = None
        self.due = NEVER  # of the next look
        self.least: float | None = None  # L/h, the slowest that it ever was since
        self.running: bool | None = None
        self.mark = NEVER  # the step at which the present stretch began
        self.drawn = 0.0  # litres since
        self.floor: float | None = None  # L/h, the lowest stretch of the last running that went on over a night
        self.rates: list[list[float]] = []  # L/h and how far off that may be, by stretches no shorter than a pause

    @property
    def steady(self) -> bool:
        """Whether the lowest flow keeps coming back alike, as a leak's does; that of many people's use does not.

        Where the pulses are too coarse, or the readings too far apart, to tell the lowest rate from half of it, the
        same rate again says nothing.
        """
        if not self.rates:
            return False
        low, apart = min(self.rates)
        top = low + max(apart, _ALIKE * low)
        return apart <= low / 2 and sum(rate <= top for rate, _ in self.rates) >= _OFTEN * len(self.rates)

    def wake(self, moment: int) -> None:
        """The time for a step is over; only a reading since then proves that none came."""
        heard = self._heard(moment)
        if self.volume.unknown:
            return
        if heard - self.last >= self.pause:
            self._paused(moment)
        elif heard > NEVER:
            unseen = heard + _UNSEEN * self.pause  # so long without a reading may hide a pause
            if moment >= unseen and self.running:
                self.running = None
                self.tell(moment)
            due = moment + max(MINUTE, self.pause - (heard - self.last))
            self._look(min(due, unseen) if unseen > moment else due)

    def _heard(self, moment: int) -> int:
        if self.memory.history is not None:
            self.memory.history.catch_up(self.volume, moment)
        return self.volume.heard

    def resume(self, moment: int) -> None:
        if self.due > moment:
            self.wake_at(self.due)

    def _look(self, due: int) -> None:
        self.due = due
        self.wake_at(due)

    def hear(self, moment: int) -> None:
        if self.volume.unknown:
            self.running = None
            self.tell(moment)
        elif self.seen is None:
            self.seen, self.last, self.running = self.volume.number, moment, None
            self._begin(moment)
            self._look(moment + self.pause)
        elif self.volume.number < self.seen:  # a counter that steps back a little does not prove a pause
            self.peak = self.seen if self.peak is None else self.peak
            self.seen = self.volume.number
        elif self.volume.number > self.seen:
            self.seen, self.peak = risen(self.volume.number, self.seen, self.peak)
            self._step((self.volume.number - self.seen) * 1000, moment)
        else:  # heard again after a gap, and nothing ran in it
            self._look(moment + 1)

    def _step(self, litres: float, moment: int) -> None:
        if self.volume.before - self.last >= self.pause:
            self._paused(moment)
        elapsed = max(moment - self.last, 1)
        unseen = moment - self.volume.before
        if self.running is False or unseen >= _UNSEEN * self.pause:  # what was not seen proves nothing
            self._begin(moment)
        else:
            rate = litres * HOUR / elapsed
            self.least = rate if self.least is None else min(self.least, rate)
            self._draw(litres, moment)
        self.running = True
        self.seen, self.last = self.volume.number, moment
        self._look(moment + self.pause)
        self.tell(moment)

    def _begin(self, moment: int) -> None:
        self.began = self.mark = moment
        self.least, self.drawn, self.rates = None, 0.0, []

    def _draw(self, litres: float, moment: int) -> None:
        """Count what ran to the present stretch, and close it when it is as long as a pause."""
        self.drawn += litres
        elapsed = moment - self.mark
        if elapsed >= self.pause and self.drawn > 0:
            device, rate = self.volume.track.device, self.drawn * HOUR / elapsed
            apart = min((device.litres_per_pulse or 1.0) / self.drawn, 2 * device.every / elapsed)
            self.rates = [*self.rates, [rate, rate * apart]][-_MOST_STRETCHES:]
            self.mark, self.drawn = moment, 0.0
            if moment - self.began >= _OVER_A_NIGHT:
                self.floor = min(self.rates)[0]

    def _paused(self, moment: int) -> None:
        if self.running is not False:
            self.running = False
            self.tell(moment)
