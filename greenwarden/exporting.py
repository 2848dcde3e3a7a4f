"""``greenwarden export``: readings of the store as CSV or Parquet, in the long form that ``replay`` reads."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from building.errors import ConfigError, InputError
from building.instants import to_iso
from building.quantities import QUANTITIES, Nature
from building.readings import Grade, Reading
from building.site import Site
from collector.storing.stored import StoredReadings
from greenwarden import terminal
from greenwarden.door import open_site
from greenwarden.moments import told_moment
from greenwarden.stores import open_kept

_STRETCH: Final = 31 * 86_400_000  # ms of one series in memory
_AT_ONCE: Final = 50_000  # readings in memory
_ROW_GROUP: Final = 500_000  # rows


class _Piece(NamedTuple):
    device: str
    quantity: str
    times: list[int]  # ms since 1970 UTC
    values: list[float | str]


def export_readings(
    path: Path, target: Path, device: str | None, quantity: str | None, start: str | None, end: str | None
) -> None:
    """Write the usable values to ``target``, a .csv or .csv.gz, or those that are numbers to a .parquet.

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
            wish = _Wish(device, quantity, first, last, words=write is _write_csv)
            pieces = _pieces(site, path, opened, wish)
            rows = write(half, pieces, site)
        half.replace(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror})") from None
    finally:
        half.unlink(missing_ok=True)
    terminal.say(f"{target}：{rows:,} 个数值" if site.site.language == "zh" else f"{target}: {rows:,} values")


@dataclass(frozen=True)
class _Wish:
    """What is to be exported: of one device and quantity or of all, from ``first`` up to before ``last`` (ms)."""

    device: str | None
    quantity: str | None
    first: int | None
    last: int | None
    words: bool

    def holds(self, device: str, quantity: str) -> bool:
        known = QUANTITIES.get(quantity)
        if self.device not in (None, device) or self.quantity not in (None, quantity) or known is None:
            return False
        return self.words or known.nature is not Nature.WORD

    def within(self, span: tuple[int, int] | None) -> tuple[int, int]:
        """First instant, and the one after the last, of what there is."""
        begin, end = span or (0, -1)
        return max(begin, self.first or begin), min(end + 1, end + 1 if self.last is None else self.last)


def _pieces(site: Site, path: Path, opened: ExitStack, wish: _Wish) -> Iterator[_Piece]:
    kept = open_kept(path, site, opened)
    embedded = kept if isinstance(kept, StoredReadings) else None
    series = [] if embedded is None else embedded.series()
    if wish.device is not None and wish.device not in site.device and all(name != wish.device for name, _ in series):
        raise ConfigError(f"there is no device {wish.device!r}, neither in {path.name} nor in the store")
    begin, end = wish.within(kept.span())
    if embedded is None:
        yield from _gathered(kept.readings(begin, end, None if wish.device is None else [wish.device]), wish)
        return
    for device, quantity in series:
        if not wish.holds(device, quantity):
            continue
        worded = QUANTITIES[quantity].nature is Nature.WORD
        for at in range(begin, end, _STRETCH):
            times, values = embedded.read(device, quantity, at, min(end, at + _STRETCH))
            if len(times):
                said: list[float | str] = values.tolist()
                if worded:
                    said = [embedded.word(int(code)) for code in values]
                yield _Piece(device, quantity, times.tolist(), said)


def _gathered(readings: Iterable[Reading], wish: _Wish) -> Iterator[_Piece]:
    """Series by series, of so many readings at a time."""
    coming = iter(readings)
    while some := list(islice(coming, _AT_ONCE)):
        found: dict[tuple[str, str], _Piece] = {}
        for reading in some:
            for quantity, value in reading.values.items():
                if wish.holds(reading.device, quantity) and reading.quality.of(quantity) is not Grade.BAD:
                    key = (reading.device, quantity)
                    piece = found.get(key) or found.setdefault(key, _Piece(*key, [], []))
                    piece.times.append(reading.taken_at)
                    piece.values.append(value)
        yield from found.values()


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
                (to_iso(at, site.site.tz), piece.device, piece.quantity, value)
                for at, value in zip(piece.times, piece.values, strict=True)
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
    waiting: list[Any] = []
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:

        def write() -> None:
            writer.write_table(arrow.concat_tables(waiting).unify_dictionaries())
            waiting.clear()

        for piece in pieces:
            zeros = arrow.array(np.zeros(len(piece.times), np.int32))
            columns = [
                arrow.array(piece.times, arrow.int64()).cast(instant),
                arrow.DictionaryArray.from_arrays(zeros, [piece.device]),
                arrow.DictionaryArray.from_arrays(zeros, [piece.quantity]),
                arrow.array(piece.values, arrow.float64()),
            ]
            waiting.append(arrow.Table.from_arrays(columns, schema=schema))
            rows += len(piece.times)
            if sum(map(len, waiting)) >= _ROW_GROUP:
                write()
        if waiting:
            write()
    return rows
