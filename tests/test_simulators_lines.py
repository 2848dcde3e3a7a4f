"""Serial lines, RTU and ASCII over TCP, DL/T 645 and CJ/T 188: read by other people's clients and by hand."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from building.clock import FastClock, ManualClock
from building.document import parse_document
from building.site import Site, build_site
from simulators.faults import Fault, Kind
from simulators.framing import Ascii, Rtu
from simulators.service import Simulation
from tests.parts import need
from tests.simulators_parts import HOUR, at

MORNING = at("2026-07-01 10:00")


def site(link: str, devices: str) -> Site:
    """A small office on one link."""
    text = f"""
zones: [{{id: "1", headcount: 3, area: 40}}, {{id: wc, use: toilet}}]
links: [{{id: bus, {link}}}]
devices:
{devices}
"""
    return build_site(parse_document(text.encode(), "devices.yaml"))


LAMP = (
    "  - {id: lamp, kind: electricity, circuit: sockets, profile: eastron_sdm120, link: bus, unit: 7, "
    'zone: "1", rated_power: 320}'
)


def crc(frame: bytes) -> bytes:
    """CRC-16 by the bitwise definition of the protocol's text."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value, odd = value >> 1, value & 1
            value ^= 0xA001 * odd
    return struct.pack("<H", value)


async def exchange(url: str, frame: bytes, size: int) -> bytes:
    """Send a frame by hand and read ``size`` bytes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(frame)
        return await asyncio.wait_for(reader.readexactly(size), 30)
    finally:
        writer.close()


async def test_mbpoll_reads_a_meter_on_a_serial_line_at_the_pace_of_its_baud_rate() -> None:
    program = need("mbpoll")
    bus = site('modbus: "rtu:///dev/ttyUSB0?baudrate=9600&parity=N"', LAMP)
    async with Simulation(bus, FastClock(MORNING, 1.0)) as served:
        path = urlsplit(served.endpoints["bus"]).path
        command = [program, "-m", "rtu", "-a", "7", "-b", "9600", "-P", "none", "-0", "-r", "12", "-t", "3:float", "-B",
                   "-c", "1", "-1", "-q", path]  # fmt: skip
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert "[12]: \t320" in done.stdout.replace("320.0", "320"), done.stdout + done.stderr
        long = [*command[:-1]]
        long[long.index("-c") + 1] = "38"
        long[long.index("-r") + 1] = "0"
        began = time.monotonic()
        done = await asyncio.to_thread(subprocess.run, [*long, path], capture_output=True, text=True, timeout=60)
        taken = time.monotonic() - began
    assert done.stdout.count("]:") == 38
    on_the_wire = (8 + 5 + 2 * 76) * 11 / 9600
    assert taken >= on_the_wire


async def asked_and_answered(speed: float) -> float:
    """Real seconds that 76 registers take over a bus of 2400 baud by a clock of that speed."""
    bus = site('modbus: "rtu:///dev/ttyUSB0?baudrate=2400"', LAMP)
    async with Simulation(bus, FastClock(MORNING, speed)) as served:
        line = os.open(urlsplit(served.endpoints["bus"]).path, os.O_RDWR | os.O_NOCTTY)
        try:
            request = bytes((7, 4, 0, 0, 0, 76))
            began = time.monotonic()
            os.write(line, request + crc(request))
            answer = b""
            while len(answer) < 5 + 152:
                answer += await asyncio.to_thread(os.read, line, 400)
            taken = time.monotonic() - began
        finally:
            os.close(line)
    assert answer[-2:] == crc(answer[:-2])
    return taken


async def test_a_slow_bus_takes_its_time_and_a_fast_clock_shortens_it() -> None:
    assert await asked_and_answered(1.0) >= 0.7
    assert min([await asked_and_answered(100.0) for _ in range(5)]) <= 0.5  # of five, on a computer that may be busy


@pytest.mark.parametrize("scheme", ["rtu+tcp", "ascii+tcp"])
async def test_frames_over_tcp_carry_their_check_and_noise_before_them_does_no_harm(scheme: str) -> None:
    bus = site(f'modbus: "{scheme}://127.0.0.1:502"', LAMP)
    async with Simulation(bus, ManualClock(MORNING)) as served:
        body = bytes((7, 4, 0, 12, 0, 2))
        if scheme == "rtu+tcp":
            answer = await exchange(served.endpoints["bus"], b"\x00\x31" + body + crc(body), 9)
            assert answer[-2:] == crc(answer[:-2])
            payload = answer[3:7]
        else:
            frame = b":" + (body + bytes((-sum(body) % 256,))).hex().upper().encode() + b"\r\n"
            answer = await exchange(served.endpoints["bus"], b"xx" + frame, 19)
            assert answer[:1] == b":"
            payload = bytes.fromhex(answer[1:-2].decode())[3:7]
        assert struct.unpack(">f", payload)[0] == pytest.approx(320, rel=0.02)


async def test_a_wrong_check_sum_and_a_wrong_unit_go_out_as_such() -> None:
    def faulty(kind: Kind) -> list[Fault]:
        return [Fault(kind, "lamp", MORNING, MORNING + HOUR)]

    body = bytes((7, 4, 0, 12, 0, 2))
    bus = site('modbus: "rtu+tcp://127.0.0.1:502"', LAMP)
    async with Simulation(bus, ManualClock(MORNING), faults=faulty(Kind.WRONG_CRC)) as served:
        answer = await exchange(served.endpoints["bus"], body + crc(body), 9)
        assert answer[-2:] != crc(answer[:-2])
    async with Simulation(bus, ManualClock(MORNING), faults=faulty(Kind.WRONG_UNIT)) as served:
        answer = await exchange(served.endpoints["bus"], body + crc(body), 9)
        assert answer[0] == 8
        assert answer[-2:] == crc(answer[:-2])


CLIENT = r"""
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    modbus_t *line = strcmp(argv[1], "tcp") ? modbus_new_rtu(argv[2], 9600, 'N', 8, 1)
                                            : modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    uint16_t words[2];
    if (line == NULL || modbus_set_slave(line, atoi(argv[3])) || modbus_connect(line)) return 2;
    if (modbus_read_input_registers(line, atoi(argv[4]), 2, words) != 2) return 3;
    printf("%.4f\n", modbus_get_float_abcd(words));
    return 0;
}
"""


async def test_a_libmodbus_client_reads_power_over_tcp_and_rtu(tmp_path: Path) -> None:
    compiler = need("gcc")
    (tmp_path / "client.c").write_text(CLIENT)
    build = [compiler, "client.c", "-I/usr/include/modbus", "-lmodbus", "-o", "client"]
    built = await asyncio.to_thread(subprocess.run, build, cwd=tmp_path, capture_output=True, text=True)
    if built.returncode:
        pytest.skip("libmodbus-dev is missing; as root: apt-get install libmodbus-dev")
    for kind, link in (("tcp", "tcp://127.0.0.1:502"), ("rtu", "rtu:///dev/ttyUSB0?baudrate=9600")):
        async with Simulation(site(f'modbus: "{link}"', LAMP), FastClock(MORNING, 1.0)) as served:
            parts = urlsplit(served.endpoints["bus"])
            where = str(parts.port) if kind == "tcp" else parts.path
            command = [str(tmp_path / "client"), kind, where, "7", "12"]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert float(done.stdout) == pytest.approx(320, rel=0.02)


METER = (
    "  - {id: m, kind: electricity, circuit: sockets, profile: dlt645_single, link: bus, "
    'address: "202301154477", zone: "1", rated_power: 1502}'
)


async def test_a_dlt645_meter_tells_its_energy_power_and_number() -> None:
    bus = site('dlt645: "tcp://127.0.0.1:8001"', METER)
    async with Simulation(bus, ManualClock(MORNING)) as served:
        number = bytes.fromhex("774415012320")

        async def ask(address: bytes, control: int, item: str = "") -> bytes:
            data = bytes((byte + 0x33) % 256 for byte in bytes.fromhex(item)[::-1])
            frame = b"\x68" + address + b"\x68" + bytes((control, len(data))) + data
            frame += bytes((sum(frame) % 256,)) + b"\x16"
            parts = urlsplit(served.endpoints["bus"])
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(b"\xfe\xfe" + frame)
            answer = (await asyncio.wait_for(reader.readuntil(b"\x16"), 30)).lstrip(b"\xfe")
            writer.close()
            assert answer[-2] == sum(answer[:-2]) % 256
            return answer

        energy = await ask(number, 0x11, "00010000")
        assert energy[8] == 0x91
        digits = bytes((byte - 0x33) % 256 for byte in energy[14:18])[::-1].hex()
        assert int(digits) / 100 == pytest.approx(served.building.meters["m"].energy, abs=0.006)
        power = await ask(number, 0x11, "02030000")
        assert bytes((byte - 0x33) % 256 for byte in power[14:17])[::-1].hex() == "015020"  # 1.5020 kW
        assert (await ask(b"\xaa" * 6, 0x13))[1:7] == number
        assert (await ask(number, 0x11, "05060001"))[8] == 0xD1


async def test_a_cjt188_meter_tells_what_has_passed_in_either_order_of_its_identifier() -> None:
    water = '  - {id: w, kind: water, profile: cjt188_water, link: bus, address: "00000020240002", zone: wc}'
    async with Simulation(site('cjt188: "tcp://127.0.0.1:8001"', water), ManualClock(MORNING)) as served:
        shown = served.building.pulses(served.site.device["w"])[0] / 1000
        for item in (b"\x1f\x90", b"\x90\x1f"):
            frame = b"\x68\x10" + bytes.fromhex("02002420000000") + b"\x01\x03" + item + b"\x05"
            frame += bytes((sum(frame) % 256,)) + b"\x16"
            answer = (await exchange(served.endpoints["bus"], frame, 3 + 35))[3:]
            assert answer[9] == 0x81
            assert answer[11:13] == item
            assert int(answer[14:18][::-1].hex()) / 100 == pytest.approx(shown, abs=0.0051)
            assert answer[18] == 0x2C


async def test_a_taken_port_makes_way_for_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        bus = site('modbus: "tcp://127.0.0.1:502"', LAMP)
        async with Simulation(bus, ManualClock(MORNING), first_port=wanted) as served:
            port = urlsplit(served.endpoints["bus"]).port
    assert port is not None
    assert wanted < port < wanted + 200


def test_requests_are_cut_out_of_a_stream_one_by_one() -> None:
    first, second = bytes((7, 4, 0, 12, 0, 2)), bytes((9, 3, 0, 0, 0, 1))
    buffer = bytearray(first + crc(first) + second + crc(second)[:1])
    found = Rtu().take(buffer)
    assert found is not None
    assert (found.unit, found.pdu) == (7, first[1:])
    assert Rtu().take(buffer) is None
    buffer += crc(second)[1:]
    assert Rtu().take(buffer) is not None
    assert Ascii().take(bytearray(b":0704000C0002")) is None
