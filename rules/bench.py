"""Where rules are wired to devices: makes the cells a rule asks for, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from building.calendar import WorkCalendar
from building.hours import Hours
from building.instants import from_iso
from building.site import MINUTE, Device, Site
from rules.cells import HELD, TRAPEZIUM, Cell, Signal, Track, above
from rules.clocks import SeasonNow, Ticker, Working
from rules.excess import Excess
from rules.learning import SAMPLE_EVERY, Edge, LampLight, LowLevel
from rules.maintenance import Doubt, Life, RollCalls, Still
from rules.memory import Memory
from rules.metering import Meter
from rules.presence import Bookings, Doorman, Patience, Room, Trace, Witness
from rules.water import Ceaseless, Steps

HALVES: Final = tuple(half / 2 for half in range(10, 81))  # °C, the steps in which temperatures are told apart
_DAY_MINUTES: Final = 24 * 60
_DESK_MACHINES: Final = ("电脑", "计算机", "显示器", "笔记本", "computer", "monitor", "laptop", "notebook", "pc")
_WORKING_ABOVE: Final = 30.0  # W; a desk machine set to work draws more
_METERED: Final = ("electricity", "plug", "water")
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
        return (self.mode, self.room, self.setpoint, self.season)

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
        self._tickers: dict[tuple[int, ...], Ticker] = {}
        self._edges: dict[str, LowLevel] = {}
        self._stills: dict[tuple[str, str], list[Still]] = {}
        self._meters: dict[str, Meter] = {}
        self._roll_calls = RollCalls(memory)
        self._devices = [d for d in site.devices if zones is None or (d.zone or "") in zones]
        self._of_zone: dict[str | None, list[Device]] = {}
        # All tracks in one go, so that they lie side by side: every reading touches one, in about this order.
        memory.tracks.update([(device.id, Track(device, memory.ageing)) for device in self._devices])
        for device in self._devices:
            self._of_zone.setdefault(device.zone, []).append(device)
            self.signal(device, "online")

    @property
    def devices(self) -> Sequence[Device]:
        return self._devices

    def in_zone(self, zone: str | None) -> Sequence[Device]:
        """All devices of a zone; of no zone, none."""
        return () if zone is None else self._of_zone.get(zone, ())

    def owns(self, device: Device) -> bool:
        """Whether ``device`` is among those this worker looks after."""
        return device.id in self.memory.tracks

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
        bookings = Bookings(self.memory, self._booked(zone))
        room = self.memory.rooms[zone] = Room(self.memory, zone, hold, self._working(zone), bookings)
        room.working.listeners.append(room)
        bookings.listeners.append(room)
        self.memory.keep(zone, "bookings", bookings)
        for device in self._of_zone.get(zone, ()) if zone is not None else ():
            self._presence(room, device)
        self.memory.keep(zone, "room", room)
        return room

    def _booked(self, zone: str | None) -> list[tuple[int, int]]:
        """Overtime in the site's file for ``zone`` or its department; without zone, for the whole site."""
        place = self.site.zone.get(zone or "")
        department = place.department if place is not None else None
        found = []
        for booking in self.site.overtime:
            everywhere = booking.zone is None and booking.department is None
            if everywhere or (zone and booking.zone == zone) or (department and booking.department == department):
                tz = self.site.site.tz
                found.append((from_iso(booking.start, tz), from_iso(booking.end, tz)))
        return found

    def _presence(self, room: Room, device: Device) -> None:
        self._traces(room, device)
        if {"occupancy", "people"} & set(device.quantities):
            room.declare()
        elif device.kind == "sensor" and not device.quantities:
            patience = Patience(self.memory, self.memory.tracks[device.id])
            patience.listeners.append(room)
            room.awaited.append(patience)
        elif device.quantities:
            return
        for quantity in ("occupancy", "people"):
            witness = Witness(self.memory, self.signal(device, quantity, 0.5))
            room.sources.append(witness)
            witness.listeners.append(room)
            self.memory.keep(device.zone, f"witness|{device.id}|{quantity}", witness)

    def _traces(self, room: Room, device: Device) -> None:
        """Doors, and machines on desks: signs of people where nothing sees them."""
        may_tell = not device.quantities or "contact" in device.quantities
        if device.kind == "sensor" and may_tell:
            self._trace(room, self.signal(device, "contact"), lambda before, now: before != now, 0)
        if device.kind == "plug" and any(word in device.appliance.lower() for word in _DESK_MACHINES):
            power = self.signal(device, "active_power", self.above(_WORKING_ABOVE))
            self._trace(room, power, lambda before, now: before <= _WORKING_ABOVE < now, 10 * MINUTE)

    def _trace(self, room: Room, signal: Signal, telling: Callable[[float, float], bool], rest: int) -> None:
        trace, doorman = Trace(self.memory, signal, telling, rest), Doorman(self.memory, room)
        trace.listeners.append(doorman)
        room.traces.append(trace)
        self.memory.keep(room.zone, f"trace|{signal.track.device.id}|{signal.quantity}", trace)

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
        """How to tell whether a unit cools or heats. In auto, room temperatures are told apart by half kelvins."""
        mode, room = self.signal(device, "mode"), self.signal(device, "temperature")
        room.cut_while(mode, "auto", HALVES)
        return Work(mode, room, self.signal(device, "setpoint"), self.season())

    def steps(self, device: Device, limit: float) -> Steps:
        """Running water told from the volume counter."""
        key = (device.id, limit)
        found = self._steps.get(key)
        if found is None:
            volume = self.signal(device, "volume")
            volume.each = True
            found = self._steps[key] = Steps(self.memory, volume, limit)
            volume.listeners.append(found)
            self.memory.keep(device.zone, f"steps|{device.id}|{limit!r}", found)
        return found

    def ceaseless(self, device: Device, pause: int) -> Ceaseless:
        """Whether the volume counter ever pauses."""
        volume = self.signal(device, "volume")
        volume.each = True
        found = Ceaseless(self.memory, volume, pause)
        volume.listeners.append(found)
        self.memory.keep(device.zone, f"ceaseless|{device.id}", found)
        return found

    def ticker(self, *minutes: int) -> Ticker:
        """Tells at these minutes of the local day."""
        ticker = self._tickers.get(minutes)
        if ticker is None:
            ticker = self._tickers[minutes] = Ticker(self.memory, self.site.site.tz, minutes)
            self.memory.clocks.append(ticker)
        return ticker

    def edge(self, device: Device, given: float, *, learn: bool, large: bool = False) -> Edge:
        """The power above which ``device`` is at work: learned where ``learn``, until then as ``given`` (W)."""
        sizes = Edge.LARGE if large else Edge.SIZES
        power = self.signal(device, "active_power", self.above(given))
        if not learn:
            return Edge(None, given, sizes)
        power.cut(map(self.above, sizes))
        learned = self._edges.get(device.id)
        if learned is None:
            ticker = self.ticker(*range(0, _DAY_MINUTES, SAMPLE_EVERY))
            learned = self._edges[device.id] = LowLevel(self.memory, power, ticker)
            self.memory.keep(device.zone, f"level|{device.id}", learned)
        return Edge(learned, given, sizes)

    def sensors(self, zone: str | None, quantity: str, *cuts: float) -> list[Signal]:
        """Signals of ``quantity`` from the sensors of a zone that tell it, or may."""
        if zone is None:
            return []
        beside = [d for d in self._of_zone.get(zone, ()) if d.kind == "sensor"]
        return [self.signal(d, quantity, *cuts) for d in beside if not d.quantities or quantity in d.quantities]

    def lamp_light(
        self, device: Device, lit: Callable[[], bool | None], inputs: Iterable[Cell], lux: Signal
    ) -> LampLight:
        """What the lamp adds to the light on a sensor."""
        light = LampLight(self.memory, lit, lux)
        for cell in inputs:
            cell.listeners.append(light)
        self.memory.keep(device.zone, f"light|{device.id}|{lux.track.device.id}", light)
        return light

    def excess(
        self,
        device: Device,
        inputs: Iterable[Cell],
        beyond: Callable[[], bool | None],
        running: Callable[[], bool | None],
        share: Callable[[], float],
    ) -> Excess:
        """What ``device`` draws above its usual while ``beyond``."""
        excess = Excess(self.memory, self.meter(device), beyond, running, share)
        for cell in inputs:
            cell.listeners.append(excess)
        self.memory.keep(device.zone, f"excess|{device.id}", excess)
        return excess

    def life(self, device: Device, periods: float) -> Life:
        """Whether the device speaks at all."""
        limit = round(periods * device.every)
        if device.reports == "on_change":
            limit = max(limit, device.max_age)
        life = Life(self.memory, self.memory.tracks[device.id], limit, self._roll_calls)
        self.memory.keep(device.zone, f"life|{device.id}", life)
        return life

    def doubt(self, device: Device, hold: int) -> Doubt:
        """Whether the device says what cannot be."""
        doubt = self.memory.tracks[device.id].guard = Doubt(self.memory, hold)
        self.memory.keep(device.zone, f"doubt|{device.id}", doubt)
        return doubt

    def still(
        self,
        device: Device,
        quantity: str,
        *,
        alone: bool,
        excuses: Sequence[Still] | None = None,
        stands_in: bool = False,
    ) -> Still:
        """Whether a quantity stands still, beside those of its kind."""
        others = self._stills.setdefault((device.kind, quantity), [])
        ticker = self.ticker(*range(0, _DAY_MINUTES, 60))
        signal = self.signal(device, quantity)
        still = Still(self.memory, signal, ticker, others, alone=alone, excuses=excuses, stands_in=stands_in)
        others.append(still)
        self.memory.keep(device.zone, f"still|{device.id}|{quantity}", still)
        return still

    def children(self, device: Device) -> list[Device]:
        """Meters of the same medium that hang under ``device``."""
        water = device.kind == "water"
        return [d for d in self._devices if d.parent == device.id and (d.kind == "water") == water]

    def heads(self, department: str) -> list[Device]:
        """Meters that together measure a department, none of them under another of it."""
        own = [d for d in self._devices if self.site.department_of(d) == department and d.kind in _METERED]
        mine = {d.id for d in own}
        return [d for d in own if d.parent not in mine]

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
