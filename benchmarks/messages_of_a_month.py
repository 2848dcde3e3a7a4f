"""Messages of a simulated month: per person and day, and by rule. The sample building, its faults on every workday.

    .venv/bin/python benchmarks/messages_of_a_month.py [--days 31] [--seed 1]

The building's readings go through the rules, the alerts through routes such as docs/alerts.md shows; what is printed is
what people would have got. At most ten a day and person is the aim.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from building.calendar import WorkCalendar
from building.document import parse_document, read_document
from building.site import DAY, Site, build_site
from greenwarden.door import sample_site
from rules.alerts import Alert
from rules.digest import Calendar
from rules.dispatch import Dispatcher, Letter
from rules.readings_file import Series
from rules.replay import replay
from rules.routing import Plan
from simulators.building import OfficeBuilding
from simulators.sampling import sample
from simulators.scenario import default_faults

ROUTES = """
channels:
  chat: {type: wecom, key: "${KEY}"}
  mail: {type: mail, host: mail.example, from: green@office.example, to: duty@office.example}
routes:
  people:
    service: {channel: chat}
    finance: {channel: chat}
    logistics: {channel: chat}
    keeper: {channel: mail}
    duty: {channel: chat}
  alerts:
    - {rule: [tap_left_running, water_leak], tell: [keeper, duty]}
    - {during: off_hours, tell: duty}
    - department: service
      hours: working
      steps: [{tell: service}, {tell: keeper, after: 1h}, {tell: duty, after: 3h}]
    - department: finance
      hours: working
      steps: [{tell: finance}, {tell: keeper, after: 1h}, {tell: duty, after: 3h}]
    - {department: logistics, hours: working, steps: [{tell: logistics}, {tell: keeper, after: 1h}]}
    - {tell: duty}
  digests:
    - {list: last_night, at: "08:30", tell: keeper}
    - {list: still_on, at: closing, after: 30m, tell: duty}
"""


def the_site() -> Site:
    """The sample building with people to tell."""
    document = read_document(sample_site())
    more = parse_document(ROUTES.encode(), "routes")
    document.content.update(more.content)
    return build_site(document)


def alerts_of(site: Site, days: int, seed: int) -> tuple[list[Alert], int, int]:
    """The alerts of ``days`` from 1 July 2026, with the moments at which they begin and end."""
    calendar, first = WorkCalendar(site), date(2026, 7, 1)
    start = int(datetime(2026, 7, 1, tzinfo=site.site.tz).timestamp() * 1000)
    faults = []
    for ahead in range(days):
        day = first + timedelta(days=ahead)
        if calendar.is_workday(day):
            faults += default_faults(site, day, seed + ahead)
    end = start + days * DAY
    sampled = sample(OfficeBuilding(site, seed, faults, start=start), end)
    columns = {key: Series(times, values) for key, (times, values) in sampled.columns.items()}
    print(f"{sampled.said} values, {len(faults)} faults")
    return list(replay(site, columns).alerts), start, end


def changes(alerts: list[Alert]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each alert's begin and end, in order of time."""
    steps = []
    for alert in alerts:
        told = alert.to_json()
        steps.append((alert.raised, 0, told | {"state": "firing", "ended": None}))
        if alert.ended is not None:
            steps.append((alert.ended, 1, told))
    for at, _, told in sorted(steps, key=lambda step: step[:2]):
        yield at, told


def letters_of(site: Site, alerts: list[Alert], start: int, end: int) -> list[Letter]:
    """What people get."""
    desk = Dispatcher(Plan(site, site.channels))
    calendar = Calendar(desk)
    letters: list[Letter] = []

    def run(now: int, until: int) -> None:
        while True:
            letters.extend(desk.step(now))
            letters.extend(calendar.step(now))
            if desk.due is None or desk.due > until:
                return
            now = max(now + 1, desk.due)

    now = start
    for at, alert in changes(alerts):
        run(now, at)
        letters.extend(desk.take(alert, at))
        now = at
    run(now, end)
    return letters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--seed", type=int, default=1)
    wish = parser.parse_args()
    site = the_site()
    alerts, start, end = alerts_of(site, wish.days, wish.seed)
    letters = letters_of(site, alerts, start, end)
    by_day = Counter(
        (letter.person, datetime.fromtimestamp(letter.at / 1000, site.site.tz).date()) for letter in letters
    )
    print(f"most messages to one person on one day: {max(by_day.values(), default=0)} (aim: 10)")
    print(f"{len(alerts)} alerts became {len(letters)} messages in {wish.days} days\n")
    print(f"{'person':<12} {'messages':>8} {'mean/day':>9} {'most/day':>9}")
    for person in dict.fromkeys(letter.person for letter in letters):
        days = [count for (name, _), count in by_day.items() if name == person]
        print(f"{person:<12} {sum(days):>8} {sum(days) / wish.days:>9.1f} {max(days):>9}")
    rules = Counter(alert.rule for alert in alerts)
    known = {alert.id: alert.rule for alert in alerts}
    told = Counter(
        known[ident] for letter in letters if letter.kind == "alerts" for ident in letter.wishes if ident in known
    )
    print(f"\n{'rule':<26} {'alerts':>7} {'told':>6}")
    for rule, count in rules.most_common():
        print(f"{rule:<26} {count:>7} {told[rule]:>6}")
    lists = Counter(letter.kind for letter in letters)
    print(f"\nmessages by kind: {dict(lists)}; mean per person and day {mean(by_day.values()) if by_day else 0:.1f}")


if __name__ == "__main__":
    main()
