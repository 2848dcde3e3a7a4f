"""The outbox: at least once, in order, and by its ident not twice in the ordinary case; also when killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from building.clock import ManualClock
from building.errors import DeliveryFailed, StoreAway
from collector.storing.keeper import Keeper
from rules.channels import Message, TooFast
from rules.outbox import Outbox, Pace
from tests.notify_parts import ListChannel, MemoryKeeper, NoWait
from tests.outbox_child import finish
from tests.parts import ROOT, Answer, HttpSink, Request

KILLS = 50


def a_message(number: int) -> Message:
    return Message(f"m{number}", f"title {number}", "text", {"id": f"a{number}"})


def put(outbox: Outbox, keeper: MemoryKeeper, channel: str, *numbers: int) -> None:
    parcels = [outbox.pack(channel, "desk", a_message(number)) for number in numbers]
    keeper.keep(outbox.blobs(parcels))
    outbox.accept(parcels)


def outbox_of(channels: dict[str, ListChannel], keeper: MemoryKeeper, **other: object) -> Outbox:
    return Outbox(channels, keeper, ManualClock(), chance=NoWait(), **other)  # type: ignore[arg-type]


async def test_messages_leave_in_order_also_when_one_has_to_be_tried_again() -> None:
    keeper, channel = MemoryKeeper(), ListChannel(*(DeliveryFailed("busy", retry=True) for _ in range(3)))
    async with outbox_of({"desk": channel}, keeper) as outbox:
        put(outbox, keeper, "desk", 1, 2, 3)
        assert await outbox.drained(30)
    assert [message.ident for message in channel.got] == ["m1", "m2", "m3"]
    assert keeper.kept("notify/parcel/") == {}
    assert [record["attempts"] for record in keeper.records("receipts")] == [3, 0, 0]


async def test_what_a_channel_cannot_deliver_goes_to_its_fall_back_under_the_same_ident() -> None:
    keeper, backup = MemoryKeeper(), ListChannel()
    lasting = ListChannel(DeliveryFailed("wrong key", retry=False))
    async with outbox_of({"desk": lasting, "mail": backup}, keeper, fallbacks={"desk": "mail"}) as outbox:
        put(outbox, keeper, "desk", 1)
        assert await outbox.drained(30)
    assert [message.ident for message in backup.got] == ["m1"]
    handed, sent = keeper.records("receipts")
    assert (handed["state"], handed["to"], handed["why"]) == ("handed over", "mail", "wrong key")
    assert (sent["state"], sent["channel"], sent["instead_of"]) == ("sent", "mail", "desk")


async def test_what_fails_in_passing_goes_to_the_fall_back_after_five_attempts() -> None:
    keeper, backup = MemoryKeeper(), ListChannel()
    away = ListChannel(*(DeliveryFailed("away", retry=True) for _ in range(9)))
    async with outbox_of({"desk": away, "mail": backup}, keeper, fallbacks={"desk": "mail"}) as outbox:
        put(outbox, keeper, "desk", 1)
        assert await outbox.drained(30)
    assert (away.attempts, len(backup.got)) == (5, 1)


SECRET_ADDRESS = "https://robot.example/?key=s3cret"


class Faulty(ListChannel):
    """Fails with an error that no channel should raise, with an address in its words."""

    async def send(self, message: Message) -> str:
        if message.ident == "m1":
            raise ValueError(SECRET_ADDRESS)
        return await super().send(message)


async def test_a_fault_of_a_channel_takes_one_message_aside_and_holds_up_none_behind_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper, channel = MemoryKeeper(), Faulty()
    async with outbox_of({"desk": channel}, keeper) as outbox:
        put(outbox, keeper, "desk", 1, 2)
        assert await outbox.drained(30)
    assert [message.ident for message in channel.got] == ["m2"]
    states = {record["ident"]: record["state"] for record in keeper.records("receipts")}
    assert states == {"m1": "not delivered", "m2": "sent"}
    assert "ValueError" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_picture_that_cannot_be_drawn_does_not_keep_the_words_back() -> None:
    keeper, channel = MemoryKeeper(), ListChannel()
    channel.takes_pictures = True  # type: ignore[attr-defined]  # as mail and WeCom say of themselves

    async def draw(message: Message) -> bytes:
        raise RuntimeError("no fonts at all")

    async with outbox_of({"desk": channel}, keeper) as outbox:
        outbox.draw = draw
        put(outbox, keeper, "desk", 1)
        assert await outbox.drained(30)
    assert [message.picture for message in channel.got] == [None]


async def test_a_service_that_wants_a_pause_gets_it() -> None:
    keeper, channel = MemoryKeeper(), ListChannel(TooFast("429", 0.2))
    async with outbox_of({"desk": channel}, keeper) as outbox:
        began = asyncio.get_running_loop().time()
        put(outbox, keeper, "desk", 1)
        assert await outbox.drained(30)
        assert asyncio.get_running_loop().time() - began >= 0.2


async def test_parcels_of_a_channel_that_is_gone_are_put_aside_with_a_word() -> None:
    keeper = MemoryKeeper()
    put(outbox_of({"old": ListChannel()}, keeper), keeper, "old", 1)
    async with outbox_of({"new": ListChannel()}, keeper) as outbox:
        assert outbox.waiting == 0
    (record,) = keeper.records("receipts")
    assert (record["state"], record["title"]) == ("not delivered", "title 1")
    assert keeper.kept("notify/parcel/") == {}


def test_a_robots_twenty_a_minute_hold_in_every_minute_and_over_a_restart() -> None:
    now = [1000.0]
    pace = Pace(20, lambda: now[0])
    sent: list[float] = []
    for restart in range(3):
        again = Pace(20, lambda: now[0])
        again.times = list(pace.times)
        pace = again
        for _ in range(30 + restart):
            now[0] += pace.wait_s()
            pace.sent()
            sent.append(now[0])
            now[0] += 0.1
    assert max(sum(at <= other < at + 60 for other in sent) for at in sent) == 20


async def test_a_picture_that_is_posted_by_itself_counts_against_the_robots_twenty_a_minute() -> None:
    keeper, channel = MemoryKeeper(), ListChannel()
    channel.takes_pictures, channel.most_posts = True, 2  # type: ignore[attr-defined]  # as WeCom says of itself

    async def draw(message: Message) -> bytes | None:
        return None if message.ident == "m1" else b"png"

    async with outbox_of({"robot": channel}, keeper, per_minute={"robot": 20}) as outbox:
        outbox.draw = draw
        put(outbox, keeper, "robot", *range(1, 15))
        async with asyncio.timeout(30):
            while len(channel.got) < 10:
                await asyncio.sleep(0.01)
        assert not await outbox.drained(0.3)
    posts = [1 if message.picture is None else 2 for message in channel.got]
    assert sum(posts) == 19  # the eleventh would make it 21


def test_a_clock_that_was_set_back_holds_nobody_up_for_longer_than_a_minute() -> None:
    now = [1_000_000.0]
    pace = Pace(2, lambda: now[0])
    pace.sent()
    pace.sent()
    now[0] -= 86_400
    assert pace.wait_s() <= 60


class Lazy:
    """A sink that takes its time, so that kills fall between its answer and our note of it."""

    def __init__(self) -> None:
        self.idents: list[str] = []
        self._lock, self._chance = threading.Lock(), random.Random(7)

    def __call__(self, request: Request) -> Answer:
        with self._lock:
            self.idents.append(request.headers["x-greenwarden-id"])
            pause = self._chance.random() * 0.004
        threading.Event().wait(pause)
        return Answer(200)


class Sender:
    """Starts sending processes one after the other and kills each."""

    def __init__(self, folder: Path, url: str) -> None:
        command = [sys.executable, "-m", "tests.outbox_child", str(folder), url]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def killed_after(self, first: int, pause: float) -> tuple[int, set[str]]:
        """Send from alert ``first`` on, and kill -9 ``pause`` s after the first promise; the next number, and what
        was promised."""
        given, said = self._child.stdin, self._child.stdout
        assert given is not None
        assert said is not None
        given.write(f"{first}\n")
        given.flush()
        pid = int(said.readline().split()[1])
        told = [said.readline().split()]
        assert told[0][0] != "gone", f"ended by itself with {told[0][1]}"
        killer = threading.Timer(pause, os.kill, (pid, signal.SIGKILL))
        killer.start()
        while (line := said.readline()) and not line.startswith("gone"):
            told.append(line.split())
        killer.join()
        assert line.split() == ["gone", str(-signal.SIGKILL)], line
        return int(told[-1][0]) + 1, {f"a{number}:{state}" for number, state in told}

    def close(self) -> None:
        self._child.communicate()


async def test_a_sending_path_killed_fifty_times_at_random_points_loses_no_message(
    tmp_path: Path, http_sink: HttpSink
) -> None:
    lazy, chance = Lazy(), random.Random(1)
    http_sink.answer = lazy
    promised: set[str] = set()
    number, sender = 0, Sender(tmp_path, f"{http_sink.url}/hook")
    for _ in range(KILLS):
        number, told = await asyncio.to_thread(sender.killed_after, number, chance.random() * 0.15)
        promised |= told
    sender.close()
    await finish(tmp_path, f"{http_sink.url}/hook")
    got = Counter(lazy.idents)
    assert promised - got.keys() == set()
    repeated = sum(count - 1 for count in got.values())
    print(f"{KILLS} kills, {len(promised)} messages promised, {repeated} sent twice")
    assert repeated <= KILLS  # at most the one that was under way at each kill
    first = {ident: place for place, ident in reversed(list(enumerate(lazy.idents)))}
    for ident, place in first.items():
        if ident.endswith(":resolved"):
            assert first[ident.replace("resolved", "firing")] < place


def test_the_keeper_keeps_blobs_and_records_together_or_not_at_all(tmp_path: Path) -> None:
    with Keeper(tmp_path / "memory.db") as keeper:
        keeper.keep({"notify/a": b"1", "notify/b": b"2", "other": b"3"}, [("receipts", 5, "m1", {"ident": "m1"})])
        with pytest.raises(TypeError):
            keeper.keep({"notify/a": None}, [("receipts", 6, "m2", {"ident": object()})])
        with pytest.raises(StoreAway):
            keeper.keep({"notify/a": None, "notify/c": {"no": "blob"}}, [])  # type: ignore[dict-item]
        assert keeper.kept("notify/") == {"notify/a": b"1", "notify/b": b"2"}
        keeper.keep({"notify/a": None})
        assert list(keeper.kept("notify/")) == ["notify/b"]
        assert keeper.records("receipts") == [{"ident": "m1"}]
