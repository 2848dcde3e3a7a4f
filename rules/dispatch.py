"""Who is told what, when: alerts as they change go in, letters to people come out; pure, with time as an argument.

``take`` hears of a change; ``step`` looks at every open case and every person of its route, puts each pair through the
stages (rules/stages.py), gathers what passes into letters, and notes for what was held back the stage, the reason and
when it will be looked at again. Looking is by the state of things, not by events: after a restart the same look gives
the same answer, so nothing is lost and nothing told twice. What was told is in the ``Case``; keep it with the letters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from building.instants import from_iso, to_iso
from building.site import DAY, MINUTE, Site
from rules.cases import STANDING, Book, Case, Chatter, Day, Decision, Group, Letter, Told
from rules.routing import Person, Plan, Route, Step
from rules.stages import STAGES, Held, Look
from rules.topology import CAUSES, SILENT, Heard, Topology, cause_alert, words

_KEEP: Final = 7 * DAY  # how long a case that is over can be explained
_MOST_OVER: Final = 2_000  # cases that are over, each about 5 kB: a line that comes and goes makes hundreds an hour
_MOST_DECISIONS: Final = 100  # per case
_CHATTER_RAISES: Final = 3
_CHATTER_WITHIN: Final = 10 * MINUTE
_SETTLE: Final = 5 * MINUTE  # after a cause is over, before what is still silent behind it is told by itself
_SOUGHT_LONGEST: Final = 5 * MINUTE


class Dispatcher:
    """The cases of one site. ``changed`` holds ids of cases to be saved; the caller empties it."""

    def __init__(self, plan: Plan, *, heard: Heard | None = None, book: Book | None = None) -> None:
        self.plan = plan
        self.site: Site = plan.site
        self.topology = Topology(plan.site, heard)
        self.book = book or Book()
        self.cases: dict[str, Case] = {}
        self.changed: set[str] = set()
        self.due: int | None = None
        """When ``step`` has something to do next; None: only when something changes."""
        self.causes: dict[str | None, str] = {}  # link (None: the site) -> id of its open case
        self._routes: dict[str, Route] = {}
        self._newest_silent = 0

    def restore(self, cases: Iterable[Case]) -> None:
        """Cases as they were saved."""
        for case in cases:
            self.cases[case.id] = case
            if case.alert["rule"] in CAUSES and case.ended is None:
                self.causes[case.alert["device"]] = case.id

    # -- what happened ------------------------------------------------------------------------------------------------

    def take(self, alert: Mapping[str, Any], now: int) -> list[Letter]:
        """A changed alert; letters for those who want every change by itself. Twice the same is no change."""
        case = self.cases.get(alert["id"])
        if case is None:
            case = Case(dict(alert), from_iso(alert["raised"]))
            self.cases[case.id] = case
            self._raised(case)
        elif case.ended is not None:
            return []  # what is over stays over
        if case.alert["rule"] == SILENT:
            self._newest_silent = max(self._newest_silent, case.raised)
        case.alert = dict(alert)
        case.ended = None if alert["ended"] is None else from_iso(alert["ended"])
        self.changed.add(case.id)
        self.due = now
        letters = []
        for step in self._steps(case):
            if step.person.each:
                letters += self._look_alone(case, step, now)
        return letters

    def _raised(self, case: Case) -> None:
        if case.alert["rule"] in CAUSES or case.alert["state"] == "resolved":
            return
        raises = [at for at in self.book.raises.get(case.key, []) if case.raised - at < _CHATTER_WITHIN]
        raises = self.book.raises[case.key] = [*raises, case.raised][-50:]
        known = self.book.chatter.get(case.key)
        if known is not None:
            known.last, known.raises, known.case = case.raised, known.raises + 1, case.id
        elif len(raises) >= _CHATTER_RAISES:
            self.book.chatter[case.key] = Chatter(raises[0], case.raised, len(raises), case.id)

    # -- looking ------------------------------------------------------------------------------------------------------

    def step(self, now: int) -> list[Letter]:
        """Letters due now; sets ``due``."""
        self.due = None
        self._calm(now)
        letters = self._find_causes(now)
        gathered: dict[tuple[str, str], list[Look]] = {}
        for case in list(self.cases.values()):
            if case.ended is not None and now - case.ended > _KEEP:
                self._forget(case)
                continue
            for step in self._steps(case):
                if step.person.each:
                    letters += self._look_alone(case, step, now)
                    continue
                look = self._look(case, step, now)
                if look is not None:
                    gathered.setdefault((step.person.name, str(case.alert.get("department") or "")), []).append(look)
        for key, group in self.book.groups.items():
            if tuple(key.split("\0", 1)) not in gathered:
                group.since = None
        for (_, department), looks in gathered.items():
            for part in ([look for look in looks if look.urgent], [look for look in looks if not look.urgent]):
                letter = self._letter(part, department, now) if part else None
                if letter is not None:
                    letters.append(letter)
        if len(self.cases) > _MOST_OVER:
            self._forget_oldest()
        return letters

    def route_of(self, case: Case) -> Route:
        """The route that decides about ``case``."""
        route = self._routes.get(case.id)
        if route is None:
            route = self._routes[case.id] = self.plan.route(case.alert, case.raised)
        return route

    def _steps(self, case: Case) -> tuple[Step, ...]:
        return self.route_of(case).steps

    def _look(self, case: Case, step: Step, now: int) -> Look | None:
        """The case as this person should be told of it now; None when there is nothing or a stage holds it."""
        told = case.told.get(step.person.name)
        wish = _wish(case, step.person, told)
        if wish is None:
            return None
        look = Look(self, case, step, self.route_of(case), told, wish, now)
        for stage in STAGES:
            held = stage(look)
            if held is not None:
                self._note(case, step.person, held, now)
                return None
        return look

    def _look_alone(self, case: Case, step: Step, now: int) -> list[Letter]:
        look = self._look(case, step, now)
        if look is None:
            return []
        before = sum(one.person == step.person.name and one.reason.startswith(look.wish) for one in case.decisions)
        ident = f"{case.id}:{look.wish}" + (f":{before + 1}" if before else "")
        letter = Letter(ident, step.person.name, now, {case.id: look.wish}, department=case.alert.get("department"))
        self._sent([look], letter)
        return [letter]

    def _letter(self, looks: list[Look], department: str, now: int) -> Letter | None:
        """One letter of all that passed for one person and department, unless it has to wait."""
        person, urgent = looks[0].step.person, looks[0].urgent
        group = self.book.groups.setdefault(f"{person.name}\0{department}", Group())
        day, limit = self._day(person, now), self._budget(person, urgent=urgent)
        held = None
        if not urgent:
            group.since = now if group.since is None else group.since
            ready = max(group.since + self.plan.page.wait, (group.sent or 0) + self.plan.page.interval)
            if now < ready:
                held = Held("grouping", "gathering what else comes for the department", ready)
        if held is None and limit is not None and day.sent >= limit:
            held = Held("daily limit", f"{day.sent} messages today, the limit is {person.at_most}", self._tomorrow(now))
            self.hold_over(person, [look.case.id for look in looks], now)
        if held is not None:
            for look in looks:
                self._note(look.case, person, held, now)
            return None
        wishes = {look.case.id: look.wish for look in looks}
        letter = Letter(self.next_ident(now), person.name, now, wishes, department=department or None)
        self.count(letter, person, now)
        if not urgent:
            group.since, group.sent = None, now
        self._sent(looks, letter)
        return letter

    def next_ident(self, now: int) -> str:
        """The name of the next letter, which no other site and no earlier book has given to one of theirs."""
        self.book.number += 1
        mark = hashlib.sha256(f"{self.site.site.name}\0{self.book.number}\0{now}".encode()).hexdigest()[:8]
        return f"m{self.book.number}-{mark}"

    def count(self, letter: Letter, person: Person, now: int) -> None:
        """Book ``letter`` to the person's day, and let it carry what the day before held back."""
        day = self._day(person, now)
        day.sent += 1
        ordinary = self._budget(person, urgent=False)
        letter.last_today = ordinary is not None and day.sent >= ordinary
        letter.more = [ident for ident in day.carried if self._over(ident)]
        day.carried = []

    def may_send(self, person: Person, now: int) -> bool:
        """Whether the person's day has room for a list (which may use what is reserved)."""
        limit = self._budget(person, urgent=True)
        return limit is None or self._day(person, now).sent < limit

    def hold_over(self, person: Person, cases: Iterable[str], now: int) -> None:
        """Remember cases that the day's limit held back, so that the next day's first message names them."""
        day = self._day(person, now)
        day.over += [ident for ident in cases if ident not in day.over]

    def _over(self, ident: str) -> bool:
        case = self.cases.get(ident)
        return case is not None and case.ended is not None

    def _sent(self, looks: Iterable[Look], letter: Letter) -> None:
        for look in looks:
            person, case = look.step.person, look.case
            times = 1 if look.told is None else look.told.times + 1
            state = "closed" if look.wish in ("resolved", "chattering") else look.wish
            case.told[person.name] = Told("firing" if state == "reminder" else state, look.now, times)
            if look.wish == "chattering":
                chatter = self.book.chatter[case.key]
                chatter.told.append(person.name)
                case.alert["evidence"] = case.alert["evidence"] | {"raises": chatter.raises}
            self._note(case, person, Held("sent", f"{look.wish}, message {letter.ident}", None), look.now)
            if not person.each and look.wish in ("firing", "reminder") and look.repeat is not None:
                due = look.now + look.repeat
                self._note(case, person, Held("already told", "the reminder is not due yet", due), look.now)

    def _note(self, case: Case, person: Person, held: Held, now: int) -> None:
        """Keep the decision, when it differs from the last about this person; wake when it may change."""
        if held.until is not None:
            self.wake(held.until)
        last = next((one for one in reversed(case.decisions) if one.person == person.name), None)
        if last is not None and (last.stage, last.reason) == (held.stage, held.reason) and held.stage != "sent":
            if last.until != held.until:
                last.until = held.until
                self.changed.add(case.id)
            return
        case.decisions.append(Decision(person.name, now, held.stage, held.reason, held.until))
        if len(case.decisions) > _MOST_DECISIONS:
            del case.decisions[1]  # the first says how it began
        self.changed.add(case.id)

    def wake(self, moment: int) -> None:
        """Look again at ``moment``."""
        self.due = moment if self.due is None else min(self.due, moment)

    # -- days ---------------------------------------------------------------------------------------------------------

    def _day(self, person: Person, now: int) -> Day:
        today = to_iso(now, self.site.site.tz)[:10]
        day = self.book.days.setdefault(person.name, Day())
        if day.date < today:  # a clock set back does not give a second day's worth
            carried = [*day.carried, *day.over]
            day = self.book.days[person.name] = Day(today, carried=carried)
        return day

    def _budget(self, person: Person, *, urgent: bool) -> int | None:
        if person.at_most is None or urgent:
            return person.at_most
        return person.at_most - min(self.plan.page.reserve, person.at_most // 4)

    def _tomorrow(self, now: int) -> int:
        local = datetime.fromtimestamp(now / 1000, self.site.site.tz)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) + timedelta(days=1)
        return int(midnight.timestamp() * 1000)

    # -- chattering ---------------------------------------------------------------------------------------------------

    def _calm(self, now: int) -> None:
        for key, chatter in list(self.book.chatter.items()):
            if now - chatter.last < _CHATTER_WITHIN:
                self.wake(chatter.last + _CHATTER_WITHIN)
                continue
            del self.book.chatter[key]
            self.book.raises.pop(key, None)
            for case in self.cases.values():
                if case.key == key and case.ended is None:  # calm, but still on: now it is an alert like any other
                    case.told = {name: told for name, told in case.told.items() if told.state != "closed"}
                    self.changed.add(case.id)
        for key, raises in list(self.book.raises.items()):
            if now - raises[-1] > _CHATTER_WITHIN and key not in self.book.chatter:
                del self.book.raises[key]

    # -- causes -------------------------------------------------------------------------------------------------------

    def silent_cases(self) -> list[Case]:
        """Open alerts of silent devices."""
        return [case for case in self.cases.values() if case.alert["rule"] == SILENT and case.ended is None]

    def sought_until(self, case: Case) -> int:
        """Until when a silent device's alert waits for its cause: others may fall silent, or it has just come back."""
        until = min(case.raised + _SOUGHT_LONGEST, max(case.raised, self._newest_silent) + self.plan.page.wait)
        return max(until, self._settled(self.topology.link_of(case.alert["device"])))

    def _settled(self, link: str | None) -> int:
        """When what comes back after a cause was over has had its time to come back."""
        return max(self.book.up_again.get(name, -_SETTLE) + _SETTLE for name in (link or "", ""))

    def hidden_by(self, case: Case) -> Case | None:
        """The open cause that a silent device stands behind."""
        if case.alert["rule"] != SILENT or not self.causes:
            return None
        ident = self.causes.get(None) or self.causes.get(self.topology.link_of(case.alert["device"]) or "")
        return None if ident is None else self.cases[ident]

    def _find_causes(self, now: int) -> list[Letter]:
        silent = self.silent_cases()
        self._newest_silent = max((case.raised for case in silent), default=0)
        if not silent and not self.causes:
            return []
        self.wake(now + MINUTE)
        letters: list[Letter] = []
        found = self.topology.down([case.alert["device"] for case in silent], now, self.causes)
        standing = {down.link for down in found}
        for link in [link for link in self.causes if link not in standing and None not in standing]:
            letters += self._cause_over(link, now)
        for down in found:
            if down.link in self.causes:
                self._count_behind(self.causes[down.link], down.silent)
                continue
            behind = [case for case in silent if down.link in (None, self.topology.link_of(case.alert["device"]))]
            ripe = min(case.raised for case in behind) + _SOUGHT_LONGEST if behind else now
            ripe = max(min(ripe, self._newest_silent + self.plan.page.wait), self._settled(down.link))
            if now < ripe:
                self.wake(ripe)
                continue
            since = min((from_iso(case.alert["since"]) for case in behind), default=now)
            if down.link is None:
                letters += self._absorb(now)
            letters += self._cause_begins(cause_alert(self.site, down, since, now), now)
        return letters

    def _cause_begins(self, alert: dict[str, Any], now: int) -> list[Letter]:
        if alert["id"] in self.cases:
            return []
        self.causes[alert["device"]] = alert["id"]
        return self.take(alert, now)

    def _absorb(self, now: int) -> list[Letter]:
        """The whole site is down: links that were told as down are part of it, and are not told as up again."""
        letters: list[Letter] = []
        for link in list(self.causes):
            case = self.cases[self.causes[link]]
            letters += self._cause_over(link, now)
            for step in self._steps(case):
                if not step.person.each:
                    case.told[step.person.name] = Told("closed", now)
        self.book.up_again.clear()
        return letters

    def _count_behind(self, ident: str, silent: int) -> None:
        evidence = self.cases[ident].alert["evidence"]
        if silent > evidence["silent"]:
            evidence["silent"] = silent
            self.cases[ident].alert |= words(self.cases[ident].alert, self.site.site.language)._asdict()
            self.changed.add(ident)

    def _cause_over(self, link: str | None, now: int) -> list[Letter]:
        case = self.cases[self.causes.pop(link)]
        self.book.up_again[link or ""] = now
        alert = case.alert | {"state": "resolved", "ended": to_iso(now, self.site.site.tz)}
        return self.take(alert | words(alert, self.site.site.language)._asdict(), now)

    # -- forgetting ---------------------------------------------------------------------------------------------------

    def _forget_oldest(self) -> None:
        """Beyond a number, cases that are over go before their week, unless somebody is still to be told of them."""
        over = [case for case in self.cases.values() if case.ended is not None and not self._waits(case)]
        over.sort(key=lambda case: case.ended or 0)
        for case in over[: max(0, len(over) - _MOST_OVER)]:
            self._forget(case)

    def _waits(self, case: Case) -> bool:
        """Whether the end of ``case`` is still to be told; who never heard that it began will hear nothing of it."""
        chatter = self.book.chatter.get(case.key)
        if chatter is not None and chatter.case == case.id:
            return True
        told = ((step.person, case.told.get(step.person.name)) for step in self._steps(case))
        return any(known is not None and _wish(case, person, known) is not None for person, known in told)

    def _forget(self, case: Case) -> None:
        del self.cases[case.id]
        self._routes.pop(case.id, None)
        self.changed.add(case.id)

    def shift(self, by: int) -> None:
        """The clock jumped ``by`` ms: what was waited for is as far away as before."""
        for case in self.cases.values():
            case.raised += by
            case.ended = None if case.ended is None else case.ended + by
            for told in case.told.values():
                told.at += by
            self.changed.add(case.id)
        for group in self.book.groups.values():
            group.since = None if group.since is None else group.since + by
            group.sent = None if group.sent is None else group.sent + by
        for chatter in self.book.chatter.values():
            chatter.since, chatter.last = chatter.since + by, chatter.last + by
        self.book.raises = {key: [at + by for at in raises] for key, raises in self.book.raises.items()}
        self.book.up_again = {link: at + by for link, at in self.book.up_again.items()}


def _wish(case: Case, person: Person, told: Told | None) -> str | None:
    """What the person should hear next of the case; None when nothing."""
    state = str(case.alert["state"])
    if told is not None and told.state == "closed":
        return None
    if person.each:
        return None if told is not None and told.state == state else state
    if state == "resolved":
        return "resolved"
    return "firing" if told is None else "reminder"


__all__ = ["STANDING", "Book", "Case", "Decision", "Dispatcher", "Letter", "Route", "Told"]
