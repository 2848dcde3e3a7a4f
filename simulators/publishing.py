"""How the simulated devices reach their broker: one connection for all, and time that waits for what is on its way.

A building that runs hundreds of times as fast as real time can say more than a busy computer's broker passes on, and
what it passes on late looks as if devices had been silent for minutes. So after each burst an echo goes the same way
through the broker, and a fast clock is held until it comes back and the event loop has read what came before it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from building.clock import Clock
from building.errors import LinkDown
from building.waiting import hang_up

log = logging.getLogger(__name__)

_CONNECT_WITHIN: Final = 10.0  # seconds
_ECHO_WITHIN: Final = 2.0  # seconds; a broker that lets nobody listen to the echo is not waited for again
_MOST_QUEUED: Final = 100_000  # messages waiting for the broker
_TURNS: Final = 3  # of the event loop, after which it has read every socket that had something to say before the first


class Login(NamedTuple):
    """How a client logs in to the broker."""

    username: str
    password: str


class Publisher:
    """The devices' connection to the broker at ``host``:``port``. Raises LinkDown when it cannot be reached."""

    def __init__(self, host: str, port: int, login: Login, clock: Clock) -> None:
        self._clock = clock
        self._topic = f"greenwarden/simulation/{secrets.token_hex(8)}"
        self._echoes = False
        self._lock = threading.Lock()
        self._release: Callable[[], None] | None = None
        self._again = False  # whether a burst went out after the echo that is under way
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent = 0.0  # when the echo went out, s of the event loop
        self._watched = False
        self._connected = threading.Event()
        self._reasons: list[str] = []
        self._client = self._connect(host, port, login)

    def _connect(self, host: str, port: int, login: Login) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="simulated-devices")
        client.max_queued_messages_set(_MOST_QUEUED)
        client.reconnect_delay_set(1, 2)
        if login.username:
            client.username_pw_set(login.username, login.password)
        client.on_socket_open = _at_once
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: self._arrived()
        client.on_message = lambda *_: self._arrived()
        try:
            client.connect(host, port)
        except OSError as error:
            raise LinkDown(f"the broker at {host}:{port} cannot be reached ({error}); start it or give none") from None
        client.loop_start()
        if not self._connected.wait(_CONNECT_WITHIN) or self._reasons:
            client.loop_stop()
            raise LinkDown(f"the broker at {host}:{port} refused the simulator: {self._reasons or 'no answer'}")
        return client

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _props: object
    ) -> None:
        if reason.is_failure:
            self._reasons.append(str(reason))
        elif self._clock.speed > 1:
            client.subscribe(self._topic)
            self._echoes = True
        self._connected.set()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send a message as soon as the broker takes it."""
        self._client.publish(topic, payload, qos=0, retain=retain)

    def follow(self) -> None:
        """A burst is over: a fast clock waits until the broker has passed it on. To be called in the event loop."""
        if not self._echoes:
            return
        with self._lock:
            self._again = self._release is not None
            if self._again:
                return
            self._release = self._clock.hold()
        self._loop = loop = asyncio.get_running_loop()
        if not self._watched:
            self._watched = True
            loop.call_later(_ECHO_WITHIN, self._watch, loop)
        self._send_echo(loop)

    def _send_echo(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sent = loop.time()
        self._client.publish(self._topic, b"", qos=0)

    def _arrived(self) -> None:
        """The echo is back, as the client's own thread says."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._read, self._loop, _TURNS)
        except RuntimeError:  # the loop has ended, and nobody waits any more
            self._let_go()

    def _read(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        """Let ``turns`` of the loop go by, and then time, unless something more has gone out."""
        if turns:
            loop.call_soon(self._read, loop, turns - 1)
        elif self._again and self._echoes:
            self._again = False
            self._send_echo(loop)
        else:
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            release, self._release = self._release, None
        if release is not None:
            release()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for no echo for ever."""
        left = self._sent + _ECHO_WITHIN - loop.time()
        if self._release is None or left > 0:
            self._watched = self._release is not None
            if self._watched:
                loop.call_later(left, self._watch, loop)
            return
        self._watched = False
        log.debug("the broker sends no echo; time no longer waits for it")
        self._echoes = False
        self._let_go()

    def close(self) -> None:
        """Leave the broker."""
        self._echoes = False
        hang_up(self._client)
        self._let_go()


def _at_once(_client: mqtt.Client, _data: object, opened: object) -> None:
    """Small messages leave at once: to wait 40 ms for the last one's receipt is a long time on a fast clock."""
    if isinstance(opened, socket.socket):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
