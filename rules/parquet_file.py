"""Readings in long form from Parquet, whole or in stretches of time.

Device and quantity are read as codes of a dictionary, never as text row by row. Rows are put in order by series, in
linear time, and a file whose row groups hold one series after the other needs not even that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from building.errors import InputError
from building.quantities import QUANTITIES, Nature
from building.site import Site
from rules.readings_file import (
    COLUMNS,
    LATEST_S,
    TELL_EVERY,
    Columns,
    Floats,
    Ints,
    Rows,
    RowsRead,
    Series,
    check_names,
    in_order,
    places,
)

_AT_ONCE: Final = 4_000_000  # rows in one stretch, about; 64 MB of times and values, several times that while judged
_NAMES_KEPT: Final = 4_000_000  # bytes that the names of a row group may take as stored, to be compared
_RUNS: Final = 50  # rows one series must have in a run, on average, for runs to be cut out as they are


Flags = npt.NDArray[np.bool_]


class _Piece(NamedTuple):
    """Rows of one series that follow one another: its number, ms, values."""

    series: int
    times: Ints
    values: Floats


class _Layout(NamedTuple):
    """Where the series of a row group lie: their numbers, where each begins and the last ends, and the order of rows
    in which that holds, None for the file's own."""

    series: list[int]
    borders: list[int]
    order: Ints | None


def rows_in(path: Path) -> int:
    """How many rows the file has. Raises InputError."""
    return int(_open(path).metadata.num_rows)


def read_parquet(path: Path, site: Site, told: RowsRead | None) -> Columns:
    """The whole file. Raises InputError naming the row."""
    file = _open(path)
    if not _is_plain(file):
        return _as_text(path.name, site, file)
    with path.open("rb") as stored:
        reader = _Reader(path.name, site, file, stored)
        pieces = [piece for group in range(file.num_row_groups) for piece in reader.pieces(group)]
    if told is not None:
        told(file.metadata.num_rows)
    return reader.columns(pieces)


def in_stretches(path: Path, site: Site, told: RowsRead | None) -> Iterator[Columns]:
    """Stretches of time, in order. Raises InputError naming the row."""
    file = _open(path)
    if not _is_plain(file):
        yield _as_text(path.name, site, file)
        return
    with path.open("rb") as stored:
        yield from _stretches(_Reader(path.name, site, file, stored), told)


def _stretches(reader: _Reader, told: RowsRead | None) -> Iterator[Columns]:
    begins = reader.begins()
    order = np.argsort(begins, kind="stable")
    waiting: list[_Piece] = []
    held = done = 0
    for turn, group in enumerate(order.tolist()):
        pieces = reader.pieces(group)
        rows = sum(len(piece.times) for piece in pieces)
        waiting += pieces
        held += rows
        done += rows
        if told is not None:
            told(done)
        if held >= _AT_ONCE and turn + 1 < len(order):
            ready, waiting = _parted(waiting, int(begins[order[turn + 1]]))
            held = sum(len(piece.times) for piece in waiting)
            if ready:
                yield reader.columns(ready)
    if waiting:
        yield reader.columns(waiting)


def _parted(pieces: list[_Piece], horizon: int) -> tuple[list[_Piece], list[_Piece]]:
    """What lies before ``horizon`` (ms), before which nothing more will come, and the rest."""
    ready, rest = [], []
    known: dict[int, tuple[Flags, Ints, Ints]] = {}  # by array of instants, which many series share
    for piece in pieces:
        key = id(piece.times)
        if key not in known:
            mask = piece.times < horizon
            known[key] = (mask, piece.times[mask], piece.times[~mask])
        mask, before, after = known[key]
        if not len(after):
            ready.append(piece)
        elif not len(before):
            rest.append(piece)
        else:
            ready.append(_Piece(piece.series, before, piece.values[mask]))
            rest.append(_Piece(piece.series, after, piece.values[~mask]))
    return ready, rest


def _parts(layout: _Layout, times: Ints, values: Floats) -> list[_Piece]:
    lengths = np.diff(layout.borders)
    if len(lengths) > 1 and (lengths == lengths[0]).all():
        length = int(lengths[0])
        shared = times[:length].copy()  # so that the rest of them can go
        if (times.reshape(-1, length) == shared).all():
            rows = values.reshape(-1, length)
            return [_Piece(number, shared, row) for number, row in zip(layout.series, rows, strict=True)]
    spans = zip(layout.series, pairwise(layout.borders), strict=True)
    return [_Piece(number, times[start:end], values[start:end]) for number, (start, end) in spans]


class _Reader:
    """A file's row groups as blocks; series are numbered as they turn up."""

    def __init__(self, name: str, site: Site, file: Any, stored: IO[bytes]) -> None:
        self._name, self._site, self._file = name, site, file
        names = {column.lower(): column for column in file.schema_arrow.names}
        self._columns = [names[column] for column in COLUMNS]
        self._kind = file.schema_arrow.field(names["time"]).type
        self._firsts = np.cumsum([0] + [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)])
        self._numbers: dict[tuple[str, str], int] = {}
        self._names: tuple[object, ...] | None = None  # of the row group read last
        self._layout: _Layout | None = None
        self._bytes = stored

    def begins(self) -> Ints:
        """ms of the first row of each row group; the beginning of time where the file does not say."""
        place = self._file.schema_arrow.names.index(self._columns[0])
        found = []
        for number in range(self._file.num_row_groups):
            statistics = self._file.metadata.row_group(number).column(place).statistics
            known = statistics is not None and statistics.has_min_max
            found.append(self._moment(statistics.min) if known else np.iinfo(np.int64).min)
        return np.array(found, np.int64)

    def pieces(self, group: int) -> list[_Piece]:
        """The rows of one row group, parted by series; series of the same instants share one array of them."""
        layout = self._known_layout(group)
        wanted = self._columns if layout is None else [self._columns[0], self._columns[3]]
        table = self._file.read_row_group(group, columns=wanted, use_threads=False).select(wanted)
        first = int(self._firsts[group])
        for name, column in zip(COLUMNS[:3] if layout is None else COLUMNS[:1], table.columns, strict=False):
            if column.null_count:
                row = first + int(np.flatnonzero(column.is_null().to_numpy())[0]) + 1
                raise InputError(f"{self._name}: row {row}: {name} is empty")
        if not table.num_rows:
            return []
        times, values = self._times(table.column(0), first), _values(table.column(table.num_columns - 1))
        if layout is None:
            layout = self._layout = self._new_layout(table.column(1), table.column(2), first)
        if layout.order is not None:
            times, values = times[layout.order], values[layout.order]
        return _parts(layout, times, values)

    def _known_layout(self, group: int) -> _Layout | None:
        """The layout of the row group before, where the names in this one are stored in the very same bytes."""
        names = self._names_of(group)
        before, self._names = self._names, names
        return self._layout if names is not None and names == before else None

    def _names_of(self, group: int) -> tuple[object, ...] | None:
        """How devices and quantities of a row group are stored; None where that is too much to keep."""
        told: list[object] = []
        for place in (self._file.schema_arrow.names.index(name) for name in self._columns[1:3]):
            chunk = self._file.metadata.row_group(group).column(place)
            size = chunk.total_compressed_size
            if size > _NAMES_KEPT or chunk.file_path:
                return None
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
                start = chunk.dictionary_page_offset
            self._bytes.seek(start)
            told += [chunk.num_values, chunk.compression, chunk.encodings, self._bytes.read(size)]
        return tuple(told)

    def _new_layout(self, device: Any, quantity: Any, first: int) -> _Layout:
        devices, device_names = _codes(device)
        quantities, quantity_names = _codes(quantity)
        order = None
        borders = np.flatnonzero((devices[1:] != devices[:-1]) | (quantities[1:] != quantities[:-1])) + 1
        rows = np.concatenate((np.zeros(1, np.int64), borders))
        if len(borders) * _RUNS > len(devices):
            pairs = devices.astype(np.int32) * len(quantity_names) + quantities
            small = pairs.astype(np.uint16) if pairs.max() < 1 << 16 else pairs  # 16 bits are sorted in linear time
            order = np.argsort(small, kind="stable")
            pairs = pairs[order]
            borders = np.flatnonzero(pairs[1:] != pairs[:-1]) + 1
            rows = order[np.concatenate(([0], borders))]
        numbers = [
            self._number((device_names[devices[row]], quantity_names[quantities[row]]), first + row + 1)
            for row in rows.tolist()
        ]
        return _Layout(numbers, [0, *borders.tolist(), len(devices)], order)

    def columns(self, pieces: list[_Piece]) -> Columns:
        """``pieces`` by series, each in order of time; of one instant the first row of the file stays."""
        keys = list(self._numbers)
        parts: dict[int, list[_Piece]] = {}
        for piece in pieces:
            parts.setdefault(piece.series, []).append(piece)
        joined: dict[tuple[int, ...], tuple[Ints, bool]] = {}
        columns = {}
        for number, own in parts.items():
            alike = tuple(id(piece.times) for piece in own)
            if alike not in joined:
                times = own[0].times if len(own) == 1 else np.concatenate([piece.times for piece in own])
                joined[alike] = (times, bool(np.all(times[1:] > times[:-1])))
            times, ordered = joined[alike]
            values = own[0].values if len(own) == 1 else np.concatenate([piece.values for piece in own])
            columns[keys[number]] = Series(times, values) if ordered else in_order(times, values)
        return columns

    def _times(self, column: Any, first: int) -> Ints:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_timestamp(self._kind):
            if self._kind.tz is None and len(column):
                raise InputError(
                    f"{self._name}: row 1: time has no offset; write the column as timestamps with a time zone"
                )
            if self._kind.unit != "ms":
                column = pc.cast(column, pa.timestamp("ms", tz=self._kind.tz), safe=False)
            numbers: Ints = pc.cast(column, pa.int64()).to_numpy()
            return numbers
        seconds = column.to_numpy()
        if len(seconds) and not (seconds.min() >= 0 and seconds.max() < LATEST_S):
            place = int(np.flatnonzero(~((seconds >= 0) & (seconds < LATEST_S)))[0])
            number = float(seconds[place])
            raise InputError(f"{self._name}: row {first + place + 1}: time {number!r} is no Unix time in seconds")
        whole = seconds.dtype.kind in "iu"
        times: Ints = seconds.astype(np.int64) * 1000 if whole else np.rint(seconds * 1000).astype(np.int64)
        return times

    def _moment(self, minimum: Any) -> int:
        if hasattr(minimum, "timestamp"):
            return int(minimum.timestamp() * 1000) - 1  # rounded down: a horizon must not be too late
        return int(minimum * 1000) - 1

    def _number(self, key: tuple[str, str], row: int) -> int:
        """The number of a series. A name nobody knows is an error that names the row."""
        if key not in self._numbers:
            self._check(key, row)
            self._numbers[key] = len(self._numbers)
        return self._numbers[key]

    def _check(self, key: tuple[str, str], row: int) -> None:
        check_names(self._name, row, self._site, *key)
        if QUANTITIES[key[1]].nature is Nature.WORD:
            words = ", ".join(QUANTITIES[key[1]].words)
            raise InputError(f"{self._name}: row {row}: {key[1]} wants one of {words}; make the value column text")


def _codes(column: Any) -> tuple[Ints, list[str]]:
    """Codes and names of a column of text, whether it is a dictionary yet or not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(pc.cast(column, pa.string()))
    if column.num_chunks > 1:
        column = column.unify_dictionaries()
    names = [str(name) for name in column.chunk(0).dictionary.to_pylist()] if column.num_chunks else []
    parts = [chunk.indices.to_numpy() for chunk in column.chunks]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, np.int32)])), names


def _values(column: Any) -> Floats:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_float64(column.type):
        column = pc.cast(column, pa.float64())
    if column.null_count:
        column = column.fill_null(float("nan"))
    values: Floats = column.to_numpy()
    return values


def _open(path: Path) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            f"{path.name}: reading Parquet needs pyarrow; install greenwarden[parquet], or hand in CSV"
        ) from None
    try:
        file = pq.ParquetFile(path, read_dictionary=_texts(pq.read_schema(path)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path.name}: not readable as Parquet ({str(error).splitlines()[0]})") from None
    places(path.name, [name.lower() for name in file.schema_arrow.names])
    return file


def _texts(schema: Any) -> list[str]:
    import pyarrow as pa

    return [
        field.name
        for field in schema
        if field.name.lower() in COLUMNS[1:3]
        and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
    ]


def _is_plain(file: Any) -> bool:
    """Numbers for values, numbers or timestamps for times: nothing to be read word by word."""
    import pyarrow as pa

    types: Mapping[str, Any] = {field.name.lower(): field.type for field in file.schema_arrow}

    def is_number(kind: Any) -> bool:
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))

    return is_number(types["value"]) and (is_number(types["time"]) or bool(pa.types.is_timestamp(types["time"])))


def _as_text(name: str, site: Site, file: Any) -> Columns:
    """Words among the values, or times as text: row by row, like CSV."""
    rows = Rows(name, site)
    names = {column.lower(): column for column in file.schema_arrow.names}
    row = 0
    for batch in file.iter_batches(batch_size=TELL_EVERY, columns=[names[column] for column in COLUMNS]):
        parts = [batch.column(batch.schema.get_field_index(names[column])).to_pylist() for column in COLUMNS]
        for time, device, quantity, value in zip(*parts, strict=True):
            row += 1
            for column, part in zip(COLUMNS, (time, device, quantity), strict=False):
                if part is None:
                    raise InputError(f"{name}: row {row}: {column} is empty")
            moment = time.isoformat() if hasattr(time, "isoformat") else str(time)
            rows.add(row, moment, str(device), str(quantity), "" if value is None else str(value))
    return rows.columns()
