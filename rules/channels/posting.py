"""Posting to a web service: one fixed address, no redirect, an answer of bounded size, secrets never told.

The address may hold a token, so errors name the host alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import urllib3

from building.errors import DeliveryFailed

_LARGEST_ANSWER: Final = 65_536
_RETRY_STATUS: Final = frozenset({408, 425, 429})
_LONGEST_TOLD: Final = 200


class TooFast(DeliveryFailed):
    """The service wants a pause of ``wait_s`` real seconds before the next message."""

    def __init__(self, what: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(what, retry=True)


class Post(NamedTuple):
    """What is to be posted."""

    url: str
    body: bytes
    headers: Mapping[str, str]


def check_url(url: str) -> str:
    """``url`` as it is. Raises ValueError when it is no http(s) address without name and password."""
    if "@" in url:
        raise ValueError("name and password do not belong into the address")
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # what urlsplit says of a bad port or bracket
        sound = False
    if not sound or any(letter.isspace() or ord(letter) < 32 for letter in url):
        raise ValueError(f"{url[:80]!r} is no address; write https://host/path")
    return url


class Poster:
    """Posts for one channel; ``name`` leads its errors. TLS certificates are verified."""

    def __init__(self, name: str, timeout_s: float = 10.0) -> None:
        self._name = name
        # The read time-out holds for each piece of an answer; the answer's size is bounded.
        timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=2)

    async def post(self, post: Post) -> bytes:
        """The body of a 2xx answer; raises DeliveryFailed for everything else, TooFast when asked to slow down."""
        return await asyncio.to_thread(self._post, post)

    def _post(self, post: Post) -> bytes:
        where = f"{self._name} {urlsplit(post.url).netloc}"
        try:
            answer = self._pool.request(
                "POST", post.url, body=post.body, headers=post.headers, redirect=False, preload_content=False
            )
            body = answer.read(_LARGEST_ANSWER)
            whole = not answer.read(1)
            answer.release_conn() if whole else answer.close()
        except urllib3.exceptions.HTTPError as error:
            raise DeliveryFailed(f"{where} cannot be reached ({type(error).__name__})", retry=True) from None
        if 200 <= answer.status < 300:
            return body
        if answer.status == 429:
            raise TooFast(f"{where} answered 429", _pause(answer.headers.get("Retry-After")))
        retry = answer.status >= 500 or answer.status in _RETRY_STATUS
        raise DeliveryFailed(f"{where} answered {answer.status}", retry=retry)


def _pause(retry_after: str | None) -> float:
    """Seconds; services that name none want about a minute."""
    if retry_after is not None and retry_after.strip().isdigit():
        return min(float(retry_after), 3600.0)
    return 60.0


def decode_answer(name: str, body: bytes) -> dict[str, Any]:
    """The JSON object a service answered; an answer that is none is a failure worth a retry."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = None
    if not isinstance(answer, dict):
        raise DeliveryFailed(f"{name} answered 200 with something that is no JSON object", retry=True)
    return answer


def told_by(answer: Mapping[str, Any], *keys: str) -> str:
    """What the service says went wrong, short and on one line."""
    words = " ".join(str(answer.get(key, "")) for key in keys)
    return " ".join(words.split())[:_LONGEST_TOLD]
