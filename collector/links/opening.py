"""The Modbus link for an address: which framing over which wire."""

from __future__ import annotations

from building.endpoints import Endpoint
from collector.links.frames import AsciiFraming, Framing, RtuFraming
from collector.links.modbus import ModbusLink
from collector.links.modbus_line import ModbusLine
from collector.links.modbus_tcp import ModbusTcpLink
from collector.links.wires import SerialWire, TcpWire, Wire

MODBUS_SCHEMES = ("tcp", "rtu", "rtu+tcp", "ascii", "ascii+tcp")
"""Address forms of ``modbus:`` that are spoken."""


def modbus_link(endpoint: Endpoint, *, timeout: float, pause: float = 0.0, in_flight: int = 1) -> ModbusLink:
    """A link to ``endpoint``, closed until it is first asked. ``timeout`` and ``pause`` are real seconds."""
    if endpoint.scheme == "tcp":
        return ModbusTcpLink(endpoint.host, endpoint.port, timeout=timeout, pause=pause, in_flight=in_flight)
    framing: Framing = RtuFraming() if endpoint.scheme.startswith("rtu") else AsciiFraming()
    wire: Wire
    if endpoint.scheme.endswith("+tcp"):
        wire = TcpWire(endpoint.host, endpoint.port, timeout=timeout)
    else:
        wire = SerialWire(endpoint.path, endpoint.options)
    return ModbusLine(wire, framing, timeout=timeout, pause=pause)
