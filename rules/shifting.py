"""A memory as it would be had the clock always been as it is now: for when somebody has set the clock back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from building.instants import EARLIEST
from rules.cells import Cell
from rules.clocks import SeasonNow, Working
from rules.memory import Memory
from rules.watching import FIRING

_OF_SIGNALS: Final = ("said", "before", "started", "fell_at")
_OF_WATCHES: Final = ("unknown_since", "ending", "mark")


def shift(memory: Memory, by: int) -> None:
    """Move every instant that ``memory`` holds by ``by`` ms; what is due when must then be found anew (``load``).

    Bookings stay, which people made by the calendar. So does since when an alert stands that was told: it is known by
    that.
    """
    memory.now, memory.begun = moved(memory.now, by), moved(memory.begun, by)
    for track in memory.tracks.values():
        track.release()
        track.said = moved(track.said, by)
        for signal in track.signals.values():
            _move(signal, _OF_SIGNALS, by)
            if signal.turn is not None:
                at, before, was = signal.turn
                signal.turn = (at + by, before + by, was)
    for cell in memory.kept.values():
        _move(cell, cell.INSTANTS, by)
    for watch in memory.watches.values():
        _move(watch, _OF_WATCHES, by)
        if watch.phase != FIRING:
            _move(watch, ("since", "due"), by)


def _move(cell: object, names: Sequence[str], by: int) -> None:
    for name in names:
        setattr(cell, name, moved(getattr(cell, name), by))


def moved(instant: Any, by: int) -> Any:
    """``instant`` (ms) moved by ``by``; of a mark its moment, of marks each one's. What was never set stays so."""
    if isinstance(instant, list | tuple):
        if not instant or isinstance(instant[0], list | tuple):
            return type(instant)(moved(mark, by) for mark in instant)
        return type(instant)((moved(instant[0], by), *instant[1:]))
    return instant + by if instant is not None and instant >= EARLIEST else instant


def calendar(memory: Memory) -> list[tuple[Cell, object]]:
    """What depends on the calendar, and how it stands."""
    found: list[tuple[Cell, object]] = []
    for cell in memory.clocks:
        if isinstance(cell, Working):
            found.append((cell, cell.state))
        elif isinstance(cell, SeasonNow):
            found.append((cell, cell.name))
    return [*found, *((room, (room.vacant, room.unneeded, room.expected)) for room in memory.rooms.values())]
