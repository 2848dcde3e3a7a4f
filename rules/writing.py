"""From a letter to a message: the words, in Chinese or English, from the alerts' JSON alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from building.calendar import WorkCalendar, missing_holidays
from building.instants import from_iso, to_iso
from building.site import Site
from rules import messages
from rules.cases import STANDING, Case, Letter
from rules.catalogue import CATALOGUE, Rule, rule_of
from rules.catalogue.own import own_rules
from rules.channels.message import Entry, Link, Message
from rules.routing import Person
from rules.topology import CAUSES, words
from rules.wording import LEAST, lost, moment, money, span, stretch

Links = Callable[[Mapping[str, Any], Person], tuple[Link, ...]]
"""Links that a message about an alert carries for a person."""

_MOST_ENTRIES: Final = 30
_MOST_NAMED: Final = 5

_SAID: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {
        "resolved": "【已结束】{title}", "reminder": "【仍未处理】{title}", "standing": "【超过 24 小时】{title}",
        "chattering": "【反复出现】{title}", "acknowledged": "【已确认】{title}", "silenced": "【已暂停提醒】{title}",
        "since": "{start} 起，已持续{lasted}。", "ended": "{stretch}，共{lasted}。",
        "raises": "短时间内反复出现 {count} 次，平稳之前不再逐次通知。请检查传感器或设备。",
        "pace": "每小时约 {cost}。", "advice": "建议：{words}",
        "policy": "依据：{words}", "many": "{place}：{count} 条告警", "many_over": "{place}：{count} 条告警已结束",
        "building": "全楼",
        "last": "今天给您的普通提醒到此为止（每人每天最多 {limit} 条，余下的留给紧急告警和清单），未发的明天补报。",
        "more": "另有 {count} 条此前因达到每日上限未单独发送，现已结束：{names}", "and_more": "…… 另有 {count} 条",
        "last_night": "昨夜告警清单：{count} 条", "still_on": "下班后仍未关闭：{count} 处",
        "canary": "绿哨每周通道测试", "canary_text": "收到这条消息说明通知通道正常，无需处理。",
        "saved": "因及时结束，预计少浪费 {cost}。",
        "holidays": "{year} 年节假日尚未收录",
    },
    "en": {
        "resolved": "Over: {title}", "reminder": "Still on: {title}", "standing": "On for over 24 h: {title}",
        "chattering": "Again and again: {title}", "acknowledged": "Acknowledged: {title}",
        "silenced": "Silenced: {title}",
        "since": "Since {start}, for {lasted}.", "ended": "{stretch}, {lasted} in all.",
        "raises": "Raised {count} times within minutes; not told again until it is calm. Check the sensor or device.",
        "pace": "About {cost} an hour.", "advice": "{words}",
        "policy": "Rule: {words}", "many": "{place}: {count} alerts", "many_over": "{place}: {count} alerts are over",
        "building": "Building",
        "last": "Today's last ordinary message to you (at most {limit} a day, some of them kept for urgent alerts and "
        "lists); what is not told today is told tomorrow.",
        "more": "And {count} more that the day's limit held back and that are over: {names}",
        "and_more": "… and {count} more",
        "last_night": "Alerts of last night: {count}", "still_on": "Still on after work: {count}",
        "canary": "Greenwarden's weekly test of this channel", "canary_text": "It works; there is nothing to do.",
        "saved": "Ended in time; about {cost} not wasted.",
        "holidays": "The holidays of {year} are not known",
    },
}  # fmt: skip


class Writer:
    """Writes the messages of one site. ``links`` gives the links for an alert and a person."""

    def __init__(self, site: Site, links: Links | None = None) -> None:
        self._site = site
        self.links: Links = links or (lambda alert, person: ())

    def write(self, letter: Letter, cases: Mapping[str, Case], person: Person) -> Message:
        """The message for ``person``. Cases that are gone by now are left out."""
        said, now = _SAID[person.language], letter.at
        found = [(cases[ident], wish) for ident, wish in letter.wishes.items() if ident in cases]
        if person.each and len(found) == 1 and letter.kind == "alerts":
            return self._alone(letter, found[0][0], found[0][1], person)
        entries = [self._entry(case, wish, person, now) for case, wish in found[:_MOST_ENTRIES]]
        entries += [self._still(on, person) for on in letter.still[: _MOST_ENTRIES - len(entries)]]
        total = len(found) + len(letter.still)
        if total > len(entries):
            entries.append(Entry(said["and_more"].format(count=total - len(entries))))
        footer = self._footer(letter, cases, person)
        title = self._title(letter, found, entries, person)
        text = "\n".join(line for entry in entries for line in (entry.title, *entry.lines) if line)
        alerts = tuple(case.alert for case, _ in found)
        if letter.kind == "canary":
            text, entries = said["canary_text"], []
        if letter.kind == "holidays":
            text, entries = missing_holidays(self._missing_year(now), person.language), []
        return Message(
            letter.ident, title, text, alerts[0] if alerts else {}, tuple(entries), footer, alerts,
            person.mention, person.to, person.language,
        )  # fmt: skip

    def _alone(self, letter: Letter, case: Case, wish: str, person: Person) -> Message:
        """One change for somebody who wants each: the alert's own words, and its JSON."""
        alert = case.alert
        entry = self._entry(case, wish, person, letter.at)
        title, text = str(alert["title"]), str(alert["text"])
        if wish == "chattering" or person.language != self._site.site.language:
            title, text = entry.title, " ".join(entry.lines)
        return Message(
            letter.ident, title, text, alert, (entry,), (), (alert,), person.mention, person.to, person.language
        )

    def _title(
        self, letter: Letter, found: Sequence[tuple[Case, str]], entries: Sequence[Entry], person: Person
    ) -> str:
        said = _SAID[person.language]
        if letter.kind == "canary":
            return said["canary"]
        if letter.kind == "holidays":
            return said["holidays"].format(year=self._missing_year(letter.at))
        if letter.kind != "alerts":
            return said[letter.kind].format(count=len(found) + len(letter.still))
        if len(found) == 1:
            return entries[0].title
        department = self._site.department.get(letter.department or "")
        place = (department.name or department.id) if department is not None else said["building"]
        over = all(wish == "resolved" for _, wish in found)
        return said["many_over" if over else "many"].format(place=place, count=len(found))

    def _missing_year(self, now: int) -> int:
        """The letter was made because there is one; next year, should the site have learned it since."""
        calendar = WorkCalendar(self._site)
        return calendar.missing_year(now) or calendar.local_date(now).year + 1

    def _footer(self, letter: Letter, cases: Mapping[str, Case], person: Person) -> tuple[str, ...]:
        said = _SAID[person.language]
        lines = []
        if letter.more:
            names = [self.title(cases[ident].alert, person.language) for ident in letter.more if ident in cases]
            named = ("；" if person.language == "zh" else "; ").join(names[:_MOST_NAMED])
            if len(names) > _MOST_NAMED:
                named += " " + said["and_more"].format(count=len(names) - _MOST_NAMED)
            lines.append(said["more"].format(count=len(letter.more), names=named))
        if letter.last_today:
            lines.append(said["last"].format(limit=person.at_most))
        return tuple(lines)

    def _entry(self, case: Case, wish: str, person: Person, now: int) -> Entry:
        title, lines = self.told(case, wish, person.language, now)
        return Entry(title, lines, self.links(case.alert, person))

    def shown(self, alert: Mapping[str, Any], language: str, now: int) -> tuple[str, tuple[str, ...]]:
        """Title and lines of an alert by itself, whoever was told of it."""
        ended = None if alert["ended"] is None else from_iso(alert["ended"])
        return self.told(Case(dict(alert), from_iso(alert["raised"]), ended), "", language, now)

    def told(self, case: Case, wish: str, language: str, now: int) -> tuple[str, tuple[str, ...]]:
        """What is said of one alert: its title, and the lines below it."""
        alert, said = case.alert, _SAID[language]
        # An alert may be raised for what has lasted a day; it is standing once people have had their time.
        standing = case.ended is None and now - (case.since if wish == "reminder" else case.raised) > STANDING
        kind = "standing" if standing and wish in ("firing", "reminder") else wish
        title = self.title(alert, language)
        lines = [self._when(case, language, now)]
        if wish == "chattering":
            lines.append(said["raises"].format(count=max(3, _raises(alert))))
        elif alert["rule"] in CAUSES:
            lines.append(words(alert, language).text)
        else:
            lines += self._explained(case, language, now)
        return said[kind].format(title=title) if kind in said else title, tuple(line for line in lines if line)

    def _explained(self, case: Case, language: str, now: int) -> list[str]:
        """Values, cost, advice and clause of an ordinary alert."""
        alert, said, rule = case.alert, _SAID[language], self._rule(case.alert)
        if rule is None:  # of an alert from before the site lost the rule
            return [str(alert["text"])]
        waste = self._waste(case, rule, language, now)
        saved = alert["evidence"].get("saved")
        if case.ended is not None:
            if saved and saved.get("cost"):
                shown = money(saved["cost"], alert["waste"]["currency"], language)
                return [waste, said["saved"].format(cost=shown)]
            return [waste]
        detail = None if rule.detail is None else rule.detail(alert["evidence"])
        advice, clause = rule.advice.of(language), rule.clause.of(language)
        return [
            "" if detail is None else detail.of(language),
            waste,
            said["advice"].format(words=advice) if advice else "",
            said["policy"].format(words=clause) if clause else "",
        ]

    def _rule(self, alert: Mapping[str, Any]) -> Rule | None:
        name = str(alert["rule"])
        return rule_of(self._site, name) if name in CATALOGUE or name in own_rules(self._site) else None

    def title(self, alert: Mapping[str, Any], language: str) -> str:
        """The alert's title in ``language``."""
        if alert["rule"] in CAUSES:
            return words(alert, language).title
        rule = self._rule(alert)
        if language == self._site.site.language or rule is None:
            return str(alert["title"])
        return messages.title_in(self._site, rule, alert["device"] or alert["department"], alert["zone"], language)

    def _when(self, case: Case, language: str, now: int) -> str:
        until = now if case.ended is None else case.ended
        lasted = span(until - case.since, language)
        said, tz = _SAID[language], self._site.site.tz
        if case.ended is None:
            return said["since"].format(start=moment(case.since, tz, language), lasted=lasted)
        return said["ended"].format(
            stretch=stretch(to_iso(case.since, tz), to_iso(case.ended, tz), language), lasted=lasted
        )

    def _waste(self, case: Case, rule: Rule, language: str, now: int) -> str:
        waste = case.alert["waste"]
        estimated = bool(case.alert["evidence"].get("estimated"))
        text = lost(waste, rule.lost.of(language), language, over=case.ended is not None, estimated=estimated)
        hours = (now - case.since) / 3_600_000
        an_hour = waste["cost"] / hours if waste["cost"] and hours > 0 else 0.0
        if text and case.ended is None and an_hour >= LEAST and rule.steady:
            pace = _SAID[language]["pace"].format(cost=money(an_hour, waste["currency"], language))
            text += pace if language == "zh" else f" {pace}"
        return text

    def _still(self, on: Mapping[str, Any], person: Person) -> Entry:
        device, zone = self._site.device[on["device"]], self._site.zone.get(on["zone"] or "")
        place = zone.title if zone is not None else self._site.site.name
        department = self._site.department.get(on["department"] or "")
        owner = f"{department.name or department.id} · " if department is not None else ""
        value = f"{on['value']:.0f} W" if on["quantity"] == "active_power" else ""
        return Entry(f"{owner}{place} · {device.title} {value}".rstrip())


def _raises(alert: Mapping[str, Any]) -> int:
    return int(alert["evidence"].get("raises") or 0)
