"""Addresses: of a link, with what is spoken there, of a web server, and of a port to listen on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from building.errors import shown
from building.fields import Frozen

SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "modbus": ("tcp", "rtu", "rtu+tcp", "ascii", "ascii+tcp"),
    "mqtt": ("mqtt", "mqtts"),
    "dlt645": ("serial", "tcp"),
    "cjt188": ("serial", "tcp"),
}
"""Protocol key of a link -> the address forms it takes."""


class Endpoint(Frozen):
    """The address of a link, taken apart: ``tcp://host:port`` or ``rtu:///dev/ttyUSB0?baudrate=9600&parity=E``."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: Mapping[str, str] = {}


_DEFAULT_PORTS: Final = {
    ("modbus", "tcp"): 502,
    ("modbus", "rtu+tcp"): 502,
    ("modbus", "ascii+tcp"): 502,
    ("mqtt", "mqtt"): 1883,
    ("mqtt", "mqtts"): 8883,
}  # the other protocols have no customary port
_HOST: Final = re.compile(r"[\w.:%-]+")
_SERIAL_OPTIONS: Final = {"baudrate": r"\d{3,7}", "parity": "[NEO]", "stopbits": "[12]", "bytesize": "[78]"}


def _is_host(name: str) -> bool:
    """Whether ``name`` can be looked up: what comes in parts of none or of more than 63 letters cannot (RFC 1035)."""
    try:
        return bool(_HOST.fullmatch(name) and name.encode("idna"))
    except UnicodeError:
        return False


def parse_endpoint(protocol: str, text: object) -> Endpoint:
    """``text`` as the address of a link of ``protocol``. Raises ValueError with what is accepted."""
    schemes = SCHEMES[protocol]
    accepted = ", ".join(f"{scheme}://" for scheme in schemes)
    if isinstance(text, str) and "@" in text:  # asked first: no other sentence may repeat what stands before it
        raise ValueError("name and password do not belong into the address; use username: and password: ${NAME}")
    if not isinstance(text, str) or "://" not in text:
        raise ValueError(f"{shown(text)} is no address; write it with one of {accepted}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{shown(text)}: the port must be a number from 1 to 65535") from None
    if parts.scheme not in schemes:
        raise ValueError(f"{shown(parts.scheme + '://')} is not accepted here; write one of {accepted}")
    if parts.scheme in ("rtu", "ascii", "serial"):
        return _serial_endpoint(parts)
    host = parts.hostname or ""
    if not _is_host(host):
        raise ValueError(f"{shown(text)} names no host; write e.g. {parts.scheme}://10.1.0.5")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{shown(text)}: nothing may follow the port")
    port = _DEFAULT_PORTS.get((protocol, parts.scheme)) if port is None else port
    if port is None:
        raise ValueError(f"{shown(text)} names no port; write e.g. {parts.scheme}://{host}:8001")
    if not 1 <= port <= 65535:
        raise ValueError(f"{shown(text)}: the port must be a number from 1 to 65535")
    return Endpoint(scheme=parts.scheme, host=host, port=port)


def _serial_endpoint(parts: SplitResult) -> Endpoint:
    options: dict[str, str] = {}
    for item in filter(None, parts.query.split("&")):
        key, _, value = item.partition("=")
        if key not in _SERIAL_OPTIONS or not re.fullmatch(_SERIAL_OPTIONS[key], value):
            accepted = "baudrate=9600, parity=N, E or O, stopbits=1 or 2, bytesize=7 or 8"
            raise ValueError(f"{shown(item)} is not accepted; write {accepted}")
        options[key] = value
    path = parts.netloc + parts.path
    if parts.netloc.lower() == "dev":
        raise ValueError(f"the slash before dev is missing; write {parts.scheme}:///{path}")
    if not path:
        raise ValueError("the address names no serial port; write e.g. rtu:///dev/ttyUSB0?baudrate=9600")
    return Endpoint(scheme=parts.scheme, path=path, options=options)


def _web_address(value: str) -> str:
    if "@" in value:
        raise ValueError("name and password do not belong into the address; use user: and password: ${NAME}, or token:")
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # what urlsplit says of a bad port or bracket
        sound = False
    if not sound:
        raise ValueError(f"{shown(value)} is no address such as http://10.1.0.9:8086")
    return value


def _listen_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not _is_host(host.strip("[]")) or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{shown(value)} is no address to listen on, such as 127.0.0.1:9105")
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
