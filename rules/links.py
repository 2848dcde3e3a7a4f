"""Signed links: what one person may do with one alert, once, for a while. No login, no secret inside.

A token is the ticket in base64url and an HMAC-SHA256 over it. Whoever has the link can use it, as with any link in a
message: so it expires, works once, can do one thing only, and every use is kept with the name of whom it was sent to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from building.errors import GreenwardenError, StoreAway
from building.site import Site
from rules.channels.message import Link
from rules.routing import PageSettings, Person

_SECRET: Final = "links/secret"  # noqa: S105 - the name under which the secret is kept
_USED: Final = "links/used"
_LONGEST_TOKEN: Final = 600
_MOST_USED: Final = 20_000  # nonces are forgotten once they have expired
ACTIONS: Final = ("acknowledge", "silence")


class Forbidden(GreenwardenError):
    """The link is forged, has expired or was used; nothing was changed."""


class Keeper(Protocol):
    """Where secret and used links are kept."""

    def save(self, name: str, blob: bytes) -> None:
        """Keep ``blob`` on disk under ``name``."""

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``."""


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What a link allows: ``person`` does ``action`` to ``alert`` before ``expires`` (ms UTC), once by ``nonce``."""

    alert: str
    action: str
    person: str
    expires: int
    nonce: str


class Links:
    """Makes and reads the links of one site."""

    def __init__(self, site: Site, page: PageSettings, keeper: Keeper) -> None:
        self._site, self._page, self._keeper = site, page, keeper
        self._secret = _secret(page, keeper)
        used = keeper.load(_USED)
        self._used: dict[str, int] = {} if used is None else msgspec.json.decode(used, type=dict[str, int])

    def for_message(self, alert: Mapping[str, Any], person: Person, now: int) -> tuple[Link, ...]:
        """The links of a message about ``alert`` for ``person``; none once it is over."""
        if alert["state"] == "resolved" or alert["rule"] in ("link_down", "site_down"):
            return ()
        chinese = person.language == "zh"
        words = {"acknowledge": "查看并处理" if chinese else "View and acknowledge",
                 "silence": "暂停提醒" if chinese else "Silence"}  # fmt: skip
        return tuple(Link(words[action], self.url(alert["id"], action, person.name, now)) for action in ACTIONS)

    def url(self, alert: str, action: str, person: str, now: int) -> str:
        """The address of the page for one answer."""
        token = self.make(Ticket(alert, action, person, now + self._page.expires, secrets.token_urlsafe(9)))
        return f"{self._page.url.rstrip('/')}/a/{token}"

    def make(self, ticket: Ticket) -> str:
        """The token of ``ticket``."""
        body = msgspec.json.encode(ticket)
        return f"{_text(body)}.{_text(self._sign(body))}"

    def read(self, token: str, now: int) -> Ticket:
        """The ticket in ``token``; raises Forbidden."""
        if len(token) > _LONGEST_TOKEN:
            raise Forbidden("this link is not valid")
        head, _, tail = token.partition(".")
        try:
            body, signature = _bytes(head), _bytes(tail)
        except (binascii.Error, ValueError):
            raise Forbidden("this link is not valid") from None
        if not hmac.compare_digest(signature, self._sign(body)):
            raise Forbidden("this link is not valid")
        ticket = msgspec.json.decode(body, type=Ticket)  # signed, so it is one of ours
        if ticket.expires <= now:
            raise Forbidden("this link has expired")
        if ticket.nonce in self._used:
            raise Forbidden("this link was used already")
        return ticket

    def use(self, ticket: Ticket, now: int) -> None:
        """From now on the link is used; on disk when this returns.

        Raises Forbidden when somebody was quicker, StoreAway when the disk takes nothing: then it is still good.
        """
        if ticket.nonce in self._used:
            raise Forbidden("this link was used already")
        self._used = {nonce: expires for nonce, expires in self._used.items() if expires > now}
        self._used[ticket.nonce] = ticket.expires
        while len(self._used) > _MOST_USED:
            self._used.pop(next(iter(self._used)))
        try:
            self._keeper.save(_USED, msgspec.json.encode(self._used))
        except StoreAway:  # it was not used after all
            del self._used[ticket.nonce]
            raise

    def give_back(self, ticket: Ticket) -> None:
        """The answer could not be given after all: the link may be used again."""
        self._used.pop(ticket.nonce, None)
        self._keeper.save(_USED, msgspec.json.encode(self._used))

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._secret, b"greenwarden link\0" + body, hashlib.sha256).digest()


def _secret(page: PageSettings, keeper: Keeper) -> bytes:
    if page.secret is not None:
        return str(page.secret.reveal()).encode()
    kept = keeper.load(_SECRET)
    if kept is None:
        kept = secrets.token_bytes(32)
        keeper.save(_SECRET, kept)
    return kept


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(raw) != text:  # one ticket, one spelling
        raise ValueError("not the canonical spelling")
    return raw
