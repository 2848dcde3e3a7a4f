"""Instants as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.instants import from_iso, to_iso

ZONES = [ZoneInfo(name) for name in ("Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu",
                                     "America/St_Johns", "Asia/Gaza", "Africa/Casablanca", "UTC")]  # fmt: skip


@given(st.integers(946_684_800_000, 4_102_444_799_999), st.sampled_from(ZONES), st.sampled_from([1, 1000, 60_000]))
def test_an_instant_is_written_as_the_calendar_of_its_zone_has_it_and_read_back(
    moment: int, tz: ZoneInfo, step: int
) -> None:
    moment -= moment % step
    local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(tz)
    assert to_iso(moment, tz) == local.isoformat(timespec="milliseconds" if moment % 1000 else "seconds")
    assert from_iso(to_iso(moment, tz)) == moment


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        (1_782_901_500_000, "Asia/Shanghai", "2026-07-01T18:25:00+08:00"),
        (1_782_901_500_007, "Asia/Shanghai", "2026-07-01T18:25:00.007+08:00"),
        # 29 March 2026, 02:00 becomes 03:00; 25 October, 03:00 becomes 02:00
        (1_774_745_999_000, "Europe/Berlin", "2026-03-29T01:59:59+01:00"),
        (1_774_746_000_000, "Europe/Berlin", "2026-03-29T03:00:00+02:00"),
        (1_792_888_200_000, "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        (1_792_891_800_000, "Europe/Berlin", "2026-10-25T02:30:00+01:00"),
        # 5 April 2026, 02:00 becomes 01:30, in the middle of an hour of UTC
        (1_775_314_740_000, "Australia/Lord_Howe", "2026-04-05T01:59:00+11:00"),
        (1_775_314_800_000, "Australia/Lord_Howe", "2026-04-05T01:30:00+10:30"),
    ],
)
def test_an_hour_in_which_the_clock_changes_is_told_by_its_offset(moment: int, zone: str, text: str) -> None:
    assert to_iso(moment, ZoneInfo(zone)) == text
