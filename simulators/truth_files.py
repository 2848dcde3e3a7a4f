"""The truth as files: zones minute by minute (Parquet, or CSV where pyarrow is not installed), faults and alerts due.

``zones.parquet``: time (ms since 1970 UTC), zone, people, lamp_on, aircon_on, setpoint, temperature, flow, kwh, litres;
the last two for that minute. ``faults.jsonl`` and ``expected.jsonl`` hold one JSON object per line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import numpy as np

from building.errors import InputError
from simulators.building import OfficeBuilding
from simulators.courses import Course, Floats, constant, total
from simulators.days import Day
from simulators.faults import Fault
from simulators.people import MINUTE

COLUMNS: Final = (
    "time", "zone", "people", "lamp_on", "aircon_on", "setpoint", "temperature", "flow", "kwh", "litres",
)  # fmt: skip


def zone_minutes(building: OfficeBuilding, day: Day) -> Iterator[dict[str, Any]]:
    """For each zone the columns of one day, an entry for every minute."""
    for zone, place in building.installation.places.items():
        if not zone:
            continue
        units = [day.switched[ident] for ident in place.aircons]
        power = [day.power[ident] for ident in (*place.lamps, *place.plugs, *place.aircons)]
        setpoint = day.setpoint[place.aircons[0]] if place.aircons else constant(day.begin, day.end, np.nan)
        lit = day.lamps[zone] if place.lights else constant(day.begin, day.end, 0.0)
        yield {
            "time": day.grid,
            "zone": [zone] * len(day.grid),
            "people": day.people[zone].sample(day.grid).astype(np.int64),
            "lamp_on": lit.sample(day.grid) > 0,
            "aircon_on": total(units, day.begin, day.end).sample(day.grid) > 0,
            "setpoint": setpoint.sample(day.grid),
            "temperature": np.round(day.temperature[zone], 2),
            "flow": day.flow[zone].sample(day.grid),
            "kwh": np.round(_each_minute(total(power, day.begin, day.end), day) / 3.6e9, 7),
            "litres": np.round(_each_minute(day.flow[zone], day) / 60_000, 4),
        }


def _each_minute(course: Course, day: Day) -> Floats:
    return np.diff(course.sums(np.append(day.grid, day.end)))


class _Table(Protocol):
    def write(self, columns: Mapping[str, Any]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Everything is on disk."""


class TruthFiles(AbstractContextManager["TruthFiles"]):
    """Writes the truth of ``building`` into ``folder`` as its days go by, up to ``until`` (ms; None: up to its present
    when a day is handed in). Raises InputError."""

    def __init__(self, folder: Path, building: OfficeBuilding, until: int | None = None) -> None:
        self._folder = folder
        self._building = building
        self._until = until

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._zones: _Table = _table(self._folder)
        except OSError as error:
            raise InputError(f"{self._folder}: cannot be written ({error.strerror})") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zones.close()
        now = self._building.now
        _lines(self._folder / "faults.jsonl", (_as_json(fault) for fault in self._building.faults))
        due = self._building.truth.all_due(now)
        _lines(self._folder / "expected.jsonl", (one.to_json() for one in due))

    def day(self, day: Day) -> None:
        """Add a day, as far as the simulation covers it."""
        until = self._building.now if self._until is None else self._until - 1
        inside = (day.grid >= self._building.start - self._building.start % MINUTE) & (day.grid <= until)
        for columns in zone_minutes(self._building, day):
            kept = {name: np.asarray(values)[inside] for name, values in columns.items()}
            self._zones.write(kept)


def _as_json(fault: Fault) -> dict[str, Any]:
    return {
        "fault": fault.name, "place": fault.place, "start": fault.start, "end": fault.end, "amount": fault.amount,
    }  # fmt: skip


def _lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def _table(folder: Path) -> _Table:
    try:
        return _Parquet(folder / "zones.parquet")
    except ImportError:
        return _Csv(folder / "zones.csv")


class _Parquet:
    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        self._pa = pa
        types = (pa.int64(), pa.string(), pa.int64(), pa.bool_(), pa.bool_(), *[pa.float64()] * 5)
        self._schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, columns: Mapping[str, Any]) -> None:
        self._writer.write_table(self._pa.table(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _Csv:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def write(self, columns: Mapping[str, Any]) -> None:
        self._writer.writerows(zip(*(columns[name] for name in COLUMNS), strict=True))

    def close(self) -> None:
        self._file.close()
