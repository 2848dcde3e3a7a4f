"""Messages to an MQTT topic, and answers from another.

The alert's JSON goes out at QoS 1, under the ident as ``ident``. Answers are JSON objects such as
``{"alert": "…", "action": "acknowledge", "by": "Li", "reason": "fixed"}``; who may write to that topic is the broker's
business. What is retained is left alone: an old answer must not be given again at every start.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final, Self

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from building.errors import DeliveryFailed
from building.waiting import hang_up
from rules.channels.message import Message

log = logging.getLogger(__name__)

_LARGEST: Final = 250_000  # bytes of a message that we send
_LARGEST_ANSWER: Final = 4096  # bytes of one that we take

AnswerTaker = Callable[[dict[str, Any]], None]


class MqttChannel:
    """Publishes to ``topic`` of one broker, over a connection that is kept while the ``async with`` lasts."""

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        *,
        answers: str | None = None,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        ca: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._address, self._topic, self._answers, self._timeout_s = (host, port), topic, answers, timeout_s
        self.on_answer: AnswerTaker | None = None
        """Called in the event loop with each answer."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.username_pw_set(username, password)
        if tls:
            self._client.tls_set_context(ssl.create_default_context(cafile=ca))
        self._client.on_connect = self._connected
        self._client.on_message = self._heard
        self._client.reconnect_delay_set(1, 60)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._client.connect_async(*self._address)
        self._client.loop_start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(hang_up, self._client)

    async def send(self, message: Message) -> str:
        alerts = message.alerts or (message.alert,)
        body = msgspec.json.encode(
            {"ident": message.ident, "title": message.title, "text": message.text, "alerts": alerts}
        )
        if len(body) > _LARGEST:
            raise DeliveryFailed(f"the message has more than {_LARGEST} bytes", retry=False)
        await asyncio.to_thread(self._publish, body)
        return "acknowledged by the broker"

    def _publish(self, body: bytes) -> None:
        host = self._address[0]
        if not self._client.is_connected():
            raise DeliveryFailed(f"MQTT broker {host} cannot be reached", retry=True)
        sent = self._client.publish(self._topic, body, qos=1)
        try:
            sent.wait_for_publish(self._timeout_s)
        except (RuntimeError, ValueError) as error:
            raise DeliveryFailed(f"MQTT broker {host} did not take the message ({error})", retry=True) from None
        if not sent.is_published():
            raise DeliveryFailed(f"MQTT broker {host} did not confirm the message", retry=True)

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            log.warning("MQTT broker %s refused the login for messages: %s", self._address[0], reason)
        elif self._answers is not None:
            client.subscribe(self._answers, qos=1)

    def _heard(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        if message.retain or len(message.payload) > _LARGEST_ANSWER:
            return
        try:
            answer = msgspec.json.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = None
        if not isinstance(answer, dict):
            log.warning("an answer on %s is no JSON object; it is left out", message.topic)
        elif self.on_answer is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self.on_answer, answer)
