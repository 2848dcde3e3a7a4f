"""The network is cut, slowed, torn and swallowed in the middle of answers: no value is wrong, none is made up."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.storing.embedded import DATABASE
from collector.storing.stored import StoredReadings
from tests.faults.process import PATIENCE, Running
from tests.faults.proxy import Fault, Proxy

SITE = """
version: 1
site: {{name: Town hall, language: en}}
links:
  - {{id: gateway, modbus: "tcp://127.0.0.1:{port}", timeout: 200ms}}
devices:
  - {{id: meter, kind: electricity, profile: eastron_sdm120, link: gateway, unit: 1, every: 100ms}}
"""


class Meter:
    """An SDM120 of our own making: every register pair holds the same f32, one higher with each request.

    A value torn from two answers would be a number that was never served; ``served`` holds all that were.
    """

    def __init__(self) -> None:
        self.served: set[float] = set()
        self._number = 45.0  # plausible as volts, amperes, hertz and percent alike

    async def __aenter__(self) -> Meter:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(6)
                body = await reader.readexactly(int.from_bytes(head[4:6], "big"))
                count = int.from_bytes(body[4:6], "big")
                self._number += 0.0625
                self.served.add(self._number)
                data = (struct.pack(">f", self._number) * count)[: 2 * count]
                if int.from_bytes(body[2:4], "big") % 2:
                    data = data[2:] + data[:2]  # a block may begin in the middle of a pair of ours
                answer = body[:2] + bytes([2 * count]) + data
                writer.write(head[:4] + len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
async def meter() -> AsyncIterator[Meter]:
    async with Meter() as made:
        yield made


def volts(folder: Path) -> list[float]:
    path = folder / "data" / DATABASE
    if not path.exists():
        return []
    with StoredReadings(path) as stored:
        return [float(value) for value in stored.read("meter", "voltage", 0, 1 << 62)[1]]


@pytest.mark.parametrize("fault", ["cut", "delay", "trickle", "reset", "swallow"])
async def test_a_hurt_connection_gives_no_wrong_value_and_readings_go_on_when_it_heals(
    fault: Fault, meter: Meter, tmp_path: Path
) -> None:
    async with Proxy(meter.port) as proxy:
        (tmp_path / "devices.yaml").write_text(SITE.format(port=proxy.port))
        async with Running(tmp_path / "devices.yaml") as program:
            await program.said("running; stop with")
            await _more(tmp_path, 5)
            for _ in range(3):
                proxy.fault = fault
                await asyncio.sleep(0.5)
                proxy.fault = "none"
                await _more(tmp_path, len(await asyncio.to_thread(volts, tmp_path)) + 3)
            assert "Traceback" not in program.output
    found = volts(tmp_path)
    assert len(found) == len(set(found))
    assert set(found) <= meter.served


async def _more(folder: Path, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(await asyncio.to_thread(volts, folder)) < count:
            await asyncio.sleep(0.05)
