"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.durations import format_duration, parse_duration, parse_period


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("500ms", 500),
        ("10s", 10_000),
        ("15m", 900_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1.5h", 5_400_000),
        ("0s", 0),
        (" 5s ", 5000),
    ],
)
def test_a_duration_is_read(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "10", "10 s", "s", "-5s", "1y", "5s!", "ten", 10, None, ["5s"], True, "1h-5m"])
def test_anything_else_is_refused_with_what_is_accepted(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 10s, 15m, 1h30m or 2d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["401d", "9" * 400 + "d"])
def test_a_duration_beyond_400_days_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 400 days"):
        parse_duration(text)


def test_a_period_is_at_least_a_tenth_of_a_second() -> None:
    assert parse_period("100ms") == 100
    with pytest.raises(ValueError, match="too short"):
        parse_period("99ms")


@given(st.integers(0, 400 * 86_400))
def test_whole_seconds_survive_writing_and_reading(seconds: int) -> None:
    assert parse_duration(format_duration(seconds * 1000)) == seconds * 1000


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert 0 <= parse_duration(text) <= 400 * 86_400_000
    except ValueError as error:
        sentence = str(error)
        assert "\n" not in sentence
