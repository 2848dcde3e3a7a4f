"""From an alert's change to a person: stages that each ask one question, then an outbox that survives a restart.

Every stage is a function ``(alert, told) -> reason``; an empty reason lets the message pass, any other is the name
under which it was held back. What passes goes to the outbox of each channel, is kept there until the channel takes it,
and leaves in order. A message has the same ident at every attempt, so that a receiver can tell a repetition.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec

from building.errors import DeliveryFailed
from rules.channels.message import Message

log = logging.getLogger(__name__)

_OUTBOX: Final = "outbox"
_TOLD_LIMIT: Final = 20_000  # idents remembered as delivered; at ten messages a day that is years
_FIRST_DELAY_S: Final = 2.0
_LONGEST_DELAY_S: Final = 300.0
_MOST_ATTEMPTS: Final = 200  # with the delays above about 16 hours


class Channel(Protocol):
    """What a channel must be able to do; see ``rules.channels``."""

    async def send(self, message: Message) -> None:
        """Deliver, or raise DeliveryFailed."""


class Keeper(Protocol):
    """Where the outbox is kept over a restart."""

    def save(self, name: str, blob: bytes) -> None:
        """Keep ``blob`` on disk under ``name`` before returning."""

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``."""


class Parcel(msgspec.Struct):
    """One message on its way through one channel."""

    channel: str
    ident: str
    title: str
    text: str
    alert: dict[str, object]
    attempts: int = 0


class _Kept(msgspec.Struct):
    parcels: list[Parcel] = []
    told: list[str] = []


Alert = Mapping[str, object]
Stage = Callable[[Alert, Mapping[str, None]], str]


def already_told(alert: Alert, told: Mapping[str, None]) -> str:
    """This very change went to the outbox before, perhaps before a restart."""
    return "already told" if ident_of(alert) in told else ""


def never_announced(alert: Alert, told: Mapping[str, None]) -> str:
    """Nobody is told that something ended whose beginning nobody was told."""
    ended = alert["state"] == "resolved" and f"{alert['id']}:firing" not in told
    return "its beginning was never told" if ended else ""


STAGES: Final[tuple[Stage, ...]] = (already_told, never_announced)


def ident_of(alert: Alert) -> str:
    """Identity of one change of one alert."""
    return f"{alert['id']}:{alert['state']}"


class Notifier:
    """Takes alerts as they change, and sees that every channel gets them. Use as an async context manager."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        keeper: Keeper,
        *,
        stages: Iterable[Stage] = STAGES,
        draw: random.Random | None = None,
    ) -> None:
        self._channels = channels
        self._keeper = keeper
        self._stages = tuple(stages)
        self._draw = draw or random.Random()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[str, list[Parcel]] = {name: [] for name in channels}
        self._arrived: dict[str, asyncio.Event] = {name: asyncio.Event() for name in channels}
        self._emptied = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.counts: Counter[str] = Counter()
        self._restore()
        self._mark_emptied()

    async def __aenter__(self) -> Notifier:
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

    async def tell(self, alerts: Iterable[Alert]) -> None:
        """Put each change through the stages and into the outbox; on disk when this returns."""
        passed = False
        for alert in alerts:
            held = next(filter(None, (stage(alert, self._told) for stage in self._stages)), "")
            if held:
                self.counts["held back"] += 1
                log.info("alert %s (%s): not told: %s", alert["id"], alert["state"], held)
                continue
            passed = True
            self._remember(ident_of(alert))
            for name, parcels in self._waiting.items():
                parcels.append(Parcel(name, ident_of(alert), str(alert["title"]), str(alert["text"]), dict(alert)))
        if passed:
            self._mark_emptied()
            await self._keep()
            for event in self._arrived.values():
                event.set()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until every channel has taken everything, at most ``timeout_s`` real seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    async def _deliver(self, name: str) -> None:
        parcels, arrived, channel = self._waiting[name], self._arrived[name], self._channels[name]
        while True:
            while not parcels:
                arrived.clear()
                await arrived.wait()
            parcel = parcels[0]
            try:
                await channel.send(Message(parcel.ident, parcel.title, parcel.text, parcel.alert))
            except DeliveryFailed as error:
                if await self._try_later(name, parcel, error):
                    continue
            else:
                self.counts[f"sent by {name}"] += 1
            parcels.remove(parcel)
            await self._keep()
            self._mark_emptied()

    async def _try_later(self, name: str, parcel: Parcel, error: DeliveryFailed) -> bool:
        """Wait before the next attempt; False when there will be none."""
        parcel.attempts += 1
        self.counts[f"failed by {name}"] += 1
        if not error.retry or parcel.attempts >= _MOST_ATTEMPTS:
            log.error("channel %s gave up on message %s: %s", name, parcel.ident, error)
            return False
        if parcel.attempts == 1:
            log.warning("channel %s: %s; message %s is kept and tried again", name, error, parcel.ident)
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(parcel.attempts - 1, 10))
        await asyncio.sleep(delay * self._draw.uniform(0.5, 1.0))
        return True

    def _mark_emptied(self) -> None:
        if self.waiting:
            self._emptied.clear()
        else:
            self._emptied.set()

    def _remember(self, ident: str) -> None:
        self._told[ident] = None
        while len(self._told) > _TOLD_LIMIT:
            self._told.popitem(last=False)

    async def _keep(self) -> None:
        parcels = [parcel for waiting in self._waiting.values() for parcel in waiting]
        blob = msgspec.json.encode(_Kept(parcels, list(self._told)))
        await asyncio.to_thread(self._keeper.save, _OUTBOX, blob)

    def _restore(self) -> None:
        blob = self._keeper.load(_OUTBOX)
        if blob is None:
            return
        kept = msgspec.json.decode(blob, type=_Kept)
        for ident in kept.told:
            self._remember(ident)
        for parcel in kept.parcels:
            if parcel.channel in self._waiting:
                self._waiting[parcel.channel].append(parcel)
            else:
                log.warning(
                    "message %s is dropped: the channel %s is no longer configured", parcel.ident, parcel.channel
                )
