"""How people's answers reach the rules of a running program, and how links and pictures get into messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol

from building.clock import Clock
from building.errors import InputError, StoreAway
from building.site import Site
from collector.storing.keeper import Keeper
from dashboards.alert_page import AlertPage
from greenwarden.evidence import Picture, SeriesSource
from rules.answers import Inbox, from_topic
from rules.channels import Channel, MqttChannel
from rules.links import Links
from rules.notifying import Notifier
from rules.routing import PageSettings
from rules.service import LiveRules

log = logging.getLogger(__name__)


class Parts(Protocol):
    """What of the program answers need."""

    site: Site
    clock: Clock
    keeper: Keeper
    notifier: Notifier
    rules: LiveRules


async def open_answers(
    parts: Parts, opening: AsyncExitStack, channels: Mapping[str, Channel], source: SeriesSource | None
) -> AlertPage | None:
    """Join the notifier to the rules, and open the ways back; all of it closes with ``opening``."""
    rules, notifier, clock = parts.rules, parts.notifier, parts.clock
    picture = Picture(parts.site, clock, source) if source is not None else None
    notifier.use(refresh=rules.fresh, still_on=rules.still_on, draw=None if picture is None else picture.of_message)
    inbox = Inbox(parts.keeper, clock, rules.answer)
    taking = asyncio.create_task(inbox.run(), name="answers")
    opening.push_async_callback(_cancelled, taking)
    pending: set[asyncio.Task[None]] = set()
    for channel in channels.values():
        if isinstance(channel, MqttChannel):
            channel.on_answer = _taker(rules, clock, pending)
    page = notifier.plan.page.page
    if page is None:
        return None
    return await _open_page(parts, opening, page, None if picture is None else picture.of_alert)


async def _open_page(
    parts: Parts,
    opening: AsyncExitStack,
    page: PageSettings,
    picture: Callable[[Mapping[str, Any], str], Awaitable[bytes | None]] | None,
) -> AlertPage:
    rules, clock = parts.rules, parts.clock
    links = Links(parts.site, page, parts.keeper)
    parts.notifier.use(links=lambda alert, person: links.for_message(alert, person, clock.now()))
    host, _, port = page.listen.rpartition(":")

    def find(ident: str) -> Mapping[str, Any] | None:
        known = rules.alerts.get(ident)
        return rules.fresh().get(ident) or (None if known is None else known.to_json())

    served = AlertPage(
        links, clock, find, rules.answer, language=parts.site.site.language,
        languages={name: person.language for name, person in parts.notifier.plan.people.items()},
        tell=lambda alert, language: parts.notifier.writer.shown(alert, language, clock.now()),
        picture=picture, host=host.strip("[]"), port=int(port),
    )  # fmt: skip
    return await opening.enter_async_context(served)


def _taker(rules: LiveRules, clock: Clock, pending: set[asyncio.Task[None]]) -> Callable[[dict[str, Any]], None]:
    """Takes answers of a topic one by one, without holding up the connection."""

    async def give(said: dict[str, Any]) -> None:
        try:
            await rules.answer(from_topic(said, clock.now()))
        except (InputError, StoreAway) as error:
            log.warning("an answer from MQTT is not taken, or not kept: %s", error)

    def take(said: dict[str, Any]) -> None:
        task = asyncio.get_running_loop().create_task(give(said), name="answer")
        pending.add(task)
        task.add_done_callback(pending.discard)

    return take


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
