"""The small web page that the links in messages open: see one alert, and answer it.

A link is a signed ticket (rules/links.py). Opening it changes nothing, because chat programs open links by themselves
to show a preview; only the button does. A forged, expired or used link gets 403 and changes nothing. Listens on the
loopback unless the site says otherwise; put a web server with TLS in front of it to reach it from elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Any, Final, Self

from aiohttp import web

from building.clock import Clock
from building.durations import parse_duration
from building.errors import InputError
from rules.life import REASONS, Answer
from rules.links import Forbidden, Links, Ticket

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
        "done": "已记录，谢谢。", "over": "这条告警已经结束，无需处理。", "state": "状态", "policy": "依据",
        "firing": "正在发生", "acknowledged": "已确认", "silenced": "已静默", "resolved": "已结束",
        "this link is not valid": "链接无效。", "this link has expired": "链接已过期。",
        "this link was used already": "链接已经用过。", "refused": "没有记录：", "nothing": "没有任何更改。",
    },
    "en": {
        "acknowledge": "Acknowledge", "silence": "Silence", "fixed": "Dealt with", "on_purpose": "On purpose, no waste",
        "false_alarm": "False alarm", "needs_work_order": "Needs a work order", "reason": "What was it",
        "why": "Remark", "name": "Your name", "until": "For how long", "1h": "1 hour", "4h": "4 hours",
        "12h": "12 hours", "1d": "1 day", "7d": "7 days", "done": "Noted, thank you.",
        "over": "This alert is over; there is nothing to do.", "state": "State", "policy": "Rule",
        "firing": "going on", "acknowledged": "acknowledged", "silenced": "silenced", "resolved": "over",
        "this link is not valid": "This link is not valid.", "this link has expired": "This link has expired.",
        "this link was used already": "This link was used already.", "refused": "Not noted:",
        "nothing": "Nothing was changed.",
    },
}  # fmt: skip
_STYLE: Final = (
    "body{font-family:'Microsoft YaHei','PingFang SC','Noto Sans CJK SC',sans-serif;max-width:40em;margin:1.5em auto;"
    "padding:0 1em;color:#222;line-height:1.6}h1{font-size:1.3em}label{display:block;margin:.5em 0}"
    "input[type=text],select,textarea{width:100%;font:inherit;padding:.4em;box-sizing:border-box}"
    "button{font:inherit;padding:.6em 1.6em;background:#1e8449;color:#fff;border:0;border-radius:4px}"
    "img{max-width:100%}.dim{color:#666}"
)

Find = Callable[[str], Mapping[str, Any] | None]
"""An alert's JSON by id."""
Give = Callable[[Answer], Awaitable[object]]
"""Gives an answer to the rules; raises InputError."""
Picture = Callable[[Mapping[str, Any]], Awaitable[bytes | None]]
"""The picture of an alert as PNG."""


class AlertPage:
    """Serves the page on ``host`` and ``port`` while its ``async with`` lasts; ``port`` 0 takes a free one."""

    def __init__(
        self,
        links: Links,
        clock: Clock,
        find: Find,
        give: Give,
        *,
        language: str = "zh",
        picture: Picture | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._links, self._clock, self._find, self._give = links, clock, find, give
        self._words, self._language, self._picture = _WORDS[language], language, picture
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
        alert = self._find(ticket.alert)
        if alert is None or alert["state"] == "resolved":
            return self._page(self._words["over"], "" if alert is None else _told(alert, self._words))
        body = _told(alert, self._words)
        png = None if self._picture is None else await self._picture(alert)
        if png is not None:
            body += f'<p><img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'
        return self._page(self._words[ticket.action], body + self._form(ticket))

    async def _answer(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        try:
            ticket = self._links.read(request.match_info["token"], now)
        except Forbidden as error:
            return self._refusal(error)
        form = await request.post()
        said = {key: value for key, value in form.items() if isinstance(value, str)}
        try:
            answer = _answer(ticket, said, now)
            self._links.use(ticket, now)
        except Forbidden as error:
            return self._refusal(error)
        except (InputError, ValueError) as error:
            return self._page(self._words["refused"], f"<p>{escape(str(error))}</p>", status=400)
        try:
            await self._give(answer)
        except InputError as error:
            self._links.give_back(ticket)
            return self._page(self._words["refused"], f"<p>{escape(str(error))}</p>", status=409)
        return self._page(self._words["done"], "")

    def _refusal(self, error: Forbidden) -> web.Response:
        said = self._words[str(error)]
        return self._page(said, f"<p>{escape(self._words['nothing'])}</p>", status=403)

    def _form(self, ticket: Ticket) -> str:
        words = self._words
        if ticket.action == "acknowledge":
            fields = f"<p>{escape(words['reason'])}</p>" + "".join(
                f'<label><input type="radio" name="reason" value="{reason}" required> {escape(words[reason])}</label>'
                for reason in REASONS
            )
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

    def _page(self, title: str, body: str, *, status: int = 200) -> web.Response:
        text = (
            f'<!DOCTYPE html><html lang="{self._language}"><head><meta charset="utf-8">'
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


def _told(alert: Mapping[str, Any], words: Mapping[str, str]) -> str:
    state = words.get(str(alert["state"]), str(alert["state"]))
    return (
        f"<p><strong>{escape(str(alert['title']))}</strong></p><p>{escape(str(alert['text']))}</p>"
        f'<p class="dim">{escape(words["state"])}: {escape(state)} · '
        f"{escape(words['policy'])}: {escape(str(alert['policy']))}</p>"
    )


def _answer(ticket: Ticket, said: Mapping[str, str], now: int) -> Answer:
    """Raises ValueError for a span that is none."""
    name = " ".join(said.get("name", "").split())[:60]
    by = f"{name} ({ticket.person})" if name else ticket.person
    until = now + parse_duration(said.get("for", "")) if ticket.action == "silence" else None
    return Answer(
        ticket.action, by[:100], ticket.alert, said.get("reason", ""), said.get("why", "").strip(), until, via="page"
    )
