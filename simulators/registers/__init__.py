"""Register images written by hand from the makers' maps; they know nothing of the collector's profiles.

An image answers one unit's read requests. A request that the real device would refuse raises Refused.
"""

from __future__ import annotations

from typing import Final, Protocol

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3


class Refused(Exception):
    """The device answers with Modbus exception ``code``."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code}")


class Image(Protocol):
    """What one unit says."""

    def read(self, function: int, address: int, count: int) -> bytes:
        """The bytes of ``count`` registers (functions 3, 4) or bits (1, 2) from wire ``address`` on."""


def words(table: bytes, address: int, count: int, most: int = 125) -> bytes:
    """``count`` registers out of a table that begins at register 0. Raises Refused."""
    if not 1 <= count <= most:
        raise Refused(ILLEGAL_VALUE)
    if 2 * (address + count) > len(table):
        raise Refused(ILLEGAL_ADDRESS)
    return table[2 * address : 2 * (address + count)]


def sparse(registers: dict[int, int], address: int, count: int) -> bytes:
    """Registers out of a map with holes; a request that touches a hole is refused whole."""
    if not 1 <= count <= 125:
        raise Refused(ILLEGAL_VALUE)
    try:
        return b"".join((registers[number] & 0xFFFF).to_bytes(2, "big") for number in range(address, address + count))
    except KeyError:
        raise Refused(ILLEGAL_ADDRESS) from None


def bits(states: list[bool], address: int, count: int) -> bytes:
    """Bits packed as functions 1 and 2 send them, the first in the lowest place."""
    if not 1 <= count <= 2000:
        raise Refused(ILLEGAL_VALUE)
    if address + count > len(states):
        raise Refused(ILLEGAL_ADDRESS)
    packed = sum(1 << place for place, state in enumerate(states[address : address + count]) if state)
    return packed.to_bytes((count + 7) // 8, "little")
