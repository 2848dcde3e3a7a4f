"""Room air and air conditioners of a whole floor at once: each room one heat store, each unit thermostat and inverter.

Stepped through the minutes of a day with all rooms side by side in arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from simulators.courses import Floats, Ints

_HEAT_STORE: Final = 162_000.0  # J per K and m2 of floor: air, furniture and the skin of the walls
_LOSS: Final = 2.2  # W per K and m2: windows, walls and fresh air
_OPEN_WINDOW: Final = 9.0  # W per K and m2 on top while a window is open
_SUN: Final = 0.00035  # W of heat per m2 of floor and lx outdoors
_PERSON_HEAT: Final = 75.0  # W
_EFFICIENCY: Final = 3.2  # heat moved per electricity drawn
_LOW_LOAD: Final = 0.75  # part of the electricity per heat that an outdoor unit needs at next to no load
_FAN: Final = 25.0  # W while switched on
STANDBY: Final = 3.0  # W while switched off: the remote control's receiver
_STEP: Final = 60.0  # s

Flags = npt.NDArray[np.bool_]


@dataclass
class Rooms:
    """What does not change: areas (m2) by room; room, rated power (W) of each unit, and the outdoor unit that it
    shares with others (VRF), -1 for one of its own."""

    area: Floats
    room_of: Ints
    rated: Floats
    outdoor: Ints


@dataclass
class Demands:
    """One day of minutes, from outside: rows are minutes, columns rooms or units.

    ``staffed`` and ``forced``: a unit may run because it is wanted when warm, or whatever the room is like.
    """

    outdoor: Floats
    daylight: Floats
    people: Floats
    load: Floats
    window: Flags
    cooling: bool
    season: bool
    staffed: Flags
    forced: Flags
    setpoint: Floats


@dataclass
class Outcome:
    """The same minutes, worked out: °C by room; switched on, and W while on, by unit."""

    temperature: Floats
    on: Flags
    power: Floats


def run_day(rooms: Rooms, temperature: Floats, was_on: Flags, demands: Demands) -> tuple[Outcome, Floats, Flags]:
    """The day from ``temperature`` and ``was_on``; returns it with both as they stand at its end."""
    count = len(demands.outdoor)
    sign = -1.0 if demands.cooling else 1.0
    told = Outcome(
        np.empty((count, len(rooms.area))),
        np.zeros((count, len(rooms.rated)), bool),
        np.empty((count, len(rooms.rated))),
    )
    loss = rooms.area * (_LOSS + _OPEN_WINDOW * demands.window)
    gain = demands.outdoor[:, None] * loss + demands.people * _PERSON_HEAT + demands.load
    gain += demands.daylight[:, None] * rooms.area * _SUN
    per_joule = _STEP / (rooms.area * _HEAT_STORE)
    moved = sign * rooms.rated * _EFFICIENCY
    # People switch on when they feel it, and off again when the weather does the work.
    start, stop = (26.5, 25.2) if demands.cooling else (17.5, 19.0)
    on, share = was_on, np.zeros(len(rooms.rated))
    for minute in range(count):
        told.temperature[minute] = temperature
        if len(on):
            here = temperature[rooms.room_of]
            felt = sign * (start - here) > 0
            kept = on & (sign * (stop - here) > 0)
            on = demands.forced[minute] | (demands.staffed[minute] & demands.season & (felt | kept))
            share = _regulated(on, share, sign * (demands.setpoint[minute] - here))
            told.on[minute] = on
            told.power[minute] = np.where(on, _FAN + share * rooms.rated * _shared(rooms, share), STANDBY)
            heat = np.bincount(rooms.room_of, share * moved, len(temperature))
            temperature = temperature + (gain[minute] - loss[minute] * temperature + heat) * per_joule
        else:
            temperature = temperature + (gain[minute] - loss[minute] * temperature) * per_joule
    return told, temperature, on


def _shared(rooms: Rooms, share: Floats) -> Floats | float:
    """What an indoor unit causes outdoors, per watt it would draw alone: outdoor units at low load move heat for less.

    The power of a shared outdoor unit is the sum over its indoor units, each by the heat that it asks for.
    """
    many = rooms.outdoor >= 0
    if not many.any():
        return 1.0
    group = rooms.outdoor[many]
    load = np.bincount(group, (share * rooms.rated)[many]) / np.maximum(np.bincount(group, rooms.rated[many]), 1.0)
    part = np.ones(len(share))
    part[many] = _LOW_LOAD + (1 - _LOW_LOAD) * load[group]
    return part


def _regulated(on: Flags, share: Floats, error: Floats) -> Floats:
    """The thermostat: starts 0.4 K beyond the setpoint, stops 0.3 K past it, in between follows the distance."""
    idle = ~on | (error < -0.3) | ((share == 0) & (error < 0.4))
    return np.where(idle, 0.0, np.clip(0.2 + 0.8 * error / 1.5, 0.2, 1.0))
