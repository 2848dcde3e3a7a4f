"""``routes:`` of devices.yaml: whom to tell of which alert, after how long, within which hours, how often.

The first route that fits an alert decides. Its steps say who is told at once and who later, counted on the clock of the
route's hours and only as long as nobody has acknowledged. Without ``routes:`` every channel gets every change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from building.document import Document, Where
from building.durations import Duration, Period
from building.errors import listed, shown
from building.fields import SecretField
from building.hours import WorkingHours
from building.mistakes import schema_sentence
from building.site import DAY, MINUTE, Site
from rules.catalogue import CATALOGUE
from rules.channels.posting import check_url
from rules.channels.settings import FOR_PROGRAMS, Called, MailAddresses, several
from rules.timetable import Timetable
from rules.topology import CAUSES

_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_LISTEN: Final = re.compile(r"[\w.:\[\]-]+:\d{1,5}")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _hours(value: object) -> object:
    if isinstance(value, str) and value not in ("always", "working", "off_hours"):
        raise ValueError(f"{shown(value)} is not accepted; write always, working, off_hours or hours by day")
    return value


def _clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        raise ValueError(f"{shown(value)} is no time of day such as 08:30")
    return value


def _moment(value: str) -> str:
    return value if value == "closing" else _clock(value)


def _listen(value: str) -> str:
    if not _LISTEN.fullmatch(value) or not 0 <= int(value.rpartition(":")[2]) <= 65535:
        raise ValueError(f"{shown(value)} is no address to listen on such as 127.0.0.1:8088")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(several)]
HoursField = Annotated[Literal["always", "working", "off_hours"] | WorkingHours, BeforeValidator(_hours)]
ClockText = Annotated[str, AfterValidator(_clock)]


class PersonPage(_Frozen):
    """One reader: a person, or the group behind a chat robot. ``at_most`` messages on one day, none: without limit."""

    channel: str
    to: MailAddresses = ()
    mention: Called = ()
    hours: HoursField = "always"
    at_most: Annotated[int, Field(ge=1, le=1000)] | Literal["none"] = 10
    each: bool | None = None  # every change by itself, for programs; else what the channel's type suggests
    language: Literal["zh", "en"] | None = None


class StepPage(_Frozen):
    """Who is told, and after how much of the route's time without an answer."""

    tell: Names
    after: Duration = 0


class RoutePage(_Frozen):
    """Which alerts, whom to tell. What is left out fits every alert."""

    department: Names = ()
    zone: Names = ()
    floor: Names = ()
    rule: Names = ()
    severity: Annotated[tuple[Literal["info", "warning", "critical"], ...], BeforeValidator(several)] = ()
    during: Literal["working", "off_hours"] | None = None  # when it was raised, by the zone's working hours
    hours: HoursField = "always"
    tell: Names = ()
    steps: tuple[StepPage, ...] = ()
    repeat: Period | Literal["never"] | None = None

    @property
    def open_to_all(self) -> bool:
        return not (self.department or self.zone or self.floor or self.rule or self.severity or self.during)


class DigestPage(_Frozen):
    """A list sent by the calendar: last night's alerts in the morning, or what is still on after closing time."""

    list: Literal["last_night", "still_on"]
    at: Annotated[str, AfterValidator(_moment)]  # 08:30, or closing
    after: Duration = 0  # how long after ``at``
    tell: Names
    department: Names = ()  # only theirs


class CanaryPage(_Frozen):
    """A message once a week that says that messages arrive."""

    tell: Names
    day: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = "mon"
    at: ClockText = "09:00"


class PageSettings(_Frozen):
    """The small web page that the links in messages open. ``url`` is how readers reach it."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:8088"
    url: Annotated[str, AfterValidator(check_url)]
    expires: Period = 2 * 24 * 60 * MINUTE
    secret: SecretField = None  # signs the links; without one, the program makes and keeps its own


class RoutesPage(_Frozen):
    """The section as a whole. Durations are ms."""

    people: Mapping[str, PersonPage] = {}
    alerts: tuple[RoutePage, ...] = ()
    wait: Duration = 30_000  # before the first message of a group
    interval: Duration = 5 * MINUTE  # between two messages of a group
    repeat: Period | Literal["never"] = 4 * 60 * MINUTE
    reserve: Annotated[int, Field(ge=0, le=100)] = 2  # of a day's messages, kept for critical alerts and digests
    digests: tuple[DigestPage, ...] = ()
    canary: CanaryPage | None = None
    page: PageSettings | None = None


@dataclass(frozen=True)
class Person:
    """Somebody who is told. ``at_most`` None: no limit; ``each``: every change by itself, ungrouped."""

    name: str
    channel: str
    hours: Timetable
    at_most: int | None
    each: bool
    language: str
    to: tuple[str, ...] = ()
    mention: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """A person of a route, told ``after`` ms of the route's time."""

    person: Person
    after: int


@dataclass(frozen=True)
class Route:
    """One route with its people; ``fits(alert, raised)`` says whether it decides.

    ``repeat`` ms between reminders, None: never; ``standing``: the same once an alert is on for more than a day.
    """

    fits: Callable[[Mapping[str, Any], int], bool]
    hours: Timetable
    steps: tuple[Step, ...]
    repeat: int | None
    standing: int | None


class Plan:
    """The routes of a site, ready to use. ``channels``: those that are open; people behind others are left out."""

    def __init__(self, site: Site, channels: Iterable[str]) -> None:
        self.site = site
        self.page = RoutesPage() if site.routes is None else RoutesPage.model_validate(site.routes)
        self._open = tuple(channels)
        self.always = Timetable(site, "always")
        self.people = self._people()
        self.routes = tuple(self._routes())

    def route(self, alert: Mapping[str, Any], raised: int) -> Route:
        """The first route that fits; the last of all fits everything and tells the watchers."""
        return next(route for route in self.routes if route.fits(alert, raised))

    def known(self, names: Iterable[str]) -> list[Person]:
        """The people of these names whose channel is open."""
        return [self.people[name] for name in names if name in self.people]

    @cached_property
    def watchers(self) -> tuple[Person, ...]:
        """Channels for programs that no person stands behind get every change; without routes, all channels do."""
        return tuple(person for person in self.people.values() if person.name not in self.page.people)

    def _people(self) -> dict[str, Person]:
        people: dict[str, Person] = {}
        for name, page in self.page.people.items():
            if page.channel not in self._open:
                continue
            settings = self.site.channels.get(page.channel, {})
            people[name] = Person(
                name,
                page.channel,
                self.always if page.hours == "always" else Timetable(self.site, page.hours),
                None if page.at_most == "none" else page.at_most,
                settings.get("type") in FOR_PROGRAMS if page.each is None else page.each,
                page.language or settings.get("language") or self.site.site.language,
                page.to,
                page.mention or several(settings.get("mention", ())),
            )
        settings_of = self.site.channels
        used = {page.channel for page in self.page.people.values()}
        used |= {page["fallback"] for page in settings_of.values() if page.get("fallback")}
        for channel in self._open:
            settings = settings_of.get(channel, {})
            each = not settings or settings.get("type") in FOR_PROGRAMS
            if channel not in used and (each or self.site.routes is None):
                language = settings.get("language") or self.site.site.language
                people[channel] = Person(channel, channel, self.always, None if each else 10, each, language)
        return people

    def _routes(self) -> Iterable[Route]:
        for page in self.page.alerts:
            steps = [Step(person, 0) for person in self.known(page.tell)]
            steps += [Step(person, step.after) for step in page.steps for person in self.known(step.tell)]
            first: dict[str, Step] = {}
            for step in [*steps, *(Step(person, 0) for person in self.watchers)]:
                first.setdefault(step.person.name, step)
            repeat, standing = self._repeats(page.repeat)
            hours = self.always if page.hours == "always" else Timetable(self.site, page.hours)
            yield Route(self._fits(page), hours, tuple(first.values()), repeat, standing)
        watching = tuple(Step(person, 0) for person in self.watchers)
        yield Route(lambda alert, raised: True, self.always, watching, *self._repeats(None))

    def _repeats(self, own: int | str | None) -> tuple[int | None, int | None]:
        """Reminders of a route, and of what is standing: that is told once a day, unless the route itself says how."""
        repeat = self.page.repeat if own is None else own
        if not isinstance(repeat, int):
            return None, None
        return repeat, repeat if own is not None else max(repeat, DAY)

    def _fits(self, page: RoutePage) -> Callable[[Mapping[str, Any], int], bool]:
        during = None if page.during is None else Timetable(self.site, page.during)
        floors = {zone.id: str(zone.floor) for zone in self.site.zones}

        def fits(alert: Mapping[str, Any], raised: int) -> bool:
            zone = alert.get("zone")
            asked = (
                (page.department, alert.get("department")),
                (page.zone, zone),
                (page.floor, floors.get(zone or "")),
                (page.rule, alert.get("rule")),
                (page.severity, alert.get("severity")),
            )
            if any(wanted and found not in wanted for wanted, found in asked):
                return False
            return during is None or during.open(raised, zone)

        return fits


# -- the door ---------------------------------------------------------------------------------------------------------


def check_routes(document: Document) -> Iterable[tuple[Where, str]]:
    """A ``building.site.Check``: people behind channels that exist, routes to people who exist, and none left over."""
    content = document.content.get("routes") if isinstance(document.content, Mapping) else None
    if content is None:
        return
    if not isinstance(content, Mapping):
        yield ("routes",), "routes: expected keys such as people: and alerts:"
        return
    try:
        page = RoutesPage.model_validate(content)
    except ValidationError as error:
        for item in error.errors():
            # pydantic names the kind that it tried inside a choice; the file has no such key.
            loc = tuple(part for part in item["loc"] if isinstance(part, int) or not _TRIED.search(part))
            yield ("routes", *loc), _sentence(loc, item)
        return
    yield from _mistakes(document, page)


_TRIED: Final = re.compile(r"\[|^(str|int|literal|tuple)$")


def _sentence(loc: Where, item: Any) -> str:
    place = "".join(
        f", entry {part + 1}" if isinstance(part, int) else f".{listed([str(part)])}" for part in ("routes", *loc)
    )[1:]
    if item["type"] == "extra_forbidden":
        return f"{place.rpartition('.')[0]}: unknown key {shown(loc[-1])}; accepted are {', '.join(_accepted(loc))}"
    if item["type"] == "missing":
        return f"{place.rpartition('.')[0]}: the key {loc[-1]!r} is missing"
    item["loc"] = ()  # the place is told here
    said = schema_sentence(RoutesPage, item)
    return f"{place}: {said}"


_PARTS: Final[Mapping[str, type[BaseModel]]] = {
    "people": PersonPage, "alerts": RoutePage, "steps": StepPage, "digests": DigestPage, "canary": CanaryPage,
    "page": PageSettings,
}  # fmt: skip


def _accepted(loc: Where) -> Iterable[str]:
    names = [part for part in loc[:-1] if part in _PARTS]
    return (_PARTS[str(names[-1])] if names else RoutesPage).model_fields


def _mistakes(document: Document, page: RoutesPage) -> Iterable[tuple[Where, str]]:
    channels, people = document.section("channels"), page.people
    for name, person in people.items():
        if person.channel not in channels:
            yield (
                ("routes", "people", name, "channel"),
                f"routes.people.{listed([name])}: channel {shown(person.channel)} does not exist; {_known(channels)}",
            )
    for where, names in _told(page):
        for name in names:
            if name not in people:
                yield where, f"{where[1]}: person {shown(name)} does not exist; {_known(people)}"
    for number, route in enumerate(page.alerts):
        yield from _route_mistakes(document, ("routes", "alerts", number), route)
    for number, (route, _) in enumerate(pairwise(page.alerts)):
        if route.open_to_all:
            yield (
                ("routes", "alerts", number),
                "this route fits every alert, so those after it are never asked; put it last",
            )
    if page.alerts and not page.alerts[-1].open_to_all:
        yield (
            ("routes", "alerts", len(page.alerts) - 1),
            "the last route must fit every alert (no department, zone, rule …), or some would reach nobody",
        )


def _told(page: RoutesPage) -> Iterable[tuple[Where, Names]]:
    for number, route in enumerate(page.alerts):
        yield ("routes", "alerts", number, "tell"), route.tell
        for place, step in enumerate(route.steps):
            yield ("routes", "alerts", number, "steps", place, "tell"), step.tell
    for number, digest in enumerate(page.digests):
        yield ("routes", "digests", number, "tell"), digest.tell
    if page.canary is not None:
        yield ("routes", "canary", "tell"), page.canary.tell


def _route_mistakes(document: Document, where: Where, route: RoutePage) -> Iterable[tuple[Where, str]]:
    if not route.tell and not route.steps:
        yield where, "this route tells nobody; add tell: or steps:"
    for key, section, names in (("department", "departments", route.department), ("zone", "zones", route.zone)):
        known = {str(item.get("id")) for _, item in document.entries(section)}
        for name in names:
            if name not in known:
                yield (*where, key), f"{key} {shown(name)} does not exist; {_known(sorted(known))}"
    rules = [*CATALOGUE, *CAUSES, *(name for name in document.section("rules") if name not in CATALOGUE)]
    for name in route.rule:
        if name not in rules:
            yield (*where, "rule"), f"rule {shown(name)} does not exist; {_known(rules)}"


def _known(names: Iterable[str]) -> str:
    shortlist = list(names)[:24]
    return f"known are {listed(shortlist)}" if shortlist else "there are none"
