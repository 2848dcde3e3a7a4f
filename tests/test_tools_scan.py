"""scan as a process: Ctrl-C shows what was found so far, and a serial port is tried at the usual rates."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from tests.item_parts import ItemPty
from tests.wire_parts import SDM120, Image, MeterServer


async def test_a_stopped_scan_shows_what_it_has_found(tmp_path: Path) -> None:
    async with MeterServer({1: SDM120}) as server:
        arguments = ("scan", server.url, "--units", "1-200", "--timeout", "2")
        scanning = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "greenwarden", *arguments, "--site", str(tmp_path / "devices.yaml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        async with asyncio.timeout(120):
            while not any(request[0] == 2 for request in server.requests):  # unit 1 is done, 2 is being asked
                await asyncio.sleep(0.05)
            scanning.send_signal(signal.SIGINT)
            output, _ = await scanning.communicate()
    text = output.decode()
    assert "eastron_sdm120" in text
    assert "Stopped" in text
    assert "Traceback" not in text
    assert scanning.returncode == 130


def rtu(held: Image, unit: int) -> Callable[[bytes], bytes]:
    """A meter on a serial line: register reads with a CRC-16, silence for other units."""

    def crc(data: bytes) -> bytes:
        value = 0xFFFF
        for byte in data:
            value ^= byte
            for _ in range(8):
                value = value >> 1 ^ (0xA001 if value & 1 else 0)
        return value.to_bytes(2, "little")

    def answer(question: bytes) -> bytes:
        who, function, address, count = struct.unpack(">BBHH", question[:6])
        if who != unit or crc(question[:-2]) != question[-2:]:
            return b""
        wanted = [held.get((function, address + at)) for at in range(count)]
        if None in wanted:
            told = bytes([unit, function | 0x80, 2])
        else:
            told = bytes([unit, function, 2 * count]) + struct.pack(f">{count}H", *wanted)
        return told + crc(told)

    return answer


async def test_a_serial_port_is_scanned_at_the_usual_rates_and_the_one_that_works_is_told(tmp_path: Path) -> None:
    with ItemPty(rtu(SDM120, 2)) as port:
        arguments = ("scan", f"rtu://{port.path}", "--units", "1-3", "--timeout", "1", "--json")
        scanning = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "greenwarden", *arguments, "--site", str(tmp_path / "devices.yaml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(180):
            output, _ = await scanning.communicate()
    (found,) = json.loads(output)["found"]
    assert found["where"] == "unit 2 at 9600 N"
    assert found["profile"] == "eastron_sdm120"
