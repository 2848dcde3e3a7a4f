"""What polling needs of a Modbus line, whatever carries it: TCP now, RTU and others in the same shape."""

from __future__ import annotations

from typing import Final, Protocol

READ_COILS: Final = 1
READ_DISCRETE: Final = 2
READ_HOLDING: Final = 3
READ_INPUT: Final = 4

MOST_REGISTERS: Final = 125  # of one request; the protocol's limit (253 bytes)
MOST_BITS: Final = 2000

EXCEPTIONS: Final = {
    1: "does not know this kind of read (exception 1)",
    2: "has no such register (exception 2)",
    3: "does not allow so many registers at once (exception 3)",
    4: "reports a failure of its own (exception 4)",
    5: "needs time (exception 5)",
    6: "is busy (exception 6)",
    8: "reports a memory error (exception 8)",
    10: "cannot be reached: the gateway has no path to it (exception 10)",
    11: "did not answer its gateway (exception 11)",
}


class ModbusLink(Protocol):
    """One line with one lock: requests of all devices behind it go one after another."""

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        """Registers as they came (2 x ``count`` bytes), or packed bits, lowest first, for functions 1 and 2.

        Raises NoAnswer (silence), MeterRefused (an exception code), BadFrame (not an answer to this), LinkDown.
        """

    async def close(self) -> None:
        """Let go of the line. Reading again opens it anew."""


def bits_to_bytes(count: int) -> int:
    """How many bytes carry ``count`` packed bits."""
    return (count + 7) // 8


def refusal(code: int) -> str:
    """What an exception ``code`` means, as the end of a sentence about the device."""
    return EXCEPTIONS.get(code, f"refused (exception {code})")
