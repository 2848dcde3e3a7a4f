"""Messages on their way: on disk before anything is tried, gone only when the channel has confirmed.

One queue and one task per channel, so the order is kept. What fails in passing is tried again with growing, random
delay; what fails for good, or for too long, goes to the channel's fall-back, and without one is put aside with its
reason. A message keeps its ident through all attempts. A process killed between a channel's "yes" and our note of it
sends that one message again: at least once, and by its ident recognisable.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from building.clock import Clock
from building.errors import DeliveryFailed, StoreAway
from building.waiting import unbroken
from rules.channels.message import Entry, Link, Message
from rules.channels.posting import TooFast

log = logging.getLogger(__name__)

_PARCELS: Final = "notify/parcel/"
_PACE: Final = "notify/pace/"
_FIRST_DELAY_S: Final = 2.0
_LONGEST_DELAY_S: Final = 300.0
_FALL_BACK_AFTER: Final = 5  # attempts; with the delays above about a minute
_MOST_ATTEMPTS: Final = 200  # with the delays above about 16 hours
MOST_WAITING: Final = 5000  # per channel; beyond, the oldest are put aside with a word

Record = tuple[str, int, str, Mapping[str, object]]


class Channel(Protocol):
    """What a channel must be able to do; see ``rules.channels``."""

    async def send(self, message: Message) -> str | None:
        """Deliver and return the receipt, or raise DeliveryFailed."""


class Keeper(Protocol):
    """Where parcels are kept; every call is one commit."""

    def save(self, name: str, blob: bytes) -> None:
        """Keep ``blob`` under ``name``."""

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``."""

    def keep(self, blobs: Mapping[str, bytes | None], records: Iterable[Record] = ()) -> None:
        """Save blobs (None: forget) and append records, all or nothing."""

    def kept(self, beginning: str) -> dict[str, bytes]:
        """Blobs whose name begins so, in the order of their names."""


class Note(msgspec.Struct):
    """A message as it is kept. The picture is drawn when it is sent."""

    ident: str
    title: str
    text: str
    alert: dict[str, Any]
    entries: list[tuple[str, list[str], list[tuple[str, str]]]] = []
    footer: list[str] = []
    alerts: list[dict[str, Any]] = []
    mention: list[str] = []
    to: list[str] = []
    language: str = "zh"

    @classmethod
    def of(cls, message: Message) -> Note:
        entries = [(e.title, list(e.lines), [(link.words, link.url) for link in e.links]) for e in message.entries]
        alerts = [dict(alert) for alert in message.alerts]
        return cls(
            message.ident, message.title, message.text, dict(message.alert), entries, list(message.footer),
            alerts, list(message.mention), list(message.to), message.language,
        )  # fmt: skip

    def message(self, picture: bytes | None) -> Message:
        entries = tuple(
            Entry(title, tuple(lines), tuple(Link(words, url) for words, url in links))
            for title, lines, links in self.entries
        )
        return Message(
            self.ident, self.title, self.text, self.alert, entries, tuple(self.footer), tuple(self.alerts),
            tuple(self.mention), tuple(self.to), self.language, picture,
        )  # fmt: skip


class Parcel(msgspec.Struct):
    """One message on its way through one channel. ``number`` orders parcels; ``instead_of`` names the channel that
    could not deliver it."""

    number: int
    channel: str
    person: str
    note: Note
    attempts: int = 0
    instead_of: str = ""

    @property
    def name(self) -> str:
        return f"{_PARCELS}{self.number:012d}"


Draw = Callable[[Message], Awaitable[bytes | None]]


class Outbox:
    """Delivers parcels while its ``async with`` lasts. ``fallbacks`` and ``per_minute`` go by channel name."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        keeper: Keeper,
        clock: Clock,
        *,
        fallbacks: Mapping[str, str] | None = None,
        per_minute: Mapping[str, int] | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._channels, self._keeper, self._clock = channels, keeper, clock
        self._fallbacks = {name: to for name, to in (fallbacks or {}).items() if to in channels}
        self.draw: Draw | None = None
        """Draws the picture for channels that take one; None: messages go without."""
        self._chance = chance or random.Random()
        self._waiting: dict[str, list[Parcel]] = {name: [] for name in channels}
        self._arrived: dict[str, asyncio.Event] = {name: asyncio.Event() for name in channels}
        self._paces = {name: Pace(limit) for name, limit in (per_minute or {}).items()}
        self._posts: dict[int, int] = {}  # number of a parcel under way -> posts it is
        self._emptied = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._number = 0
        self.counts: Counter[str] = Counter()
        self._restore()
        self._mark()

    async def __aenter__(self) -> Outbox:
        for name in self._channels:
            self._tasks.append(asyncio.create_task(self._deliver(name), name=f"channel {name}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """Messages that no channel has taken yet."""
        return sum(len(parcels) for parcels in self._waiting.values())

    def pack(self, channel: str, person: str, message: Message) -> Parcel:
        """A parcel with the next number. It is not on its way before ``accept``."""
        self._number += 1
        return Parcel(self._number, channel, person, Note.of(message))

    @staticmethod
    def blobs(parcels: Iterable[Parcel]) -> dict[str, bytes | None]:
        """What must be on disk before ``accept``."""
        return {parcel.name: msgspec.json.encode(parcel) for parcel in parcels}

    def accept(self, parcels: Iterable[Parcel]) -> None:
        """Parcels that are on disk go on their way."""
        for parcel in parcels:
            self._waiting[parcel.channel].append(parcel)
            self._arrived[parcel.channel].set()
        self._mark()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until every channel has taken everything, at most ``timeout_s`` real seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    async def _deliver(self, name: str) -> None:
        parcels, arrived = self._waiting[name], self._arrived[name]
        while True:
            while not parcels:
                arrived.clear()
                await arrived.wait()
            await self._keep_pace(name)
            if len(parcels) > MOST_WAITING:
                await self._put_aside(parcels[0], f"more than {MOST_WAITING} messages wait for this channel")
                continue
            parcel = parcels[0]
            try:
                receipt = await self._send(name, parcel)
            except DeliveryFailed as error:
                await self._failed(parcel, error)
            except Exception as error:  # noqa: BLE001 - one message must not hold up for ever all that wait behind it
                log.error("channel %s, message %s: %s", name, parcel.note.ident, _told_without_values(error))
                await self._failed(parcel, DeliveryFailed(f"a fault of ours ({type(error).__name__})", retry=False))
            else:
                self.counts[f"sent by {name}"] += 1
                await unbroken(self._done(parcel, {"state": "sent", "receipt": receipt or ""}))

    async def _send(self, name: str, parcel: Parcel) -> str | None:
        message, channel = parcel.note.message(None), self._channels[name]
        if self.draw is not None and getattr(channel, "takes_pictures", False):
            message = message._replace(picture=await self._drawn(self.draw, message))
        self._posts[parcel.number] = 1 if message.picture is None else _most_posts(channel)
        return await channel.send(message)

    async def _drawn(self, draw: Draw, message: Message) -> bytes | None:
        """The picture; None where it fails: the words go all the same."""
        try:
            return await draw(message)
        except Exception:  # whatever keeps the picture back must not keep the message back
            log.exception("message %s goes without its picture, by a fault of ours", message.ident)
            return None

    async def _failed(self, parcel: Parcel, error: DeliveryFailed) -> None:
        """Try again later, elsewhere, or not at all."""
        name = parcel.channel
        parcel.attempts += 1
        self._posts.pop(parcel.number, None)
        self.counts[f"failed by {name}"] += 1
        fallback = self._fallbacks.get(name)
        if fallback is not None and (not error.retry or parcel.attempts >= _FALL_BACK_AFTER):
            await unbroken(self._hand_over(parcel, fallback, error))
            return
        if not error.retry or parcel.attempts >= _MOST_ATTEMPTS:
            await self._put_aside(parcel, str(error))
            return
        if parcel.attempts == 1:
            log.warning("channel %s: %s; message %s is kept and tried again", name, error, parcel.note.ident)
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(parcel.attempts - 1, 10))
        delay *= self._chance.uniform(0.5, 1.0)
        await asyncio.sleep(max(delay, error.wait_s) if isinstance(error, TooFast) else delay)

    async def _hand_over(self, parcel: Parcel, fallback: str, error: DeliveryFailed) -> None:
        log.warning("channel %s: %s; message %s goes to %s instead", parcel.channel, error, parcel.note.ident, fallback)
        self._number += 1
        moved = Parcel(self._number, fallback, parcel.person, parcel.note, 0, parcel.channel)
        record = self._record(parcel, {"state": "handed over", "to": fallback, "why": str(error)})
        await self._keep({**self.blobs([moved]), parcel.name: None}, [record])
        self._waiting[parcel.channel].remove(parcel)
        self.accept([moved])

    async def _put_aside(self, parcel: Parcel, why: str) -> None:
        log.error("channel %s gave up on message %s: %s", parcel.channel, parcel.note.ident, why)
        self.counts[f"put aside by {parcel.channel}"] += 1
        await unbroken(self._done(parcel, {"state": "not delivered", "why": why, "title": parcel.note.title}))

    async def _done(self, parcel: Parcel, what: Mapping[str, object]) -> None:
        """The parcel leaves the outbox, and the record of it stays: one commit."""
        blobs: dict[str, bytes | None] = {parcel.name: None}
        pace = self._paces.get(parcel.channel)
        if pace is not None:
            pace.sent(self._posts.pop(parcel.number, 1))
            blobs[_PACE + parcel.channel] = msgspec.json.encode(pace.times)
        await self._keep(blobs, [self._record(parcel, what)])
        self._waiting[parcel.channel].remove(parcel)
        self._mark()

    def _record(self, parcel: Parcel, what: Mapping[str, object]) -> Record:
        at = self._clock.now()
        record = {
            "at": at, "ident": parcel.note.ident, "person": parcel.person, "channel": parcel.channel,
            "alerts": [alert.get("id") for alert in parcel.note.alerts] or [parcel.note.alert.get("id")],
            "attempts": parcel.attempts, "instead_of": parcel.instead_of, **what,
        }  # fmt: skip
        return "receipts", at, parcel.note.ident, record

    async def _keep(self, blobs: Mapping[str, bytes | None], records: Iterable[Record]) -> None:
        try:
            await asyncio.to_thread(self._keeper.keep, blobs, list(records))
        except StoreAway as error:  # the message has left all the same; it may leave once more after a restart
            log.error("the outbox is ahead of its notes on disk: %s", error)

    async def _keep_pace(self, name: str) -> None:
        pace = self._paces.get(name)
        posts = _most_posts(self._channels[name])
        while pace is not None and (wait := pace.wait_s(posts)) > 0:  # noqa: ASYNC110 - waits for time itself
            await asyncio.sleep(wait)

    def _mark(self) -> None:
        if self.waiting:
            self._emptied.clear()
        else:
            self._emptied.set()

    def _restore(self) -> None:
        lost = []
        for name, blob in self._keeper.kept(_PARCELS).items():
            parcel = msgspec.json.decode(blob, type=Parcel)
            self._number = max(self._number, parcel.number)
            if parcel.channel in self._waiting:
                self._waiting[parcel.channel].append(parcel)
                self._arrived[parcel.channel].set()
                continue
            lost.append((name, parcel))
        for name, parcel in lost:
            log.error("message %s is put aside: channel %s is no longer configured", parcel.note.ident, parcel.channel)
            what = {"state": "not delivered", "why": "the channel is no longer configured", "title": parcel.note.title}
            self._keeper.keep({name: None}, [self._record(parcel, what)])
        for name, pace in self._paces.items():
            times = self._keeper.load(_PACE + name)
            if times is not None:
                pace.times = msgspec.json.decode(times, type=list[float])


def _told_without_values(error: Exception) -> str:
    """Kind and places of an error. What it says may hold an address with its token, so that is left out."""
    return f"{type(error).__name__}, a fault of ours\n{''.join(traceback.format_tb(error.__traceback__))}"


def _most_posts(channel: Channel) -> int:
    """How many posts a message with its picture is, in the service's own count."""
    return int(getattr(channel, "most_posts", 1))


class Pace:
    """At most ``limit`` messages in any minute of real time, remembered over a restart (seconds since 1970)."""

    def __init__(self, limit: int, now: Callable[[], float] = time.time) -> None:
        self._limit, self._now = limit, now
        self.times: list[float] = []

    def sent(self, posts: int = 1) -> None:
        self.times = [*self.times, *[self._now()] * posts][-self._limit :]

    def wait_s(self, posts: int = 1) -> float:
        """How long until ``posts`` more may go; a clock that was set back counts as a minute at most."""
        now = self._now()
        recent = sorted(at for at in self.times if now - 60 < at <= now)
        too_many = len(recent) + min(posts, self._limit) - self._limit
        return 0.0 if too_many <= 0 else max(0.01, recent[too_many - 1] + 60 - now)
