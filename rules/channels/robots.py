"""Chat robots: DingTalk, WeCom, Feishu.

Each has its own signature, its own markdown, its own size limit, and each answers HTTP 200 when it refuses: what counts
is the code in the body. Endpoints, fields and limits as the makers document them for custom group robots.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from building.errors import DeliveryFailed
from rules.channels.markup import as_markdown, one_line
from rules.channels.message import Message
from rules.channels.posting import Post, Poster, TooFast, decode_answer, told_by

DINGTALK: Final = "https://oapi.dingtalk.com"
WECOM: Final = "https://qyapi.weixin.qq.com"
FEISHU: Final = "https://open.feishu.cn"

_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
_DINGTALK_LARGEST: Final = 18_000  # bytes of text; the whole body may have 20,000
_WECOM_LARGEST: Final = 4096  # bytes of markdown
_WECOM_PICTURE: Final = 2_000_000  # bytes before base64
_FEISHU_LARGEST: Final = 16_000  # bytes of text; the whole body may have 20 kB
_BUSY: Final = frozenset({-1, 130101, 45009, 11232, 11233})  # come back later
_SLOW_DOWN: Final = {130101: 600.0, 45009: 60.0, 11232: 60.0, 11233: 60.0}  # seconds; DingTalk bars for ten minutes


def _judge(name: str, answer: Mapping[str, Any], code: object, *words: str) -> str:
    """The receipt; raises DeliveryFailed when the body says that nothing was delivered."""
    if isinstance(code, int) and not isinstance(code, bool) and code == 0:
        return told_by(answer, *words) or "ok"
    what = f"{name} refused the message (code {code}: {told_by(answer, *words)})"
    if isinstance(code, int) and code in _SLOW_DOWN:
        raise TooFast(what, _SLOW_DOWN[code])
    raise DeliveryFailed(what, retry=not isinstance(code, int) or code in _BUSY)


class DingTalkChannel:
    """A DingTalk group robot. ``token`` is the access_token of its address, ``secret`` the key for the signature."""

    def __init__(
        self,
        token: str,
        *,
        secret: str | None = None,
        url: str = DINGTALK,
        timeout_s: float = 10.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._token, self._secret, self._url, self._now = token, secret, url.rstrip("/"), now
        self._poster = Poster("DingTalk", timeout_s)

    async def send(self, message: Message) -> str:
        text = as_markdown(message, _DINGTALK_LARGEST)
        if message.mention:  # a number is only called when it stands in the text as well
            text += "\n\n" + " ".join(f"@{number}" for number in message.mention)
        body = {
            "msgtype": "markdown",
            "markdown": {"title": one_line(message.title)[:64], "text": text},
            "at": {"atMobiles": list(message.mention), "isAtAll": False},
        }
        raw = await self._poster.post(Post(self._address(), msgspec.json.encode(body), _JSON))
        answer = decode_answer("DingTalk", raw)
        return _judge("DingTalk", answer, answer.get("errcode"), "errmsg")

    def _address(self) -> str:
        address = f"{self._url}/robot/send?access_token={quote_plus(self._token)}"
        if self._secret is None:
            return address
        stamp = str(round(self._now() * 1000))
        digest = hmac.new(self._secret.encode(), f"{stamp}\n{self._secret}".encode(), hashlib.sha256).digest()
        return f"{address}&timestamp={stamp}&sign={quote_plus(base64.b64encode(digest))}"


class WeComChannel:
    """A WeCom (企业微信) group robot; ``key`` is that of its address. The picture follows as a message of its own."""

    takes_pictures = True
    most_posts = 2  # the robot's twenty a minute are posts: words and picture count one each

    def __init__(self, key: str, *, url: str = WECOM, timeout_s: float = 10.0) -> None:
        self._address = f"{url.rstrip('/')}/cgi-bin/webhook/send?key={quote_plus(key)}"
        self._poster = Poster("WeCom", timeout_s)

    async def send(self, message: Message) -> str:
        called = "".join(f"<@{user}>" for user in message.mention)
        room = _WECOM_LARGEST - len(called.encode()) - 1
        text = as_markdown(message, room)
        receipt = await self._post({"msgtype": "markdown", "markdown": {"content": f"{text}\n{called}".rstrip()}})
        if message.picture is not None and len(message.picture) <= _WECOM_PICTURE:
            try:
                await self._post(_picture(message.picture))
            except DeliveryFailed as error:  # the words are there; sending them again would say everything twice
                return f"{receipt}; without picture: {error}"
        return receipt

    async def _post(self, body: Mapping[str, Any]) -> str:
        answer = decode_answer("WeCom", await self._poster.post(Post(self._address, msgspec.json.encode(body), _JSON)))
        return _judge("WeCom", answer, answer.get("errcode"), "errmsg")


def _picture(png: bytes) -> dict[str, Any]:
    digest = hashlib.md5(png, usedforsecurity=False).hexdigest()  # what the service wants, no protection
    return {"msgtype": "image", "image": {"base64": base64.b64encode(png).decode(), "md5": digest}}


class FeishuChannel:
    """A Feishu (飞书) group robot; ``hook`` is the last part of its address. Sends a card with buttons."""

    def __init__(
        self,
        hook: str,
        *,
        secret: str | None = None,
        url: str = FEISHU,
        timeout_s: float = 10.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._address = f"{url.rstrip('/')}/open-apis/bot/v2/hook/{quote_plus(hook)}"
        self._secret, self._now = secret, now
        self._poster = Poster("Feishu", timeout_s)

    async def send(self, message: Message) -> str:
        body: dict[str, Any] = {"msg_type": "interactive", "card": _card(message)}
        if self._secret is not None:
            stamp = str(int(self._now()))
            # The service signs an empty text with stamp and secret as the key.
            digest = hmac.new(f"{stamp}\n{self._secret}".encode(), b"", hashlib.sha256).digest()
            body |= {"timestamp": stamp, "sign": base64.b64encode(digest).decode()}
        raw = await self._poster.post(Post(self._address, msgspec.json.encode(body), _JSON))
        answer = decode_answer("Feishu", raw)
        code = answer.get("code", answer.get("StatusCode"))
        return _judge("Feishu", answer, code, "msg", "StatusMessage")


_COLOURS: Final = {"critical": "red", "warning": "orange", "info": "blue", "over": "green"}


def _card(message: Message) -> dict[str, Any]:
    alone = message._replace(title="", entries=message.under_title())  # the card's header holds the title
    text = as_markdown(alone, _FEISHU_LARGEST, heading="").strip()
    called = "".join(f'<at id="{user}"></at>' for user in message.mention)
    return {
        "config": {"wide_screen_mode": True},
        "header": {
            "template": _COLOURS[message.gravity],
            "title": {"tag": "plain_text", "content": one_line(message.title)[:120]},
        },
        "elements": [{"tag": "markdown", "content": f"{text}\n{called}".strip()}],
    }
