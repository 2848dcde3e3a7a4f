"""``greenwarden alerts …`` and ``notify-test``: look at alerts and answer them, beside a program that runs or not.

What is shown is read from ``memory.db``; answers are left there for the running program, which takes them within
seconds, or for the next one that starts.
"""

from __future__ import annotations

import asyncio
import getpass
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from building.clock import SystemClock
from building.durations import parse_duration
from building.errors import ConfigError, DeliveryFailed, InputError, listed
from building.instants import from_iso, to_iso
from building.site import DAY, Site
from collector.storing.keeper import Keeper
from greenwarden import alert_words, terminal
from greenwarden.door import data_folder, open_site
from rules.answers import leave, outcome, proposals
from rules.cases import STANDING, Case
from rules.catalogue import CATALOGUE
from rules.channels import Channel, Message, open_channel, read_channel
from rules.life import Answer, checked
from rules.notifying import read_cases
from rules.routing import Plan
from rules.shadow import TABLE, latest
from rules.wording import money

MEMORY: Final = "memory.db"
_PATIENCE_S: Final = 3.0  # how long a command waits for the running program to take an answer
_CONNECT_S: Final = 5.0
_LOOK_BACK: Final = 60 * DAY


@contextmanager
def _opened(path: Path) -> Any:
    site = open_site(path)
    file = data_folder(path, site) / MEMORY
    if not file.exists():
        raise InputError(f"{file} does not exist; start the program once with: greenwarden run {path}")
    with Keeper(file) as keeper:
        yield site, keeper


def list_alerts(path: Path, *, everything: bool, as_json: bool) -> None:
    """Open alerts, oldest first, and what is pending; with ``everything`` also those that are over."""
    with _opened(path) as (site, keeper):
        alerts = _alerts(keeper, everything=everything)
        pending = _blob(keeper, "alerts pending")
    now = SystemClock().now()
    for alert in alerts:
        alert["standing"] = alert["ended"] is None and now - from_iso(alert["since"]) > STANDING
    if as_json:
        terminal.emit_json({"alerts": alerts, "pending": pending})
        return
    chinese = site.site.language == "zh"
    if not alerts:
        terminal.say("没有未结束的告警" if chinese else "no alert is open")
    else:
        heads = ("编号", "状态", "开始", "告警", "浪费", "处理人") if chinese else _HEADS
        terminal.out.print(terminal.table("", heads, [_row(alert, chinese=chinese) for alert in alerts]))
    for one in pending:
        subject = site.device[one["device"]].title if one["device"] in site.device else one["device"]
        begun, due = one["since"][11:16], one["due"][11:16]
        terminal.say(
            f"即将告警：{one['rule']} {subject}，{begun} 起，{due} 告警"
            if chinese
            else f"pending: {one['rule']} {subject} {begun} → {due}"
        )


_HEADS: Final = ("id", "state", "since", "alert", "waste", "answer")


def _row(alert: Mapping[str, Any], *, chinese: bool) -> list[str]:
    answer, waste = alert["evidence"].get("answer") or {}, alert["waste"]
    state = alert_words.STATES[alert["state"]] if chinese else alert["state"]
    if alert["standing"]:
        state += "（超过 24 小时）" if chinese else " (standing)"
    cost = money(waste["cost"], waste["currency"], "zh" if chinese else "en") if waste["cost"] else ""
    return [alert["id"], state, alert["since"][:16].replace("T", " "), alert["title"], cost, answer.get("by", "")]


def show_alert(path: Path, ident: str, *, as_json: bool) -> None:
    """One alert with its history."""
    with _opened(path) as (site, keeper):
        alert = _find(keeper, ident)
        audit = keeper.records("audit", key=alert["id"])
        receipts = _receipts(site, keeper, alert["id"])
    if as_json:
        terminal.emit_json({"alert": alert, "history": audit, "messages": receipts})
        return
    terminal.say(alert["title"])
    terminal.say(alert["text"])
    if alert["policy"]:
        terminal.say(alert["policy"])
    _say_history(audit, chinese=site.site.language == "zh")
    for receipt in receipts:
        told = receipt.get("receipt") or receipt.get("why", "")
        terminal.say(
            f"{receipt['time']}  {receipt['person']} ({receipt['channel']}): {receipt['state']} {told}".rstrip()
        )


def history(path: Path, *, days: float, as_json: bool) -> None:
    """Every change of every alert, with time and person, of the last ``days``."""
    with _opened(path) as (site, keeper):
        audit = keeper.records("audit", since=SystemClock().now() - round(days * 86_400_000))
    if as_json:
        terminal.emit_json({"history": audit})
        return
    if not audit:
        zh = site.site.language == "zh"
        terminal.say(f"{days:g} 天内告警没有变化" if zh else f"no alert has changed in {days:g} days")
    _say_history(audit, chinese=site.site.language == "zh")


def show_shadow(path: Path, *, days: float, as_json: bool) -> None:
    """What rules on trial would have said in the last ``days``, oldest first."""
    with _opened(path) as (site, keeper):
        alerts = latest(keeper.records(TABLE, since=SystemClock().now() - round(days * DAY)))
    if as_json:
        terminal.emit_json({"shadow": alerts})
        return
    if not alerts:
        terminal.say("试运行的规则没有说什么" if site.site.language == "zh" else "the rules on trial said nothing")
        return
    rows = [
        (alert["rule"], alert["raised"][:16].replace("T", " "), (alert["ended"] or "")[:16].replace("T", " "),
         alert["title"])
        for alert in alerts
    ]  # fmt: skip
    heads = ("规则", "告警", "结束", "内容") if site.site.language == "zh" else ("rule", "raised", "ended", "alert")
    terminal.out.print(terminal.table("", heads, rows))


def _say_history(audit: Iterable[Mapping[str, Any]], *, chinese: bool) -> None:
    words: tuple[Mapping[str, str], ...] = ({}, {}, {})
    states, answers, people = (alert_words.STATES, alert_words.ANSWERS, alert_words.WHO) if chinese else words
    for step in audit:
        change = str(step.get("action"))
        if chinese:
            change = alert_words.ACTIONS.get(change, change)
        if "to" in step:
            change = f"{states.get(step['from'], step['from'])} → {states.get(step['to'], step['to'])}"
        subject = step.get("device") or step.get("zone") or ""
        reason = str(step.get("reason") or "")
        said = [answers.get(reason, reason), step.get("why"), _shown(step.get("until"))]
        who = people.get(step["who"], step["who"])
        about = " ".join(filter(None, (step.get("rule"), subject)))
        line = f"{_shown(step['at'])}  {about}  {change}  {who}"
        terminal.say(" ".join(str(part) for part in [line, *said] if part))


def explain(path: Path, ident: str, *, as_json: bool) -> None:
    """For each person: what was sent or held back, the stage that decided and why, and when it is looked at again."""
    with _opened(path) as (site, keeper):
        cases = read_cases(keeper)
        case = cases.get(ident) or next((one for name, one in cases.items() if name.startswith(ident)), None)
        if case is None:
            raise InputError(f"no alert {ident!r} is known here; decisions are kept for a week after an alert is over")
        receipts = _receipts(site, keeper, case.id)
    rows: list[dict[str, Any]] = [
        {"at": to_iso(one.at, site.site.tz), "person": one.person, "stage": one.stage, "reason": one.reason,
         "until": None if one.until is None else to_iso(one.until, site.site.tz)}
        for one in case.decisions
    ]  # fmt: skip
    if as_json:
        terminal.emit_json({"alert": case.id, "decisions": rows, "messages": receipts, "next": _next(case, site)})
        return
    terminal.say(str(case.alert["title"]))
    heads = (
        ("时间", "对象", "环节", "原因", "再看")
        if site.site.language == "zh"
        else ("at", "who", "stage", "why", "next")
    )
    chinese = site.site.language == "zh"
    cells = [
        (
            row["at"][5:16].replace("T", " "),
            row["person"],
            alert_words.STAGES.get(row["stage"], row["stage"]) if chinese else row["stage"],
            alert_words.reason(row["reason"]) if chinese else row["reason"],
            (row["until"] or "")[5:16].replace("T", " "),
        )
        for row in rows
    ]
    terminal.out.print(terminal.table("", heads, cells))
    for receipt in receipts:
        terminal.say(f"{receipt['time']}  {receipt['person']}: {receipt['state']} {receipt.get('why', '')}".rstrip())


def _next(case: Case, site: Site) -> str | None:
    """When the next message about the case is due, as far as is known now."""
    latest = {one.person: one.until for one in case.decisions}
    moments = [until for until in latest.values() if until is not None]
    return to_iso(min(moments), site.site.tz) if moments and case.ended is None else None


def answer(
    path: Path,
    action: str,
    ident: str | None,
    *,
    by: str | None,
    reason: str = "",
    why: str = "",
    lasts: str | None = None,
    fitting: Mapping[str, str] | None = None,
) -> None:
    """Acknowledge, silence or release; raises InputError when it makes no sense or is refused."""
    now = SystemClock().now()
    with _opened(path) as (site, keeper):
        if action == "silence":
            _known(site, fitting or {})
        full = None if ident is None else _find(keeper, ident)["id"]
        until = None if lasts is None else now + _span(lasts)
        given = Answer(
            action, by or getpass.getuser(), full, reason, why, until,
            ident=secrets.token_hex(8), **(fitting or {}),
        )  # fmt: skip
        leave(keeper, checked(given, now), now)
        refused = _wait(keeper, given.ident)
    chinese = site.site.language == "zh"
    if refused:
        raise InputError(refused)
    if refused is None:
        terminal.say("已留言，程序运行时生效" if chinese else "kept; it is taken up when greenwarden runs")
        return
    terminal.say("已记录" if chinese else "noted")


def _known(site: Site, fitting: Mapping[str, str]) -> None:
    """Raises ConfigError for a place or rule that the site does not have: its silence would hush nothing."""
    there: dict[str, Iterable[str]] = {
        "rule": {**CATALOGUE, **site.rules}, "zone": site.zone, "device": site.device, "department": site.department,
    }  # fmt: skip
    for what, name in fitting.items():
        if name not in there[what]:
            raise ConfigError(f"there is no {what} {name!r}; known are {listed(sorted(there[what])) or 'none'}")


def _wait(keeper: Keeper, ident: str) -> str | None:
    """What the running program made of an answer; None when it did not look."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := outcome(keeper, ident)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _span(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(f"--for: {error}") from None


def propose(path: Path, *, as_json: bool) -> None:
    """Parameter changes that "false alarm" answers speak for; a person confirms one by writing it into the file."""
    with _opened(path) as (site, keeper):
        now = SystemClock().now()
        found = proposals(site, keeper.records("audit", since=now - 31 * DAY), now)
    if as_json:
        terminal.emit_json({"proposals": [one._asdict() for one in found]})
        return
    chinese = site.site.language == "zh"
    if not found:
        terminal.say(
            "没有建议：30 天内没有哪个区域的误报达到 3 次"
            if chinese
            else "nothing to propose: no zone has 3 false alarms in 30 days"
        )
    for one in found:
        what = f"{one.parameter}: {one.shown(one.now)} → {one.shown(one.proposed)}"
        if chinese:
            terminal.say(f"{one.rule}，区域 {one.zone}：30 天内误报 {one.false_alarms} 次，建议调整 {what}。")
            terminal.say(f"如同意，请写入 {path} 的 rules: 之下：")
        else:
            terminal.say(f"{one.rule} in zone {one.zone}: {one.false_alarms} false alarms in 30 days; proposed {what}.")
            terminal.say(f"To confirm, write under rules: of {path}:")
        terminal.say(f"  {one.yaml()}")


async def try_channel(path: Path, name: str, *, as_json: bool) -> None:
    """Send one message through a channel, now; raises DeliveryFailed's sentence, or ConfigError for no such channel."""
    site = open_site(path)
    if name not in site.channels:
        known = ", ".join(site.channels) or "none"
        raise ConfigError(f"channel {name!r} does not exist in {path}; there are: {known}")
    channel = open_channel(name, read_channel(site.channels[name]))
    message = _test_message(site, name)
    async with AsyncExitStack() as stack:
        if isinstance(channel, AbstractAsyncContextManager):
            await stack.enter_async_context(channel)
        receipt = await _send(channel, message)
    if as_json:
        terminal.emit_json({"channel": name, "delivered": True, "receipt": receipt})
        return
    terminal.say(f"{name}: {receipt}")


async def _send(channel: Channel, message: Message) -> str:
    """Tries for a few seconds: a connection may just be opening."""
    deadline = time.monotonic() + _CONNECT_S
    while True:
        try:
            return await channel.send(message) or "ok"
        except DeliveryFailed as error:
            if not error.retry or not isinstance(channel, AbstractAsyncContextManager) or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


def _test_message(site: Site, name: str) -> Message:
    person = next((one for one in Plan(site, [name]).people.values() if one.channel == name), None)
    language = site.site.language if person is None else person.language
    now = to_iso(SystemClock().now(), site.site.tz)[:19].replace("T", " ")
    if language == "zh":
        title, text = "绿哨通道测试", f"这是 {site.site.name} 发出的测试消息（{now}），无需处理。"
    else:
        title, text = "Greenwarden channel test", f"A test message of {site.site.name} ({now}); there is nothing to do."
    mention = () if person is None else person.mention
    return Message(
        f"test:{secrets.token_hex(6)}", title, text, {"test": True, "site": site.site.name, "title": title},
        mention=mention, to=() if person is None else person.to, language=language,
    )  # fmt: skip


# -- reading ----------------------------------------------------------------------------------------------------------


def _blob(keeper: Keeper, name: str) -> list[dict[str, Any]]:
    blob = keeper.load(name)
    return [] if blob is None else msgspec.json.decode(blob, type=list[dict[str, Any]])


def _alerts(keeper: Keeper, *, everything: bool) -> list[dict[str, Any]]:
    """Open alerts with their waste as last saved; causes, which only messages know, too."""
    alerts = {alert["id"]: alert for alert in _blob(keeper, "alerts open")}
    for case in read_cases(keeper).values():
        cause = case.alert["rule"] in ("link_down", "site_down")
        if (everything or case.ended is None) and (cause or everything):
            alerts.setdefault(case.id, case.alert)
    if everything:
        for alert in keeper.records("alerts"):
            if alert["ended"] is not None or alert["id"] not in alerts:
                alerts[alert["id"]] = alert
    return sorted(alerts.values(), key=lambda alert: (from_iso(alert["raised"]), alert["id"]))


def _find(keeper: Keeper, ident: str) -> dict[str, Any]:
    """The alert whose id is, or begins with, ``ident``."""
    found = [alert for alert in _alerts(keeper, everything=True) if alert["id"].startswith(ident)] if ident else []
    if len(found) != 1:
        what = "several alerts begin so" if found else "no alert has this id"
        raise InputError(f"{ident!r}: {what}; see greenwarden alerts list")
    return found[0]


def _receipts(site: Site, keeper: Keeper, ident: str) -> list[dict[str, Any]]:
    """What became of the messages about an alert, in the last weeks."""
    since = SystemClock().now() - _LOOK_BACK
    found = [record for record in keeper.records("receipts", since=since) if ident in record["alerts"]]
    for record in found:
        record["time"] = _shown(to_iso(record["at"], site.site.tz))
    return found


def _shown(moment: str | None) -> str:
    """An ISO instant as people read it."""
    return "" if moment is None else moment[:19].replace("T", " ")
