"""A Modbus TCP server written from the protocol alone, with raw register images and misbehaviour on request."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Collection, Mapping
from types import TracebackType

from building.site import Site

Image = dict[tuple[int, int], int]
"""(table function, address) -> register word, or bit."""

Misbehave = Callable[[bytes, bytes], list[tuple[float, bytes]] | None]
"""(request frame, right answer) -> [(seconds to wait, bytes to send)], or None to be good."""


class MeterServer:
    """Serves ``units`` (unit -> image) on a free loopback port. Addresses outside the image are refused with 2."""

    def __init__(self, units: Mapping[int, Image]) -> None:
        self.units = dict(units)
        self.requests: list[tuple[int, int, int, int]] = []
        self.silent: set[int] = set()
        self.exceptions: dict[int, int] = {}
        self.misbehave: Misbehave = lambda request, answer: None
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> MeterServer:
        await self.open(0)
        return self

    async def open(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shut()

    async def shut(self) -> None:
        """Stop listening and break every connection."""
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()
        await asyncio.gather(*self._serving)

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    @property
    def open_connections(self) -> int:
        return len(self._writers)

    @property
    def serving(self) -> Collection[asyncio.Task[None]]:
        """Our own tasks, one for each connection."""
        return self._serving

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        try:
            while True:
                head = await reader.readexactly(6)
                body = await reader.readexactly(struct.unpack(">H", head[4:])[0])
                answer = self._answer(head, body)
                if answer is None:
                    continue
                for wait, data in self.misbehave(head + body, answer) or [(0.0, answer)]:
                    await asyncio.sleep(wait)
                    writer.write(data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            self._serving.discard(serving)
            writer.close()

    def _answer(self, head: bytes, body: bytes) -> bytes | None:
        unit, function, address, count = struct.unpack(">BBHH", body)
        self.requests.append((unit, function, address, count))
        if unit in self.silent or unit not in self.units:
            return None
        code = self.exceptions.get(unit) or self._refusal(unit, function, address, count)
        if code:
            return frame(head[:2], bytes([unit, function | 0x80, code]))
        content = [self.units[unit][function, address + at] for at in range(count)]
        if function <= 2:
            packed = sum(bit << at for at, bit in enumerate(content)).to_bytes((count + 7) // 8, "little")
        else:
            packed = struct.pack(f">{count}H", *content)
        return frame(head[:2], bytes([unit, function, len(packed)]) + packed)

    def _refusal(self, unit: int, function: int, address: int, count: int) -> int:
        image = self.units[unit]
        return 0 if all((function, address + at) in image for at in range(count)) else 2


def frame(transaction: bytes, body: bytes) -> bytes:
    """``body`` (unit, function, …) with its MBAP header."""
    return transaction + b"\0\0" + struct.pack(">H", len(body)) + body


def image(function: int, address: int, words: str) -> Image:
    """An image from hex words: "4365 A148"."""
    return {(function, address + at): int(word, 16) for at, word in enumerate(words.split())}


def floats(function: int, values: Mapping[int, float], last: int) -> Image:
    """Registers 0 to ``last`` of a meter of big-endian floats; zero where ``values`` says nothing."""
    found = {(function, at): 0 for at in range(last + 1)}
    for address, value in values.items():
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        found[function, address], found[function, address + 1] = high, low
    return found


SDM120 = floats(
    4, {0: 230.5, 6: 1.5, 12: 331.75, 18: 340.25, 24: -62.0, 30: 0.975, 0x46: 50.0, 0x48: 1234.5, 0x4A: 0.25}, 0x4B
)
"""An Eastron SDM120 with numbers that floats hold exactly."""


def site(**content: object) -> Site:
    """A site from the keys of devices.yaml, without the check of references."""
    return Site.model_validate({"version": 1, **content})


def meters(*devices: Mapping[str, object], every: str = "1s", **link: object) -> Site:
    """A site with one Modbus link ``line`` and SDM120 ``devices`` on it, unless they say otherwise."""
    common: dict[str, object] = {"kind": "electricity", "profile": "eastron_sdm120", "link": "line", "every": every}
    return site(
        links=({"id": "line", "modbus": "tcp://127.0.0.1:502", **link},),
        devices=tuple({**common, **device} for device in devices),
    )
