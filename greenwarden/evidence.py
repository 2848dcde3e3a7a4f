"""The 24 hours behind an alert, out of the store, as a picture."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

from building.clock import Clock
from building.errors import StoreAway
from building.instants import from_iso
from building.quantities import QUANTITIES, Nature
from building.site import DAY, Site
from rules import pictures
from rules.channels import Message
from rules.writing import Writer

log = logging.getLogger(__name__)

_AFTER: Final = DAY // 12  # shown after the end of an alert
_LIMITS: Final = ("on_above", "flow_above", "power_above", "running_above", "cooling_floor", "heating_ceiling")


class SeriesSource(Protocol):
    """A store that can be asked for one quantity of one device."""

    def read(self, device: str, quantity: str, start: int, end: int) -> tuple[Any, Any]:
        """Times (ms UTC) and values, as arrays, from ``start`` to ``end``."""


class Picture:
    """Draws alerts of one site. Without matplotlib, or without readings, there is none."""

    def __init__(self, site: Site, clock: Clock, source: SeriesSource) -> None:
        self._site, self._clock, self._source = site, clock, source
        self._writer = Writer(site)

    async def of_message(self, message: Message) -> bytes | None:
        """The picture for a message about one alert and nothing else."""
        alone = len(message.alerts) == 1 and len(message.entries) <= 1
        return await self.of_alert(message.alert, message.language) if alone else None

    async def of_alert(self, alert: Mapping[str, Any], language: str) -> bytes | None:
        """The picture of an alert, with its words in ``language``, as PNG."""
        if not pictures.available():
            return None
        return await asyncio.to_thread(self._draw, alert, language)

    def _draw(self, alert: Mapping[str, Any], language: str) -> bytes | None:
        try:
            signal = self._signal(alert, language)
        except StoreAway as error:
            log.warning("a message goes without its picture: %s", error)
            return None
        if signal is None:
            return None
        return pictures.draw(signal, self._site.site.tz, language)

    def _signal(self, alert: Mapping[str, Any], language: str) -> pictures.Signal | None:
        evidence, device = alert.get("evidence") or {}, alert.get("device")
        shown = _shown(evidence.get("readings", ()), device)
        if shown is None or alert.get("since") is None:
            return None
        since = from_iso(str(alert["since"]))
        end = None if alert.get("ended") is None else from_iso(str(alert["ended"]))
        until = self._clock.now() if end is None else min(self._clock.now(), end + _AFTER)
        times, values = self._source.read(shown["device"], shown["quantity"], until - DAY, until + 1)
        if len(times) < 2:
            return None
        return pictures.Signal(
            title=self._writer.title(alert, language),
            name=f"{alert['rule']} {device}",
            quantity=shown["quantity"],
            times=[int(at) for at in times],
            values=[float(value) for value in values],
            gap=self._site.device[shown["device"]].stale_after,
            start=until - DAY,
            until=until,
            since=max(since, until - DAY),
            end=end,
            limit=_limit(evidence.get("limits") or {}, shown["quantity"]),
            presence=self._presence(evidence.get("presence") or {}, until - DAY, until),
        )

    def _presence(self, presence: Mapping[str, Any], start: int, until: int) -> list[tuple[int, int]]:
        """Stretches in which one of the zone's sensors saw somebody."""
        stretches = []
        for device in presence.get("devices", ()):
            times, values = self._source.read(device, "occupancy", start, until)
            told = [*zip(times, values, strict=True), (until, 0.0)]
            stretches += [(int(at), int(after)) for (at, value), (after, _) in pairwise(told) if value >= 0.5]
        return stretches


def _shown(readings: Sequence[Mapping[str, Any]], device: object) -> Mapping[str, Any] | None:
    """The reading to draw: a number of the alert's own device, a gauge before a state before a counter."""
    order = (Nature.GAUGE, Nature.STATE, Nature.COUNTER)
    own = [
        reading
        for reading in readings
        if reading["device"] == device and QUANTITIES[reading["quantity"]].nature in order
    ]
    return min(own, key=lambda reading: order.index(QUANTITIES[reading["quantity"]].nature), default=None)


def _limit(limits: Mapping[str, Any], quantity: str) -> float | None:
    """The limit in the unit of ``quantity``, where the rule has one that can be drawn."""
    fitting = {"setpoint": _LIMITS[4:], "flow": _LIMITS[1:2], "active_power": (*_LIMITS[:1], *_LIMITS[2:4])}
    found = [limits[name] for name in fitting.get(quantity, ()) if isinstance(limits.get(name), int | float)]
    return float(found[0]) if len(found) == 1 else None
