"""The chat robots and the webhook against sinks that check what the services check, and misbehave as they do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from building.errors import DeliveryFailed
from rules.channels import DingTalkChannel, Entry, FeishuChannel, Link, Message, TooFast, WebhookChannel, WeComChannel
from rules.channels.markup import plainly
from tests.parts import Answer, HttpSink, Request

NASTY = "<script>alert(1)</script> [click](http://evil.example) @all *bold* `x` # head\n\n> quote\x07"
SECRET = "SEC-0123456789-secret"
TOKEN = "token-0123456789-secret"


def message(**other: Any) -> Message:
    entries = (
        Entry("301办公室：无人亮灯", ("07月01日 18:10 起，已 35分钟。", "已浪费 0.19 kWh，0.15 CNY。"),
              (Link("查看并处理", "https://green.example/a/xyz"),)),
        Entry("302办公室：无人亮灯", ("07月01日 18:20 起。",)),
    )  # fmt: skip
    alert = {"id": "a1", "state": "firing", "severity": "warning"}
    made = Message("m1", "财务处：2 条告警", "text", alert, entries, ("今天到此为止。",), (alert, {"id": "a2"}))
    return made._replace(**other)


class Service:
    """A robot's service: checks every request as its documentation says, and answers with an error otherwise."""

    def __init__(self, check: Callable[[Request], str], good: dict[str, Any], bad: Callable[[str], dict[str, Any]]):
        self._check, self._good, self._bad = check, good, bad
        self.complaints: list[str] = []

    def __call__(self, request: Request) -> Answer:
        complaint = self._check(request)
        self.complaints.append(complaint)
        return Answer(200, json.dumps(self._bad(complaint) if complaint else self._good).encode())


def dingtalk(request: Request) -> str:
    parts, body = urlsplit(request.path), request.json()
    query = parse_qs(parts.query, strict_parsing=True)
    if parts.path != "/robot/send" or query["access_token"] != [TOKEN]:
        return "token is not exist"
    stamp = query["timestamp"][0]
    if abs(int(stamp) / 1000 - time.time()) > 3600:
        return "timestamp is out of the hour"
    wanted = base64.b64encode(hmac.digest(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), "sha256")).decode()
    if query["sign"] != [wanted]:
        return "sign not match"
    if len(request.body) > 20_000:
        return "message too long"
    if not request.headers["content-type"].startswith("application/json"):
        return "not json"
    wrong = body["msgtype"] != "markdown" or not body["markdown"]["title"] or not body["markdown"]["text"]
    unnamed = [number for number in body["at"]["atMobiles"] if f"@{number}" not in body["markdown"]["text"]]
    return "bad body" if wrong or unnamed else ""


def wecom(request: Request) -> str:
    parts, body = urlsplit(request.path), request.json()
    if parts.path != "/cgi-bin/webhook/send" or parse_qs(parts.query) != {"key": [TOKEN]}:
        return "invalid webhook url"
    if body["msgtype"] == "markdown":
        return "content exceeds 4096 bytes" if len(body["markdown"]["content"].encode()) > 4096 else ""
    picture = base64.b64decode(body["image"]["base64"], validate=True)
    return "" if hashlib.md5(picture).hexdigest() == body["image"]["md5"] else "md5 not match"


def feishu(request: Request) -> str:
    body = request.json()
    if request.path != f"/open-apis/bot/v2/hook/{TOKEN}":
        return "incoming webhook access token invalid"
    key = f"{body['timestamp']}\n{SECRET}".encode()
    if body["sign"] != base64.b64encode(hmac.digest(key, b"", "sha256")).decode():
        return "sign match fail or timestamp is not within one hour from current time"
    if len(request.body) > 20_480:
        return "too large"
    card = body["card"]
    return "" if body["msg_type"] == "interactive" and card["header"]["title"]["content"] else "bad card"


def robots(url: str, timeout_s: float = 10.0) -> dict[str, Any]:
    return {
        "dingtalk": DingTalkChannel(TOKEN, secret=SECRET, url=url, timeout_s=timeout_s),
        "wecom": WeComChannel(TOKEN, url=url, timeout_s=timeout_s),
        "feishu": FeishuChannel(TOKEN, secret=SECRET, url=url, timeout_s=timeout_s),
        "webhook": WebhookChannel(f"{url}/hook", secret=SECRET, timeout_s=timeout_s),
    }


SERVICES = {
    "dingtalk": Service(dingtalk, {"errcode": 0, "errmsg": "ok"}, lambda why: {"errcode": 310000, "errmsg": why}),
    "wecom": Service(wecom, {"errcode": 0, "errmsg": "ok"}, lambda why: {"errcode": 93000, "errmsg": why}),
    "feishu": Service(feishu, {"code": 0, "msg": "success", "data": {}}, lambda why: {"code": 19021, "msg": why}),
}
ALL = (*SERVICES, "webhook")


@pytest.mark.parametrize("name", SERVICES)
async def test_a_robot_takes_what_we_send_signed_and_in_its_form(name: str, http_sink: HttpSink) -> None:
    http_sink.answer = SERVICES[name]
    receipt = await robots(http_sink.url)[name].send(message(mention=("13800000000",)))
    assert receipt in ("ok", "success")
    text = http_sink.requests[0].body.decode()
    for words in ("财务处：2 条告警", "302办公室", "https://green.example/a/xyz", "今天到此为止"):
        assert words in text
    assert "13800000000" in text


@pytest.mark.parametrize("name", SERVICES)
async def test_a_wrong_secret_is_a_failure_though_the_service_answers_200(name: str, http_sink: HttpSink) -> None:
    http_sink.answer = SERVICES[name]
    wrong = {
        "dingtalk": DingTalkChannel(TOKEN, secret="other", url=http_sink.url),
        "wecom": WeComChannel("other", url=http_sink.url),
        "feishu": FeishuChannel(TOKEN, secret="other", url=http_sink.url),
    }[name]
    with pytest.raises(DeliveryFailed, match="refused the message") as caught:
        await wrong.send(message())
    assert not caught.value.retry


@pytest.mark.parametrize(
    ("name", "body", "retry", "wait"),
    [
        ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, True, 600),
        ("dingtalk", {"errcode": -1, "errmsg": "system busy"}, True, None),
        ("dingtalk", {"errcode": 310000, "errmsg": "keywords not in content"}, False, None),
        ("wecom", {"errcode": 45009, "errmsg": "api freq out of limit"}, True, 60),
        ("wecom", {"errcode": 40008, "errmsg": "invalid message type"}, False, None),
        ("feishu", {"code": 11232, "msg": "frequency limited"}, True, 60),
        ("feishu", {"code": 19024, "msg": "Key Words Not Found"}, False, None),
        ("feishu", {"StatusCode": 9499, "StatusMessage": "Bad Request"}, False, None),
        ("dingtalk", {"errmsg": "no code at all"}, True, None),
        ("feishu", {}, True, None),
    ],
)
async def test_a_200_with_an_error_body_is_a_failure_of_its_kind(
    name: str, body: dict[str, Any], retry: bool, wait: float | None, http_sink: HttpSink
) -> None:
    http_sink.answer = Answer(200, json.dumps(body).encode())
    with pytest.raises(DeliveryFailed) as caught:
        await robots(http_sink.url)[name].send(message())
    assert caught.value.retry is retry
    assert (caught.value.wait_s if isinstance(caught.value, TooFast) else None) == wait


@pytest.mark.parametrize("raw", [b"", b"<html>ok</html>", b"[0]", b"\xff\xfe", b'{"errcode": 0'])
@pytest.mark.parametrize("name", SERVICES)
async def test_a_200_that_is_no_json_object_is_a_failure(name: str, raw: bytes, http_sink: HttpSink) -> None:
    http_sink.answer = Answer(200, raw)
    with pytest.raises(DeliveryFailed) as caught:
        await robots(http_sink.url)[name].send(message())
    assert caught.value.retry


@pytest.mark.parametrize(("status", "retry"), [(500, True), (503, True), (429, True), (400, False), (302, False)])
@pytest.mark.parametrize("name", ALL)
async def test_a_status_says_whether_a_retry_can_help_and_no_redirect_is_followed(
    name: str, status: int, retry: bool, http_sink: HttpSink
) -> None:
    headers = {"Location": f"{http_sink.url}/elsewhere", "Retry-After": "7"}
    http_sink.answer = Answer(status, b'{"errcode":0,"code":0}', headers=headers)
    with pytest.raises(DeliveryFailed) as caught:
        await robots(http_sink.url)[name].send(message())
    assert caught.value.retry is retry
    assert len(http_sink.requests) == 1
    if status == 429:
        assert isinstance(caught.value, TooFast)
        assert caught.value.wait_s == 7


class Rude:
    """A server that takes a request and then answers nothing at all, or half of what it announced."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._open = answer, threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        with client:
            while b"\r\n\r\n" not in client.recv(65536):
                pass
            client.sendall(self._answer)
            if not self._answer:
                self._open.wait(10)

    def close(self) -> None:
        self._open.set()
        self._server.close()


@pytest.fixture(params=["silence", "half a body"])
def rude(request: pytest.FixtureRequest) -> Iterator[Rude]:
    half = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{"errcode":0,'
    server = Rude(b"" if request.param == "silence" else half)
    yield server
    server.close()


@pytest.mark.parametrize("name", ALL)
async def test_silence_and_half_a_body_are_failures_worth_a_retry(name: str, rude: Rude) -> None:
    with pytest.raises(DeliveryFailed, match="cannot be reached") as caught:
        await robots(rude.url, timeout_s=0.3)[name].send(message())
    assert caught.value.retry


@pytest.mark.parametrize("name", ALL)
async def test_no_secret_stands_in_an_error_or_a_log(
    name: str, http_sink: HttpSink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for answer in (Answer(500), Answer(200, b'{"errcode": 1, "code": 1}'), Answer(404)):
        http_sink.answer = answer
        try:
            await robots(http_sink.url)[name].send(message())
        except DeliveryFailed as error:
            said = f"{error} {error!r} {error.__cause__} {error.__context__ if not error.__suppress_context__ else ''}"
            assert TOKEN not in said
            assert SECRET not in said
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("name", SERVICES)
async def test_a_long_message_is_cut_to_the_services_size_and_says_how_many_are_left_out(
    name: str, http_sink: HttpSink
) -> None:
    http_sink.answer = SERVICES[name]
    many = tuple(Entry(f"房间 {n}：无人亮灯", ("自 18:10 起，" * 10,)) for n in range(300))
    await robots(http_sink.url)[name].send(message(entries=many, mention=("13800000000",)))
    assert "另有" in http_sink.requests[0].body.decode()
    assert "今天到此为止" in http_sink.requests[0].body.decode()


@pytest.mark.parametrize("name", SERVICES)
async def test_names_from_outside_do_nothing_in_markdown(name: str, http_sink: HttpSink) -> None:
    http_sink.answer = SERVICES[name]
    await robots(http_sink.url)[name].send(message(title=NASTY, entries=(Entry(NASTY, (NASTY,)),), footer=(NASTY,)))
    body = http_sink.requests[0].json()
    card = body.get("card", {"elements": [{"content": ""}]})
    text = str(body.get("markdown", {}).get("text") or body.get("markdown", {}).get("content") or "")
    text += str(card["elements"][0]["content"])
    assert text
    for harm in ("<script", "](http", "http://evil", "@all", "*bold", "`x`", "# head", "\x07"):
        assert harm not in text
    assert plainly("2.5 kWh, 26 °C, A-1") == "2.5 kWh, 26 °C, A-1"


async def test_wecom_sends_the_picture_after_the_words_and_does_without_it_when_it_is_refused(
    http_sink: HttpSink,
) -> None:
    http_sink.answer = SERVICES["wecom"]
    channel = WeComChannel(TOKEN, url=http_sink.url)
    assert await channel.send(message(picture=b"\x89PNG...")) == "ok"
    assert [request.json()["msgtype"] for request in http_sink.requests] == ["markdown", "image"]
    http_sink.answer = lambda request: (
        Answer(200, b'{"errcode": 0, "errmsg": "ok"}') if b"markdown" in request.body else Answer(500)
    )
    receipt = await channel.send(message(picture=b"\x89PNG..."))
    assert "without picture" in receipt


async def test_a_webhook_gets_the_alerts_json_signed_with_the_secret(http_sink: HttpSink) -> None:
    alert = {"id": "a1", "title": '引号" 换行\n <b>'}
    await WebhookChannel(f"{http_sink.url}/hook", secret="top").send(Message("a1:firing", "t", "x", alert))
    (request,) = http_sink.requests
    assert request.json() == alert
    assert request.headers["x-greenwarden-id"] == "a1:firing"
    assert request.headers["x-greenwarden-signature"] == "sha256=" + hmac.digest(b"top", request.body, "sha256").hex()


async def test_several_alerts_in_one_webhook_message_come_as_a_list(http_sink: HttpSink) -> None:
    await WebhookChannel(http_sink.url).send(message())
    assert [alert["id"] for alert in http_sink.requests[0].json()["alerts"]] == ["a1", "a2"]


async def test_a_robot_that_is_away_is_worth_a_retry() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for channel in robots(f"http://127.0.0.1:{port}", timeout_s=1).values():
        with pytest.raises(DeliveryFailed) as caught:
            await channel.send(message())
        assert caught.value.retry
