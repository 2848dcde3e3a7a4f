"""The small web page that the links in messages open: see one alert, and answer it.

A link is a signed ticket (rules/links.py). Opening it changes nothing, because chat programs open links by themselves
to show a preview; only the button does. A forged, expired or used link gets 403 and changes nothing. Listens on the
loopback unless the site says otherwise; put a web server with TLS in front of it to reach it from elsewhere.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from building.clock import Clock
from building.durations import parse_duration
from building.errors import InputError, StoreAway
from rules.life import LONGEST_SILENCE, REASONS, Answer
from rules.links import Forbidden, Links, Ticket
from rules.wording import moment_of

log = logging.getLogger(__name__)

_LARGEST_FORM: Final = 16_384  # bytes
_SILENCES: Final = ("1h", "4h", "12h", "1d", "7d")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {
        "acknowledge": "确认告警", "silence": "暂停提醒", "fixed": "已处理", "on_purpose": "有意为之，不是浪费",
        "false_alarm": "误报", "needs_work_order": "需要报修", "reason": "怎么回事", "why": "说明", "name": "您的姓名",
        "until": "暂停多久", "1h": "1 小时", "4h": "4 小时", "12h": "12 小时", "1d": "1 天", "7d": "7 天",
        "done": "已记录，谢谢", "over": "这条告警已经结束，无需处理", "state": "状态", "policy": "依据",
        "firing": "正在发生", "acknowledged": "已确认", "silenced": "已暂停提醒", "resolved": "已结束",
        "colon": "：", "answer": "{by}（{at}）：{what}", "quiet": "{until} 前不再提醒",
        "this link is not valid": "链接无效", "this link has expired": "链接已过期",
        "this link was used already": "链接已经用过",
        "nothing": "没有任何更改。请打开最近一条提醒中的链接，或联系值班人员。",
        "refused": "没有记录", "need_reason": "请返回并选择“怎么回事”中的一项。", "need_why": "请返回并填写说明。",
        "need_span": "请返回并选择暂停多久，最长 30 天。", "need_form": "表单无法读取，请返回重试。",
        "gone": "这条告警可能已经结束，或状态已变。", "away": "磁盘暂时无法写入，没有任何更改。请稍后再试。",
        "unsaved": "已生效，但磁盘暂时无法写入，程序重启后可能丢失。请告知管理员。",
    },
    "en": {
        "acknowledge": "Acknowledge", "silence": "Silence", "fixed": "Dealt with", "on_purpose": "On purpose, no waste",
        "false_alarm": "False alarm", "needs_work_order": "Needs a work order", "reason": "What was it",
        "why": "Remark", "name": "Your name", "until": "For how long", "1h": "1 hour", "4h": "4 hours",
        "12h": "12 hours", "1d": "1 day", "7d": "7 days", "done": "Noted, thank you",
        "over": "This alert is over; there is nothing to do", "state": "State", "policy": "Rule",
        "firing": "going on", "acknowledged": "acknowledged", "silenced": "silenced", "resolved": "over",
        "colon": ": ", "answer": "{by} ({at}): {what}", "quiet": "no reminders until {until}",
        "this link is not valid": "This link is not valid", "this link has expired": "This link has expired",
        "this link was used already": "This link was used already",
        "nothing": "Nothing was changed. Open the link in the latest message, or ask the duty office.",
        "refused": "Not noted", "need_reason": "Go back and choose what it was.", "need_why": "Go back and say why.",
        "need_span": "Go back and choose for how long, at most 30 days.",
        "need_form": "The form cannot be read; go back and try again.",
        "gone": "This alert may be over, or its state has changed.",
        "away": "The disk takes nothing just now, and nothing was changed. Try again later.",
        "unsaved": "It is in force, but the disk takes nothing just now and a restart may forget it. Tell whoever runs "
        "this program.",
    },
}  # fmt: skip
_STYLE: Final = (
    "body{font-family:'Microsoft YaHei','PingFang SC','Noto Sans CJK SC',sans-serif;max-width:40em;margin:1.5em auto;"
    "padding:0 1em;color:#222;line-height:1.6}h1{font-size:1.3em}label{display:block;margin:.5em 0}"
    "fieldset{border:1px solid #ccc;border-radius:4px;margin:0 0 .8em;padding:.2em .8em}body{overflow-wrap:anywhere}"
    "input[type=text],select,textarea{width:100%;font:inherit;padding:.4em;box-sizing:border-box}"
    "button{font:inherit;padding:.6em 1.6em;background:#1e8449;color:#fff;border:0;border-radius:4px}"
    "img{max-width:100%}.dim{color:#666}"
)

Find = Callable[[str], Mapping[str, Any] | None]
"""An alert's JSON by id."""
Give = Callable[[Answer], Awaitable[object]]
"""Gives an answer to the rules; raises InputError."""
Picture = Callable[[Mapping[str, Any], str], Awaitable[bytes | None]]
"""The picture of an alert, with its words in a language, as PNG."""
Tell = Callable[[Mapping[str, Any], str], tuple[str, Sequence[str]]]
"""Title and lines of an alert in a language."""


class AlertPage:
    """Serves the page on ``host`` and ``port`` while its ``async with`` lasts; ``port`` 0 takes a free one.

    ``language`` is the site's; ``languages`` holds those of people who read another.
    """

    def __init__(
        self,
        links: Links,
        clock: Clock,
        find: Find,
        give: Give,
        *,
        language: str = "zh",
        languages: Mapping[str, str] | None = None,
        tell: Tell | None = None,
        picture: Picture | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._links, self._clock, self._find, self._give = links, clock, find, give
        self._language, self._languages = language, languages or {}
        self._tell, self._picture = tell or _as_it_says, picture
        self._host, self.port = host, port
        app = web.Application(client_max_size=_LARGEST_FORM, middlewares=[_guarded])
        app.add_routes([web.get("/a/{token}", self._show), web.post("/a/{token}", self._answer)])
        # No access log: it would hold the tokens.
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise InputError(
                f"the alert page cannot listen on {self._host}:{self.port} ({error.strerror}); "
                "choose another address under routes: page: listen:"
            ) from None
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _show(self, request: web.Request) -> web.Response:
        try:
            ticket = self._links.read(request.match_info["token"], self._clock.now())
        except Forbidden as error:
            return self._refusal(error)
        language = self._languages.get(ticket.person, self._language)
        words, alert = _WORDS[language], self._find(ticket.alert)
        if alert is None:
            return _page(language, words["over"], "")
        body = await self._shown(alert, language)
        if alert["state"] == "resolved":
            return _page(language, words["over"], body)
        return _page(language, words[ticket.action], body + _form(ticket, words))

    async def _shown(self, alert: Mapping[str, Any], language: str) -> str:
        title, lines = self._tell(alert, language)
        body = f"<p><strong>{escape(title)}</strong></p><p>{'<br>'.join(map(escape, lines))}</p>"
        body += f'<p class="dim">{escape(_state(alert, language))}</p>'
        png = await self._drawn(alert, language)
        if png is not None:
            body += f'<p><img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'
        return body

    async def _drawn(self, alert: Mapping[str, Any], language: str) -> bytes | None:
        """The picture; None where it fails: the form must be there all the same."""
        try:
            return None if self._picture is None else await self._picture(alert, language)
        except Exception:
            log.exception("the alert page goes without its picture, by a fault of ours")
            return None

    async def _answer(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        try:
            ticket = self._links.read(request.match_info["token"], now)
        except Forbidden as error:
            return self._refusal(error)
        language = self._languages.get(ticket.person, self._language)
        words = _WORDS[language]

        def refused(why: str, status: int) -> web.Response:
            return _page(language, words["refused"], f"<p>{escape(words[why])}</p>", status=status)

        try:
            form = await request.post()
        except (
            ValueError,
            LookupError,
            AssertionError,
            HttpProcessingError,
        ):  # what aiohttp raises for forms that are none
            return refused("need_form", 400)
        said = {key: value for key, value in form.items() if isinstance(value, str)}
        try:
            answer = _answer(ticket, said, now)
            self._links.use(ticket, now)
        except Forbidden as error:
            return self._refusal(error)
        except ValueError:
            return refused("need_span", 400)
        except StoreAway:
            return refused("away", 503)
        try:
            await self._give(answer)
        except InputError:
            self._links.give_back(ticket)
            return refused(_missing(answer, now), 409)
        except StoreAway:
            return _page(language, words["done"], f"<p>{escape(words['unsaved'])}</p>", status=503)
        return _page(language, words["done"], "")

    def _refusal(self, error: Forbidden) -> web.Response:
        """In the site's language: whose link it was is not known."""
        words = _WORDS[self._language]
        return _page(self._language, words[str(error)], f"<p>{escape(words['nothing'])}</p>", status=403)


def _form(ticket: Ticket, words: Mapping[str, str]) -> str:
    if ticket.action == "acknowledge":
        choices = "".join(
            f'<label><input type="radio" name="reason" value="{reason}" required> {escape(words[reason])}</label>'
            for reason in REASONS
        )
        fields = f"<fieldset><legend>{escape(words['reason'])}</legend>{choices}</fieldset>"
    else:
        spans = "".join(f'<option value="{span}">{escape(words[span])}</option>' for span in _SILENCES)
        fields = f'<label>{escape(words["until"])}<select name="for">{spans}</select></label>'
    needed = " required" if ticket.action == "silence" else ""
    return (
        f'<form method="post">{fields}'
        f'<label>{escape(words["why"])}<textarea name="why" rows="2" maxlength="500"{needed}></textarea></label>'
        f'<label>{escape(words["name"])}<input type="text" name="name" maxlength="60"></label>'
        f"<p><button>{escape(words[ticket.action])}</button></p></form>"
    )


def _page(language: str, title: str, body: str, *, status: int = 200) -> web.Response:
    text = (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}"
        "</body></html>"
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


@web.middleware
async def _guarded(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Headers for every answer, refusals too."""
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        error.headers.update(_HEADERS)
        raise
    answer.headers.update(_HEADERS)
    return answer


def _as_it_says(alert: Mapping[str, Any], language: str) -> tuple[str, Sequence[str]]:
    """An alert in its own words."""
    return str(alert["title"]), (str(alert["text"]),)


def _state(alert: Mapping[str, Any], language: str) -> str:
    """The state, and what a person answered: who, when, what."""
    words, given = _WORDS[language], alert["evidence"].get("answer") or {}
    shown = f"{words['state']}{words['colon']}{words.get(str(alert['state']), alert['state'])}"
    if not given:
        return shown
    quiet = words["quiet"].format(until=moment_of(given["until"], language)) if given.get("until") else ""
    what = [words.get(given["reason"], given["reason"]), given["why"], quiet]
    joined = ("；" if language == "zh" else "; ").join(filter(None, what))
    return f"{shown} · {words['answer'].format(by=given['by'], at=moment_of(given['at'], language), what=joined)}"


def _missing(answer: Answer, now: int) -> str:
    """What the person can do about an answer that was refused."""
    if answer.action == "acknowledge":
        return "gone" if answer.reason in REASONS else "need_reason"
    if answer.until is None or not now < answer.until <= now + LONGEST_SILENCE:
        return "need_span"
    return "gone" if answer.why else "need_why"


def _answer(ticket: Ticket, said: Mapping[str, str], now: int) -> Answer:
    """Raises ValueError for a span that is none."""
    name = " ".join(said.get("name", "").split())[:60]
    by = f"{name} ({ticket.person})" if name else ticket.person
    until = now + parse_duration(said.get("for", "")) if ticket.action == "silence" else None
    return Answer(
        ticket.action, by[:100], ticket.alert, said.get("reason", ""), said.get("why", "").strip(), until, via="page"
    )
