"""DL/T 645-2007, the protocol of Chinese electricity meters: frames, and a link that reads data items.

    FE FE FE FE  68  A0..A5  68  C  L  data  CS  16

The address is twelve decimal digits, two to a byte, lowest first; every data byte is sent with 0x33 added; CS is the
sum of all from the first 68 on. An AA in the address stands for any digits, so that unknown meters can be found.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

from building.errors import BadFrame, MeterRefused, NoAnswer
from collector.links.exchange import Exchange
from collector.links.summed import BEGIN, is_summed, sound_frames
from collector.links.wires import Wire

READ: Final = 0x11
READ_ADDRESS: Final = 0x13
_ANSWER: Final = 0x80
_REFUSED: Final = 0x40
_MORE: Final = 0x20
_ANY: Final = "AA" * 6
_WAKE: Final = b"\xfe" * 4
_OFFSET: Final = 0x33
_HEAD: Final = 10  # bytes from 68 to L
_LONGEST: Final = 200  # data bytes of an answer
_ENERGY: Final = 0x00010000  # an item that every meter has
_NO_SUCH_DATA: Final = 0x02


class Frame(NamedTuple):
    """One frame: ``address`` as twelve digits (or AA), ``data`` as meant, without the 0x33."""

    address: str
    control: int
    data: bytes

    @property
    def item(self) -> int | None:
        """The data item in it; None where it has none."""
        return int.from_bytes(self.data[:4], "little") if len(self.data) >= 4 else None

    @property
    def refused(self) -> bool:
        """Whether the meter says no."""
        return bool(self.control & _REFUSED)


def encode(address: str, control: int, data: bytes = b"") -> bytes:
    """A frame without the wake-up bytes; ``address`` has twelve digits, or AA for any two."""
    body = b"\x68" + bytes.fromhex(address)[::-1] + b"\x68" + bytes([control, len(data)])
    body += bytes((byte + _OFFSET) & 0xFF for byte in data)
    return body + bytes([sum(body) & 0xFF, 0x16])


def frames(heard: bytes) -> Iterator[Frame]:
    """Every sound frame in ``heard``, whatever stands between them."""
    return sound_frames(heard, _frame)


def _frame(heard: bytes, at: int) -> tuple[Frame, int] | None:
    if len(heard) < at + _HEAD + 2 or heard[at + 7] != BEGIN:
        return None
    end = at + _HEAD + heard[at + 9]
    if not is_summed(heard, at, end):
        return None
    data = bytes((byte - _OFFSET) & 0xFF for byte in heard[at + _HEAD : end])
    return Frame(heard[at + 1 : at + 7][::-1].hex().upper(), heard[at + 8], data), end + 1


class Dlt645Link:
    """Reads data items; in the shape of a ModbusLink, so that polling needs to know nothing of it.

    ``unit`` is the meter's number, ``address`` item x 256 + first byte within the item's data.
    """

    def __init__(self, wire: Wire, *, timeout: float = 1.0, pause: float = 0.0) -> None:
        self.address = wire.address
        self._exchange: Exchange[Frame] = Exchange(wire, timeout=timeout, pause=pause)

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        """``count`` bytes of a data item. Raises as ModbusLink.read."""
        item, first = address >> 8, address & 0xFF
        data = await self.read_item(f"{unit:012d}", item)
        if len(data) < first + count:
            raise MeterRefused(2, f"has only {len(data)} bytes of item {item:08X}")
        return data[first : first + count]

    async def read_item(self, address: str, item: int) -> bytes:
        """The data of ``item`` of the meter ``address`` (twelve digits, or AA for any two)."""
        asked = item.to_bytes(4, "little")

        def find(heard: bytes) -> Frame | None:
            for frame in frames(heard):
                answers = _fits(frame.address, address) and frame.control & ~(_REFUSED | _MORE) == READ | _ANSWER
                if answers and (frame.refused or frame.data[:4] == asked):
                    return frame
            return None

        answer = await self._exchange.ask(_WAKE + encode(address, READ, asked), find, _HEAD + _LONGEST)
        if answer.refused:
            raise _refusal(answer.data, item)
        return answer.data[4:]

    async def read_address(self) -> str:
        """The number of the only meter on the line. Raises BadFrame where several answer at once."""

        def find(heard: bytes) -> Frame | None:
            return next((frame for frame in frames(heard) if frame.control == READ_ADDRESS | _ANSWER), None)

        answer = await self._exchange.ask(_WAKE + encode(_ANY, READ_ADDRESS), find, _HEAD + 8)
        return answer.address

    async def discover(self) -> AsyncIterator[tuple[str, str | None]]:
        """All meters on the line: (what was asked, the number found or None), as the search goes on.

        Where several answer at once it goes on digit pair by digit pair: AA..AA01, AA..AA02 and so on.
        """
        try:
            yield _ANY, await self.read_address()
            return
        except NoAnswer:
            pass  # some meters know the wildcard in reads only
        except BadFrame:
            pass
        open_ends = [""]
        while open_ends:
            tail = open_ends.pop()
            for pair in range(100):
                asked = ("AA" * (5 - len(tail) // 2)) + f"{pair:02d}" + tail
                found, several = await self._anyone(asked)
                if several and len(tail) < 10:
                    open_ends.append(f"{pair:02d}" + tail)
                yield asked, found

    async def _anyone(self, asked: str) -> tuple[str | None, bool]:
        """The number of the meter that answers ``asked``, and whether several do."""
        seen: list[str] = []

        def find(heard: bytes) -> Frame | None:
            frame = next((one for one in frames(heard) if one.control & _ANSWER and _fits(one.address, asked)), None)
            if frame is not None:
                seen.append(frame.address)
            return frame

        try:
            await self._exchange.ask(_WAKE + encode(asked, READ, _ENERGY.to_bytes(4, "little")), find, _HEAD + _LONGEST)
        except NoAnswer:
            return None, False
        except BadFrame:
            return None, True
        return seen[0], False

    async def close(self) -> None:
        """Let go of the line."""
        self._exchange.close()


def _fits(address: str, asked: str) -> bool:
    return all(asked[at : at + 2] in ("AA", address[at : at + 2]) for at in range(0, 12, 2))


def _refusal(data: bytes, item: int) -> MeterRefused:
    code = data[0] if data else 0
    if code & _NO_SUCH_DATA or not code:
        return MeterRefused(2, f"has no item {item:08X}")
    return MeterRefused(4, f"refuses item {item:08X} (error {code:02X})")
