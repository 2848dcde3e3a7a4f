"""A meter model is a page of data: ``<name>.yaml`` here, or in a folder ``profiles`` beside devices.yaml.

A Modbus page lists ``registers`` (where a quantity stands and how it is written there), an MQTT page ``topics`` (which
topic carries which quantity, and where in the payload). What the keys mean is said at the fields below. Pages are
checked when they are loaded, with file and line of every mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from building.document import Document, Where, read_document
from building.errors import ConfigError
from building.quantities import QUANTITIES, Nature
from building.site import Device, Kind
from collector.units import convertible, units_of

FOLDER: Final = Path(__file__).parent

Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Table = Literal["coil", "discrete", "holding", "input"]
RegisterType = Literal[
    "bit", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64",
    "bcd16", "bcd32", "bcd64", "mod10k_32", "mod10k_48", "mod10k_64", "sm16",
]  # fmt: skip

FUNCTIONS: Final[Mapping[str, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

WIDTHS: Final[Mapping[str, int]] = {
    "bit": 1, "u16": 1, "s16": 1, "bcd16": 1, "sm16": 1,
    "u32": 2, "s32": 2, "f32": 2, "bcd32": 2, "mod10k_32": 2, "mod10k_48": 3,
    "u64": 4, "s64": 4, "f64": 4, "bcd64": 4, "mod10k_64": 4,
}  # fmt: skip
"""Registers (or bits) that a value of each type takes."""

STANDARD_MARKS: Final[Mapping[str, tuple[int, ...]]] = {
    "u16": (0xFFFF,),
    "s16": (-0x8000, 0x7FFF),
    "u32": (0xFFFFFFFF,),
    "s32": (-0x80000000, 0x7FFFFFFF),
    "u64": (0xFFFFFFFFFFFFFFFF,),
    "s64": (-0x8000000000000000, 0x7FFFFFFFFFFFFFFF),
}
"""What ``none: standard`` means for each type; NaN and the infinities are no value in every float."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _as_tuple(value: object) -> object:
    return value if isinstance(value, tuple) else (value,)


def _word_table(value: object) -> object:
    """YAML keys are text; a raw number may be written decimal or hex."""
    if not isinstance(value, Mapping):
        return value
    try:
        return {int(key, 0): word for key, word in value.items()}
    except ValueError:
        raise ValueError("the left side of words: must be numbers, such as {0: auto, 4: cool}") from None


class RegisterPoint(_Frozen):
    """One value in the registers. A row with ``name`` instead of ``quantity`` only helps others (scale factors)."""

    quantity: str = ""
    name: str = ""
    address: Annotated[int, Field(ge=0, le=65535)]  # on the wire, from 0
    type: RegisterType = "u16"
    stride: Annotated[int, Field(ge=0)] = 0  # added once per ``channel`` of the device
    table: Table | None = None  # else the page's
    order: Order | None = None  # else the device's, else the page's
    scale: float = 1.0  # value = (raw x scale + offset), in ``unit``
    offset: float = 0.0
    unit: str = ""  # as the meter counts; else the quantity's own
    none: Annotated[tuple[int | Literal["standard"], ...], BeforeValidator(_as_tuple)] = ()  # raw: "no value"
    words: Annotated[Mapping[int, str | int], BeforeValidator(_word_table)] = {}  # raw -> word or state
    bits: tuple[int, int] | None = None  # (lowest bit, how many) of the raw value
    times: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()  # helper rows to multiply by
    tens: str = ""  # helper row holding a power of ten (SunSpec scale factor)
    off_by: str = ""  # for mode: the quantity of this page that says 0 while the machine is off
    group: Literal["fast", "slow"] = "fast"

    @property
    def width(self) -> int:
        return WIDTHS[self.type]


class TopicPoint(_Frozen):
    """One value in an MQTT payload. Without ``path`` the whole payload is the value, as text."""

    quantity: str
    path: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()  # dotted; several: the first that is there
    scale: float = 1.0
    unit: str = ""  # "@TempUnit": what stands at that path of the same payload
    words: Mapping[str, str | int] = {}  # payload words (case does not matter) -> word or state
    many: Literal["sum", "mean", "skip"] | None = None  # what a list means when the device has no ``channel``
    text: bool = False  # numbers come as text
    unless: str = ""  # not when this path is in the payload
    bare: bool = False  # the payload may also be the bare word or number instead of an object


class Topic(_Frozen):
    """A topic a device publishes. ``{topic}`` is its name there, ``{channel}`` its input, ``{channel1}`` from 1."""

    topic: str
    root: str = ""  # everything stands below this path
    time: str = ""  # path of the device's own time (ISO 8601, or Unix seconds or milliseconds)
    trusted: bool = False  # the broker's retained copy is true now (last wills)
    values: tuple[TopicPoint, ...]


class Profile(_Frozen):
    """One page. ``max_block`` and ``max_gap`` are in registers; ``holes`` are first and last unreadable address."""

    title: str
    source: str
    protocol: Literal["modbus", "mqtt"]
    kinds: tuple[Kind, ...] = ()
    table: Table = "holding"
    order: Order = "ABCD"
    max_block: Annotated[int, Field(ge=1, le=125)] = 125
    max_gap: Annotated[int, Field(ge=0, le=124)] = 16
    holes: tuple[tuple[int, int], ...] = ()
    registers: tuple[RegisterPoint, ...] = ()
    topics: tuple[Topic, ...] = ()

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """What a device of this page can tell."""
        named = [row.quantity for row in self.registers if row.quantity]
        named += [point.quantity for topic in self.topics for point in topic.values]
        return tuple(dict.fromkeys(named))


# -- loading ----------------------------------------------------------------------------------------------------------


def profile_names(folder: Path | None = None) -> list[str]:
    """Every page there is, the user's own in ``folder`` among them."""
    return sorted({page.stem for place in (FOLDER, folder) if place is not None for page in place.glob("*.yaml")})


def load_profile(name: str, folder: Path | None = None) -> Profile:
    """The page ``name``; a user's own in ``folder`` goes before ours. Raises ConfigError, one sentence per mistake."""
    if name not in profile_names(folder):
        raise ConfigError(f"there is no profile '{name}'; known are {', '.join(profile_names(folder))}")
    own = folder / f"{name}.yaml" if folder is not None else None
    return _load(own if own is not None and own.is_file() else FOLDER / f"{name}.yaml")


@lru_cache(maxsize=256)
def _load(path: Path) -> Profile:
    return parse_profile(read_document(path))


def parse_profile(document: Document) -> Profile:
    """A page already read. Raises ConfigError."""
    try:
        profile = Profile.model_validate(document.content)
    except ValidationError as error:
        raise ConfigError(*(_problem(document, item) for item in error.errors())) from None
    problems = [document.problem(where, sentence) for where, sentence in _mistakes(profile)]
    if problems:
        raise ConfigError(*problems)
    return profile


def _problem(document: Document, item: Any) -> str:
    where = tuple(part for part in item["loc"] if not str(part).startswith(("function-", "tagged-")))
    key, value = (str(where[-1]) if where else ""), item.get("input")
    sentences = {
        "extra_forbidden": f"unknown key '{key}'",
        "missing": f"the key '{key}' is missing",
        "literal_error": f"{key}: {value!r} is not accepted; write one of {item.get('ctx', {}).get('expected')}",
    }
    return document.problem(where, sentences.get(item["type"], f"{key}: {value!r}: {item['msg'].lower()}"))


def _mistakes(profile: Profile) -> Iterator[tuple[Where, str]]:
    if (profile.protocol == "modbus") != bool(profile.registers) or (profile.protocol == "mqtt") != bool(
        profile.topics
    ):
        yield ("protocol",), "a modbus page has registers:, an mqtt page has topics:, and neither has both"
    for number, row in enumerate(profile.registers):
        for sentence in _row_mistakes(profile, row):
            yield ("registers", number), sentence
    yield from _overlaps(profile)
    for number, topic in enumerate(profile.topics):
        if "{topic}" not in topic.topic:
            yield (
                ("topics", number, "topic"),
                f"'{topic.topic}' must contain {{topic}}, the device's name on the broker",
            )
        for place, point in enumerate(topic.values):
            where = ("topics", number, "values", place)
            for sentence in _quantity_mistakes(point.quantity, point.unit, point.words.values()):
                yield where, sentence


def _row_mistakes(profile: Profile, row: RegisterPoint) -> Iterator[str]:
    if bool(row.quantity) == bool(row.name):
        yield "a row has either quantity: or name: (a helper for other rows)"
    if row.quantity:
        yield from _quantity_mistakes(row.quantity, row.unit, row.words.values())
    helpers = {other.name for other in profile.registers if other.name}
    for helper in (*row.times, *filter(None, [row.tens])):
        if helper not in helpers:
            yield f"'{helper}' is no helper row; known are {', '.join(sorted(helpers)) or 'none'}"
    if row.off_by and row.off_by not in profile.quantities:
        yield f"off_by: '{row.off_by}' is no quantity of this page"
    if (row.type == "bit") != ((row.table or profile.table) in ("coil", "discrete")):
        yield "type bit belongs to table coil or discrete, and nothing else does"
    if row.address + row.width > 65536:
        yield "the value runs over the last address, 65535"
    if row.width > profile.max_block:
        yield f"the value is wider than max_block ({profile.max_block})"
    for first, last in profile.holes:
        if row.address <= last and row.address + row.width > first:
            yield f"the value lies in the hole {first} to {last}"


def _quantity_mistakes(name: str, unit: str, words: Iterable[str | int]) -> Iterator[str]:
    quantity = QUANTITIES.get(name)
    if quantity is None:
        yield f"'{name}' is no quantity; known are {', '.join(QUANTITIES)}"
        return
    if unit and not unit.startswith("@") and not convertible(unit, quantity):
        yield f"{name} cannot be counted in '{unit}'; known are {', '.join(units_of(quantity))}"
    for word in words:
        fits = word in quantity.words if quantity.nature is Nature.WORD else word in (0, 1)
        if not fits:
            yield f"{name} cannot be {word!r}; it is one of {', '.join(quantity.words) or '0, 1'}"


def _overlaps(profile: Profile) -> Iterator[tuple[Where, str]]:
    """Two values that share some but not all registers: one address is a slip of the pen."""
    placed = sorted(
        (row.table or profile.table, row.address, row.address + row.width, number)
        for number, row in enumerate(profile.registers)
        if row.table not in ("coil", "discrete")
    )
    for (table, start, end, _), (other, begin, stop, number) in pairwise(placed):
        if table == other and begin < end and (start, end) != (begin, stop):
            yield ("registers", number, "address"), f"the values at {start} and {begin} overlap"


# -- the check of devices.yaml ----------------------------------------------------------------------------------------


def check_profiles(document: Document, folder: Path | None = None) -> Iterable[tuple[Where, str]]:
    """Whether each device's profile exists, fits its link and kind, and has all it needs (a building.site.Check)."""
    links = {str(item.get("id")): item for _, item in document.entries("links")}
    problems: list[tuple[Where, str]] = []
    for where, item in document.entries("devices"):
        name = item.get("profile")
        if not isinstance(name, str):
            continue
        try:
            profile = load_profile(name, folder)
        except ConfigError as error:
            problems += [((*where, "profile"), sentence) for sentence in error.problems]
            continue
        problems += _device_mistakes(where, item, name, profile, links.get(str(item.get("link"))))
    return problems


def _device_mistakes(
    where: Where, item: Mapping[str, Any], name: str, profile: Profile, link: Mapping[str, Any] | None
) -> Iterator[tuple[Where, str]]:
    if link is not None and link.get(profile.protocol) is None:
        yield (
            (*where, "link"),
            f"the profile '{name}' needs a link with {profile.protocol}:, '{link.get('id')}' has none",
        )
    if profile.kinds and item.get("kind") not in profile.kinds:
        yield (*where, "kind"), f"the profile '{name}' is for {', '.join(profile.kinds)}, not for {item.get('kind')}"
    units = [row.unit for row in profile.registers] + [p.unit for topic in profile.topics for p in topic.values]
    if "pulse" in units and item.get("litres_per_pulse") is None:
        yield where, f"the profile '{name}' counts pulses; add litres_per_pulse: as on the meter's plate"
    topic = item.get("topic")
    if profile.topics and isinstance(topic, str) and set("+#") & set(topic):
        yield (*where, "topic"), f"'{topic}' must be the name of one device; '+' and '#' are not allowed in it"
    channel = item.get("channel")
    if isinstance(channel, int) and channel > 0 and profile.registers and not any(r.stride for r in profile.registers):
        yield (*where, "channel"), f"the profile '{name}' has no channels; leave channel: out"


def address_of(row: RegisterPoint, device: Device) -> int:
    """Where ``row`` stands for this device: its channel counts from 0."""
    return row.address + row.stride * (device.channel or 0)
