"""DL/T 645 and CJ/T 188 meters for tests, written from the standards' frames alone, on a loopback socket or a pty."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable, Mapping
from types import TracebackType

Answering = Callable[[bytes], bytes]
"""Bytes of one question -> bytes to send back, empty for silence."""


def dlt645_frame(address: str, control: int, data: bytes) -> bytes:
    """68 A0..A5 68 C L data+33 CS 16."""
    body = b"\x68" + bytes.fromhex(address)[::-1] + b"\x68" + bytes([control, len(data)])
    body += bytes((one + 0x33) % 256 for one in data)
    return body + bytes([sum(body) % 256]) + b"\x16"


def cjt188_frame(kind: int, address: str, control: int, data: bytes) -> bytes:
    """68 T A0..A6 CTR L data CS 16."""
    body = bytes([0x68, kind]) + bytes.fromhex(address)[::-1] + bytes([control, len(data)]) + data
    return body + bytes([sum(body) % 256]) + b"\x16"


def _wild(address: bytes, asked: bytes) -> bool:
    return all(two in (0xAA, one) for one, two in zip(address, asked, strict=True))


def dlt645_meters(*meters: tuple[str, Mapping[str, str]]) -> Answering:
    """Meters (number, {item: data in hex, lowest byte first}); several that answer at once collide."""

    def answer(question: bytes) -> bytes:
        at = question.index(0x68)
        asked, control = question[at + 1 : at + 7], question[at + 8]
        data = bytes((one - 0x33) % 256 for one in question[at + 10 : -2])
        told = []
        for number, items in meters:
            own = bytes.fromhex(number)[::-1]
            if not _wild(own, asked):
                continue
            if control == 0x13:
                told.append(dlt645_frame(number, 0x93, own))
                continue
            item = data[:4][::-1].hex().upper()
            if item in items:
                told.append(dlt645_frame(number, 0x91, data[:4] + bytes.fromhex(items[item])))
            else:
                told.append(dlt645_frame(number, 0xD1, b"\x02"))
        if len(told) < 2:
            return b"".join(b"\xfe\xfe" + one for one in told)
        return bytes(one & two for one, two in zip(told[0], told[1], strict=False))

    return answer


def cjt188_meter(kind: int, number: str, total: str, *, turned: bool = False) -> Answering:
    """A water meter whose 901F data is ``total`` (hex); ``turned`` sends the item's bytes the other way round."""

    def answer(question: bytes) -> bytes:
        at = question.index(0x68)
        asked, control, serial = question[at + 2 : at + 9], question[at + 9], question[at + 13]
        if not _wild(bytes.fromhex(number)[::-1], asked):
            return b""
        if control == 0x03:
            return cjt188_frame(kind, number, 0x83, b"\x0a\x81\x00")
        item = question[at + 11 : at + 13]
        if item != b"\x1f\x90":
            return cjt188_frame(kind, number, 0xC1, item + bytes([serial]) + b"\x00\x00")
        told = item[::-1] if turned else item
        return b"\xfe\xfe\xfe" + cjt188_frame(kind, number, 0x81, told + bytes([serial]) + bytes.fromhex(total))

    return answer


class ItemServer:
    """A serial server on loopback: every question goes to ``answering``."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.questions: list[bytes] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> ItemServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        while data := await reader.read(512):
            self.questions.append(data)
            if answer := self.answering(data):
                writer.write(answer[:5])  # converters send a frame in pieces
                await writer.drain()
                writer.write(answer[5:])
        writer.close()


class ItemPty:
    """The same on a pseudo terminal; ``path`` is its serial port."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering

    def __enter__(self) -> ItemPty:
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        self.path = os.ttyname(self._far)
        asyncio.get_running_loop().add_reader(self._near, self._readable)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)
        os.close(self._far)

    def _readable(self) -> None:
        if answer := self.answering(os.read(self._near, 512)):
            os.write(self._near, answer)
