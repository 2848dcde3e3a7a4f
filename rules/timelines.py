"""How cells stand over a stretch of readings, seen at once: by numpy from columns instead of event by event.

Instants and turns are one number, a key: ``(ms * turns) + turn``. Of one instant the calendar has turn 0, what waits
for a moment turn 1, and the devices' readings theirs by name from turn 2 on; a change holds from its key on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from building.quantities import MODES
from rules.cells import NEVER, Signal
from rules.clocks import Ticker, Working
from rules.excess import Excess
from rules.learning import LampLight, LowLevel
from rules.presence import STUCK_AFTER, Room
from rules.readings_file import Floats, Ints
from rules.runs import Run

CALENDAR, WAITING, FIRST_DEVICE = 0, 1, 2
_DAY: Final = 86_400_000
_MINUTE: Final = 60_000


def once(parts: Sequence[Ints]) -> Ints:
    """All keys of ``parts``, in order, each once."""
    keys = np.concatenate(parts)
    keys.sort()
    first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    found: Ints = keys[first]
    return found


class Line(NamedTuple):
    """A cell's state over time as small numbers: ``codes[0]`` at first, ``codes[n + 1]`` from ``keys[n]`` on.

    ``show`` puts the cell into the state of a code, as far as a condition looks at it.
    """

    keys: Ints
    codes: Ints
    show: Callable[[int], None]


def ticks_of(ticker: Ticker, after: int, until: int) -> tuple[Ints, Ints] | None:
    """Moments at which ``ticker`` tells after ``after`` up to ``until``, and their minutes of the day; None where
    summer time begins or ends in between."""
    minutes = np.array(ticker.minutes, np.int64)
    day = datetime.fromtimestamp(after / 1000, UTC).astimezone(ticker.tz).date()
    start = _midnight(day.year, day.month, day.day, ticker)
    moments = []
    while start <= until:
        day += timedelta(days=1)
        following = _midnight(day.year, day.month, day.day, ticker)
        if following - start != _DAY:
            return None
        moments.append(start + minutes * _MINUTE)
        start = following
    found = np.concatenate(moments) if moments else np.empty(0, np.int64)
    wanted = (found > after) & (found <= until)
    return found[wanted], np.tile(minutes, len(moments))[wanted]


def _midnight(year: int, month: int, day: int, ticker: Ticker) -> int:
    return int(datetime(year, month, day, tzinfo=ticker.tz).timestamp() * 1000)


def edges_of(working: Working, after: int, until: int) -> list[tuple[int, bool]]:
    """When working hours begin and end after ``after`` up to ``until``."""
    found = []
    moment = working.calendar.next_change(after, working.zone)
    while moment <= until:
        found.append((moment, working.calendar.is_working(moment, working.zone)))
        moment = working.calendar.next_change(moment, working.zone)
    return found


class SignalLine:
    """A signal's bands over a stretch: the numbers with which it entered each."""

    def __init__(self, signal: Signal, run: Run, turns: int) -> None:
        self.signal, self.worded, self._cuts = signal, run.worded, run.cuts
        places = run.events
        self.keys = run.times[places] * turns + (run.rank + FIRST_DEVICE)
        self.values = run.values[places]
        first: float = run.values[run.first] if run.worded else signal.number
        self.numbers = np.concatenate((np.array([first]), self.values))
        self._keys: list[int] = self.keys.tolist()
        self._lines: dict[bool, Line] = {}

    def line(self, exact: bool) -> Line:
        """Coded by number where ``exact``, else by band."""
        if exact not in self._lines:
            if exact or self.worded or self.signal.each:
                seen, codes = np.unique(self.numbers, return_inverse=True)
            else:
                bands = self._cuts.searchsorted(self.numbers, "right")
                inside = np.full(len(self._cuts) + 1, np.nan)  # a number of each band that comes up
                inside[bands] = self.numbers
                up = inside == inside
                seen, codes = inside[up], (np.add.accumulate(up) - 1)[bands]
            shown = seen.tolist()
            self._lines[exact] = Line(self.keys, codes, lambda code: self._show(shown[code]))
        return self._lines[exact]

    def _show(self, number: float) -> None:
        if self.worded:
            self.signal.value = MODES[int(number)]
        else:
            self.signal.number = number

    def bring(self, key: int) -> None:
        self._show(float(self.numbers[bisect_right(self._keys, key)]))

    def forget(self) -> None:
        self._lines.clear()

    def settle(self) -> None:
        """The signal as after its last reading."""
        if len(self.values):
            value = self.signal.value
            self.signal.settle(value if self.worded else float(self.values[-1]))
            self.signal.value = value


class RoomLine:
    """Presence in a zone whose sensors are known all the time, none of them stuck."""

    def __init__(self, room: Room, sources: Sequence[tuple[bool, Ints, Floats]], edges: list[tuple[int, bool]],
                 turns: int) -> None:  # fmt: skip
        """``sources``: whether each sensor sees somebody at first, the keys of its changes and its values then."""
        self.room = room
        at_work = np.array([moment * turns for moment, _ in edges], np.int64)
        keys = once([at_work, *(own for _, own, _ in sources)])
        off = self._held(keys, at_work, np.array([not state for _, state in edges], np.bool_), not room.expected)
        signs = np.full(len(keys) + 1, NEVER)  # the last sign of people, after each key
        if sources:
            yes = np.zeros(len(keys) + 1, np.bool_)
            for first, own, values in sources:
                yes |= self._held(keys, own, values >= 0.5, first)
            signs[1:] = np.maximum.accumulate(np.where(yes[1:] | yes[:-1], keys // turns, NEVER))
            codes = ~yes * 2 + (~yes | off)
        else:
            yes = np.zeros(len(keys) + 1, np.bool_)
            codes = off * 3
        self._keys, self._yes, self._last = keys.tolist(), yes.tolist(), signs.tolist()
        self._before = room.last_sign
        self._codes = codes.tolist()
        changed = np.flatnonzero(codes[1:] != codes[:-1])
        self.line = Line(keys[changed], np.concatenate((codes[:1], codes[changed + 1])), self.show)

    @staticmethod
    def _held(keys: Ints, own: Ints, states: Any, first: bool) -> Any:
        """A state at first and after each of ``keys``."""
        every = np.concatenate((np.array([first]), states))
        return np.concatenate((every[:1], every[own.searchsorted(keys, "right")]))

    def show(self, code: int) -> None:
        self.room._state = (code >= 2, code % 2 == 1)

    def forget(self) -> None:
        del self.line

    def bring(self, key: int) -> None:
        """The room as it stands at ``key``."""
        place = bisect_right(self._keys, key)
        self.show(self._codes[place])
        self.room.yes = self._yes[place]
        self.room.last_sign = max(self._before, self._last[place])


def seen_throughout(first_yes: int, yes_at: Ints, no_at: Ints, last: int) -> bool:
    """Whether a sensor sees somebody for so long at a stretch, up to ``last``, that it may be stuck."""
    begins = yes_at if first_yes == NEVER else np.concatenate((np.array([first_yes]), yes_at))
    ends = np.concatenate((no_at, np.array([last])))[: len(begins)]
    return bool(len(begins)) and bool((ends - begins[: len(ends)] >= STUCK_AFTER).any())


class LevelLine:
    """A standby level over a stretch, with all that was looked at in it counted."""

    def __init__(self, level: LowLevel, ticks: Ints, minutes: Ints, values: Floats, turns: int) -> None:
        self.level = level
        self._states: list[tuple[float | None, int]] = [(level.level, level.days)]
        told: list[int] = []
        listeners, level.listeners = level.listeners, []  # nobody is told until all is known
        looks, done = values.tolist(), 0
        for place in np.flatnonzero(minutes == 0).tolist():
            level.look(*looks[done : place + 1])
            done = place + 1
            moment = int(ticks[place])
            level.close_day(moment)
            told.append(moment * turns)
            self._states.append((level.level, level.days))
        level.look(*looks[done:])
        level.listeners = listeners
        self._told = told
        days = np.array(told, np.int64)
        levels = [state[0] for state in self._states]
        places = [n for n in range(1, len(levels)) if levels[n] != levels[n - 1]]
        self.line = Line(days[np.array(places, np.int64) - 1], np.arange(len(places) + 1), self._show)
        self._shown = [levels[0], *(levels[n] for n in places)]

    def _show(self, code: int) -> None:
        self.level.level = self._shown[code]

    def forget(self) -> None:
        del self.line

    def bring(self, key: int) -> None:
        self.level.level, self.level.days = self._states[bisect_right(self._told, key)]


class ExcessLine:
    """What a unit drew above its usual, over a stretch."""

    line: Final = Line(np.empty(0, np.int64), np.zeros(1, np.int64), lambda _code: None)  # no rule's case depends on it

    def __init__(self, excess: Excess, keys: Ints, states: Iterable[Any]) -> None:
        """``states``: those after each of ``keys``."""
        self._excess, self._keys = excess, keys.tolist()
        self._states = [excess.stand(), *states]

    def forget(self) -> None:
        """It holds nothing that holds it."""

    def bring(self, key: int) -> None:
        self._excess.stand_at(self._states[bisect_right(self._keys, key)])


class LightLine:
    """What a lamp adds to a sensor's light, over a stretch."""

    def __init__(self, light: LampLight, changes: Sequence[tuple[int, int, bool]],
                 lux: Callable[[int, int], float | None], due: int, turns: int, last: int) -> None:  # fmt: skip
        """``changes``: instant, turn and state of the lamp; ``lux``: the sensor's value at an instant and turn;
        ``due``: when the light of the last switching is to be looked at, 0 for none."""
        self.light = light
        states, told = [light.jumps], []
        for moment, turn, lit in [*changes, (last + 1, 0, bool(light.lit))]:
            if due and due <= min(moment, last):
                after = lux(due, WAITING)
                if light.before is not None and after is not None:
                    jump = after - light.before if light.lit else light.before - after
                    states.append([*states[-1], max(jump, 0.0)][-light.MOST :])
                    told.append(due * turns + WAITING)
                light.edge = due = 0
            if moment > last:
                break
            before, light.lit = light.lit, lit
            if before is not None and lit != before:
                light.edge, light.before = moment, lux(moment, turn)
                due = moment + light.delay
        self.due = due
        self._states, self._told = states, told
        numbers: dict[float | None, int] = {}  # of the states that add the same light, the first stands for all
        self._alike: list[int] = []
        codes = []
        for place, jumps in enumerate(states):
            added = median(jumps) if jumps else None
            if added not in numbers:
                numbers[added] = len(self._alike)
                self._alike.append(place)
            codes.append(numbers[added])
        shown = np.array(codes)
        changed = np.flatnonzero(shown[1:] != shown[:-1])
        keys = np.array(told, np.int64)[changed]
        self.line = Line(keys, np.concatenate((shown[:1], shown[changed + 1])), self._show)

    def _show(self, code: int) -> None:
        self.light.jumps = self._states[self._alike[code]]

    def forget(self) -> None:
        del self.line

    def bring(self, key: int) -> None:
        self.light.jumps = self._states[bisect_right(self._told, key)]
