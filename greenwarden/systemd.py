"""What systemd wants to hear from a service of ``Type=notify``: ready, reloading, alive, stopping (sd_notify(3)).

Outside systemd nothing listens and nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Final

_MICROSECONDS: Final = 1_000_000
_PATIENCE_S: Final = 2.0  # a manager that does not listen must not hold us for long
_BRIEFLY_S: Final = 0.05  # for a sign of life: there will be another


class ServiceManager:
    """Speaks to the socket named by ``NOTIFY_SOCKET``, if there is one."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        # An address that begins with @ is an abstract socket.
        self._address = "\0" + path[1:] if path.startswith("@") else path

    @property
    def watchdog_s(self) -> float | None:
        """Seconds between two signs of life: half of what systemd waits; None when it does not watch us."""
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        return int(microseconds) / _MICROSECONDS / 2 if microseconds.isdigit() and int(microseconds) else None

    def ready(self, status: str) -> None:
        """Everything is open."""
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being taken in; ``ready`` ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self) -> None:
        """The event loop turns."""
        self._say("WATCHDOG=1", _BRIEFLY_S)

    def stopping(self) -> None:
        """We are closing."""
        self._say("STOPPING=1")

    def _say(self, message: str, patience_s: float = _PATIENCE_S) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(patience_s)
            with suppress(TimeoutError):
                channel.sendto(message.replace("\r", " ").encode(), self._address)
