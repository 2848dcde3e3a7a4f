"""Intesis INMBS, one indoor unit: holding registers, temperatures times ten. Source: the INMBS manuals' table."""

from __future__ import annotations

from typing import Final

from building.site import Device
from simulators.building import OfficeBuilding
from simulators.registers import ILLEGAL_FUNCTION, Refused, sparse

_MODES: Final = {"auto": 0, "heat": 1, "dry": 2, "fan": 3, "cool": 4}


class IntesisImage:
    """One gateway in front of one air conditioner."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        self._aircon = building.aircons[device.id]
        self._room = building.places[device.zone or ""].room
        self._unit = device.unit or 1

    def read(self, function: int, address: int, count: int) -> bytes:
        """Holding registers by function 3; the numbers the manual leaves out are refused."""
        if function != 3:
            raise Refused(ILLEGAL_FUNCTION)
        return sparse(self.registers(), address, count)

    def registers(self) -> dict[int, int]:
        """Register -> raw word."""
        unit = self._aircon
        room, setpoint = round(self._room.temperature * 10), round(unit.setpoint * 10)
        return {
            0: int(unit.on),
            1: _MODES[unit.mode],
            2: 0,  # fan speed: auto
            3: 0,  # vane: auto
            4: setpoint,
            5: room,  # the temperature it regulates by
            6: 0,  # window contact: closed
            7: 0,
            8: 0,
            9: int(unit.hours) % 65_536,
            10: 0,  # no alarm
            11: 0,
            13: 30,  # minutes until the unit stops after a window opens
            14: 2,  # 9600 baud
            15: self._unit,
            22: room,  # return air
            23: setpoint,
            24: 320,
            25: 160,
            37: _MODES[unit.mode],
            44: 0,
            50: 0x0100,
        }
