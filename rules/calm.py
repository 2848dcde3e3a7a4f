"""Zones in which, for a stretch of readings, nothing is unknown: their rules are judged over all of it at once.

Where every signal of a zone is known throughout, the truth of a rule's condition follows from a few numbers over time:
the band each value lies in, presence, working hours, what was learned. numpy finds when it turns; each different case
is put to the rule's own test once. What holds for less than the wait of the rule is left out, and the ``Watch`` itself
hears of the rest, each time with the cells it looks at brought to that moment. So it finds what it would have found
reading by reading, to the last bit. Zones with flaws or sensors in doubt go through the engine event by event, and so
do those with gaps, around each of them (``rules.spans``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np

from building.quantities import MODES
from rules.cells import COUNTER, NEVER, Cell, Signal, Track
from rules.clocks import Ticker
from rules.episodes import Episode, Hours, Turns
from rules.excess import Excess
from rules.learning import LampLight, LowLevel
from rules.looking_back import Moments
from rules.maintenance import Still
from rules.memory import Memory
from rules.presence import NEVER_AFTER, Room, Witness
from rules.readings_file import Ints
from rules.runs import Run
from rules.standing_still import Moves, StillLine
from rules.timelines import (
    FIRST_DEVICE,
    WAITING,
    ExcessLine,
    LevelLine,
    LightLine,
    Line,
    RoomLine,
    SignalLine,
    edges_of,
    seen_throughout,
    ticks_of,
)
from rules.turning import all_keys, turning, worth_hearing
from rules.watching import QUIET, Watch
from rules.zones import Plan, Zone

_BY_BAND: Final = frozenset(
    ("lights_left_on", "lights_in_daylight", "aircon_unoccupied", "aircon_setpoint", "aircon_room_temperature",
     "equipment_left_on", "standby_load", "high_power_appliance")
)  # fmt: skip
"""Rules whose conditions look at nothing but the band in which a number lies, setpoints apart, and the temperature of
a unit in auto; what a site's own rule looks at is not known, so there every number that came up is its own case."""


class Call(Cell):
    """Has a cell hear, at a moment of the calendar's."""

    __slots__ = ("cell",)

    def __init__(self, memory: Memory, cell: Cell, moment: int) -> None:
        super().__init__(memory, 3)
        self.cell = cell
        self.wake_at(moment)

    def wake(self, moment: int) -> None:
        if self.memory.history is not None:
            self.memory.history.prepare(self.cell)
        self.cell.hear(moment)


class Told(Protocol):
    """What is asked of the readings that lie in columns."""

    @property
    def only_ends(self) -> bool:
        """Whether what ends in the same stretch need not be said when it is raised."""

    def spoken_until(self, signal: Signal) -> int:
        """Last instant of the stretch of readings, none of them stale, in which ``signal`` now stands."""

    def offline(self, track: Track) -> Ints:
        """Instants of the stretch at which ``track`` is said to be offline: then nothing of it is known any more."""


class Calm:
    """The calm zones of one stretch of readings, after ``memory.now`` up to ``last``; or of a span of it."""

    def __init__(self, memory: Memory, history: Told, plan: Plan, runs: Mapping[Signal, Run],
                 ranks: Mapping[Track, int], last: int,
                 within: tuple[Calm, Sequence[Zone]] | None = None) -> None:  # fmt: skip
        """``within``: the whole stretch, and which zones may be calm in the span of it in which ``runs`` are looked at;
        cells that learn without a zone, and who is told the time, are then left to the whole."""
        self._memory, self._history, self._runs, self._ranks = memory, history, runs, ranks
        self._plan = plan
        self._start, self.last, self._within = memory.now, last, within and within[0]
        self.turns = len(ranks) + FIRST_DEVICE + 1
        self._lines: dict[Cell, Any] = {}
        self._bring: dict[Cell, list[Callable[[int], None]]] = {}
        self._edges: dict[Cell, list[tuple[int, bool]]] = {}
        self._ticks: dict[Ticker, tuple[Ints, Ints] | None] = {}
        self._looked: dict[tuple[int, int], Ints] = {}
        self.quiet: set[Cell] = set()  # whom nobody needs to tell the time
        self._minded: dict[Cell, StillLine] = {}  # those on whose moves others wait
        self._asleep: list[tuple[Cell, list[Cell]]] = []  # who told the time, and whom
        self._sound: dict[Watch, bool] = {}
        self.signals: set[Signal] = set()
        self.hears: list[tuple[int, Cell]] = []  # keys at which watches must hear, or what reckons for them
        self.episodes: list[tuple[Watch, list[Episode]]] = []  # said when the stretch has come to its end
        self._hours: dict[Cell, Hours] = {}
        self._stills = self._still_ones() if within is None else []
        zones = plan.zones if within is None else within[1]
        self.zones = [zone for zone in zones if zone.fit and zone.watches and self._is_calm(zone)]
        for zone in self.zones:
            self.signals.update(zone.signals)
        self._fall_asleep()
        for zone in self.zones:
            self._judge(zone)
        for line in self._lines.values():  # trying cases has left them anyhow
            line.bring(self._start * self.turns)

    def prepare(self, watch: Cell, moment: int, rank: int) -> None:
        """Bring what ``watch`` looks at to ``moment``, with what devices up to ``rank`` said then."""
        lines = self._bring.get(watch)
        if lines is not None:
            key = moment * self.turns + (rank + FIRST_DEVICE if rank >= 0 else WAITING)
            for bring in lines:
                bring(key)

    def bring(self, cell: Cell | None, moment: int, rank: int) -> None:
        """Bring ``cell`` alone to ``moment``, as far as it is known throughout."""
        line = None if cell is None else self._lines.get(cell)
        if line is not None:
            line.bring(moment * self.turns + (rank + FIRST_DEVICE if rank >= 0 else WAITING))

    def can_look_back(self, watch: Watch) -> bool:
        """Whether it judges a calm zone, and its meter, too, can be asked later how it stood within the stretch."""
        if watch not in self._bring:
            return False
        sound = self._sound.get(watch)
        if sound is None:
            sound = self._sound[watch] = watch.meter is None or self._are_sound(watch.meter.signals)
        return sound

    def end(self) -> None:
        """All cells as they stand after the stretch."""
        for clock, listeners in self._asleep:
            clock.listeners = listeners
        for line in self._stills:
            line.take()
        key = (self.last + 1) * self.turns
        for cell, line in self._lines.items():
            line.bring(key)
            if isinstance(cell, Signal):
                line.settle()
            elif isinstance(cell, LampLight) and line.due:
                cell.wake_at(line.due)
        for zone in self.zones:
            for room in zone.rooms:
                for source in room.sources:
                    self._end_of(source)
        for line in self._lines.values():  # they hold one another: let them go without a search for such circles
            line.forget()
        self._lines.clear()
        self._bring.clear()

    def _end_of(self, source: Witness) -> None:
        line = self._lines.get(source.signal)
        if line is None or not len(line.values):
            source.resume(self.last)
            return
        sees = line.values >= 0.5
        source.ever = source.ever or bool(sees.any())
        if not sees[-1]:
            source.yes_since = NEVER
        else:
            blind = np.flatnonzero(~sees)
            if len(blind) or source.yes_since == NEVER:
                begin = int(blind[-1]) + 1 if len(blind) else 0
                source.yes_since = int(line.keys[begin]) // self.turns
        source.resume(self.last)

    # -- who is calm ---------------------------------------------------------------------------------------------------

    def _is_calm(self, zone: Zone) -> bool:
        if any(watch.unknown_since for watch in zone.watches):
            return False
        if any(signal.spoken or signal in self._runs for signal in zone.mute):
            return False
        for season in zone.seasons:
            days = range(self._start, self.last + 86_400_000, 86_400_000)
            if any(season.calendar.season(min(day, self.last)) != season.name for day in days):
                return False
        return (
            all(self._is_known(signal) for signal in zone.signals)
            and all(self._is_plain(room) for room in zone.rooms)
            and all(self._ticks_of(level) is not None for level in zone.levels)
        )

    def _is_known(self, signal: Signal) -> bool:
        run = self._runs.get(signal)
        if run is None:
            return signal.unknown or self._lasts(signal)
        return run.steady and self._lasts(signal)

    def _lasts(self, signal: Signal) -> bool:
        offline = self._history.offline(signal.track)
        if len(offline) and ((offline > self._start) & (offline <= self.last)).any():
            return False
        return self._history.spoken_until(signal) + signal.stale_after > self.last

    def _is_plain(self, room: Room) -> bool:
        """Whether presence there is known throughout."""
        spans = (*room.bookings.fixed, *room.bookings.spans)
        if any(start <= self.last and end > self._start for start, end in spans):
            return False
        if room.expected is None or any(patience.waiting(self._start) for patience in room.awaited):
            return False
        if not room.sensed:
            return True
        spoken = [source for source in room.sources if source.spoken]
        return bool(spoken) and all(self._is_trusted(source) for source in spoken)

    def _is_trusted(self, source: Witness) -> bool:
        if source.unknown:
            return False
        run = self._runs.get(source.signal)
        events = np.empty(0, np.int64) if run is None else run.events
        times = events if run is None else run.times[events]
        sees = np.zeros(0, np.bool_) if run is None else run.values[events] >= 0.5
        if not source.ever and (blind := source.first + NEVER_AFTER) <= self.last and not sees[times < blind].any():
            return False
        before = np.concatenate((np.array([source.sees]), sees))[: len(sees)]
        return not seen_throughout(source.yes_since, times[sees & ~before], times[~sees & before], self.last)

    def _ticks_of(self, cell: Cell) -> tuple[Ints, Ints] | None:
        return self.ticks(self._plan.tickers[cell])

    def ticks(self, ticker: Ticker) -> tuple[Ints, Ints] | None:
        """When ``ticker`` tells, and the minutes of the day."""
        if ticker not in self._ticks:
            self._ticks[ticker] = self._new_ticks(ticker)
        return self._ticks[ticker]

    def _new_ticks(self, ticker: Ticker) -> tuple[Ints, Ints] | None:
        if self._within is None:
            return ticks_of(ticker, self._start, self.last)
        whole = self._within.ticks(ticker)
        if whole is None:
            return None
        part = slice(*whole[0].searchsorted([self._start, self.last], "right").tolist())
        return whole[0][part], whole[1][part]

    def _looks(self, run: Run, ticks: Ints) -> Ints:
        """Places of the last readings before each tick."""
        key = (id(run.times), id(ticks))
        if key not in self._looked:
            self._looked[key] = run.times.searchsorted(ticks, "left") - 1
        return self._looked[key]

    # -- learning ------------------------------------------------------------------------------------------------------

    def _still_ones(self) -> list[StillLine]:
        """Those that move. Where one of a kind must be looked at as time goes by, so must when the others moved; what
        one rule looks at is looked at together."""
        lines = {still: self._still_line(still) for group in self._plan.stills for still in group}
        awake = {listener for still, line in lines.items() if not line for listener in still.listeners}
        found: list[StillLine] = []
        for group in self._plan.stills:
            busy = [still for still in group if not awake.isdisjoint(still.listeners)]
            known = [line for still in group if isinstance(line := lines[still], StillLine) and still not in busy]
            found += known
            self.quiet.update(still for still in group if still not in busy)
            if busy:
                self._minded.update((line.still, line) for line in known)
        return found

    def _still_line(self, still: Still) -> StillLine | bool:
        """True where there is nothing to look at, False where it must be looked at as time goes by."""
        run = self._runs.get(still.signal)
        (watch,) = still.listeners
        ticks = self._ticks_of(still)
        if ticks is None or not isinstance(watch, Watch) or watch.phase != QUIET:
            return False
        if run is None:
            return still.signal.unknown and still.value is None
        if not run.steady and (run.good is not None or not run.ages):
            return False
        places = self._looks(run, ticks[0])
        heard, values = run.times[places], run.values[places]
        unknown = (places < 0) | (ticks[0] - heard >= still.signal.stale_after)
        if unknown.any():
            if not run.ages:
                return False
            values[unknown] = np.nan
        line = StillLine(still, ticks[0], heard, values, watch.after)
        return line if line.harmless else False

    def _fall_asleep(self) -> None:
        """Nobody tells those the time whose whole stretch is known already."""
        quiet = self.quiet
        for zone in self.zones:
            quiet.update(zone.rooms)
            quiet.update(zone.levels)
            for source in (source for room in zone.rooms for source in room.sources):
                source.waking = 0
        if self._within is not None:
            return
        for clock in self.clocks():
            self._asleep.append((clock, clock.listeners))
            clock.listeners = list(self._awake(clock.listeners, quiet))

    def clocks(self) -> set[Cell]:
        """Who tells the time."""
        return {*self._plan.tickers.values(), *(room.working for zone in self._plan.zones for room in zone.rooms)}

    def judged(self) -> Iterable[Cell]:
        """Who is judged here."""
        return self._bring.keys()

    def _awake(self, listeners: Sequence[Cell], quiet: set[Cell]) -> Iterator[Cell]:
        """Who is still told, in the same order."""
        minded: list[StillLine] = []
        for cell in listeners:
            if cell not in quiet:
                if minded:
                    yield Moves(self._memory, minded)
                    minded = []
                yield cell
            elif cell in self._minded:
                minded.append(self._minded[cell])
        if minded:
            yield Moves(self._memory, minded)

    # -- judging -------------------------------------------------------------------------------------------------------

    def _judge(self, zone: Zone) -> None:
        for signal in zone.signals:
            run = self._runs.get(signal)
            if run is not None:
                self._lines[signal] = SignalLine(signal, run, self.turns)
        for room in zone.rooms:
            self._lines[room] = self._room_line(room)
        for level in zone.levels:
            self._learn(level)
        for light in zone.lights:
            self._learn_light(light, zone)
        for excess in zone.excesses:
            self._reckon(excess, zone)
        for watch in zone.watches:
            self._hear(watch)

    def _room_line(self, room: Room) -> RoomLine:
        sources = []
        for source in room.sources if room.sensed else ():
            line = self._lines.get(source.signal)
            if line is not None:
                sources.append((source.sees, line.keys, line.values))
            elif source.spoken:
                sources.append((source.sees, np.empty(0, np.int64), np.empty(0)))
        return RoomLine(room, sources, self.edges_of(room), self.turns)

    def _learn(self, level: LowLevel) -> None:
        run, signal = self._runs.get(level.signal), level.signal
        ticks = self._ticks_of(level)
        assert ticks is not None
        heard: int | Ints = signal.heard
        values = np.full(len(ticks[0]), np.nan if signal.unknown else signal.value, np.float64)
        if run is not None:
            places = self._looks(run, ticks[0])
            heard, values = run.times[places], run.values[places]
        values[ticks[0] - heard >= signal.stale_after] = np.nan
        self._lines[level] = LevelLine(level, *ticks, values, self.turns)

    def _learn_light(self, light: LampLight, zone: Zone) -> None:
        run, sensor = self._runs.get(light.sensor), light.sensor

        def lux(moment: int, turn: int) -> float | None:
            if run is None:
                known = not sensor.unknown and moment - sensor.heard < sensor.stale_after
                return float(sensor.value) if known else None
            return run.fresh_at(moment, turn - FIRST_DEVICE)

        lines = [self._lines[cell].line(False) for cell in self._told(light, zone)]
        changes = []
        if lines:
            found = turning(lines, lambda: (light.is_lit(), None))
            for key, lit in zip(found.keys.tolist(), found.truths().tolist(), strict=True):
                changes.append((key // self.turns, key % self.turns, lit))
        light.waking, due = 0, light.waking if light.edge else 0
        self._lines[light] = LightLine(light, changes, lux, due, self.turns, self.last)

    def _told(self, cell: Cell, zone: Zone) -> list[Signal]:
        """Signals that speak, of those that tell ``cell``."""
        return [signal for signal in zone.signals if cell in signal.listeners and signal in self._lines]

    def _reckon(self, excess: Excess, zone: Zone) -> None:
        """Have ``excess`` hear of all that turns; where its meter falters, when that happens."""
        changing = self._changing(excess, self._told(excess, zone), exact=False)
        if not changing:
            return
        heard = excess.has_heard(*excess.case())
        found = turning(changing, excess.case)
        if not heard or not self._are_sound(excess.signals):
            self._call(excess, found.keys if heard else all_keys(changing))
            return
        moments, ranks = found.keys // self.turns, found.keys % self.turns - FIRST_DEVICE
        seen = Moments(self._runs, moments, ranks).seen
        cases = [found.cases[number] for number in found.numbers.tolist()]
        self._lines[excess] = ExcessLine(excess, found.keys, excess.go_through(moments, cases, seen))

    def _changing(self, cell: Cell, inputs: Sequence[Cell], *, exact: bool) -> list[Line]:
        """The lines of what ``cell`` looks at, all put to their first states, that do not stay there."""
        modes = [cell for cell in inputs if isinstance(cell, Signal) and cell.quantity == "mode"]
        numbers = ("setpoint", "temperature") if any(map(self._may_be_auto, modes)) else ("setpoint",)
        lines, brings = [], []
        for given in inputs:
            found = self._lines.get(given)
            if found is None:
                continue
            brings.append(found.bring)
            by_number = exact or (isinstance(given, Signal) and given.quantity in numbers)
            lines.append(found.line(by_number) if isinstance(given, Signal) else found.line)
        self._bring[cell] = brings
        for line in lines:
            line.show(int(line.codes[0]))
        return [line for line in lines if len(line.keys)]

    def _hear(self, watch: Watch) -> None:
        """Find when ``watch`` must hear."""
        condition = watch.condition
        share = condition.share

        def case() -> tuple[bool | None, float]:
            truth = condition.test()
            return truth, share() if share is not None and truth else 1.0

        changing = self._changing(watch, list(dict.fromkeys(condition.inputs)), exact=watch.rule not in _BY_BAND)
        if not changing:
            return
        found = turning(changing, case)
        keys, first = found.keys, found.held
        if first is not None and first != (watch.phase != QUIET and not watch.ending):
            keys = all_keys(changing)  # it has not heard yet how things are
        elif len(keys) and found.known:
            turns = Turns(watch, keys, bool(first), self.turns, self.last)
            if self._history.only_ends and self._is_told(watch) and turns.is_plain():
                keys = self._tell(watch, turns)
            else:
                keys = keys[worth_hearing(watch, keys // self.turns, found.truths(), bool(first))]
        self._call(watch, keys)

    def _is_told(self, watch: Watch) -> bool:
        """Whether all that its alerts say is known throughout."""
        condition, meter = watch.condition, watch.meter
        if watch.rule not in _BY_BAND or condition.share is not None:
            return False
        if any(isinstance(cell, Excess) and cell not in self._lines for cell in condition.inputs):
            return False
        return self._are_sound([*condition.shown, *(meter.signals if meter is not None else ())])

    def _are_sound(self, signals: Iterable[Signal]) -> bool:
        """Whether each is known throughout, or never, and no counter falls."""
        return all(map(self._is_known, signals)) and not any(
            signal.summed == COUNTER and signal in self._runs and len(self._runs[signal].events) for signal in signals
        )

    def _tell(self, watch: Watch, turns: Turns) -> Ints:
        """Find what ``watch`` raises and ends within the stretch; the keys at which it must hear besides."""
        head, tail = turns.parts()
        sure = self._sure(watch)
        found = [episode for chain in turns.chains(head, tail) for episode in turns.episodes(chain, sure)]
        if found:
            self.episodes.append((watch, found))
        if sure is not None and watch.condition.room is not None:
            self._hours_of(watch.condition.room).bring(self._start)
        return turns.of_its_own(head, tail)

    def _sure(self, watch: Watch) -> Callable[[int], int] | None:
        """``sure`` of its condition as it is at a key."""
        sure, room = watch.condition.sure, watch.condition.room
        if sure is None or room is None:
            return sure and (lambda _key: sure())
        if sure == room.vacant_for_sure and room.hold <= watch.after:
            return None  # nobody has been there since it began, so it is sure by then
        line, hours = self._lines[room], self._hours_of(room)

        def then(key: int) -> int:
            line.bring(key)
            hours.bring(key // self.turns)
            return sure()

        return then

    def _hours_of(self, room: Room) -> Hours:
        working = room.working
        if working not in self._hours:
            self._hours[working] = Hours(working, self.edges_of(room))
        return self._hours[working]

    def edges_of(self, room: Room) -> list[tuple[int, bool]]:
        """When working hours begin and end there."""
        edges = self._edges.get(room.working)
        if edges is None:
            if self._within is None:
                edges = edges_of(room.working, self._start, self.last)
            else:
                edges = [edge for edge in self._within.edges_of(room) if self._start < edge[0] <= self.last]
            self._edges[room.working] = edges
        return edges

    def _may_be_auto(self, mode: Signal) -> bool:
        line = self._lines.get(mode)
        return mode.value == "auto" if line is None else bool((line.numbers == MODES.index("auto")).any())

    def _call(self, cell: Cell, keys: Ints) -> None:
        """Have ``cell`` hear at ``keys``."""
        for key in keys.tolist():
            if key % self.turns < FIRST_DEVICE:
                Call(self._memory, cell, key // self.turns)
            else:
                self.hears.append((key, cell))
