"""Readings out of an InfluxDB again, in order of time, as ``lines`` wrote them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

from building.readings import GOOD, Flaw, Grade, Quality, Reading
from building.site import DAY, MINUTE, Site
from collector.storing.influx import InfluxStore, Table
from collector.storing.lines import literal, tag_text

_AT_ONCE: Final = 20_000  # points in one answer: a few MB of JSON
_LONGEST: Final = 32 * DAY
_FIRST: Final = 60 * MINUTE
_FLAW: Final = re.compile(r"(?:^|; )(?P<quantity>\S+) (?P<grade>suspect|bad): ")
_WHOLE: Final = re.compile(r"(?P<grade>suspect|bad): (?P<reason>.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"(-?\d[\d.e+-]*) .*?is (?:outside|neither) ")  # of ``building.quantities.implausible``


class InfluxReadings:
    """What the devices of ``site`` said, out of the database of ``store``."""

    def __init__(self, site: Site, store: InfluxStore) -> None:
        self._site, self._store = site, store
        self._devices = {tag_text(device.id): device.id for device in site.devices}

    def span(self) -> tuple[int, int] | None:
        """Instants of the first and the last reading; None where there is none. Raises StoreAway or StoreRefused."""
        first, last = (
            [at for table in self._asked(None, f"ORDER BY time {order} LIMIT 1") for at in table.times()]
            for order in ("ASC", "DESC")
        )
        return (min(first), max(last)) if first and last else None

    def readings(self, start: int, end: int, devices: Collection[str] | None = None) -> Iterator[Reading]:
        """Those in [start, end), of ``devices`` or of all, in order of time. Raises StoreAway or StoreRefused.

        An implausible number, which is no field of its point, is taken from the point's ``quality``: six digits of it.
        """
        span = self.span()
        if span is None:
            return
        start, end, step = max(start, span[0]), min(end, span[1] + 1), _FIRST
        while start < end:
            until = min(start + step, end)
            found = list(self._between(start, until, devices))
            yield from sorted(found, key=attrgetter("taken_at", "device"))
            start = until
            step = min(max(int(step * min(max(_AT_ONCE / max(len(found), 1), 0.1), 4.0)), MINUTE), _LONGEST)

    def _between(self, start: int, end: int, devices: Collection[str] | None) -> Iterator[Reading]:
        for table in self._asked(devices, f"AND time >= {start}ms AND time < {end}ms GROUP BY *"):
            device = self._devices.get(table.tags.get("device", ""))
            if device is not None:
                yield from (_reading(device, table.columns, row) for row in table.rows)

    def _asked(self, devices: Collection[str] | None, rest: str) -> list[Table]:
        asked = [device for device in self._site.devices if devices is None or device.id in devices]
        if not asked:
            return []
        kinds = ", ".join(f'"{kind}"' for kind in sorted({device.kind for device in asked}))
        where = f'"site" = {literal(self._site.site.name)}'
        if devices is not None:
            names = " OR ".join(f'"device" = {literal(device.id)}' for device in asked)
            where = f"{where} AND ({names})"
        return self._store.tables(f"SELECT * FROM {kinds} WHERE {where} {rest}")  # noqa: S608 - literals are quoted


def _reading(device: str, columns: Sequence[str], row: Sequence[Any]) -> Reading:
    values: dict[str, float | str] = {}
    at, told = 0, ""
    for name, value in zip(columns, row, strict=True):
        if name == "time":
            at = int(value)
        elif name == "quality":
            told = value or ""
        elif value is not None:
            values[name] = value if isinstance(value, str) else float(value)
    return Reading(device, at, values, quality_of(told, values))


def quality_of(told: str, values: dict[str, float | str]) -> Quality:
    """The quality that a point's field ``quality`` tells; implausible numbers in it are put into ``values``."""
    if told in ("", "good"):
        return GOOD
    whole = _WHOLE.fullmatch(told)
    if whole is not None:
        return Quality(Grade[whole["grade"].upper()], whole["reason"])
    flaws: dict[str, Flaw] = {}
    parts = list(_FLAW.finditer(told))
    ends = [*(part.start() for part in parts[1:]), len(told)]
    for part, end in zip(parts, ends, strict=False):  # one end too many where there is no part
        quantity, reason = part["quantity"], told[part.end() : end]
        flaws[quantity] = Flaw(Grade[part["grade"].upper()], reason)
        number = _NUMBER.match(reason.removeprefix(f"{quantity} "))
        if number is not None:
            values.setdefault(quantity, float(number[1]))
    return Quality(max((flaw.grade for flaw in flaws.values()), default=Grade.SUSPECT), "" if flaws else told, flaws)
