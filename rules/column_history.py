"""What was said in columns and never handed to the engine, for the cells that look back at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rules.calm import Calm
from rules.cells import NEVER, Cell, Signal, Track, Turn
from rules.looking_back import findings
from rules.memory import Memory
from rules.presence import Room
from rules.readings_file import Ints
from rules.runs import Instants, Run
from rules.spans import Calms
from rules.watching import Watch
from rules.zones import Plan, plan_of

_NONE: Final = np.empty(0, np.int64)


class ColumnHistory:
    """What the cells need to know of readings that were not handed to them (``rules.cells.History``)."""

    def __init__(self) -> None:
        self._runs: dict[Signal, Run] = {}
        self._said: dict[Track, list[Instants]] = {}
        self._offline: dict[Track, Ints] = {}
        self._moment = 0
        self._rank = -1
        self._plan: Plan | None = None
        self.calm: Calms | None = None  # while a stretch is gone through
        self._held_back: dict[Watch, tuple[int, int, int]] | None = None  # what calm zones raised: instant, rank, at

    def plan(self, memory: Memory) -> Plan:
        if self._plan is None:
            self._plan = plan_of(memory)
        return self._plan

    def prepare(self, watch: Cell) -> None:
        calm = None if self.calm is None else self.calm.calm_of(watch)
        if calm is not None:
            calm.prepare(watch, self._moment, self._rank)

    @property
    def only_ends(self) -> bool:
        """Whether what ends in the same stretch need not be said when it is raised."""
        return self._held_back is not None

    def hold_back(self) -> None:
        """Say of what begins and ends in one stretch only the end, where the waste does not depend on a share."""
        if self._held_back is None:
            self._held_back = {}

    def holds_back(self, watch: Cell, state: str, at: int) -> bool:
        if self._held_back is None or self.calm is None or not isinstance(watch, Watch):
            return False
        settled = watch.condition.share is None and watch.condition.spent is None
        if state == "raised" and settled and self.calm.can_look_back(watch):
            self._held_back[watch] = (self._moment, self._rank, at)
            return True
        self._held_back.pop(watch, None)
        return False

    def say_all(self, memory: Memory, calms: Sequence[Calm]) -> None:
        """Say what was held back in ``calms`` and has not ended, as it was then."""
        present = (memory.now, self._moment, self._rank)
        held_back = self._held_back or {}
        for watch, (moment, rank, at) in list(held_back.items()):
            calm = None if self.calm is None else self.calm.calm_of(watch)
            if calm is not None and calm not in calms:
                continue
            memory.now, self._moment, self._rank = moment, moment, rank
            self.prepare(watch)
            watch.tell_found("raised", at)
            del held_back[watch]
        for calm in calms:
            self._look_back(memory, calm)
        memory.now, self._moment, self._rank = present

    def _look_back(self, memory: Memory, calm: Calm) -> None:
        """Say what was raised and ended in calm zones."""
        for watch, episodes in calm.episodes:

            def bring(moment: int, rank: int, watch: Watch = watch) -> None:
                memory.now, self._moment, self._rank = moment, moment, rank
                calm.prepare(watch, moment, rank)

            def bring_room(moment: int, rank: int, room: Room | None = watch.condition.room) -> None:
                memory.now, self._moment, self._rank = moment, moment, rank
                calm.bring(room, moment, rank)

            memory.findings += findings(watch, episodes, self._runs, bring, bring_room)

    def end(self) -> None:
        """The end of a stretch: every signal as it stands then. Its columns are not looked at any more."""
        for run in self._runs.values():
            run.finish()
        for track, said in self._said.items():
            if track.on_change:
                track.said = max(track.said, *(instants.array.item(-1) for instants in said))
        self._runs.clear()
        self._said.clear()
        self._offline.clear()

    def add(self, run: Run) -> None:
        self._runs[run.signal] = run

    def hear_of(self, track: Track, times: list[Instants], offline: Ints) -> None:
        """All instants at which ``track`` says anything, by quantity, and those at which it is said to be offline."""
        self._said[track] = times
        if len(offline):
            self._offline[track] = offline

    def offline(self, track: Track) -> Ints:
        """Instants of the stretch at which ``track`` is said to be offline: then nothing of it is known any more."""
        return self._offline.get(track, _NONE)

    def set_now(self, moment: int, rank: int = -1) -> None:
        """Everything before ``moment`` has been said, and at it what devices up to ``rank`` say."""
        if moment == self._moment:  # what fell due through a reading of this very moment comes after that reading
            rank = max(rank, self._rank)
        self._moment, self._rank = moment, rank

    def catch_up(self, signal: Signal, moment: int) -> None:
        run = self._runs.get(signal)
        if run is not None:
            run.bring(self._place(run))

    def turn(self, signal: Signal) -> Turn | None:
        run = self._runs.get(signal)
        return None if run is None else run.turn(self._place(run))

    def spoken_until(self, signal: Signal) -> int:
        run = self._runs.get(signal)
        if signal.track.on_change:
            said = signal.track.said if run is None else max(signal.track.said, self._heard(run))
            return self.said_until(signal.track, signal.stale_after, said)
        return signal.heard if run is None else run.fresh_until(self._place(run))

    def said_until(self, track: Track, limit: int, last: int) -> int:
        """See ``rules.cells.History``. No quantity alone need speak within the limit; together they must."""
        moved = True
        while moved:
            moved = False
            for instants in self._said.get(track, ()):
                times = instants.array
                place = instants.place(last, True) + 1
                if place < len(times) and times.item(place) - last < limit:
                    steady = instants.longest < limit
                    last, moved = times.item(-1) if steady else _stretch_end(times, place, limit), True
        return last

    def _heard(self, run: Run) -> int:
        place = self._place(run)
        return int(run.times[place]) if place >= 0 else NEVER

    def _place(self, run: Run) -> int:
        return run.instants.place(self._moment, run.rank <= self._rank)


def _stretch_end(times: Ints, place: int, limit: int) -> int:
    """Last of the readings from number ``place`` on before a gap of ``limit``."""
    step = 64
    while place < len(times) - 1:
        gaps = np.diff(times[place : place + step + 1])
        long = np.flatnonzero(gaps >= limit)
        if len(long):
            return int(times[place + long[0]])
        place += len(gaps)
        step *= 4
    return int(times[place])


def history_of(memory: Memory) -> ColumnHistory:
    """What ``memory`` knows of columns; from now on it takes nothing else."""
    if not isinstance(memory.history, ColumnHistory):
        memory.history = ColumnHistory()
    return memory.history
