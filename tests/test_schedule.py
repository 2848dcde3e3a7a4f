"""When whose turn is: grids without drift, and probes that take nothing from the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.schedule import Grid, Probe, Schedule, Turn, round_moment_after, spread

moments = st.integers(0, 10**9)
periods = st.integers(100, 10**7)


@given(moments, periods, moments)
def test_the_next_moment_is_later_on_the_grid_and_within_a_period(phase: int, period: int, now: int) -> None:
    following = Grid(phase, period).after(now)
    assert now < following <= now + period
    assert (following - phase) % period == 0


@given(moments, periods, st.integers(0, 500), st.integers(0, 99))
def test_what_was_missed_is_the_number_of_grid_moments_since(phase: int, period: int, turns: int, late: int) -> None:
    grid = Grid(phase, period)
    assert grid.passed(phase, phase + turns * period + late) == turns


@given(moments, periods, st.integers(1, 300))
def test_devices_are_spread_evenly(start: int, period: int, count: int) -> None:
    phases = [spread(start, period, number, count).phase for number in range(count)]
    assert phases[0] == start
    assert phases == sorted(phases)
    gaps = [b - a for a, b in zip(phases, [*phases[1:], start + period], strict=True)]
    assert max(gaps) - min(gaps) <= 1


@given(moments, moments, periods)
def test_a_round_moment_is_a_multiple_of_the_period_on_the_wall_clock(wall: int, steady: int, period: int) -> None:
    due = round_moment_after(wall, steady, period)
    assert (wall + due - steady) % period == 0
    assert 0 < due - steady <= period


def test_jobs_go_before_probes_unless_those_have_waited_for_half_a_minute() -> None:
    schedule: Schedule[str, str] = Schedule()
    schedule.add_probe(0, "silent")
    for due in (0, 10, 20, 40_000):
        schedule.add_job(due, f"job {due}")
    assert schedule.next_moment() == 0
    assert schedule.take(15) == Turn(0, "job 0")
    assert schedule.take(15) == Turn(10, "job 10")
    assert schedule.take(15) == Probe(0, "silent")
    assert schedule.take(15) is None
    schedule.add_probe(16, "silent")
    assert schedule.take(31_000) == Probe(16, "silent")
    assert schedule.take(31_000) == Turn(20, "job 20")
    assert schedule.next_moment() == 40_000
