"""Eastron SDM120 and SDM630: f32 values, high word first, in input registers; settings in holding registers.

Source: the makers' register tables (facts of the SDM120/220/230 and SDM630 families). Registers between the listed
ones read 0; one request may ask for 80 registers at most.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from building.site import Device
from simulators.building import Meter, OfficeBuilding
from simulators.registers import ILLEGAL_FUNCTION, Refused, words

_INPUT_WORDS: Final = 0x0182
_SETTING_WORDS: Final = 0x0020
_MOST_AT_ONCE: Final = 80


class EastronImage:
    """One meter; ``phases`` is 1 for an SDM120 and 3 for an SDM630."""

    def __init__(self, building: OfficeBuilding, device: Device, phases: int) -> None:
        self._building = building
        self._meter = building.meters[device.id]
        self._phases = phases
        self._settings = bytearray(2 * _SETTING_WORDS)
        for address, value in ((0x12, 0.0), (0x14, float(device.unit or 1)), (0x1C, 2.0)):  # 8N1, address, 9600
            struct.pack_into(">f", self._settings, 2 * address, value)

    def read(self, function: int, address: int, count: int) -> bytes:
        """Input registers by function 4, settings by function 3."""
        if function == 4:
            table = single_phase if self._phases == 1 else three_phase
            return words(_packed(table(self._meter, self._building.now)), address, count, _MOST_AT_ONCE)
        if function == 3:
            return words(bytes(self._settings), address, count, _MOST_AT_ONCE)
        raise Refused(ILLEGAL_FUNCTION)


def _packed(values: dict[int, float]) -> bytes:
    table = bytearray(2 * _INPUT_WORDS)
    for address, value in values.items():
        struct.pack_into(">f", table, 2 * address, value)
    return bytes(table)


def _energies(meter: Meter) -> dict[int, float]:
    return {
        0x0048: meter.energy,  # import kWh
        0x004A: 0.0,  # export kWh
        0x004C: meter.reactive_energy,  # import kvarh
        0x004E: 0.0,
        0x0156: meter.energy,  # import and export together
    }


def _mains(now: int) -> float:
    """Hz: the grid stays within 0.03 of 50."""
    return 50 + 0.02 * math.sin(2 * math.pi * now / 600_000)


def single_phase(meter: Meter, now: int) -> dict[int, float]:
    """SDM120: input register -> value."""
    apparent = meter.power / meter.factor
    return {
        0x0000: meter.voltage(now),
        0x0006: apparent / meter.voltage(now),  # A
        0x000C: meter.power,  # W
        0x0012: apparent,  # VA
        0x0018: meter.power * math.tan(math.acos(meter.factor)),  # var
        0x001E: meter.factor if meter.power else 1.0,
        0x0046: _mains(now),
        **_energies(meter),
    }


def three_phase(meter: Meter, now: int) -> dict[int, float]:
    """SDM630: input register -> value; the load lies on the phases in fixed shares."""
    values = _energies(meter)
    tangent = math.tan(math.acos(meter.factor))
    currents = 0.0
    for phase, share in enumerate(meter.shares):
        power, place = meter.power * share, 2 * phase
        current = power / meter.factor / meter.voltage(now, phase)
        currents += current
        values |= {
            0x0000 + place: meter.voltage(now, phase),
            0x0006 + place: current,
            0x000C + place: power,
            0x0012 + place: power / meter.factor,
            0x0018 + place: power * tangent,
            0x001E + place: meter.factor if power else 1.0,
            0x015A + place: meter.energy * share,
            0x0160 + place: 0.0,
            0x0166 + place: meter.energy * share,
        }
    return values | {
        0x0030: currents,
        0x0034: meter.power,
        0x0038: meter.power / meter.factor,
        0x003C: meter.power * tangent,
        0x003E: meter.factor if meter.power else 1.0,
        0x0046: _mains(now),
    }
