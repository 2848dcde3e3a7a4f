"""How fast history goes through all rules from columns, beside single readings and beside a bare search for edges.

    python benchmarks/replay.py [DAYS] [POINTS] [STREAM] [gaps=PERCENT]

A Parquet file in long form, minute data of POINTS points (``replay_streams`` says of what; STREAM office or restless,
else both), is replayed as ``greenwarden replay`` does, in a process of its own, for its CPU time and peak memory; 365
days of 1,000 points are 525 million readings. With gaps=1 one device in a hundred says nothing for some of each day's
hours. A reading is one value of one point at one instant. Half and a quarter of the days show whether the cost is
linear. Four weeks of fewer points go through the engine one reading at a time too: their alerts must be the same, read
whole and in stretches. The peer finds where one number crosses one limit, by numpy, in columns that lie in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from replay_streams import PER_ROOM, STREAMS, site, write

from rules import columns as column_rules
from rules import parquet_file, readings_file
from rules.readings_file import open_readings, readings_of
from rules.replay import as_lines, replay
from rules.runs import Run

_CHECKED_DAYS = 28
_CHECKED_ROOMS = 5

_CHILD = """
import json, resource, sys, time
from pathlib import Path
import pyarrow.compute, pyarrow.parquet
sys.path.insert(0, sys.argv[3])
from replay_streams import site
from rules.readings_file import open_readings
from rules.replay import as_lines, replay as run
place = site(int(sys.argv[2]))
began = time.process_time()
for columns in open_readings(Path(sys.argv[1]), place):
    del columns  # as a replay does, before it asks for more
decoding = time.process_time() - began
began = time.process_time()
replayed = run(place, open_readings(Path(sys.argv[1]), place))
spent = time.process_time() - began
began = time.process_time()
for line in as_lines(replayed.alerts):
    pass
writing = time.process_time() - began
print(json.dumps([replayed.readings, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  len(replayed.alerts), decoding, writing]))
"""


def timed(path: Path, rooms: int) -> list[float]:
    """Readings, CPU seconds, peak MiB and alerts of one replay in a process of its own, and CPU seconds of reading the
    file and of making the lines of all alerts."""
    here = str(Path(__file__).resolve().parent)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), str(rooms), here], capture_output=True, text=True, check=True
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


class Counted(Run):
    """Counts the readings at which a band changes, or a gap ends."""

    changes = 0

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]  # passed on as they are
        Counted.changes += len(self.events)


@contextmanager
def in_stretches(rows: int) -> Iterator[None]:
    """Files are read as long ones are, about so many rows at a time."""
    usual = readings_file.WHOLE_UP_TO, parquet_file._AT_ONCE
    readings_file.WHOLE_UP_TO, parquet_file._AT_ONCE = 0, rows  # type: ignore[misc]  # for the check
    try:
        yield
    finally:
        readings_file.WHOLE_UP_TO, parquet_file._AT_ONCE = usual  # type: ignore[misc]


def check(folder: Path, stream: str, days: int, gaps: float) -> tuple[bool, float, float, float]:
    """Whether the alerts are the same; readings a second of single readings and of the peer; part that are changes."""
    path, place = folder / "part.parquet", site(_CHECKED_ROOMS)
    write(path, stream, _CHECKED_ROOMS, days, gaps)
    (columns,) = open_readings(path, place)
    Counted.changes = 0
    column_rules.Run = Counted  # type: ignore[misc]  # counting all the same
    by_columns = replay(place, open_readings(path, place))
    column_rules.Run = Run  # type: ignore[misc]
    with in_stretches(sum(len(series.times) for series in columns.values()) // 4):
        by_stretches = replay(place, open_readings(path, place))
    readings = list(readings_of(columns))
    values = sum(len(reading.values) for reading in readings)
    began = time.process_time()
    stepped = replay(place, readings)
    singly = values / (time.process_time() - began)
    told = b"".join(as_lines(stepped.alerts))
    same = all(b"".join(as_lines(other.alerts)) == told for other in (by_columns, by_stretches))
    peer = edges(np.concatenate([columns[key].values for key in columns] * 10))
    return same and len(stepped.alerts) > 0, singly, peer, Counted.changes / values


def measure(stream: str, days: int, rooms: int, gaps: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        same, singly, peer, changes = check(Path(folder), stream, min(days, _CHECKED_DAYS), gaps)
        rows = []
        for span in sorted({max(days // 4, 1), max(days // 2, 1), days}):
            path = Path(folder, "whole.parquet")
            write(path, stream, rooms, span, gaps)
            rows.append((span, path.stat().st_size / 1e6, *timed(path, rooms)))
    read, spent, peak, alerts, _, writing = rows[-1][2:]
    fast = read / spent
    print(
        f"{stream}, {100 * gaps:g} % of device-days with a gap: {fast / singly:.1f} times single readings, "
        f"1/{peer / fast:.0f} of the bare edge search; the same alerts: {same}"
    )
    print(
        f"  one reading in {1 / changes:,.0f} changes a band; one in {read / max(alerts, 1):,.0f} an alert; "
        f"peak memory {peak:,.0f} MiB"
    )
    lines = f"{1e6 * writing / max(alerts, 1):.0f} us an alert, {1e9 * writing / read:.1f} ns a reading"
    print(f"  to write all alerts as lines costs {lines} more")
    for span, size, read, spent, _, alerts, decoding, _ in rows:
        print(
            f"  {span:4d} days {read / spent:13,.0f} readings/s, {1e9 * spent / read:.1f} ns each, of which "
            f"{1e9 * decoding / read:.1f} decoding  ({read:,.0f} readings, {alerts:,.0f} alerts, {size:,.0f} MB)"
        )
    grown = [later[3] / later[2] / (earlier[3] / earlier[2]) for earlier, later in pairwise(rows)]
    print(f"  cost of a reading against half the days: {', '.join(f'{cost:.2f}' for cost in grown)}")
    print(f"  singly {singly:13,.0f} readings/s\n  edges  {peer:13,.0f} readings/s")


def main() -> None:
    given = [word for word in sys.argv[1:] if not word.startswith("gaps=")]
    gaps = sum(float(word.removeprefix("gaps=")) for word in sys.argv[1:] if word not in given) / 100
    days = int(given[0]) if given else 32
    rooms = max((int(given[1]) if len(given) > 1 else 1000) // PER_ROOM, 1)
    for stream in given[2:] or STREAMS:
        measure(stream, days, rooms, gaps)


if __name__ == "__main__":
    main()
