"""A serial line of many meters, on a pty: what goes wrong with one costs the others nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import struct
import tty
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from building.clock import SystemClock
from building.endpoints import parse_endpoint
from building.errors import BadFrame, LinkDown, MeterRefused, NoAnswer
from building.readings import Grade, Reading
from collector.links.modbus import ModbusLink
from collector.links.opening import modbus_link
from collector.service import Collector
from collector.stream import Stream, Subscription
from tests.bus_parts import RtuBus, crc
from tests.parts import eventually, missing, need
from tests.wire_parts import SDM120, Image, floats, meters

HERE = Path(__file__).parent


def meter(unit: int) -> Image:
    """An SDM120 whose every value tells which unit it is."""
    return floats(
        4,
        {0: 200.0 + unit, 6: unit / 8, 12: 100.0 * unit, 18: 100.0 * unit + 8, 24: -62.0, 30: 0.5, 0x46: 50.0,
         0x48: 1000.0 + unit, 0x4A: 0.25},
        0x4B,
    )  # fmt: skip


def said(unit: int) -> dict[str, float]:
    return {"voltage": 200.0 + unit, "active_power": 100.0 * unit, "energy_import": 1000.0 + unit, "frequency": 50.0}


def link_to(bus: RtuBus, *, timeout: float = 1.0) -> ModbusLink:
    return modbus_link(parse_endpoint("modbus", bus.url), timeout=timeout)


async def test_thirty_meters_at_9600_baud_keep_their_rate_while_five_of_them_make_trouble() -> None:
    """Three silent, one refusing a register, one answering too late: nothing of the other 26 is lost."""
    period, seconds, units = 5.0, 25.0, range(1, 31)
    silent, refusing, late = {4, 15, 27}, 9, 20
    images = {unit: meter(unit) for unit in units}
    images[refusing] = {key: word for key, word in images[refusing].items() if key not in ((4, 24), (4, 25))}
    site = meters(*({"id": f"m{unit}", "unit": unit} for unit in units), every="5s", timeout="300ms")
    stream = Stream()
    subscription = stream.subscribe("test")
    found: list[Reading] = []
    async with RtuBus(images) as bus:
        bus.silent, bus.late = silent, {late: 0.45}
        async with Collector(site, SystemClock(), stream, endpoints={"line": bus.url}) as collector:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    async for batch in subscription:
                        found += batch
        health = collector.health()
    good = [unit for unit in units if unit not in silent and unit != late]
    rates = Counter(reading.device for reading in found if reading.values)
    kept = sum(rates[f"m{unit}"] for unit in good) / (len(good) * seconds / period)
    print(f"26 good meters kept {kept:.1%} of their rate; {len(found)} readings in {seconds:g} s")
    assert kept >= 0.95, f"{kept:.1%} of the rate"
    assert min(rates[f"m{unit}"] for unit in good) >= seconds / period - 1
    for reading in found:
        unit = int(reading.device[1:])
        assert not reading.values or unit not in silent
        for name, value in reading.values.items():
            assert value == said(unit).get(name, value), (reading.device, name)
        if unit in good:
            wanted = 8 if unit == refusing else 9
            assert len(reading.values) == wanted, f"a good point of {reading.device} is lost"
    refused = [reading for reading in found if reading.device == f"m{refusing}"]
    assert all(reading.quality.of("reactive_power") is Grade.BAD for reading in refused)
    assert "reactive_power" in health.devices[f"m{refusing}"].refused[0]
    for unit in silent:
        assert sum(reading.device == f"m{unit}" for reading in found) == 1, "a silence is told once"
    assert health.links["line"].down_since is None


# -- RTU on a pty -----------------------------------------------------------------------------------------------------


async def test_registers_come_over_a_serial_port_as_the_meter_sent_them() -> None:
    async with RtuBus({1: SDM120}, baudrate=0) as bus:
        link = link_to(bus)
        assert (await link.read(1, 4, 0, 2)).hex() == "43668000"
        with pytest.raises(MeterRefused) as refused:
            await link.read(1, 4, 1000, 2)
        assert refused.value.code == 2
        with pytest.raises(NoAnswer):
            await link.read(2, 4, 0, 2)
        await link.close()


async def test_an_answer_is_found_behind_noise_and_an_echo_of_the_question() -> None:
    async with RtuBus({1: SDM120}, baudrate=0) as bus:
        link = link_to(bus)
        bus.noise, bus.echo = bytes([0x00, 0x01, 0x04, 0xFF, 0x01]), True
        assert (await link.read(1, 4, 0, 2)).hex() == "43668000"
        await link.close()


async def test_a_late_answer_of_one_meter_is_not_taken_for_that_of_the_next() -> None:
    async with RtuBus({1: meter(1), 2: meter(2)}, baudrate=0) as bus:
        bus.late = {1: 1.3}  # while the other is waited for
        link = link_to(bus, timeout=1.0)
        with pytest.raises(NoAnswer):
            await link.read(1, 4, 0, 2)
        bus.late = {2: 0.5}
        assert await link.read(2, 4, 0, 2) == crc_free(meter(2), 0, 2)
        await link.close()


def crc_free(image: Image, address: int, count: int) -> bytes:
    return b"".join(image[4, address + at].to_bytes(2, "big") for at in range(count))


async def test_bytes_with_a_wrong_check_sum_are_told_as_line_trouble() -> None:
    async with RtuBus({}, baudrate=0) as bus:
        bus._asked = lambda frame: bus._say(bytes.fromhex("01 04 04 43 66 80 00 FF FF"))  # type: ignore[method-assign]
        link = link_to(bus)
        with pytest.raises(BadFrame, match="check baud rate, parity and wiring"):
            await link.read(1, 4, 0, 2)
        await link.close()


async def test_an_answer_of_another_unit_is_told_with_its_number() -> None:
    async with RtuBus({}, baudrate=0) as bus:
        body = bytes.fromhex("07 04 04 43 66 80 00")
        bus._asked = lambda frame: bus._say(body + crc(body))  # type: ignore[method-assign]
        link = link_to(bus)
        with pytest.raises(BadFrame, match="unit 7 answered in place of unit 1"):
            await link.read(1, 4, 0, 2)
        await link.close()


async def test_a_port_that_is_not_there_or_in_use_is_told_with_the_way_out(tmp_path: Path) -> None:
    nowhere = modbus_link(parse_endpoint("modbus", f"rtu://{tmp_path}/ttyUSB7"), timeout=1.0)
    with pytest.raises(LinkDown, match="is not there; check the plug"):
        await nowhere.read(1, 4, 0, 2)
    async with RtuBus({1: SDM120}, baudrate=0) as bus:
        first, second = link_to(bus), link_to(bus)
        await first.read(1, 4, 0, 2)
        with pytest.raises(LinkDown, match="does another program hold it"):
            await second.read(1, 4, 0, 2)
        await first.close()


async def _until(subscription: Subscription, *, values: bool) -> Reading:
    async with asyncio.timeout(60):
        while True:
            for reading in await subscription.__anext__():
                if bool(reading.values) is values:
                    return reading


async def test_a_serial_port_that_vanishes_and_comes_back_is_one_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = tmp_path / "ttyUSB0"
    site = meters({"id": "a", "unit": 1}, {"id": "b", "unit": 2}, every="200ms")
    stream = Stream()
    subscription = stream.subscribe("test")
    async with RtuBus({1: meter(1), 2: meter(2)}, baudrate=0) as bus:
        port.symlink_to(bus.path)
        async with Collector(site, SystemClock(), stream, endpoints={"line": f"rtu://{port}"}) as collector:
            await _until(subscription, values=True)
            port.unlink()
            bus.pull_out()
            silence = await _until(subscription, values=False)
            assert "the serial port" in silence.quality.reason
            bus.plug_in()
            port.symlink_to(bus.path)
            await _until(subscription, values=True)
            await eventually(lambda: collector.health().links["line"].down_since is None, "the line")
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text.split(":")[0] for text in told] == ["link line is down", told[1]]
    assert told[1].startswith("link line is back after ")


# -- RTU over TCP, ASCII ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["rtu+tcp", "ascii+tcp"])
async def test_a_serial_server_that_passes_frames_on_is_spoken_to_in_its_framing(scheme: str) -> None:
    """The answers are written out by hand: 230.5 V as ABCD, with CRC and LRC computed from the specification."""
    answers = {
        "rtu+tcp": bytes.fromhex("01 04 04 43 66 80 00") + crc(bytes.fromhex("01 04 04 43 66 80 00")),
        "ascii+tcp": b":010404436680" + b"00" + f"{-(1 + 4 + 4 + 0x43 + 0x66 + 0x80) & 0xFF:02X}".encode() + b"\r\n",
    }
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            asked.append(data)
            for piece in (answers[scheme][:4], answers[scheme][4:]):
                writer.write(piece)
                await writer.drain()
            if len(asked) == 2:
                break  # the server closes the idle socket
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = modbus_link(parse_endpoint("modbus", f"{scheme}://127.0.0.1:{port}"), timeout=10)
    for _ in range(3):
        assert (await link.read(1, 4, 0, 2)).hex() == "43668000"
        await asyncio.sleep(0)
    await link.close()
    server.close()
    await server.wait_closed()
    expected = {"rtu+tcp": bytes.fromhex("01 04 00 00 00 02 71 CB"), "ascii+tcp": b":010400000002F9\r\n"}
    assert set(asked) == {expected[scheme]}


# -- independent peers ------------------------------------------------------------------------------------------------


@contextmanager
def null_modem() -> Iterator[tuple[str, str]]:
    """Two serial ports whose bytes cross over."""
    loop = asyncio.get_running_loop()
    (one, other), (near, far) = os.openpty(), os.openpty()
    for port in (other, far):
        tty.setraw(port)
    for here, there in ((one, near), (near, one)):
        loop.add_reader(here, lambda here=here, there=there: os.write(there, os.read(here, 4096)))  # type: ignore[misc]
    yield os.ttyname(other), os.ttyname(far)
    for number in (one, near):
        loop.remove_reader(number)
    for number in (one, near, other, far):
        os.close(number)


async def test_registers_of_a_libmodbus_server_on_a_pty_are_read(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or missing("gcc is missing; as root: apt-get install gcc libmodbus-dev")
    program = tmp_path / "server"
    source = HERE / "peers" / "libmodbus_rtu_server.c"
    built = await asyncio.create_subprocess_exec(compiler, "-o", program, source, "-lmodbus")
    if await built.wait():
        missing("libmodbus is missing; as root: apt-get install libmodbus-dev")
    with null_modem() as (ours, theirs):
        server = await asyncio.create_subprocess_exec(program, theirs, stdout=asyncio.subprocess.PIPE)
        assert server.stdout is not None
        assert await server.stdout.readline() == b"ready\n"
        link = modbus_link(parse_endpoint("modbus", f"rtu://{ours}?baudrate=9600&parity=E"), timeout=10)
        try:
            assert (await link.read(17, 3, 0, 2)).hex() == "43668000"
            with pytest.raises(MeterRefused) as refused:
                await link.read(17, 3, 60, 10)
            assert refused.value.code == 2
        finally:
            await link.close()
            server.kill()
            await server.wait()


async def test_registers_of_a_pymodbus_server_in_ascii_are_read_over_a_pty() -> None:
    """libmodbus and mbpoll know no ASCII; pymodbus's server does, and frames and checks by itself."""
    with null_modem() as (ours, theirs):
        meter_17 = SimDevice(id=17, simdata=[SimData(100, values=[230.5, -12.25], datatype=DataType.FLOAT32)])
        server = ModbusSerialServer([meter_17], framer=FramerType.ASCII, port=theirs, baudrate=9600)
        await server.serve_forever(background=True)
        link = modbus_link(parse_endpoint("modbus", f"ascii://{ours}?baudrate=9600&parity=E"), timeout=10)
        try:
            assert struct.unpack(">2f", await link.read(17, 3, 100, 4)) == (230.5, -12.25)
            with pytest.raises(MeterRefused) as refused:
                await link.read(17, 3, 6000, 2)
            assert refused.value.code == 2
        finally:
            await link.close()
            await server.shutdown()


async def test_the_emulated_bus_is_one_that_mbpoll_can_read() -> None:
    """The witness of the tests above is itself checked by an independent master."""
    mbpoll = need("mbpoll")
    async with RtuBus({3: meter(3)}) as bus:
        command = [mbpoll, "-m", "rtu", "-b", "9600", "-P", "none", "-a", "3", "-t", "3:float", "-B", "-r", "1", "-1",
                   "-c", "1", "-o", "2", bus.path]  # fmt: skip
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    assert "203" in out.decode().split("[1]:")[1]


def test_a_pty_is_what_these_tests_think_it_is() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.write(master, b"\x00\x03\x11\x13\xff")
    assert os.read(slave, 10) == b"\x00\x03\x11\x13\xff"
    os.close(slave)
    os.close(master)
