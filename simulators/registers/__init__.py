"""Register images written by hand from the makers' maps; they know nothing of the collector's profiles.

An image answers one unit's read requests. A request that the real device would refuse raises Refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


Numbers = Callable[[], Mapping[int, int]]
"""Wire address -> raw word, or 0 and 1 for bits, as it is at this moment."""


class NumbersImage:
    """A unit with a handful of registers and bits, by function. ``filler`` is what stands in the gaps between them;
    without it a request that touches a gap is refused whole."""

    def __init__(self, spaces: Mapping[int, Numbers], *, filler: int | None = None, most: int = 125) -> None:
        self._spaces = spaces
        self._filler = filler
        self._most = most

    def read(self, function: int, address: int, count: int) -> bytes:
        """Registers or packed bits. Raises Refused."""
        space = self._spaces.get(function)
        if space is None:
            raise Refused(ILLEGAL_FUNCTION)
        if not 1 <= count <= (2000 if function in (1, 2) else self._most):
            raise Refused(ILLEGAL_VALUE)
        known = space()
        wanted = range(address, address + count)
        inside = known and min(known) <= address and address + count - 1 <= max(known)
        if not inside or (self._filler is None and not known.keys() >= set(wanted)):
            raise Refused(ILLEGAL_ADDRESS)
        numbers = [known.get(number, self._filler or 0) for number in wanted]
        if function in (1, 2):
            packed = sum(1 << place for place, state in enumerate(numbers) if state)
            return packed.to_bytes((count + 7) // 8, "little")
        return b"".join((number & 0xFFFF).to_bytes(2, "big") for number in numbers)


class ByFunction:
    """One unit made of parts, each answering for some functions."""

    def __init__(self, parts: Mapping[int, Image]) -> None:
        self._parts = parts

    def read(self, function: int, address: int, count: int) -> bytes:
        """What the part for ``function`` says. Raises Refused."""
        part = self._parts.get(function)
        if part is None:
            raise Refused(ILLEGAL_FUNCTION)
        return part.read(function, address, count)
