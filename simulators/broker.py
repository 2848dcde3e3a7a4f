"""An MQTT 3.1.1 broker with a login, inside this process and with nothing to install: amqtt in a thread of its own.

Its own event loop keeps a busy broker from delaying Modbus answers, and the other way round.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from amqtt.broker import Broker
from amqtt.errors import AMQTTError
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from building.errors import LinkDown

_START_WITHIN: Final = 20.0  # seconds


class LocalBroker:
    """Listens on a free loopback port and lets in the users it is given (name -> password)."""

    def __init__(self, users: Mapping[str, str], wanted: int = 0) -> None:
        """``wanted`` is the port to try first, then the next ones; 0 for any that is free."""
        self._users = users
        self._wanted = wanted
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    @property
    def serves(self) -> bool:
        """Whether it is there just now."""
        return self._thread is not None

    def start(self) -> None:
        """Begin to listen, after a stop on the same port and with nothing remembered. Raises LinkDown."""
        self._ready.clear()
        self._thread = threading.Thread(target=self._run, name="mqtt-broker", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_WITHIN) or not self.port:
            raise LinkDown(f"the built-in MQTT broker did not start ({self._error or 'no answer'}); give another one")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Break all connections and forget everything."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended by itself, or by another call
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_WITHIN)
        self._thread = None

    def _run(self) -> None:
        # amqtt reports every client that leaves without a word; that is everyday here.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            with tempfile.TemporaryDirectory(prefix="broker-") as folder:
                asyncio.run(self._serve(self._password_file(Path(folder))))
        except (OSError, AMQTTError) as error:
            self._error = error
        finally:
            self._ready.set()

    def _password_file(self, folder: Path) -> Path:
        # Passwords are drawn anew for each run: a light hash is enough, and logins stay quick.
        hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1),))
        path = folder / "passwords"
        path.touch(mode=0o600)
        path.write_text("".join(f"{user}:{hasher.hash(word)}\n" for user, word in self._users.items()))
        return path

    async def _serve(self, passwords: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        broker = Broker(
            {
                "listeners": {"default": {"type": "external", "bind": "127.0.0.1:0"}},
                "plugins": {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}},
            }
        )
        await broker.start()
        server = await self._listen(partial(broker.stream_connected, listener_name="default"))
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._stop.wait()
        server.close()
        await broker.shutdown()

    async def _listen(self, connected: Callable[..., Awaitable[None]]) -> asyncio.Server:
        first = self.port or self._wanted
        for port in range(first, first + 200) if first else (0,):
            try:
                return await asyncio.start_server(connected, "127.0.0.1", port)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES) or port == self.port:
                    raise
        raise OSError(errno.EADDRINUSE, f"no port from {first} on is free")
