"""Gateways of air conditioners, written by hand from their makers' tables. No two number their modes alike.

A gateway in front of several indoor units answers for all of them under one unit address; ``channel`` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from building.site import Device
from simulators.building import OfficeBuilding
from simulators.registers import Image, NumbersImage

Units = Mapping[int, "IndoorUnit"]
"""Channel -> the indoor unit on it."""


class IndoorUnit:
    """One air conditioner as its gateway sees it just now."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        self._building = building
        self.device = device

    @property
    def on(self) -> int:
        return int(self._building.now_of(self._building.day.switched, self.device.id))

    @property
    def mode(self) -> str:
        """cool or heat; stays while the unit is off."""
        return self._building.day.mode

    @property
    def setpoint(self) -> float:
        return self._building.now_of(self._building.day.setpoint, self.device.id)

    @property
    def room(self) -> float:
        return self._building.temperature(self.device)

    @property
    def works(self) -> bool:
        """Whether the compressor runs."""
        return self._building.now_of(self._building.day.power, self.device.id) > 30

    @property
    def window(self) -> int:
        """1 while a window is open."""
        zone = self.device.zone or ""
        return int(self._building.now_of(self._building.day.window, zone))

    @property
    def hours(self) -> int:
        return self._building.hours_before[self.device.id]


def _tenths(value: float) -> int:
    return round(value * 10)


def intesis(units: Units) -> Image:
    """INMBS and ME-AC-MBS: holding registers, temperatures times ten."""
    unit = units[0]
    modes = {"heat": 1, "cool": 4}

    def registers() -> Mapping[int, int]:
        room, setpoint, mode = _tenths(unit.room), _tenths(unit.setpoint), modes[unit.mode]
        return {
            0: unit.on, 1: mode, 2: 0, 3: 0, 4: setpoint, 5: room, 6: unit.window, 7: 0, 8: 0, 9: unit.hours,
            10: 0, 11: 0, 13: 30, 14: 2, 15: unit.device.unit or 1, 22: room, 23: setpoint, 24: 320, 25: 160,
            37: mode, 44: 0, 50: 0x0100,
        }  # fmt: skip

    return NumbersImage({3: registers, 4: registers})


def procon_a1m(units: Units) -> Image:
    """Mitsubishi Electric Procon A1M and MelcoBEMS MINI."""
    unit = units[0]

    def registers() -> Mapping[int, int]:
        return {
            0: {"heat": 1, "cool": 3}[unit.mode], 1: _tenths(unit.setpoint), 2: 0, 3: 0, 4: unit.device.unit or 1,
            5: 0, 6: 0, 7: unit.on, 8: _tenths(unit.room), 9: 0x8000, 10: 0, 11: 0, 12: 8000, 13: 0, 14: 0, 15: 0,
            16: 0, 17: 0, 18: 19, 19: 23,
        }  # fmt: skip

    return NumbersImage({3: registers})


def rtd(units: Units) -> Image:
    """Daikin RTD-NET and RTD-10: whole degrees in holding registers 1 to 5."""
    unit = units[0]

    def registers() -> Mapping[int, int]:
        return {1: round(unit.setpoint), 2: 0, 3: {"heat": 1, "cool": 3}[unit.mode], 4: 0, 5: unit.on}

    def inputs() -> Mapping[int, int]:
        return {21: 1, 22: 0, 23: round(unit.room * 100)}

    return NumbersImage({3: registers, 4: inputs}, filler=0)


def dta116(units: Units) -> Image:
    """Daikin DTA116A51: three words of ability, six of state for each indoor unit."""

    def inputs() -> Mapping[int, int]:
        words = {0: 1, **dict.fromkeys(range(1, 9), 0)}
        for index, unit in units.items():
            words[1 + index // 16] |= 1 << index % 16
            mode = {"heat": 1, "cool": 2}[unit.mode]
            state = unit.on | 1 << 3 | unit.on << 5 | int(unit.mode == "heat") << 6 | int(unit.works) << 7
            status = (state, mode | mode << 8, _tenths(unit.setpoint), 0, _tenths(unit.room), 0)
            words |= {1000 + 3 * index: 0x001F, 1001 + 3 * index: 0x1020, 1002 + 3 * index: 0x0F1E}
            words |= {2000 + 6 * index + place: word for place, word in enumerate(status)}
            words |= {3600 + 2 * index: 0x2020, 3601 + 2 * index: 0}
        return words

    def holdings() -> Mapping[int, int]:
        words: dict[int, int] = {}
        for index, unit in units.items():
            mode = {"heat": 1, "cool": 2}[unit.mode]
            words |= {2000 + 3 * index: unit.on, 2001 + 3 * index: mode, 2002 + 3 * index: _tenths(unit.setpoint)}
        return words

    return NumbersImage({4: inputs, 3: holdings}, filler=0)


def coolmaster(units: Units) -> Image:
    """CoolMasterNet: sixteen addresses for each indoor unit, reserved ones read 0xFFFF."""

    def holdings() -> Mapping[int, int]:
        words: dict[int, int] = {}
        for index, unit in units.items():
            base, room = 16 * index + 1, _tenths(unit.room)
            block = (int(unit.mode == "heat"), 3, _tenths(unit.setpoint), unit.on, 0, 0, room, 0, 0)
            words |= {base + place: word for place, word in enumerate(block)}
        return words

    def inputs() -> Mapping[int, int]:
        words: dict[int, int] = {}
        for index, unit in units.items():
            words |= {16 * index + 1: 0x100 + index, 16 * index + 2: _tenths(unit.room)}
            words |= {16 * index + 3: 0, 16 * index + 4: 0}
        return words

    def coils() -> Mapping[int, int]:
        return {16 * index + 1 + place: bit for index, unit in units.items() for place, bit in enumerate((unit.on, 0))}

    return NumbersImage({3: holdings, 4: inputs, 1: coils, 2: coils}, filler=0xFFFF)


def onokom(units: Units) -> Image:
    """Onokom board of a single unit: hundredths of a degree."""
    unit = units[0]

    def holdings() -> Mapping[int, int]:
        mode = {"heat": 1, "cool": 2}[unit.mode]
        return {1: mode, 2: mode * unit.on, 3: round(unit.room * 100), 4: 2500, 5: round(unit.setpoint * 100),
                6: mode * int(unit.works), 7: 0, 23: 1500, 24: 3000}  # fmt: skip

    return NumbersImage({3: holdings, 1: lambda: {1: unit.on, 20: 1}, 4: lambda: {1: 0}}, filler=0)


def onokom_vrf(units: Units) -> Image:
    """The same for VRF: a hundred addresses for each indoor unit from 10000 on."""

    def holdings() -> Mapping[int, int]:
        words: dict[int, int] = {}
        for index, unit in units.items():
            base, mode = 10_000 + 100 * index, {"heat": 1, "cool": 2}[unit.mode]
            block = (mode, mode * unit.on, round(unit.room * 100), 0, round(unit.setpoint * 100),
                     mode * int(unit.works), 0)  # fmt: skip
            words |= {base + 1 + place: word for place, word in enumerate(block)}
        return words

    return NumbersImage({3: holdings, 1: lambda: {10_001 + 100 * n: unit.on for n, unit in units.items()}}, filler=0)


def lg(units: Units) -> Image:
    """LG PDRYCB500."""
    unit = units[0]

    def holdings() -> Mapping[int, int]:
        return {0: {"heat": 4, "cool": 0}[unit.mode], 1: _tenths(unit.setpoint), 14: 4}

    inputs = lambda: {0: 150, 1: 300, 2: _tenths(unit.room), 99: 0}  # noqa: E731 - one line says it all
    return NumbersImage({1: lambda: {0: unit.on}, 3: holdings, 4: inputs}, filler=0)


def haier(units: Units) -> Image:
    """Haier YCJ-A002: whole degrees."""
    unit = units[0]

    def holdings() -> Mapping[int, int]:
        return {0: round(unit.setpoint), 1: {"heat": 4, "cool": 2}[unit.mode], 2: 1, 3: 0}

    return NumbersImage({1: lambda: {0: unit.on}, 3: holdings, 4: lambda: {0: round(unit.room), 1: 0}})


def hitachi(units: Units) -> Image:
    """Hitachi HC-A16MB: 32 registers for each unit from 2000 on."""

    def holdings() -> Mapping[int, int]:
        words: dict[int, int] = {}
        for index, unit in units.items():
            base, room = 2000 + 32 * index, round(unit.room)
            state = 0 if not unit.on else 2 if unit.works else 1
            words |= {base + 22: state, base + 24: room, base + 25: room, base + 31: room}
        return words

    return NumbersImage({3: holdings, 4: holdings}, filler=0)


def intesisbox_mhi(units: Units) -> Image:
    """IntesisBox for Mitsubishi Heavy: twenty registers for each unit, whole degrees."""

    def holdings() -> Mapping[int, int]:
        words: dict[int, int] = {}
        for index, unit in units.items():
            block = {1: 0, 2: unit.on, 3: {"heat": 1, "cool": 0}[unit.mode], 4: round(unit.setpoint), 5: 0, 6: 0, 7: 0,
                     8: round(unit.room)}  # fmt: skip
            words |= {20 * index + place: word for place, word in block.items()}
        return words

    return NumbersImage({3: holdings}, filler=0)


def rdf302(units: Units) -> Image:
    """Siemens RDF302 thermostat: fiftieths of a degree."""
    unit = units[0]

    def inputs() -> Mapping[int, int]:
        return {0x3E8: unit.on, 0x3E9: 1, 0x3EA: round(unit.room * 50), 0x3EB: round(unit.setpoint * 50)}

    return NumbersImage({4: inputs, 3: inputs})


def bac_6000(units: Units) -> Image:
    """BAC-6000 thermostat: halves of a degree."""
    unit = units[0]

    def holdings() -> Mapping[int, int]:
        mode = {"heat": 1, "cool": 0}[unit.mode]
        return {0: unit.on, 1: 1, 2: mode, 3: round(unit.room * 2), 4: round(unit.setpoint * 2), 5: 0}

    return NumbersImage({3: holdings})


MODELS: Final[tuple[tuple[str, Callable[[Units], Image]], ...]] = (
    (r"intesisbox|mhi", intesisbox_mhi),
    (r"intesis|inmbs|me_?ac_?mbs", intesis),
    (r"a1m|procon|melco", procon_a1m),
    (r"dta116|ekmbdx", dta116),
    (r"rtd", rtd),
    (r"coolmaster", coolmaster),
    (r"onokom.*vrf|md_vrf", onokom_vrf),
    (r"onokom", onokom),
    (r"pdrycb|^lg", lg),
    (r"haier|ycj", haier),
    (r"hitachi|hc_a16", hitachi),
    (r"rdf302", rdf302),
    (r"bac_6000", bac_6000),
)
"""What a profile's name tells of the gateway -> its image. The first that fits counts."""
