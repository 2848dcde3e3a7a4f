"""The embedded store: what was written is what is read, in blocks or out of the log, now or after a crash."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from building.errors import InputError, StoreAway, StoreRefused
from building.readings import Reading
from building.site import Retention
from collector.storing import DATABASE, EmbeddedStore, StoredReadings
from collector.storing.blocks import decode_floats, decode_times, encode_floats, encode_times
from collector.storing.logrows import log_row, packed_row
from collector.storing.packing import StoredPoint
from collector.storing.schema import VERSION
from tests.parts import ROOT
from tests.storing_parts import START, alert, every_kind_of_reading, numbered

EVER = (0, 1 << 60)


# -- blocks -----------------------------------------------------------------------------------------------------------


@given(arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(width=64)), st.integers(0, 6))
def test_any_floats_come_back_bit_for_bit(values: np.ndarray, hint: int) -> None:
    data, _ = encode_floats(values, hint)
    assert decode_floats(data, len(values)).tobytes() == values.tobytes()


@given(st.lists(st.decimals(-99_999, 99_999, places=3), min_size=1, max_size=600), st.integers(0, 6))
def test_decimals_come_back_bit_for_bit(numbers: list[object], hint: int) -> None:
    values = np.array([float(str(number)) for number in numbers])
    data, _ = encode_floats(values, hint)
    assert decode_floats(data, len(values)).tobytes() == values.tobytes()


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=100))
def test_what_registers_hold_comes_back_bit_for_bit(numbers: list[float]) -> None:
    values = np.array(numbers)
    data, _ = encode_floats(values)
    assert decode_floats(data, len(values)).tobytes() == values.tobytes()


@given(arrays.arrays(np.int64, st.integers(1, 40), elements=st.integers(-(1 << 61), 1 << 61)))
def test_any_instants_come_back(times: np.ndarray) -> None:
    assert decode_times(encode_times(times), len(times)).tolist() == times.tolist()


def test_a_day_of_a_meter_takes_less_than_three_bytes_a_value() -> None:
    chance = np.random.default_rng(1)
    watts = np.round(chance.normal(1200, 80, 512), 1)
    times = START + np.arange(512) * 10_000 + chance.integers(0, 40, 512)
    assert len(encode_floats(watts)[0]) + len(encode_times(times)) < 3 * 512


# -- the store --------------------------------------------------------------------------------------------------------


def test_every_kind_of_reading_is_read_as_it_was_written(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write(every_kind_of_reading())
        assert list(store.readings(*EVER)) == every_kind_of_reading()
    with StoredReadings(tmp_path / DATABASE) as other:
        assert list(other.readings(*EVER)) == every_kind_of_reading()


def test_bad_values_and_silence_are_no_values(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write(every_kind_of_reading())
        assert store.read("room", "temperature", *EVER)[0].tolist() == []
        assert store.last("room", "temperature") is None
        assert store.read("room", "humidity", *EVER)[1].tolist() == [40.0, 40.0]
        assert ("room", "temperature") not in store.series()
        assert ("ac-301", "mode") in store.series()
        last = store.last("ac-301", "mode")
        assert last is not None
        assert last.value == "cool"
        assert store.count("main") == 2


def test_a_quantity_that_was_a_number_may_be_a_word_later(tmp_path: Path) -> None:
    readings = [Reading("ac", START, {"setpoint": 26.0}), Reading("ac", START + 1, {"setpoint": "high"})]
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write(readings[:1])
        store.write([*readings[:1], readings[1]])
        assert list(store.readings(*EVER)) == readings


def test_what_is_neither_number_nor_word_is_refused_and_the_store_goes_on(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([numbered(1)])
        with pytest.raises(StoreRefused, match="meter-2"):
            store.write([numbered(1), Reading("meter-2", START, {"active_power": None})])  # type: ignore[dict-item]
        store.write([numbered(2)])
        assert store.count() == 2


def test_the_same_reading_twice_is_one(tmp_path: Path) -> None:
    readings = [numbered(number) for number in range(6_000)]
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write(readings)
        store.write(readings[1_000:2_000])
        store.write(readings)
        assert store.count() == 6_000
        assert list(store.readings(*EVER)) == readings


def test_of_two_values_for_one_instant_the_one_written_last_counts(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([Reading("main", START, {"active_power": 1.0})])
        store.write([Reading("main", START, {"active_power": 2.0})])
        assert store.read("main", "active_power", *EVER)[1].tolist() == [2.0]
        assert store.lasts()["main", "active_power"] == (START, 2.0)


def test_a_value_mended_late_stays_mended_when_the_block_it_was_in_is_joined_with_what_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    monkeypatch.setattr("collector.storing.embedded._FRESH_NUMBERS", 4)

    def volts(device: str, instants: Iterable[int], value: float) -> list[Reading]:
        return [Reading(device, START + at, {"voltage": value}) for at in instants]

    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write(volts("main", range(3), 1.0))
        for at in range(12):  # until the log is shortened: the three become a short block
            store.write(volts("other", [at], 0.0))
        for _ in range(2):
            store.write(volts("main", [0, 1] * 12, 2.0))
        store.write(volts("main", [5], 3.0))
        for at in range(12, 40):
            store.write(volts("other", [at], 0.0))
        assert store.read("main", "voltage", *EVER)[1].tolist() == [2.0, 2.0, 1.0, 3.0]


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and log so small that a short test goes through sealing, joining and shortening."""
    small = {"_BLOCK": 16, "_LOG_ROWS": 6, "_JOINED_ROWS": 3, "_FRESH_NUMBERS": 50, "_LOG_NUMBERS": (500, 500)}
    for name, value in small.items():
        monkeypatch.setattr(f"collector.storing.embedded.{name}", value)


@given(seed=st.integers(0, 1 << 30))
def test_late_double_and_disordered_readings_land_right_through_crashes_and_blocks(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    path = tmp_path_factory.mktemp("store") / DATABASE
    model: Model = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        store = EmbeddedStore(path, power_safe=False)
        reader = StoredReadings(path)
        for _ in range(chance.randrange(1, 40)):
            batch = []
            for _ in range(chance.randrange(1, 60)):
                device, at = f"d{chance.choice((0, 0, 0, 1, 1, 2))}", START + chance.randrange(400)
                model[device, at] = value = float(chance.randrange(1000)) / 10
                batch.append(Reading(device, at, {"active_power": value, "voltage": 230.0}))
            store.write(batch)
            if chance.random() < 0.1:
                store = EmbeddedStore(path, power_safe=False)  # the other was never closed, as after a kill
            start = START + chance.randrange(400)
            end = start + chance.randrange(400)
            if chance.random() < 0.3:
                assert kept(reader, start, end) == expected(model, start, end)
        assert kept(reader, *EVER) == expected(model, *EVER)
        assert kept(reader, start, end) == expected(model, start, end)
        store.close()
        reader.close()


Model = dict[tuple[str, int], float]


def kept(reader: StoredReadings, start: int, end: int) -> tuple[object, ...]:
    """All that the store says of the time from ``start`` to ``end``, asked in every way there is."""
    by_device = []
    for device in ("d0", "d1", "d2"):
        times, values = reader.read(device, "active_power", start, end)
        found = list(zip(times.tolist(), values.tolist(), strict=True))
        by_device.append((found, reader.last(device, "active_power"), reader.count(device)))
    read = [(one.device, one.taken_at, one.values["active_power"]) for one in reader.readings(start, end)]
    return by_device, sorted(read), [at for _, at, _ in read]


def expected(model: Model, start: int, end: int) -> tuple[object, ...]:
    """The same of a mapping."""
    by_device = []
    for device in ("d0", "d1", "d2"):
        of_device = sorted((at, value) for (name, at), value in model.items() if name == device)
        wanted = [(at, value) for at, value in of_device if start <= at < end]
        by_device.append((wanted, of_device[-1] if of_device else None, len(of_device)))
    read = sorted((name, at, value) for (name, at), value in model.items() if start <= at < end)
    return by_device, read, sorted(at for _, at, _ in read)


def test_seldom_devices_do_not_keep_the_log_long_nor_leave_many_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    with EmbeddedStore(tmp_path / DATABASE, power_safe=False) as store:
        for number in range(300):
            store.write([Reading("often", START + number * 10 + step, {"active_power": 1.0}) for step in range(10)])
            if number % 10 == 0:
                store.write([Reading("seldom", START + number, {"volume": number / 10})])
        assert store.count("seldom") == 30
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone()[0] <= 7
        blocks = connection.execute(
            "SELECT count(*) FROM blocks b JOIN shapes s ON s.id = b.shape WHERE s.device = 'seldom'"
        )
        assert blocks.fetchone()[0] <= 5


def test_readings_that_come_one_by_one_cost_no_more_than_their_numbers_until_they_are_sealed(tmp_path: Path) -> None:
    values = {"active_power": 1.5, "voltage": 230.0, "current": 0.1, "power_factor": 0.9, "energy_import": 7.0}
    with EmbeddedStore(tmp_path / DATABASE, power_safe=False) as store:
        store.write([Reading(f"d{number}", START, values) for number in range(40)])
        tracemalloc.start()
        try:
            for number in range(1_900):  # fewer than the log may hold
                store.write([Reading(f"d{number % 40}", START + 1 + number, values)])
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        rows = sqlite3.connect(tmp_path / DATABASE).execute("SELECT count(*) FROM log").fetchone()[0]
        assert store.count() == 1_940
    assert rows == 1_901
    assert grown < 1_900 * 400  # bytes; 60 of them are its numbers, 128 the entry in the list of rows


def test_a_reader_that_lives_long_keeps_nothing_of_what_is_sealed_though_nobody_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"_FRESH_NUMBERS": 500, "_LOG_NUMBERS": (4_000, 4_000)}.items():
        monkeypatch.setattr(f"collector.storing.embedded.{name}", value)

    def rounds(first: int, last: int) -> None:
        for number in range(first, last):
            at = START + number * 100
            batch = [Reading("ignored", at + step, {"illuminance": 300.0}) for step in range(100)]
            store.write([*batch, Reading("asked", at, {"active_power": 1.0})])
            if number % 10 == 0:  # as often as the series is sealed, and never just after that
                assert store.last("asked", "active_power") == (at, 1.0)

    with EmbeddedStore(tmp_path / DATABASE, power_safe=False) as store:
        rounds(0, 100)
        tracemalloc.start()
        try:
            rounds(100, 900)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert store.count("ignored") == 90_000
    assert grown < 400_000  # bytes; 80,000 more readings of it were written, of 16 bytes each


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has mapped")
def test_the_stores_own_reader_maps_no_file_so_that_memory_does_not_grow_with_it(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE, power_safe=False) as store:
        for first in range(0, 30_000, 1_000):
            store.write([numbered(number) for number in range(first, first + 1_000)])
        assert store.count() == 30_000
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()}
        assert str(tmp_path / f"{DATABASE}-shm") in mapped
        assert str(tmp_path / DATABASE) not in mapped


def test_means_are_those_of_plain_arithmetic(tmp_path: Path) -> None:
    chance = random.Random(3)
    values = {START + second * 60_000 + chance.randrange(1000): chance.uniform(0, 100) for second in range(3_000)}
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([Reading("main", at, {"active_power": value}) for at, value in values.items()])
        starts, means, counts = store.means("main", "active_power", START, START + 90 * 3_600_000, 3_600_000)
        for start, mean, count in zip(starts.tolist(), means.tolist(), counts.tolist(), strict=True):
            hour = [value for at, value in values.items() if start <= at < start + 3_600_000]
            assert count == len(hour)
            assert mean == pytest.approx(sum(hour) / len(hour))
        assert len(starts) == 50


def test_a_disk_that_fails_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([numbered(number) for number in range(100)])
        with sqlite3.connect(tmp_path / DATABASE) as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        with pytest.raises(StoreAway, match="disk is full"):
            store.write([Reading("fresh", START, {"mode": "new word"})])
        with sqlite3.connect(tmp_path / DATABASE) as other:
            other.execute("DROP TRIGGER full")
        store.write([Reading("fresh", START, {"mode": "new word"})])
        store.write([numbered(number) for number in range(100, 200)])
        assert store.count() == 201
        assert store.last("fresh", "mode") == (START, "new word")


def test_a_damaged_file_is_put_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"this is no database " * 500)
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([numbered(1)])
        assert store.count() == 1
    assert (tmp_path / f"{DATABASE}.damaged-1").read_bytes().startswith(b"this is no database")


def test_reading_where_nothing_was_ever_stored_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no readings"):
        StoredReadings(tmp_path / DATABASE)


def test_points_that_are_no_readings_are_kept_and_intervals_are_left_to_the_ledger(tmp_path: Path) -> None:
    point = StoredPoint("collector", {"link": "bus 1"}, {"requests": 4.0, "state": "good"}, START)
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write_points([point, point, StoredPoint("interval", {}, {"energy": 1.0}, START)])
    with StoredReadings(tmp_path / DATABASE) as reader:
        assert reader.points("collector", *EVER) == [point]
        assert reader.points("interval", *EVER) == []
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.fold(START + 8 * 86_400_000, Retention())
    with StoredReadings(tmp_path / DATABASE) as reader:
        assert reader.points("collector", *EVER) == []


@settings(max_examples=20)
@given(st.integers(0, 1 << 30))
def test_old_readings_are_folded_and_what_counters_and_means_say_stays(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance, day = random.Random(seed), 86_400_000
    path = tmp_path_factory.mktemp("fold") / DATABASE
    start, total, readings = START // day * day, 0.0, []
    for minute in range(0, 6 * 1440, chance.choice((3, 5, 7))):
        total += chance.random()
        values = {"energy_import": total, "active_power": chance.uniform(0, 100), "on": float(chance.random() < 0.5)}
        readings.append(Reading("main", start + minute * 60_000, values))
    with pytest.MonkeyPatch.context() as monkeypatch, EmbeddedStore(path, power_safe=False) as store:
        shrink(monkeypatch)
        for first in range(0, len(readings), 50):
            store.write(readings[first : first + 50])
        keep = Retention(raw_days=2, quarter_days=4)
        while store.fold(start + 6 * day, keep):
            pass
        folded = list(store.readings(start, start + 6 * day))
        while store.fold(start + 60 * day, keep):
            assert store.lasts()["main", "energy_import"] == (readings[-1].taken_at, total)
    assert folded[-1] == readings[-1]
    assert len(folded) < len(readings)
    given_by = {one.taken_at: one.values for one in readings}
    for one in folded:
        assert one.values["energy_import"] == given_by[one.taken_at]["energy_import"]
        assert one.values["on"] == given_by[one.taken_at]["on"]
    hour = 3_600_000
    for at in range(start + hour, start + day, hour):
        told = [one.values["active_power"] for one in folded if at < one.taken_at <= at + hour]
        fine = [one.values["active_power"] for one in readings if at < one.taken_at <= at + hour]
        if len(told) == 1 and len(fine) > 1:
            assert min(fine) <= told[0] <= max(fine)  # type: ignore[type-var, operator]


def test_a_store_of_the_first_version_is_opened_and_brought_up_to_date(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([numbered(number) for number in range(6_000)])
    with sqlite3.connect(tmp_path / DATABASE) as old:
        old.execute("ALTER TABLE blocks DROP COLUMN fold")
        old.execute("DROP TABLE points")
        old.execute("PRAGMA user_version = 1")
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([numbered(number) for number in range(6_000, 12_000)])
        assert store.count() == 12_000
        assert store.fold(START + 10**12, Retention(raw_days=1)) > 0


def test_rows_that_an_older_version_left_in_the_log_are_read_and_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2 kept every shape, instant and number of a batch in full, one kind after another."""
    path = tmp_path / DATABASE
    early, late = [[numbered(number) for number in span] for span in (range(300), range(300, 600))]
    with EmbeddedStore(path) as store:
        store.write(early)
    with sqlite3.connect(path) as old:
        ((readings, data),) = old.execute("SELECT readings, data FROM log").fetchall()
        shapes, times, numbers = log_row(readings, data)
        full = shapes.astype(np.uint32).tobytes() + times.astype(np.int64).tobytes() + numbers.tobytes()
        assert len(full) > 2 * len(data)
        old.execute("UPDATE log SET data = ?", (full,))
        old.execute("PRAGMA user_version = 2")
    with StoredReadings(path) as reader:  # also before a writer brings the file up to date
        assert list(reader.readings(*EVER)) == early
    with EmbeddedStore(path) as store:
        assert list(store.readings(*EVER)) == early
        store.write(late)
        assert list(store.readings(*EVER)) == early + late
    shrink(monkeypatch)
    with EmbeddedStore(path) as store:
        for one in range(600, 700):
            store.write([numbered(one)])
        assert list(store.readings(*EVER)) == [*early, *late, *map(numbered, range(600, 700))]
    with sqlite3.connect(path) as found:
        assert found.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert found.execute("SELECT count(*) FROM log WHERE number <= 2").fetchone() == (0,)


def test_a_store_written_by_a_newer_version_is_left_alone_and_told(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    with EmbeddedStore(path) as store:
        store.write([numbered(1)])
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreAway, match="written by a newer greenwarden; install that version"):
        EmbeddedStore(path)
    with sqlite3.connect(path) as newer:
        assert newer.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    assert [one.name for one in tmp_path.iterdir() if "damaged" in one.name] == []


@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, (1 << 32) - 1),
            st.integers(-(1 << 62), 1 << 62) | st.integers(START, START + 10_000),
            st.floats() | st.integers(-(10**6), 10**6).map(lambda whole: whole / 100) | st.floats(width=32),
        ),
        min_size=1,
    ),
    hint=st.integers(0, 6),
)
def test_a_row_of_the_log_comes_back_bit_for_bit(rows: list[tuple[int, int, float]], hint: int) -> None:
    shapes, times, numbers = (np.array(column) for column in zip(*rows, strict=True))
    data, _ = packed_row(shapes.astype(np.uint32), times.astype(np.int64), numbers.astype(np.float64), hint)
    found = log_row(len(rows), data)
    assert found[0].tolist() == shapes.tolist()
    assert found[1].tolist() == times.tolist()
    assert found[2].tobytes() == numbers.astype(np.float64).tobytes()


def test_devices_of_many_kinds_in_one_batch_each_get_their_own_numbers(tmp_path: Path) -> None:
    """Also when they come with other quantities than last time, in another order, or as words."""
    kinds: tuple[Mapping[str, float | str], ...] = (
        {"active_power": 1.5, "voltage": 230.0}, {"temperature": 21.25}, {"voltage": 231.0, "active_power": 7.0},
        {"active_power": 3.0}, {"humidity": 40}, MappingProxyType({"active_power": 2.5, "voltage": 229.0}),
    )  # fmt: skip
    chance = random.Random(5)
    readings = [
        Reading(f"d{chance.randrange(9)}", START + number, kinds[chance.randrange(len(kinds))])
        for number in range(3_000)
    ]
    steady = [Reading(f"d{number % 9}", START + 3_000 + number, kinds[number % 9 % 6]) for number in range(3_000)]
    words = [one._replace(taken_at=one.taken_at + 9_000, values={"mode": "cool"}) for one in steady[:50]]
    batches = [readings[:20], readings[20:], steady[:1_000], steady[1_000:], steady[:9] + words]
    with EmbeddedStore(tmp_path / DATABASE) as store:
        for batch in batches:
            store.write(batch)
        assert list(store.readings(*EVER)) == [*readings, *steady, *words]


def test_alert_changes_are_kept_once_and_in_order(tmp_path: Path) -> None:
    resolved = alert("resolved", ended="2026-07-01T18:40:00+08:00")
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write_alerts([resolved, alert()])
        store.write_alerts([alert()])
        assert store.alerts(*EVER) == [alert(), resolved]


def test_killed_in_the_middle_of_writing_nothing_is_lost_and_none_is_there_twice(tmp_path: Path) -> None:
    chance = random.Random(11)
    safe = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.storing_parts", "store", str(tmp_path), str(safe)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        for _ in range(chance.randrange(1, 40)):
            safe = int(child.stdout.readline())
        child.kill()
        rest = child.stdout.read().split()
        child.wait()
        safe = int(rest[-1]) if rest else safe
        with StoredReadings(tmp_path / "store.db") as reader:
            found = list(reader.readings(*EVER))
        assert found == [numbered(number) for number in range(len(found))]
        assert len(found) >= safe


def test_other_processes_read_while_this_one_writes(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from collector.storing import StoredReadings\n"
        "reader = StoredReadings(Path(sys.argv[1]))\n"
        "for line in sys.stdin: print(reader.count(), reader.last('meter-0', 'voltage').value, flush=True)\n"
    )
    with EmbeddedStore(tmp_path / DATABASE) as store:
        store.write([numbered(0)])
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / DATABASE)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(1, 20):
            store.write([numbered(index) for index in range(number * 100)])
            child.stdin.write("now\n")
            child.stdin.flush()
            assert child.stdout.readline().split() == [str(number * 100), "230.1"]
        child.stdin.close()
        assert child.wait() == 0
