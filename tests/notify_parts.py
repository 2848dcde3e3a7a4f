"""What the tests of alerts and messages share: alerts, a keeper in memory, channels that remember, a short site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from building.clock import ManualClock
from building.document import parse_document
from building.errors import DeliveryFailed
from building.site import Site, build_site
from rules.cases import Letter
from rules.channels import check_channels
from rules.channels.message import Message
from rules.dispatch import Dispatcher
from rules.notifying import Notifier
from rules.routing import Plan, check_routes
from rules.writing import Writer

TZ = ZoneInfo("Asia/Shanghai")
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000

SITE = """
version: 1
site: {name: Office, language: zh}
departments:
  - {id: finance, name: 财务处}
  - {id: service, name: 服务处}
zones:
  - {id: "301", name: 301办公室, department: finance, floor: 3}
  - {id: "201", name: 201大厅, department: service, floor: 2}
  - {id: wc-3, name: 三楼卫生间, department: finance, floor: 3}
devices:
  - {id: light-301, name: 301照明, kind: light, zone: "301"}
  - {id: ac-301, name: 301空调, kind: aircon, zone: "301"}
  - {id: light-201, name: 201照明, kind: light, zone: "201"}
  - {id: water-3, name: 三楼水表, kind: water, zone: wc-3}
"""

CHANNELS = """
channels:
  group: {type: wecom, key: "${WECOM_KEY}"}
  keeper: {type: mail, host: mail.example, from: green@office.example, to: keeper@office.example}
  duty: {type: dingtalk, token: "${DING_TOKEN}"}
"""

ROUTES = """
routes:
  people:
    group: {channel: group}
    keeper: {channel: keeper}
    duty: {channel: duty}
  alerts:
    - {rule: [tap_left_running], tell: [keeper, duty]}
    - {steps: [{tell: group}, {tell: keeper, after: 1h}, {tell: duty, after: 3h}], hours: working}
"""


def site_of(text: str = SITE + CHANNELS + ROUTES) -> Site:
    """The site that this devices.yaml makes, checked at the door."""
    return build_site(parse_document(text.encode(), "devices.yaml", tolerant=True), [check_channels, check_routes])


def local(text: str) -> int:
    """ms of a local time such as ``2026-07-01 18:10``."""
    return round(datetime.fromisoformat(text).replace(tzinfo=TZ).timestamp() * 1000)


def iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).astimezone(TZ).isoformat()


def clock_text(moment: int) -> str:
    """``07-01 18:10`` of an instant."""
    return f"{datetime.fromtimestamp(moment / 1000, UTC).astimezone(TZ):%m-%d %H:%M}"


def an_alert(ident: str = "a1", state: str = "firing", at: int = 1_782_835_200_000, **other: Any) -> dict[str, Any]:
    """An alert's JSON; ``at`` is when it was raised, or when it ended."""
    since = other.pop("since", at - 15 * MINUTE)
    raised = other.pop("raised", at)
    return {
        "id": ident, "rule": "lights_left_on", "site": "Office", "zone": "301", "department": "finance",
        "device": "light-301", "severity": "warning", "state": state, "since": iso(since), "raised": iso(raised),
        "ended": iso(at) if state == "resolved" else None,
        "waste": {"kwh": 0.2, "litres": None, "cost": 0.16, "currency": "CNY", "kgco2": 0.1},
        "evidence": {"readings": [], "limits": {}, "presence": None, "estimated": False},
        "title": "301办公室 灯未关", "text": "已浪费 0.2 kWh", "policy": "人走灯灭", **other,
    }  # fmt: skip


def over(alert: Mapping[str, Any], at: int) -> dict[str, Any]:
    """The same alert when it has ended."""
    return dict(alert) | {"state": "resolved", "ended": iso(at)}


class Desk:
    """A dispatcher with a clock: what is told to whom when, as lines ``07-01 18:10 group firing a1``."""

    def __init__(self, site: Site | None = None, *, heard: Any = None) -> None:
        self.site = site or site_of()
        self.dispatcher = Dispatcher(Plan(self.site, self.site.channels), heard=heard)
        self.letters: list[Letter] = []
        self.messages: list[Message] = []
        self.writer = Writer(self.site)
        self.now = 0

    def take(self, alert: Mapping[str, Any], at: int) -> None:
        """An alert changes at ``at``; time runs on to there first."""
        self.run(at)
        self._post(self.dispatcher.take(alert, at))
        self._post(self.dispatcher.step(at))

    def run(self, until: int) -> None:
        """Let everything come due up to ``until``, each at its own moment."""
        while self.dispatcher.due is not None and self.dispatcher.due <= until:
            self.now = max(self.now, self.dispatcher.due)
            self._post(self.dispatcher.step(self.now))
        self.now = until

    def _post(self, letters: list[Letter]) -> None:
        self.letters += letters
        people, cases = self.dispatcher.plan.people, self.dispatcher.cases
        self.messages += [self.writer.write(letter, cases, people[letter.person]) for letter in letters]

    def titles(self) -> list[str]:
        return [message.title for message in self.messages]

    def lines(self) -> list[str]:
        return [
            f"{clock_text(letter.at)} {letter.person} {wish} {ident}"
            for letter in self.letters
            for ident, wish in letter.wishes.items()
        ]

    def to(self, person: str) -> list[Letter]:
        return [letter for letter in self.letters if letter.person == person]

    def stage(self, ident: str, person: str) -> str:
        """The stage that decided last about a case and a person."""
        decisions = self.dispatcher.cases[ident].decisions
        return next(one.stage for one in reversed(decisions) if one.person == person)


class MemoryKeeper:
    """A keeper without a disk."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.rows: list[tuple[str, int, str, Mapping[str, Any]]] = []

    def save(self, name: str, blob: bytes) -> None:
        self.blobs[name] = blob

    def load(self, name: str) -> bytes | None:
        return self.blobs.get(name)

    def keep(
        self, blobs: Mapping[str, bytes | None], records: Iterable[tuple[str, int, str, Mapping[str, Any]]] = ()
    ) -> None:
        for name, blob in blobs.items():
            if blob is None:
                self.blobs.pop(name, None)
            else:
                self.blobs[name] = blob
        self.rows += records

    def kept(self, beginning: str) -> dict[str, bytes]:
        return {name: self.blobs[name] for name in sorted(self.blobs) if name.startswith(beginning)}

    def records(self, table: str, *, since: int | None = None, key: str | None = None) -> list[dict[str, Any]]:
        return [
            dict(record)
            for name, at, ident, record in self.rows
            if name == table and (since is None or at >= since) and key in (None, ident)
        ]


class ListChannel:
    """Remembers messages; ``failures`` are raised first, one per attempt."""

    def __init__(self, *failures: DeliveryFailed) -> None:
        self.failures = list(failures)
        self.got: list[Message] = []
        self.attempts = 0

    async def send(self, message: Message) -> str:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        self.got.append(message)
        return f"receipt {len(self.got)}"


class NoWait:
    """Stands in for the random number generator: every delay is nothing."""

    def uniform(self, low: float, high: float) -> float:
        return 0.0


def notifier_of(
    channels: Mapping[str, Any], keeper: Any, *, site: Site | None = None, clock: Any = None, **other: Any
) -> Notifier:
    """A notifier that does not wait between attempts."""
    return Notifier(
        site or site_of(SITE), clock or ManualClock(local("2026-07-01 18:30")), channels, keeper,
        chance=NoWait(), **other,  # type: ignore[arg-type]  # only uniform() is used
    )  # fmt: skip
