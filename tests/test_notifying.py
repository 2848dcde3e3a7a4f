"""From an alert's change to a channel: nothing lost, nothing twice, and a reason for whatever was held back."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from building.document import parse_document
from building.errors import ConfigError, DeliveryFailed
from building.site import build_site
from rules.channels import check_channels, open_channels
from rules.channels.message import Message
from rules.channels.terminal import TerminalChannel
from rules.channels.webhook import WebhookChannel
from rules.notifying import Notifier


def an_alert(ident: str = "a1", state: str = "firing") -> dict[str, object]:
    return {
        "id": ident,
        "rule": "lights_left_on",
        "state": state,
        "title": "301办公室 灯未关",
        "text": "已浪费 0.2 kWh",
    }


class MemoryKeeper:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def save(self, name: str, blob: bytes) -> None:
        self.blobs[name] = blob

    def load(self, name: str) -> bytes | None:
        return self.blobs.get(name)


class ListChannel:
    def __init__(self, *failures: DeliveryFailed) -> None:
        self.failures = list(failures)
        self.got: list[Message] = []

    async def send(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.got.append(message)


class NoWait:
    """Stands in for the random number generator: every delay is nothing."""

    def uniform(self, low: float, high: float) -> float:
        return 0.0


async def told(channel: ListChannel, keeper: MemoryKeeper, *alerts: dict[str, object]) -> Notifier:
    async with Notifier({"desk": channel}, keeper, draw=NoWait()) as notifier:  # type: ignore[arg-type]
        await notifier.tell(alerts)
        assert await notifier.drained(5)
    return notifier


async def test_a_raised_and_a_resolved_alert_are_each_told_once_and_in_order() -> None:
    channel, keeper = ListChannel(), MemoryKeeper()
    await told(channel, keeper, an_alert(), an_alert(), an_alert(state="resolved"), an_alert(state="resolved"))
    assert [message.ident for message in channel.got] == ["a1:firing", "a1:resolved"]


async def test_the_same_alert_is_not_told_again_after_a_restart() -> None:
    channel, keeper = ListChannel(), MemoryKeeper()
    await told(channel, keeper, an_alert())
    await told(channel, keeper, an_alert())
    assert len(channel.got) == 1


async def test_a_message_that_no_channel_took_is_sent_after_a_restart() -> None:
    class Unreachable:
        async def send(self, message: Message) -> None:
            await asyncio.Event().wait()

    keeper, channel = MemoryKeeper(), ListChannel()
    async with Notifier({"desk": Unreachable()}, keeper) as notifier:
        await notifier.tell([an_alert()])
    await told(channel, keeper)
    assert [message.ident for message in channel.got] == ["a1:firing"]


async def test_the_end_of_an_alert_nobody_was_told_of_is_held_back() -> None:
    channel = ListChannel()
    notifier = await told(channel, MemoryKeeper(), an_alert(state="resolved"))
    assert channel.got == []
    assert notifier.counts["held back"] == 1


async def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_given_up() -> None:
    passing = ListChannel(DeliveryFailed("busy", retry=True), DeliveryFailed("busy", retry=True))
    await told(passing, MemoryKeeper(), an_alert())
    assert len(passing.got) == 1
    lasting = ListChannel(DeliveryFailed("wrong key", retry=False))
    notifier = await told(lasting, MemoryKeeper(), an_alert(), an_alert("a2"))
    assert [message.ident for message in lasting.got] == ["a2:firing"]
    assert notifier.counts["failed by desk"] == 1


async def test_the_terminal_shows_text_and_swallows_control_characters() -> None:
    lines: list[str] = []
    await TerminalChannel(lines.append).send(Message("i", "301\x1b[31m", "灯\x07未关", {}))
    assert lines == ["301 [31m\n  灯 未关"]


class Sink:
    """A webhook receiver that answers what it is told to."""

    def __init__(self) -> None:
        self.status = 204
        self.requests: list[tuple[dict[str, str], bytes]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests.append((dict(self.headers), body))
                self.send_response(sink.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def test_a_webhook_gets_the_alerts_json_signed_with_the_secret(sink: Sink) -> None:
    await WebhookChannel(sink.url, secret="top").send(Message("a1:firing", "t", "x", an_alert()))
    headers, body = sink.requests[0]
    assert json.loads(body) == an_alert()
    assert headers["X-Greenwarden-Id"] == "a1:firing"
    assert headers["X-Greenwarden-Signature"] == "sha256=" + hmac.new(b"top", body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("status", "retry"), [(500, True), (503, True), (429, True), (400, False), (302, False), (404, False)]
)
async def test_a_webhook_says_whether_trying_again_can_help_and_follows_no_redirect(
    sink: Sink, status: int, retry: bool
) -> None:
    sink.status = status
    with pytest.raises(DeliveryFailed) as caught:
        await WebhookChannel(sink.url).send(Message("i", "t", "x", {}))
    assert caught.value.retry is retry
    assert len(sink.requests) == 1


async def test_a_webhook_that_is_away_is_worth_a_retry() -> None:
    with pytest.raises(DeliveryFailed) as caught:
        await WebhookChannel("http://127.0.0.1:9/hook").send(Message("i", "t", "x", {}))
    assert caught.value.retry


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ("{type: pigeon}", "type must be one of terminal, webhook"),
        ("{type: webhook}", "the key 'url' is missing"),
        ("{type: webhook, url: ftp://x}", "is no address; write https://host/path"),
        ("{type: webhook, url: 'http://u:p@x/'}", "name and password do not belong into the address"),
        ("{type: webhook, url: 'http://x/', secret: abc}", "a secret must not stand here in clear"),
        ("{type: terminal, colour: red}", "unknown key 'colour'"),
    ],
)
def test_a_wrong_channel_is_refused_at_the_door(channel: str, told: str) -> None:
    document = parse_document(f"version: 1\nchannels:\n  hook: {channel}\n".encode(), "devices.yaml")
    with pytest.raises(ConfigError) as caught:
        build_site(document, [check_channels])
    assert "devices.yaml:3: channel 'hook': " in str(caught.value)
    assert told in str(caught.value)


def test_the_channels_of_a_good_file_open() -> None:
    document = parse_document(
        b"version: 1\nchannels:\n  a: {type: terminal}\n  b: {type: webhook, url: 'https://x/'}\n", "d"
    )
    assert set(open_channels(build_site(document, [check_channels]))) == {"a", "b"}
