"""What hangs on a plug: water dispensers, copiers, computers and the rest, each with its own shape of power."""

from __future__ import annotations

from random import Random
from typing import Final, Protocol

from building.site import Device


class Appliance(Protocol):
    """One machine. ``power`` is what it draws now, in W, while its plug is on; ``standby`` what it draws asleep."""

    power: float
    standby: float

    def step(self, seconds: float, luck: Random) -> None:
        """Work for ``seconds``."""


class Dispenser:
    """Keeps 3 litres hot between 85 and 95 °C: a saw-tooth of its heater. Not heating it draws under 0.5 W."""

    standby = 3.0  # one that is left with its lamps and cooling fan on

    def __init__(self, rated: float) -> None:
        self._rated = rated
        self._water = 88.0
        self._heating = False
        self.power = 0.4

    def step(self, seconds: float, luck: Random) -> None:
        self._water -= 0.012 * seconds + (4.0 if luck.random() < seconds / 1500 else 0.0)  # losses, and a cup drawn
        self._heating = self._water < 85 or (self._heating and self._water < 95)
        if self._heating:
            self._water += self._rated * seconds / (3 * 4186)
        self.power = self._rated if self._heating else 0.4


class Copier:
    """Ready at 42 W, up to 800 W while copying, asleep after a quarter of an hour without work."""

    standby = 14.0

    def __init__(self, rated: float) -> None:
        self._rated = rated
        self._busy = 0.0
        self._idle = 0.0
        self.power = 42.0

    def step(self, seconds: float, luck: Random) -> None:
        if self._busy <= 0 and luck.random() < seconds / 900:
            self._busy = luck.uniform(20, 90)
            self._idle = 0.0
        self._busy -= seconds
        self._idle += seconds
        self.power = self._rated if self._busy > 0 else 42.0 if self._idle < 900 else self.standby


class Computer:
    """A desktop with its screen: 65 to 110 W at work, a few watts asleep."""

    standby = 4.5

    def __init__(self, rated: float) -> None:
        self._rated = rated
        self.power = rated

    def step(self, seconds: float, luck: Random) -> None:
        wander = self.power + luck.gauss(0, 1.5) * min(seconds, 10)
        self.power = min(self._rated * 1.3, max(self._rated * 0.75, wander))


class Steady:
    """Anything else: its rated power while it is on."""

    standby = 2.0

    def __init__(self, rated: float) -> None:
        self.power = rated

    def step(self, seconds: float, luck: Random) -> None:
        """Nothing changes."""


_WORDS: Final[tuple[tuple[tuple[str, ...], type[Dispenser | Copier | Computer], float], ...]] = (
    (("饮水", "开水", "dispenser", "boiler"), Dispenser, 600.0),
    (("复印", "打印", "copier", "printer"), Copier, 800.0),
    (("电脑", "计算机", "主机", "computer", "pc", "desktop"), Computer, 85.0),
)


def appliance_of(device: Device) -> Appliance:
    """The machine behind a plug, told by the words in ``appliance``, ``name`` or ``id``."""
    words = f"{device.appliance} {device.name} {device.id}".lower()
    for known, kind, rated in _WORDS:
        if any(word in words for word in known):
            return kind(device.rated_power or rated)
    return Steady(device.rated_power or 60.0)
