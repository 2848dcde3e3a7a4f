"""A long run of the whole program on the simulated building, faster than real time: are memory and handles flat?

    python benchmarks/soak.py --minutes 60 --speed 20

Prints a line every minute and at the end the growth from the end of the first tenth (when caches are warm) to the
end. The simulated building runs in the same process, so its own memory is counted too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from building.clock import FastClock
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


async def soak(minutes: float, speed: float) -> list[tuple[float, int, int]]:
    """Memory, handles and readings published, once a minute of real time."""
    site = open_site(sample_site())
    start = datetime(2026, 7, 1, 7, 0, tzinfo=site.site.tz)
    clock = FastClock(int(start.timestamp() * 1000), speed)
    samples = []
    with tempfile.TemporaryDirectory(prefix="greenwarden-soak-") as folder:
        async with AsyncExitStack() as stack:
            faults = default_faults(site, start.date(), 1)
            served = await stack.enter_async_context(Simulation(site, clock, seed=1, faults=faults))
            program = Program(site, clock, Path(folder), {}, endpoints=served.endpoints, credentials=served.credentials)
            await stack.enter_async_context(program)
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
    arguments = parser.parse_args()
    samples = asyncio.run(soak(arguments.minutes, arguments.speed))
    warm = samples[len(samples) // 10]
    last = samples[-1]
    print(f"growth {last[0] - warm[0]:+.1f} MiB, {last[1] - warm[1]:+d} handles over {last[2] - warm[2]:,} readings")


if __name__ == "__main__":
    main()
