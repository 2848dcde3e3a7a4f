"""The stream: every subscriber sees every reading, or it is counted; the store's never loses."""

from __future__ import annotations

import asyncio

import pytest

from building.readings import Reading
from collector.stream import Stream, Subscription


def batch(first: int, count: int) -> list[Reading]:
    return [Reading("d", at, {"voltage": 230.0}) for at in range(first, first + count)]


async def taken(subscription: Subscription) -> list[int]:
    return [reading.taken_at for reading in await subscription.__anext__()]


async def test_every_subscriber_gets_every_reading_in_order() -> None:
    stream = Stream()
    one, other = stream.subscribe("one"), stream.subscribe("other")
    await stream.publish(batch(0, 3))
    await stream.publish(batch(3, 2))
    assert await taken(one) == await taken(other) == [0, 1, 2, 3, 4]


async def test_a_slow_subscriber_loses_its_oldest_and_the_loss_is_counted() -> None:
    stream = Stream()
    slow = stream.subscribe("page", limit=10)
    for start in range(0, 100, 5):
        await stream.publish(batch(start, 5))
    assert slow.dropped == 90
    assert await taken(slow) == list(range(90, 100))


async def test_a_lossless_subscriber_makes_its_publisher_wait_and_loses_nothing() -> None:
    stream = Stream()
    store = stream.subscribe("store", limit=10, lossless=True)

    async def publish_all() -> None:
        for start in range(0, 100, 5):
            await stream.publish(batch(start, 5))
        stream.close()

    publishing = asyncio.create_task(publish_all())
    await asyncio.sleep(0)
    assert not publishing.done()
    assert store.waiting <= 15
    assert [reading.taken_at async for one in store for reading in one] == list(range(100))
    assert store.dropped == 0


async def test_an_acknowledgement_comes_when_every_keeper_has_it_safe_and_not_before() -> None:
    stream = Stream()
    store, backup = stream.subscribe("store", lossless=True), stream.subscribe("backup", lossless=True)
    page = stream.subscribe("page")
    said: list[str] = []
    await stream.publish(batch(0, 1), lambda: said.append("first"))
    for subscription in (store, backup, page):
        await taken(subscription)
    page.acknowledge()
    store.acknowledge()
    store.acknowledge()
    assert said == []
    backup.acknowledge()
    assert said == ["first"]


async def test_without_a_keeper_a_message_is_acknowledged_at_once() -> None:
    stream = Stream()
    said: list[str] = []
    await stream.publish(batch(0, 1), lambda: said.append("now"))
    assert said == ["now"]


async def test_a_keeper_that_leaves_lets_the_publisher_go_on() -> None:
    stream = Stream()
    store = stream.subscribe("store", limit=1, lossless=True)
    await stream.publish(batch(0, 1))
    publishing = asyncio.create_task(stream.publish(batch(1, 1)))
    await asyncio.sleep(0)
    assert not publishing.done()
    store.close()
    await asyncio.wait_for(publishing, 30)
    assert stream.published == 2


async def test_a_closed_stream_ends_its_subscriptions_once_they_are_empty() -> None:
    stream = Stream()
    one = stream.subscribe("one")
    await stream.publish(batch(0, 1))
    stream.close()
    assert await taken(one) == [0]
    with pytest.raises(StopAsyncIteration):
        await one.__anext__()
