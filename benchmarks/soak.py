"""A long run of the whole program on the simulated building, faster than real time: are memory and handles flat?

    python benchmarks/soak.py --minutes 60 --speed 20

Prints a line every minute and at the end the growth from the end of the first tenth (when caches are warm) to the
end. The simulated building and its broker run in a process of their own: what is measured is the program alone.
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

from greenwarden.door import open_site, sample_site
from greenwarden.program import Program
from simulators.scenario import default_faults
from simulators.service import Simulation


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


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


async def soak(minutes: float, speed: float) -> list[tuple[float, int, int]]:
    """Memory, handles and readings published, once a minute of real time."""
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
                memory, open_handles, readings = resident_mib(), handles(), program.stream.published
                samples.append((memory, open_handles, readings))
                line = f"{minute:4} min  {memory:7.1f} MiB  {open_handles:4} handles  {readings:9,} readings"
                print(line, flush=True)
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
    warm = samples[len(samples) // 10]
    last = samples[-1]
    print(f"growth {last[0] - warm[0]:+.1f} MiB, {last[1] - warm[1]:+d} handles over {last[2] - warm[2]:,} readings")


if __name__ == "__main__":
    main()
