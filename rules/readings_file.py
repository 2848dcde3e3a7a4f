"""Readings in long form from CSV, CSV.gz or Parquet: ``time, device, quantity, value``, in any order.

``time`` is ISO 8601 with offset or Unix seconds; ``value`` a number, or a word for ``mode``. An empty value or NaN is
kept as NaN: something was said there, but no number. Errors name the row, counted from 1 below the header.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from building.errors import InputError, shown
from building.instants import from_iso
from building.quantities import MODES, QUANTITIES, Nature
from building.readings import Reading
from building.site import Site

COLUMNS: Final = ("time", "device", "quantity", "value")
LATEST_S: Final = 32_503_680_000  # the year 3000; beyond it a Unix time is in milliseconds
_TRUTHS: Final = {"true": 1.0, "false": 0.0}
TELL_EVERY: Final = 100_000
_LONGEST_HEADER: Final = 10_000  # letters; what has no lines at all is never read whole
WHOLE_UP_TO: Final = 4_000_000
"""Rows of a file that are read at once."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Limits = tuple[int | None, int | None]

RowsRead = Callable[[int], None]
"""Told now and then how many rows have been read."""


class Series(NamedTuple):
    """All that one device said of one quantity, by time: ms and values (words as their place in MODES)."""

    times: Ints
    values: Floats


class Led(Series):
    """A series whose values have one more in front of them, so that what came before can be seen with them uncopied."""

    led: Floats  # with that one
    free: bool  # whether it stands for nothing yet


def led(times: Ints, values: Floats, *, free: bool) -> Led:
    """The series of ``times``, with all but the first of ``values``."""
    series = Led(times, values[1:])
    series.led, series.free = values, free
    return series


Columns = Mapping[tuple[str, str], Series]
"""(device, quantity) -> series."""


def read_readings(path: Path, site: Site, *, told: RowsRead | None = None) -> Columns:
    """The file's readings, sorted by time, each instant once. Raises InputError naming file and row."""
    try:
        if path.suffix == ".parquet":
            from rules.parquet_file import read_parquet

            return read_parquet(path, site, told)
        return _read_csv(path, site, told)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (EOFError, zlib.error):
        raise InputError(f"{path}: the compressed file is cut short or damaged; copy it again") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as UTF-8, or name it .parquet or .csv.gz if it is") from None
    except csv.Error as error:
        raise InputError(f"{path}: not readable as CSV ({error})") from None


class Stretches:
    """The readings of a file in stretches of time, each later than the one before, read anew at every iteration.

    ``values``: how many the file holds, where that is known before reading. A Parquet file is read by row groups, as
    far as their statistics show that what comes later holds nothing earlier; so one written in order of time, however
    long, never lies in memory as a whole. Other files are one stretch.
    """

    def __init__(self, path: Path, site: Site, *, told: RowsRead | None = None, limits: Limits = (None, None)) -> None:
        self._path, self._site, self._told, self._limits = path, site, told, limits
        self._whole: Columns | None = None
        self.values: int | None = None
        if path.suffix == ".parquet":
            from rules.parquet_file import rows_in

            self.values = rows_in(path)

    def __iter__(self) -> Iterator[Columns]:
        for columns in self._read():
            cut = between(columns, *self._limits)
            del columns  # nobody needs to keep it while the next one is read
            if cut:
                yield cut
            del cut

    def _read(self) -> Iterator[Columns]:
        if self.values is not None and self.values > WHOLE_UP_TO:
            from rules.parquet_file import in_stretches

            yield from in_stretches(self._path, self._site, self._told)
            return
        if self._whole is None:
            self._whole = read_readings(self._path, self._site, told=self._told)
        yield self._whole


def open_readings(path: Path, site: Site, *, told: RowsRead | None = None, limits: Limits = (None, None)) -> Stretches:
    """The file's readings from ``limits`` (start, end before; ms). Raises InputError naming file and row, also later,
    when its stretches are read."""
    return Stretches(path, site, told=told, limits=limits)


def between(columns: Columns, start: int | None, end: int | None) -> Columns:
    """What lies from ``start`` on and before ``end`` (ms; None: no limit)."""
    if start is None and end is None:
        return columns
    cut = {}
    known: dict[int, tuple[int, int, Ints]] = {}  # by array of instants, which many series share
    for key, series in columns.items():
        times, values = series
        if id(times) not in known:
            first = 0 if start is None else int(np.searchsorted(times, start))
            last = len(times) if end is None else int(np.searchsorted(times, end))
            known[id(times)] = (first, last, times[first:last])
        first, last, within = known[id(times)]
        if last == len(times) and not first:
            cut[key] = series
        elif first < last and isinstance(series, Led):
            cut[key] = led(within, series.led[first : last + 1], free=series.free and not first)
        elif first < last:
            cut[key] = Series(within, values[first:last])
    return cut


def readings_of(columns: Columns) -> Iterator[Reading]:
    """The same as readings, by time and device; quantities of one device and instant come together."""
    keys = sorted(columns)
    if not keys:
        return
    devices = sorted({device for device, _ in keys})
    rank = {device: number for number, device in enumerate(devices)}
    times = np.concatenate([columns[key].times for key in keys])
    values = np.concatenate([columns[key].values for key in keys])
    series = np.repeat(np.arange(len(keys)), [len(columns[key].times) for key in keys])
    ranks = np.array([rank[device] for device, _ in keys])[series]
    order = np.lexsort((series, ranks, times))
    device, at, said = "", 0, {}  # type: str, int, dict[str, float | str]
    for key_number, moment, value in zip(
        series[order].tolist(), times[order].tolist(), values[order].tolist(), strict=True
    ):
        name, quantity = keys[key_number]
        if said and (name != device or moment != at):
            yield Reading(device, at, said)
            said = {}
        device, at = name, moment
        said[quantity] = word_of(quantity, value)
    if said:
        yield Reading(device, at, said)


def word_of(quantity: str, value: float) -> float | str:
    """The value as a reading holds it: words instead of their places."""
    return MODES[int(value)] if QUANTITIES[quantity].nature is Nature.WORD else value


class Rows:
    """Rows gathered by series, checked one by one."""

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        self._site = site
        self._series: dict[tuple[str, str], tuple[array[int], array[float]]] = {}

    def fail(self, row: int, sentence: str) -> NoReturn:
        raise InputError(f"{self.name}: row {row}: {sentence}")

    def add(self, row: int, time: str, device: str, quantity: str, value: str) -> None:
        found = self._series.get((device, quantity)) or self._new(row, device, quantity)
        found[0].append(self._moment(row, time))
        try:
            number = float(value)
        except ValueError:
            number = self._worded(row, quantity, value)
        else:
            if QUANTITIES[quantity].nature is Nature.WORD:
                self.fail(row, f"{quantity} {shown(value)} is none of {', '.join(QUANTITIES[quantity].words)}")
        found[1].append(number)

    def columns(self) -> Columns:
        return {
            key: in_order(np.frombuffer(times, np.int64), np.frombuffer(values, np.float64))
            for key, (times, values) in self._series.items()
        }

    def _new(self, row: int, device: str, quantity: str) -> tuple[array[int], array[float]]:
        check_names(self.name, row, self._site, device, quantity)
        found = self._series[(device, quantity)] = (array("q"), array("d"))
        return found

    def _moment(self, row: int, text: str) -> int:
        try:
            seconds = float(text)
        except ValueError:
            try:
                moment = from_iso(text)
            except (ValueError, OverflowError) as error:
                why = str(error)[:120]
                self.fail(row, f"time {shown(text)} is neither ISO 8601 with offset nor Unix seconds ({why})")
            if not 0 <= moment < LATEST_S * 1000:
                self.fail(row, f"time {shown(text)} is not between the years 1970 and 3000")
            return moment
        if not 0 <= seconds < LATEST_S:
            self.fail(row, f"time {shown(text)} is no Unix time in seconds")
        return round(seconds * 1000)

    def _worded(self, row: int, quantity: str, value: str) -> float:
        entry = QUANTITIES[quantity]
        word = value.strip().lower()
        if entry.nature is Nature.WORD:
            if word in entry.words:
                return float(entry.words.index(word))
            self.fail(row, f"{quantity} {shown(value)} is none of {', '.join(entry.words)}")
        if not word:
            return float("nan")
        if entry.nature is not Nature.STATE or word not in _TRUTHS:
            self.fail(row, f"value {shown(value)} of {quantity} is not a number")
        return _TRUTHS[word]


def check_names(name: str, row: int, site: Site, device: str, quantity: str) -> None:
    """Raises InputError when the site has no such device, or nobody such a quantity."""
    if device not in site.device:
        known = ", ".join(list(site.device)[:12]) or "none"
        raise InputError(f"{name}: row {row}: device {shown(device)} is not in the site's file; known are {known}")
    if quantity not in QUANTITIES:
        raise InputError(f"{name}: row {row}: {shown(quantity)} is no quantity; known are {', '.join(QUANTITIES)}")


def in_order(times: Ints, values: Floats) -> Series:
    """By time; of one instant, the first row of the file stays."""
    if len(times) > 1 and not np.all(times[1:] > times[:-1]):
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        first = np.concatenate(([True], times[1:] != times[:-1]))
        times, values = times[first], values[first]
    return Series(times, values)


def _read_csv(path: Path, site: Site, told: RowsRead | None) -> Columns:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    rows = Rows(path.name, site)
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [column.strip().lower() for column in next(csv.reader([file.readline(_LONGEST_HEADER)]), [])]
        wanted = places(path.name, header)
        width = len(header)
        for row, fields in enumerate(reader, 1):
            if not fields:
                continue
            if len(fields) < width:
                rows.fail(row, f"has {len(fields)} of {width} columns")
            rows.add(row, *(fields[place] for place in wanted))
            if told is not None and row % TELL_EVERY == 0:
                told(row)
    return rows.columns()


def places(name: str, header: list[str]) -> list[int]:
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(
            f"{name}: row 0 (the header): the column {' and '.join(map(repr, missing))} is missing; "
            f"wanted are {', '.join(COLUMNS)}, found {shown(', '.join(header) or 'nothing')}"
        )
    return [header.index(column) for column in COLUMNS]
