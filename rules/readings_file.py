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

from building.errors import InputError
from building.instants import from_iso
from building.quantities import MODES, QUANTITIES, Nature
from building.readings import Reading
from building.site import Site

COLUMNS: Final = ("time", "device", "quantity", "value")
_LATEST_S: Final = 32_503_680_000  # the year 3000; beyond it a Unix time is in milliseconds
_TRUTHS: Final = {"true": 1.0, "false": 0.0}
_TELL_EVERY: Final = 100_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RowsRead = Callable[[int], None]
"""Told now and then how many rows have been read."""


class Series(NamedTuple):
    """All that one device said of one quantity, by time: ms and values (words as their place in MODES)."""

    times: Ints
    values: Floats


Columns = Mapping[tuple[str, str], Series]
"""(device, quantity) -> series."""


def read_readings(path: Path, site: Site, *, told: RowsRead | None = None) -> Columns:
    """The file's readings, sorted by time, each instant once. Raises InputError naming file and row."""
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path, site)
        return _read_csv(path, site, told)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (EOFError, zlib.error):
        raise InputError(f"{path}: the compressed file is cut short or damaged; copy it again") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as UTF-8, or name it .parquet or .csv.gz if it is") from None
    except csv.Error as error:
        raise InputError(f"{path}: not readable as CSV ({error})") from None


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


class _Rows:
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
                self.fail(row, f"{quantity} {value!r} is none of {', '.join(QUANTITIES[quantity].words)}")
        found[1].append(number)

    def columns(self) -> Columns:
        return {
            key: _sorted(np.frombuffer(times, np.int64), np.frombuffer(values, np.float64))
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
                return from_iso(text)
            except (ValueError, OverflowError) as error:
                self.fail(row, f"time {text!r} is neither ISO 8601 with offset nor Unix seconds ({error})")
        if not 0 <= seconds < _LATEST_S:
            self.fail(row, f"time {text!r} is no Unix time in seconds")
        return round(seconds * 1000)

    def _worded(self, row: int, quantity: str, value: str) -> float:
        entry = QUANTITIES[quantity]
        word = value.strip().lower()
        if entry.nature is Nature.WORD:
            if word in entry.words:
                return float(entry.words.index(word))
            self.fail(row, f"{quantity} {value!r} is none of {', '.join(entry.words)}")
        if not word:
            return float("nan")
        if entry.nature is not Nature.STATE or word not in _TRUTHS:
            self.fail(row, f"value {value!r} of {quantity} is not a number")
        return _TRUTHS[word]


def check_names(name: str, row: int, site: Site, device: str, quantity: str) -> None:
    """Raises InputError when the site has no such device, or nobody such a quantity."""
    if device not in site.device:
        known = ", ".join(list(site.device)[:12]) or "none"
        raise InputError(f"{name}: row {row}: device {device!r} is not in the site's file; known are {known}")
    if quantity not in QUANTITIES:
        raise InputError(f"{name}: row {row}: {quantity!r} is no quantity; known are {', '.join(QUANTITIES)}")


def _sorted(times: Ints, values: Floats) -> Series:
    """By time; of one instant, the first row of the file stays."""
    if len(times) > 1 and not np.all(times[1:] > times[:-1]):
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        first = np.concatenate(([True], times[1:] != times[:-1]))
        times, values = times[first], values[first]
    return Series(times, values)


def _read_csv(path: Path, site: Site, told: RowsRead | None) -> Columns:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    rows = _Rows(path.name, site)
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [column.strip().lower() for column in next(reader, [])]
        places = _places(path.name, header)
        width = len(header)
        for row, fields in enumerate(reader, 1):
            if not fields:
                continue
            if len(fields) < width:
                rows.fail(row, f"has {len(fields)} of {width} columns")
            rows.add(row, *(fields[place] for place in places))
            if told is not None and row % _TELL_EVERY == 0:
                told(row)
    return rows.columns()


def _places(name: str, header: list[str]) -> list[int]:
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(
            f"{name}: row 0 (the header): the column {' and '.join(map(repr, missing))} is missing; "
            f"wanted are {', '.join(COLUMNS)}, found {', '.join(header) or 'nothing'}"
        )
    return [header.index(column) for column in COLUMNS]


def _read_parquet(path: Path, site: Site) -> Columns:
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            f"{path.name}: reading Parquet needs pyarrow; install greenwarden[parquet], or hand in CSV"
        ) from None
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path.name}: not readable as Parquet ({str(error).splitlines()[0]})") from None
    _places(path.name, [name.lower() for name in table.column_names])
    table = table.rename_columns([name.lower() for name in table.column_names]).select(COLUMNS)
    for column in COLUMNS[:3]:
        if table[column].null_count:
            row = int(np.flatnonzero(table[column].is_null().to_numpy())[0]) + 1
            raise InputError(f"{path.name}: row {row}: {column} is empty")
    if not _is_numeric(pa, table["value"].type) or not (
        _is_numeric(pa, table["time"].type) or pa.types.is_timestamp(table["time"].type)
    ):
        return _parquet_as_text(path.name, site, table)
    return _parquet_as_columns(path.name, site, table, pa, pc)


def _is_numeric(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _parquet_as_text(name: str, site: Site, table: Any) -> Columns:
    """Words among the values, or times as text: row by row, like CSV."""
    rows = _Rows(name, site)
    row = 0
    for batch in table.to_batches(max_chunksize=_TELL_EVERY):
        parts = [batch.column(number).to_pylist() for number in range(4)]
        for time, device, quantity, value in zip(*parts, strict=True):
            row += 1
            moment = time.isoformat() if hasattr(time, "isoformat") else str(time)
            rows.add(row, moment, str(device), str(quantity), "" if value is None else str(value))
    return rows.columns()


def _parquet_as_columns(name: str, site: Site, table: Any, pa: Any, pc: Any) -> Columns:
    kind = table["time"].type
    if pa.types.is_timestamp(kind):
        if kind.tz is None and table.num_rows:
            raise InputError(f"{name}: row 1: time has no offset; write the column as timestamps with a time zone")
        times = pc.cast(table["time"], pa.timestamp("ms", tz=kind.tz), safe=False).to_numpy().astype(np.int64)
    else:
        seconds = table["time"].to_numpy().astype(np.float64)
        wrong = np.flatnonzero(~((seconds >= 0) & (seconds < _LATEST_S)))
        if len(wrong):
            raise InputError(f"{name}: row {wrong[0] + 1}: time {seconds[wrong[0]]!r} is no Unix time in seconds")
        times = np.rint(seconds * 1000).astype(np.int64)
    values = pc.cast(table["value"], pa.float64()).fill_null(float("nan")).to_numpy()
    codes = []
    names = []
    for column in ("device", "quantity"):
        coded = pc.dictionary_encode(pc.cast(table[column], pa.string())).combine_chunks()
        codes.append(coded.indices.to_numpy().astype(np.int64))
        names.append(coded.dictionary.to_pylist())
    joined = codes[0] * len(names[1]) + codes[1]
    columns = {}
    order = np.argsort(joined, kind="stable")
    bounds = np.flatnonzero(np.diff(joined[order])) + 1
    for rows in np.split(order, bounds) if len(order) else ():
        device, quantity = names[0][codes[0][rows[0]]], names[1][codes[1][rows[0]]]
        check_names(name, int(rows[0]) + 1, site, device, quantity)
        if QUANTITIES[quantity].nature is Nature.WORD:
            words = ", ".join(QUANTITIES[quantity].words)
            raise InputError(f"{name}: row {rows[0] + 1}: {quantity} wants one of {words}; make the value column text")
        columns[(device, quantity)] = _sorted(times[rows], values[rows])
    return columns
