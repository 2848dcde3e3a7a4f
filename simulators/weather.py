"""Sun, cloud and outdoor air at the site: by place, date and seed. Plain approximations, good to a few degrees."""

from __future__ import annotations

import math
from datetime import date
from random import Random
from typing import Final, NamedTuple

import numpy as np

from building.site import SiteInfo
from simulators.courses import Floats, Ints

_NOON_LUX = 110_000.0  # horizontal illuminance under a high clear sun
_DAY: Final = 86_400_000


class Sky(NamedTuple):
    """The weather at some moments: ``outdoor`` °C, ``daylight`` lx on open ground, ``cloud`` 0 to 1."""

    outdoor: Floats
    daylight: Floats
    cloud: Floats


class Weather:
    """The same seed and place always give the same weather."""

    def __init__(self, info: SiteInfo, seed: int) -> None:
        self._latitude = math.radians(info.latitude)
        self._longitude = info.longitude
        # Yearly mean and swing of the plains of eastern China: about 17 °C and 11.5 K at 31° north.
        self._mean = 17.0 - 0.45 * (abs(info.latitude) - 31.0)
        self._swing = math.copysign(11.5 + 0.25 * (abs(info.latitude) - 31.0), info.latitude)
        self._seed = seed

    def at(self, moments: Ints) -> Sky:
        """The sky at ``moments`` (ms since 1970 UTC), at most some days of them."""
        solar = moments + self._longitude / 15 * 3_600_000  # mean solar time
        hour = solar % _DAY / 3_600_000
        first = date.fromordinal(date(1970, 1, 1).toordinal() + int(solar[0] // _DAY)).timetuple().tm_yday
        of_year = first + solar // _DAY - solar[0] // _DAY
        cloud, warmth = self._between_days(moments / _DAY)
        season = np.cos(2 * math.pi * (of_year - 205) / 365)
        daily = 4.2 * (1 - 0.5 * cloud) * np.cos(2 * math.pi * (hour - 15) / 24)
        return Sky(self._mean + self._swing * season + daily + warmth, self._daylight(of_year, hour, cloud), cloud)

    def _daylight(self, of_year: Floats, hour: Floats, cloud: Floats) -> Floats:
        declination = math.radians(-23.44) * np.cos(2 * math.pi * (of_year + 10) / 365)
        height = math.sin(self._latitude) * np.sin(declination) + math.cos(self._latitude) * np.cos(
            declination
        ) * np.cos(np.radians(15 * (hour - 12)))
        lux: Floats = _NOON_LUX * np.maximum(height, 0.0) ** 1.15 * (1 - 0.78 * cloud)
        return lux

    def _between_days(self, days: Floats) -> tuple[Floats, Floats]:
        """Cloud and warmth, gliding from one day's draw to the next."""
        whole = np.floor(days).astype(int)
        first = int(whole.min())
        drawn = np.array([self._draw(day) for day in range(first, int(whole.max()) + 2)])
        here, part = whole - first, (days - whole)[:, None]
        glide = drawn[here] + part * (drawn[here + 1] - drawn[here])
        return glide[:, 0], glide[:, 1]

    def _draw(self, day: int) -> tuple[float, float]:
        luck = Random(f"{self._seed}/weather/{day}")
        return luck.uniform(0.1, 0.95), luck.uniform(-2.0, 2.5)
