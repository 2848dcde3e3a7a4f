"""The store that a site's file names, to be read by commands that look back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from building.readings import Reading
from building.site import Site
from collector.storing.embedded import DATABASE
from collector.storing.influx import InfluxStore
from collector.storing.influx_readings import InfluxReadings
from collector.storing.stored import StoredReadings
from greenwarden.door import data_folder


class KeptReadings(Protocol):
    """What every store can tell again."""

    def span(self) -> tuple[int, int] | None:
        """Instants (ms) of the first and the last reading; None where there is none."""

    def readings(self, start: int, end: int, devices: Collection[str] | None = None) -> Iterator[Reading]:
        """Readings in [start, end), of ``devices`` or of all, in order of time."""


def open_kept(path: Path, site: Site, opened: ExitStack) -> KeptReadings:
    """The store of the site of ``path``, until ``opened`` is closed. It, too, raises StoreAway."""
    if site.store.influxdb is not None:
        return InfluxReadings(site, opened.enter_context(InfluxStore(site, site.store.influxdb)))
    return opened.enter_context(StoredReadings(data_folder(path, site) / DATABASE))
