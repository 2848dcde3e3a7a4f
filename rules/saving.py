"""The engine's memory as bytes and back: plain data, kept by zone, told by names and not by places."""

from __future__ import annotations

import heapq
from typing import Any, Final

import msgspec

from building.errors import InputError
from building.instants import EARLIEST
from building.readings import GOOD, Flaw, Grade, Quality, Reading
from rules.memory import Memory

_VERSION: Final = 2


class _ZoneState(msgspec.Struct, omit_defaults=True):
    """All that is remembered of one zone ("" for devices without one)."""

    said: dict[str, int] = {}
    signals: dict[str, dict[str, list[Any]]] = {}
    cells: dict[str, list[Any]] = {}
    watches: dict[str, dict[str, list[Any]]] = {}


class _Saved(msgspec.Struct):
    version: int
    now: int
    begun: int
    zones: dict[str, _ZoneState]
    late: list[tuple[str, int, dict[str, Any], int, str, dict[str, tuple[int, str]]]]


_SIGNAL = ("value", "heard", "unknown", "before", "total", "counted", "started", "base", "fell_from", "fell_at", "turn")
_HEARD: Final = _SIGNAL.index("heard")
_WATCH = ("phase", "since", "due", "raised", "unknown_since", "ending", "mark", "excess", "share", "waste")


def _values(cell: object, names: tuple[str, ...]) -> list[Any]:
    return [getattr(cell, name) for name in names]


def dump(memory: Memory) -> bytes:
    """``memory`` as MessagePack."""
    zones: dict[str, _ZoneState] = {}

    def of(zone: str | None) -> _ZoneState:
        return zones.setdefault(zone or "", _ZoneState(said={}, signals={}, cells={}, watches={}))

    for ident, track in memory.tracks.items():
        spoken = {name: _values(signal, _SIGNAL) for name, signal in track.signals.items() if signal.spoken}
        if spoken:
            of(track.device.zone).signals[ident] = spoken
            of(track.device.zone).said[ident] = track.said
    for (zone, name), cell in memory.kept.items():
        of(zone).cells[name] = _values(cell, cell.STATE)
    for (rule, ident), watch in memory.watches.items():
        if watch.phase != "quiet":
            of(watch.zone).watches.setdefault(rule, {})[ident] = _values(watch, _WATCH)
    late = [
        (r.device, r.taken_at, dict(r.values), int(r.quality.grade), r.quality.reason, _flaws(r))
        for _, _, _, r in sorted(memory.late, key=lambda item: item[:3])
    ]
    return msgspec.msgpack.encode(_Saved(_VERSION, memory.now, memory.begun, zones, late))


def _flaws(reading: Reading) -> dict[str, tuple[int, str]]:
    return {name: (int(flaw.grade), flaw.reason) for name, flaw in reading.quality.flaws.items()}


def load(memory: Memory, saved: bytes) -> None:
    """Fill a fresh ``memory``. Raises InputError when ``saved`` is no memory of this engine."""
    try:
        data = msgspec.msgpack.decode(saved, type=_Saved)
    except msgspec.MsgspecError as error:
        raise InputError(f"the saved rule memory cannot be read ({error}); delete it to start afresh") from None
    if data.version != _VERSION:
        raise InputError(
            f"the saved rule memory is of version {data.version}, not {_VERSION}; delete it to start afresh"
        )
    memory.now, memory.begun = data.now, data.begun
    for device, at, values, grade, reason, flaws in data.late:
        quality = Quality(Grade(grade), reason, {name: Flaw(Grade(worse), why) for name, (worse, why) in flaws.items()})
        quality = GOOD if quality == GOOD else quality  # the engine knows an ordinary reading by identity
        heapq.heappush(memory.late, (at, device, memory.numbered(), Reading(device, at, values, quality)))
    for zone, state in data.zones.items():
        _load_signals(memory, state)
        for name, kept in state.cells.items():
            cell = memory.kept.get((zone, name))
            if cell is not None and len(kept) == len(cell.STATE):
                _fill(cell, cell.STATE, kept)
        for rule, watches in state.watches.items():
            for ident, remembered in watches.items():
                watch = memory.watches.get((rule, ident))
                if watch is not None:
                    _fill(watch, _WATCH[: len(remembered)], remembered)
                    watch.mark, watch.waste = tuple(watch.mark), tuple(watch.waste)
                    watch.excess = None if watch.excess is None else (watch.excess[0], watch.excess[1])
    if memory.now >= EARLIEST:  # else nothing was read yet, but overtime may have been booked
        _set_going(memory)


def _fill(cell: object, names: tuple[str, ...], found: list[Any]) -> None:
    for name, value in zip(names, found, strict=True):
        setattr(cell, name, value)


def _load_signals(memory: Memory, state: _ZoneState) -> None:
    for ident, signals in state.signals.items():
        track = memory.tracks.get(ident)
        if track is None:
            continue
        memory.hear(track, max(state.said[ident], *(found[_HEARD] for found in signals.values())))
        for name, found in signals.items():
            signal = memory.signal(track, name)
            if signal is not None:
                _fill(signal, _SIGNAL[: len(found)], found)  # of earlier versions fewer
                signal.turn = None if signal.turn is None else (signal.turn[0], signal.turn[1], signal.turn[2])
                if not signal.unknown:
                    signal.settle(signal.value)


def _set_going(memory: Memory) -> None:
    """Put every due moment back on the heap, as it stood at the moment of saving."""
    for cell in memory.clocks:
        cell.resume(memory.now)
    for cell in memory.kept.values():
        cell.resume(memory.now)
    for track in memory.tracks.values():
        for signal in track.signals.values():
            if not signal.unknown:
                memory.ageing.watch(signal)
    for watch in memory.watches.values():
        watch.resume(memory.now)
