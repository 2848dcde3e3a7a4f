"""How fast history goes through all rules from columns, beside single readings and beside a bare search for edges.

    python benchmarks/replay.py [DAYS] [POINTS]

A Parquet file in long form is written to a temporary folder: minute data of POINTS points, ten to a room (lamp and plug
meters with power and energy, presence, illuminance, temperature, an air conditioner with four), one row group a day,
series after series within it, names as dictionaries. It is replayed as ``greenwarden replay`` does, in a process of its
own, for its CPU time and peak memory; 365 days of 1,000 points are 525 million readings. The first day goes through the
engine one reading at a time as well: its alerts must be the same. The peer finds where one number crosses one limit,
by numpy, in columns that lie in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from building.document import parse_document
from building.site import Site, build_site
from rules.readings_file import open_readings, readings_of
from rules.replay import as_lines, replay

START_S = 1_782_835_200  # 2026-07-01 00:00 in Shanghai
MINUTES_OF_DAY = 24 * 60
PER_ROOM = 10


def site(rooms: int) -> Site:
    lines = ["version: 1", "site: {timezone: Asia/Shanghai}", "zones:", *(f"  - {{id: z{n}}}" for n in range(rooms))]
    lines.append("devices:")
    for n in range(rooms):
        lines += [
            f"  - {{id: lamp{n}, kind: electricity, circuit: lighting, zone: z{n}}}",
            f"  - {{id: plug{n}, kind: plug, zone: z{n}}}",
            f"  - {{id: sensor{n}, kind: sensor, zone: z{n}, quantities: [occupancy, illuminance]}}",
            f"  - {{id: ac{n}, kind: aircon, zone: z{n}}}",
        ]
    return build_site(parse_document("\n".join(lines).encode(), "benchmark"))


Values = np.ndarray[tuple[int], np.dtype[np.float64]]


def day_of(rooms: int, day: int) -> list[tuple[str, str, Values]]:
    """The values of one day by series: people come and go, machines run while they are there, one in ten is left on."""
    draw = np.random.default_rng(day)
    count = MINUTES_OF_DAY
    minute = np.arange(count)
    found: list[tuple[str, str, Values]] = []

    def during(start: float, end: float) -> Values:
        late = 240 if draw.random() < 0.1 else 0
        begins, ends = start + draw.integers(-15, 15), end + draw.integers(-15, 15) + late
        return ((minute >= begins) & (minute < ends)).astype(np.float64)

    for n in range(rooms):
        lamp = during(510, 1055) * 60 + draw.random(count)
        plug = during(520, 1050) * 90 + 3 + draw.random(count)
        runs = during(530, 1040)
        for device, watts in (("lamp", lamp), ("plug", plug)):
            found.append((f"{device}{n}", "active_power", watts))
            found.append((f"{device}{n}", "energy_import", day * 3.0 + np.round(np.cumsum(watts) / 60_000, 2)))
        seen = during(510, 1050) * (np.cumsum(draw.random(count) < 1 / 20) % 2)
        found.append((f"sensor{n}", "occupancy", seen))
        found.append((f"sensor{n}", "illuminance", 200 + 300 * np.sin(minute / count * np.pi) + draw.random(count)))
        found.append((f"ac{n}", "running", runs))
        found.append((f"ac{n}", "active_power", runs * 900 + 5 + draw.random(count)))
        found.append((f"ac{n}", "setpoint", np.full(count, 26.0 - 2 * (n % 3 == 0))))
        found.append(
            (f"ac{n}", "temperature", np.round(26 + 1.5 * np.sin(minute / 300) + draw.random(count) * 0.02, 2))
        )
    return found


def write(path: Path, rooms: int, days: int) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [(device, quantity) for device, quantity, _ in day_of(rooms, 0)]
    devices, quantities = (sorted({name[place] for name in names}) for place in (0, 1))
    codes = [np.repeat([known.index(name[place]) for name in names], MINUTES_OF_DAY).astype(np.int32)
             for place, known in enumerate((devices, quantities))]  # fmt: skip
    columns = [pa.DictionaryArray.from_arrays(pa.array(code), pa.array(known))
               for code, known in zip(codes, (devices, quantities), strict=True)]  # fmt: skip
    writer = None
    for day in range(days):
        times = START_S + 60 * np.arange(day * MINUTES_OF_DAY, (day + 1) * MINUTES_OF_DAY)
        stamps = pa.array(np.tile(times * 1000, len(names)), pa.timestamp("ms", "UTC"))
        values = np.concatenate([series for _, _, series in day_of(rooms, day)])
        table = pa.table({"time": stamps, "device": columns[0], "quantity": columns[1], "value": values})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=len(values))
    assert writer is not None
    writer.close()
    return days * len(codes[0])


_CHILD = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from replay import site
from rules.readings_file import open_readings
from rules.replay import as_lines, replay as run
place = site(int(sys.argv[2]))
began = time.process_time()
replayed = run(place, open_readings(Path(sys.argv[1]), place))
spent = time.process_time() - began
if sys.argv[3]:
    Path(sys.argv[3]).write_bytes(b"".join(as_lines(replayed.alerts)))
print(json.dumps([replayed.readings, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  len(replayed.alerts)]))
"""


def timed(path: Path, rooms: int, alerts: str = "") -> list[float]:
    """Readings, CPU seconds, peak MiB and alerts of one replay in a process of its own."""
    here = str(Path(__file__).resolve().parent)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), str(rooms), alerts, here], capture_output=True, text=True, check=True
    )
    told: list[float] = json.loads(done.stdout)
    return told


def edges(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Readings a second of the peer: where one number crosses one limit."""
    began = time.process_time()
    for _ in range(20):
        above = values > 20.0
        np.flatnonzero(above[1:] != above[:-1])
    return 20 * len(values) / (time.process_time() - began)


def main() -> None:
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    rooms = max((int(sys.argv[2]) if len(sys.argv) > 2 else 1000) // PER_ROOM, 1)
    with tempfile.TemporaryDirectory() as folder:
        whole, half, first = (Path(folder, f"{name}.parquet") for name in ("whole", "half", "day"))
        for path, span in ((whole, days), (half, max(days // 2, 1)), (first, 1)):
            write(path, rooms, span)
        size = whole.stat().st_size / 1e6
        read, spent, peak, alerts = timed(whole, rooms)
        half_read, half_spent, _, _ = timed(half, rooms)
        told = Path(folder, "alerts.jsonl")
        timed(first, rooms, str(told))
        place = site(rooms)
        (columns,) = open_readings(first, place)
        peer = edges(np.concatenate([columns[key].values for key in columns]))
        readings = list(readings_of(columns))
        values = sum(len(reading.values) for reading in readings)
        began = time.process_time()
        stepped = replay(place, readings)
        slow = values / (time.process_time() - began)
        same = b"".join(as_lines(stepped.alerts)) == told.read_bytes()
    fast, half_fast = read / spent, half_read / half_spent
    ratio = f"{fast / slow:.1f} times single readings, 1/{peer / fast:.0f} of the bare edge search"
    print(f"{ratio}; first day the same: {same}")
    print(f"{'columns':8} {fast:14,.0f} readings/s  ({read:,.0f} readings, {alerts:,.0f} alerts, {size:,.0f} MB)")
    print(
        f"{'half':8} {half_fast:14,.0f} readings/s  (cost of a reading in the whole {half_fast / fast:.2f} times that)"
    )
    print(f"{'singly':8} {slow:14,.0f} readings/s  ({values:,} readings)")
    print(f"{'edges':8} {peer:14,.0f} readings/s")
    print(f"peak memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
