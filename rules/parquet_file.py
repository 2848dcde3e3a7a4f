"""Readings in long form from Parquet, whole or in stretches of time.

Device and quantity are read as codes of a dictionary, never as text row by row. Rows are put in order by series, in
linear time, and a file whose row groups hold one series after the other needs not even that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np

from building.errors import InputError
from building.quantities import QUANTITIES, Nature
from building.site import Site
from rules.parquet_pages import Pattern, pattern_of
from rules.readings_file import (
    COLUMNS,
    LATEST_S,
    TELL_EVERY,
    Columns,
    Flags,
    Floats,
    Ints,
    Rows,
    RowsRead,
    Series,
    check_names,
    in_order,
    led,
    places,
)

_AT_ONCE: Final = 25_000_000  # rows in one stretch, about: 200 MB of values, 17 days of minute data of 1,000 points
_NOWHERE: Final = -1
_NAMES_KEPT: Final = 4_000_000  # bytes that names or instants of a row group may take as stored, to be compared
_RUNS: Final = 50  # rows one series must have in a run, on average, for runs to be cut out as they are


Table = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class _Sheet(NamedTuple):
    """Series that share their instants: their numbers, ms, and values by series and instant."""

    series: tuple[int, ...]
    times: Ints
    values: Table
    led: Table | None = None  # values, with a free place in front of each series


class _Layout(NamedTuple):
    """Where the series of a row group lie: their numbers, where each begins and the last ends, and the order of rows
    in which that holds, None for the file's own."""

    series: tuple[int, ...]
    borders: list[int]
    order: Ints | None


def rows_in(path: Path) -> int:
    """How many rows the file has. Raises InputError."""
    return int(_open(path).metadata.num_rows)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong in a file that is damaged behind its head, as InputError."""
    import pyarrow as pa

    try:
        yield
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        told = str(error).splitlines() or [""]
        raise InputError(f"{path}: not readable as Parquet ({told[0][:200]}); copy or write it again") from None


def read_parquet(path: Path, site: Site, told: RowsRead | None) -> Columns:
    """The whole file. Raises InputError naming the row."""
    file = _open(path)
    with _readable(path):
        return _whole(path, site, file, told)


def _whole(path: Path, site: Site, file: Any, told: RowsRead | None) -> Columns:
    if not _is_plain(file):
        return _as_text(path.name, site, file)
    with path.open("rb") as stored:
        reader = _Reader(path.name, site, file, stored)
        sheets = [sheet for group in range(file.num_row_groups) for sheet in reader.sheets(group)]
    if told is not None:
        told(file.metadata.num_rows)
    return reader.columns(sheets)


def in_stretches(path: Path, site: Site, told: RowsRead | None) -> Iterator[Columns]:
    """Stretches of time, in order. Raises InputError naming the row."""
    file = _open(path)
    if not _is_plain(file):
        with _readable(path):
            text = _as_text(path.name, site, file)
        yield text
        return
    with path.open("rb") as stored:
        stretches = _stretches(_Reader(path.name, site, file, stored), told)
        while True:
            with _readable(path):
                stretch = next(stretches, None)
            if stretch is None:
                return
            yield stretch
            del stretch  # nobody needs to keep it while the next one is read


def _stretches(reader: _Reader, told: RowsRead | None) -> Iterator[Columns]:
    begins = reader.begins()
    order = np.argsort(begins, kind="stable")
    pile = _Pile()
    done = 0
    for turn, group in enumerate(order.tolist()):
        done += pile.add(reader.sheets(group))
        if told is not None:
            told(done)
        if pile.rows >= _AT_ONCE and turn + 1 < len(order):
            ready = reader.columns(pile.before(int(begins[order[turn + 1]])))
            if ready:
                yield ready
                del ready  # no longer needed while the next one grows
    rest = reader.columns(pile.sheets)
    if rest:
        yield rest


class _Pile:
    """Sheets of a stretch. Those of the same series, one later than the other, become one as they come.

    ``rows``: how much they hold, as rows of series that share their instants and lie in one piece.
    """

    def __init__(self) -> None:
        self.sheets: list[_Sheet] = []
        self.rows = 0
        self._latest: dict[int, int] = {}  # the place of the last sheet of each series
        self._growing: dict[int, Table] = {}  # sheets that grow, and the table in which they do
        self._rooms: list[Table] = []  # those made last, as many as may be kept to be used again

    def add(self, sheets: list[_Sheet]) -> int:
        """Take these; how many rows they have."""
        for sheet in sheets:
            places = {self._latest.get(number, _NOWHERE) for number in sheet.series}
            grown = len(places) == 1 and _NOWHERE not in places and self._grow(places.pop(), sheet)
            if not grown:
                self._latest.update(dict.fromkeys(sheet.series, len(self.sheets)))
                self.sheets.append(sheet)
            self.rows += sheet.values.size * (1 if grown or not places - {_NOWHERE} else 2) + 4 * len(sheet.times)
        return sum(sheet.values.size for sheet in sheets)

    def _grow(self, place: int, sheet: _Sheet) -> bool:
        """Copy ``sheet`` behind the one at ``place``, with room for more; False where that cannot be."""
        last = self.sheets[place]
        held, more = len(last.times), len(sheet.times)
        if last.series != sheet.series or last.times[-1] >= sheet.times[0]:
            return False
        room = self._growing.get(place)
        if room is None or room.shape[1] <= held + more:
            wanted = (len(sheet.series), 1 + held + more * max(3, _AT_ONCE // max(self.rows, 1) + 1))
            room = self._growing[place] = self._room_for(wanted)
            room[:, 1 : held + 1] = last.values
        room[:, held + 1 : held + more + 1] = sheet.values
        whole = room[:, : held + more + 1]
        self.sheets[place] = _Sheet(last.series, np.concatenate((last.times, sheet.times)), whole[:, 1:], whole)
        return True

    def _room_for(self, wanted: tuple[int, int]) -> Table:
        """A table of that size: one that nobody looks at any longer, as fresh memory costs more than reading."""
        probe = np.empty((1, 1))  # known to nobody else
        *rooms, unused = [sys.getrefcount(room) for room in [*self._rooms, probe]]
        for room, references in zip(self._rooms, rooms, strict=True):
            if room.shape == wanted and references == unused:
                return room
        room = np.empty(wanted)  # only what is written to takes memory
        self._rooms.append(room)
        while len(self._rooms) > 1 and sum(room.size for room in self._rooms) > 1.5 * _AT_ONCE:
            del self._rooms[0]
        return room

    def before(self, horizon: int) -> list[_Sheet]:
        """Take out what lies before ``horizon`` (ms), before which nothing more will come."""
        ready, rest = [], []
        known: dict[int, Flags] = {}  # by array of instants, which many sheets may share
        for sheet in self.sheets:
            mask = known.get(id(sheet.times))
            if mask is None:
                mask = known[id(sheet.times)] = sheet.times < horizon
            if mask.all():
                ready.append(sheet)
            elif not mask.any():
                rest.append(sheet)
            else:
                ready.append(_Sheet(sheet.series, sheet.times[mask], sheet.values[:, mask]))
                rest.append(_Sheet(sheet.series, sheet.times[~mask], sheet.values[:, ~mask]))
        self.sheets, self._latest, self.rows = [], {}, 0
        self._growing.clear()
        self.add(rest)
        return ready


def _parts(layout: _Layout, times: Ints, values: Floats) -> list[_Sheet]:
    lengths = np.diff(layout.borders)
    if len(lengths) > 1 and (lengths == lengths[0]).all():
        length = int(lengths[0])
        shared = times[:length].copy()  # so that the rest of them can go
        if (times.reshape(-1, length) == shared).all():
            return [_Sheet(layout.series, shared, values.reshape(-1, length))]
    alike: dict[tuple[int, ...], list[tuple[Ints, list[int], list[Floats]]]] = {}
    for number, (start, end) in zip(layout.series, pairwise(layout.borders), strict=True):
        own = times[start:end]
        near = alike.setdefault((len(own), int(own[0]), int(own[-1])), [])
        found = next((sheet for sheet in near if np.array_equal(sheet[0], own)), None)
        if found is None:
            found = (own.copy(), [], [])
            near.append(found)
        found[1].append(number)
        found[2].append(values[start:end])
    return [_Sheet(tuple(series), own, np.stack(rows)) for near in alike.values() for own, series, rows in near]


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
        self._pattern: Pattern | None = None  # of its instants, where all series share them
        self._bytes = stored

    def begins(self) -> Ints:
        """ms of the first row of each row group; the beginning of time where the file does not say."""
        place = self._file.schema_arrow.names.index(self._columns[0])
        found = []
        for number in range(self._file.num_row_groups):
            statistics = self._file.metadata.row_group(number).column(place).statistics
            known = statistics is not None and statistics.has_min_max
            try:
                moment = self._moment(statistics.min) if known else np.iinfo(np.int64).min
                found.append(int(np.int64(moment)))  # past 64 bits an error
            except (OverflowError, ValueError):  # a year that no date has: the row is told when it is read
                found.append(np.iinfo(np.int64).min)
        return np.array(found, np.int64)

    def sheets(self, group: int) -> list[_Sheet]:
        """The rows of one row group, parted by series; series of the same instants share one array of them."""
        layout = self._known_layout(group)
        pattern = self._pattern_of(group)
        if layout is not None and pattern is not None and pattern == self._pattern:
            return [self._alike(group, layout, pattern.listed)]
        wanted = self._columns if layout is None else [self._columns[0], self._columns[3]]
        table = self._file.read_row_group(group, columns=wanted, use_threads=False).select(wanted)
        first = int(self._firsts[group])
        for name, column in zip(COLUMNS[:3] if layout is None else COLUMNS[:1], table.columns, strict=False):
            if column.null_count:
                row = first + int(np.flatnonzero(column.is_null().to_numpy())[0]) + 1
                raise InputError(f"{self._name}: row {row}: {name} is empty")
        self._pattern = None
        if not table.num_rows:
            return []
        times, values = self._times(table.column(0), first), _values(table.column(table.num_columns - 1))
        if layout is None:
            layout = self._layout = self._new_layout(table.column(1), table.column(2), first)
        if layout.order is not None:
            times, values = times[layout.order], values[layout.order]
        sheets = _parts(layout, times, values)
        if pattern is not None and layout.order is None and len(sheets) == 1:
            instants = sheets[0].times
            # As many are listed as come up, so each is listed once: equal instants have equal places in the list.
            if len(instants) == pattern.listed and bool((instants[1:] > instants[:-1]).all()):
                self._pattern = pattern
        return sheets

    def _alike(self, group: int, layout: _Layout, length: int) -> _Sheet:
        """A row group in which all series share their first ``length`` instants, as in the one before."""
        import pyarrow as pa

        name, value = self._columns[0], self._columns[3]
        batches = self._file.iter_batches(batch_size=length, row_groups=[group], columns=[name], use_threads=False)
        instants = pa.Table.from_batches([next(batches)]).column(0)
        assert len(instants) == length
        values = _values(self._file.read_row_group(group, columns=[value], use_threads=False).column(0))
        return _Sheet(layout.series, self._times(instants, int(self._firsts[group])), values.reshape(-1, length))

    def _pattern_of(self, group: int) -> Pattern | None:
        stored = self._stored(group, self._columns[0])
        return None if stored is None else pattern_of(stored[-1], stored[1])

    def _known_layout(self, group: int) -> _Layout | None:
        """The layout of the row group before, where the names in this one are stored in the very same bytes."""
        names = self._names_of(group)
        before, self._names = self._names, names
        return self._layout if names is not None and names == before else None

    def _names_of(self, group: int) -> tuple[object, ...] | None:
        """How devices and quantities of a row group are stored; None where that is too much to keep."""
        device, quantity = (self._stored(group, name) for name in self._columns[1:3])
        return None if device is None or quantity is None else (*device, *quantity)

    def _stored(self, group: int, name: str) -> tuple[Any, ...] | None:
        """A column of a row group: number of values, compression, encodings, bytes; None where that is too much."""
        chunk = self._file.metadata.row_group(group).column(self._file.schema_arrow.names.index(name))
        size = chunk.total_compressed_size
        if size > _NAMES_KEPT or chunk.file_path:
            return None
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
            start = chunk.dictionary_page_offset
        self._bytes.seek(start)
        return chunk.num_values, chunk.compression, chunk.encodings, self._bytes.read(size)

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
        return _Layout(tuple(numbers), [0, *borders.tolist(), len(devices)], order)

    def columns(self, sheets: list[_Sheet]) -> Columns:
        """``sheets`` by series, each in order of time; of one instant the first row of the file stays."""
        keys = list(self._numbers)
        parts: dict[int, list[tuple[_Sheet, int]]] = {}
        for sheet in sheets:
            for place, number in enumerate(sheet.series):
                parts.setdefault(number, []).append((sheet, place))
        joined: dict[tuple[int, ...], tuple[Ints, bool]] = {}
        columns: dict[tuple[str, str], Series] = {}
        for number, own in parts.items():
            alike = tuple(id(sheet.times) for sheet, _ in own)
            if alike not in joined:
                times = np.concatenate([sheet.times for sheet, _ in own]) if len(own) > 1 else own[0][0].times
                joined[alike] = (times, bool(np.all(times[1:] > times[:-1])))
            times, ordered = joined[alike]
            sheet, place = own[0]
            if len(own) == 1 and ordered and sheet.led is not None:
                columns[keys[number]] = led(times, sheet.led[place], free=True)
                continue
            values = sheet.values[place] if len(own) == 1 else np.concatenate([s.values[n] for s, n in own])
            columns[keys[number]] = Series(times, values) if ordered else in_order(times, values)
        return columns

    def _times(self, column: Any, first: int) -> Ints:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_timestamp(self._kind):
            if self._kind.tz is None and len(column):
                raise _without_offset(self._name)
            if self._kind.unit != "ms":
                column = pc.cast(column, pa.timestamp("ms", tz=self._kind.tz), safe=False)
            numbers: Ints = pc.cast(column, pa.int64()).to_numpy()
            self._in_range(numbers, LATEST_S * 1000, first, "ms since 1970 is not between the years 1970 and 3000")
            return numbers
        seconds = column.to_numpy()
        self._in_range(seconds, LATEST_S, first, "is no Unix time in seconds")
        whole = seconds.dtype.kind in "iu"
        times: Ints = seconds.astype(np.int64) * 1000 if whole else np.rint(seconds * 1000).astype(np.int64)
        return times

    def _in_range(self, numbers: Any, end: int, first: int, told: str) -> None:
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < end):
            place = int(np.flatnonzero(~((numbers >= 0) & (numbers < end)))[0])
            number = float(numbers[place])
            raise InputError(f"{self._name}: row {first + place + 1}: time {number!r} {told}")

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
        told = error.strerror or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({told[:200]})") from None
    except (UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{path.name}: not readable as Parquet ({str(error).splitlines()[0][:200]})") from None
    _check_columns(path.name, file.schema_arrow)
    return file


def _check_columns(name: str, schema: Any) -> None:
    """Raises InputError where a column is missing, stands twice, or holds what can be neither a number nor a word."""
    import pyarrow as pa

    found = [field.name.lower() for field in schema]
    places(name, found)
    for column in COLUMNS:
        if found.count(column) > 1:
            raise InputError(f"{name}: the column '{column}' stands {found.count(column)} times; keep one")
        kind = schema[found.index(column)].type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        wanted = "numbers or text" if column == "value" else "timestamps, numbers or text"
        if column in COLUMNS[1:3]:
            fits, wanted = pa.types.is_integer(kind) or _is_text(kind), "text"
        else:
            fits = any(
                is_it(kind) for is_it in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, _is_text)
            )
            fits |= pa.types.is_timestamp(kind) if column == "time" else pa.types.is_boolean(kind)
        if not fits and not pa.types.is_null(kind):
            raise InputError(f"{name}: the column '{column}' is of type {str(kind)[:60]}; write it as {wanted}")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _texts(schema: Any) -> list[str]:

    return [field.name for field in schema if field.name.lower() in COLUMNS[1:3] and _is_text(field.type)]


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
        columns = [batch.column(batch.schema.get_field_index(names[column])) for column in COLUMNS]
        parts = [_told(name, columns[0]), *(column.to_pylist() for column in columns[1:])]
        for time, device, quantity, value in zip(*parts, strict=True):
            row += 1
            for column, part in zip(COLUMNS, (time, device, quantity), strict=False):
                if part is None:
                    raise InputError(f"{name}: row {row}: {column} is empty")
            rows.add(row, str(time), str(device), str(quantity), "" if value is None else str(value))
    return rows.columns()


def _without_offset(name: str) -> InputError:
    return InputError(f"{name}: row 1: time has no offset; write the column as timestamps with a time zone")


def _told(name: str, times: Any) -> list[Any]:
    """A column of times as text or numbers; timestamps as seconds, where they say where on earth."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(times.type):
        times = times.dictionary_decode()
    if not pa.types.is_timestamp(times.type):
        return list(times.to_pylist())
    milliseconds = pc.cast(pc.cast(times, pa.timestamp("ms", tz=times.type.tz), safe=False), pa.int64())
    if times.type.tz is None:
        raise _without_offset(name)
    return [None if moment is None else moment / 1000 for moment in milliseconds.to_pylist()]
