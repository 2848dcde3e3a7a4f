"""The line for a link, whatever it speaks, and the number by which a device is asked there.

DL/T 645 and CJ/T 188 lines have the shape of a Modbus link, so one poller serves all three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from building.endpoints import Endpoint
from building.errors import ConfigError
from building.site import Device
from collector.links import cjt188
from collector.links.cjt188 import Cjt188Link
from collector.links.dlt645 import Dlt645Link
from collector.links.modbus import ModbusLink
from collector.links.opening import MODBUS_SCHEMES, modbus_link
from collector.links.wires import SerialWire, TcpWire, Wire
from collector.profiles import Profile
from collector.sunspec import SunSpecLink

SPOKEN: Final[Mapping[str, tuple[str, ...]]] = {
    "modbus": MODBUS_SCHEMES,
    "mqtt": ("mqtt", "mqtts"),
    "dlt645": ("serial", "tcp"),
    "cjt188": ("serial", "tcp"),
}
"""Link keys and address forms that this collector speaks."""

DIGITS: Final = {"dlt645": 12, "cjt188": 14}
"""Digits of a meter's number."""

_USUAL: Final = {"baudrate": "2400", "parity": "E"}  # as DL/T 645 and CJ/T 188 meters leave the works


def station_of(device: Device, profile: Profile) -> int:
    """What ``ModbusLink.read`` calls the unit: the Modbus address, or the number on the meter's plate.

    Raises ConfigError for a device that has none.
    """
    if profile.protocol == "modbus":
        if device.unit is None:
            raise ConfigError(f"device '{device.id}' needs unit: (1 to 247), the address of the meter on its bus")
        return device.unit
    digits = DIGITS[profile.protocol]
    if device.address is None or not device.address.isdecimal() or len(device.address) > digits:
        raise ConfigError(
            f"device '{device.id}' needs address:, the number on the meter's plate, up to {digits} digits"
        )
    return cjt188.station(profile.meter_type, device.address) if profile.protocol == "cjt188" else int(device.address)


def line_for(
    protocol: str,
    endpoint: Endpoint,
    profiles: Iterable[Profile],
    *,
    timeout: float,
    pause: float = 0.0,
    in_flight: int = 1,
) -> ModbusLink:
    """A line to ``endpoint`` for devices of ``profiles``, closed until it is first asked; real seconds."""
    if protocol == "modbus":
        line = modbus_link(endpoint, timeout=timeout, pause=pause, in_flight=in_flight)
        walks = any(row.item for profile in profiles for row in profile.registers)
        return SunSpecLink(line) if walks else line
    wire: Wire
    if endpoint.scheme == "serial":
        wire = SerialWire(endpoint.path, {**_USUAL, **endpoint.options})
    else:
        wire = TcpWire(endpoint.host, endpoint.port or 0, timeout=timeout)
    made = Dlt645Link if protocol == "dlt645" else Cjt188Link
    return made(wire, timeout=timeout, pause=pause)
