"""The MQTT channel against mosquitto: messages out, answers in."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from building.errors import DeliveryFailed, InputError
from building.waiting import hang_up
from rules.answers import from_topic
from rules.channels import Message, MqttChannel
from tests.notify_parts import HOUR, an_alert
from tests.parts import Mosquitto, eventually


def channel(broker: Mosquitto, **other: Any) -> MqttChannel:
    login = {"username": broker.username, "password": broker.password} | other
    return MqttChannel("127.0.0.1", broker.port, "greenwarden/alerts", answers="greenwarden/answers", **login)


class Reader:
    """Somebody on the other side of the broker."""

    def __init__(self, broker: Mosquitto) -> None:
        self.got: list[dict[str, Any]] = []
        self.ready = False
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.username_pw_set(broker.username, broker.password)
        self.client.on_message = lambda client, data, message: self.got.append(json.loads(message.payload))
        self.client.on_connect = lambda client, *_: client.subscribe("greenwarden/alerts", qos=1)
        self.client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def close(self) -> None:
        hang_up(self.client)


async def sent(mqtt: MqttChannel, message: Message) -> str:
    """Try until the connection is up."""
    for _ in range(600):
        try:
            return await mqtt.send(message)
        except DeliveryFailed:
            await asyncio.sleep(0.05)
    raise AssertionError("the message was never taken")


async def test_a_message_arrives_as_json_under_its_ident_and_answers_come_back(mosquitto: Mosquitto) -> None:
    reader = Reader(mosquitto)
    answers: list[dict[str, Any]] = []
    mqtt = channel(mosquitto)
    mqtt.on_answer = answers.append
    async with mqtt:
        await eventually(lambda: reader.ready, "the reader has subscribed")
        assert await sent(mqtt, Message("a1:firing", "灯未关", "text", an_alert())) == "acknowledged by the broker"
        await eventually(lambda: reader.got, "the message arrives")
        assert (reader.got[0]["ident"], reader.got[0]["alerts"]) == ("a1:firing", [an_alert()])
        given = {"alert": "a1", "action": "acknowledge", "by": "Li", "reason": "fixed"}
        for payload in (b"no json", b"[1]", b"\xff", b"x" * 5000, json.dumps(given).encode()):
            reader.client.publish("greenwarden/answers", payload, qos=1)
        await eventually(lambda: answers, "the answer arrives")
    reader.close()
    assert answers == [given]


async def test_a_retained_answer_is_not_given_again_at_every_start(mosquitto: Mosquitto) -> None:
    reader = Reader(mosquitto)
    await eventually(lambda: reader.ready, "the reader has subscribed")
    reader.client.publish("greenwarden/answers", b'{"alert": "old"}', qos=1, retain=True).wait_for_publish(30)
    answers: list[dict[str, Any]] = []
    mqtt = channel(mosquitto)
    mqtt.on_answer = answers.append
    async with mqtt:
        await sent(mqtt, Message("m", "t", "x", {}))
        reader.client.publish("greenwarden/answers", b'{"alert": "new"}', qos=1)
        await eventually(lambda: answers, "the answer arrives")
    reader.close()
    assert answers == [{"alert": "new"}]


async def test_a_broker_that_is_away_or_refuses_the_login_is_a_failure_worth_a_retry(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with channel(mosquitto, password="wrong") as mqtt:
        for _ in range(5):
            with pytest.raises(DeliveryFailed) as caught:
                await mqtt.send(Message("m", "t", "x", {}))
            assert caught.value.retry
            await asyncio.sleep(0.05)


def test_an_answer_from_a_topic_is_read_or_refused_with_what_is_wrong() -> None:
    answer = from_topic({"alert": "a1", "action": "silence", "by": "Li", "why": "x", "for": "2h", "more": 1}, 1000)
    assert (answer.alert, answer.until, answer.via) == ("a1", 1000 + 2 * HOUR, "mqtt")
    for wrong in ({"alert": 5}, {"alert": "a", "for": "soon"}, {"alert": "a", "by": ["x"]}):
        with pytest.raises(InputError):
            from_topic(wrong, 1000)
