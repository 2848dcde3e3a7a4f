"""A serial bus on a pty, written from the protocol alone: RTU meters with the pacing of the baud rate, and faults."""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections.abc import Mapping

from tests.wire_parts import Image

_BITS = 11


def crc(data: bytes) -> bytes:
    """CRC-16 of Modbus, bit by bit, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


class RtuBus:
    """Meters behind one pty; ``path`` is the port to open. An async context manager.

    ``silent`` units never answer; ``late`` ones so many seconds later than their neighbours; a register outside a
    unit's image is refused with exception 2. ``baudrate`` 0: no pacing.
    """

    def __init__(self, units: Mapping[int, Image], *, baudrate: int = 9600, turnaround: float = 0.005) -> None:
        self.units = dict(units)
        self.silent: set[int] = set()
        self.late: dict[int, float] = {}
        self.asked: list[tuple[int, int, int, int]] = []
        self.noise = b""  # stands before each answer
        self.echo = False
        self._character = _BITS / baudrate if baudrate else 0.0
        self._turnaround = turnaround
        self._heard = b""

    async def __aenter__(self) -> RtuBus:
        self.plug_in()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.pull_out()

    def plug_in(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._on_bytes)

    def pull_out(self) -> None:
        """The converter is pulled out of its socket; whoever has the port open is told by the system."""
        if self._master >= 0:
            self._loop.remove_reader(self._master)
            os.close(self._slave)
            os.close(self._master)
            self._master = -1

    @property
    def url(self) -> str:
        return f"rtu://{self.path}?baudrate=9600"

    def _on_bytes(self) -> None:
        try:
            self._heard += os.read(self._master, 4096)
        except BlockingIOError:
            return
        while len(self._heard) >= 8:
            frame, self._heard = self._heard[:8], self._heard[8:]
            assert crc(frame[:6]) == frame[6:], f"the collector sent {frame.hex()}"
            self._asked(frame)

    def _asked(self, frame: bytes) -> None:
        unit, function, address, count = struct.unpack(">BBHH", frame[:6])
        self.asked.append((unit, function, address, count))
        if self.echo:
            self._say(frame)
        if unit in self.silent or unit not in self.units:
            return
        image = self.units[unit]
        try:
            words = [image[function, address + at] for at in range(count)]
            body = bytes([unit, function, 2 * count]) + struct.pack(f">{count}H", *words)
        except KeyError:
            body = bytes([unit, function | 0x80, 2])
        answer = body + crc(body)
        wait = (8 + len(answer)) * self._character + self._turnaround + self.late.get(unit, 0.0)
        self._loop.call_later(wait, self._say, self.noise + answer)

    def _say(self, data: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, data)
