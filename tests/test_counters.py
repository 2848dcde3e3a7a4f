"""Counters: what is booked between readings, and what each odd step is called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.counters import Counter, CounterTracker, Event, Memory, deltas
from tests.parts import ROOT, need_shared

HOUR = 3_600_000
MINUTE = 60_000


def vectors() -> list[dict[str, Any]]:
    path = ROOT.parent / "shared" / "facts" / "vectors" / "counter_deltas.json"
    return list(json.loads(path.read_text("utf-8"))["vectors"]) if path.exists() else []


def run(counter: Counter, *values: float | None, every: int = 5 * MINUTE) -> tuple[list[float | None], list[Event]]:
    booked, steps = deltas([(number * every, value) for number, value in enumerate(values)], counter)
    return booked, [step.event for step in steps if step.event is not None]


def test_the_vectors_are_there() -> None:
    need_shared("facts", "vectors", "counter_deltas.json")
    assert len(vectors()) == 6


@pytest.mark.parametrize("vector", vectors(), ids=lambda one: str(one["id"]))
def test_published_counters_book_what_is_published(vector: dict[str, Any]) -> None:
    told = vector["counter"]
    modulus = told.get("modulus", 2 ** told["width_bits"] if "width_bits" in told else None)
    counter = Counter(modulus, resets=told.get("resets_allowed", True))
    times = told.get("times_s", range(0, 300 * len(vector["readings"]), 300))
    booked, _ = deltas([(at * 1000, value) for at, value in zip(times, vector["readings"], strict=True)], counter)
    scaled = [None if one is None else one * told["scale"] for one in booked]
    assert scaled == [None if one is None else pytest.approx(one) for one in vector["expected_deltas"]]


def test_a_wrap_needs_a_value_near_the_top_else_it_is_a_reset() -> None:
    sixteen = Counter(modulus=65536)
    assert run(sixteen, 65534, 3) == ([5], [Event.WRAP])
    assert run(sixteen, 30000, 3, 4) == ([None, 1], [Event.RESET])


def test_one_misread_low_value_books_nothing_twice() -> None:
    booked, events = run(Counter(), 500.0, 500.5, 0.0, 501.0, 501.25)
    assert booked == [0.5, None, 0.5, 0.25]
    assert events == [Event.RESET, Event.RETURN]


def test_a_step_beyond_the_plausible_rate_is_left_out() -> None:
    """20 kW at most: 1.7 kWh in five minutes; 8000 is a spike, and 101.5 counts from 101."""
    booked, events = run(Counter(max_per_hour=20), 100.0, 101.0, 8000.0, 101.5)
    assert booked == [1.0, None, 0.5]
    assert events == [Event.SPIKE]


def test_a_jump_that_stays_is_believed_and_not_booked() -> None:
    booked, events = run(Counter(max_per_hour=20), 100.0, 8000.0, 8000.5, 8001.0, 8001.5)
    assert booked == [None, None, None, 0.5]
    assert events == [Event.SPIKE, Event.SPIKE, Event.JUMP]


def test_a_lower_value_that_stays_a_day_is_the_new_truth() -> None:
    booked, events = run(Counter(), 1_000_000.0, *[999_990.0] * 25, 999_991.0, every=HOUR)
    assert booked[:24] == [None] * 24
    assert booked[-1] == 1.0
    assert events[-1] is Event.RESET


def test_a_reading_without_value_books_nothing_and_the_next_counts_on() -> None:
    assert run(Counter(), 10.0, None, 12.0) == ([None, 2.0], [])


def test_a_gap_keeps_the_total_and_says_that_its_spread_is_unknown() -> None:
    booked, steps = deltas([(0, 100.0), (2 * HOUR, 124.0)], Counter(gap=10 * MINUTE))
    assert booked == [24.0]
    assert [(step.event, step.since, step.at) for step in steps] == [(Event.GAP, 0, 2 * HOUR)]


def test_an_exchange_books_up_to_the_old_meters_last_value() -> None:
    tracker = CounterTracker(Counter())
    tracker.take(0, 1834.0)
    step = tracker.exchange(HOUR, 1836.5, 12.0)
    assert (step.before, step.after, step.delta, step.event) == (1834.0, 12.0, 2.5, Event.EXCHANGE)
    assert tracker.take(2 * HOUR, 12.5).delta == 0.5


def test_memory_is_numbers_and_goes_on_where_it_stopped() -> None:
    first = CounterTracker(Counter(modulus=65536))
    first.take(0, 65530)
    saved = json.loads(json.dumps(first.memory))
    assert CounterTracker(Counter(modulus=65536), Memory(*saved)).take(MINUTE, 4).delta == 10


@given(
    st.lists(st.floats(0, 1e9, allow_nan=False), max_size=30),
    st.sampled_from([None, 65536.0, 1e6]),
    st.sampled_from([None, 10.0, 1e5]),
)
def test_nothing_negative_is_ever_booked_and_never_more_than_can_pass(
    values: list[float], modulus: float | None, rate: float | None
) -> None:
    counter = Counter(modulus=modulus, max_per_hour=rate)
    tracker, last = CounterTracker(counter), 0
    for number, value in enumerate(values):
        step = tracker.take(number * HOUR, value)
        assert step.delta is None or step.delta >= 0
        if rate is not None and step.delta is not None and step.since is not None:
            assert step.delta <= rate * (step.at - step.since) / HOUR + 1e-6
        last = step.at
    assert last == max(0, (len(values) - 1) * HOUR)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(0, 65535))
def test_a_16_bit_counter_loses_nothing_however_often_it_wraps(pulses: list[int], start: int) -> None:
    tracker, total, booked = CounterTracker(Counter(modulus=65536)), start, 0.0
    tracker.take(0, start % 65536)
    for number, passed in enumerate(pulses, 1):
        total += passed * 100
        booked += tracker.take(number * MINUTE, total % 65536).delta or 0
    assert booked == total - start
