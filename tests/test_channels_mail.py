"""Mail: what arrives at a real SMTP server, decoded again."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from building.errors import DeliveryFailed
from rules.channels import Entry, Link, MailChannel, Message

PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256))
NASTY = '<script>alert(1)</script> & "quoted"\r\nBcc: everybody@evil.example'


class Post:
    """Takes mail, or answers as ``answer`` says at the stage it names."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refused: dict[str, str] = {}
        self.answer = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer:
            return self.answer
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"


@pytest.fixture
def post() -> Iterator[tuple[Post, Controller]]:
    handler = Post()

    def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"right", handled=False)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, "127.0.0.1", port, authenticator=login, auth_require_tls=False, decode_data=False)
    controller.start()
    yield handler, controller
    controller.stop()


def channel(controller: Controller, **other: Any) -> MailChannel:
    return MailChannel(
        "127.0.0.1", controller.port, "green@office.example", ["keeper@office.example"], security="none", timeout_s=5,
        **other,
    )  # fmt: skip


def message(**other: Any) -> Message:
    entry = Entry(
        "301办公室：无人亮灯（301照明）",
        ("已浪费 0.19 kWh。",),
        (Link("查看并处理", "https://green.example/a/x?y=1&z=2"),),
    )
    alert = {"id": "a1", "state": "firing", "severity": "warning"}
    return Message("m1", "301办公室：无人亮灯", "已浪费 0.19 kWh。", alert, (entry,), ("页脚",))._replace(**other)


async def test_a_mail_has_text_html_and_the_picture_inside(post: tuple[Post, Controller]) -> None:
    handler, controller = post
    await channel(controller).send(message(picture=PNG))
    (mail,) = handler.mails
    assert mail["Subject"] == "301办公室：无人亮灯"
    assert (mail["From"], mail["To"]) == ("green@office.example", "keeper@office.example")
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "https://green.example/a/x?y=1&z=2" in plain.get_content()
    assert 'src="cid:picture@greenwarden"' in html.get_content()
    assert 'href="https://green.example/a/x?y=1&amp;z=2"' in html.get_content()
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture["Content-ID"] == "<picture@greenwarden>"
    assert picture.get_content() == PNG
    assert "multipart/related" in [part.get_content_type() for part in mail.walk()]


async def test_a_list_has_the_colour_of_the_worst_that_is_not_over_and_each_links_own_alert_above_it(
    post: tuple[Post, Controller],
) -> None:
    handler, controller = post
    gone, leak = {"id": "a1", "state": "resolved", "severity": "warning"}, {"id": "a2", "severity": "critical"}
    entries = tuple(Entry(f"告警 {n}", (), (Link("查看", f"https://green.example/{n}"),)) for n in (1, 2))
    for alerts, colour in (((gone, leak), "#c0392b"), ((gone, gone), "#1e8449")):
        await channel(controller).send(message(entries=entries, alert=gone, alerts=alerts))
        html, plain = handler.mails[-1].get_body(("html",)), handler.mails[-1].get_body(("plain",))
        assert html is not None
        assert plain is not None
        assert f"color:{colour}" in html.get_content()
        assert plain.get_content().split() == [
            "告警", "1", "查看：https://green.example/1", "告警", "2", "查看：https://green.example/2", "页脚",
        ]  # fmt: skip


async def test_a_mail_goes_to_whom_the_message_names_and_its_id_is_the_same_at_every_attempt(
    post: tuple[Post, Controller],
) -> None:
    handler, controller = post
    for _ in range(2):
        await channel(controller).send(message(to=("a@office.example", "b@office.example")))
    assert handler.recipients == [["a@office.example", "b@office.example"]] * 2
    assert len({mail["Message-ID"] for mail in handler.mails}) == 1


async def test_names_from_outside_do_nothing_in_headers_and_html(post: tuple[Post, Controller]) -> None:
    handler, controller = post
    entry = Entry(NASTY, (NASTY,), (Link(NASTY, "https://green.example/"),))
    await channel(controller).send(message(title=NASTY, text=NASTY, entries=(entry,), footer=(NASTY,)))
    (mail,) = handler.mails
    assert mail["Bcc"] is None
    html = mail.get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()
    assert "&lt;script&gt;" in html.get_content()


@pytest.mark.parametrize(
    ("answer", "retry"), [("451 try later", True), ("552 too big", False), ("550 no", False), ("421 busy", True)]
)
async def test_the_servers_code_says_whether_a_retry_can_help(
    post: tuple[Post, Controller], answer: str, retry: bool
) -> None:
    handler, controller = post
    handler.answer = answer
    with pytest.raises(DeliveryFailed) as caught:
        await channel(controller).send(message())
    assert caught.value.retry is retry


async def test_one_refused_recipient_is_told_and_all_refused_is_a_failure(post: tuple[Post, Controller]) -> None:
    handler, controller = post
    handler.refused["gone@office.example"] = "550 unknown"
    receipt = await channel(controller).send(message(to=("gone@office.example", "keeper@office.example")))
    assert "gone@office.example" in receipt
    with pytest.raises(DeliveryFailed, match="every recipient") as caught:
        await channel(controller).send(message(to=("gone@office.example",)))
    assert not caught.value.retry


async def test_a_wrong_password_is_a_failure_without_the_password_in_it(post: tuple[Post, Controller]) -> None:
    handler, controller = post
    with pytest.raises(DeliveryFailed) as caught:
        await channel(controller, username="green", password="not-this-one").send(message())
    assert not caught.value.retry
    assert "not-this-one" not in str(caught.value)
    await channel(controller, username="green", password="right").send(message())
    assert len(handler.mails) == 1


async def test_a_server_that_is_away_or_says_nothing_is_worth_a_retry() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mute = MailChannel("127.0.0.1", port, "g@x.example", ["k@x.example"], security="none", timeout_s=0.3)
        with pytest.raises(DeliveryFailed) as caught:
            await asyncio.wait_for(mute.send(message()), 30)
        assert caught.value.retry
    with pytest.raises(DeliveryFailed) as caught:
        await mute.send(message())
    assert caught.value.retry


async def test_a_server_without_starttls_gets_nothing_in_clear(post: tuple[Post, Controller]) -> None:
    handler, controller = post
    safe = MailChannel("127.0.0.1", controller.port, "g@x.example", ["k@x.example"], timeout_s=5)
    with pytest.raises(DeliveryFailed, match="see security:") as caught:
        await safe.send(message())
    assert not caught.value.retry
    assert handler.mails == []


async def test_a_mail_without_recipient_is_refused_with_the_way_out() -> None:
    with pytest.raises(DeliveryFailed, match="write to:"):
        await MailChannel("127.0.0.1", 1, "g@x.example", []).send(message())
