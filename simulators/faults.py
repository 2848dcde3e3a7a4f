"""What goes wrong, on purpose and known: faults of people, of devices, and of wires."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from building.errors import ConfigError, shown
from building.site import Device, Site


class Kind(Enum):
    """The faults there are; the value is the name in a scenario. Times, places and ``amount`` are the scenario's."""

    # People. Place: a zone; of plugs: the device.
    LAMP_LEFT_ON = "lamp_left_on"
    LAMP_IN_DAYLIGHT = "lamp_in_daylight"
    TAP_RUNNING = "tap_running"  # amount: L/min
    CISTERN_LEAK = "cistern_leak"  # amount: L/min
    SETPOINT = "setpoint"  # amount: °C
    AIRCON_IN_EMPTY_ROOM = "aircon_in_empty_room"
    WINDOW_OPEN = "window_open"  # an air conditioner left on in an empty room, the window open
    STANDBY = "standby"
    EQUIPMENT_LEFT_ON = "equipment_left_on"
    KETTLE = "kettle"  # amount: W
    # Devices. Place: a device.
    SILENCE = "silence"  # no answer, no message
    FROZEN = "frozen"  # says again and again what it said at the start
    DRIFT = "drift"  # amount: part by which it reads too much
    IMPLAUSIBLE = "implausible"  # amount: what it says instead
    NO_VALUE = "no_value"  # "no value" marks in every register or field
    COUNTER_WRAP = "counter_wrap"  # the counter begins ``amount`` below its top
    COUNTER_RESET = "counter_reset"  # counts from 0 again
    COUNTER_STEP_BACK = "counter_step_back"  # amount: kWh or pulses too little, while it lasts
    METER_EXCHANGE = "meter_exchange"  # amount: what the new meter shows
    CLOCK_WRONG = "clock_wrong"  # amount: hours that the device's own time is ahead
    # Wires. Place: a device.
    EXCEPTION = "exception"  # amount: Modbus exception code, for requests that touch ``register``
    CUT_FRAME = "cut_frame"  # the answer stops half way
    WRONG_CRC = "wrong_crc"  # a check sum that is wrong; over TCP a transaction that nobody asked for
    LATE = "late"  # amount: real seconds, on a fast clock too; the answer meets the next request
    WRONG_UNIT = "wrong_unit"  # the answer names another unit
    SWAPPED_WORDS = "swapped_words"  # the two words of each value have changed places
    GARBAGE = "garbage"  # MQTT payloads that are no JSON
    DUPLICATE = "duplicate"  # every message twice
    OUT_OF_ORDER = "out_of_order"  # a message is overtaken by the next
    RETAINED_STALE = "retained_stale"  # silent, and the broker hands out an old retained message
    LAST_WILL = "last_will"  # gone; the broker says so
    # Wires. Place: a link.
    GATEWAY_POWER_CUT = "gateway_power_cut"  # nothing listens, connections break
    BROKER_RESTART = "broker_restart"  # the broker stops, and is there again at the end
    ALL_SILENT = "all_silent"  # every device of the link


OF_ZONES: Final = frozenset({
    Kind.LAMP_LEFT_ON, Kind.LAMP_IN_DAYLIGHT, Kind.TAP_RUNNING, Kind.CISTERN_LEAK, Kind.SETPOINT,
    Kind.AIRCON_IN_EMPTY_ROOM, Kind.WINDOW_OPEN,
})  # fmt: skip
OF_PLUGS: Final = frozenset({Kind.STANDBY, Kind.EQUIPMENT_LEFT_ON, Kind.KETTLE})
OF_PEOPLE: Final = OF_ZONES | OF_PLUGS
"""Faults of people; each raises the alert of its rule."""
OF_LINKS: Final = frozenset({Kind.GATEWAY_POWER_CUT, Kind.BROKER_RESTART, Kind.ALL_SILENT})
OF_COUNTERS: Final = frozenset(
    {Kind.COUNTER_WRAP, Kind.COUNTER_RESET, Kind.COUNTER_STEP_BACK, Kind.METER_EXCHANGE, Kind.DRIFT}
)
HUSHING: Final = frozenset({
    Kind.SILENCE, Kind.RETAINED_STALE, Kind.LAST_WILL, Kind.GATEWAY_POWER_CUT, Kind.BROKER_RESTART, Kind.ALL_SILENT,
})  # fmt: skip
"""While one of these lasts nothing is heard of the device."""
FALSIFYING: Final = frozenset({
    Kind.FROZEN, Kind.DRIFT, Kind.IMPLAUSIBLE, Kind.NO_VALUE, Kind.SWAPPED_WORDS, Kind.GARBAGE, Kind.EXCEPTION,
    Kind.CUT_FRAME, Kind.WRONG_CRC, Kind.LATE, Kind.WRONG_UNIT, *OF_COUNTERS,
})  # fmt: skip
"""While one of these lasts, what is heard may differ from what is so."""

_ONLY_OF: Final[Mapping[str, frozenset[Kind]]] = {
    "modbus": frozenset(
        {Kind.EXCEPTION, Kind.CUT_FRAME, Kind.WRONG_CRC, Kind.LATE, Kind.WRONG_UNIT, Kind.SWAPPED_WORDS}
    ),
    "mqtt": frozenset({Kind.GARBAGE, Kind.DUPLICATE, Kind.OUT_OF_ORDER, Kind.RETAINED_STALE, Kind.LAST_WILL,
                       Kind.CLOCK_WRONG, Kind.BROKER_RESTART}),
}  # fmt: skip

_USUAL: Final = {
    Kind.TAP_RUNNING: 7.0, Kind.CISTERN_LEAK: 0.3, Kind.SETPOINT: 22.0, Kind.EXCEPTION: 4.0, Kind.KETTLE: 1800.0,
    Kind.DRIFT: 0.2, Kind.LATE: 1.5, Kind.CLOCK_WRONG: 1.0, Kind.COUNTER_STEP_BACK: 0.05, Kind.METER_EXCHANGE: 17.25,
    Kind.COUNTER_WRAP: 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One fault: ``kind`` at ``place`` (id of a zone, device or link) from ``start`` until ``end``, ms since 1970."""

    kind: Kind
    place: str
    start: int
    end: int
    amount: float | None = None
    register: int | None = None

    @property
    def name(self) -> str:
        """The word a scenario uses."""
        return self.kind.value

    @property
    def size(self) -> float:
        """``amount``, or what is usual for this kind (tap 7 L/min, setpoint 22 °C, exception 4)."""
        return self.amount if self.amount is not None else _USUAL.get(self.kind, 0.0)

    def holds(self, moment: int) -> bool:
        """Whether the fault is there at ``moment``."""
        return self.start <= moment < self.end


class FaultBook:
    """The faults of a building by place and kind; of no kind there is more than a few at one place."""

    def __init__(self, site: Site, faults: Iterable[Fault]) -> None:
        self.all = tuple(faults)
        check_faults(site, self.all)
        self._at: dict[tuple[str, Kind], list[Fault]] = {}
        for fault in self.all:
            self._at.setdefault((fault.place, fault.kind), []).append(fault)

    def at(self, place: str, kind: Kind) -> list[Fault]:
        """All of one kind at one place, past and to come."""
        return self._at.get((place, kind), [])

    def now(self, place: str, kind: Kind, moment: int) -> Fault | None:
        """The one that is there at ``moment``."""
        found = self._at.get((place, kind))
        return None if found is None else next((fault for fault in found if fault.holds(moment)), None)

    def hushed(self, device: Device, moment: int) -> Fault | None:
        """The fault for which nothing is heard of ``device`` at ``moment``."""
        places = (device.id,) if device.link is None else (device.id, device.link)
        return next((f for kind in HUSHING for place in places if (f := self.now(place, kind, moment))), None)


def check_faults(site: Site, faults: Iterable[Fault]) -> None:
    """Raise ConfigError, one sentence for each fault that cannot be."""
    problems = [f"fault {fault.name}: {sentence}" for fault in faults for sentence in mistakes_of(site, fault)]
    if problems:
        raise ConfigError(*problems)


def mistakes_of(site: Site, fault: Fault) -> Iterator[str]:
    """What is wrong with a fault: an unknown place, one that cannot suffer it, an end before the beginning."""
    if fault.kind in OF_ZONES:
        word, known = "zone", list(site.zone)
    elif fault.kind in OF_LINKS:
        word, known = "link", list(site.link)
    elif fault.kind in OF_PLUGS:
        word, known = "plug", [device.id for device in site.devices if device.kind == "plug"]
    else:
        word, known = "device", list(site.device)
    if fault.place not in known:
        choices = ", ".join(sorted(known)[:12]) or "none"
        yield f"{word} {shown(fault.place)} does not exist; known are {choices}"
    elif sentence := _misfit(site, fault):
        yield sentence
    if fault.end <= fault.start:
        yield f"at '{fault.place}' it ends before it begins; put start before end"


def _misfit(site: Site, fault: Fault) -> str:
    device = site.device.get(fault.place)
    link = site.link.get(fault.place if fault.kind in OF_LINKS else (device.link if device else None) or "")
    if fault.kind in OF_ZONES:
        wanted = _NEEDED[fault.kind]
        if not any(device.zone == fault.place and _is(device, wanted) for device in site.devices):
            return f"zone '{fault.place}' has no {wanted} that could show it; choose another zone"
    protocol = link.protocol if link is not None else None
    for needed, kinds in _ONLY_OF.items():
        if fault.kind in kinds and protocol != needed:
            return f"'{fault.place}' is not on a {needed} link; choose another place or fault"
    if fault.kind is Kind.EXCEPTION and fault.size not in range(1, 256):
        return f"amount {fault.size:g} is no Modbus exception code; write 1 to 11"
    low, high = _AMOUNTS.get(fault.kind, (-1e12, 1e12))
    if fault.amount is not None and not low <= fault.amount <= high:
        return f"amount {fault.amount:g} cannot be; write {low:g} to {high:g}"
    return ""


_AMOUNTS: Final[Mapping[Kind, tuple[float, float]]] = {
    Kind.TAP_RUNNING: (0.0, 1000.0), Kind.CISTERN_LEAK: (0.0, 1000.0), Kind.SETPOINT: (10.0, 35.0),
    Kind.KETTLE: (0.0, 100_000.0), Kind.DRIFT: (-1.0, 100.0), Kind.LATE: (0.0, 3600.0), Kind.CLOCK_WRONG: (-48.0, 48.0),
    Kind.COUNTER_WRAP: (0.0, 1e9), Kind.COUNTER_STEP_BACK: (0.0, 1e9), Kind.METER_EXCHANGE: (0.0, 1e9),
}  # fmt: skip
"""What an ``amount`` may be, in its own unit."""

_NEEDED: Final = {
    Kind.LAMP_LEFT_ON: "lamp", Kind.LAMP_IN_DAYLIGHT: "lamp", Kind.TAP_RUNNING: "water meter",
    Kind.CISTERN_LEAK: "water meter", Kind.SETPOINT: "air conditioner", Kind.AIRCON_IN_EMPTY_ROOM: "air conditioner",
    Kind.WINDOW_OPEN: "air conditioner",
}  # fmt: skip


def _is(device: Device, thing: str) -> bool:
    if thing == "lamp":
        return device.kind == "light" or device.circuit == "lighting"
    return device.kind == {"water meter": "water", "air conditioner": "aircon"}[thing]
