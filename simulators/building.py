"""An office building in numbers: people, light, heat, machines and water, stepped through time.

Pure: no clock, socket or file. The same site, seed, faults and start always give the same building, to the byte,
however its time is cut into calls. Works for any devices.yaml: each device is played by its kind, circuit, appliance
and zone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from random import Random
from typing import Final

from building.calendar import WorkCalendar
from building.site import Device, Site, Zone
from simulators.appliances import Appliance, appliance_of
from simulators.faults import OF_PEOPLE, Fault, Kind, check_faults
from simulators.people import MINUTE, People, ZoneDay
from simulators.rooms import Aircon, Room
from simulators.truth import Expected, Row, Truth, Watch, rule_of
from simulators.weather import Sky, Weather

STEP: Final = 5_000  # ms of building time
_LOSSES: Final = 1.015  # cables and contacts between a meter and the meters behind it
_PIR_HOLD: Final = 90_000  # ms from the last hit until the gateway clears occupancy
_PIR_BLIND: Final = 60_000  # ms in which the sensor sees nothing after a hit
_WINDOWLESS: Final = frozenset({"corridor", "toilet", "pantry", "server", "plant"})
_LAMP_LUX: Final = 120.0  # what the lamps add at the sensor, which looks at the window


class Sensor:
    """A motion sensor with illuminance and temperature, as a battery PIR behaves."""

    def __init__(self, device: Device, luck: Random) -> None:
        self.device = device
        self._luck = luck
        self._last_hit = -(1 << 60)
        self._next_move = 0
        self._people = 0
        self.occupied = False
        self.cleared_at = -(1 << 60)

    def look(self, now: int, people: int) -> None:
        """See, or not see, the ``people`` in the room: coming and going shows; who sits moves now and then."""
        if people != self._people or (people and now >= self._next_move):
            if now - self._last_hit >= _PIR_BLIND:
                self._last_hit = now
            self._next_move = now + round(self._luck.expovariate(max(people, 1) / 75) * 1000)
        self._people = people
        occupied = now < self._last_hit + _PIR_HOLD
        if self.occupied and not occupied:
            self.cleared_at = now
        self.occupied = occupied


class Place:
    """One zone: its people, room, lamps, air conditioners, sensors and taps."""

    def __init__(self, zone: Zone, seed: int, start_outdoor: float) -> None:
        luck = Random(f"{seed}/zone/{zone.id}")
        self.zone = zone
        self.room = Room(zone.area or 30.0, start_outdoor + luck.uniform(0.5, 1.5))
        self.window = 0.0 if zone.use in _WINDOWLESS else luck.uniform(0.004, 0.011)  # of outdoor daylight, at the desk
        self.people = 0
        self.staffed = False
        self.lamp_on = False
        self.daylight = 0.0
        self.aircons: dict[str, Aircon] = {}
        self.sensors: list[Sensor] = []
        self.lamps: dict[str, float] = {}  # device -> W while on
        self.plugs: list[str] = []
        self.flow = 0.0  # L/min
        self.litres = 0.0
        self.energy = 0.0  # kWh

    @property
    def illuminance(self) -> float:
        """lx at the sensor."""
        return self.daylight + (_LAMP_LUX if self.lamp_on and self.lamps else 0.0)

    @property
    def aircon_power(self) -> float:
        """W of all air conditioners in the zone."""
        return sum(aircon.power for aircon in self.aircons.values())


class Plug:
    """A switched socket with one machine behind it."""

    def __init__(self, device: Device, seed: int) -> None:
        self.device = device
        self.appliance: Appliance = appliance_of(device)
        self._luck = Random(f"{seed}/plug/{device.id}")
        self.on = False
        self.power = 0.0

    def step(self, seconds: float, wanted: bool, forgotten: bool) -> None:
        """Work while ``wanted``; when ``forgotten`` the plug stays on and the machine sleeps."""
        self.on = wanted or forgotten
        if wanted:
            self.appliance.step(seconds, self._luck)
        self.power = self.appliance.power if wanted else self.appliance.standby if forgotten else 0.0


class Meter:
    """What an electricity meter or plug has in front of it: W now, kWh since it was new, its mains."""

    def __init__(self, device: Device, seed: int) -> None:
        luck = Random(f"{seed}/meter/{device.id}")
        self.device = device
        self.power = 0.0
        self.energy = round(luck.uniform(40, 900), 2)
        self.reactive_energy = round(self.energy * 0.2, 2)
        self.shares = _shares(luck)
        self.factor = 0.95 if device.circuit == "lighting" else 0.92
        self.phases = tuple(luck.uniform(0, 2 * math.pi) for _ in range(3))

    def voltage(self, now: int, phase: int = 0) -> float:
        """V to neutral: wanders by 3 V in the course of hours, by fractions within minutes."""
        hours = now / 3_600_000
        return (
            230.5
            + 2.2 * math.sin(2 * math.pi * hours / 5.3 + self.phases[phase])
            + 0.6 * math.sin(2 * math.pi * hours * 7.1 + self.phases[phase])
        )

    def book(self, seconds: float) -> None:
        """Count the energy of ``seconds`` at the present power."""
        kwh = self.power * seconds / 3_600_000
        self.energy += kwh
        self.reactive_energy += kwh * math.tan(math.acos(self.factor))


def _shares(luck: Random) -> tuple[float, float, float]:
    parts = [luck.uniform(0.8, 1.2) for _ in range(3)]
    return parts[0] / sum(parts), parts[1] / sum(parts), parts[2] / sum(parts)


class OfficeBuilding:
    """The building of ``site`` from ``start`` (ms since 1970 UTC, cut to whole steps) on.

    Raises ConfigError when a fault names a place that does not exist or ends before it begins.
    """

    def __init__(
        self, site: Site, seed: int = 1, faults: Iterable[Fault] = (), *, start: int = 0, step: int = STEP
    ) -> None:
        self.site = site
        self.faults = tuple(faults)
        check_faults(site, self.faults)
        self.seed = seed
        self.step = step
        self.now = start - start % step
        self.calendar = WorkCalendar(site)
        self.people = People(site, self.calendar, seed)
        self.weather = Weather(site.site, seed)
        self.truth = Truth()
        self.sky: Sky = self.weather.at(self.now)
        self.places = {zone.id: Place(zone, seed, self.sky.outdoor) for zone in site.zones}
        self.places[""] = Place(Zone(id="(site)", use="plant"), seed, self.sky.outdoor)
        self.plugs: dict[str, Plug] = {}
        self.meters: dict[str, Meter] = {}
        self.aircons: dict[str, Aircon] = {}
        self.sensors: dict[str, Sensor] = {}
        self.pulses_before: dict[str, int] = {}
        for device in site.devices:
            self._furnish(device)
        self._wire()
        self._shadows: dict[Fault, tuple[Room, list[Aircon]]] = {}
        self._faults_by_place: dict[str, list[Fault]] = {}
        for fault in self.faults:
            self._faults_by_place.setdefault(fault.place, []).append(fault)
        self._watches = [watch for fault in self.faults if fault.kind in OF_PEOPLE for watch in self._watch(fault)]
        self.truth.expected = [watch.expected for watch in self._watches]
        self._plan: Mapping[str, ZoneDay] = {}
        self._plan_until = self.now
        self._settle(0.0)

    # -- time ---------------------------------------------------------------------------------------------------------

    def advance(self, until: int) -> None:
        """Let time pass up to ``until``, in whole steps; a moment already passed changes nothing."""
        while self.now + self.step <= until:
            seconds = self.step / 1000
            self._pass(seconds)
            self.now += self.step
            self._settle(seconds)

    def fault_of(self, device: str, kind: Kind) -> Fault | None:
        """The fault of ``kind`` that ``device`` has just now."""
        return next(
            (fault for fault in self._faults_by_place.get(device, ()) if fault.kind is kind and fault.holds(self.now)),
            None,
        )

    def _pass(self, seconds: float) -> None:
        """Integrate what was so over the step that now ends."""
        for meter in self.meters.values():
            meter.book(seconds)
        for watch in self._watches:
            watch.book(seconds)
        for fault, (room, aircons) in self._shadows.items():
            place = self.places[fault.place]
            room.step(seconds, self.sky, place.people, self._room_load(place), aircons)
        for place in self.places.values():
            place.energy += (self._room_load(place) + place.aircon_power) * seconds / 3_600_000
            place.litres += place.flow * seconds / 60
            place.room.step(seconds, self.sky, place.people, self._room_load(place), list(place.aircons.values()))

    def _settle(self, seconds: float) -> None:
        """Work out what is so from ``now`` on."""
        if self.now >= self._plan_until:
            self._plan = self.people.day(self.now)
            self._plan_until = self.now + MINUTE - self.now % MINUTE  # days begin on whole minutes everywhere
        self.sky = self.weather.at(self.now)
        for ident, place in self.places.items():
            self._settle_place(ident, place, self._plan.get(ident, ZoneDay()))
        for plug in self.plugs.values():
            place = self.places[plug.device.zone or ""]
            plug.step(seconds, place.staffed, self.fault_of(plug.device.id, Kind.STANDBY) is not None)
        self._measure()
        for watch in self._watches:
            watch.look(self.now)
        if self.now % MINUTE == 0:
            self._note()

    def _settle_place(self, ident: str, place: Place, day: ZoneDay) -> None:
        place.people = day.people(self.now)
        place.staffed = day.is_staffed(self.now)
        place.daylight = self.sky.daylight * place.window
        for sensor in place.sensors:
            sensor.look(self.now, place.people)
        # People want light below 250 lx and notice above 350 lx that they need none.
        dark = place.daylight < (350 if place.lamp_on else 250)
        place.lamp_on = (place.staffed and dark) or self.fault_of(ident, Kind.LAMP_LEFT_ON) is not None
        place.flow = self._flow(ident, day)
        if place.aircons:
            self._settle_aircons(ident, place)

    def _settle_aircons(self, ident: str, place: Place) -> None:
        season = self.calendar.season(self.now)
        mode, setpoint = ("heat", 18.0) if season == "heating" else ("cool", 26.0)
        warm = place.room.temperature > 26.5 if mode == "cool" else place.room.temperature < 17.5
        setting = self.fault_of(ident, Kind.SETPOINT)
        forgotten = self.fault_of(ident, Kind.AIRCON_IN_EMPTY_ROOM)
        for aircon in place.aircons.values():
            wanted = place.staffed and season != "none" and (warm or aircon.on)
            on = wanted or forgotten is not None or (setting is not None and place.staffed)
            if on and not aircon.on:
                aircon.mode = mode
            aircon.on = on
            aircon.setpoint = setpoint if setting is None else setting.size
            aircon.regulate(place.room.temperature)
        self._settle_shadows(place, setting, setpoint)

    def _settle_shadows(self, place: Place, setting: Fault | None, setpoint: float) -> None:
        """Keep, beside a room with a forbidden setpoint, the same room as it would be with the permitted one."""
        for fault in [fault for fault in self._shadows if self.now >= fault.end]:
            del self._shadows[fault]
        if setting is None:
            return
        if setting not in self._shadows:
            self._shadows[setting] = (copy(place.room), [copy(aircon) for aircon in place.aircons.values()])
        room, fair = self._shadows[setting]
        for twin, aircon in zip(fair, place.aircons.values(), strict=True):
            twin.on, twin.mode, twin.setpoint = aircon.on, aircon.mode, setpoint
            twin.regulate(room.temperature)

    def _flow(self, ident: str, day: ZoneDay) -> float:
        fault = self.fault_of(ident, Kind.TAP_RUNNING)
        drawn = sum(draw.litres_per_minute for draw in day.draws if draw.start <= self.now < draw.end)
        return drawn + (fault.size if fault is not None else 0.0)

    # -- what hangs where ---------------------------------------------------------------------------------------------

    def _furnish(self, device: Device) -> None:
        place = self.places[device.zone or ""]
        luck = Random(f"{self.seed}/device/{device.id}")
        match device.kind:
            case "plug":
                self.plugs[device.id] = Plug(device, self.seed)
                place.plugs.append(device.id)
                self.meters[device.id] = Meter(device, self.seed)
            case "electricity" | "light":
                self.meters[device.id] = Meter(device, self.seed)
            case "aircon":
                unit = Aircon(device.rated_power or 40.0 * place.room.area, hours=float(luck.randint(200, 4000)))
                self.aircons[device.id] = place.aircons[device.id] = unit
            case "sensor":
                self.sensors[device.id] = Sensor(device, luck)
                place.sensors.append(self.sensors[device.id])
            case "water":
                self.pulses_before[device.id] = luck.randint(1_000, 90_000)

    def _wire(self) -> None:
        """Find out which meter stands in front of what."""
        devices = self.site.devices
        children: dict[str, list[str]] = {}
        for device in devices:
            if device.parent is not None:
                children.setdefault(device.parent, []).append(device.id)
        mains = [device for device in devices if device.kind == "electricity" and device.circuit == "main"]
        leaves = [device for device in devices if device.kind in ("electricity", "plug") and device.id not in children]
        if len(mains) == 1 and mains[0].id not in children:
            children[mains[0].id] = [device.id for device in leaves if device.parent is None and device is not mains[0]]
        self._children = children
        self._main = mains[0].id if mains else None
        metered = {(device.zone, device.circuit) for device in devices if device.kind == "electricity"}
        circuits = {"light": "lighting", "aircon": "aircon"}
        # What a circuit's own meter already shows must not count twice further up.
        self._covered = frozenset(
            device.id
            for device in devices
            if device.kind in circuits and (device.zone, circuits[device.kind]) in metered
        )
        for device in devices:
            lamp = device.kind == "light" and device.id not in self._covered
            if lamp or (device.kind == "electricity" and device.circuit == "lighting" and device.id not in children):
                place = self.places[device.zone or ""]
                place.lamps[device.id] = device.rated_power or 8.0 * place.room.area
        self._order = sorted(self.meters, key=lambda ident: -self._depth(ident))
        self._bare = [device.id for device in devices if device.parent is None and device.kind in circuits]

    def _depth(self, ident: str) -> int:
        depth, at = 0, self.site.device[ident].parent
        while at is not None:
            depth, at = depth + 1, self.site.device[at].parent
        return depth

    def _measure(self) -> None:
        """The power at every meter, leaves first."""
        for ident in self._order:
            meter = self.meters[ident]
            behind = self._children.get(ident)
            if behind is None:
                meter.power = self._load(meter.device)
            else:
                meter.power = _LOSSES * sum(self._power_of(child) for child in behind)
            if ident == self._main:
                meter.power += sum(self._power_of(bare) for bare in self._bare)

    def _power_of(self, ident: str) -> float:
        """W that ``ident`` adds to the meter in front of it."""
        if ident in self._covered:
            return 0.0
        if ident in self.aircons:
            return self.aircons[ident].power
        return self.meters[ident].power if ident in self.meters else 0.0

    def _load(self, device: Device) -> float:
        """What a meter without meters behind it carries, W."""
        place = self.places[device.zone or ""]
        if device.kind == "plug":
            return self.plugs[device.id].power
        if device.circuit == "lighting" or device.kind == "light":
            rated = place.lamps.get(device.id) or device.rated_power or 8.0 * place.room.area
            return rated * _by_voltage(self.meters[device.id], self.now) if place.lamp_on else 0.0
        if device.circuit == "aircon":
            return place.aircon_power
        if device.circuit == "main":
            return 0.0
        return (device.rated_power or 300.0) if place.staffed else 0.0

    def _room_load(self, place: Place) -> float:
        lamps = sum(self.meters[ident].power for ident in place.lamps)
        return lamps + sum(self.plugs[ident].power for ident in place.plugs)

    def litres(self, device: Device) -> float:
        """Water that has passed a meter since the simulation began: its zone's, its children's, or the whole site's."""
        if device.zone is not None:
            return self.places[device.zone].litres
        behind = [self.site.device[ident] for ident in self._children.get(device.id, ())]
        if behind:
            return sum(self.litres(child) for child in behind if child.kind == "water")
        return sum(place.litres for place in self.places.values())

    def pulses(self, device: Device) -> int:
        """What the counter behind a water meter shows; a u32 that wraps."""
        passed = math.floor(self.litres(device) / (device.litres_per_pulse or 1.0) + 1e-9)
        return (self.pulses_before[device.id] + passed) % (1 << 32)

    # -- truth --------------------------------------------------------------------------------------------------------

    def is_empty(self, zone: str) -> bool:
        """Whether a zone counts as empty: by its sensors and the hold time, else outside its working hours."""
        place = self.places[zone]
        if not place.sensors:
            return not self.calendar.is_working(self.now, zone or None)
        hold = place.zone.presence_hold
        hold = self.site.site.presence_hold if hold is None else hold
        return all(not sensor.occupied and self.now >= sensor.cleared_at + hold for sensor in place.sensors)

    def _watch(self, fault: Fault) -> list[Watch]:
        zone = self.site.device[fault.place].zone if fault.place in self.site.device else fault.place
        rule, after, may_also = rule_of(self.site, fault, zone)
        place = self.places[zone or ""]
        linked = {device.id for device in self.site.devices if device.link is not None}
        told = {
            Kind.LAMP_LEFT_ON: [ident for ident in place.lamps if ident in linked],
            Kind.TAP_RUNNING: [d.id for d in self.site.devices if d.kind == "water" and d.zone == zone],
            Kind.SETPOINT: list(place.aircons),
            Kind.AIRCON_IN_EMPTY_ROOM: list(place.aircons),
            Kind.STANDBY: [fault.place],
        }[fault.kind]
        watches = []
        for device in told:
            expected = Expected(fault, rule, zone, device, after, may_also)
            watches.append(Watch(expected, self._condition(fault, zone or "", device), self._waste(fault, device)))
        return watches

    def _condition(self, fault: Fault, zone: str, device: str) -> Callable[[], bool]:
        place = self.places[zone]
        match fault.kind:
            case Kind.LAMP_LEFT_ON:
                return lambda: place.lamp_on and self.is_empty(zone)
            case Kind.TAP_RUNNING:
                return lambda: place.flow > 1
            case Kind.SETPOINT:
                unit = self.aircons[device]
                return lambda: unit.on and (unit.setpoint < 26 if unit.mode == "cool" else unit.setpoint > 18)
            case Kind.AIRCON_IN_EMPTY_ROOM:
                return lambda: self.aircons[device].on and self.is_empty(zone)
            case _:
                plug = self.plugs[device]
                return lambda: plug.on and plug.power == plug.appliance.standby and self.is_empty(zone)

    def _waste(self, fault: Fault, device: str) -> Callable[[], tuple[float, float]]:
        match fault.kind:
            case Kind.LAMP_LEFT_ON:
                return lambda: (self.meters[device].power, 0.0)
            case Kind.TAP_RUNNING:
                return lambda: (0.0, self.places[fault.place].flow)
            case Kind.SETPOINT:
                return lambda: (self._excess(fault, device), 0.0)
            case Kind.AIRCON_IN_EMPTY_ROOM:
                return lambda: (self.aircons[device].power, 0.0)
            case _:
                return lambda: (self.plugs[device].power, 0.0)

    def _excess(self, fault: Fault, device: str) -> float:
        """W beyond what the same room would draw at the permitted setpoint, by a shadow of the room."""
        _, fair = self._shadows[fault]
        return self.aircons[device].power - fair[list(self.places[fault.place].aircons).index(device)].power

    def _note(self) -> None:
        for ident, place in self.places.items():
            if ident:
                unit = next(iter(place.aircons.values()), None)
                setpoint = unit.setpoint if unit else None
                self.truth.rows.append(
                    Row(
                        self.now, ident, place.people, place.lamp_on and bool(place.lamps), any(
                            aircon.on for aircon in place.aircons.values()
                        ), setpoint, place.room.temperature, place.flow, place.energy, place.litres,
                    )
                )  # fmt: skip


def _by_voltage(meter: Meter, now: int) -> float:
    """LED drivers draw a little more at high voltage."""
    return 1 + 0.3 * (meter.voltage(now) / 230.5 - 1)
