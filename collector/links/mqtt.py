"""MQTT through paho: its thread reads the socket, batches of messages cross over to the event loop.

The session is persistent (MQTT 3.1.1, stable client id), and a message of QoS 1 is acknowledged only when whoever took
the batch says so: until then the broker keeps it. Reconnecting is ours, with growing, random delay.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from building.errors import LinkDown

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 20_000  # messages between thread and loop
_LARGEST_BATCH: Final = 2_000
_GREETING: Final = 10.0  # real seconds a broker may take to accept
_KEEPALIVE: Final = 30
_SHORTEST_DELAY: Final = 1.0
_LONGEST_DELAY: Final = 60.0
_TOPICS_AT_ONCE: Final = 200


class Message(NamedTuple):
    """One message. ``arrived_at`` is ms UTC; ``again`` says that the broker sends it once more."""

    topic: str
    payload: bytes
    arrived_at: int
    retained: bool
    again: bool


class Batch(NamedTuple):
    """Messages in order; ``acknowledge`` lets the broker forget them."""

    messages: list[Message]
    acknowledge: Callable[[], None]


class Access(NamedTuple):
    """How to get in: name and password, and the files of a TLS connection (``tls`` alone: the system's authorities)."""

    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class MqttLink:
    """Listens to ``topics`` on one broker; an async context manager.

    ``now`` stamps each message on arrival (ms UTC). ``on_state`` is called in the event loop with None when the broker
    has let us in and taken the subscriptions, and with a LinkDown that says why, once, when it cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        topics: Sequence[str],
        *,
        client_id: str,
        access: Access,
        now: Callable[[], int],
        on_state: Callable[[LinkDown | None], None],
        persistent: bool = True,
    ) -> None:
        self.address = f"{host}:{port}"
        self.dropped = 0
        self._host, self._port = host, port
        self._topics = list(topics)
        self._access = access
        self._now = now
        self._on_state = on_state
        self._inbox: deque[tuple[Message, int, int, int]] = deque()
        self._filled = asyncio.Event()
        self._changed = asyncio.Event()
        self._woken = False
        self._session = 0
        self._unanswered = 0  # subscriptions the broker has not confirmed yet
        self._accepted = False
        self._reason = ""
        self._down_told = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=not persistent,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        # Before connecting: a persistent session delivers what waited the moment it is resumed.
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        if access.username is not None:
            self._client.username_pw_set(access.username, access.password)

    async def __aenter__(self) -> MqttLink:
        self._loop = asyncio.get_running_loop()
        self._keeper = asyncio.create_task(self._keep_connected(), name=f"mqtt {self.address}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        await asyncio.to_thread(self._hang_up)

    async def batches(self) -> AsyncIterator[Batch]:
        """Messages as they come, without end."""
        while True:
            self._woken = False
            if not self._inbox:
                self._filled.clear()
                await self._filled.wait()
                continue
            taken = [self._inbox.popleft() for _ in range(min(len(self._inbox), _LARGEST_BATCH))]
            owed = [(session, mid, qos) for _, session, mid, qos in taken if qos]
            yield Batch([message for message, *_ in taken], lambda owed=owed: self._acknowledge(owed))  # type: ignore[misc]

    def _acknowledge(self, owed: Sequence[tuple[int, int, int]]) -> None:
        for session, mid, qos in owed:
            # What came over an earlier connection is sent again under a number of this one.
            if session == self._session:
                self._client.ack(mid, qos)

    # -- the connection -----------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        delay = _SHORTEST_DELAY
        if self._access.tls:
            try:
                self._client.tls_set(self._access.ca, self._access.certificate, self._access.key)
            except (OSError, ssl.SSLError, ValueError) as error:
                self._tell_down(f"the TLS files of {self.address} cannot be used ({error}); check ca, certificate, key")
                return
        while True:
            self._accepted, self._reason = False, ""
            self._changed.clear()
            try:
                await asyncio.to_thread(self._client.connect, self._host, self._port, _KEEPALIVE)
                self._client.loop_start()
                await self._until_gone()
            except ssl.SSLCertVerificationError as error:
                self._reason = f"its certificate is not trusted ({error.verify_message}); check ca:"
            except OSError as error:
                self._reason = f"no connection ({error}); check address and network"
            await asyncio.to_thread(self._hang_up)
            if self._accepted:
                delay = _SHORTEST_DELAY
            self._tell_down(f"the broker {self.address} cannot be used: {self._reason or 'it closed the connection'}")
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _until_gone(self) -> None:
        """From the greeting to the end of the connection."""
        try:
            await asyncio.wait_for(self._changed.wait(), _GREETING)
        except TimeoutError:
            self._reason = f"it takes the connection but does not answer within {_GREETING:g} s"
            return
        if not self._accepted:
            return
        self._down_told = False
        self._on_state(None)
        self._changed.clear()
        if self._client.is_connected():
            await self._changed.wait()

    def _tell_down(self, sentence: str) -> None:
        if not self._down_told:
            self._down_told = True
            self._on_state(LinkDown(sentence))

    def _hang_up(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    # -- called in paho's thread --------------------------------------------------------------------------------------

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._reason = f"it refuses us ({code}); check username and password"
        else:
            self._session += 1
            self._unanswered = 0
            for start in range(0, len(self._topics), _TOPICS_AT_ONCE):
                self._unanswered += 1
                client.subscribe([(topic, 1) for topic in self._topics[start : start + _TOPICS_AT_ONCE]])
            if self._topics:
                return  # let in once the broker has taken the subscriptions
            self._accepted = True
        self._loop.call_soon_threadsafe(self._changed.set)

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, codes: Sequence[Any], _properties: Any
    ) -> None:
        refused = sum(code.is_failure for code in codes)
        if refused:
            log.warning(
                "the broker %s does not let us read %d of our topics; check its access list", self.address, refused
            )
        self._unanswered -= 1
        if self._unanswered == 0:
            self._accepted = True
            self._loop.call_soon_threadsafe(self._changed.set)

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._reason = self._reason or f"the connection broke ({code})"
        self._loop.call_soon_threadsafe(self._changed.set)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if len(self._inbox) >= _MOST_WAITING and message.qos == 0:
            self.dropped += 1
            return
        heard = Message(message.topic, bytes(message.payload), self._now(), message.retain, message.dup)
        self._inbox.append((heard, self._session, message.mid, message.qos))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._filled.set)
