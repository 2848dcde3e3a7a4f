"""Which signals, rooms and rules of a site look at one another, and at nothing else: what can be judged by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rules.cells import COUNTER, Cell, Signal
from rules.clocks import SeasonNow, Ticker
from rules.excess import Excess
from rules.learning import LampLight, LowLevel
from rules.maintenance import Still
from rules.memory import Memory
from rules.presence import Room
from rules.watching import Watch


class Zone:
    """Signals, rooms and rules that look at one another, and at nothing else."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self.rooms: list[Room] = []
        self.watches: list[Watch] = []
        self.lights: list[LampLight] = []
        self.levels: list[LowLevel] = []
        self.seasons: list[SeasonNow] = []
        self.excesses: list[Excess] = []
        self.mute: set[Signal] = set()  # signals that must not speak for the zone to be calm
        self.fit = True  # whether all of its cells are of kinds that are known here


class Plan(NamedTuple):
    """What never changes in a memory: its zones, its learning cells, and who tells them the time."""

    zones: list[Zone]
    stills: list[list[Still]]
    tickers: Mapping[Cell, Ticker]


def plan_of(memory: Memory) -> Plan:
    """Part the cells of ``memory`` into zones."""
    tickers = {cell: clock for clock in memory.clocks if isinstance(clock, Ticker) for cell in clock.listeners}
    groups: dict[int, list[Still]] = {}
    for cell in memory.kept.values():
        if isinstance(cell, Still):
            groups.setdefault(id(cell.others), []).append(cell)
    return Plan(list(_zones(memory)), list(groups.values()), tickers)


def _zones(memory: Memory) -> Iterable[Zone]:
    above: dict[object, object] = {}

    def top(thing: object) -> object:
        while above.setdefault(thing, thing) is not thing:
            above[thing] = thing = above[above[thing]]
        return thing

    def join(things: Iterable[object]) -> None:
        first, *rest = map(top, things)
        for thing in rest:
            above[top(thing)] = top(first)

    judging = [watch for watch in memory.watches.values() if _things(watch.condition.inputs)]
    for watch in judging:
        join(_things(watch.condition.inputs))
    for room in memory.rooms.values():
        join([room, *(source.signal for source in room.sources), *(trace.signal for trace in room.traces)])
    zones: dict[object, Zone] = {}
    for thing in list(above):
        zone = zones.setdefault(top(thing), Zone())
        if isinstance(thing, Signal):
            zone.signals.append(thing)
        elif isinstance(thing, Room):
            zone.rooms.append(thing)
    for watch in judging:
        zone = zones[top(_things(watch.condition.inputs)[0])]
        zone.watches.append(watch)
        for cell in watch.condition.inputs:
            if isinstance(cell, LampLight) and cell not in zone.lights:
                zone.lights.append(cell)
            elif isinstance(cell, LowLevel) and cell not in zone.levels:
                zone.levels.append(cell)
            elif isinstance(cell, SeasonNow) and cell not in zone.seasons:
                zone.seasons.append(cell)
            elif isinstance(cell, Excess) and cell not in zone.excesses:
                zone.excesses.append(cell)
    for zone in zones.values():
        zone.fit = _fits(zone)
    return zones.values()


def _things(inputs: Sequence[Cell]) -> list[object]:
    """The signals and rooms that a condition looks at."""
    found: list[object] = [cell for cell in inputs if isinstance(cell, (Signal, Room))]
    return found + [cell.sensor for cell in inputs if isinstance(cell, LampLight)]


def _fits(zone: Zone) -> bool:
    """Whether all of its rules can be judged at once; finds the signals that must be mute for that."""
    for watch in zone.watches:
        condition = watch.condition
        if condition.began or condition.proved or condition.head or not all(map(_is_plain, condition.inputs)):
            return False
        if condition.spent and not any(isinstance(cell, Excess) for cell in condition.inputs):
            return False
        # Signs of people from a device that the rule looks at as well: it would hear of them before the room does.
        sources = [source for cell in condition.inputs if isinstance(cell, Room) for source in cell.sources]
        own = {cell.track for cell in condition.inputs if isinstance(cell, Signal)}
        zone.mute.update(source.signal for source in sources if source.track in own)
    known: set[Cell] = {*zone.watches, *zone.lights, *zone.excesses}
    known.update(source for room in zone.rooms for source in room.sources)
    for signal in zone.signals:
        if not known.issuperset(signal.listeners) or signal.summed == COUNTER:
            zone.mute.add(signal)
    return all(known.issuperset(room.listeners) for room in zone.rooms)


def _is_plain(cell: Cell) -> bool:
    return isinstance(cell, (Signal, Room, SeasonNow, LowLevel, LampLight, Excess))
