"""Modbus TCP through pymodbus: one connection and one lock for all units behind a host.

pymodbus frames, matches transaction numbers and drops late answers. This link adds what a collector needs beyond it:
our own time-out without hidden retries, a check that the answer fits the question, quiet reconnecting, and errors
named after what to do next.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Sequence
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.pdu import ModbusPDU

from building.errors import BadFrame, LinkDown, MeterRefused, NoAnswer
from collector.links.modbus import READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT, bits_to_bytes, refusal

# pymodbus logs every silence as an error; what is worth telling is told once, by polling.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

_NEVER: Final = 1_000_000_000
_DEAF_AFTER: Final = 6
"""Silences in a row, with not a byte heard, after which the connection itself is doubted and opened anew."""


class ModbusTcpLink:
    """A ModbusLink over TCP. ``timeout`` and ``pause`` (quiet time between requests) are real seconds."""

    def __init__(self, host: str, port: int, *, timeout: float = 1.0, pause: float = 0.0) -> None:
        self.address = f"{host}:{port}"
        self._timeout = timeout
        self._pause = pause
        self._lock = asyncio.Lock()
        self._client = AsyncModbusTcpClient(
            host,
            port=port,
            timeout=timeout,
            retries=0,
            reconnect_delay=0,  # polling backs off; two who reconnect would get in each other's way
            trace_packet=self._on_bytes,
            trace_connect=self._on_connection,
        )
        self._client.set_max_no_responses(_NEVER)  # one silent meter must not cost its neighbours the connection
        self._asking = False
        self._heard = b""
        self._silences = 0

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        """See ModbusLink.read."""
        async with self._lock:
            fresh = await self._connect()
            try:
                answer = await self._ask(unit, function, address, count)
            except LinkDown:
                if fresh:
                    raise
                # Gateways close idle sockets; the first request after that finds out. Once more, on a new one.
                await self._connect()
                answer = await self._ask(unit, function, address, count)
            if self._pause:
                await asyncio.sleep(self._pause)
        return _content(answer, function, count)

    async def close(self) -> None:
        """Close the connection."""
        self._client.close()

    async def _connect(self) -> bool:
        """Make sure of a connection; True when it was opened just now."""
        if self._client.connected:
            return False
        if not await self._client.connect():
            self._client.close()
            raise LinkDown(f"{self.address} does not accept a connection; check address, port and cable")
        self._silences = 0
        return True

    async def _ask(self, unit: int, function: int, address: int, count: int) -> ModbusPDU:
        self._heard = b""
        self._asking = True
        try:
            answer = await self._request(unit, function, address, count)
        except ConnectionException:
            self._client.close()
            raise LinkDown(f"{self.address} closed the connection") from None
        except ModbusIOException:
            raise self._silence() from None
        finally:
            self._asking = False
        self._silences = 0
        return answer

    async def _request(self, unit: int, function: int, address: int, count: int) -> ModbusPDU:
        client = self._client
        if function == READ_HOLDING:
            return await client.read_holding_registers(address, count=count, device_id=unit)
        if function == READ_INPUT:
            return await client.read_input_registers(address, count=count, device_id=unit)
        if function == READ_COILS:
            return await client.read_coils(address, count=count, device_id=unit)
        assert function == READ_DISCRETE, function
        return await client.read_discrete_inputs(address, count=count, device_id=unit)

    def _silence(self) -> NoAnswer | BadFrame:
        """What a time-out means: nothing came, or something that was no answer."""
        if self._heard:
            self._silences = 0
            if self._client.ctx.recv_buffer or not self._client.connected:
                # The rest of a cut frame would be taken for the head of the next one.
                self._client.close()
            return BadFrame("what came was no answer to the question: cut short, late, or from another unit")
        self._silences += 1
        if self._silences >= _DEAF_AFTER:
            self._silences = 0
            self._client.close()
        return NoAnswer(f"no answer within {self._timeout:g} s")

    def _on_bytes(self, sending: bool, data: bytes) -> bytes:
        if not sending:
            self._heard = data
        return data

    def _on_connection(self, connected: bool) -> None:
        waiting = self._client.ctx.response_future
        if not connected and self._asking and not waiting.done():
            if self._heard:  # pymodbus drops the connection when it cannot read a frame
                waiting.set_exception(ModbusIOException("unreadable"))
            else:
                waiting.set_exception(ConnectionException("closed"))


def _content(answer: ModbusPDU, function: int, count: int) -> bytes:
    if answer.isError():
        code = answer.exception_code
        raise MeterRefused(code, refusal(code))
    if answer.function_code != function:
        raise BadFrame(f"answered function {answer.function_code} instead of {function}")
    if function in (READ_HOLDING, READ_INPUT):
        if len(answer.registers) != count:
            raise BadFrame(f"sent {len(answer.registers)} registers instead of {count}")
        return struct.pack(f">{count}H", *answer.registers)
    if bits_to_bytes(len(answer.bits)) != bits_to_bytes(count):
        raise BadFrame(f"sent {len(answer.bits)} bits instead of {count}")
    return _packed(answer.bits[:count])


def _packed(bits: Sequence[bool]) -> bytes:
    number = sum(1 << place for place, bit in enumerate(bits) if bit)
    return number.to_bytes(bits_to_bytes(len(bits)), "little")
