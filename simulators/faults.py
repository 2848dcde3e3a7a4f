"""What goes wrong, on purpose and known: faults of people, and faults of devices and wires."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from building.errors import ConfigError
from building.site import Site


class Kind(Enum):
    """The faults there are; the value is the name in a scenario."""

    LAMP_LEFT_ON = "lamp_left_on"  # place: zone
    TAP_RUNNING = "tap_running"  # place: zone; amount: litres per minute
    SETPOINT = "setpoint"  # place: zone; amount: °C
    AIRCON_IN_EMPTY_ROOM = "aircon_in_empty_room"  # place: zone
    STANDBY = "standby"  # place: device (a plug)
    SILENCE = "silence"  # place: device; no answer, no message
    EXCEPTION = "exception"  # place: device; amount: Modbus exception code, for requests that touch ``register``
    CUT_FRAME = "cut_frame"  # place: device; the answer stops half way
    FROZEN = "frozen"  # place: device; says again and again what it said at the start
    GARBAGE = "garbage"  # place: device (MQTT); payloads that are no JSON


OF_ZONES = frozenset({Kind.LAMP_LEFT_ON, Kind.TAP_RUNNING, Kind.SETPOINT, Kind.AIRCON_IN_EMPTY_ROOM})
OF_PEOPLE = OF_ZONES | {Kind.STANDBY}
"""Faults that must raise an alert; the others must not."""

_USUAL = {Kind.TAP_RUNNING: 7.0, Kind.SETPOINT: 22.0, Kind.EXCEPTION: 4.0}


@dataclass(frozen=True)
class Fault:
    """One fault: ``kind`` at ``place`` (a zone or device id) from ``start`` until ``end``, ms since 1970 UTC."""

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


def check_faults(site: Site, faults: Iterable[Fault]) -> None:
    """Raise ConfigError, one sentence for each fault that names an unknown place or ends before it begins."""
    problems = []
    for fault in faults:
        known = site.zone if fault.kind in OF_ZONES else site.device
        word = "zone" if fault.kind in OF_ZONES else "device"
        if fault.place not in known:
            choices = ", ".join(sorted(known)[:12]) or "none"
            problems.append(f"fault {fault.name}: {word} '{fault.place}' does not exist; known are {choices}")
        if fault.end <= fault.start:
            problems.append(f"fault {fault.name} at '{fault.place}' ends before it begins; put start before end")
    if problems:
        raise ConfigError(*problems)
