"""devices.yaml as frozen objects: everything the house knows about one building, checked once at the door.

``load_site`` reads, checks and freezes; behind it there is no ``.get("…")``. What only a wing can judge (does this
profile exist, has this rule such a parameter) is asked of that wing by the checks handed in, so that all mistakes of
a file are told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from building.document import Document, Where, read_document
from building.durations import Duration, Period
from building.endpoints import SCHEMES, Endpoint, ListenAddress, WebAddress, parse_endpoint
from building.errors import ConfigError, shown
from building.fields import DateText, Frozen, Ident, InstantText, SecretField, TimeZone
from building.hours import Season, SeasonField, WorkingHours, working_hours
from building.mistakes import find_mistakes, schema_sentence

Check = Callable[[Document], Iterable[tuple[Where, str]]]
"""A wing's own look at the document: yields the place of each mistake and the sentence about it."""

Kind = Literal["electricity", "plug", "light", "water", "aircon", "sensor", "gas", "heat", "fuel"]
Circuit = Literal["main", "lighting", "sockets", "aircon", "lift", "pump", "other"]

MINUTE: Final = 60_000
DAY: Final = 24 * 60 * MINUTE


class Link(Frozen):
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


class Quota(Frozen):
    """What a department may use in a year."""

    electricity: Annotated[float, Field(gt=0)] | None = None  # kWh
    water: Annotated[float, Field(gt=0)] | None = None  # m3


class Department(Frozen):
    """A unit of the organisation that answers for its zones."""

    id: Ident
    name: str = ""
    headcount: Annotated[int, Field(ge=0)] = 0
    area: Annotated[float, Field(gt=0)] | None = None  # m2
    quota: Quota = Quota()
    working_hours: WorkingHours | None = None


class Zone(Frozen):
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


def _not_tiny(value: float) -> float:
    if value < 0.0001:
        raise ValueError(f"{value:g} is not accepted; write at least 0.0001")
    return value


Ratio = Annotated[float, Field(gt=0, le=1_000_000), AfterValidator(_not_tiny)]
"""Of a transformer, or what a pulse weighs; wider than any there is, so that a slip of the pen is told."""


class Device(Frozen):
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
    litres_per_pulse: Ratio | None = None
    rated_power: Annotated[float, Field(gt=0)] | None = None  # W
    ct_ratio: Ratio = 1.0
    vt_ratio: Ratio = 1.0
    invert: bool = False
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] | None = None

    @property
    def title(self) -> str:
        return self.name or self.appliance or self.id

    @property
    def stale_after(self) -> int:
        """Milliseconds after which the last value no longer says what is so now."""
        return self.max_age if self.reports == "on_change" else 3 * self.every


class Tariffs(Frozen):
    """Prices per kWh (electricity, heat) and per m3 (water, gas, fuel), and the currency; one not told is unknown."""

    electricity: Annotated[float, Field(ge=0)] | None = None
    water: Annotated[float, Field(ge=0)] | None = None
    heat: Annotated[float, Field(ge=0)] | None = None
    gas: Annotated[float, Field(ge=0)] | None = None
    fuel: Annotated[float, Field(ge=0)] | None = None
    currency: str = "CNY"


class Factors(Frozen):
    """kg CO2 per kWh of the grid (national mean 2023: 0.5306) and kgce per kWh (GB/T 2589-2020: 0.1229).

    ``heat_co2`` (per kWh), ``gas_co2`` and ``fuel_co2`` (per m3) depend on the supplier: unknown unless told. So are
    ``heat_coal`` (kgce per kWh), ``gas_coal`` and ``fuel_coal`` (kgce per m3).
    """

    grid_co2: Annotated[float, Field(ge=0)] = 0.5306
    heat_co2: Annotated[float, Field(ge=0)] | None = None
    gas_co2: Annotated[float, Field(ge=0)] | None = None
    fuel_co2: Annotated[float, Field(ge=0)] | None = None
    standard_coal: Annotated[float, Field(ge=0)] = 0.1229
    heat_coal: Annotated[float, Field(ge=0)] | None = None
    gas_coal: Annotated[float, Field(ge=0)] | None = None
    fuel_coal: Annotated[float, Field(ge=0)] | None = None


class Overtime(Frozen):
    """A booking: people of a zone or department are expected outside working hours (local times, ISO 8601)."""

    zone: Ident | None = None
    department: Ident | None = None
    start: InstantText
    end: InstantText


class SiteInfo(Frozen):
    """The head of the file: where the building is, when it works, what its energy costs."""

    name: str = "site"
    timezone: TimeZone = "Asia/Shanghai"
    language: Literal["zh", "en"] = "zh"
    calendar: Literal["china", "none"] = "china"
    extra_holidays: tuple[DateText, ...] = ()
    extra_workdays: tuple[DateText, ...] = ()
    working_hours: WorkingHours = working_hours({"mon-fri": ("08:30-12:00", "13:30-17:30")})
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


class InfluxSettings(Frozen):
    """How to reach an InfluxDB of any age; ``/ping`` says which one it is."""

    url: WebAddress
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


class QueueLimits(Frozen):
    """How much the queue on disk may hold before the oldest is folded."""

    hours: Annotated[float, Field(gt=0)] = 24.0 * 30
    megabytes: Annotated[float, Field(gt=0)] = 2048.0


class Retention(Frozen):
    """How many days the embedded store keeps readings as they came, and then folded to quarters of an hour.

    After that it keeps hours, for ever. Left out, every reading is kept as it came.
    """

    raw_days: Annotated[float, Field(ge=1)] | None = None
    quarter_days: Annotated[float, Field(ge=1)] | None = None


class StoreSettings(Frozen):
    """Where readings go: the embedded store by default, or an InfluxDB."""

    influxdb: InfluxSettings | None = None
    data: str = "data"  # folder of the queue and the embedded store, beside devices.yaml
    queue: QueueLimits = QueueLimits()
    keep: Retention = Retention()


class MetricsSettings(Frozen):
    """Where the program answers ``GET /metrics`` for Prometheus: host and port (0: any free one)."""

    listen: ListenAddress = "127.0.0.1:9105"


class Site(Frozen):
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
