"""A webhook: the alert's JSON by POST, signed when the site has a secret for it.

Headers: ``X-Greenwarden-Id`` (the same at every attempt), ``X-Greenwarden-Signature: sha256=<hex>`` = HMAC-SHA256 of
the body under the secret. Redirects are not followed: a message goes to the configured host or nowhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

import msgspec
import urllib3

from building.errors import DeliveryFailed
from rules.channels.message import Message

_RETRY_STATUS: Final = frozenset({408, 425, 429})


def check_url(url: str) -> None:
    """Raises ValueError with what is accepted, when ``url`` is no http(s) address without name and password."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address; write https://host/path")
    if parts.username or parts.password:
        raise ValueError("name and password do not belong into the address")


class WebhookChannel:
    """Posts to one fixed ``url``; TLS certificates are verified."""

    def __init__(self, url: str, *, secret: str | None = None, timeout_s: float = 10.0) -> None:
        self._url = url
        self._secret = secret.encode() if secret is not None else None
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(total=timeout_s), retries=False, maxsize=2)

    async def send(self, message: Message) -> None:
        body = msgspec.json.encode(message.alert)
        headers = {"Content-Type": "application/json", "X-Greenwarden-Id": message.ident}
        if self._secret is not None:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers["X-Greenwarden-Signature"] = f"sha256={digest}"
        await asyncio.to_thread(self._post, body, headers)

    def _post(self, body: bytes, headers: dict[str, str]) -> None:
        host = urlsplit(self._url).netloc
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise DeliveryFailed(f"webhook {host} cannot be reached ({type(error).__name__})", retry=True) from None
        if 200 <= answer.status < 300:
            return
        retry = answer.status >= 500 or answer.status in _RETRY_STATUS
        raise DeliveryFailed(f"webhook {host} answered {answer.status}", retry=retry)
