"""Sun, cloud and outdoor air at the site: by place, date and seed. Plain approximations, good to a few degrees."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from building.site import SiteInfo

_NOON_LUX = 110_000.0  # horizontal illuminance under a high clear sun


class Sky(NamedTuple):
    """The weather at one moment: ``outdoor`` °C, ``daylight`` lx on open ground, ``cloud`` 0 to 1."""

    outdoor: float
    daylight: float
    cloud: float


class Weather:
    """The same seed and place always give the same weather."""

    def __init__(self, info: SiteInfo, seed: int) -> None:
        self._latitude = math.radians(info.latitude)
        self._longitude = info.longitude
        # Yearly mean and swing of the plains of eastern China: about 17 °C and 11.5 K at 31° north.
        self._mean = 17.0 - 0.45 * (abs(info.latitude) - 31.0)
        self._swing = math.copysign(11.5 + 0.25 * (abs(info.latitude) - 31.0), info.latitude)
        self._seed = seed
        self._days: dict[int, tuple[float, float]] = {}

    def at(self, moment: int) -> Sky:
        """The sky at ``moment`` (ms since 1970 UTC)."""
        when = datetime.fromtimestamp(moment / 1000, UTC) + timedelta(hours=self._longitude / 15)  # mean solar time
        hour = when.hour + when.minute / 60 + when.second / 3600
        of_year = when.timetuple().tm_yday
        cloud, warmth = self._between_days(moment / 86_400_000)
        season = math.cos(2 * math.pi * (of_year - 205) / 365)
        daily = 4.2 * (1 - 0.5 * cloud) * math.cos(2 * math.pi * (hour - 15) / 24)
        return Sky(self._mean + self._swing * season + daily + warmth, self._daylight(of_year, hour, cloud), cloud)

    def _daylight(self, of_year: int, hour: float, cloud: float) -> float:
        declination = math.radians(-23.44) * math.cos(2 * math.pi * (of_year + 10) / 365)
        height = math.sin(self._latitude) * math.sin(declination) + math.cos(self._latitude) * math.cos(
            declination
        ) * math.cos(math.radians(15 * (hour - 12)))
        return 0.0 if height <= 0 else float(_NOON_LUX * height**1.15 * (1 - 0.78 * cloud))

    def _between_days(self, day: float) -> tuple[float, float]:
        """Cloud and warmth, gliding from one day's draw to the next."""
        whole = math.floor(day)
        part = day - whole
        (cloud_a, warmth_a), (cloud_b, warmth_b) = self._draw(whole), self._draw(whole + 1)
        return cloud_a + part * (cloud_b - cloud_a), warmth_a + part * (warmth_b - warmth_a)

    def _draw(self, day: int) -> tuple[float, float]:
        drawn = self._days.get(day)
        if drawn is None:
            if len(self._days) > 400:
                self._days.clear()
            luck = Random(f"{self._seed}/weather/{day}")
            drawn = self._days[day] = (luck.uniform(0.1, 0.95), luck.uniform(-2.0, 2.5))
        return drawn
