"""The durable queue: what was appended comes out once it is asked for, whatever happened to process and files."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.readings import Reading
from collector.storing.packing import pack_alerts, pack_readings, unpack
from collector.storing.queue import DurableQueue
from tests.parts import ROOT
from tests.storing_parts import START, alert, every_kind_of_reading, numbered, numbers_in


def fill(queue: DurableQueue, parcels: range, each: int = 10) -> None:
    for parcel in parcels:
        batch = [numbered(parcel * each + index) for index in range(each)]
        queue.append(pack_readings(batch), len(batch), batch[0].taken_at)


def test_readings_of_every_kind_come_back_from_their_bytes_unchanged() -> None:
    readings = every_kind_of_reading()
    assert unpack(pack_readings(readings)).readings == readings
    assert unpack(pack_alerts([alert()])).alerts == [alert()]


def test_numbers_of_numpy_are_packed_as_numbers() -> None:
    (reading,) = unpack(
        pack_readings([Reading("main", START, {"voltage": np.float64(230.1), "on": np.float32(1)})])
    ).readings
    assert reading == Reading("main", START, {"voltage": 230.1, "on": 1.0})


def test_what_was_appended_comes_out_in_order_also_after_a_restart(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=2_000)
    fill(queue, range(20))
    queue.close()
    queue = DurableQueue(tmp_path, segment_bytes=2_000)
    fill(queue, range(20, 25))
    assert numbers_in(queue) == list(range(250))
    queue.close()
    assert list(tmp_path.glob("*.seg")) == []


def test_only_what_was_acknowledged_is_forgotten(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=2_000)
    fill(queue, range(20))
    first = queue.take(50)
    second = queue.take(50)
    assert first is not None
    assert second is not None
    queue.acknowledge(first)
    queue.give_back()
    assert numbers_in(queue) == list(range(first.readings, 200))
    queue.close()


def test_the_mark_of_what_was_acknowledged_survives_a_restart(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path)
    fill(queue, range(20))
    taken = queue.take(50)
    assert taken is not None
    queue.acknowledge(taken)
    again = DurableQueue(tmp_path)  # the first was never closed, as after a kill
    assert numbers_in(again) == list(range(50, 200))


def test_status_tells_how_much_waits_and_how_old_it_is(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path)
    assert queue.status().oldest is None
    fill(queue, range(3))
    assert queue.status().readings == 30
    assert queue.status().oldest == START
    assert queue.status().bytes == sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    taken = queue.take(10)
    assert taken is not None
    queue.acknowledge(taken)
    assert (queue.status().readings, queue.status().oldest) == (20, START + 10)
    again = DurableQueue(tmp_path)
    assert again.status()[:3] == queue.status()[:3]


def test_the_newest_segment_can_be_taken_first(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path)
    fill(queue, range(3))
    queue.roll()
    fill(queue, range(3, 4))
    taken = queue.take(newest=True)
    assert taken is not None
    assert unpack(taken.bodies[0]).readings[0] == numbered(30)
    queue.acknowledge(taken)
    assert numbers_in(queue) == list(range(30))


def readings_in(queue: DurableQueue) -> list[Reading]:
    found: list[Reading] = []
    while (taken := queue.take()) is not None:
        found += [reading for body in taken.bodies for reading in unpack(body).readings]
        queue.acknowledge(taken)
    return found


def minutes(device: str, count: range) -> list[Reading]:
    """A counter that rises by 1 each minute, a gauge that alternates, and a state."""
    return [
        Reading(device, START + n * 60_000, {"energy_import": float(n), "active_power": 100.0 * (n % 2), "on": 1.0})
        for n in count
    ]


def test_beyond_the_quota_the_oldest_is_folded_to_means_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=20_000, quota_bytes=100_000)
    with caplog.at_level(logging.WARNING):
        for hour in range(48):
            batch = minutes("main", range(hour * 60, hour * 60 + 60))
            queue.append(pack_readings(batch), 60, batch[0].taken_at, batch[0].taken_at)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.seg")) <= 100_000
    status = queue.status()
    assert status.dropped == 0
    assert status.folded > 0
    assert status.readings + status.folded == 48 * 60
    assert "were folded to" in caplog.text
    assert "raise store.queue in devices.yaml" in caplog.text
    found = readings_in(queue)
    assert len(found) == status.readings
    folded = [one for one in found if one.quality.reason]
    assert {one.quality.reason for one in folded} == {"folded to 15m"}
    for one in folded:  # the counter is that of the stamp; the mean is over what was folded
        assert one.values["energy_import"] == (one.taken_at - START) / 60_000
        assert one.values["on"] == 1.0
    whole = [one for one in folded if (one.taken_at - START) % 900_000 == 0]
    assert len(whole) > 0.7 * len(folded)
    assert sum(abs(float(one.values["active_power"]) - 50.0) < 5.0 for one in whole) > 0.6 * len(
        whole
    )  # or cut by a file
    queue.close()


def test_what_is_folded_to_hours_already_goes_when_even_that_is_too_much(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=5_000, quota_bytes=20_000)
    for hour in range(24 * 30):
        batch = minutes("main", range(hour * 60, hour * 60 + 60, 5))
        queue.append(pack_readings(batch), len(batch), batch[0].taken_at, batch[0].taken_at)
    status = queue.status()
    assert status.dropped > 0
    assert status.readings + status.folded + status.dropped == 24 * 30 * 12
    assert {one.quality.reason for one in readings_in(queue)} >= {"folded to 1h", ""}
    queue.close()


def test_folded_files_survive_a_restart_and_a_kill_in_the_middle_of_folding(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=20_000, quota_bytes=100_000)
    for hour in range(48):
        batch = minutes("main", range(hour * 60, hour * 60 + 60))
        queue.append(pack_readings(batch), 60, batch[0].taken_at, batch[0].taken_at)
    waiting = queue.status()[:3]
    folded = next(path for path in tmp_path.glob("*.seg") if "-" in path.stem)
    folded.with_name(f"{folded.stem.partition('-')[0]}.seg").write_bytes(b"")  # the file it came from, not yet removed
    (tmp_path / "0000000099-900.new").write_bytes(b"half")
    again = DurableQueue(tmp_path, segment_bytes=20_000, quota_bytes=100_000)
    assert again.status()[:3] == waiting
    again.close()


def test_what_was_put_in_longer_ago_than_the_hours_allowed_is_folded(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=100, quota_hours=10)
    for hour in range(30):
        batch = minutes("main", range(hour * 60, hour * 60 + 60))
        queue.append(pack_readings(batch), 60, batch[0].taken_at, batch[0].taken_at)
    raw = [one for one in readings_in(queue) if not one.quality.reason]
    assert 10 * 60 <= len(raw) <= 12 * 60
    queue.close()


def test_a_stamp_from_the_future_or_from_1970_costs_nothing(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=100, quota_hours=10)
    for hour, stamp in enumerate((START, START + 10**12, 0, START + 1, START + 2)):
        batch = [Reading("main", stamp, {"active_power": 1.0})]
        queue.append(pack_readings(batch), 1, stamp, START + hour)
    assert queue.status().folded == queue.status().dropped == 0
    assert len(readings_in(queue)) == 5
    queue.close()


def test_history_holds_what_was_acknowledged_until_it_is_old_enough_also_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=2_000, keep_for=15 * 60_000)
    for minute in range(10):
        batch = minutes("main", range(minute, minute + 1))
        queue.append(pack_readings(batch), 1, batch[0].taken_at, batch[0].taken_at)
    assert len(readings_in(queue)) == 10
    assert list(queue.history(START + 5 * 60_000)) == minutes("main", range(5, 10))
    again = DurableQueue(tmp_path, segment_bytes=2_000, keep_for=15 * 60_000)  # the first was never closed
    assert list(again.history(START)) == minutes("main", range(10))
    assert again.take() is None
    monkeypatch.setattr("collector.storing.queue._START_GRACE", 0.0)
    for minute in range(10, 60):
        batch = minutes("main", range(minute, minute + 1))
        again.append(pack_readings(batch), 1, batch[0].taken_at, batch[0].taken_at)
        readings_in(again)
    left = list(again.history(0))
    assert left[-16:] == minutes("main", range(44, 60))
    assert len(left) < 40
    again.close()


@given(cut=st.integers(min_value=0, max_value=3_000))
def test_a_file_cut_at_any_byte_gives_every_whole_parcel_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    queue = DurableQueue(folder)
    fill(queue, range(5))
    queue.close()
    (path,) = folder.glob("*.seg")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    length = len(whole) // 5  # all parcels are equally long: the numbers in them are floats
    again = DurableQueue(folder)
    assert numbers_in(again) == list(range(10 * min(5, cut // length)))
    fill(again, range(5, 6))
    assert numbers_in(again) == list(range(50, 60))
    again.close()


@given(place=st.integers(min_value=0, max_value=2_999), bits=st.integers(min_value=1, max_value=255))
def test_one_damaged_byte_costs_one_parcel_at_most_and_the_file_is_put_aside(
    tmp_path_factory: pytest.TempPathFactory, place: int, bits: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    queue = DurableQueue(folder)
    fill(queue, range(5))
    queue.close()
    (path,) = folder.glob("*.seg")
    data = bytearray(path.read_bytes())
    place %= len(data)
    data[place] ^= bits
    path.write_bytes(data)
    again = DurableQueue(folder)
    broken = place // (len(data) // 5)
    assert numbers_in(again) == [number for number in range(50) if number // 10 != broken]
    if broken < 4:  # a broken end looks like a torn one, and is cut
        assert (folder / "aside" / path.name).read_bytes() == bytes(data)
    again.close()


def test_damage_that_comes_while_running_is_stepped_over(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path)
    fill(queue, range(5))
    (path,) = tmp_path.glob("*.seg")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert numbers_in(queue) == [*range(20), *range(30, 50)]
    assert queue.status().damaged == 1


def test_a_damaged_mark_file_means_that_everything_is_sent_again(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path)
    fill(queue, range(2))
    taken = queue.take(10)
    assert taken is not None
    queue.acknowledge(taken)
    (tmp_path / "taken.json").write_bytes(b'{"1":')
    assert numbers_in(DurableQueue(tmp_path)) == list(range(20))


def test_a_disk_that_fills_up_leaves_what_was_appended_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = DurableQueue(tmp_path)
    fill(queue, range(2))
    write = os.write

    def half_then_full(file: int, data: bytes) -> int:
        if len(data) < 200:
            raise OSError(28, "No space left on device")
        return write(file, data[: len(data) - 100])

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(OSError, match="No space"):
        fill(queue, range(2, 3))
    monkeypatch.undo()
    fill(queue, range(2, 3))
    assert numbers_in(queue) == list(range(30))


def test_where_no_new_file_can_be_begun_the_old_one_goes_on_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = DurableQueue(tmp_path, segment_bytes=500)
    fill(queue, range(3))
    begin = os.open

    def no_room(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(28, "No space left on device")
        return begin(path, flags, *mode)

    monkeypatch.setattr(os, "open", no_room)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            fill(queue, range(3, 4))
    with pytest.raises(OSError, match="No space"):
        queue.roll()
    monkeypatch.undo()
    fill(queue, range(3, 6))
    assert numbers_in(queue) == list(range(60))
    queue.close()


def test_a_damaged_parcel_keeps_the_others_from_nobody_though_there_is_no_room_for_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    queue = DurableQueue(tmp_path)
    fill(queue, range(3))
    (path,) = tmp_path.glob("*.seg")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    monkeypatch.setattr("shutil.copy2", full)
    again = DurableQueue(tmp_path)
    assert numbers_in(again) == [*range(10), *range(20, 30)]
    assert again.status().damaged == 1
    assert "cannot be copied aside" in caplog.text


def test_a_new_file_never_gets_the_mark_of_one_that_is_gone(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path)
    fill(queue, range(20))
    assert numbers_in(queue) == list(range(200))
    queue.close()
    assert list(tmp_path.glob("*.seg")) == []
    fill(DurableQueue(tmp_path), range(20, 22))  # and then it is killed
    assert numbers_in(DurableQueue(tmp_path)) == list(range(200, 220))


def test_killed_in_the_middle_of_appending_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    chance = random.Random(7)
    safe = 0
    for _ in range(12):
        begin = safe
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.storing_parts", "queue", str(tmp_path), str(safe)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        for _ in range(chance.randrange(1, 60)):
            safe = int(child.stdout.readline())
        child.kill()
        rest = child.stdout.read().split()  # told before the kill
        child.wait()
        queue = DurableQueue(tmp_path)
        found = numbers_in(queue)
        queue.close()
        safe = int(rest[-1]) if rest and rest[-1].isdigit() else safe
        assert found == list(range(begin, begin + len(found)))
        assert found[-1] + 1 >= safe
        safe = found[-1] + 1
