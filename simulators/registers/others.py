"""Pulse counters, water meters, relays, contacts and room sensors, written by hand from their makers' tables."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from building.site import Device
from simulators.building import OfficeBuilding
from simulators.recognising import counts_pulses, is_contact
from simulators.registers import Image, NumbersImage

Channels = Mapping[int, Device]
"""Input, output or phase -> the device on it."""


def _words(raw: bytes, first: int, *, order: str = "ABCD") -> dict[int, int]:
    """Big-endian bytes as registers from ``first`` on, four bytes in the order the device keeps."""
    if order == "CDAB":
        raw = raw[2:4] + raw[0:2]
    elif order == "DCBA":
        raw = raw[::-1]
    return {first + place: int.from_bytes(raw[2 * place : 2 * place + 2], "big") for place in range(len(raw) // 2)}


def _now(building: OfficeBuilding) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([building.now], np.int64)


def mcm8(building: OfficeBuilding, channels: Channels) -> Image:
    """Wiren Board WB-MCM8: eight inputs; counters u32, high word first, in input registers 60 + 2 n."""

    def counters() -> Mapping[int, int]:
        words: dict[int, int] = {}
        for n in range(8):
            count = int(building.pulses(channels[n])[0]) if n in channels else 0
            words |= _words(struct.pack(">I", count), 60 + 2 * n)
        return words

    states = dict.fromkeys(range(8), 0)
    debounce = dict.fromkeys(range(20, 28), 50)  # ms
    return NumbersImage({2: lambda: states, 3: lambda: debounce, 4: counters})


def mr6c(building: OfficeBuilding, channels: Channels) -> Image:
    """Wiren Board WB-MR6C: six relays, their inputs, and counters of 16 bits."""

    def outputs() -> dict[int, int]:
        return {n: _is_on(building, channels[n]) if n in channels else 0 for n in range(6)}

    def counters() -> Mapping[int, int]:
        watery = {n: device for n, device in channels.items() if counts_pulses(device)}
        counts = {32 + n: int(building.pulses(watery[n])[0]) % 65_536 if n in watery else 0 for n in range(6)}
        return counts | {39: 0}

    inputs = lambda: outputs() | {7: 0}  # noqa: E731 - one line says it all
    return NumbersImage({1: outputs, 2: inputs, 4: counters}, filler=0)


def relays(building: OfficeBuilding, channels: Channels) -> Image:
    """A relay or input board: relay or contact n is coil and discrete input n."""

    def states() -> Mapping[int, int]:
        last = max(7, *channels)
        return {n: _is_on(building, channels[n]) if n in channels else 0 for n in range(last + 1)}

    return NumbersImage({1: states, 2: states})


def _is_on(building: OfficeBuilding, device: Device) -> int:
    if is_contact(device):  # a closed contact reads 1
        return int(not building.is_open(device))
    course = building.day.switched.get(device.id)
    if course is None:
        course = building.day.lamps[device.zone or ""]
    return int(course.at(building.now) > 0)


def tuf_2000m(building: OfficeBuilding, channels: Channels) -> Image:
    """TUF-2000M ultrasonic meter: f32 and s32, low word first; numbers in the manual are one higher."""
    device = next(iter(channels.values()))

    def registers() -> Mapping[int, int]:
        flow = float(building.flow(device, _now(building))[0]) * 0.06  # m3/h
        volume = round(_volume(building, device))
        words = dict.fromkeys(range(100), 0)
        for first, raw in (
            (0, struct.pack(">f", flow)), (4, struct.pack(">f", flow / 7)), (6, struct.pack(">f", 1482.0)),
            (8, struct.pack(">i", volume)), (24, struct.pack(">i", volume)), (32, struct.pack(">f", 18.0)),
            (34, struct.pack(">f", 18.0)),
        ):  # fmt: skip
            words |= _words(raw, first, order="CDAB")
        return words | {91: 88}

    return NumbersImage({3: registers})


def xintai(building: OfficeBuilding, channels: Channels) -> Image:
    """Xintai water meter: f32 with all its bytes turned round, from register 1 on."""
    device = next(iter(channels.values()))

    def registers() -> Mapping[int, int]:
        flow = float(building.flow(device, _now(building))[0]) * 0.06
        words: dict[int, int] = {}
        for first, value in ((1, _volume(building, device)), (3, 0.0), (5, flow)):
            words |= _words(struct.pack(">f", value), first, order="DCBA")
        return words | {7: 0xAA}

    return NumbersImage({3: registers})


def _volume(building: OfficeBuilding, device: Device) -> float:
    """m3 since the meter was new."""
    return float(building.pulses(device)[0]) * (device.litres_per_pulse or 1.0) / 1000


def msw(building: OfficeBuilding, channels: Channels) -> Image:
    """Wiren Board WB-MSW v3 and v4: air, light, noise and motion of a room in input registers."""
    device = next(iter(channels.values()))

    def inputs() -> Mapping[int, int]:
        room, (co2, humidity) = building.temperature(device), building.air(device)
        seen = building.day.occupied.get(device.id)
        motion = 250 if seen is not None and seen.at(building.now) else 5
        lux = round(building.illuminance(device) * 100)
        words = {0: round(room * 10), 1: round(humidity * 10), 2: 0, 3: 4200, 4: round(room * 100)}
        words |= {5: round(humidity * 100), 6: 0, 7: 0, 8: round(co2), 11: 40, 280: motion, 283: motion}
        return words | _words(struct.pack(">I", lux), 9)

    return NumbersImage({4: inputs}, filler=0xFFFF)


def xy_md02(building: OfficeBuilding, channels: Channels) -> Image:
    """XY-MD02: temperature and humidity in tenths, input registers 1 and 2."""
    device = next(iter(channels.values()))

    def inputs() -> Mapping[int, int]:
        return {1: round(building.temperature(device) * 10), 2: round(building.air(device)[1] * 10)}

    return NumbersImage({4: inputs})


MODELS: Final[tuple[tuple[str, Callable[[OfficeBuilding, Channels], Image]], ...]] = (
    (r"pulse_counter$|mcm8", mcm8),
    (r"pulse_counter_u16|mr6c", mr6c),
    (r"relay_module|input_module|di_module", relays),
    (r"tuf_?2000", tuf_2000m),
    (r"xintai", xintai),
    (r"wb_msw|msw", msw),
    (r"md02|sht20", xy_md02),
)
"""What a profile's name tells of the device -> its image. The first that fits counts."""
