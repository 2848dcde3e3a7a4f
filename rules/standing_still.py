"""Whether values that ought to move stand still, at all looks of a stretch at once (``rules.maintenance.Still``)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rules.cells import NEVER, Cell, Timeline
from rules.maintenance import Still, seldom_stands
from rules.readings_file import Flags, Floats, Ints


class Moves(Cell):
    """Keeps up for those still looked at as time goes by when their neighbours moved last."""

    __slots__ = ("_moves",)

    def __init__(self, memory: Timeline, lines: Iterable[StillLine]) -> None:
        super().__init__(memory, 3)
        self._moves: dict[int, list[Still]] = {}
        for line in lines:
            for moment in line.moves():
                self._moves.setdefault(moment, []).append(line.still)

    def hear(self, moment: int) -> None:
        for still in self._moves.get(moment, ()):
            still.moved = moment


class StillLine:
    """A value that ought to move, looked at over a stretch. ``harmless`` where at no look it stood still too long."""

    def __init__(self, still: Still, ticks: Ints, heard: Ints, values: Floats, wait: int) -> None:
        """``values`` at each of ``ticks`` (ms), NaN where it is unknown, and when they were ``heard``."""
        self.still, self._ticks, self._values = still, ticks, values
        before = np.concatenate((np.array([np.nan if still.value is None else still.value]), values[:-1]))
        unknown = np.isnan(values)
        changed = (values != before) & ~unknown
        self._moved = changed & ~np.isnan(before)
        turns = np.maximum.accumulate(np.where(changed | unknown, np.arange(len(ticks)), -1))
        said = np.where(unknown, NEVER, heard)
        self._since = np.where(turns >= 0, said[turns], still.since) if len(ticks) else ticks
        self._idle = ~changed & ~unknown & (ticks - self._since <= still.MOST_IDLE)
        self.harmless = not len(ticks) or self._is_harmless(before, wait)

    def _is_harmless(self, before: Floats, wait: int) -> bool:
        # Before and after each look: what else the rule looks at is looked at, and told, in between.
        still, ticks, since = self.still, self._ticks, self._since
        stood = ticks - np.concatenate((np.array([still.since]), since[:-1])) >= wait
        if still.excuses is None:
            numbers = np.concatenate((before[stood], self._values[ticks - since >= wait]))
            zero_usual = still.lowest is not None and still.lowest <= 0
            return bool(np.isnan(numbers).all() if not zero_usual else not np.nan_to_num(numbers).any())
        if not still.judged:
            return True
        seldom = seldom_stands(_sums(still.moves, self._moved), _sums(still.idle, self._idle))
        return not bool(((seldom[:-1] | seldom[1:]) & ~np.isnan(before) & stood).any())

    def moves(self) -> list[int]:
        """The looks at which it had moved since the one before."""
        moments: list[int] = self._ticks[self._moved].tolist()
        return moments

    def take(self) -> None:
        """The cell as it is after the last look."""
        still, values = self.still, self._values
        if not len(values):
            return
        moments = self._ticks[self._moved]
        if len(moments):
            still.moved = int(moments[-1])
            still.moves += len(moments)
        still.idle += int(self._idle.sum())
        still.value = None if np.isnan(values[-1]) else float(values[-1])
        still.since = int(self._since[-1])
        values = values[~np.isnan(values)]
        early = max(still.KNOWN_AFTER - still.looks, 0)
        counted = np.concatenate((values[:early], values[early:][values[early:] != 0]))
        if len(counted):
            least = float(counted.min())
            still.lowest = least if still.lowest is None else min(still.lowest, least)
        still.looks += len(values)


def _sums(first: int, counted: Flags) -> Ints:
    """``first``, and how many there are with each of those ``counted``."""
    return np.concatenate((np.array([0]), np.cumsum(counted, dtype=np.int64))) + np.int64(first)
