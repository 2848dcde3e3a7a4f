"""From an alert's change to a person: the dispatcher decides, the writer writes, the outbox delivers.

    alerts -> rules/dispatch.py  who is told what, when; stages hold back by name   -> letters
           -> rules/writing.py   in Chinese or English                              -> messages
           -> rules/outbox.py    on disk, then through the channels                 -> a person

What was decided and what is to be sent are saved in one commit, so that a kill at any point neither loses a message nor
decides twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final, TypeVar

import msgspec

from building.clock import Clock
from building.errors import InputError, StoreAway
from building.site import Site
from building.waiting import first_of, unbroken
from rules.cases import Book, Case, Letter
from rules.channels import PER_MINUTE
from rules.digest import Calendar, StillOn
from rules.dispatch import Dispatcher
from rules.outbox import Channel, Draw, Keeper, Outbox, Parcel
from rules.routing import Plan
from rules.topology import Heard
from rules.writing import Links, Writer

log = logging.getLogger(__name__)

_BOOK: Final = "notify/book"
_CASES: Final = "notify/case/"
_JUMP_MS: Final = 60_000  # how far the clock may differ from time passed before it is taken for a jump
_LONGEST_SLEEP_S: Final = 30.0  # real seconds between two looks at the clock

T = TypeVar("T")
Alert = Mapping[str, Any]
Refresh = Callable[[], Mapping[str, Alert]]
"""Open alerts by id, with their waste up to now."""


class Notifier:
    """Takes alerts as they change, and sees that the right people get them. Use as an async context manager."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        channels: Mapping[str, Channel],
        keeper: Keeper,
        *,
        heard: Heard | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._clock, self._keeper, self._channels = clock, keeper, channels
        self.plan = Plan(site, channels)
        self._saved_book = keeper.load(_BOOK)
        book = Book() if self._saved_book is None else _decoded(self._saved_book, Book)
        self.desk = Dispatcher(self.plan, heard=heard, book=book)
        self.desk.restore(self._restored_cases())
        self.calendar = Calendar(self.desk)
        self.writer = Writer(site)
        self.refresh: Refresh = dict
        settings = site.channels
        fallbacks = {name: str(page["fallback"]) for name, page in settings.items() if page.get("fallback")}
        paces = {name: page.get("per_minute") or PER_MINUTE.get(page["type"]) for name, page in settings.items()}
        self.outbox = Outbox(
            channels, keeper, clock, fallbacks=fallbacks, chance=chance,
            per_minute={name: limit for name, limit in paces.items() if limit},
        )  # fmt: skip
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Notifier:
        async with AsyncExitStack() as opening:
            for channel in self._channels.values():
                if isinstance(channel, AbstractAsyncContextManager):
                    await opening.enter_async_context(channel)
            await opening.enter_async_context(self.outbox)
            looking = asyncio.create_task(self._look(), name="dispatch")
            looking.add_done_callback(_told_of_fault)
            opening.push_async_callback(_cancelled, looking)
            self._stack = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def waiting(self) -> int:
        """Messages that no channel has taken yet."""
        return self.outbox.waiting

    @property
    def counts(self) -> Counter[str]:
        """Messages sent, failed and put aside, by channel."""
        return self.outbox.counts

    def use(
        self,
        *,
        refresh: Refresh | None = None,
        still_on: StillOn | None = None,
        links: Links | None = None,
        draw: Draw | None = None,
    ) -> None:
        """Neighbours that exist only once the rules run: fresh alerts, what is on, links and pictures for messages."""
        self.refresh = refresh or self.refresh
        self.calendar.still_on = still_on or self.calendar.still_on
        self.writer.links = links or self.writer.links
        self.outbox.draw = draw or self.outbox.draw

    async def tell(self, alerts: Iterable[Alert]) -> None:
        """Take changed alerts; on disk when this returns."""
        async with self._writing:
            letters: list[Letter] = []
            for alert in alerts:
                letters += self.desk.take(alert, self._clock.now())
            await unbroken(self._post(letters))
        self._changed.set()

    async def step(self) -> None:
        """Look at everything once, now."""
        async with self._writing:
            now = self._clock.now()
            letters = self.desk.step(now)
            letters += self.calendar.step(now)
            await unbroken(self._post(letters))

    async def send_test(self, letter: Letter) -> None:
        """Post a letter that no alert stands behind."""
        async with self._writing:
            await unbroken(self._post([letter]))

    async def drained(self, timeout_s: float) -> bool:
        """Wait until every channel has taken what is due, at most ``timeout_s`` real seconds."""
        await self.step()
        return await self.outbox.drained(timeout_s)

    async def _look(self) -> None:
        """Step whenever something changed or came due; notice when the clock was set."""
        while True:
            self._changed.clear()
            await self.step()
            steady, moment = self._clock.steady(), self._clock.now()
            until = steady + int(_LONGEST_SLEEP_S * 1000 * self._clock.speed)
            if self.desk.due is not None:
                until = min(until, steady + self.desk.due - moment)
            await self._sleep(until)
            jump = self._clock.now() - moment - (self._clock.steady() - steady)
            if abs(jump) > _JUMP_MS:
                log.warning("the clock was set by %d s; what is waited for moves along", jump // 1000)
                self.desk.shift(jump)

    async def _sleep(self, until: int) -> None:
        """Until a steady moment, or until something changes."""
        await first_of(self._clock.sleep_steady(until), self._changed.wait())

    async def _post(self, letters: Iterable[Letter]) -> None:
        """Write the letters, and save them together with what was decided."""
        letters = list(letters)
        if letters:
            self._bring_up_to_date()
        parcels = [self._parcel(letter) for letter in letters]
        blobs = self.outbox.blobs(parcels)
        blobs[_BOOK] = msgspec.json.encode(self.desk.book)
        changed, self.desk.changed = self.desk.changed, set()
        for ident in changed:
            case = self.desk.cases.get(ident)
            blobs[_CASES + ident] = None if case is None else msgspec.json.encode(case)
        if changed or parcels or blobs[_BOOK] != self._saved_book:
            try:
                await asyncio.to_thread(self._keeper.keep, blobs)
                self._saved_book = blobs[_BOOK]
            except StoreAway as error:  # people are told all the same; the notes are made up for at the next change
                log.error("messages leave without having been kept on disk: %s", error)
                self.desk.changed |= changed
        self.outbox.accept(parcels)

    def _parcel(self, letter: Letter) -> Parcel:
        person = self.plan.people[letter.person]
        message = self.writer.write(letter, self.desk.cases, person)
        return self.outbox.pack(person.channel, person.name, message)

    def _bring_up_to_date(self) -> None:
        """What has been wasted by now, in the cases that are still open."""
        for ident, fresh in self.refresh().items():
            case = self.desk.cases.get(ident)
            if case is not None and case.ended is None and case.alert["state"] == fresh["state"]:
                raises = case.alert["evidence"].get("raises")
                evidence = fresh["evidence"] if raises is None else {**fresh["evidence"], "raises": raises}
                case.alert = {**fresh, "evidence": evidence}

    def _restored_cases(self) -> list[Case]:
        return [_decoded(blob, Case) for blob in self._keeper.kept(_CASES).values()]


def _decoded(blob: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(blob, type=kind)
    except msgspec.MsgspecError as error:
        way_out = "put a backup in place with greenwarden restore, or move data/memory.db away to begin without it"
        raise InputError(f"what was kept of the messages cannot be read ({error}); {way_out}") from None


def _told_of_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("messages are no longer decided, by a fault of ours", exc_info=task.exception())


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def read_cases(keeper: Keeper) -> dict[str, Case]:
    """The cases as they were saved last, by id; for commands beside a running program."""
    return {case.id: case for case in (_decoded(blob, Case) for blob in keeper.kept(_CASES).values())}
