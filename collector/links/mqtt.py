"""MQTT through paho, in the event loop: no thread, and the flood of PUBLISH packets goes past paho's slow reader.

paho connects, logs in, subscribes and keeps the connection alive; the bytes come to it through ``MqttSocket``, which
takes the published messages out on the way. The session is persistent (stable client id), and a message of QoS 1 is
acknowledged only when whoever took the batch says so: until then the broker keeps it. Reconnecting is ours, with
growing, random delay.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from building.errors import LinkDown
from collector.links.mqtt_socket import AGAIN, RETAINED, MqttSocket, Published, puback

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 20_000  # messages read and not yet taken
_MOST_BYTES: Final = 32 << 20  # of their payloads
_LARGEST_BATCH: Final = 2_000
_MOST_UNACKNOWLEDGED: Final = 1_000  # of QoS 1 on their way to us; MQTT 3.1.1 leaves it to the broker
_GREETING: Final = 10.0  # real seconds a broker may take to accept
_KEEPALIVE: Final = 30
_SHORTEST_DELAY: Final = 1.0
_LONGEST_DELAY: Final = 60.0
_TOPICS_AT_ONCE: Final = 200
_LOOK: Final = 1.0  # real seconds between two looks at the keep-alive
_NEVER_EXPIRES: Final = 0xFFFFFFFF  # of a session, MQTT 5
VERSIONS: Final = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


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


class _Heard(NamedTuple):
    message: Message
    session: int
    mid: int  # 0: nothing to acknowledge


class MqttLink:
    """Listens to ``topics`` on one broker; an async context manager.

    ``now`` stamps each message on arrival (ms UTC). ``on_state`` is called in the event loop with None when the broker
    has let us in and taken the subscriptions, and with a LinkDown that says why, once, when it cannot be used.
    ``version`` is 3.1.1 or 5. ``will`` is a topic on which we are said to be ``online`` or ``offline``, retained.
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
        version: str = "3.1.1",
        will: str | None = None,
    ) -> None:
        self.address = f"{host}:{port}"
        self.dropped = 0
        self._host, self._port = host, port
        self._topics = list(topics)
        self._access = access
        self._now = now
        self._on_state = on_state
        self._five = version == "5"
        self._persistent = persistent
        self._will = will
        self._inbox: deque[_Heard] = deque()
        self._held = 0  # bytes of the payloads in it
        self._filled = asyncio.Event()
        self._changed = asyncio.Event()
        self._session = 0
        self._unanswered = 0  # subscriptions the broker has not confirmed yet
        self._accepted = False
        self._reason = ""
        self._down_told = False
        self._socket: MqttSocket | None = None
        self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._five else not persistent,
            protocol=VERSIONS[version],
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        if access.username is not None:
            self._client.username_pw_set(access.username, access.password)
        if will is not None:
            self._client.will_set(will, b"offline", qos=1, retain=True)

    async def __aenter__(self) -> MqttLink:
        self._keeper = asyncio.create_task(self._keep_connected(), name=f"mqtt {self.address}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        if self._will is not None and self._accepted:
            self._client.publish(self._will, b"offline", qos=0, retain=True)  # a will is not sent after a goodbye
        self._hang_up()

    async def batches(self) -> AsyncIterator[Batch]:
        """Messages as they come, without end."""
        while True:
            if not self._inbox:
                self._filled.clear()
                await self._filled.wait()
            taken = [self._inbox.popleft() for _ in range(min(len(self._inbox), _LARGEST_BATCH))]
            self._held -= sum(len(heard.message.payload) for heard in taken)
            owed = [(heard.session, heard.mid) for heard in taken if heard.mid]
            yield Batch([heard.message for heard in taken], partial(self._acknowledge, owed))

    def _acknowledge(self, owed: Sequence[tuple[int, int]]) -> None:
        # What came over an earlier connection is sent again under a number of this one.
        numbers = [mid for session, mid in owed if session == self._session]
        if numbers and self._socket is not None:
            self._socket.send(b"".join(puback(mid) for mid in numbers))

    def listen_to(self, topics: Iterable[str]) -> None:
        """Subscribe to further topics, now and at every reconnection."""
        fresh = sorted(set(topics).difference(self._topics))
        self._topics += fresh
        if fresh and self._accepted:
            self._subscribe(fresh)
            self._client.loop_write()

    def ignore(self, topics: Iterable[str]) -> None:
        """No longer subscribe to these topics."""
        gone = sorted(set(topics).intersection(self._topics))
        self._topics = [topic for topic in self._topics if topic not in gone]
        if gone and self._accepted:
            self._client.unsubscribe(gone)
            self._client.loop_write()

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
                await asyncio.to_thread(self._connect)
                self._listen()
                await self._until_gone()
            except ssl.SSLCertVerificationError as error:
                self._reason = f"its certificate is not trusted ({error.verify_message}); check ca:"
            except ssl.SSLError as error:
                self._reason = f"no TLS connection ({error.reason}); check address, certificate: and key:"
            except OSError as error:
                self._reason = f"no connection ({error}); check address and network"
            self._hang_up()
            if self._accepted:
                delay = _SHORTEST_DELAY
            self._tell_down(f"the broker {self.address} cannot be used: {self._reason or 'it closed the connection'}")
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _LONGEST_DELAY)

    def _connect(self) -> None:
        """In a thread, because names and TLS handshakes take their time: the socket, and CONNECT on its way."""
        if not self._five:
            self._client.connect(self._host, self._port, _KEEPALIVE)
            return
        expiry = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        expiry.SessionExpiryInterval = _NEVER_EXPIRES if self._persistent else 0
        expiry.ReceiveMaximum = _MOST_UNACKNOWLEDGED
        clean = not self._persistent
        self._client.connect(self._host, self._port, _KEEPALIVE, clean_start=clean, properties=expiry)

    def _listen(self) -> None:
        opened = self._client.socket()
        if opened is None:  # it broke while CONNECT was being sent
            raise ConnectionError("closed at once")
        assert isinstance(opened, MqttSocket), "paho took another socket than ours"
        self._socket = opened
        opened.attach(asyncio.get_running_loop(), self._on_packets, five=self._five)

    async def _until_gone(self) -> None:
        """From the greeting to the end of the connection."""
        try:
            async with asyncio.timeout(_GREETING):
                await self._changed.wait()
        except TimeoutError:
            self._reason = f"it takes the connection but does not answer within {_GREETING:g} s"
            return
        if not self._accepted:
            return
        if self._will is not None:
            self._client.publish(self._will, b"online", qos=0, retain=True)
        self._down_told = False
        self._on_state(None)
        self._changed.clear()
        while self._client.is_connected() and not self._changed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()
            self._client.loop_misc()

    def _tell_down(self, sentence: str) -> None:
        if not self._down_told:
            self._down_told = True
            self._on_state(LinkDown(sentence))

    def _hang_up(self) -> None:
        self._client.disconnect()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # -- what comes ---------------------------------------------------------------------------------------------------

    def _on_packets(self, published: list[Published], rest: int) -> None:
        """Messages that came, and how many packets of other kinds wait in the socket for paho."""
        for _ in range(rest):  # first: a resumed session sends what waited in one go with its greeting
            self._client.loop_read()
        if rest:
            self._client.loop_write()  # what paho queued in its callbacks
        if published:
            at, session, inbox = self._now(), self._session, self._inbox
            room, held = _MOST_WAITING - len(inbox), self._held
            for topic, payload, mid, flags in published:
                if (room <= 0 or held > _MOST_BYTES) and not mid:
                    self.dropped += 1
                    continue
                room -= 1
                held += len(payload)
                message = Message(topic, payload, at, flags & RETAINED != 0, flags & AGAIN != 0)
                inbox.append(_Heard(message, session, mid))
            self._held = held
            self._filled.set()

    def _subscribe(self, topics: Sequence[str]) -> None:
        for start in range(0, len(topics), _TOPICS_AT_ONCE):
            self._unanswered += 1
            self._client.subscribe([(topic, 1) for topic in topics[start : start + _TOPICS_AT_ONCE]])

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._reason = f"it refuses us ({code}); check username and password"
        else:
            self._session += 1
            self._unanswered = 0
            self._subscribe(self._topics)
            if self._topics:
                return  # let in once the broker has taken the subscriptions
            self._accepted = True
        self._changed.set()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, codes: Sequence[Any], _properties: Any
    ) -> None:
        refused = sum(code.is_failure for code in codes)
        if refused:
            log.warning(
                "the broker %s does not let us read %d of our topics; check its access list", self.address, refused
            )
        self._unanswered -= 1
        if self._unanswered == 0 and not self._accepted:
            self._accepted = True
            self._changed.set()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._reason = self._reason or f"the connection broke ({code})"
        self._changed.set()


class _Client(mqtt.Client):
    """paho on our socket."""

    def _create_socket(self) -> Any:
        return MqttSocket(super()._create_socket())
