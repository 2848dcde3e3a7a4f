"""``greenwarden alerts`` and ``notify-test`` beside a program that runs, and one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from building.clock import SystemClock
from building.readings import Reading
from building.site import Site
from collector.storing.keeper import Keeper
from dashboards.alert_page import AlertPage
from greenwarden import alert_words
from greenwarden.answering import open_answers
from greenwarden.cli import app
from greenwarden.door import open_site
from rules import pictures
from rules.answers import proposals
from rules.notifying import Notifier
from rules.service import LiveRules
from tests.notify_parts import MINUTE, SITE, ListChannel
from tests.parts import ROOT, Answer, HttpSink, eventually

ROUTES = """
channels: {hook: {type: webhook, url: "http://127.0.0.1:9/x", secret: "${HOOK_SECRET}"}}
routes:
  people: {hook: {channel: hook, each: false}}
  alerts: [{tell: hook}]
  wait: 0s
  interval: 0s
  page: {url: "https://green.example", listen: "127.0.0.1:0"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "devices.yaml"
    site = SITE.replace(
        "version: 1", "version: 1\nrules: {lights_left_on: {after: 1m}, meter_silent: {enabled: false}}"
    )
    path.write_text(site.replace("language: zh", "language: en, working_hours: {}") + ROUTES, encoding="utf-8")
    return path


class Store:
    """A store that knows the lamp."""

    def read(self, device: str, quantity: str, start: int, end: int) -> tuple[list[int], list[float]]:
        times = [*range(start, end, 5 * MINUTE)]
        return times, [float(at > end - 10 * MINUTE) for at in times]


class Running:
    """The rules and the messages of a program, without collector and store."""

    def __init__(self, path: Path, keeper: Keeper) -> None:
        self.site: Site = open_site(path)
        self.clock, self.keeper, self.channel = SystemClock(), keeper, ListChannel()
        self.notifier = Notifier(self.site, self.clock, {"hook": self.channel}, keeper)
        self.rules = LiveRules(self.site, self.clock, keeper, self.notifier)
        self.page: AlertPage | None = None

    async def lamp(self, on: float) -> None:
        """The lamp as it has been for ten minutes, or is now."""
        now = self.clock.now()
        moments = range(now - 10 * MINUTE, now, MINUTE) if on else (now,)
        readings = [Reading("light-301", at, {"on": on}) for at in moments]
        await self.rules._changed(self.rules.engine.step(self.rules.memory, readings))
        await self.rules.settle()
        await self.notifier.drained(30)


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[Running]:
    with Keeper(path.parent / "data" / "memory.db") as keeper:
        program = Running(path, keeper)
        async with contextlib.AsyncExitStack() as opening:
            await opening.enter_async_context(program.notifier)
            program.page = await open_answers(program, opening, {"hook": program.channel}, Store())
            yield program


async def command(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(words))


async def asked(*words: str) -> Any:
    result = await command(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_an_alert_is_listed_shown_explained_acknowledged_and_its_history_kept(file: Path) -> None:
    site = ["--site", str(file)]
    async with running(file) as program:
        await program.lamp(1.0)
        (alert,) = (await asked("alerts", "list", *site))["alerts"]
        assert (alert["rule"], alert["state"], alert["standing"]) == ("lights_left_on", "firing", False)
        done = await command("alerts", "ack", alert["id"][:8], "--reason", "false_alarm", "--by", "Li", *site)
        assert (done.exit_code, done.stdout) == (0, "noted\n")
        await program.lamp(0.0)
        await eventually(lambda: len(program.channel.got) == 2, "the end is told")
        shown = await asked("alerts", "show", alert["id"], *site)
        assert [(step["from"], step["to"], step["who"]) for step in shown["history"]] == [
            ("pending", "firing", "rules"), ("firing", "acknowledged", "Li"), ("acknowledged", "resolved", "rules"),
        ]  # fmt: skip
        assert shown["alert"]["evidence"]["answer"]["reason"] == "false_alarm"
        explained = await asked("alerts", "explain", alert["id"], *site)
        stages = [decision["stage"] for decision in explained["decisions"]]
        assert stages[0] == "sent"
        assert "already told" in stages
        assert explained["decisions"][stages.index("already told")]["until"] is not None
    history = (await asked("alerts", "history", *site))["history"]
    assert len(history) == 3
    assert (await asked("alerts", "list", *site))["alerts"] == []
    assert len((await asked("alerts", "list", "--all", *site))["alerts"]) == 1
    for words in (["list", "--all"], ["show", alert["id"]], ["explain", alert["id"]], ["history"], ["proposals"]):
        plain = await command("alerts", *words, *site)
        assert plain.exit_code == 0, plain.output


async def test_the_link_in_a_message_opens_the_page_and_its_button_acknowledges(file: Path) -> None:
    async with running(file) as program:
        await program.lamp(1.0)
        await eventually(lambda: program.channel.got, "the alert is told")
        (message,) = program.channel.got
        links = {link.words: link.url for link in message.entries[0].links}
        assert list(links) == ["View and acknowledge", "Silence"]
        assert program.page is not None
        url = links["View and acknowledge"].replace("https://green.example", f"http://127.0.0.1:{program.page.port}")

        def ask(form: bytes | None) -> str:
            with urllib.request.urlopen(url, form, timeout=30) as answer:
                return str(answer.read().decode())

        shown = await asyncio.to_thread(ask, None)
        assert "lamp" in shown or "light" in shown.lower()
        assert ("data:image/png;base64," in shown) is pictures.available()
        (alert,) = program.rules.desk.open
        assert alert.state == "firing"
        await asyncio.to_thread(ask, b"reason=fixed&name=Wang")
        (alert,) = program.rules.desk.open
        assert (alert.state, alert.evidence["answer"]["by"]) == ("acknowledged", "Wang (hook)")


async def test_a_silence_by_zone_is_taken_by_the_running_program_and_ended_again(file: Path) -> None:
    site = ["--site", str(file)]
    async with running(file) as program:
        done = await command("alerts", "silence", "--zone", "301", "--for", "2h", "--why", "painting", *site)
        assert done.exit_code == 0, done.output
        await program.lamp(1.0)
        assert program.channel.got == []
        (alert,) = (await asked("alerts", "list", *site))["alerts"]
        assert alert["state"] == "silenced"
        ended = await command("alerts", "silence", "--zone", "301", "--end", *site)
        assert ended.exit_code == 0, ended.output
        await eventually(lambda: len(program.channel.got) == 1, "the alert is told")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ack", "nothing"], "no alert has this id"),
        (["ack", "x", "--reason", "bored"], "no alert has this id"),
        (["silence", "--zone", "301", "--for", "soon", "--why", "x"], "is not a duration such as"),
        (["silence", "--zone", "301", "--for", "2h"], "say why"),
        (["silence", "--for", "2h", "--why", "x"], "say which alert"),
        (["explain", "nothing"], "no alert 'nothing' is known here"),
    ],
)
async def test_a_wrong_answer_is_one_sentence_and_exit_status_1(file: Path, words: list[str], said: str) -> None:
    with Keeper(file.parent / "data" / "memory.db"):
        result = await command("alerts", *words, "--site", str(file))
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


async def test_a_quiet_week_is_told_as_one(file: Path) -> None:
    with Keeper(file.parent / "data" / "memory.db"):
        result = await command("alerts", "history", "--site", str(file))
    assert (result.exit_code, "7" in result.stdout) == (0, True)


async def test_before_the_first_start_the_commands_say_how_to_begin(file: Path) -> None:
    result = await command("alerts", "list", "--site", str(file))
    assert (result.exit_code, "greenwarden run" in result.stderr) == (1, True)


def test_three_false_alarms_in_a_zone_propose_half_as_long_again(file: Path) -> None:
    site, now = open_site(file), SystemClock().now()
    record = {
        "at": "2026-07-01T10:00:00+08:00", "rule": "lights_left_on", "zone": "301", "to": "acknowledged",
        "reason": "false_alarm",
    }  # fmt: skip
    assert proposals(site, [record] * 3, now + 400 * 24 * 60 * MINUTE) == []  # long ago
    recent = [record | {"at": f"2026-07-0{day}T10:00:00+08:00"} for day in (1, 2, 3)]
    moment = 1_783_300_000_000  # 2026-07-06
    assert proposals(site, recent[:2], moment) == []
    (proposal,) = proposals(site, recent, moment)
    assert (proposal.false_alarms, proposal.now, proposal.proposed) == (3, MINUTE, 2 * MINUTE)
    assert proposal.yaml() == 'lights_left_on: {zones: {"301": {after: 2m}}}'


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("meter_silent", 'meter_silent: {zones: {"301": {periods: 7.5}}}'),
        ("night_base_load", 'night_base_load: {zones: {"301": {margin: 37.5}}}'),
        ("meter_implausible", None),  # has nothing that would make it milder
        ("glare", "glare: {after: 15m}"),  # a rule of the site's own has one number for all its zones
    ],
)
def test_false_alarms_of_a_rule_that_does_not_wait_propose_what_would_make_it_milder(
    rule: str, line: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(
        'version: 1\nzones: [{id: "301"}]\n'
        'devices: [{id: m, kind: electricity, circuit: sockets, zone: "301"}]\n'
        "rules: {glare: {when: active_power > 5, after: 10m}}\n",
        encoding="utf-8",
    )
    record = {"rule": rule, "zone": "301", "to": "acknowledged", "reason": "false_alarm"}
    recent = [record | {"at": f"2026-07-0{day}T10:00:00+08:00"} for day in (1, 2, 3)]
    found = proposals(open_site(path), recent, 1_783_300_000_000)
    assert [one.yaml() for one in found] == ([] if line is None else [line])


async def test_notify_test_shows_what_the_service_answered_and_fails_in_one_sentence(
    file: Path, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace("http://127.0.0.1:9/x", f"{http_sink.url}/x"), "utf-8")
    words = ("notify-test", "hook", "--site", str(file))
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    missing = await command(*words)
    assert (missing.exit_code, "HOOK_SECRET" in missing.stderr) == (2, True)
    monkeypatch.setenv("HOOK_SECRET", "very-secret")
    assert (await asked(*words)) == {"channel": "hook", "delivered": True, "receipt": "accepted"}
    assert http_sink.requests[0].json()["test"] is True
    http_sink.answer = Answer(500)
    failed = await command(*words)
    assert failed.exit_code == 1
    assert "answered 500" in failed.stderr
    assert "very-secret" not in failed.output + failed.stderr
    unknown = await command("notify-test", "pigeon", "--site", str(file))
    assert (unknown.exit_code, "there are: hook" in unknown.stderr) == (2, True)


def test_every_stage_and_every_reason_it_gives_has_its_chinese() -> None:
    source = "".join((ROOT / "rules" / name).read_text(encoding="utf-8") for name in ("stages.py", "dispatch.py"))
    given = re.findall(r'Held\("([^"]+)", f?"([^"]*)"', source)
    assert len(given) >= 12
    for stage, reason in given:
        filled = reason.replace("{look.wish}, message {letter.ident}", "firing, message m1-00ff")
        filled = re.sub(r"\{[^}]*\}", "8", filled)
        assert stage in alert_words.STAGES
        assert alert_words.reason(filled) != filled, reason


async def test_a_silence_for_a_place_or_rule_that_the_site_does_not_have_is_refused(file: Path) -> None:
    with Keeper(file.parent / "data" / "memory.db"):
        pass
    for what, known in (
        ("zone", "301"),
        ("device", "light-301"),
        ("department", "finance"),
        ("rule", "lights_left_on"),
    ):
        result = await command("alerts", "silence", f"--{what}", "3o1", "--why", "x", "--site", str(file))
        assert (result.exit_code, f"there is no {what} '3o1'; known are" in result.stderr) == (2, True), result.output
        assert known in result.stderr
    ended = await command("alerts", "silence", "--zone", "gone", "--end", "--site", str(file))
    assert ended.exit_code == 0, ended.output


async def test_a_chinese_house_reads_in_chinese_what_people_did(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace("language: en", "language: zh"), encoding="utf-8")
    with Keeper(file.parent / "data" / "memory.db") as keeper:
        now = SystemClock().now()
        for at, action in ((now - 2000, "silence"), (now - 1000, "release")):
            keeper.append(
                "audit", at, "", {"at": "2026-07-01T18:00:00+08:00", "action": action, "who": "Li", "zone": "301"}
            )
    told = await command("alerts", "history", "--site", str(file))
    assert [line.split("  ")[1:] for line in told.stdout.splitlines()] == [
        ["301", "暂停提醒", "Li"],
        ["301", "恢复提醒", "Li"],
    ]
