"""CJ/T 188-2004 meters of water and gas: frames, BCD, and answers. Written from the standard's text and examples.

FE FE FE 68 T A0..A6 CTR L DI0 DI1 SER data CS 16; numbers in BCD, low byte first, without offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

_WAKE: Final = b"\xfe" * 3
COLD, GAS = 0x10, 0x30
_READ, _READ_ADDRESS = 0x01, 0x03
_M3: Final = 0x2C
_ANY: Final = 0xAA
_PRESENT: Final = (b"\x1f\x90", b"\x90\x1f")  # makers disagree which byte goes first
M3_TOP: Final = 1_000_000.0


def frame(kind: int, address: str, control: int, data: bytes) -> bytes:
    """A frame of a meter of this type and number (14 digits)."""
    body = b"\x68" + bytes((kind,)) + _address(address) + bytes((control, len(data))) + data
    return body + bytes((sum(body) % 256,)) + b"\x16"


def _address(text: str) -> bytes:
    return bytes.fromhex(text.zfill(14))[::-1]


def _digits(value: float) -> bytes:
    return bytes.fromhex(f"{round(value * 100) % 10**8:08d}")[::-1]


def present(volume: float, settled: float, now: datetime) -> bytes:
    """Data of 901F behind the serial number: total, month's end total, time and state."""
    clock = bytes.fromhex(now.strftime("%S%M%H%d%m") + now.strftime("%Y")[2:] + now.strftime("%Y")[:2])
    return _digits(volume) + bytes((_M3,)) + _digits(settled) + bytes((_M3,)) + clock + b"\x00\x00"


class Request(NamedTuple):
    """A request: type of meter, address as sent, control, data."""

    kind: int
    address: bytes
    control: int
    data: bytes


def split(buffer: bytearray) -> Iterator[Request]:
    """Whole requests out of ``buffer``."""
    while True:
        start = buffer.find(b"\x68")
        if start < 0:
            buffer.clear()
            return
        del buffer[:start]
        if len(buffer) < 13:
            return
        size = 13 + buffer[10]
        if len(buffer) < size:
            return
        whole = bytes(buffer[:size])
        if whole[-1] != 0x16 or sum(whole[:-2]) % 256 != whole[-2]:
            del buffer[:1]
            continue
        del buffer[:size]
        yield Request(whole[1], whole[2:9], whole[9], whole[11:-2])


class Cjt188Meter:
    """One meter on the bus; ``volume`` tells m3, ``settled`` m3 at the last month's end, ``clock`` its local time."""

    def __init__(
        self,
        address: str,
        volume: Callable[[], float],
        settled: Callable[[], float],
        clock: Callable[[], datetime],
        kind: int = COLD,
    ) -> None:
        self.address, self.kind = address, kind
        self._volume, self._settled, self._clock = volume, settled, clock

    def fits(self, request: Request) -> bool:
        """Whether its kind and number are asked for; AA stands for any kind, and for any two digits."""
        own = _address(self.address)
        digits = zip(request.address, own, strict=True)
        return request.kind in (self.kind, _ANY) and all(asked in (_ANY, byte) for asked, byte in digits)

    def answer(self, request: Request) -> bytes:
        """The answer to a request for this meter."""
        return _WAKE + self._frame(request.control, request.data)

    def _frame(self, control: int, data: bytes) -> bytes:
        if control == _READ_ADDRESS:
            return frame(self.kind, self.address, 0x83, data[:3].ljust(3, b"\x00"))
        if control != _READ or data[:2] not in _PRESENT:
            return frame(self.kind, self.address, 0xC1, data[:3].ljust(3, b"\x00") + b"\x00\x00")
        return frame(self.kind, self.address, 0x81, data[:3] + present(self._volume(), self._settled(), self._clock()))
