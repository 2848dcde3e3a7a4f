"""devices.yaml as frozen objects: everything the house knows about one building, checked once at the door.

``load_site`` reads, checks and freezes; behind it there is no ``.get("…")``. What only a wing can judge (does this
profile exist, has this rule such a parameter) is asked of that wing by the checks handed in, so that all mistakes of
a file are told at once.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from building.document import Document, Where, read_document
from building.durations import Duration, Period
from building.errors import ConfigError, SecretMissing, shown
from building.instants import from_iso
from building.quantities import QUANTITIES

Check = Callable[[Document], Iterable[tuple[Where, str]]]
"""A wing's own look at the document: yields the place of each mistake and the sentence about it."""

Kind = Literal["electricity", "plug", "light", "water", "aircon", "sensor", "gas", "heat", "fuel"]
Circuit = Literal["main", "lighting", "sockets", "aircon", "lift", "pump", "other"]

MINUTE: Final = 60_000
DAY: Final = 24 * 60 * MINUTE


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _ident(text: str) -> str:
    if not text or len(text) > 200 or any(ord(letter) < 32 for letter in text):
        raise ValueError("an id is 1 to 200 characters without line breaks")
    return text


Ident = Annotated[str, AfterValidator(_ident)]


# -- times ------------------------------------------------------------------------------------------------------------

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$")


class Span(_Frozen):
    """A stretch of one day, in minutes after midnight, end exclusive; ``end`` may be 1440."""

    start: int
    end: int


Hours = tuple[tuple[Span, ...], ...]
"""Working hours: seven entries, Monday first, each the spans of that day."""


def _spans(texts: object) -> tuple[Span, ...]:
    if isinstance(texts, str):
        texts = (texts,)
    if not isinstance(texts, tuple):
        raise ValueError('working hours are spans such as ["08:30-12:00", "13:30-17:30"]')
    spans = []
    for text in texts:
        match = _SPAN.match(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{shown(text)} is not a span such as 08:30-12:00")
        h1, m1, h2, m2 = map(int, match.groups())
        start, end = h1 * 60 + m1, h2 * 60 + m2
        if m1 > 59 or m2 > 59 or end > 1440 or start >= end:
            raise ValueError(f"{text!r} does not run from an earlier to a later time of one day")
        spans.append(Span(start=start, end=end))
    spans.sort(key=lambda span: span.start)
    if any(a.end > b.start for a, b in pairwise(spans)):
        raise ValueError("the spans of one day overlap")
    return tuple(spans)


def _hours(value: object) -> Hours:
    if not isinstance(value, Mapping):
        raise ValueError('working hours look like {mon-fri: ["08:30-12:00", "13:30-17:30"]}')
    days: list[tuple[Span, ...]] = [()] * 7
    for key, texts in value.items():
        for part in str(key).replace(" ", "").split(","):
            first, _, last = part.partition("-")
            if first not in _DAYS or (last and last not in _DAYS):
                raise ValueError(f"{shown(key)} is no day; write mon, tue, wed, thu, fri, sat, sun or mon-fri")
            begin, end = _DAYS.index(first), _DAYS.index(last or first)
            if end < begin:
                raise ValueError(f"{shown(key)} runs backwards; write it as two entries")
            for day in range(begin, end + 1):
                days[day] = _spans(texts)
    return tuple(days)


WorkingHours = Annotated[Hours, BeforeValidator(_hours)]

_DAYS_OF: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_DAY: Final = re.compile(r"(\d{2})-(\d{2})\.\.(\d{2})-(\d{2})$")


class Season(_Frozen):
    """Part of every year, both ends included, as (month, day); it may run over the turn of the year."""

    first: tuple[int, int]
    last: tuple[int, int]

    def holds(self, month: int, day: int) -> bool:
        here = (month, day)
        if self.first <= self.last:
            return self.first <= here <= self.last
        return here >= self.first or here <= self.last


def _season(value: object) -> object:
    if value == "none":
        return None
    match = _MONTH_DAY.match(value) if isinstance(value, str) else None
    if match is not None:
        a, b, c, d = map(int, match.groups())
        if all(1 <= month <= 12 and 1 <= day <= _DAYS_OF[month - 1] for month, day in ((a, b), (c, d))):
            return Season(first=(a, b), last=(c, d))
    raise ValueError(f"{shown(value)} is not a season such as 06-01..09-30, or none")


SeasonField = Annotated[Season | None, BeforeValidator(_season)]


def _date_text(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a date such as 2026-10-01") from None
    return value


def _instant_text(value: str) -> str:
    try:
        from_iso(value, UTC)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a date and time such as 2026-07-01T18:30") from None
    return value


DateText = Annotated[str, AfterValidator(_date_text)]
InstantText = Annotated[str, AfterValidator(_instant_text)]


def _zone_name(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{shown(value)} is no time zone; write one such as Asia/Shanghai")
    return value


# -- secrets ----------------------------------------------------------------------------------------------------------

_SECRET: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}$|file:(.+)$")


class Secret:
    """Where a secret is, never the secret: ``${NAME}`` in the environment or ``file:/path``."""

    __slots__ = ("source",)

    def __init__(self, source: str) -> None:
        self.source = source

    def __repr__(self) -> str:
        return f"Secret({self.source})"

    def reveal(self) -> str:
        """The secret itself; raises SecretMissing with the way out. Do not log what comes back."""
        match = _SECRET.match(self.source)
        assert match is not None
        name, path = match.groups()
        if name is not None:
            value = os.environ.get(name)
            if value is None:
                raise SecretMissing(f"the secret {self.source} is not set; set the environment variable {name}")
            return value
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SecretMissing(f"the secret file {path} cannot be read; create it, readable by this user") from None


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and _SECRET.match(value):
        return Secret(value)
    raise ValueError("a secret must not stand here in clear; write ${NAME} (environment) or file:/path")


SecretField = Annotated[Any, BeforeValidator(_secret)]


# -- links ------------------------------------------------------------------------------------------------------------

SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "modbus": ("tcp", "rtu", "rtu+tcp", "ascii", "ascii+tcp"),
    "mqtt": ("mqtt", "mqtts"),
    "dlt645": ("serial", "tcp"),
    "cjt188": ("serial", "tcp"),
}
"""Protocol key of a link -> the address forms it takes."""


class Endpoint(_Frozen):
    """The address of a link, taken apart: ``tcp://host:port`` or ``rtu:///dev/ttyUSB0?baudrate=9600&parity=E``."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: Mapping[str, str] = {}


_DEFAULT_PORTS: Final = {
    ("modbus", "tcp"): 502,
    ("modbus", "rtu+tcp"): 502,
    ("modbus", "ascii+tcp"): 502,
    ("mqtt", "mqtt"): 1883,
    ("mqtt", "mqtts"): 8883,
}  # the other protocols have no customary port
_HOST: Final = re.compile(r"[\w.:%-]+")
_SERIAL_OPTIONS: Final = {"baudrate": r"\d{3,7}", "parity": "[NEO]", "stopbits": "[12]", "bytesize": "[78]"}


def parse_endpoint(protocol: str, text: object) -> Endpoint:
    """``text`` as the address of a link of ``protocol``. Raises ValueError with what is accepted."""
    schemes = SCHEMES[protocol]
    accepted = ", ".join(f"{scheme}://" for scheme in schemes)
    if isinstance(text, str) and "@" in text:  # asked first: no other sentence may repeat what stands before it
        raise ValueError("name and password do not belong into the address; use username: and password: ${NAME}")
    if not isinstance(text, str) or "://" not in text:
        raise ValueError(f"{shown(text)} is no address; write it with one of {accepted}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{shown(text)}: the port must be a number from 1 to 65535") from None
    if parts.scheme not in schemes:
        raise ValueError(f"{shown(parts.scheme + '://')} is not accepted here; write one of {accepted}")
    if parts.scheme in ("rtu", "ascii", "serial"):
        return _serial_endpoint(parts)
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise ValueError(f"{shown(text)} names no host; write e.g. {parts.scheme}://10.1.0.5")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{shown(text)}: nothing may follow the port")
    port = _DEFAULT_PORTS.get((protocol, parts.scheme)) if port is None else port
    if port is None:
        raise ValueError(f"{shown(text)} names no port; write e.g. {parts.scheme}://{host}:8001")
    if not 1 <= port <= 65535:
        raise ValueError(f"{shown(text)}: the port must be a number from 1 to 65535")
    return Endpoint(scheme=parts.scheme, host=host, port=port)


def _serial_endpoint(parts: SplitResult) -> Endpoint:
    options: dict[str, str] = {}
    for item in filter(None, parts.query.split("&")):
        key, _, value = item.partition("=")
        if key not in _SERIAL_OPTIONS or not re.fullmatch(_SERIAL_OPTIONS[key], value):
            accepted = "baudrate=9600, parity=N, E or O, stopbits=1 or 2, bytesize=7 or 8"
            raise ValueError(f"{shown(item)} is not accepted; write {accepted}")
        options[key] = value
    path = parts.netloc + parts.path
    if not path:
        raise ValueError("the address names no serial port; write e.g. rtu:///dev/ttyUSB0?baudrate=9600")
    return Endpoint(scheme=parts.scheme, path=path, options=options)


class Link(_Frozen):
    """A bus, gateway or broker. Exactly one of the protocol keys is set."""

    id: Ident
    modbus: str | None = None
    mqtt: str | None = None
    dlt645: str | None = None
    cjt188: str | None = None
    username: str | None = None
    password: SecretField = None
    ca: str | None = None  # file with the authority that signed the broker's certificate
    certificate: str | None = None
    key: str | None = None
    client_id: str | None = None
    version: Literal["3.1.1", "5"] = "3.1.1"
    will: str | None = None  # topic on which the broker says that the collector is online or offline
    discovery: bool = False  # take up devices that announce themselves for Home Assistant
    in_flight: Annotated[int, Field(ge=1, le=64)] = 1
    timeout: Period = 1000
    pause: Duration = 0  # quiet time between two requests

    @property
    def protocol(self) -> str:
        return next(name for name in SCHEMES if getattr(self, name) is not None)

    @cached_property
    def endpoint(self) -> Endpoint:
        return parse_endpoint(self.protocol, getattr(self, self.protocol))


# -- people, places, devices ------------------------------------------------------------------------------------------


def _floor(value: object) -> object:
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{shown(value)} is no floor; write a whole number or a name such as B1")


def _plate_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Quota(_Frozen):
    """What a department may use in a year."""

    electricity: Annotated[float, Field(gt=0)] | None = None  # kWh
    water: Annotated[float, Field(gt=0)] | None = None  # m3


class Department(_Frozen):
    """A unit of the organisation that answers for its zones."""

    id: Ident
    name: str = ""
    headcount: Annotated[int, Field(ge=0)] = 0
    area: Annotated[float, Field(gt=0)] | None = None  # m2
    quota: Quota = Quota()
    working_hours: WorkingHours | None = None


class Zone(_Frozen):
    """A room or a part of the building that rules speak of."""

    id: Ident
    name: str = ""
    department: Ident | None = None
    floor: Annotated[int | str | None, BeforeValidator(_floor)] = None
    area: Annotated[float, Field(gt=0)] | None = None  # m2
    headcount: Annotated[int, Field(ge=0)] = 0
    use: Literal["office", "meeting", "corridor", "toilet", "pantry", "lobby", "server", "plant", "other"] = "office"
    working_hours: WorkingHours | None = None
    presence_hold: Duration | None = None

    @property
    def title(self) -> str:
        return self.name or self.id


class Device(_Frozen):
    """A meter, plug, lamp, air conditioner or sensor. Without ``link`` it is fed by replay or by hand."""

    id: Ident
    kind: Kind
    name: str = ""
    circuit: Circuit | None = None
    profile: str | None = None
    link: Ident | None = None
    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    address: Annotated[str | None, BeforeValidator(_plate_number)] = None  # DL/T 645 or CJ/T 188 meter number
    topic: str | None = None
    channel: Annotated[int, Field(ge=0, le=255)] | None = None  # which input, phase or relay of a device with several
    zone: Ident | None = None
    department: Ident | None = None
    parent: Ident | None = None
    appliance: str = ""
    every: Period = 60_000
    slow: Period | None = None  # period of energies and other slow points
    aligned: bool = False  # poll on the round moments of the clock instead of spread over the period
    reports: Literal["period", "on_change"] = "period"
    max_age: Period = DAY
    quantities: tuple[str, ...] = ()  # what a device without profile tells
    litres_per_pulse: Annotated[float, Field(gt=0)] | None = None
    rated_power: Annotated[float, Field(gt=0)] | None = None  # W
    ct_ratio: Annotated[float, Field(gt=0)] = 1.0
    vt_ratio: Annotated[float, Field(gt=0)] = 1.0
    invert: bool = False
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] | None = None

    @property
    def title(self) -> str:
        return self.name or self.appliance or self.id

    @property
    def stale_after(self) -> int:
        """Milliseconds after which the last value no longer says what is so now."""
        return self.max_age if self.reports == "on_change" else 3 * self.every


class Tariffs(_Frozen):
    """Prices per kWh (electricity, heat) and per m3 (water, gas, fuel), and the currency they are in."""

    electricity: Annotated[float, Field(ge=0)] = 0.0
    water: Annotated[float, Field(ge=0)] = 0.0
    heat: Annotated[float, Field(ge=0)] | None = None
    gas: Annotated[float, Field(ge=0)] | None = None
    fuel: Annotated[float, Field(ge=0)] | None = None
    currency: str = "CNY"


class Factors(_Frozen):
    """kg CO2 per kWh of the grid (national mean 2023: 0.5306) and kgce per kWh (GB/T 2589-2020: 0.1229).

    ``heat_co2`` (per kWh), ``gas_co2`` and ``fuel_co2`` (per m3) depend on the supplier: unknown unless told.
    """

    grid_co2: Annotated[float, Field(ge=0)] = 0.5306
    heat_co2: Annotated[float, Field(ge=0)] | None = None
    gas_co2: Annotated[float, Field(ge=0)] | None = None
    fuel_co2: Annotated[float, Field(ge=0)] | None = None
    standard_coal: Annotated[float, Field(ge=0)] = 0.1229


class Overtime(_Frozen):
    """A booking: people of a zone or department are expected outside working hours (local times, ISO 8601)."""

    zone: Ident | None = None
    department: Ident | None = None
    start: InstantText
    end: InstantText


class SiteInfo(_Frozen):
    """The head of the file: where the building is, when it works, what its energy costs."""

    name: str = "site"
    timezone: Annotated[str, AfterValidator(_zone_name)] = "Asia/Shanghai"
    language: Literal["zh", "en"] = "zh"
    calendar: Literal["china", "none"] = "china"
    extra_holidays: tuple[DateText, ...] = ()
    extra_workdays: tuple[DateText, ...] = ()
    working_hours: WorkingHours = _hours({"mon-fri": ("08:30-12:00", "13:30-17:30")})
    cooling_season: SeasonField = Season(first=(6, 1), last=(9, 30))
    heating_season: SeasonField = Season(first=(11, 15), last=(3, 15))
    presence_hold: Duration = 10 * MINUTE
    latitude: Annotated[float, Field(ge=-90, le=90)] = 31.2
    longitude: Annotated[float, Field(ge=-180, le=180)] = 121.5
    tariffs: Tariffs = Tariffs()
    factors: Factors = Factors()

    @cached_property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def _web_address(value: str) -> str:
    if "@" in value:
        raise ValueError("name and password do not belong into the address; use user: and password: ${NAME}, or token:")
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:  # what urlsplit says of a bad port or bracket
        sound = False
    if not sound:
        raise ValueError(f"{shown(value)} is no address such as http://10.1.0.9:8086")
    return value


class InfluxSettings(_Frozen):
    """How to reach an InfluxDB of any age; ``/ping`` says which one it is."""

    url: Annotated[str, AfterValidator(_web_address)]
    token: SecretField = None
    user: str | None = None
    password: SecretField = None
    database: str | None = None
    bucket: str | None = None
    org: str | None = None
    ca: str | None = None
    verify_tls: bool = True
    gzip: bool = False  # for slow lines; costs a third of the speed
    retention_days: Annotated[float, Field(ge=1)] | None = None  # of a database or bucket made by us; else for ever


class QueueLimits(_Frozen):
    """How much the queue on disk may hold before the oldest is folded."""

    hours: Annotated[float, Field(gt=0)] = 24.0 * 30
    megabytes: Annotated[float, Field(gt=0)] = 2048.0


class Retention(_Frozen):
    """How many days the embedded store keeps readings as they came, and then folded to quarters of an hour.

    After that it keeps hours, for ever. Left out, every reading is kept as it came.
    """

    raw_days: Annotated[float, Field(ge=1)] | None = None
    quarter_days: Annotated[float, Field(ge=1)] | None = None


class StoreSettings(_Frozen):
    """Where readings go: the embedded store by default, or an InfluxDB."""

    influxdb: InfluxSettings | None = None
    data: str = "data"  # folder of the queue and the embedded store, beside devices.yaml
    queue: QueueLimits = QueueLimits()
    keep: Retention = Retention()


def _listen_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not _HOST.fullmatch(host.strip("[]")) or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{shown(value)} is no address to listen on, such as 127.0.0.1:9105")
    return value


class MetricsSettings(_Frozen):
    """Where the program answers ``GET /metrics`` for Prometheus: host and port (0: any free one)."""

    listen: Annotated[str, AfterValidator(_listen_address)] = "127.0.0.1:9105"


class Site(_Frozen):
    """The whole of devices.yaml. ``rules``, ``channels`` and ``routes`` are parsed by the rules wing."""

    version: Literal[1] = 1
    site: SiteInfo = SiteInfo()
    departments: tuple[Department, ...] = ()
    zones: tuple[Zone, ...] = ()
    links: tuple[Link, ...] = ()
    devices: tuple[Device, ...] = ()
    overtime: tuple[Overtime, ...] = ()
    rules: Mapping[str, Any] = {}
    channels: Mapping[str, Any] = {}
    routes: Any = None
    store: StoreSettings = StoreSettings()
    metrics: MetricsSettings | None = None

    @cached_property
    def zone(self) -> Mapping[str, Zone]:
        return {zone.id: zone for zone in self.zones}

    @cached_property
    def device(self) -> Mapping[str, Device]:
        return {device.id: device for device in self.devices}

    @cached_property
    def link(self) -> Mapping[str, Link]:
        return {link.id: link for link in self.links}

    @cached_property
    def department(self) -> Mapping[str, Department]:
        return {department.id: department for department in self.departments}

    def adopt(self, device: Device) -> None:
        """From now on know a device that made itself known while the program runs; ``devices`` are those of the file.

        So the store has its kind and name. Rules are made of the file, and hold for what stands there.
        """
        assert isinstance(self.device, dict)
        self.device[device.id] = device

    def department_of(self, device: Device) -> str | None:
        """Who answers for a device: its own department, else its zone's."""
        if device.department is not None:
            return device.department
        zone = self.zone.get(device.zone or "")
        return zone.department if zone else None


# -- the door ---------------------------------------------------------------------------------------------------------


def load_site(path: Path, checks: Iterable[Check] = ()) -> Site:
    """The site in ``path``. Raises ConfigError holding one sentence for every mistake found, in the file's order."""
    return build_site(read_document(path, tolerant=True), checks)


def build_site(document: Document, checks: Iterable[Check] = ()) -> Site:
    """Like ``load_site``, from a document already read."""
    problems: list[tuple[Where, str]] = []
    site: Site | None = None
    try:
        site = Site.model_validate(document.content)
    except ValidationError as error:
        problems += [(item["loc"], schema_sentence(Site, item)) for item in error.errors()]
    problems += find_mistakes(document)
    for check in checks:
        problems += check(document)
    told = [(line, f"{document.name}:{line}: {sentence}") for line, sentence in document.mistakes]
    told += [(document.line(where), document.problem(where, sentence)) for where, sentence in problems]
    if told or site is None:
        told.sort(key=lambda item: item[0])
        raise ConfigError(*dict.fromkeys(sentence for _, sentence in told))
    return site


_WANTED: Final = {
    "string_type": "text (in quotes where it looks like a number)",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list [ ]",
    "model_type": "a set of keys { }",
    "mapping_type": "a set of keys { }",
    "dict_type": "a set of keys { }",
}
_BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def schema_sentence(model: type[BaseModel], item: ErrorDetails) -> str:
    """One finding of pydantic about ``model`` as a sentence that says what is accepted, and never what a secret is."""
    where = item["loc"]
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(where[-1])
        return f"{_lead(where[:-1])}unknown key {shown(key)}; {_accepted(key, _keys_around(model, where))}"
    if kind == "missing":
        return f"{_lead(where[:-1])}the key {where[-1]!r} is missing"
    if kind == "literal_error":
        return f"{_lead(where)}{shown(value)} is not accepted; write {context['expected']}"
    if kind == "value_error":
        return f"{_lead(where)}{context['error']}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{_lead(where)}{shown(value)} is not accepted; write {words} {context[name]:g}"
    if kind in _WANTED:
        return f"{_lead(where)}expected {_WANTED[kind]}, found {shown(value)}"
    return f"{_lead(where)}{shown(value)} is not accepted ({item['msg'].lower()})"


def _lead(where: Where) -> str:
    """``store.influxdb.url: `` for a place in the file; within an entry of a list only what follows the entry."""
    if len(where) >= 2 and isinstance(where[1], int):
        where = where[2:]  # Document.entry names the entry
    words = "".join(f", entry {part + 1}" if isinstance(part, int) else f".{part}" for part in where)
    return f"{words[1:]}: " if words else ""


def _accepted(key: str, keys: Sequence[str]) -> str:
    meant = difflib.get_close_matches(key[:60], keys, 1)
    return (f"did you mean {meant[0]!r}? " if meant else "") + f"accepted are {', '.join(keys)}"


def _keys_around(model: Any, where: Where) -> tuple[str, ...]:
    """The keys that the mapping around ``where`` may have."""
    for part in where[:-1]:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation)
    return tuple(model.model_fields)


def _model_in(annotation: Any) -> Any:
    """The model inside ``Model``, ``Model | None`` or ``tuple[Model, ...]``."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next(inner for inner in annotation.__args__ if hasattr(inner, "model_fields"))


# -- mistakes that no single field shows ------------------------------------------------------------------------------


def find_mistakes(document: Document) -> list[tuple[Where, str]]:
    """Ids that stand twice, names that point to nothing, links and devices that cannot work. A Check."""
    problems: list[tuple[Where, str]] = []
    known: dict[str, frozenset[str]] = {}
    for section in ("departments", "zones", "links", "devices"):
        entries = document.entries(section)
        problems += _repeated_ids(document, entries)
        known[section] = frozenset(item["id"] for _, item in entries if isinstance(item.get("id"), str))
    for section in ("zones", "devices", "overtime"):
        for where, item in document.entries(section):
            problems += _dangling(known, where, item)
    links = {item["id"]: item for _, item in document.entries("links") if isinstance(item.get("id"), str)}
    for where, item in document.entries("devices"):
        problems += _device_problems(links, where, item)
    for where, item in document.entries("links"):
        problems += _link_problems(where, item)
    return problems + _shared_endpoints(document) + _parent_loops(document)


def _repeated_ids(document: Document, entries: Iterable[tuple[Where, Mapping[str, Any]]]) -> list[tuple[Where, str]]:
    problems: list[tuple[Where, str]] = []
    first: dict[str, int] = {}
    for where, item in entries:
        ident, place = item.get("id"), (*where, "id")
        if not isinstance(ident, str):
            continue
        if ident in first:
            problems.append((place, f"the id {shown(ident)} is taken by line {first[ident]}; ids must differ"))
        first.setdefault(ident, document.line(place))
    return problems


_POINTERS: Final = {"zone": "zones", "department": "departments", "link": "links", "parent": "devices"}


def _dangling(known: Mapping[str, frozenset[str]], where: Where, item: Mapping[str, Any]) -> list[tuple[Where, str]]:
    return [
        ((*where, key), f"{key} {shown(item[key])} does not exist; {_choices(item[key], target, known[target])}")
        for key, target in _POINTERS.items()
        if isinstance(item.get(key), str) and item[key] not in known[target]
    ]


def _choices(name: str, section: str, names: frozenset[str]) -> str:
    if not names:
        return f"the file has no {section}: at all"
    near = difflib.get_close_matches(name[:60], sorted(names), 3)
    shortlist = sorted(near) or sorted(names)[:12]
    rest = len(names) - len(shortlist)
    return f"known are {', '.join(shortlist)}" + (f" and {rest} more" if rest else "")


def _device_problems(
    links: Mapping[str, Mapping[str, Any]], where: Where, item: Mapping[str, Any]
) -> list[tuple[Where, str]]:
    problems: list[tuple[Where, str]] = []
    name = item.get("link")
    if name is not None and item.get("profile") is None:
        problems.append((where, "has a link but no profile; add profile: so that its answers can be read"))
    link = links.get(name, {}) if isinstance(name, str) else {}
    for protocols, key, meaning in _NEEDED:
        if any(protocol in link for protocol in protocols) and item.get(key) is None:
            problems.append((where, f"needs {key}:{meaning}"))
    quantities = item.get("quantities")
    for number, quantity in enumerate(quantities if isinstance(quantities, tuple) else ()):
        if isinstance(quantity, str) and quantity not in QUANTITIES:
            place = (*where, "quantities", number)
            problems.append((place, f"{shown(quantity)} is no quantity; {_accepted(quantity, tuple(QUANTITIES))}"))
    return problems


_NEEDED: Final = (
    (("modbus",), "unit", " (1 to 247), the address of the meter on its bus"),
    (("mqtt",), "topic", ", the name under which the device publishes"),
    (("dlt645", "cjt188"), "address", ", the number on the meter's plate"),
)


def _link_problems(where: Where, item: Mapping[str, Any]) -> list[tuple[Where, str]]:
    protocols = [name for name in SCHEMES if item.get(name) is not None]
    if len(protocols) != 1:
        return [(where, f"needs exactly one of {', '.join(name + ':' for name in SCHEMES)}")]
    try:
        parse_endpoint(protocols[0], item[protocols[0]])
    except ValueError as error:
        return [((*where, protocols[0]), f"{protocols[0]}: {error}")]
    return []


def _shared_endpoints(document: Document) -> list[tuple[Where, str]]:
    """Two links that would open the same socket or port: their questions and answers would mix."""
    problems: list[tuple[Where, str]] = []
    first: dict[tuple[object, ...], tuple[str, str, int]] = {}
    for where, item in document.entries("links"):
        for protocol in SCHEMES:
            try:
                endpoint = parse_endpoint(protocol, item.get(protocol))
            except ValueError:
                continue  # told by _link_problems
            # One broker may serve several logins; one bus or gateway has one voice.
            login = str(item.get("username")) if protocol == "mqtt" else ""
            wire = (endpoint.path or endpoint.host, endpoint.port, login)
            framing, place = f"{protocol} {endpoint.scheme}://", (*where, protocol)
            if wire not in first:
                first[wire] = (str(item.get("id")), framing, document.line(place))
                continue
            ident, other, line = first[wire]
            if framing == other:
                told = f"is the endpoint of link {shown(ident)} (line {line}) again; one link serves all its devices"
            else:
                told = f"is the endpoint of link {shown(ident)} (line {line}), which says {other}; keep the right one"
            problems.append((place, f"{framing} {told}"))
    return problems


def _parent_loops(document: Document) -> list[tuple[Where, str]]:
    entries = {str(item.get("id")): (where, item.get("parent")) for where, item in document.entries("devices")}
    problems = []
    for ident, (where, parent) in entries.items():
        seen = {ident}
        while isinstance(parent, str) and parent in entries and parent not in seen:
            seen.add(parent)
            parent = entries[parent][1]
        if parent == ident:
            problems.append(((*where, "parent"), "is its own parent, directly or round a loop; a main meter has none"))
    return problems
