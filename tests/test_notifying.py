"""From an alert's change to a channel: nothing lost, nothing twice, and a reason for whatever was held back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from building.clock import ManualClock
from building.errors import DeliveryFailed, InputError, StoreAway
from rules.channels.message import Message
from rules.notifying import Notifier, read_cases
from tests.notify_parts import (
    HOUR,
    MINUTE,
    ListChannel,
    MemoryKeeper,
    an_alert,
    local,
    notifier_of,
    over,
    site_of,
)  # fmt: skip


async def told(channel: ListChannel, keeper: MemoryKeeper, *alerts: dict[str, Any]) -> Notifier:
    async with notifier_of({"desk": channel}, keeper) as notifier:
        await notifier.tell(alerts)
        assert await notifier.drained(30)
    return notifier


async def pass_minutes(clock: ManualClock, count: int) -> None:
    for _ in range(count):
        await clock.advance(MINUTE)
        await asyncio.sleep(0.005)  # the thread that saves needs a moment of real time


async def test_a_raised_and_a_resolved_alert_are_each_told_once_and_in_order() -> None:
    channel, keeper, alert = ListChannel(), MemoryKeeper(), an_alert()
    await told(channel, keeper, alert, alert, over(alert, 10), over(alert, 10))
    assert [message.ident for message in channel.got] == ["a1:firing", "a1:resolved"]
    assert (channel.got[0].title, channel.got[0].text) == (alert["title"], alert["text"])
    assert channel.got[1].alert["state"] == "resolved"


async def test_the_same_alert_is_not_told_again_after_a_restart() -> None:
    channel, keeper = ListChannel(), MemoryKeeper()
    await told(channel, keeper, an_alert())
    await told(channel, keeper, an_alert())
    assert len(channel.got) == 1


async def test_a_message_that_no_channel_took_is_sent_after_a_restart() -> None:
    class Unreachable:
        async def send(self, message: Message) -> None:
            await asyncio.Event().wait()

    keeper, channel = MemoryKeeper(), ListChannel()
    async with notifier_of({"desk": Unreachable()}, keeper) as notifier:
        await notifier.tell([an_alert()])
    await told(channel, keeper)
    assert [message.ident for message in channel.got] == ["a1:firing"]


async def test_the_end_of_an_alert_nobody_was_told_of_is_held_back_by_name() -> None:
    channel, keeper = ListChannel(), MemoryKeeper()
    await told(channel, keeper, an_alert(state="resolved"))
    assert channel.got == []
    (decision,) = read_cases(keeper)["a1"].decisions
    assert (decision.person, decision.stage) == ("desk", "its beginning was never told")


async def test_messages_wait_for_their_moment_and_leave_then() -> None:
    site, clock = site_of(), ManualClock(local("2026-07-01 10:00"))
    channels = {"group": ListChannel(), "keeper": ListChannel(), "duty": ListChannel()}
    async with notifier_of(channels, MemoryKeeper(), site=site, clock=clock) as notifier:
        await notifier.tell([an_alert(at=clock.now())])
        await clock.advance(29_000)
        assert await notifier.drained(30)
        assert channels["group"].got == []
        await clock.advance(2_000)
        assert await notifier.drained(30)
        assert [message.title for message in channels["group"].got] == ["301办公室 灯未关"]
        await pass_minutes(clock, 62)
        assert await notifier.drained(30)
    assert len(channels["group"].got) == 1
    assert len(channels["keeper"].got) == 1  # after an hour without an answer
    assert channels["duty"].got == []


async def test_a_clock_that_is_set_an_hour_on_or_back_sends_nothing_by_that() -> None:
    for jump in (HOUR, -HOUR):
        site, clock = site_of(), ManualClock(local("2026-07-01 15:00"))
        channels = {"group": ListChannel(), "keeper": ListChannel(), "duty": ListChannel()}
        async with notifier_of(channels, MemoryKeeper(), site=site, clock=clock) as notifier:
            await notifier.tell([an_alert(at=clock.now())])
            await pass_minutes(clock, 3)
            clock.set_by(jump)
            await pass_minutes(clock, 10)
            assert await notifier.drained(30)
            assert [len(channel.got) for channel in channels.values()] == [1, 0, 0]
            await pass_minutes(clock, 60)  # an hour after it began, by the time that really passed
            assert await notifier.drained(30)
        assert [len(channel.got) for channel in channels.values()] == [1, 1, 0]


async def test_with_the_disk_full_people_are_told_all_the_same() -> None:
    class Full(MemoryKeeper):
        def keep(self, blobs: Any, records: Any = ()) -> None:
            raise StoreAway("memory.db cannot be used (disk full)")

    channel = ListChannel()
    await told(channel, Full(), an_alert())
    assert [message.ident for message in channel.got] == ["a1:firing"]


async def test_what_was_kept_and_cannot_be_read_is_refused_with_the_way_out() -> None:
    keeper = MemoryKeeper()
    keeper.save("notify/book", b"no json")
    with pytest.raises(InputError, match=r"greenwarden restore, or move data/memory\.db away"):
        notifier_of({}, keeper)


async def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_put_aside() -> None:
    passing = ListChannel(DeliveryFailed("busy", retry=True), DeliveryFailed("busy", retry=True))
    await told(passing, MemoryKeeper(), an_alert())
    assert len(passing.got) == 1
    lasting, keeper = ListChannel(DeliveryFailed("wrong key", retry=False)), MemoryKeeper()
    notifier = await told(lasting, keeper, an_alert(), an_alert("a2"))
    assert [message.ident for message in lasting.got] == ["a2:firing"]
    assert notifier.counts["put aside by desk"] == 1
    aside, sent = keeper.records("receipts")
    assert (aside["state"], aside["why"], aside["ident"]) == ("not delivered", "wrong key", "a1:firing")
    assert (sent["state"], sent["receipt"]) == ("sent", "receipt 1")
