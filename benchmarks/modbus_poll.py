"""Modbus TCP polling: CPU per point beside pymodbus and ThingsBoard gateway, requests in flight, the whole collector.

    python benchmarks/modbus_poll.py [--seconds 30] [--devices 200] [--thingsboard PYTHON]

The devices are served by another process, a lean server of this file. The ratios to peers that read the same
registers in the same run stand first. For ThingsBoard gateway see thingsboard_modbus.py.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import select
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pymodbus.client import AsyncModbusTcpClient

from building.clock import SystemClock
from building.site import Device, Link, Site
from collector.decoding import Decoder
from collector.links.modbus_tcp import ModbusTcpLink
from collector.planning import Block, limits_of, plan, points_of
from collector.profiles import Profile, RegisterPoint
from collector.service import Collector
from collector.stream import Stream

POINTS = 30
ROUNDS = 100
SLOW_S = 0.005
NAMES = [f"{name}_l{phase}" for name in ("voltage", "current", "active_power", "reactive_power", "apparent_power",
                                         "power_factor") for phase in (1, 2, 3)]  # fmt: skip
NAMES += ["voltage", "current", "active_power", "reactive_power", "apparent_power", "power_factor", "frequency"]
NAMES += ["energy_import", "energy_export", "volume", "temperature", "humidity"]
VALUES = [50.0 if name == "frequency" else 230.5 if "voltage" in name else 0.5 for name in NAMES]
PAYLOAD = struct.pack(f">{POINTS}f", *VALUES)


class SlowMeter(asyncio.Protocol):
    """Answers every read with as many registers as it asks for, each SLOW_S seconds after the question."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        while len(data) >= 12:
            asyncio.get_running_loop().call_later(SLOW_S, self._transport.write, answer_to(data))
            data = data[12:]


def answer_to(question: bytes) -> bytes:
    size = 2 * int.from_bytes(question[10:12], "big")
    return question[:2] + struct.pack(">HHBBB", 0, size + 3, question[6], question[7], size) + (2 * PAYLOAD)[:size]


def serve_quickly(pipe: Connection, count: int) -> None:
    """Listen on ``count`` free ports and tell them; answer at once, with little more than two system calls."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    pipe.send([listener.getsockname()[1] for listener in listeners])
    poll = select.epoll()
    new = {listener.fileno(): listener for listener in listeners}
    clients: dict[int, socket.socket] = {}
    for number in (*new, pipe.fileno()):
        poll.register(number, select.EPOLLIN)
    idle = 0
    while True:
        # Waking a sleeper would cost the client more than the question: stay awake a moment.
        ready = poll.poll(0 if idle < 500 else None)
        idle = 0 if ready else idle + 1
        for number, _ in ready:
            if number in clients:
                client = clients[number]
                try:
                    data = client.recv(4096)
                except ConnectionResetError:
                    data = b""
                if data:
                    client.send(b"".join(answer_to(data[at:]) for at in range(0, len(data), 12)))
                else:
                    poll.unregister(number)
                    clients.pop(number).close()
            elif number in new:
                client, _ = new[number].accept()
                clients[client.fileno()] = client
                poll.register(client.fileno(), select.EPOLLIN)
            else:
                return  # the pipe spoke


def serve_slowly(pipe: Connection) -> None:
    """Listen on one free port for the meter that takes its time, and tell it."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(SlowMeter, "127.0.0.1", 0)
        pipe.send([server.sockets[0].getsockname()[1]])
        await asyncio.get_running_loop().run_in_executor(None, pipe.poll, None)

    asyncio.run(main())


@contextmanager
def served(serve: Callable[..., None], *arguments: int) -> Iterator[list[int]]:
    """Ports that a process of its own serves."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, *arguments), daemon=True)
    server.start()
    yield here.recv()
    here.send("done")
    server.join(5)


def profile(gap: int = 0) -> Profile:
    """A page of 30 floats in ten groups of three, with ``gap`` registers between the groups."""
    rows = tuple(
        RegisterPoint.model_validate(
            {"quantity": name, "address": 2 * at + gap * (at // 3), "type": "f32", "table": "input"}
        )
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


class Plan(NamedTuple):
    """What a device of 30 points needs: made once, at the start of a program."""

    blocks: tuple[Block, ...]
    decoder: Decoder

    @classmethod
    def with_gaps_of(cls, gap: int) -> Plan:
        device, page = Device(id="d", kind="electricity", unit=1), profile(gap)
        blocks = plan(points_of(page, device), limits_of(page))
        return cls(blocks, Decoder(page, device, blocks))


PLANS = {gap: Plan.with_gaps_of(gap) for gap in (0, 4)}


async def ours(port: int, gap: int) -> None:
    """Read a device many times: planned, decoded, checked for plausibility."""
    blocks, decoder = PLANS[gap]
    link = ModbusTcpLink("127.0.0.1", port)
    for _ in range(ROUNDS):
        answers = []
        for block in blocks:
            answers.append(await link.read(1, block.function, block.address, block.length))
        values, flaws = decoder.decode(answers)
        assert len(values) == POINTS, flaws
        del answers, values, flaws  # handed on, and not kept while the next answer is waited for
    await link.close()


async def pymodbus(port: int, gap: int) -> None:
    """The same by pymodbus's asyncio client: one request for each group when there are gaps between them."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0)
    await client.connect()
    blocks = [(at * (6 + gap), 6) for at in range(10)] if gap else [(0, 2 * POINTS)]
    for _ in range(ROUNDS):
        count = 0
        for address, length in blocks:
            answer = await client.read_input_registers(address, count=length, device_id=1)
            values = client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)
            assert isinstance(values, list)
            count += len(values)
            del answer, values  # as with ours
        assert count == POINTS
    client.close()


def cost(reader: Callable[[int, int], Coroutine[Any, Any, None]], ports: list[int], gap: int = 0) -> float:
    """CPU us per point of reading every device many times, all at once."""

    async def all_of_them() -> None:
        await asyncio.gather(*(reader(port, gap) for port in ports))

    cpu = time.process_time()
    asyncio.run(all_of_them())
    return 1e6 * (time.process_time() - cpu) / (len(ports) * ROUNDS * POINTS)


async def latency(port: int, in_flight: int) -> float:
    """Seconds for a cycle of 12 requests to the slow meter; the median of 20."""
    link = ModbusTcpLink("127.0.0.1", port, in_flight=in_flight)
    took = []
    for _ in range(20):
        began = time.monotonic()
        await asyncio.gather(*(link.read(1, 4, 200 * at, 6) for at in range(12)))
        took.append(time.monotonic() - began)
    await link.close()
    return statistics.median(took)


def thingsboard(python: str, ports: list[int], seconds: float) -> float:
    """CPU us per point of ThingsBoard gateway's connector, run by a Python that has it."""
    command = [python, str(Path(__file__).with_name("thingsboard_modbus.py")), str(seconds), str(POINTS)]
    ran = subprocess.run([*command, *map(str, ports)], capture_output=True, text=True, check=True, timeout=seconds + 60)
    return float(ran.stdout.split()[-2])


def decode_cost() -> float:
    """CPU us of decoding one answer of 60 registers."""
    cpu = time.process_time()
    for _ in range(20_000):
        PLANS[0].decoder.decode([PAYLOAD])
    return 1e6 * (time.process_time() - cpu) / 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="how long the whole collector runs")
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--thingsboard", metavar="PYTHON", help="a Python that has thingsboard-gateway 3.8")
    options = parser.parse_args()
    with served(serve_quickly, options.devices) as ports, served(serve_slowly) as (slow,):
        whole = asyncio.run(collect(ports, options.seconds))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        runs = [[cost(pymodbus, ports), cost(ours, ports), cost(pymodbus, ports[:20], 4), cost(ours, ports[:20], 4)]
                for _ in range(3)]  # fmt: skip
        theirs, mine, their_blocks, my_blocks = (sorted(column)[1] for column in zip(*runs, strict=True))
        one, four = asyncio.run(latency(slow, 1)), asyncio.run(latency(slow, 4))
        gateway = thingsboard(options.thingsboard, ports, 10) if options.thingsboard else None
    rows = [
        (f"{options.devices} devices x {POINTS} contiguous floats, CPU per point", theirs / mine, 4),
        ("30 floats in ten groups, CPU per point", their_blocks / my_blocks, 8),
        ("a meter of 5 ms, 12 requests: in_flight 4 beside 1, time", one / four, 3.5),
    ]
    print("ratios, in one run                                                  ratio   goal")
    for name, ratio, goal in rows:
        print(f"  pymodbus / ours: {name:<50}{ratio:6.1f}   {goal:g}" if "beside" not in name
              else f"  {name:<67}{ratio:6.1f}   {goal:g}")  # fmt: skip
    if gateway is not None:
        print(f"  {'thingsboard-gateway 3.8 / ours: the same points, CPU per point':<67}{gateway / mine:6.1f}   40")
        print(f"  {'thingsboard-gateway 3.8 / our whole collector':<67}{gateway / whole['cpu_us_per_point']:6.1f}")
    print("microseconds of CPU per point")
    print(f"  pymodbus async client in a loop, contiguous / in ten groups      {theirs:6.2f} / {their_blocks:6.2f}")
    print(f"  ours, planned, decoded, plausible, contiguous / in ten groups    {mine:6.2f} / {my_blocks:6.2f}")
    if gateway is not None:
        print(f"  thingsboard-gateway 3.8, poll to storage                         {gateway:6.2f}")
    print(f"  our whole collector, schedule to stream                          {whole['cpu_us_per_point']:6.2f}")
    print(f"  (decoding alone, an answer of 60 registers: {decode_cost():.2f} us)")
    print(f"the collector, {options.devices} devices x {POINTS} points at 1 s for {options.seconds:g} s")
    print(f"  polls missed  {whole['missed']:.0f} of {whole['polls']:.0f};  errors {whole['errors']:.0f}")
    print(f"  readings      {whole['readings']:.0f} ({whole['values']:.0f} values)")
    print(f"  one core      {100 * whole['share']:.1f} %;  memory at most {memory:.0f} MiB")


if __name__ == "__main__":
    main()
