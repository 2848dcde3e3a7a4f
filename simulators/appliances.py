"""What hangs on a plug: water dispensers, copiers, computers and the rest, each with its own shape of power.

A machine says what it draws, in W, over the stretches of one day in which it is used. Levels are those of measured
office plugs: computers 40 to 110 W, asleep 2 to 5 W; copiers ready at 30 to 60 W, asleep 10 to 20 W.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, Protocol

from building.site import Device
from simulators.courses import Stretch

Piece = tuple[int, int, float]
"""From, until (ms) and W."""

KETTLE_W: Final = 1800.0


class Appliance(Protocol):
    """One machine. ``standby`` is what it draws asleep, ``left_on`` when forgotten awake, both W."""

    standby: float
    left_on: float

    def work(self, used: Sequence[Stretch], luck: Random) -> Iterator[Piece]:
        """Power over the stretches in which it is used."""


class Dispenser:
    """Keeps 3 litres hot between 85 and 95 °C: a saw-tooth of its heater. Not heating it draws under 0.5 W."""

    standby = 3.0  # one that is left with its lamps and cooling fan on
    _LOSS: Final = 0.012  # K per second
    _CUP: Final = 4.0  # K that a cup drawn costs

    def __init__(self, rated: float) -> None:
        self._rated = rated
        self.left_on = rated

    def work(self, used: Sequence[Stretch], luck: Random) -> Iterator[Piece]:
        rise = self._rated / (3 * 4186) - self._LOSS
        for start, end in used:
            at, water = start, 88.0
            while at < end:
                cups = sum(luck.random() < 0.5 for _ in range(2))
                cool = max((water - 85.0 - cups * self._CUP) / self._LOSS, 30.0)
                begin = min(at + round(cool * 1000), end)
                yield at, begin, 0.4
                low = 85.0 - luck.uniform(0, 1.5)
                at = min(begin + round((95.0 - low) / rise * 1000), end)
                yield begin, at, self._rated
                water = 95.0


class Copier:
    """Ready at 42 W, up to 800 W while copying, asleep after a quarter of an hour without work."""

    standby = 14.0
    left_on = 42.0

    def __init__(self, rated: float) -> None:
        self._rated = rated

    def work(self, used: Sequence[Stretch], luck: Random) -> Iterator[Piece]:
        for start, end in used:
            at = start
            while at < end:
                job = min(at + round(luck.expovariate(1 / 900) * 1000), end)
                asleep = min(at + 900_000, job)
                yield at, asleep, self.left_on
                yield asleep, job, self.standby
                at = min(job + round(luck.uniform(20, 90) * 1000), end)
                yield job, at, self._rated * luck.uniform(0.8, 1.0)


class Computer:
    """A desktop with its screen: wanders around its rated power at work, sleeps now and then where it may."""

    def __init__(self, rated: float, luck: Random) -> None:
        self._rated = rated
        self._sleeps = luck.random() < 0.6
        self.standby = luck.choice((2.5, 3.5, 4.5))
        self.left_on = rated * 0.75

    def work(self, used: Sequence[Stretch], luck: Random) -> Iterator[Piece]:
        slow, fast = luck.uniform(0, math.tau), luck.uniform(0, math.tau)
        for start, end in used:
            nap = start + round(luck.uniform(0.2, 0.7) * (end - start))
            wake = min(nap + luck.randint(10, 20) * 60_000, end) if self._sleeps else nap
            for at in range(start, end, 60_000):
                until = min(at + 60_000, end)
                minute = at / 60_000
                wander = 0.12 * math.sin(minute / 17 + slow) + 0.1 * math.sin(minute / 2.3 + fast)
                yield at, until, self.standby if nap <= at < wake else self._rated * (1 + wander)


class Charger:
    """Charges for an hour and a half from each start of work, then only trickles."""

    standby = 0.2
    left_on = 45.0

    def __init__(self, rated: float) -> None:
        self._rated = rated

    def work(self, used: Sequence[Stretch], luck: Random) -> Iterator[Piece]:
        for start, end in used:
            full = min(start + round(luck.uniform(60, 110) * 60_000), end)
            yield start, full, self._rated
            yield full, end, self._rated * 0.08


class Steady:
    """Anything else: its rated power while it is used."""

    standby = 2.0

    def __init__(self, rated: float) -> None:
        self._rated = rated
        self.left_on = rated

    def work(self, used: Sequence[Stretch], luck: Random) -> Iterator[Piece]:
        for start, end in used:
            yield start, end, self._rated


_DISPENSER: Final = ("饮水", "开水", "dispenser", "boiler")
_COPIER: Final = ("复印", "打印", "copier", "printer")
_COMPUTER: Final = ("电脑", "计算机", "主机", "computer", "pc", "desktop")
_CHARGER: Final = ("充电", "charger")


def appliance_of(device: Device, luck: Random | None = None) -> Appliance:
    """The machine behind a plug, told by the words in ``appliance``, ``name`` or ``id``."""
    words = f"{device.appliance} {device.name} {device.id}".lower()
    rated = device.rated_power

    def means(known: tuple[str, ...]) -> bool:
        return any(word in words for word in known)

    if means(_DISPENSER):
        return Dispenser(rated or 600.0)
    if means(_COPIER):
        return Copier(rated or 800.0)
    if means(_COMPUTER):
        return Computer(rated or 85.0, luck or Random(device.id))
    if means(_CHARGER):
        return Charger(rated or 60.0)
    return Steady(rated or 60.0)


def is_dispenser(device: Device) -> bool:
    """Whether the machine on a plug has no standby worth the name: it heats, or it does nothing."""
    return isinstance(appliance_of(device), Dispenser)
