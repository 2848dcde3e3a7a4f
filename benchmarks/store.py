"""How fast the embedded store takes readings and answers, beside plain SQLite rows in the same run.

    python benchmarks/store.py [--values 20000000] [--quantities 1] [--influx] [--held 10]

One thousand meters, one reading each round of two minutes, noisy values with one decimal, batches of 5,000 values; only
the stores' own calls are timed, not the making of the readings. Both stores commit every batch; ``power-safe`` forces
it to the disk. Plain rows are one table keyed by (series, time), fed a twentieth of the values unless they are few.
With ``--influx`` also InfluxDB 1.6.7 (Debian's influxd must be installed), beside the same lines posted by urllib3
alone, in bodies of 5,000 lines one after another; ours are handed over 20,000 readings at a time, as storing does it.
The ratio to the peer stands first in each line.

``--held MINUTES`` instead holds 10,000 readings a second (of three values) from the stream through the queue into
InfluxDB 1.6.7 for so long, in a process of its own, with the database away for the middle half; then counts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import urllib3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from building.clock import SystemClock
from building.readings import Reading
from building.site import Device, InfluxSettings, Site, StoreSettings
from collector.storing.embedded import EmbeddedStore
from collector.storing.influx import InfluxStore
from collector.storing.lines import LineEncoder
from collector.storing.service import Storing
from collector.storing.stored import StoredReadings
from collector.stream import Stream
from greenwarden.heap import share_one_heap

START = 1_782_835_200_000
PERIOD = 120_000
METERS = [f"meter-{number}" for number in range(1_000)]
QUANTITIES = ("active_power", "voltage", "current", "power_factor", "energy_import")
BATCH = 5_000  # values
HOUR = 3_600_000


def batches(values: int, quantities: Sequence[str]) -> Iterator[list[Reading]]:
    chance = random.Random(1)
    pool = [tuple(round(chance.gauss(230, 40), 1) for _ in quantities) for _ in range(50_021)]
    each = BATCH // len(quantities)
    for first in range(0, values // len(quantities), each):
        yield [
            Reading(
                METERS[n % 1000],
                START + n // 1000 * PERIOD + n % 1000 * 7,
                {
                    name: value + 0.0 for name, value in zip(quantities, pool[n * 7919 % 50_021], strict=True)
                },  # new ones
            )
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


def load(write: Callable[[Sequence[Reading]], None], values: int, quantities: Sequence[str]) -> tuple[float, ...]:
    """Values a second, the 99th percentile of a batch in ms, and values per second of processor time."""
    spent, worked = [], 0.0
    for batch in batches(values, quantities):
        began, busy = time.perf_counter(), time.thread_time()
        write(batch)
        worked += time.thread_time() - busy
        spent.append(time.perf_counter() - began)
    p99 = statistics.quantiles(spent, n=100)[98] if len(spent) > 1 else spent[0]
    return values / sum(spent), p99 * 1000, values / worked


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
    rate, p99, busy = load(plain.write, peer_values, quantities)
    plain.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    of_peer = (rate, size(path) / peer_values, milliseconds(plain.hourly), milliseconds(plain.lasts))
    print(row(f"plain rows ({peer_values:,})", of_peer, of_peer, p99, busy))
    plain.connection.close()
    for power_safe in (False, True):
        count = values if not power_safe else min(values, 2_000_000)
        path = folder / f"embedded-{power_safe}.db"
        with EmbeddedStore(path, power_safe=power_safe) as store:
            rate, p99, busy = load(store.write, count, quantities)
        with StoredReadings(path) as reader:
            began = time.perf_counter()
            reader.lasts()
            cold = (time.perf_counter() - began) * 1000
            end = START + 30 * 24 * HOUR
            hourly = milliseconds(lambda: reader.means("meter-5", "active_power", START, end, HOUR))  # noqa: B023 - used at once
            found = (rate, size(path) / count, hourly, milliseconds(reader.lasts))
            name = "blocks, power-safe" if power_safe else "blocks"
            print(row(f"{name} ({count:,})", found, of_peer, p99, busy), f"  first question of a process {cold:.0f} ms")


def row(name: str, found: tuple[float, ...], peer: tuple[float, ...], p99: float, busy: float) -> str:
    rate, each, hourly, lasts = found
    return (
        f"{rate / peer[0]:5.1f}x in  {peer[1] / each:4.1f}x smaller  | {name:28} {rate:>11,.0f} values/s "
        f"({busy:,.0f} per processor second)  p99 {p99:6.1f} ms  {each:5.2f} bytes/value  "
        f"hourly mean {hourly:5.2f} ms  last of all {lasts:6.2f} ms"
    )


def influx(folder: Path, values: int) -> None:
    from tests.parts import Influxd

    site = Site(devices=tuple(Device(id=meter, kind="electricity") for meter in METERS))
    points = values // 3
    encoder = LineEncoder(site)
    ratios = []
    print(f"InfluxDB 1.6.7: {points:,} points of 3 fields; peer: the same lines, ready made, by urllib3 alone")
    with Influxd(folder) as server:
        pool = urllib3.PoolManager()
        for number in range(5):
            server.query(f"CREATE DATABASE bare{number}")
            server.query(f"CREATE DATABASE ours{number}")
            encoding = bare = ours = 0.0
            with InfluxStore(site, InfluxSettings(url=server.url, database=f"ours{number}")) as store:
                store.write([Reading(METERS[0], START - 1, {"active_power": 0.0})])  # connected
                for chunk in chunks_of(values):
                    began = time.perf_counter()
                    bodies = [encoder.readings(chunk[first : first + 5_000]) for first in range(0, len(chunk), 5_000)]
                    encoding += time.perf_counter() - began
                    began = time.perf_counter()
                    for body in bodies:
                        url = f"{server.url}/write?db=bare{number}&precision=ms"
                        assert pool.request("POST", url, body=body).status == 204
                    bare += time.perf_counter() - began
                    began = time.perf_counter()
                    store.write(chunk)
                    ours += time.perf_counter() - began
            ratios.append(bare / ours)
            rates = f"{points / ours:,.0f} points/s, urllib3 alone {points / bare:,.0f}"
            print(f"{bare / ours:5.2f}x  {rates}; encoding alone {points / encoding:,.0f}")
    print(f"{statistics.median(ratios):5.2f}x  median of {len(ratios)}")


def chunks_of(values: int) -> Iterator[list[Reading]]:
    """20,000 readings at a time, just made, as they come out of the queue."""
    chunk: list[Reading] = []
    for batch in batches(values, QUANTITIES[:3]):
        chunk += batch
        if len(chunk) >= 20_000:
            yield chunk[:20_000]
            chunk = chunk[20_000:]
    if chunk:
        yield chunk


# -- ten thousand readings a second -----------------------------------------------------------------------------------


def held(folder: Path, minutes: float) -> None:
    from tests.parts import Influxd

    with Influxd(folder) as server:
        command = [sys.executable, __file__, "--feed", str(minutes), server.url, str(folder / "data")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        began = time.monotonic()
        time.sleep(minutes * 60 / 4)
        server.kill()
        time.sleep(minutes * 60 / 2)
        server.start()
        back = time.monotonic()
        print(f"database away from {minutes / 4:g} to {(back - began) / 60:.1f} min", flush=True)
        lines = []
        for line in child.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        (row,) = server.query('SELECT count(active_power) FROM "electricity"')
        made = int(lines[-1].split()[1].replace(",", ""))
        print(f"{row['count'] / made:.6f}x  of {made:,} readings made {row['count']:,} are in the database")


async def feed(minutes: float, url: str, folder: Path) -> None:
    """The child: 1,000 meters, each ten times a second, a tenth of them every 10 ms."""
    share_one_heap()  # as ``greenwarden run`` does
    devices = tuple(Device(id=meter, kind="electricity", circuit="other") for meter in METERS)
    store = StoreSettings(influxdb=InfluxSettings(url=url, database="energy"))
    clock, stream, made, highest = SystemClock(), Stream(), 0, 0
    source = stream.subscribe("store", limit=100_000, lossless=True)
    stamps: dict[int, int] = {}
    async with Storing(Site(devices=devices, store=store), clock, folder, source) as storing:
        began, back, worst = time.monotonic(), 0.0, 0
        while (passed := time.monotonic() - began) < minutes * 60:
            while made < passed * 10_000:
                names = METERS[made % 1_000 : made % 1_000 + 100]
                at = stamps[made % 1_000] = max(clock.now(), stamps.get(made % 1_000, 0) + 1)  # none twice
                values = {"active_power": made % 977 / 10, "voltage": 230.1, "energy_import": made / 1000}
                await stream.publish([Reading(name, at, dict(values)) for name in names])
                made += 100
            status = storing.status()
            worst, highest = max(worst, status.queued), max(highest, resident())
            back = passed if status.away else back
            await asyncio.sleep(0.01)
        fed = time.monotonic() - began
        print(f"fed for {fed / 60:.1f} min at {made / fed:,.0f} readings/s; at most {worst:,} waited", flush=True)
        await asyncio.wait_for(storing.settled(), 900)
        done = time.monotonic() - began
    behind = f"{max(0.0, done - fed):.0f} s after the feed ended, {done - back:.0f} s after the database was back"
    print(f"made {made:,} readings; caught up {behind}; memory at most {highest / 1024:.0f} MiB", flush=True)


def resident() -> int:
    """Memory of this process in kB."""
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=20_000_000)
    parser.add_argument("--quantities", type=int, default=1, choices=range(1, 6))
    parser.add_argument("--peer-values", type=int, default=1_000_000)
    parser.add_argument("--influx", action="store_true")
    parser.add_argument("--held", type=float, metavar="MINUTES")
    parser.add_argument("--feed", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.feed:
        asyncio.run(feed(float(chosen.feed[0]), chosen.feed[1], Path(chosen.feed[2])))
        return
    with tempfile.TemporaryDirectory() as folder:
        if chosen.held:
            held(Path(folder), chosen.held)
            return
        if chosen.values:
            embedded(
                Path(folder), chosen.values, QUANTITIES[: chosen.quantities], min(chosen.values, chosen.peer_values)
            )
        if chosen.influx:
            influx(Path(folder), 1_200_000)


if __name__ == "__main__":
    main()
