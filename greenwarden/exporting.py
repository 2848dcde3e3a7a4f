"""``greenwarden export``: readings of the store as CSV or Parquet, in the long form that ``replay`` reads."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

import numpy as np

from building.errors import ConfigError, InputError
from building.instants import to_iso
from building.quantities import QUANTITIES, Nature
from building.site import Site
from collector.storing.embedded import DATABASE
from collector.storing.influx import InfluxStore
from collector.storing.stored import StoredReadings
from greenwarden import terminal
from greenwarden.door import data_folder, open_site
from greenwarden.moments import told_moment

_STRETCH: Final = 31 * 86_400_000  # ms of one series in memory


class _Piece(NamedTuple):
    device: str
    quantity: str
    times: Any  # numpy, ms since 1970 UTC
    values: Any


class _Source(Protocol):
    def read(self, device: str, quantity: str, start: int, end: int) -> tuple[Any, Any]: ...


def export_readings(
    path: Path, target: Path, device: str | None, quantity: str | None, start: str | None, end: str | None
) -> None:
    """Write the usable values of numbers to ``target`` (.csv, .csv.gz or .parquet), series by series.

    Raises ConfigError, InputError, StoreAway.
    """
    site = open_site(path)
    write = _writer_of(target)
    first, last = (None if text is None else told_moment(site, text) for text in (start, end))
    if quantity is not None and quantity not in QUANTITIES:
        raise ConfigError(f"{quantity!r} is no quantity; accepted are {', '.join(QUANTITIES)}")
    half = target.with_name(f".part-{target.name}")  # what stood there before stays until this one is whole
    try:
        with ExitStack() as opened:
            pieces = _pieces(site, path, opened, device, quantity, first, last)
            rows = write(half, pieces, site)
        half.replace(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror})") from None
    finally:
        half.unlink(missing_ok=True)
    terminal.say(f"{target}: {rows:,} values")


def _pieces(
    site: Site,
    path: Path,
    opened: ExitStack,
    device: str | None,
    quantity: str | None,
    first: int | None,
    last: int | None,
) -> Iterator[_Piece]:
    source: _Source
    if site.store.influxdb is not None:
        if first is None or last is None:
            raise ConfigError("with an InfluxDB write --from and --to; it is asked for that time only")
        source, span = opened.enter_context(InfluxStore(site, site.store.influxdb)), (first, last - 1)
        series = [(one.id, name) for one in site.devices for name in QUANTITIES]
    else:
        stored = opened.enter_context(StoredReadings(data_folder(path, site) / DATABASE))
        source, series, span = stored, stored.series(), stored.span() or (0, -1)
    if device is not None and device not in site.device and all(name != device for name, _ in series):
        raise ConfigError(f"there is no device {device!r}, neither in {path.name} nor in the store")
    begin = max(span[0], first if first is not None else span[0])
    finish = min(span[1] + 1, last if last is not None else span[1] + 1)
    for name, what in series:
        known = QUANTITIES.get(what)
        if device not in (None, name) or quantity not in (None, what) or known is None or known.nature is Nature.WORD:
            continue
        for at in range(begin, finish, _STRETCH):
            times, values = source.read(name, what, at, min(finish, at + _STRETCH))
            if len(times):
                yield _Piece(name, what, times, values)


Write = Callable[[Path, Iterator[_Piece], Site], int]


def _writer_of(target: Path) -> Write:
    if target.name.endswith((".csv", ".csv.gz")):
        return _write_csv
    if target.suffix == ".parquet":
        return _write_parquet
    raise ConfigError(f"{target.name}: write a name that ends in .csv, .csv.gz or .parquet")


def _write_csv(target: Path, pieces: Iterator[_Piece], site: Site) -> int:
    rows = 0
    with target.open("wb") as raw, _packed(raw, target) as packed:
        file = TextIOWrapper(packed, "utf-8", newline="")
        writer = csv.writer(file)
        writer.writerow(("time", "device", "quantity", "value"))
        for piece in pieces:
            writer.writerows(
                (to_iso(at, site.site.tz), piece.device, piece.quantity, repr(value))
                for at, value in zip(piece.times.tolist(), piece.values.tolist(), strict=True)
            )
            rows += len(piece.times)
        file.flush()
        file.detach()
    return rows


def _packed(raw: BinaryIO, target: Path) -> AbstractContextManager[Any]:
    return gzip.GzipFile("", "wb", fileobj=raw) if target.suffix == ".gz" else nullcontext(raw)


def _write_parquet(target: Path, pieces: Iterator[_Piece], site: Site) -> int:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise InputError("Parquet needs the package pyarrow: pip install 'greenwarden[parquet]'") from None
    word = arrow.dictionary(arrow.int32(), arrow.string())
    instant = arrow.timestamp("ms", tz=site.site.timezone)
    schema = arrow.schema([("time", instant), ("device", word), ("quantity", word), ("value", arrow.float64())])
    rows = 0
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for piece in pieces:
            count = len(piece.times)
            zeros = arrow.array(np.zeros(count, np.int32))
            columns = [
                arrow.array(piece.times).cast(instant),
                arrow.DictionaryArray.from_arrays(zeros, [piece.device]),
                arrow.DictionaryArray.from_arrays(zeros, [piece.quantity]),
                arrow.array(piece.values),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
            rows += count
    return rows
