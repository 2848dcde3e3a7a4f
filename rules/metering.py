"""How much a device has used since some moment: from its counter, else from its power or flow integrated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from rules.cells import TRAPEZIUM, Signal, Timeline
from rules.findings import Used
from rules.readings_file import Ints

__all__ = ["Meter", "Used"]

COUNTER_TRUSTED_FROM: Final = 0.5
"""kWh. Counters of small meters step by 0.01 kWh; from here on such a step is within 2 %. Below, power is better."""

COVERED: Final = 0.95  # part of the time over which power must be known for its integral to stand for all of it


class Seen(NamedTuple):
    """A signal at several moments: its last reading's instant (ms) and value, and its integral; one for all of them
    where it says nothing meanwhile."""

    heard: Any
    value: Any
    total: Any


class Meter:
    """The signals from which one device's consumption is known; any of them may never speak."""

    def __init__(
        self,
        memory: Timeline,
        *,
        power: Signal,
        energy: Signal,
        volume: Signal,
        flow: Signal,
        rated: float | None,
    ) -> None:
        self._memory = memory
        self._power, self._energy, self._volume, self._flow = power, energy, volume, flow
        self._rated = rated

    @property
    def signals(self) -> tuple[Signal, ...]:
        return self._power, self._energy, self._volume, self._flow

    @property
    def power(self) -> Signal:
        return self._power

    def mark(self, moment: int) -> tuple[float, ...]:
        """Where every source stands at ``moment``; compare two marks to know what was used between them."""
        history = self._memory.history
        if history is not None:
            for signal in self.signals:
                if signal.spoken:
                    history.catch_up(signal, moment)
        if not (self._volume.spoken or self._flow.spoken):
            return (*self._stand(self._power, self._energy, moment, 3.6e9), 0.0, 0, 0.0)
        electricity = self._stand(self._power, self._energy, moment, 3.6e9)
        return (*electricity, *self._stand(self._flow, self._volume, moment, 6e7)[1:])

    def mark_of_beginning(self, moment: int, test: Callable[[], bool | None]) -> tuple[float, ...]:
        """Where every source stands when what ``test`` tests has begun, which was seen at ``moment``.

        Where it is the power itself that shows it, by a reading that differs from the one before, it began between the
        two: halfway, as far as anybody knows. So half a period at the new power counts, and never more than what the
        integral straight between the two readings holds.
        """
        return self.from_halfway(self.mark(moment), moment, test)

    def from_halfway(self, mark: tuple[float, ...], moment: int, test: Callable[[], bool | None]) -> tuple[float, ...]:
        """The same from ``mark``, which is that of ``moment``, the present."""
        power = self._power
        turned = power.turned(moment) if power.summed == TRAPEZIUM else None
        if turned is None:
            return mark
        before, was = turned
        if not _would_fail(power, was, test):
            return mark
        if self._memory.history is not None:
            self._memory.history.catch_up(power, moment)
        return self.halfway(mark, moment, before, was, float(power.value))

    @staticmethod
    def halfway(mark: tuple[float, ...], moment: int, before: int, was: float, value: float) -> tuple[float, ...]:
        """The same where the power was ``was`` at ``before`` and is ``value`` at ``moment``."""
        half = (moment - before) // 2
        head = max(0.0, min(value * half, (was + value) * 0.5 * (moment - before)))
        return (mark[0] - half, mark[1] - head, mark[2] - half, mark[3] - head / 3.6e9, *mark[4:])

    def _stand(self, rate: Signal, counter: Signal, moment: int, per_unit: float) -> tuple[float, ...]:
        """``moment``, the integral of ``rate``, the time it is known over, and ``counter``, which goes on from its last
        reading at the rate that holds now."""
        ahead = self._ahead(rate, moment)
        total: float = rate.total + (rate.value * ahead if ahead else 0.0)  # type: ignore[operator]  # summed signals hold numbers
        slope = 0.0 if rate.unknown else float(rate.value)
        counted = counter.total + counter.base + slope / per_unit * self._ahead(counter, moment)
        return moment, total, rate.covered + ahead, counted

    def marks(self, moments: Ints, seen: Callable[[Signal], Seen]) -> list[tuple[float, ...]]:
        """``mark`` at each of ``moments``, when its signals stood as ``seen``; each is known throughout, or never."""
        parts = [moments, *self._stands(self._power, self._energy, moments, seen, 3.6e9)]
        if self._volume.spoken or self._flow.spoken:
            parts += self._stands(self._flow, self._volume, moments, seen, 6e7)
        else:
            parts += [0.0, 0, 0.0]
        columns = [part.tolist() if isinstance(part, np.ndarray) else [part] * len(moments) for part in parts]
        return list(zip(*columns, strict=True))

    def _stands(
        self, rate: Signal, counter: Signal, moments: Ints, seen: Callable[[Signal], Seen], per_unit: float
    ) -> list[Any]:
        """What ``_stand`` says but the moment, by the same operations in the same order."""
        total, covered, slope = rate.total, rate.covered, 0.0  # type: Any, Any, Any
        if not rate.unknown:
            known = seen(rate)
            ahead = self._all_ahead(rate, known, moments)
            total = known.total + known.value * ahead
            covered, slope = rate.counted + known.heard - rate.started + ahead, known.value
        counted = counter.total + counter.base
        if not counter.unknown:
            known = seen(counter)
            counted = known.total + counter.base + slope / per_unit * self._all_ahead(counter, known, moments)
        return [total, covered, counted]

    @staticmethod
    def _all_ahead(signal: Signal, known: Seen, moments: Ints) -> Ints:
        ahead: Ints = np.minimum(np.maximum(moments - known.heard, 0), signal.stale_after)
        return ahead

    def wasted(
        self,
        mark: tuple[float, ...],
        moment: int,
        kind: str,
        booked: tuple[float, float] | None,
        share: float,
        sharing: object,
    ) -> Used:
        """Consumption from ``mark`` to ``moment`` times ``share``, on top of what is ``booked`` already."""
        return self.waste_between(mark, self.mark(moment), kind, booked, share, sharing)

    def waste_between(
        self,
        mark: tuple[float, ...],
        here: tuple[float, ...],
        kind: str,
        booked: tuple[float, float] | None,
        share: float,
        sharing: object,
    ) -> Used:
        """The same between two marks."""
        if kind == "litres":
            litres = self._litres(mark, here)
            return Used(litres=None if litres is None else litres * share + (booked or (0.0, 0.0))[1])
        kwh, estimated = self._kwh(mark, here)
        if kwh is None:
            return Used()
        return Used(kwh=kwh * share + (booked or (0.0, 0.0))[0], estimated=estimated or sharing is not None)

    def between(self, mark: tuple[float, ...], moment: int) -> Used:
        """All that went through since ``mark``, electricity and water."""
        return self.used_between(mark, self.mark(moment))

    def used_between(self, mark: tuple[float, ...], here: tuple[float, ...]) -> Used:
        """The same between two marks."""
        kwh, estimated = self._kwh(mark, here)
        return Used(kwh, self._litres(mark, here), estimated)

    def heard_since(self, instant: int) -> bool:
        """Whether any of its sources has spoken since ``instant``."""
        return any(s.heard >= instant for s in self.signals)

    def _kwh(self, mark: tuple[float, ...], here: tuple[float, ...]) -> tuple[float | None, bool]:
        elapsed = here[0] - mark[0]
        counted = here[3] - mark[3] if self._energy.spoken else None
        if self._power.spoken:
            covered = here[2] - mark[2]
            integrated = (here[1] - mark[1]) / 3.6e9
            if counted is not None and (counted >= COUNTER_TRUSTED_FROM or covered < COVERED * elapsed):
                return counted, False
            if covered > 0 or not elapsed:
                return integrated, covered < COVERED * elapsed
        elif counted is not None:
            return counted, False
        if self._rated is None:
            return None, False
        return self._rated * elapsed / 3.6e9, True

    def _litres(self, mark: tuple[float, ...], here: tuple[float, ...]) -> float | None:
        if self._volume.spoken:
            return (here[6] - mark[6]) * 1000
        return (here[4] - mark[4]) / 60_000 if self._flow.spoken else None

    def _ahead(self, signal: Signal, moment: int) -> int:
        """ms from the last reading to ``moment``, while that reading still says what is so."""
        if signal.unknown or moment <= signal.heard:
            return 0
        return min(moment - signal.heard, signal.stale_after)


def _would_fail(signal: Signal, number: float, test: Callable[[], bool | None]) -> bool:
    """Whether ``test`` would be false if ``signal`` stood at ``number``."""
    present, signal.number = signal.number, number
    try:
        return test() is False
    finally:
        signal.number = present
