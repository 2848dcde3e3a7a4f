"""What a machine draws above what it usually draws when it is set as it should be, from its own measurements.

Cooling goes about with the difference between outside and inside, so each kelvin of setpoint costs most where that
difference is small: a fixed part per kelvin is too little for a mild climate. What the same unit took, hour by hour,
while it ran within the limit already holds its building, its weather and its people. The difference is still an
estimate, as no two days are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final

from rules.cells import Lasting, Signal, Timeline
from rules.metering import Meter, Seen, Used
from rules.readings_file import Ints

_HOUR: Final = 3_600_000
_KNOWN_FROM: Final = 2 * _HOUR  # of running within the limit, before its draw is called usual
_REMEMBERED: Final = 40 * _HOUR  # a week of work; older running fades
WITHIN, BEYOND, NEITHER = "within", "beyond", ""
Case = tuple[bool | None, tuple[str, float]]
"""Whether it is beyond, and what that makes of the draw."""


class Excess(Lasting):
    """kWh while ``beyond`` holds, and how much of them is more than usual.

    ``share``: the part of the draw that counts as waste while nothing usual is known. Time of which it is not known
    whether ``beyond`` holds counts for nothing.
    """

    __slots__ = ("_beyond", "_meter", "_running", "_share", "booked", "ended", "kwh", "mark", "metered", "ms", "share",
                 "state", "usual_kwh", "usual_ms")  # fmt: skip
    STATE: ClassVar = ("state", "mark", "share", "kwh", "ms", "booked", "metered", "ended", "usual_kwh", "usual_ms")
    INSTANTS: ClassVar = ("mark", "ended")

    def __init__(
        self,
        memory: Timeline,
        meter: Meter,
        beyond: Callable[[], bool | None],
        running: Callable[[], bool | None],
        share: Callable[[], float],
    ) -> None:
        super().__init__(memory, 3)
        self._meter, self._beyond, self._running, self._share = meter, beyond, running, share
        self.state = NEITHER
        self.mark: list[float] = []  # the meter when the present stretch began
        self.share = 0.0
        self.kwh = self.booked = 0.0  # while beyond, since that began; and its share
        self.ms = 0
        self.metered: bool | None = True  # False: by a rated power; None: by nothing
        self.ended: int | None = 0  # when it was beyond last; None while it is, or may be
        self.usual_kwh, self.usual_ms = 0.0, 0

    @property
    def usual(self) -> float | None:
        """W while running within the limit; None while learning."""
        return self.usual_kwh * 1000 * _HOUR / self.usual_ms if self.usual_ms >= _KNOWN_FROM else None

    def case(self) -> Case:
        """As it is now; to hear of the same again changes nothing."""
        beyond = self._beyond()
        state = BEYOND if beyond else WITHIN if beyond is False and self._running() else NEITHER
        return beyond, (state, self._share() if state == BEYOND else 0.0)

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What its draw is known from."""
        return self._meter.signals

    def has_heard(self, beyond: bool | None, sort: tuple[str, float]) -> bool:
        """Whether this ``case`` is the one it stands at."""
        return sort == (self.state, self.share) and (beyond is None or beyond == (self.ended is None))

    def hear(self, moment: int) -> None:
        self.turn(moment, self.case())

    def go_through(self, moments: Ints, cases: Sequence[Case], seen: Callable[[Signal], Seen]) -> Iterator[Any]:
        """Hear of all turns of a stretch, its meter being as ``seen`` then; the state after each."""
        marks = self._meter.marks(moments, seen)
        for moment, case, mark in zip(moments.tolist(), cases, marks, strict=True):
            self.turn(moment, case, mark)
            yield self.stand()

    def stand(self) -> Any:
        """The state, to be taken up again with ``stand_at``."""
        return tuple([getattr(self, name) for name in self.STATE])

    def stand_at(self, state: Any) -> None:
        for name, value in zip(self.STATE, state, strict=True):
            setattr(self, name, value)

    def turn(self, moment: int, case: Case, mark: tuple[float, ...] | None = None) -> None:
        """Take ``case`` from ``moment`` on, when the meter stands at ``mark`` (None: it is looked at)."""
        beyond, (state, share) = case
        if (state, share) != (self.state, self.share):
            here = self._meter.mark(moment) if mark is None else mark
            self._close(moment, here)
            self.mark = list(here) if state else []
        if beyond:
            if self.ended is not None and moment > self.ended:
                self.kwh = self.booked = 0.0
                self.ms, self.metered = 0, True
            self.ended = None
        elif beyond is False and self.ended is None:
            self.ended = moment
        self.state, self.share = state, share

    def _close(self, moment: int, here: tuple[float, ...]) -> None:
        used, elapsed = Used(kwh=0.0), 0
        if self.mark and moment > self.mark[0]:
            used, elapsed = self._meter.used_between(tuple(self.mark), here), moment - int(self.mark[0])
        if self.state == BEYOND:
            self.metered = self._grade(used)
            self.kwh += used.kwh or 0.0
            self.booked += (used.kwh or 0.0) * self.share
            self.ms += elapsed
        elif self.state == WITHIN and used.kwh is not None and not used.estimated:
            self.usual_kwh, self.usual_ms = self.usual_kwh + used.kwh, self.usual_ms + elapsed
            if self.usual_ms > _REMEMBERED:
                self.usual_kwh *= _REMEMBERED / self.usual_ms
                self.usual_ms = _REMEMBERED

    def _grade(self, used: Used) -> bool | None:
        return None if used.kwh is None or self.metered is None else self.metered and not used.estimated

    def spent(self, _since: int, moment: int) -> Used:
        """Waste since it was first beyond; unknown where nothing measures the unit."""
        used, elapsed = Used(kwh=0.0), 0
        if self.state == BEYOND and self.mark and moment > self.mark[0]:
            used, elapsed = self._meter.between(tuple(self.mark), moment), moment - int(self.mark[0])
        metered, usual = self._grade(used), self.usual
        if metered is None or used.kwh is None:
            return Used()
        if usual is None or not metered:
            return Used(kwh=self.booked + used.kwh * self.share, estimated=True)
        above = self.kwh + used.kwh - usual * (self.ms + elapsed) / _HOUR / 1000
        return Used(kwh=max(0.0, above), estimated=True)
