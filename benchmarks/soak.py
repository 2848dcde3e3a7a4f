"""A long run of the whole program on the simulated building, faster than real time: are memory and handles flat?

    python benchmarks/soak.py --minutes 60 --speed 20

Prints a line every minute and at the end the growth from the end of the first fifth (by then the building has had four
hours, and SQLite's caches are full) to the end. The simulated building and its broker run in a process of their own:
what is measured is the program alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from greenwarden.door import open_site, sample_site
from greenwarden.heap import share_one_heap
from greenwarden.program import Program
from simulators.scenario import default_faults
from simulators.service import Simulation


class Sample(NamedTuple):
    """Resident memory in MiB, and of that what is no file's; open handles; readings published."""

    memory: float
    anonymous: float
    handles: int
    readings: int


def sample(program: Program) -> Sample:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    handles = len(os.listdir("/proc/self/fd"))
    return Sample(kib["VmRSS"] / 1024, kib["RssAnon"] / 1024, handles, program.stream.published)


class SharedClock:
    """The same time in two processes: ``speed`` times the computer's steady clock since ``begun`` (ns).

    Unlike ``FastClock`` it waits for nobody, as the clock on the wall does not; two of those would drift apart.
    """

    def __init__(self, start: int, speed: float, begun: int) -> None:
        self.speed = speed
        self._start = start
        self._begun = begun

    def now(self) -> int:
        return self._start + int((time.monotonic_ns() - self._begun) * self.speed / 1_000_000)

    async def sleep_until(self, moment: int) -> None:
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - waits for time itself, no event could tell
            await asyncio.sleep(left / 1000 / self.speed)

    def steady(self) -> int:
        return self.now()

    async def sleep_steady(self, moment: int) -> None:
        await self.sleep_until(moment)

    def hold(self) -> Callable[[], None]:
        return lambda: None


async def building(start: int, speed: float, begun: int) -> None:
    """The child: the simulated building, until standard input ends."""
    site = open_site(sample_site())
    faults = default_faults(site, datetime.fromtimestamp(start / 1000, UTC).astimezone(site.site.tz).date(), 1)
    async with Simulation(site, SharedClock(start, speed, begun), seed=1, faults=faults) as served:
        print(json.dumps([served.endpoints, served.credentials]), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def played(start: int, speed: float, begun: int) -> Iterator[tuple[dict[str, str], dict[str, tuple[str, str]]]]:
    """The building in a process of its own: its endpoints, and its logins."""
    command = [sys.executable, __file__, "--building", str(start), str(speed), str(begun)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        endpoints, credentials = json.loads(child.stdout.readline())
        yield endpoints, {link: (user, password) for link, (user, password) in credentials.items()}
        child.stdin.close()


async def soak(minutes: float, speed: float) -> list[Sample]:
    """One sample a minute of real time."""
    share_one_heap()  # as ``greenwarden run`` does
    site = open_site(sample_site())
    start = int(datetime(2026, 7, 1, 7, 0, tzinfo=site.site.tz).timestamp() * 1000)
    begun = time.monotonic_ns()
    samples = []
    with (
        tempfile.TemporaryDirectory(prefix="greenwarden-soak-") as folder,
        played(start, speed, begun) as (endpoints, credentials),
    ):
        clock = SharedClock(start, speed, begun)
        async with Program(site, clock, Path(folder), {}, endpoints=endpoints, credentials=credentials) as program:
            for minute in range(1, round(minutes) + 1):
                await asyncio.sleep(60)
                one = sample(program)
                samples.append(one)
                memory = f"{one.memory:7.1f} MiB, {one.anonymous:.1f} anonymous"
                alerts = len(program.rules.alerts)
                came = f"{one.readings:9,} readings  {alerts:3} alerts"
                print(f"{minute:4} min  {memory}  {one.handles:4} handles  {came}", flush=True)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--speed", type=float, default=20)
    parser.add_argument("--building", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.building:
        start, speed, begun = arguments.building
        asyncio.run(building(int(start), float(speed), int(begun)))
        return
    samples = asyncio.run(soak(arguments.minutes, arguments.speed))
    warm = samples[len(samples) // 5 - 1]
    last = samples[-1]
    grown = f"{last.memory - warm.memory:+.1f} MiB, {last.anonymous - warm.anonymous:+.1f} anonymous"
    handles, readings = last.handles - warm.handles, last.readings - warm.readings
    print(f"growth {grown}, {handles:+d} handles over {readings:,} readings")


if __name__ == "__main__":
    main()
