"""200 Modbus devices of 30 points at one second each: polls missed, CPU, memory; and CPU per point beside pymodbus.

    python benchmarks/modbus_poll.py [--seconds 30] [--devices 200]

The devices are served by another process, a lean asyncio server of this file. The ratio to pymodbus's own async client,
driven in a loop over the same registers in the same run, stands first.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import struct
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pymodbus.client import AsyncModbusTcpClient

from building.clock import SystemClock
from building.site import Device, Link, Site
from collector.decoding import Decoder
from collector.links.modbus_tcp import ModbusTcpLink
from collector.planning import limits_of, plan, points_of
from collector.profiles import Profile, RegisterPoint
from collector.service import Collector
from collector.stream import Stream

POINTS = 30
NAMES = [f"{name}_l{phase}" for name in ("voltage", "current", "active_power", "reactive_power", "apparent_power",
                                         "power_factor") for phase in (1, 2, 3)]  # fmt: skip
NAMES += ["voltage", "current", "active_power", "reactive_power", "apparent_power", "power_factor", "frequency"]
NAMES += ["energy_import", "energy_export", "volume", "temperature", "humidity"]
VALUES = [50.0 if name == "frequency" else 0.5 for name in NAMES]
PAYLOAD = struct.pack(f">{POINTS}f", *VALUES)


class Meter(asyncio.Protocol):
    """Answers every read with the same 60 registers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        data = self._kept + data
        while len(data) >= 12:
            head, unit, function = data[:2], data[6], data[7]
            body = bytes([unit, function, len(PAYLOAD)]) + PAYLOAD
            self._transport.write(head + struct.pack(">HH", 0, len(body)) + body)
            data = data[12:]
        self._kept = data


def serve(pipe: Connection, count: int) -> None:
    """Listen on ``count`` free ports, tell them, serve until the pipe closes."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Meter, "127.0.0.1", 0) for _ in range(count)]
        pipe.send([server.sockets[0].getsockname()[1] for server in servers])
        await loop.run_in_executor(None, pipe.poll, None)

    asyncio.run(main())


def profile() -> Profile:
    rows = tuple(
        RegisterPoint.model_validate({"quantity": name, "address": 2 * at, "type": "f32", "table": "input"})
        for at, name in enumerate(NAMES)
    )
    return Profile(title="bench", source="this file", protocol="modbus", registers=rows)


async def collect(ports: list[int], seconds: float) -> dict[str, float]:
    """The whole collector on one link per device, for ``seconds``; CPU from when every device has answered once."""
    links = tuple(Link(id=f"l{n}", modbus=f"tcp://127.0.0.1:{port}") for n, port in enumerate(ports))
    device = {"kind": "electricity", "profile": "eastron_sdm120", "unit": 1, "every": "1s"}
    devices = tuple(Device.model_validate({**device, "id": f"d{n}", "link": f"l{n}"}) for n in range(len(ports)))
    stream = Stream()
    subscription = stream.subscribe("bench")
    collector = Collector(Site(links=links, devices=devices), SystemClock(), stream)
    page = profile()
    for one in collector._plans:  # the bench's own 30 points in place of a real meter's page
        one.known[:] = [(known, page, health) for known, _, health in one.known]
    readings = values = 0
    async with collector:
        seen: set[str] = set()
        while len(seen) < len(ports):  # what comes until everyone has answered does not count
            seen |= {reading.device for reading in await subscription.__anext__()}
        due = sum(health.due for health in collector.health().devices.values())
        began, cpu = time.monotonic(), time.process_time()
        while (left := seconds - (time.monotonic() - began)) > 0:
            try:
                batch = await asyncio.wait_for(subscription.__anext__(), left)
            except TimeoutError:
                break
            readings += len(batch)
            values += sum(len(reading.values) for reading in batch)
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
        healths = collector.health().devices.values()
        return {
            "polls": sum(health.due for health in healths) - due,
            "missed": sum(health.missed for health in healths),
            "errors": sum(health.errors.total() for health in healths),
            "readings": readings,
            "values": values,
            "share": cpu / wall,
            "cpu_us_per_point": 1e6 * cpu / max(1, values),
        }


async def loop_of(ports: list[int], rounds: int, kind: str) -> float:
    """CPU us per point of reading every device ``rounds`` times, in a loop: ours or pymodbus's client alone."""
    device = Device(id="d", kind="electricity", unit=1)
    page = profile()
    blocks = plan(points_of(page, device), limits_of(page))
    decoder = Decoder(page, device, blocks)

    async def ours(port: int) -> None:
        link = ModbusTcpLink("127.0.0.1", port)
        for _ in range(rounds):
            data = await link.read(1, 4, blocks[0].address, blocks[0].length)
            values, flaws = decoder.decode([data])
            assert len(values) == POINTS, flaws
        await link.close()

    async def theirs(port: int) -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0)
        await client.connect()
        for _ in range(rounds):
            answer = await client.read_input_registers(0, count=2 * POINTS, device_id=1)
            values = client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)
            assert isinstance(values, list)
            assert len(values) == POINTS
        client.close()

    cpu = time.process_time()
    await asyncio.gather(*((ours if kind == "ours" else theirs)(port) for port in ports))
    return 1e6 * (time.process_time() - cpu) / (len(ports) * rounds * POINTS)


def decode_cost() -> float:
    """CPU us of decoding one answer of 60 registers."""
    device, page = Device(id="d", kind="electricity", unit=1), profile()
    decoder = Decoder(page, device, plan(points_of(page, device), limits_of(page)))
    cpu = time.process_time()
    for _ in range(20_000):
        decoder.decode([PAYLOAD])
    return 1e6 * (time.process_time() - cpu) / 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--devices", type=int, default=200)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there, options.devices), daemon=True)
    server.start()
    ports = here.recv()
    whole = asyncio.run(collect(ports, options.seconds))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rounds = [(asyncio.run(loop_of(ports, 10, "theirs")), asyncio.run(loop_of(ports, 10, "ours"))) for _ in range(3)]
    theirs, ours = (sorted(column)[1] for column in zip(*rounds, strict=True))
    here.send("done")
    server.join(5)
    print(f"pymodbus alone / ours, CPU per point, {options.devices} devices in a loop   {theirs / ours:6.2f}")
    print(f"  pymodbus async client, converted                           {theirs:6.2f} us/point")
    print(f"  our link on pymodbus, checked, decoded, plausible          {ours:6.2f} us/point")
    print(f"  decoding alone, 60 registers                               {decode_cost():6.2f} us/answer")
    print(f"the collector, {options.devices} devices x {POINTS} points at 1 s for {options.seconds:g} s")
    print(
        f"  polls missed                                               {whole['missed']:6.0f} of {whole['polls']:.0f}"
    )
    print(f"  errors                                                     {whole['errors']:6.0f}")
    print(
        f"  readings (values)                                          {whole['readings']:6.0f} ({whole['values']:.0f})"
    )
    print(f"  share of one core                                          {100 * whole['share']:6.1f} %")
    print(f"  CPU per point                                              {whole['cpu_us_per_point']:6.2f} us")
    print(f"  memory at most                                             {memory:6.0f} MiB")


if __name__ == "__main__":
    main()
