"""Rules on trial beside the live ones, kept for whoever asks and told to nobody; and a clock that is set back."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from building.clock import ManualClock
from building.readings import Reading
from collector.storing.keeper import Keeper
from collector.storing.service import STATUS_FILE
from greenwarden.alerting import show_shadow
from greenwarden.status import show_status
from rules.service import LiveRules
from rules.shadow import TABLE, Shadow, latest
from tests.notify_parts import HOUR, ListChannel, notifier_of
from tests.site_parts import local, site_of

MINUTE = 60_000
LAMP = """
zones: [{id: "301"}]
devices: [{id: lamp, kind: light, zone: "301", every: 1m}]
channels: {desk: {type: terminal}}
"""
TRIAL = "rules: {lights_left_on: {after: 5m}}\n"


async def evening(
    keeper: Keeper, clock: ManualClock, channel: ListChannel, minutes: int, *, trial: str = TRIAL
) -> None:
    """A lamp burns for so long."""
    site = site_of(LAMP)
    async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
        rules = LiveRules(site, clock, keeper, notifier, shadow=Shadow(site_of(LAMP + trial), keeper))
        for _ in range(minutes):
            await clock.advance(MINUTE)
            await rules.take([Reading("lamp", clock.now(), {"on": 1.0})])
            await rules.come_to(clock.now())
        await rules.settle()
        assert await notifier.drained(30)


async def test_rules_on_trial_hear_the_same_and_tell_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock, channel = ManualClock(local("2026-07-01 19:00")), ListChannel()
    with Keeper(tmp_path / "memory.db") as keeper:
        await evening(keeper, clock, channel, 10)
        (said,) = latest(keeper.records(TABLE))
    assert channel.got == []
    assert (said["rule"], said["raised"][11:16], said["ended"]) == ("lights_left_on", "19:06", None)


async def test_after_a_restart_the_trial_goes_on_and_other_rules_begin_anew(tmp_path: Path) -> None:
    clock, channel = ManualClock(local("2026-07-01 19:00")), ListChannel()
    with Keeper(tmp_path / "memory.db") as keeper:
        await evening(keeper, clock, channel, 4)
        await evening(keeper, clock, channel, 4)
        assert [said["raised"][11:16] for said in latest(keeper.records(TABLE))] == ["19:06"]
        await evening(keeper, clock, channel, 4, trial="rules: {lights_left_on: {after: 2m}}\n")
        assert [said["raised"][11:16] for said in latest(keeper.records(TABLE))] == ["19:06", "19:11"]


async def test_the_command_shows_what_they_would_have_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "devices.yaml"
    file.write_text(f"version: 1\nsite: {{language: en}}\n{LAMP}", encoding="utf-8")
    (tmp_path / "data").mkdir()
    clock, channel = ManualClock(local("2026-07-01 19:00")), ListChannel()
    with Keeper(tmp_path / "data" / "memory.db") as keeper:
        await evening(keeper, clock, channel, 10)
    show_shadow(file, days=4000, as_json=True)
    assert [one["rule"] for one in json.loads(capsys.readouterr().out)["shadow"]] == ["lights_left_on"]
    show_shadow(file, days=4000, as_json=False)
    assert "2026-07-01" in capsys.readouterr().out


async def test_while_a_clock_set_back_by_days_makes_the_rules_blind_log_and_status_say_until_when(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)
    file = tmp_path / "devices.yaml"
    file.write_text(f"version: 1\n{LAMP}", encoding="utf-8")
    (tmp_path / "data").mkdir()
    state = {"at": 0, "running": True, "away": None, "queued": 0, "bytes": 0, "written": 0, "hours": 0}
    (tmp_path / "data" / STATUS_FILE).write_text(json.dumps(state), encoding="utf-8")
    clock, channel, site = ManualClock(local("2026-07-01 19:00")), ListChannel(), site_of(LAMP)
    with Keeper(tmp_path / "data" / "memory.db") as keeper:
        async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
            rules = LiveRules(site, clock, keeper, notifier)
            await rules.take([Reading("lamp", clock.now(), {"on": 0.0})])
            assert rules.blind_until is None
            clock.set_by(-48 * HOUR)
            await rules.take([Reading("lamp", clock.now(), {"on": 0.0})])
            assert rules.blind_until == local("2026-07-01 19:00")
            await rules.settle()
    assert "judge nothing until 2026-07-01T19:00" in caplog.text
    show_status(file, as_json=True, now=local("2026-06-29 19:05"))
    assert json.loads(capsys.readouterr().out)["rules_blind_until"] == local("2026-07-01 19:00")
    show_status(file, as_json=True, now=local("2026-07-01 19:05"))
    assert json.loads(capsys.readouterr().out)["rules_blind_until"] is None
