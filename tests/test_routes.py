"""Routes and channels at the door: every mistake by file, line and key, with what is accepted."""

from __future__ import annotations

import re

import pytest

from building.errors import ConfigError, SecretMissing
from rules.channels import open_channels
from rules.routing import Plan
from rules.stages import STAGES
from rules.timetable import Timetable
from tests.notify_parts import CHANNELS, HOUR, MINUTE, ROUTES, SITE, local, site_of
from tests.parts import ROOT


def told(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        site_of(text)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("{type: pigeon}", "type must be one of terminal, webhook, dingtalk, wecom, feishu, mail, mqtt, apprise"),
        ("{url: 'https://x'}", "type must be one of"),
        ("5", "type must be one of"),
        ("{type: webhook}", "the key 'url' is missing"),
        ("{type: webhook, url: ftp://x}", "is no address; write https://host/path"),
        ("{type: webhook, url: 'http://u:p@x/'}", "name and password do not belong into the address"),
        ("{type: webhook, url: 'http://x/', secret: abc}", "a secret must not stand here in clear"),
        ("{type: dingtalk, token: abc}", "a secret must not stand here in clear"),
        ("{type: dingtalk}", "the key 'token' is missing"),
        ('{type: wecom, key: "${K}", mention: ["<@all>"]}', "is no mobile number or user id"),
        ('{type: feishu, hook: "${K}", url: "nowhere"}', "is no address"),
        ("{type: mail, host: h, from: nobody, to: a@b.example}", "is no mail address"),
        ("{type: mail, host: h, from: a@b.example, to: 'a@b.example, c@d.example'}", "is no mail address"),
        ("{type: mail, host: h, from: a@b.example, security: ssl}", "'starttls', 'tls' or 'none'"),
        ("{type: mqtt, url: 'tcp://x', topic: t}", "write one of mqtt://, mqtts://"),
        ("{type: mqtt, url: 'mqtt://x', topic: 'a/#'}", "write one without # and +"),
        ("{type: terminal, colour: red}", "unknown key 'colour'; accepted are language, fallback"),
        ("{type: terminal, fallback: nobody}", "fallback 'nobody' does not exist; known are no other"),
        ("{type: terminal, per_minute: 0}", "write at least 1"),
    ],
)
def test_a_wrong_channel_is_refused_at_the_door_by_its_line(channel: str, said: str) -> None:
    (problem,) = told(f"version: 1\nchannels:\n  hook: {channel}\n")
    assert problem.startswith("devices.yaml:3: channel 'hook': ")
    assert said in problem


def test_fallbacks_that_run_in_a_circle_are_refused() -> None:
    problems = told("version: 1\nchannels:\n  a: {type: terminal, fallback: b}\n  b: {type: terminal, fallback: a}\n")
    assert len(problems) == 2
    assert "run in a circle" in problems[0]


def test_a_secret_that_is_not_set_stops_the_start_and_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WECOM_KEY", raising=False)
    with pytest.raises(SecretMissing, match="set the environment variable WECOM_KEY"):
        open_channels(site_of())


def test_a_mail_password_that_smtp_cannot_carry_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "密码")
    mail = 'f: {type: mail, host: h, from: a@b.example, to: c@d.example, username: u, password: "${MAIL_PASSWORD}"}'
    with pytest.raises(ConfigError, match=r"'f': username and password .* ASCII"):
        open_channels(site_of(f"version: 1\nchannels:\n  {mail}\n"))


def test_every_kind_of_channel_opens_from_a_good_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "json://127.0.0.1/")
    site = site_of("""
version: 1
channels:
  a: {type: terminal}
  b: {type: webhook, url: "https://x/", secret: "${S}"}
  c: {type: dingtalk, token: "${S}", secret: "${S}", mention: 13800000000, fallback: f}
  d: {type: wecom, key: "${S}"}
  e: {type: feishu, hook: "${S}", language: en}
  f: {type: mail, host: h, from: a@b.example, to: [c@d.example], username: u, password: "${S}"}
  g: {type: mqtt, url: "mqtts://h", topic: greenwarden/alerts, answers: greenwarden/answers}
""")
    assert set(open_channels(site)) == set("abcdefg")


def test_every_other_service_opens_through_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise", reason="the extra 'apprise' is not installed")
    monkeypatch.setenv("S", "json://127.0.0.1/")
    assert set(open_channels(site_of('version: 1\nchannels: {h: {type: apprise, url: "${S}"}}\n'))) == {"h"}
    monkeypatch.setenv("S", "no address with-secret")
    with pytest.raises(ConfigError, match="none that apprise knows") as caught:
        open_channels(site_of('version: 1\nchannels: {h: {type: apprise, url: "${S}"}}\n'))
    assert "with-secret" not in str(caught.value)


def routes(text: str) -> str:
    return SITE + CHANNELS + f"routes:\n{text}\n"


PEOPLE = "  people: {group: {channel: group}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  people: {x: {channel: nowhere}}", "routes.people.x: channel 'nowhere' does not exist; known are group"),
        ("  people: {x: {channel: group, colour: red}}", "unknown key 'colour'; accepted are channel, to, mention"),
        ("  people: {x: {channel: group, at_most: 0}}", "write at least 1"),
        ("  people: {x: {channel: group, hours: sometimes}}", "write always, working, off_hours or hours by day"),
        ("  people: {x: {channel: group, hours: {mon: '25:00-26:00'}}}", "does not run from an earlier to a later"),
        (PEOPLE + "  alerts: [{tell: nobody}]", "person 'nobody' does not exist; known are group"),
        (PEOPLE + "  alerts: [{}]", "this route tells nobody; add tell: or steps:"),
        (PEOPLE + "  alerts: [{department: finance, tell: group}]", "the last route must fit every alert"),
        (PEOPLE + "  alerts: [{tell: group}, {zone: '301', tell: group}]", "fits every alert, so those after it"),
        (PEOPLE + "  alerts: [{zone: '999', tell: group}, {tell: group}]", "zone '999' does not exist; known are"),
        (PEOPLE + "  alerts: [{rule: nap, tell: group}, {tell: group}]", "rule 'nap' does not exist; known are"),
        (PEOPLE + "  alerts: [{severity: bad, tell: group}, {tell: group}]", "'info', 'warning' or 'critical'"),
        (PEOPLE + "  alerts: [{tell: group, repeat: often}]", "is not a duration such as"),
        (PEOPLE + "  alerts: [{steps: [{tell: group, after: later}]}]", "is not a duration such as"),
        (PEOPLE + "  wait: 5", "is not a duration such as"),
        ("  people: {x: {}}", "routes.people.x: the key 'channel' is missing"),
        (PEOPLE + "  digests: [{at: '08:00', tell: group}]", "routes.digests, entry 1: the key 'list' is missing"),
        (PEOPLE + "  digests: [{list: weekly, at: '08:00', tell: group}]", "'last_night' or 'still_on'"),
        (PEOPLE + "  digests: [{list: still_on, at: dawn, tell: group}]", "is no time of day such as 08:30"),
        (PEOPLE + "  page: {url: 'green.example'}", "is no address; write https://host/path"),
        (PEOPLE + "  page: {url: 'https://g.example', listen: everywhere}", "such as 127.0.0.1:8088"),
        (PEOPLE + "  page: {url: 'https://g.example', secret: abc}", "must not stand here in clear"),
        ("  pepole: {}", "routes: unknown key 'pepole'; accepted are people, alerts"),
    ],
)
def test_a_wrong_route_is_refused_at_the_door(text: str, said: str) -> None:
    problems = told(routes(text))
    assert any(said in problem for problem in problems), problems
    assert all(problem.startswith("devices.yaml:") for problem in problems)


def test_all_mistakes_are_told_at_once_each_by_its_line() -> None:
    problems = told(routes("  people:\n    a: {channel: x}\n    b: {channel: y}\n  alerts: [{tell: c}]"))
    assert len(problems) == 3
    assert len({problem.split(":")[1] for problem in problems}) == 3


def test_own_hours_keep_holidays_and_make_up_workdays() -> None:
    site = site_of(SITE + CHANNELS + ROUTES)
    hours = tuple((type(site.site.working_hours[0][0])(start=420, end=1320),) if day < 5 else () for day in range(7))
    table = Timetable(site, hours)
    assert table.open(local("2026-07-01 21:59"), "301")
    assert not table.open(local("2026-07-01 22:00"), "301")
    assert not table.open(local("2026-10-01 12:00"), None)
    assert table.open(local("2026-10-10 12:00"), None)
    assert table.opens(local("2026-07-03 22:00"), None) == local("2026-07-06 07:00")
    assert table.after(local("2026-07-03 21:30"), HOUR, None) == local("2026-07-06 07:30")
    assert Timetable(site, "always").after(5, MINUTE, None) == 5 + MINUTE
    assert Timetable(site, "off_hours").opens(local("2026-07-01 09:00"), None) == local("2026-07-01 12:00")


def test_the_examples_of_the_documentation_are_right() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    channels, shown = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    site = site_of(SITE + channels + shown)
    plan = Plan(site, site.channels)
    assert set(plan.people) >= {"finance", "keeper-3", "duty", "screen", "ticketing"}
    for stage in STAGES:
        name = stage.__name__.replace("_", " ").replace("unseen", "its beginning was never told")
        name = name.replace("hidden", "hidden by its cause").replace("cause sought", "its cause is sought")
        name = name.replace("told already", "already told")
        assert f"| {name}" in text
