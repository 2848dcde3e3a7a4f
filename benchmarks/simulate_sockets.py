"""The simulated building on sockets: 500 devices asked once a second. Goals: under one core, 99 % within 20 ms.

    python -m benchmarks.simulate_sockets [--devices 500] [--seconds 20]

The building runs in a process of its own. The asker writes its frames by hand, reads the 80 registers that hold all
values of a meter, and shares the machine with the building. A run that asks an empty responder the same shows what the
machine itself costs.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import struct
import time
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from benchmarks.simulated_sites import many_meters
from building.clock import FastClock
from simulators.service import Simulation

_WORKDAY = 1_782_871_200_000  # 2026-07-01 10:00 +08:00


def serve(devices: int, pipe: Connection) -> None:
    """The building, until the pipe says that it is over."""

    async def run() -> None:
        async with Simulation(many_meters(devices), FastClock(_WORKDAY, 1.0)) as served:
            pipe.send([urlsplit(url).port for url in served.endpoints.values()])
            before = time.process_time()
            while not pipe.poll():  # noqa: ASYNC110 - a pipe has no event
                await asyncio.sleep(0.05)
            pipe.send(time.process_time() - before)

    asyncio.run(run())


def echo(devices: int, pipe: Connection) -> None:
    """An answer of the same length without a building behind it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(12)
                writer.write(head[:4] + struct.pack(">HB", 163, head[6]) + b"\x04\xa0" + bytes(160))
        except asyncio.IncompleteReadError:
            writer.close()

    async def run() -> None:
        servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range((devices + 99) // 100)]
        pipe.send([server.sockets[0].getsockname()[1] for server in servers])
        before = time.process_time()
        while not pipe.poll():  # noqa: ASYNC110 - a pipe has no event
            await asyncio.sleep(0.05)
        pipe.send(time.process_time() - before)

    asyncio.run(run())


async def ask(port: int, units: int, seconds: float, taken: list[float]) -> None:
    """Every unit behind one port once a second, spread over it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = time.perf_counter()
    for number in range(int(seconds * units)):
        due = start + number / units
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sent = time.perf_counter()
        writer.write(struct.pack(">HHHBBHH", number & 0xFFFF, 0, 6, 1 + number % units, 4, 0, 80))
        await reader.readexactly(6 + 1 + 2 + 160)
        taken.append(time.perf_counter() - sent)
    writer.close()


def measure(server: object, devices: int, seconds: float) -> tuple[list[float], float]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=server, args=(devices, theirs))
    process.start()
    ports = ours.recv()
    taken: list[float] = []

    async def all_of_them() -> None:
        left = [min(100, devices - 100 * n) for n in range(len(ports))]
        await asyncio.gather(*(ask(port, units, seconds, taken) for port, units in zip(ports, left, strict=True)))

    asyncio.run(all_of_them())
    ours.send("over")
    cpu = ours.recv()
    process.join()
    return sorted(taken), cpu / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    print(f"{given.devices} devices at 1 s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, server in (("empty answers", echo), ("simulated building", serve)):
        taken, cores = measure(server, given.devices, given.seconds)
        middle, high = taken[len(taken) // 2] * 1000, taken[int(len(taken) * 0.99)] * 1000
        print(f"{name:20} {len(taken)} answers, median {middle:.2f} ms, 99 % within {high:.2f} ms, {cores:.2f} cores")


if __name__ == "__main__":
    main()
