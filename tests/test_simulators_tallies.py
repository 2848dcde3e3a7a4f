"""What the truth says of nights and months: loads above a meter's own base, departments ahead of their quota."""

from __future__ import annotations

import pytest

from simulators.building import OfficeBuilding
from simulators.faults import Fault, Kind
from simulators.truth import Expected
from tests.simulators_parts import HOUR, at, sample_site

START, END = at("2026-07-01 00:00"), at("2026-07-20 00:00")


def told(*faults: Fault) -> dict[str, list[Expected]]:
    """What is due of nights and quotas by the end, by rule."""
    building = OfficeBuilding(sample_site(), 1, faults, start=START)
    building.advance(END)
    due = building.truth.all_due(END)
    return {rule: [one for one in due if one.rule == rule] for rule in ("night_base_load", "quota_pace")}


def test_a_building_without_faults_keeps_its_nights_and_its_quotas() -> None:
    assert told() == {"night_base_load": [], "quota_pace": []}


def test_a_machine_left_on_all_night_is_above_the_base_of_the_nights_before() -> None:
    fault = Fault(Kind.EQUIPMENT_LEFT_ON, "copier-202", at("2026-07-09 18:30"), at("2026-07-10 07:00"))
    found = told(fault)
    (night,) = found["night_base_load"]
    assert (night.device, night.sure) == ("main", True)
    assert (night.since, night.raised) == (at("2026-07-10 01:00"), at("2026-07-10 05:00"))
    assert night.ended == at("2026-07-11 05:00")  # the next night shows that it is over
    assert night.kwh == pytest.approx(0.042 * 4 * 1.015, rel=0.01)  # the copier's 42 W, and the losses on the way
    assert not found["quota_pace"]


def test_nights_before_enough_are_known_say_nothing() -> None:
    fault = Fault(Kind.EQUIPMENT_LEFT_ON, "copier-202", at("2026-07-03 18:30"), at("2026-07-04 07:00"))
    assert not told(fault)["night_base_load"]


def test_a_leak_takes_its_department_ahead_of_its_quota_from_the_midnight_on_that_shows_it() -> None:
    fault = Fault(Kind.CISTERN_LEAK, "wc-2", at("2026-07-08 12:00"), at("2026-07-08 12:00") + 96 * HOUR, 0.5)
    first = told(fault)["quota_pace"][0]
    assert (first.device, first.zone, first.sure) == ("logistics", None, True)
    assert first.since is not None
    assert at("2026-07-09 00:00") <= first.since <= at("2026-07-12 00:00")
    assert first.raised == first.since + 24 * HOUR
    quota = sample_site().department["logistics"].quota.water
    assert quota is not None
    assert first.litres is not None
    assert 0 < first.litres < 96 * 60 * 0.5 + quota * 1000 / 12  # no more than leaked, and a month's share
