"""The links in messages and the page they open: once, for a while, for one thing; anything else is 403."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.clock import ManualClock
from building.errors import InputError, StoreAway
from dashboards.alert_page import AlertPage
from rules.life import Answer, checked
from rules.links import Forbidden, Links, Ticket
from rules.routing import PageSettings, Plan
from tests.notify_parts import HOUR, MINUTE, MemoryKeeper, an_alert, iso, local, site_of

NOW = local("2026-07-01 19:00")
SETTINGS = PageSettings(url="https://green.example/")
NASTY = "<img src=x onerror=alert(1)>\"'"


def links_of(keeper: MemoryKeeper | None = None) -> Links:
    return Links(site_of(), SETTINGS, keeper or MemoryKeeper())


def ticket(action: str = "acknowledge", nonce: str = "n1") -> Ticket:
    return Ticket("a1", action, "keeper", NOW + HOUR, nonce)


def test_a_token_is_read_back_until_it_expires_or_is_used() -> None:
    links = links_of()
    token = links.make(ticket())
    assert links.read(token, NOW) == ticket()
    with pytest.raises(Forbidden, match="expired"):
        links.read(token, NOW + HOUR)
    links.use(ticket(), NOW)
    with pytest.raises(Forbidden, match="used already"):
        links.read(token, NOW)
    with pytest.raises(Forbidden, match="used already"):
        links.use(ticket(), NOW)


def test_a_used_link_stays_used_and_a_sent_link_stays_good_over_a_restart() -> None:
    keeper = MemoryKeeper()
    links = links_of(keeper)
    used, good = links.make(ticket()), links.make(ticket(nonce="n2"))
    links.use(ticket(), NOW)
    again = links_of(keeper)
    with pytest.raises(Forbidden, match="used already"):
        again.read(used, NOW)
    assert again.read(good, NOW).nonce == "n2"


def test_a_link_of_another_site_is_worth_nothing_here() -> None:
    with pytest.raises(Forbidden, match="not valid"):
        links_of().read(links_of().make(ticket()), NOW)


LINKS = links_of()
GOOD = LINKS.make(ticket())


@given(st.one_of(st.text(max_size=200), st.tuples(st.integers(0, len(GOOD) - 1), st.characters()).map(
    lambda change: GOOD[: change[0]] + change[1] + GOOD[change[0] + 1 :]
)))  # fmt: skip
def test_no_other_text_is_taken_for_a_token(text: str) -> None:
    if text == GOOD:
        return
    with pytest.raises(Forbidden):
        LINKS.read(text, NOW)


def test_messages_carry_a_link_for_each_answer_and_none_when_it_is_over() -> None:
    person = Plan(site_of(), ["keeper"]).people["keeper"]
    words = [link.words for link in LINKS.for_message(an_alert(), person, NOW)]
    assert words == ["查看并处理", "暂停提醒"]
    assert LINKS.for_message(an_alert(state="resolved"), person, NOW) == ()


class Rules:
    """Stands for the running rules."""

    def __init__(self) -> None:
        self.given: list[Answer] = []
        self.alert: dict[str, Any] = an_alert(title=NASTY, text=NASTY)
        self.refuse = ""

    def find(self, ident: str) -> dict[str, Any] | None:
        return self.alert if ident == "a1" else None

    async def give(self, answer: Answer) -> None:
        if self.refuse:
            raise InputError(self.refuse)
        self.given.append(answer)


class Served:
    def __init__(
        self, page: AlertPage, links: Links, rules: Rules, clock: ManualClock, keeper: MemoryKeeper | None = None
    ) -> None:
        self.page, self.links, self.rules, self.clock = page, links, rules, clock
        self.keeper = keeper or MemoryKeeper()

    async def ask(self, token: str, form: dict[str, str] | None = None) -> tuple[int, str, dict[str, str]]:
        return await asyncio.to_thread(self._ask, token, form)

    def _ask(self, token: str, form: dict[str, str] | None) -> tuple[int, str, dict[str, str]]:
        url = f"http://127.0.0.1:{self.page.port}/a/{urllib.parse.quote(token, safe='')}"
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    clock, rules, links = ManualClock(NOW), Rules(), links_of()

    async def picture(alert: Any, language: str) -> bytes:
        return b"\x89PNG"

    async with AlertPage(links, clock, rules.find, rules.give, language="en", picture=picture) as page:
        yield Served(page, links, rules, clock)


async def test_opening_a_link_shows_the_alert_and_changes_nothing(served: Served) -> None:
    token = served.links.make(ticket())
    for _ in range(3):  # chat programs open links for a preview
        status, text, headers = await served.ask(token)
        assert status == 200
    assert "Acknowledge" in text
    assert 'src="data:image/png;base64,' in text
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert served.rules.given == []


async def test_the_button_gives_the_answer_once(served: Served) -> None:
    token = served.links.make(ticket())
    status, text, _ = await served.ask(token, {"reason": "fixed", "why": "off now", "name": "Wang"})
    assert (status, "Noted" in text) == (200, True)
    (answer,) = served.rules.given
    assert (answer.action, answer.alert, answer.by, answer.reason, answer.why, answer.via) == (
        "acknowledge", "a1", "Wang (keeper)", "fixed", "off now", "page",
    )  # fmt: skip
    assert (await served.ask(token, {"reason": "fixed"}))[0] == 403
    assert (await served.ask(token))[0] == 403
    assert len(served.rules.given) == 1


async def test_a_silence_link_asks_for_how_long_and_why(served: Served) -> None:
    token = served.links.make(ticket("silence"))
    assert (await served.ask(token, {"for": "soon", "why": "x"}))[0] == 400
    status, _, _ = await served.ask(token, {"for": "4h", "why": "painting"})
    assert status == 200
    (answer,) = served.rules.given
    assert (answer.action, answer.until, answer.by) == ("silence", NOW + 4 * HOUR, "keeper")


async def test_forged_expired_and_used_links_get_403_and_change_nothing(served: Served) -> None:
    good = served.links.make(ticket())
    forged = [good[:-2] + "xx", "x", "a.b", "." * 50, "A" * 5000, links_of().make(ticket())]
    for token in forged:
        for form in (None, {"reason": "fixed"}):
            status, text, _ = await served.ask(token, form)
            assert status == 403
            assert "Nothing was changed" in text
    await served.clock.advance(HOUR + MINUTE)
    assert (await served.ask(good, {"reason": "fixed"}))[0] == 403
    assert served.rules.given == []


async def test_an_answer_the_rules_refuse_leaves_the_link_good(served: Served) -> None:
    token = served.links.make(ticket())
    served.rules.refuse = "the reason '' is not known"
    assert (await served.ask(token, {}))[0] == 409
    served.rules.refuse = ""
    assert (await served.ask(token, {"reason": "fixed"}))[0] == 200


async def test_the_page_of_an_alert_that_is_over_says_so_and_takes_a_large_form_for_an_error(served: Served) -> None:
    token = served.links.make(ticket())
    served.rules.alert = an_alert(state="resolved")
    status, text, _ = await served.ask(token)
    assert (status, "over" in text, "<form" in text) == (200, True, False)
    assert (await served.ask(token, {"why": "x" * 20_000}))[0] == 413
    assert served.rules.given == []


@pytest.fixture
async def chinese() -> AsyncIterator[Served]:
    clock, rules, keeper = ManualClock(NOW), Rules(), MemoryKeeper()
    links = links_of(keeper)
    rules.alert = an_alert(title="301办公室：无人亮灯", text="房间无人，灯仍亮着。")

    async def picture(alert: Any, language: str) -> bytes:
        raise RuntimeError("no fonts")

    async def give(answer: Answer) -> None:
        await rules.give(checked(answer, clock.now()))

    async with AlertPage(
        links, clock, rules.find, give, languages={"visitor": "en"}, picture=picture,
        tell=lambda alert, language: (f"{language} title", [f"{language} line"]),
    ) as page:  # fmt: skip
        yield Served(page, links, rules, clock, keeper)


async def test_a_refused_answer_says_in_chinese_what_is_missing_and_leaves_the_link_good(chinese: Served) -> None:
    for action, form, said in (
        ("acknowledge", {}, "怎么回事"),
        ("acknowledge", {"reason": "nonsense"}, "怎么回事"),
        ("silence", {"for": "4h"}, "填写说明"),
        ("silence", {"for": "31d", "why": "装修"}, "最长 30 天"),
        ("silence", {"for": "", "why": "装修"}, "最长 30 天"),
    ):
        status, text, _ = await chinese.ask(chinese.links.make(ticket(action)), form)
        assert status in (400, 409)
        assert said in text
        assert not [word for word in ("reason", "silence", "accepted") if word in text]
    chinese.rules.refuse = "no open alert has the id"
    token = chinese.links.make(ticket())
    assert "已经结束" in (await chinese.ask(token, {"reason": "fixed"}))[1]
    chinese.rules.refuse = ""
    assert (await chinese.ask(token, {"reason": "fixed"}))[0] == 200


async def test_the_page_speaks_the_language_of_whom_the_link_was_sent_to_with_or_without_a_picture(
    chinese: Served,
) -> None:
    _, text, _ = await chinese.ask(chinese.links.make(ticket()))
    assert "zh title" in text
    assert "<img" not in text
    english = chinese.links.make(Ticket("a1", "acknowledge", "visitor", NOW + HOUR, "n2"))
    _, text, _ = await chinese.ask(english)
    assert ('lang="en"' in text, "en line" in text, "确认" in text) == (True, True, False)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"xx"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("application/x-www-form-urlencoded; charset=nope", b"reason=fixed"),
    ],
)
async def test_a_form_that_is_none_is_refused_and_changes_nothing(kind: str, body: bytes, chinese: Served) -> None:
    url = f"http://127.0.0.1:{chinese.page.port}/a/{chinese.links.make(ticket())}"

    def post() -> int:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, body, {"Content-Type": kind}), timeout=30
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert await asyncio.to_thread(post) == 400
    assert chinese.rules.given == []


async def test_the_page_says_who_answered_when_and_what(chinese: Served) -> None:
    answer = {"by": "李工", "at": iso(NOW), "reason": "needs_work_order", "why": "<镇流器坏>", "until": iso(NOW + HOUR)}
    chinese.rules.alert = an_alert(state="silenced", evidence={"answer": answer})
    _, text, _ = await chinese.ask(chinese.links.make(ticket()))
    assert "已暂停提醒 · 李工（7月1日 19:00）：需要报修；&lt;镇流器坏&gt;；7月1日 20:00 前不再提醒" in text


async def test_with_the_disk_full_a_link_stays_good_and_the_page_says_so(
    chinese: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = chinese.links.make(ticket())

    def full(name: str, blob: bytes) -> None:
        raise StoreAway("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(chinese.keeper, "save", full)
        status, text, _ = await chinese.ask(token, {"reason": "fixed"})
        assert (status, "没有任何更改" in text, chinese.rules.given) == (503, True, [])
    assert (await chinese.ask(token, {"reason": "fixed"}))[0] == 200


async def test_an_address_that_is_taken_is_told_with_the_way_out(served: Served) -> None:
    rules = Rules()
    with pytest.raises(InputError, match="routes: page: listen:"):
        async with AlertPage(served.links, served.clock, rules.find, rules.give, port=served.page.port):
            pass
