"""How fast the embedded store takes readings and answers, beside plain SQLite rows in the same run.

    python benchmarks/store.py [--values 20000000] [--quantities 1] [--influx]

One thousand meters, one reading each round of two minutes, noisy values with one decimal, batches of 5,000 values; only
the stores' own calls are timed, not the making of the readings. Both stores commit every batch; ``power-safe`` forces
it to the disk. Plain rows are one table keyed by (series, time), fed a twentieth of the values unless they are few.
With ``--influx`` also InfluxDB 1.6.7 (Debian's influxd must be installed), beside the same lines posted by urllib3
alone. The ratio to the peer stands first in each line.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import urllib3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from building.readings import Reading
from building.site import Device, InfluxSettings, Site
from collector.storing.embedded import EmbeddedStore
from collector.storing.influx import InfluxStore
from collector.storing.lines import LineEncoder
from collector.storing.stored import StoredReadings

START = 1_782_835_200_000
PERIOD = 120_000
METERS = [f"meter-{number}" for number in range(1_000)]
QUANTITIES = ("active_power", "voltage", "current", "power_factor", "energy_import")
BATCH = 5_000  # values
HOUR = 3_600_000


def batches(values: int, quantities: Sequence[str]) -> Iterator[list[Reading]]:
    chance = random.Random(1)
    pool = [{name: round(chance.gauss(230, 40), 1) for name in quantities} for _ in range(50_021)]
    each = BATCH // len(quantities)
    for first in range(0, values // len(quantities), each):
        yield [
            Reading(METERS[n % 1000], START + n // 1000 * PERIOD + n % 1000 * 7, dict(pool[n * 7919 % 50_021]))
            for n in range(first, first + each)
        ]


class PlainRows:
    """The peer: one row for each value."""

    def __init__(self, path: Path) -> None:
        self.series = {(meter, name): n for n, (meter, name) in enumerate(product(METERS, QUANTITIES))}
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute(
            "CREATE TABLE plain (series INTEGER, at INTEGER, value REAL, PRIMARY KEY (series, at)) WITHOUT ROWID"
        )

    def write(self, readings: Sequence[Reading]) -> None:
        series = self.series
        self.connection.execute("BEGIN")
        self.connection.executemany(
            "INSERT OR REPLACE INTO plain VALUES (?, ?, ?)",
            [(series[device, name], at, value) for device, at, values, _ in readings for name, value in values.items()],
        )
        self.connection.execute("COMMIT")

    def hourly(self) -> list[object]:
        series = self.series["meter-5", "active_power"]
        query = "SELECT at / ? * ?, avg(value) FROM plain WHERE series = ? GROUP BY 1"
        return self.connection.execute(query, (HOUR, HOUR, series)).fetchall()

    def lasts(self) -> list[object]:
        query = "SELECT value FROM plain WHERE series = ? ORDER BY at DESC LIMIT 1"
        series = [self.series[meter, "active_power"] for meter in METERS]
        return [self.connection.execute(query, (one,)).fetchone() for one in series]


def load(write: Callable[[Sequence[Reading]], None], values: int, quantities: Sequence[str]) -> tuple[float, float]:
    """Values a second, and the 99th percentile of a batch in ms."""
    spent = []
    for batch in batches(values, quantities):
        began = time.perf_counter()
        write(batch)
        spent.append(time.perf_counter() - began)
    return values / sum(spent), statistics.quantiles(spent, n=100)[98] * 1000 if len(spent) > 1 else spent[0] * 1000


def milliseconds(ask: Callable[[], object]) -> float:
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def size(path: Path) -> int:
    return sum(part.stat().st_size for part in path.parent.iterdir() if part.name.startswith(path.name))


def embedded(folder: Path, values: int, quantities: Sequence[str], peer_values: int) -> None:
    print(f"embedded store: {values:,} values, {len(METERS):,} meters of {len(quantities)}; peer: plain rows")
    path = folder / "plain.db"
    plain = PlainRows(path)
    rate, p99 = load(plain.write, peer_values, quantities)
    plain.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    of_peer = (rate, size(path) / peer_values, milliseconds(plain.hourly), milliseconds(plain.lasts))
    print(row(f"plain rows ({peer_values:,})", of_peer, of_peer, p99))
    plain.connection.close()
    for power_safe in (False, True):
        count = values if not power_safe else min(values, 2_000_000)
        path = folder / f"embedded-{power_safe}.db"
        with EmbeddedStore(path, power_safe=power_safe) as store:
            rate, p99 = load(store.write, count, quantities)
        with StoredReadings(path) as reader:
            began = time.perf_counter()
            reader.lasts()
            cold = (time.perf_counter() - began) * 1000
            end = START + 30 * 24 * HOUR
            hourly = milliseconds(lambda: reader.means("meter-5", "active_power", START, end, HOUR))  # noqa: B023 - used at once
            found = (rate, size(path) / count, hourly, milliseconds(reader.lasts))
            name = "blocks, power-safe" if power_safe else "blocks"
            print(row(f"{name} ({count:,})", found, of_peer, p99), f"  first question of a process {cold:.0f} ms")


def row(name: str, found: tuple[float, ...], peer: tuple[float, ...], p99: float) -> str:
    rate, each, hourly, lasts = found
    return (
        f"{rate / peer[0]:5.1f}x in  {peer[1] / each:4.1f}x smaller  | {name:28} {rate:>11,.0f} values/s  "
        f"p99 {p99:6.1f} ms  {each:5.2f} bytes/value  hourly mean {hourly:5.2f} ms  last of all {lasts:6.2f} ms"
    )


def influx(folder: Path, values: int) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.parts import Influxd

    site = Site(devices=tuple(Device(id=meter, kind="electricity") for meter in METERS))
    readings = [reading for batch in batches(values, QUANTITIES[:3]) for reading in batch]
    chunks = [readings[first : first + 5_000] for first in range(0, len(readings), 5_000)]
    with Influxd(folder) as server:
        pool = urllib3.PoolManager()
        encoder = LineEncoder(site)
        encoder.readings(readings[:2_000])  # the form of every device is known from its first line on
        began = time.perf_counter()
        bodies = [encoder.readings(chunk) for chunk in chunks]
        encoding = len(readings) / (time.perf_counter() - began)
        server.query("CREATE DATABASE bare")
        began = time.perf_counter()
        for body in bodies:
            assert pool.request("POST", f"{server.url}/write?db=bare&precision=ms", body=body).status == 204
        bare = len(readings) / (time.perf_counter() - began)
        with InfluxStore(site, InfluxSettings(url=server.url, database=server.database)) as store:
            began = time.perf_counter()
            for chunk in chunks:
                store.write(chunk)
            ours = len(readings) / (time.perf_counter() - began)
    print(f"InfluxDB 1.6.7: {len(readings):,} points of 3 fields; peer: the same lines, ready made, by urllib3 alone")
    print(f"{ours / bare:5.2f}x  {ours:,.0f} points/s, urllib3 alone {bare:,.0f}; encoding alone {encoding:,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=20_000_000)
    parser.add_argument("--quantities", type=int, default=1, choices=range(1, 6))
    parser.add_argument("--peer-values", type=int, default=1_000_000)
    parser.add_argument("--influx", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        embedded(Path(folder), chosen.values, QUANTITIES[: chosen.quantities], min(chosen.values, chosen.peer_values))
        if chosen.influx:
            influx(Path(folder), 600_000)


if __name__ == "__main__":
    main()
