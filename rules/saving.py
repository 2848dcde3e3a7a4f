"""The engine's memory as bytes and back: plain data, kept by zone, told by names and not by places."""

from __future__ import annotations

import heapq
from typing import Any, Final

import msgspec

from building.errors import InputError
from building.instants import EARLIEST
from building.readings import GOOD, Flaw, Grade, Quality, Reading
from rules.cells import Memory

_VERSION: Final = 1


class _ZoneState(msgspec.Struct, omit_defaults=True):
    """All that is remembered of one zone ("" for devices without one)."""

    said: dict[str, int] = {}
    signals: dict[str, dict[str, list[Any]]] = {}
    room: list[Any] | None = None
    steps: dict[str, list[Any]] = {}
    watches: dict[str, dict[str, list[Any]]] = {}


class _Saved(msgspec.Struct):
    version: int
    now: int
    begun: int
    zones: dict[str, _ZoneState]
    late: list[tuple[str, int, dict[str, Any], int, str, dict[str, tuple[int, str]]]]


_SIGNAL = ("value", "heard", "unknown", "total", "covered", "base")
_WATCH = ("phase", "since", "due", "raised", "unknown_since", "mark", "excess", "share")
_STEPS = ("last", "began", "seen", "running", "step")


def _values(cell: object, names: tuple[str, ...]) -> list[Any]:
    return [getattr(cell, name) for name in names]


def dump(memory: Memory) -> bytes:
    """``memory`` as MessagePack."""
    zones: dict[str, _ZoneState] = {}

    def of(zone: str | None) -> _ZoneState:
        return zones.setdefault(zone or "", _ZoneState(said={}, signals={}, steps={}, watches={}))

    for ident, track in memory.tracks.items():
        spoken = {name: _values(signal, _SIGNAL) for name, signal in track.signals.items() if signal.spoken}
        if spoken:
            of(track.device.zone).signals[ident] = spoken
            of(track.device.zone).said[ident] = track.said
    for zone, room in memory.rooms.items():
        of(zone).room = [room.last_sign, room.yes, room.occupied]
    for steps in memory.steps:
        device = steps.volume.track.device
        of(device.zone).steps[f"{device.id}|{steps.limit!r}"] = _values(steps, _STEPS)
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
    if memory.now < EARLIEST:
        return
    steps = {f"{s.volume.track.device.id}|{s.limit!r}": s for s in memory.steps}
    for state in data.zones.values():
        _load_signals(memory, state)
        for key, found in state.steps.items():
            if key in steps:
                _fill(steps[key], _STEPS, found)
    for zone, state in data.zones.items():
        room = memory.rooms.get(zone or None)
        if room is not None and state.room is not None:
            room.last_sign, room.yes, room.occupied = state.room
        for rule, watches in state.watches.items():
            for ident, found in watches.items():
                watch = memory.watches.get((rule, ident))
                if watch is not None:
                    _fill(watch, _WATCH, found)
                    watch.mark = tuple(watch.mark)
                    watch.excess = None if watch.excess is None else (watch.excess[0], watch.excess[1])
    _set_going(memory)


def _fill(cell: object, names: tuple[str, ...], found: list[Any]) -> None:
    for name, value in zip(names, found, strict=True):
        setattr(cell, name, value)


def _load_signals(memory: Memory, state: _ZoneState) -> None:
    for ident, signals in state.signals.items():
        track = memory.tracks.get(ident)
        if track is None:
            continue
        memory.hear(track, state.said[ident])
        for name, found in signals.items():
            signal = track.signals.get(name)
            if signal is not None:
                _fill(signal, _SIGNAL, found)
                if not signal.unknown:
                    signal.settle(signal.value)


def _set_going(memory: Memory) -> None:
    """Put every due moment back on the heap, as it stood at the moment of saving."""
    for cell in memory.clocks:
        cell.resume(memory.now)
    for room in memory.rooms.values():
        room.resume(memory.now)
    for steps in memory.steps:
        if steps.seen is not None:
            steps.wake_at(steps.last + steps.patience)
    for track in memory.tracks.values():
        track.ages.spoken += [signal for signal in track.signals.values() if signal.spoken]
    for ages in memory.ages.values():
        ages.resume(memory.now)
    for watch in memory.watches.values():
        if watch.phase == "pending" and not watch.unknown_since:
            watch.wake_at(watch.due)
