"""Intervals: what passed between two moments of local time, how well it is known, and the same however it came."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from building.clock import ManualClock
from building.errors import StoreAway
from building.readings import Reading
from building.site import Department, Device, Site, SiteInfo, Tariffs, Zone
from collector.accounting import AMOUNTS, ANEW, EXCHANGES, JOURNAL, READINGS, Accountant
from collector.intervals import Interval, SlotBook, State, bounds_of
from collector.metering import counter_of, places_of
from collector.profiles import load_profile
from collector.storing import EmbeddedStore, Keeper
from collector.storing.ledger import LEDGER, Ledger
from collector.storing.packing import StoredPoint
from collector.summing import intervals
from greenwarden.program import Program
from tests.parts import need_shared
from tests.storing_parts import START, small_site

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SHANGHAI = ZoneInfo("Asia/Shanghai")


def office(*devices: Device, zone: str = "Asia/Shanghai") -> Site:
    return Site(
        site=SiteInfo(name="office", timezone=zone, tariffs=Tariffs(electricity=0.5, water=4.0)),
        departments=(Department(id="finance"),),
        zones=(Zone(id="301", floor=3, department="finance"), Zone(id="302", floor=3)),
        devices=devices,
    )


METER = Device(id="main", kind="electricity", circuit="main", every="10m")


class Books:
    """An accountant over an embedded store, with what people told in a keeper."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.site = site
        self.store = EmbeddedStore(folder / "store.db", power_safe=False)
        self.keeper = Keeper(folder / "memory.db")
        self.points: list[StoredPoint] = []
        self.open()

    def open(self) -> None:
        self.ledger = Ledger(self.folder / LEDGER)
        self.accountant = Accountant(self.site, self.store, self.ledger, self.keeper)

    def write(self, readings: Sequence[Reading]) -> None:
        self.store.write(readings)
        self.accountant.note(readings)

    def feed(self, device: str, readings: Iterable[tuple[int, float]], quantity: str = "energy_import") -> None:
        self.write([Reading(device, at, {quantity: value}) for at, value in readings])

    def run(self, now: int) -> None:
        self.accountant.run(now, self.points.extend)

    def ask(self, period: str, start: int, end: int, scope: str = "device", ident: str = "main") -> list[Interval]:
        places = {place: devices for place, devices in places_of(self.site).items() if place == (scope, ident)}
        until = self.ledger.noted("until") or 0
        return list(intervals(self.site, self.ledger, places, period, start, end, until))

    def journal(self) -> list[str]:
        return [record["event"] for record in self.keeper.records(JOURNAL)]

    def close(self) -> None:
        self.ledger.close()
        self.keeper.close()
        self.store.close()


@pytest.fixture
def books(tmp_path: Path) -> Iterable[Callable[..., Books]]:
    made: list[Books] = []

    def make(*devices: Device, zone: str = "Asia/Shanghai") -> Books:
        made.append(Books(tmp_path / str(len(made)), office(*devices or (METER,), zone=zone)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def steady(start: int, end: int, every: int, per_hour: float, first: float = 1000.0) -> list[tuple[int, float]]:
    return [(at, first + per_hour * (at - start) / HOUR) for at in range(start, end + 1, every)]


def energies(found: Sequence[Interval], field: str = "energy") -> list[float | None]:
    return [one.values.get(field) for one in found]


def states(found: Sequence[Interval]) -> list[str]:
    return [one.state.word for one in found]


# -- publishing -------------------------------------------------------------------------------------------------------


def test_whatever_the_store_held_before_is_published_in_portions_also_over_a_restart(
    books: Callable[..., Books],
) -> None:
    """A store that was filled for 200 days before the accounting began: a run gives the newest 62 at once."""
    book = books()
    end = START + 200 * DAY
    book.feed("main", steady(START, end, HOUR, 2.0))
    book.run(end)
    at_once = {point.at for point in book.points if point.tags["period"] == "1h"}
    assert min(at_once) == end - 62 * DAY
    assert book.accountant.older() == (START, end - 62 * DAY)
    portions = 0
    left = book.accountant.older()
    while left is not None:
        before = len(book.points)
        left = book.accountant.publish_older(book.points.extend)
        portions += 1
        fresh = book.points[before:]
        assert 0 < len(fresh) < 3_000
        assert left is None or min(point.at for point in fresh if point.tags["period"] == "1h") == left[1]
        if portions == 5:
            book.ledger.close()
            book.open()
            assert book.accountant.older() == left
    assert portions == 20  # of a week each, 138 days
    assert book.accountant.publish_older(book.points.extend) is None
    for period, length in (("15m", HOUR // 4), ("1h", HOUR), ("1d", DAY)):
        kept = {
            point.at: point.fields["energy"]
            for point in book.points
            if point.tags["period"] == period and point.tags["scope"] == "device" and "energy" in point.fields
        }
        assert sorted(kept) == list(range(START, end, length))
        assert sum(map(float, kept.values())) == pytest.approx(2.0 * 200 * 24)
    assert all(point.at >= START for point in book.points if point.tags["period"] == "15m")


def test_what_is_mended_long_ago_is_published_again_and_nothing_else(books: Callable[..., Books]) -> None:
    book = books(METER, Device(id="other", kind="electricity", every="10m"))
    end = START + 100 * DAY
    for device in ("main", "other"):
        book.feed(device, steady(START, end, HOUR, 2.0))
    book.run(end)
    while book.accountant.publish_older(book.points.extend):
        pass
    book.points.clear()
    book.feed("other", [(START + 10 * DAY + 1_000, 1_000 + 2.0 * 240)])  # comes late
    book.run(end + HOUR)
    while book.accountant.publish_older(book.points.extend):
        pass
    quarters = [point for point in book.points if point.tags["period"] == "15m" and point.at < end - 63 * DAY]
    assert {point.tags["device"] for point in quarters if point.tags["scope"] == "device"} == {"other"}
    assert START + 8 * DAY < min(point.at for point in quarters) <= START + 10 * DAY
    assert book.accountant.older() is None


# -- local time -------------------------------------------------------------------------------------------------------


def test_days_and_months_begin_at_local_midnight_and_a_summer_time_day_has_23_or_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    spring = int(datetime(2026, 3, 29, tzinfo=berlin).timestamp() * 1000)
    days = bounds_of("1d", spring, spring + 2 * DAY, berlin)
    assert [(b - a) // HOUR for a, b in pairwise(days)][:2] == [23, 24]
    assert len(bounds_of("1h", days[0], days[1], berlin)) - 1 == 23
    autumn = int(datetime(2026, 10, 25, tzinfo=berlin).timestamp() * 1000)
    assert len(bounds_of("15m", autumn, autumn + 25 * HOUR, berlin)) - 1 == 100
    months = bounds_of("1mo", START, START + 70 * DAY, SHANGHAI)
    assert [datetime.fromtimestamp(at / 1000, SHANGHAI).isoformat() for at in months] == [
        f"2026-{month}-01T00:00:00+08:00" for month in ("07", "08", "09", "10")
    ]


@given(st.integers(START, START + 400 * DAY), st.integers(1, 40 * DAY), st.sampled_from(["15m", "1h", "1d", "1mo"]))
def test_bounds_cover_what_was_asked_and_no_more(start: int, length: int, period: str) -> None:
    for zone in ("Asia/Shanghai", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"):
        bounds = bounds_of(period, start, start + length, ZoneInfo(zone))
        assert bounds == sorted(set(bounds))
        assert bounds[0] <= start < bounds[1]
        assert bounds[-2] < start + length <= bounds[-1]


# -- states -----------------------------------------------------------------------------------------------------------


def test_a_meter_read_in_time_is_measured_in_every_period(books: Callable[..., Books]) -> None:
    one = books()
    one.feed("main", steady(START, START + 2 * DAY, 10 * MINUTE, 6.0))
    one.run(START + 2 * DAY)
    assert energies(one.ask("1h", START, START + DAY)) == pytest.approx([6.0] * 24)
    assert energies(one.ask("15m", START, START + DAY)) == pytest.approx([1.5] * 96)
    (day,) = one.ask("1d", START, START + DAY)
    assert (day.values["energy"], day.cost, day.kgco2) == pytest.approx((144.0, 72.0, 144.0 * 0.5306))
    assert set(states(one.ask("15m", START, START + DAY))) == {"measured"}
    assert day.share_measured == 1.0


def test_over_a_gap_the_total_is_kept_and_the_quarters_within_are_settled(books: Callable[..., Books]) -> None:
    one = books()
    one.feed("main", steady(START, START + 2 * HOUR, 10 * MINUTE, 6.0))
    one.feed("main", steady(START + 5 * HOUR, START + DAY, 10 * MINUTE, 6.0, 1000.0 + 12.0 + 30.0))
    one.run(START + DAY)
    hours = one.ask("1h", START, START + 6 * HOUR)
    assert states(hours) == ["measured", "measured", "settled", "settled", "settled", "measured"]
    assert energies(hours) == pytest.approx([6.0, 6.0, 10.0, 10.0, 10.0, 6.0])
    (day,) = one.ask("1d", START, START + DAY)
    assert (day.state, day.values["energy"]) == (State.MEASURED, pytest.approx(12 + 30 + 19 * 6))


def test_a_meter_that_says_nothing_makes_missing_intervals_and_no_zeros(books: Callable[..., Books]) -> None:
    one = books()
    one.feed("main", steady(START, START + 2 * HOUR, 10 * MINUTE, 6.0))
    one.run(START + 4 * HOUR)
    found = one.ask("1h", START, START + 4 * HOUR)
    assert states(found) == ["measured", "measured", "missing", "missing"]
    assert energies(found)[2:] == [None, None]
    assert [point.fields["state"] for point in one.points if point.tags["period"] == "1h"][-2:] == ["missing"] * 2
    assert all("energy" not in point.fields for point in one.points if point.fields["share_measured"] == 0)
    (day,) = one.ask("1d", START, START + DAY)
    assert (day.state, day.share_measured, day.values["energy"]) == (State.MISSING, 0.5, pytest.approx(12.0))


def test_a_running_interval_is_judged_by_the_part_that_is_over(books: Callable[..., Books]) -> None:
    one = books()
    one.feed("main", steady(START, START + 90 * MINUTE, 10 * MINUTE, 6.0))
    one.run(START + 91 * MINUTE)
    (day,) = one.ask("1d", START, START + DAY)
    assert (day.state, day.values["energy"]) == (State.MEASURED, pytest.approx(9.0))


def test_a_glitch_is_no_consumption_and_the_journal_says_before_and_after(books: Callable[..., Books]) -> None:
    one = books()
    readings = steady(START, START + DAY, 10 * MINUTE, 6.0)
    readings[30] = (readings[30][0], 53_000_000.0)
    one.feed("main", readings)
    one.run(START + DAY)
    (day,) = one.ask("1d", START, START + DAY)
    assert (day.state, day.values["energy"]) == (State.MEASURED, pytest.approx(144.0))
    (record,) = one.keeper.records(JOURNAL)
    assert (record["event"], record["before"], record["after"]) == ("spike", readings[29][1], 53_000_000.0)
    assert record["at"] == "2026-07-01T05:00:00+08:00"


def test_without_a_counter_power_times_duration_is_an_estimate(books: Callable[..., Books]) -> None:
    one = books(Device(id="main", kind="light", every="1m"))
    one.feed("main", [(START + n * MINUTE, 200.0) for n in range(121)], "active_power")
    one.run(START + 3 * HOUR)
    hours = one.ask("1h", START, START + 3 * HOUR)
    assert states(hours) == ["estimated", "estimated", "missing"]
    assert energies(hours)[:2] == pytest.approx([0.2, 0.2])
    assert hours[0].share_measured == 0.0


def test_a_switch_with_a_rated_power_is_an_estimate_too(books: Callable[..., Books]) -> None:
    one = books(Device(id="main", kind="light", rated_power=400, reports="on_change"))
    one.feed("main", [(START, 1.0), (START + 30 * MINUTE, 0.0), (START + HOUR, 0.0)], "on")
    one.run(START + HOUR)
    (hour,) = one.ask("1h", START, START + HOUR)
    assert (hour.state, hour.values["energy"]) == (State.ESTIMATED, pytest.approx(0.2))


# -- places -----------------------------------------------------------------------------------------------------------


def test_places_sum_their_meters_and_nothing_counts_twice(books: Callable[..., Books]) -> None:
    one = books(
        METER,
        Device(id="light", kind="electricity", circuit="lighting", zone="301", parent="main", every="10m"),
        Device(id="lamp", kind="plug", zone="301", parent="light", every="10m"),
        Device(id="other", kind="plug", zone="302", every="10m"),
        Device(id="water", kind="water", zone="301", every="10m"),
    )
    for device, rate in {"main": 10.0, "light": 4.0, "lamp": 1.0, "other": 2.0}.items():
        one.feed(device, steady(START, START + DAY, 10 * MINUTE, rate))
    one.feed("water", steady(START, START + DAY, 10 * MINUTE, 0.5), "volume")
    one.run(START + DAY)

    def day(scope: str, ident: str) -> Mapping[str, float]:
        (found,) = one.ask("1d", START, START + DAY, scope, ident)
        return found.values

    assert day("site", "") == pytest.approx({"energy": 240.0, "volume": 12.0})
    assert day("zone", "301") == pytest.approx({"energy": 96.0, "volume": 12.0})
    assert day("zone", "302") == pytest.approx({"energy": 48.0})
    assert day("department", "finance") == pytest.approx({"energy": 96.0, "volume": 12.0})
    assert day("circuit", "lighting") == pytest.approx({"energy": 96.0})
    tags = {json.dumps(point.tags, sort_keys=True) for point in one.points if point.tags["period"] == "1d"}
    assert json.dumps({"scope": "site", "period": "1d"}, sort_keys=True) in tags
    lamp = {"scope": "device", "device": "lamp", "zone": "301", "floor": "3", "department": "finance", "period": "1d"}
    assert json.dumps(lamp, sort_keys=True) in tags


@pytest.mark.parametrize("parent", [None, "main"])
def test_an_air_conditioner_is_not_counted_beside_the_meter_that_measures_it(
    books: Callable[..., Books], parent: str | None
) -> None:
    """Its use is estimated by the power on its plate; the meter of its room says what it really drew."""
    one = books(
        METER,
        Device(id="ac", kind="aircon", zone="301", parent=parent, rated_power=2000, every="10m"),
        Device(id="power-ac", kind="electricity", circuit="aircon", zone="301", parent="main", every="10m"),
        Device(id="lamp", kind="light", zone="302", parent=parent, rated_power=100, every="10m"),
        Device(id="plug", kind="plug", zone="302", every="10m"),
        Device(id="meter", kind="electricity", zone="302", every="10m"),  # of no circuit: nothing is behind it
    )
    one.feed("power-ac", steady(START, START + DAY, 10 * MINUTE, 0.5))
    for device, rate in (("plug", 0.01), ("meter", 0.1)):
        one.feed(device, steady(START, START + DAY, 10 * MINUTE, rate))
    for device in ("ac", "lamp"):
        one.feed(device, [(at, 1.0) for at in range(START, START + DAY + 1, 10 * MINUTE)], "on")
    one.run(START + DAY)
    (room,), (other,), (whole,), (alone,) = (
        one.ask("1d", START, START + DAY, scope, ident)
        for scope, ident in (("zone", "301"), ("zone", "302"), ("department", "finance"), ("device", "ac"))
    )
    assert (room.values["energy"], room.state) == (pytest.approx(12.0), State.MEASURED)
    assert whole.values["energy"] == pytest.approx(12.0)
    assert (alone.values["energy"], alone.state) == (pytest.approx(48.0), State.ESTIMATED)
    # No meter serves the lamp: it counts beside the two others.
    assert (other.values["energy"], other.state) == (pytest.approx(2.4 + 0.24 + 2.4), State.ESTIMATED)


def test_a_meter_that_hangs_under_an_air_conditioner_is_no_meter_above_it() -> None:
    ac = Device(id="ac", kind="aircon", zone="301")
    under = Device(id="under", kind="electricity", circuit="aircon", zone="301", parent="ac")
    assert places_of(office(ac, under))["zone", "301"] == [ac]


# -- told by hand -----------------------------------------------------------------------------------------------------


def test_an_exchange_told_afterwards_mends_what_was_booked(books: Callable[..., Books]) -> None:
    one = books()
    one.feed("main", steady(START, START + 12 * HOUR, 10 * MINUTE, 6.0))
    one.feed("main", steady(START + 12 * HOUR + 10 * MINUTE, START + DAY, 10 * MINUTE, 6.0, 3.0))
    one.run(START + DAY)
    before = one.ask("1d", START, START + DAY)[0].values["energy"]
    assert before == pytest.approx(71 * 1.0 + 72.0)  # nothing is known of the ten minutes of the exchange
    assert one.journal() == ["reset"]
    at = START + 12 * HOUR + 5 * MINUTE
    one.keeper.append(EXCHANGES, at, "main", {"device": "main", "at": at, "old": 1072.5, "new": 2.5})
    one.run(START + DAY)
    (day,) = one.ask("1d", START, START + DAY)
    assert (day.state, day.values["energy"]) == (State.MEASURED, pytest.approx(144.0))
    assert one.journal() == ["exchange", "reset", "reset"]
    assert one.keeper.records(JOURNAL)[-1]["withdrawn"]


def test_a_bill_enters_the_same_intervals(books: Callable[..., Books]) -> None:
    one = books(Device(id="gas", kind="gas"))
    month = int(datetime(2026, 6, 1, tzinfo=SHANGHAI).timestamp() * 1000)
    one.keeper.append(AMOUNTS, month, "gas", {"device": "gas", "start": month, "end": START, "amount": 300.0})
    one.run(START + HOUR)
    (june,) = one.ask("1mo", month, START, ident="gas")
    assert (june.state, june.values) == (State.MEASURED, {"gas": pytest.approx(300.0)})
    assert june.cost is None
    (day,) = one.ask("1d", month, month + DAY, ident="gas")
    assert (day.state, day.values["gas"]) == (State.MEASURED, pytest.approx(10.0)) or day.state is State.SETTLED


def test_register_readings_told_by_hand_are_settled_within_and_measured_over_the_month(
    books: Callable[..., Books],
) -> None:
    one = books(Device(id="main", kind="water"))
    for day in range(32):
        at = START + day * DAY
        one.keeper.append(READINGS, at, "main", {"device": "main", "at": at, "value": 100.0 + 2 * day})
    one.run(START + 32 * DAY)
    (july,) = one.ask("1mo", START, START + 31 * DAY)
    assert (july.state, july.values["volume"]) == (State.MEASURED, pytest.approx(62.0))
    assert set(states(one.ask("1h", START + HOUR, START + 20 * HOUR))) == {"settled"}


def test_a_changed_transformer_ratio_is_journalled_and_books_nothing(books: Callable[..., Books]) -> None:
    one = books()
    one.feed("main", steady(START, START + 2 * HOUR, 10 * MINUTE, 6.0))
    one.run(START + 2 * HOUR)
    one.site = office(METER.model_copy(update={"ct_ratio": 40.0}))
    one.accountant = Accountant(one.site, one.store, one.ledger, one.keeper)
    one.feed("main", steady(START + 2 * HOUR + 10 * MINUTE, START + 4 * HOUR, 10 * MINUTE, 240.0, 40_480.0))
    one.run(START + 4 * HOUR)
    assert energies(one.ask("1h", START, START + 4 * HOUR)) == pytest.approx([6.0, 6.0, 200.0, 240.0])
    (record,) = one.keeper.records(JOURNAL)
    assert (record["event"], record["before"], record["after"]) == ("ratio_change", "1 x 1", "40 x 1")


# -- the same however it came -----------------------------------------------------------------------------------------


def bytes_of(one: Books) -> dict[tuple[str, str], list[list[float]]]:
    found = {}
    for series, number in one.ledger.series().items():
        _, slots = one.ledger.slots(number, START - DAY, START + 8 * DAY)
        found[series] = slots.tolist()
    return found


@settings(max_examples=25)
@given(st.integers(0, 1 << 30))
def test_late_and_disordered_readings_lead_to_what_would_have_come_in_time(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    value, at, readings = 100.0, START, []
    while at < START + 5 * DAY:
        at += chance.choice((5 * MINUTE, 10 * MINUTE, 10 * MINUTE, 20 * MINUTE, 7 * HOUR))
        value += chance.choice((0.0, 0.5, 2.0))
        shown = value + chance.choice((0.0,) * 30 + (-0.02, 90_000.0, -value))
        if chance.random() < 0.01:
            value = 0.0
        readings.append((at, max(shown, 0.0)))
    site = office(METER)
    plain = Books(tmp_path_factory.mktemp("plain"), site)
    plain.feed("main", readings)
    plain.run(at)
    late = Books(tmp_path_factory.mktemp("late"), site)
    shuffled = list(readings)
    for _ in range(5):
        first = chance.randrange(len(shuffled))
        shuffled[first : first + 60] = chance.sample(shuffled[first : first + 60], len(shuffled[first : first + 60]))
    step = chance.randrange(5, 200)
    for first in range(0, len(shuffled), step):
        late.feed("main", shuffled[first : first + step])
        if chance.random() < 0.5:
            late.run(max(one[0] for one in shuffled[: first + step]))
        if chance.random() < 0.2:
            late.ledger.close()
            late.open()  # as after a restart
    late.run(at)
    assert bytes_of(late) == bytes_of(plain)
    late.keeper.append(ANEW, 0, "main", {"device": "main", "at": 0})
    late.run(at)
    assert bytes_of(late) == bytes_of(plain)
    for one in (plain, late):
        one.close()


def test_what_was_booked_is_last_minus_first_where_a_counter_only_counts(books: Callable[..., Books]) -> None:
    chance = random.Random(5)
    at, value, readings = START, 7.0, []
    for _ in range(3000):
        at += chance.randrange(1, 40 * MINUTE)
        value += chance.random()
        readings.append((at, value))
    one = books()
    one.feed("main", readings)
    one.run(at)
    days = one.ask("1d", START, at + DAY)
    assert sum(day.values.get("energy", 0.0) for day in days) == pytest.approx(readings[-1][1] - readings[0][1])


def test_a_booking_lies_in_its_slots_to_the_last_bit() -> None:
    book = SlotBook()
    book.book(START + 100, START + 40 * MINUTE, 4.0)
    (day,) = book.days
    assert book.days[day][0].sum() == pytest.approx(4.0)
    assert book.days[day][1].sum() == 40 * MINUTE - 100


def test_wraps_are_those_of_the_registers() -> None:
    device = Device(id="w", kind="water", profile="pulse_counter", litres_per_pulse=10)
    assert counter_of(device, load_profile("pulse_counter")).modulus == pytest.approx(2**32 / 100)
    meter = Device(id="m", kind="electricity", profile="eastron_sdm630")
    assert counter_of(meter, load_profile("eastron_sdm630")).modulus is None


# -- measured data ----------------------------------------------------------------------------------------------------


def parquet(name: str) -> Mapping[str, Sequence[Any]]:
    path = need_shared("data", name)
    pyarrow = pytest.importorskip("pyarrow.parquet")
    return pyarrow.read_table(path).to_pydict()  # type: ignore[no-any-return]


def test_real_water_meters_with_steps_back_and_double_readings_sum_to_last_minus_first(
    books: Callable[..., Books],
) -> None:
    table = parquet("daiad_water_hourly.parquet")
    madrid = ZoneInfo("Europe/Madrid")
    meters: dict[str, dict[int, float]] = {}
    for meter, moment, litres in zip(table["meter"], table["ts"], table["litres"], strict=True):
        if litres is not None:
            at = int(moment.replace(tzinfo=madrid).timestamp() * 1000)
            meters.setdefault(str(meter), {})[at] = litres / 1000
    one = books(*(Device(id=meter, kind="water", every="1h") for meter in meters), zone="Europe/Madrid")
    for meter, readings in meters.items():
        one.feed(meter, readings.items(), "volume")
    first = min(min(readings) for readings in meters.values())
    last = max(max(readings) for readings in meters.values())
    one.run(last)
    wrong = []
    for meter, readings in meters.items():
        found = one.ask("1d", first, last + DAY, ident=meter)
        total = sum(day.values.get("volume", 0.0) for day in found)
        ordered = [value for _, value in sorted(readings.items())]
        if abs(total - (ordered[-1] - ordered[0])) > 0.005 * (ordered[-1] - ordered[0]):
            wrong.append((meter, total, ordered[-1] - ordered[0]))
    assert wrong == []
    assert set(one.journal()) <= {"step_back", "reset", "return", "spike"}
    assert "wrap" not in one.journal()


def test_hours_that_a_data_set_has_as_zero_for_missing_are_missing(books: Callable[..., Books]) -> None:
    table = parquet("cambridge_buildings_hourly.parquet")
    wanted = next(one for one, used in zip(table["building"], table["kwh"], strict=True) if used == 0)
    every = zip(table["building"], table["ts"], table["kwh"], strict=True)
    rows = [(moment, used) for building, moment, used in every if building == wanted and used is not None]
    last_zero = max(number for number, (_, used) in enumerate(rows) if used == 0)
    rows = rows[max(0, last_zero - 60 * 24) : last_zero + 48]
    one = books(Device(id="main", kind="electricity", every="1h"), zone="UTC")
    start = int(rows[0][0].replace(tzinfo=UTC).timestamp() * 1000)
    known = 0.0
    for moment, used in rows:
        at = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
        if used:
            known += used
            told = {"device": "main", "start": at, "end": at + HOUR, "amount": float(used)}
            one.keeper.append(AMOUNTS, at, "main", told)
    one.run(start + len(rows) * HOUR)
    hours = one.ask("1h", start, start + len(rows) * HOUR)
    assert [hour.state is State.MISSING for hour in hours] == [not used for _, used in rows]
    assert sum(hour.values.get("energy", 0.0) for hour in hours) == pytest.approx(known)
    assert all(hour.values == {} for hour in hours if hour.state is State.MISSING)


def test_times_of_the_site_are_local(books: Callable[..., Books]) -> None:
    one = books()
    one.feed("main", steady(START, START + DAY, 10 * MINUTE, 6.0))
    one.run(START + DAY)
    hours = {point.fields["hour"] for point in one.points if point.tags["period"] == "1h"}
    assert hours == {float(hour) for hour in range(24)}
    days = [point.at for point in one.points if point.tags["period"] == "1d"]
    assert START in days
    assert datetime.fromtimestamp(START / 1000, SHANGHAI) + timedelta(0) == datetime(2026, 7, 1, tzinfo=SHANGHAI)
    assert np.isfinite([float(point.fields.get("energy", 0.0)) for point in one.points]).all()


# -- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_ledger_is_put_aside_told_and_computed_again_from_the_readings(
    books: Callable[..., Books], caplog: pytest.LogCaptureFixture, whole: bool
) -> None:
    """``whole``: nothing of a database is left; else pages in the middle are broken, which opening does not see."""
    book = books()
    start, end = START, START + 30 * DAY
    book.feed("main", steady(start, end, 10 * MINUTE, 2.0))
    book.run(end)
    right = energies(book.ask("1d", start, end))
    assert right
    book.ledger.close()
    file = book.folder / LEDGER
    sound = file.read_bytes()
    damaged = b"no database" * 999 if whole else sound[:8192] + b"\xa5" * (len(sound) - 8192)
    file.write_bytes(damaged)
    with (
        pytest.raises(StoreAway, match=r"is damaged .*computes the intervals again"),
        Ledger(file, read_only=True) as one,
    ):
        one.slots(1, start, end)
    assert file.read_bytes() == damaged  # who only reads moves nothing

    book.ledger = Ledger.mended(file, end + 1)
    book.accountant = Accountant(book.site, book.store, book.ledger, book.keeper)
    book.run(end)

    assert energies(book.ask("1d", start, end)) == right
    (aside,) = book.folder.glob(f"{LEDGER}.damaged-*")
    assert aside.name == f"{LEDGER}.damaged-2026-07-30T160000Z"
    assert aside.read_bytes()[4096:] == damaged[4096:]  # in the first page SQLite counts who opened the file
    (told,) = [record.message for record in caplog.records if "intervals.db" in record.message]
    assert "is damaged" in told
    assert aside.name in told
    assert "\n" not in told
    book.ledger.close()
    book.ledger = Ledger.mended(file, end + 2)  # a sound one stays
    assert len(list(book.folder.glob(f"{LEDGER}.damaged-*"))) == 1
    assert energies(book.ask("1d", start, end)) == right


def test_what_is_told_by_hand_after_the_memory_was_begun_anew_is_taken_up(books: Callable[..., Books]) -> None:
    book = books()
    start = START
    book.feed("main", steady(start, start + 4 * HOUR, 10 * MINUTE, 2.0))
    for number in range(3):
        book.keeper.append(ANEW, start + number, "main", {"device": "main", "at": start + number})
    book.run(start + 4 * HOUR)
    assert not book.accountant.told()
    book.keeper.close()
    book.keeper = Keeper(book.folder / "begun-anew.db")
    book.accountant = Accountant(book.site, book.store, book.ledger, book.keeper)
    book.keeper.append(ANEW, start, "main", {"device": "main", "at": start})
    assert book.accountant.told()


async def test_the_program_starts_with_a_damaged_ledger_and_not_with_a_damaged_memory(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_bytes(b"no database" * 999)
    async with Program(small_site(), ManualClock(START), tmp_path, {}) as program:
        assert program.accounts.ledger.series() == {}
    assert [one.name for one in tmp_path.glob("*damaged*")] == [f"{LEDGER}.damaged-2026-06-30T160000Z"]
    (tmp_path / "memory.db").write_bytes(b"no database" * 999)
    with pytest.raises(StoreAway, match=r"memory\.db is damaged .*move it away"):
        async with Program(small_site(), ManualClock(START), tmp_path, {}):
            pass
    assert (tmp_path / "memory.db").read_bytes() == b"no database" * 999
