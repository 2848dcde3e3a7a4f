"""DL/T 645-2007 electricity meters: frames, BCD, and answers. Written from the standard's text and examples.

FE FE FE FE 68 A0..A5 68 C L data CS 16; every data byte has 0x33 added, everything stands low byte first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from simulators.building import Meter, OfficeBuilding
from simulators.registers.tables import meter_values

_OFFSET: Final = 0x33
_WAKE: Final = b"\xfe" * 4
_READ, _READ_ADDRESS = 0x11, 0x13
_NO_SUCH_DATA: Final = 0x02
_WILD: Final = 0xAA

# Identifier -> the values behind it: (name, digits, decimals, signed)
_ITEMS: Final[Mapping[int, tuple[tuple[str, int, int, bool], ...]]] = {
    0x00010000: (("imp", 8, 2, False),),
    0x00020000: (("exp", 8, 2, False),),
    0x02010100: (("v1", 4, 1, False),), 0x02010200: (("v2", 4, 1, False),), 0x02010300: (("v3", 4, 1, False),),
    0x0201FF00: tuple((f"v{n}", 4, 1, False) for n in (1, 2, 3)),
    0x02020100: (("i1", 6, 3, True),), 0x02020200: (("i2", 6, 3, True),), 0x02020300: (("i3", 6, 3, True),),
    0x0202FF00: tuple((f"i{n}", 6, 3, True) for n in (1, 2, 3)),
    0x02030000: (("kw", 6, 4, True),),
    0x0203FF00: tuple((name, 6, 4, True) for name in ("kw", "kw1", "kw2", "kw3")),
    0x02040000: (("kvar", 6, 4, True),),
    0x0204FF00: tuple((name, 6, 4, True) for name in ("kvar", "kvar1", "kvar2", "kvar3")),
    0x02050000: (("kva", 6, 4, True),),
    0x0205FF00: tuple((name, 6, 4, True) for name in ("kva", "kva1", "kva2", "kva3")),
    0x02060000: (("pf", 4, 3, True),),
    0x0206FF00: tuple((name, 4, 3, True) for name in ("pf", "pf1", "pf2", "pf3")),
    0x02800002: (("hz", 4, 2, False),),
}  # fmt: skip
KWH_TOP: Final = 1_000_000.0  # eight digits, two of them behind the point


def bcd(value: float, digits: int, decimals: int, *, signed: bool = False) -> bytes:
    """A number as BCD, low byte first; the sign is the top bit of the last byte."""
    number = round(abs(value) * 10**decimals) % 10**digits
    raw = bytearray(bytes.fromhex(f"{number:0{digits}d}")[::-1])
    if signed and value < 0:
        raw[-1] |= 0x80
    return bytes(raw)


def frame(address: str, control: int, data: bytes) -> bytes:
    """A frame of a meter with this number (12 digits)."""
    body = b"\x68" + _address(address) + b"\x68" + bytes((control, len(data)))
    body += bytes((byte + _OFFSET) % 256 for byte in data)
    return body + bytes((sum(body) % 256,)) + b"\x16"


def _address(text: str) -> bytes:
    return bytes.fromhex(text.zfill(12))[::-1]


class Request(NamedTuple):
    """A request: address as sent, control, data without the offset."""

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
        if len(buffer) < 12:
            return
        size = 12 + buffer[9]
        if buffer[7] != 0x68 or (len(buffer) >= size and not _sound(buffer[:size])):
            del buffer[:1]
            continue
        if len(buffer) < size:
            return
        whole = bytes(buffer[:size])
        del buffer[:size]
        yield Request(whole[1:7], whole[8], bytes((byte - _OFFSET) % 256 for byte in whole[10:-2]))


def _sound(whole: bytearray) -> bool:
    return whole[-1] == 0x16 and sum(whole[:-2]) % 256 == whole[-2]


class Dlt645Meter:
    """One meter on the bus."""

    def __init__(self, building: OfficeBuilding, meter: Meter, address: str) -> None:
        meter.counter_top = KWH_TOP
        self.address = address
        self._building, self._meter = building, meter

    def fits(self, request: Request) -> bool:
        """Whether its number is asked for; AA stands for any two digits."""
        return all(a in (_WILD, b) for a, b in zip(request.address, _address(self.address), strict=True))

    def answer(self, request: Request) -> bytes:
        """The answer to a request for this meter."""
        return _WAKE + self._frame(request.control, request.data)

    def _frame(self, control: int, data: bytes) -> bytes:
        if control == _READ_ADDRESS:
            return frame(self.address, 0x93, _address(self.address))
        if control != _READ or len(data) < 4:
            return frame(self.address, control | 0xC0, bytes((_NO_SUCH_DATA,)))
        item = int.from_bytes(data[:4], "little")
        wanted = _ITEMS.get(item)
        if wanted is None:
            return frame(self.address, 0xD1, bytes((_NO_SUCH_DATA,)))
        values = _values(self._building, self._meter)
        said = b"".join(bcd(values[name], digits, places, signed=signed) for name, digits, places, signed in wanted)
        return frame(self.address, 0x91, data[:4] + said)


def _values(building: OfficeBuilding, meter: Meter) -> Mapping[str, float]:
    values = dict(meter_values(building, meter))
    for letter, name in (("p", "kw"), ("q", "kvar"), ("s", "kva")):
        for phase in ("", "1", "2", "3"):
            values[name + phase] = values[letter + phase] / 1000
    if meter.device.profile is not None and "single" in meter.device.profile:
        values |= {"v1": values["v"], "i1": values["i1p"]}
    return values
