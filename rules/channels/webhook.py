"""A webhook: the alert's JSON by POST, signed when the site has a secret for it.

Headers: ``X-Greenwarden-Id`` (the same at every attempt), ``X-Greenwarden-Signature: sha256=<hex>`` = HMAC-SHA256 of
the body under the secret. Redirects are not followed: a message goes to the configured host or nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

from building.errors import DeliveryFailed
from rules.channels.message import Message
from rules.channels.posting import Post, Poster, check_url

__all__ = ["WebhookChannel", "check_url"]

_LARGEST: Final = 1_000_000  # bytes


class WebhookChannel:
    """Posts to one fixed ``url``; several alerts in one message go as ``{"alerts": […]}``."""

    def __init__(self, url: str, *, secret: str | None = None, timeout_s: float = 10.0) -> None:
        self._url = url
        self._secret = secret.encode() if secret is not None else None
        self._poster = Poster("webhook", timeout_s)

    async def send(self, message: Message) -> str:
        body = msgspec.json.encode({"alerts": message.alerts} if len(message.alerts) > 1 else message.alert)
        if len(body) > _LARGEST:
            raise DeliveryFailed(f"the message has more than the {_LARGEST} bytes a webhook may get", retry=False)
        headers = {"Content-Type": "application/json", "X-Greenwarden-Id": message.ident}
        if self._secret is not None:
            headers["X-Greenwarden-Signature"] = f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}"
        await self._poster.post(Post(self._url, body, headers))
        return "accepted"
