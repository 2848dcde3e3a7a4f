"""Room air and split air conditioners: a room as one heat store, a machine with thermostat and inverter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulators.weather import Sky

_HEAT_STORE: Final = 162_000.0  # J per K and m2 of floor: air, furniture and the skin of the walls
_LOSS: Final = 2.2  # W per K and m2: windows, walls and fresh air
_SUN: Final = 0.00035  # W of heat per m2 of floor and lx outdoors
_PERSON_HEAT: Final = 75.0  # W
_EFFICIENCY: Final = 3.2  # heat moved per electricity drawn
_FAN: Final = 25.0  # W while switched on
STANDBY: Final = 3.0  # W while switched off: the remote control's receiver


@dataclass
class Aircon:
    """One indoor unit: ``rated`` is the compressor's full power, W; setpoint and mode stay while off."""

    rated: float
    on: bool = False
    mode: str = "cool"
    setpoint: float = 26.0
    share: float = 0.0  # of full power, 0 while the thermostat is satisfied
    hours: float = 0.0

    @property
    def power(self) -> float:
        """Electric power now, W."""
        return STANDBY if not self.on else _FAN + self.share * self.rated

    def regulate(self, room: float) -> None:
        """The thermostat: starts 0.4 K beyond the setpoint, stops 0.3 K past it, in between follows the distance."""
        error = room - self.setpoint if self.mode == "cool" else self.setpoint - room
        if not self.on or self.mode not in ("cool", "heat") or error < -0.3 or (self.share == 0 and error < 0.4):
            self.share = 0.0
        else:
            self.share = min(1.0, max(0.2, 0.2 + 0.8 * error / 1.5))

    @property
    def heat(self) -> float:
        """What it puts into the room, W; negative when cooling."""
        moved = self.share * self.rated * _EFFICIENCY
        return -moved if self.mode == "cool" else moved


@dataclass
class Room:
    """The air of one zone, °C."""

    area: float
    temperature: float

    def step(self, seconds: float, sky: Sky, people: int, load: float, aircons: list[Aircon]) -> None:
        """Let ``seconds`` pass with ``load`` W of lamps and machines in the room."""
        heat = (
            self.area * _LOSS * (sky.outdoor - self.temperature)
            + self.area * _SUN * sky.daylight
            + people * _PERSON_HEAT
            + load
        )
        for aircon in aircons:
            aircon.regulate(self.temperature)
            heat += aircon.heat
            aircon.hours += seconds / 3600 if aircon.on else 0.0
        self.temperature += heat * seconds / (self.area * _HEAT_STORE)
