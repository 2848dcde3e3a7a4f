"""Where rules are wired to devices: makes the cells a rule asks for, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from building.calendar import WorkCalendar
from building.site import Device, Hours, Site
from rules.cells import (
    HELD,
    TRAPEZIUM,
    Ages,
    Cell,
    Memory,
    Patience,
    Room,
    SeasonNow,
    Signal,
    Steps,
    Track,
    Working,
    above,
)
from rules.metering import Meter

_SURE_BY: Final = 1.0  # K between room and setpoint from which a unit in auto is taken to heat or cool


@dataclass(frozen=True)
class Aircon:
    """Whether a unit runs, by the most direct sign it gives: running, on, mode, power."""

    run: Signal
    switch: Signal
    mode: Signal
    power: Signal
    limit: float

    @property
    def inputs(self) -> tuple[Signal, ...]:
        return (self.run, self.switch, self.mode, self.power)

    def running(self) -> bool | None:
        """None while the sign it goes by is unknown; off by mode is off whatever else is said."""
        if not self.mode.unknown and self.mode.value == "off":
            return False
        for state in (self.run, self.switch):
            if state.spoken:
                return None if state.unknown else state.number >= 0.5
        if self.mode.spoken:
            return None if self.mode.unknown else True
        return None if self.power.unknown else self.power.number > self.limit


@dataclass(frozen=True)
class Work:
    """What an air conditioner does: cooling, heating, other, or None where that is not known."""

    mode: Signal
    room: Signal
    setpoint: Signal
    season: SeasonNow

    @property
    def inputs(self) -> tuple[Cell, ...]:
        return (self.mode, self.room, self.season)

    def now(self) -> str | None:
        """By mode; in auto by room against setpoint where the unit tells both, else by the season."""
        if self.mode.spoken:
            if self.mode.unknown:
                return None
            if self.mode.value != "auto":
                return {"cool": "cooling", "heat": "heating"}.get(str(self.mode.value), "other")
            if not self.room.unknown and not self.setpoint.unknown:
                ahead = self.room.number - self.setpoint.number
                if abs(ahead) >= _SURE_BY:
                    return "cooling" if ahead > 0 else "heating"
        return self.season.name if self.season.name in ("cooling", "heating") else None


class Bench:
    """The cells of one memory, made as rules ask for them."""

    def __init__(self, site: Site, memory: Memory, zones: frozenset[str] | None = None) -> None:
        self.site = site
        self.memory = memory
        self._calendar = WorkCalendar(site)
        self._workings: dict[Hours, Working] = {}
        self._season: SeasonNow | None = None
        self._steps: dict[tuple[str, float], Steps] = {}
        self._meters: dict[str, Meter] = {}
        self._devices = [d for d in site.devices if zones is None or (d.zone or "") in zones]
        self._of_zone: dict[str | None, list[Device]] = {}
        for device in self._devices:
            self._of_zone.setdefault(device.zone, []).append(device)
            if device.zone not in memory.ages:
                memory.ages[device.zone] = Ages(memory)
            memory.tracks[device.id] = Track(device, memory.ages[device.zone])
            self.signal(device, "online")

    @property
    def devices(self) -> Sequence[Device]:
        return self._devices

    @staticmethod
    def above(limit: float) -> float:
        """The cut that parts values above ``limit`` from ``limit`` itself and what is below."""
        return above(limit)

    def signal(self, device: Device, quantity: str, *cuts: float, summed: bool = False) -> Signal:
        """The signal of one quantity; ``cuts`` are where a rule sees a difference, ``summed`` asks for its integral."""
        track = self.memory.tracks[device.id]
        signal = track.signals.get(quantity)
        if signal is None:
            signal = track.signals[quantity] = Signal(self.memory, track, quantity)
        signal.cut(cuts)
        if summed and not signal.summed:
            signal.summed = HELD if device.reports == "on_change" else TRAPEZIUM
        return signal

    def room(self, zone: str | None) -> Room:
        """Presence and working hours of a zone; of no zone, the site's hours."""
        room = self.memory.rooms.get(zone)
        if room is not None:
            return room
        place = self.site.zone.get(zone or "")
        hold = self.site.site.presence_hold
        if place is not None and place.presence_hold is not None:
            hold = place.presence_hold
        room = self.memory.rooms[zone] = Room(self.memory, zone, hold, self._working(zone))
        room.working.listeners.append(room)
        for device in self._of_zone.get(zone, ()) if zone is not None else ():
            self._presence(room, device)
        return room

    def _presence(self, room: Room, device: Device) -> None:
        if {"occupancy", "people"} & set(device.quantities):
            room.declare()
        elif device.kind == "sensor" and not device.quantities:
            patience = Patience(self.memory, self.memory.tracks[device.id])
            patience.listeners.append(room)
            room.awaited.append(patience)
        elif device.quantities:
            return
        for quantity in ("occupancy", "people"):
            source = self.signal(device, quantity, 0.5)
            room.sources.append(source)
            source.listeners.append(room)

    def _working(self, zone: str | None) -> Working:
        hours = self._calendar.hours(zone)
        working = self._workings.get(hours)
        if working is None:
            working = self._workings[hours] = Working(self.memory, self._calendar, zone)
            self.memory.clocks.append(working)
        return working

    def season(self) -> SeasonNow:
        if self._season is None:
            self._season = SeasonNow(self.memory, self._calendar, self.site.site.tz)
            self.memory.clocks.append(self._season)
        return self._season

    def aircon(self, device: Device, running_above: float) -> Aircon:
        """How to tell that a unit runs."""
        return Aircon(
            self.signal(device, "running"),
            self.signal(device, "on"),
            self.signal(device, "mode"),
            self.signal(device, "active_power", self.above(running_above)),
            running_above,
        )

    def work_of(self, device: Device) -> Work:
        """How to tell whether a unit cools or heats. Room temperatures are told apart by half kelvins."""
        halves = (half / 2 for half in range(10, 81))
        return Work(
            self.signal(device, "mode"),
            self.signal(device, "temperature", *halves),
            self.signal(device, "setpoint"),
            self.season(),
        )

    def steps(self, device: Device, limit: float) -> Steps:
        """Running water told from the volume counter."""
        key = (device.id, limit)
        found = self._steps.get(key)
        if found is None:
            volume = self.signal(device, "volume")
            volume.each = True
            found = self._steps[key] = Steps(self.memory, volume, limit)
            volume.listeners.append(found)
            self.memory.steps.append(found)
        return found

    def meter(self, device: Device) -> Meter:
        """What measures ``device``: itself, or the one meter of the room's circuit that serves it alone."""
        found = self._meters.get(device.id)
        if found is None:
            source = self._measured_by(device)
            found = self._meters[device.id] = Meter(
                self.memory,
                power=self.signal(source, "active_power", summed=True),
                energy=self.signal(source, "energy_import"),
                volume=self.signal(source, "volume"),
                flow=self.signal(source, "flow", summed=True),
                rated=device.rated_power,
            )
        return found

    def _measured_by(self, device: Device) -> Device:
        circuit = {"light": "lighting", "aircon": "aircon"}.get(device.kind)
        if circuit is None or device.zone is None:
            return device
        beside = self._of_zone[device.zone]
        same = [other for other in beside if other.kind == device.kind]
        meters = [other for other in beside if other.kind == "electricity" and other.circuit == circuit]
        return meters[0] if len(same) == len(meters) == 1 else device
