"""What every converter yields, and the few steps they share."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, time
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from building.instants import from_iso

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Part(NamedTuple):
    """One quantity of one device: Unix seconds and values."""

    device: str
    quantity: str
    times: Floats
    values: Floats


class Label(NamedTuple):
    """A labelled stretch of one unit, in ms."""

    unit: str
    rule: str
    start: int
    end: int
    kind: str
    name: str  # what the label calls it


Terms = Callable[[str, int], bool]
"""(unit, instant in ms at which an alarm was raised) -> whether it is as the rule says."""


class Measured(NamedTuple):
    """One measured set.

    ``more``     keys of the file's ``site:``, beside its time zone
    ``devices``  name of a device -> its keys in the file
    ``rules``    name of a label -> rules of the catalogue, any of which finds it
    ``free``     rules of which the labels name every stretch there is, so that other alarms are false; their
                 alarms where nothing is labelled are counted too
    ``floor``    name of a label -> shortest stretch (minutes) that the rule's own wait lets it find
    ``terms``    rules whose terms the measured signals can be put to without the engine: of an alarm on a unit raised
                 at an instant, whether they held for the rule's whole wait before it
    """

    name: str
    tz: str
    more: str
    devices: Callable[[str], str]
    parts: Callable[[Path], Iterable[Part]]
    rules: Mapping[str, tuple[str, ...]]
    free: tuple[str, ...] = ()
    floor: Mapping[str, float] = {}
    derived: Callable[[Path], Iterable[Label]] | None = None
    terms: Callable[[Path], Mapping[str, Terms]] | None = None


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """A csv.gz with a header."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def seconds_of(texts: Iterable[str], tz: str) -> Floats:
    """Local times as Unix seconds. A time that the clock has twice is the first of the two."""
    zone = ZoneInfo(tz)
    return np.array([from_iso(text, zone) / 1000 for text in texts], np.float64)


def columns_of(path: Path) -> dict[str, list[str]]:
    """A csv.gz by columns."""
    found: dict[str, list[str]] = {}
    for row in rows_of(path):
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def numbers(texts: Iterable[str]) -> Floats:
    return np.array([float(text) if text else np.nan for text in texts], np.float64)


def parquet(path: Path) -> dict[str, Any]:
    """A Parquet file as arrays by column."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def local_seconds(stamps: npt.NDArray[Any], tz: str) -> Floats:
    """Naive local numpy datetimes as Unix seconds, through a table of the hours they fall into."""
    hours, which = np.unique(stamps.astype("datetime64[h]"), return_inverse=True)
    begin = seconds_of((str(hour) + ":00:00" for hour in hours), tz)
    within = (stamps - stamps.astype("datetime64[h]")).astype("timedelta64[us]").astype(np.int64) / 1e6
    result: Floats = begin[which] + within
    return result


def labels_of(folder: Path, measured: Measured) -> list[Label]:
    """Labels of one set whose name is mapped to a rule, and those derived from the data itself."""
    found = []
    zone = ZoneInfo(measured.tz)
    with (folder / "labels_events.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] == measured.name:
                for rule in measured.rules.get(row["rule"], ())[:1]:
                    start, end = (from_iso(row[key], zone) for key in ("start", "end"))
                    found.append(Label(row["unit"], rule, start, end, row["label_type"], row["rule"]))
    return found + (list(measured.derived(folder)) if measured.derived is not None else [])


class Held(NamedTuple):
    """A signal that holds its last value: instants in Unix seconds, and values."""

    times: Floats
    values: Floats

    def all(self, start: float, end: float, wanted: Callable[[Floats], npt.NDArray[np.bool_]]) -> bool:
        """Whether every value that stood at some time from ``start`` to before ``end`` is ``wanted``."""
        first = int(self.times.searchsorted(start, "right")) - 1
        last = int(self.times.searchsorted(end, "left"))
        return first >= 0 and bool(wanted(self.values[first:last]).all())


def off_hours(start: float, end: float, tz: str) -> bool:
    """Whether no minute from ``start`` to ``end`` lies in the catalogue's default working hours, by weekday alone."""
    zone = ZoneInfo(tz)
    minutes = np.arange(start, end, 60.0)
    local = [datetime.fromtimestamp(minute, zone) for minute in minutes]
    return not any(
        at.weekday() < 5 and (time(8, 30) <= at.time() < time(12) or time(13, 30) <= at.time() < time(17, 30))
        for at in local
    )
