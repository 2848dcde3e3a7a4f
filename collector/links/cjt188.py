"""CJ/T 188-2004, the protocol of Chinese water, gas and heat meters: frames, and a link that reads data items.

    FE ..  68  T  A0..A6  CTR  L  DI0 DI1 SER  data  CS  16

T is the kind of meter (10 cold water, 20 heat, 30 gas), the address fourteen decimal digits, lowest byte first. CS is
the sum of all from 68 on. Makers disagree which byte of the item goes first: both are understood.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

from building.errors import BadFrame, MeterRefused, NoAnswer
from collector.links.exchange import Exchange
from collector.links.summed import is_summed, sound_frames
from collector.links.wires import Wire

READ: Final = 0x01
READ_ADDRESS: Final = 0x03
_ANSWER: Final = 0x80
_REFUSED: Final = 0x40
_ANY: Final = "AA" * 7
_WAKE: Final = b"\xfe" * 3
_HEAD: Final = 11  # bytes from 68 to L
_LONGEST: Final = 100  # data bytes of an answer
_TYPE_SHIFT: Final = 56  # of the kind of meter in the ``unit`` of a read


class Frame(NamedTuple):
    """One frame: ``meter_type``, ``address`` as fourteen digits (or AA), ``data`` with item and serial in front."""

    meter_type: int
    address: str
    control: int
    data: bytes

    @property
    def item(self) -> int | None:
        """The data item, whichever byte came first; None where it has none."""
        if len(self.data) < 2:
            return None
        low_first = int.from_bytes(self.data[:2], "little")
        turned = int.from_bytes(self.data[:2], "big")
        return turned if self.data[0] in (0x90, 0xA0, 0x81, 0xD1) and self.data[1] not in (0x90, 0xA0) else low_first

    @property
    def serial(self) -> int | None:
        """The running number of the question; None where it has none."""
        return self.data[2] if len(self.data) >= 3 else None

    @property
    def refused(self) -> bool:
        """Whether the meter says no."""
        return bool(self.control & _REFUSED)


def encode(meter_type: int, address: str, control: int, data: bytes = b"") -> bytes:
    """A frame without the wake-up bytes; ``address`` has fourteen digits, or AA for any two."""
    body = bytes([0x68, meter_type]) + bytes.fromhex(address)[::-1] + bytes([control, len(data)]) + data
    return body + bytes([sum(body) & 0xFF, 0x16])


def frames(heard: bytes) -> Iterator[Frame]:
    """Every sound frame in ``heard``, whatever stands between them."""
    return sound_frames(heard, _frame)


def _frame(heard: bytes, at: int) -> tuple[Frame, int] | None:
    if len(heard) < at + _HEAD + 2:
        return None
    end = at + _HEAD + heard[at + 10]
    if not is_summed(heard, at, end):
        return None
    address = heard[at + 2 : at + 9][::-1].hex().upper()
    return Frame(heard[at + 1], address, heard[at + 9], bytes(heard[at + _HEAD : end])), end + 1


def station(meter_type: int, address: str) -> int:
    """Kind of meter and number in one, as the ``unit`` of a read."""
    return meter_type << _TYPE_SHIFT | int(address)


class Cjt188Link:
    """Reads data items; in the shape of a ModbusLink, so that polling needs to know nothing of it.

    ``unit`` is what ``station`` says, ``address`` item x 256 + first byte within the item's data.
    """

    def __init__(self, wire: Wire, *, timeout: float = 1.0, pause: float = 0.0) -> None:
        self.address = wire.address
        self._serial = 0
        self._exchange: Exchange[Frame] = Exchange(wire, timeout=timeout, pause=pause)

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        """``count`` bytes of a data item. Raises as ModbusLink.read."""
        item, first = address >> 8, address & 0xFF
        meter_type, number = unit >> _TYPE_SHIFT, unit & (1 << _TYPE_SHIFT) - 1
        data = await self.read_item(meter_type, f"{number:014d}", item)
        if len(data) < first + count:
            raise MeterRefused(2, f"has only {len(data)} bytes of item {item:04X}")
        return data[first : first + count]

    async def read_item(self, meter_type: int, address: str, item: int) -> bytes:
        """The data of ``item`` of the meter ``address`` (fourteen digits, or AA for any two)."""
        self._serial = (self._serial + 1) & 0xFF
        asked = item.to_bytes(2, "little") + bytes([self._serial])

        def find(heard: bytes) -> Frame | None:
            for frame in frames(heard):
                answers = _fits(frame.address, address) and frame.control & ~_REFUSED == READ | _ANSWER
                if answers and (frame.refused or frame.item == item):
                    return frame
            return None

        question = _WAKE + encode(meter_type, address, READ, asked)
        answer = await self._exchange.ask(question, find, _HEAD + _LONGEST)
        if answer.refused:
            raise MeterRefused(2, f"refuses item {item:04X}")
        return answer.data[3:]

    async def read_address(self) -> tuple[int, str]:
        """Kind and number of the only meter on the line. Raises BadFrame where several answer at once."""

        def find(heard: bytes) -> Frame | None:
            return next((frame for frame in frames(heard) if frame.control == READ_ADDRESS | _ANSWER), None)

        asked = (0x810A).to_bytes(2, "little") + b"\x00"
        answer = await self._exchange.ask(_WAKE + encode(0xAA, _ANY, READ_ADDRESS, asked), find, _HEAD + 8)
        return answer.meter_type, answer.address

    async def discover(self) -> AsyncIterator[tuple[str, str | None]]:
        """The meter on the line: (what was asked, its number or None).

        Raises BadFrame where several answer at once: the standard has no question for a part of them.
        """
        try:
            _, address = await self.read_address()
        except NoAnswer:
            yield _ANY, None
        except BadFrame as error:
            raise BadFrame(
                "several meters answer at once, or the line is disturbed; CJ/T 188 cannot ask for a part of them: "
                f"connect one at a time, or take the numbers from their plates ({error})"
            ) from None
        else:
            yield _ANY, address

    async def close(self) -> None:
        """Let go of the line."""
        self._exchange.close()


def _fits(address: str, asked: str) -> bool:
    return all(asked[at : at + 2] in ("AA", address[at : at + 2]) for at in range(0, 14, 2))
