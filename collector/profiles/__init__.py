"""A meter model is a page of data: ``<name>.yaml`` here, or in a folder ``profiles`` beside devices.yaml.

A Modbus page lists ``registers`` (where a quantity stands and how it is written there), an MQTT page ``topics`` (which
topic carries which quantity, and where in the payload). A DL/T 645 or CJ/T 188 page has ``registers`` too: there a row
names the data ``item`` it is in, and its address counts bytes within the item. What the keys mean is said at the fields
below. Pages are checked when they are loaded, with file and line of every mistake.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from building.document import Document, Where, read_document
from building.errors import ConfigError, shown
from building.quantities import QUANTITIES, Nature
from building.site import Device, Kind
from collector.units import convertible, units_of

FOLDER: Final = Path(__file__).parent

Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Table = Literal["coil", "discrete", "holding", "input", "item", "model"]
Protocol = Literal["modbus", "mqtt", "dlt645", "cjt188"]
RegisterType = Literal[
    "bit", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64",
    "bcd16", "bcd32", "bcd64", "mod10k_32", "mod10k_48", "mod10k_64", "sm16",
    "u8", "dec16", "dec24", "dec32", "sdec16", "sdec24", "sdec32", "text12", "text16",
]  # fmt: skip

READ_ITEM: Final = 17
"""Not Modbus: the read of one data item of DL/T 645 (whose control code it is) or CJ/T 188."""

READ_MODEL: Final = 83
"""Not Modbus either: registers of a SunSpec model, counted from its head, wherever the device keeps it."""

FUNCTIONS: Final[Mapping[str, int]] = {
    "coil": 1, "discrete": 2, "holding": 3, "input": 4, "item": READ_ITEM, "model": READ_MODEL,
}  # fmt: skip

WIDTHS: Final[Mapping[str, int]] = {
    "bit": 1, "u16": 1, "s16": 1, "bcd16": 1, "sm16": 1,
    "u32": 2, "s32": 2, "f32": 2, "bcd32": 2, "mod10k_32": 2, "mod10k_48": 3,
    "u64": 4, "s64": 4, "f64": 4, "bcd64": 4, "mod10k_64": 4,
    "u8": 1, "dec16": 2, "dec24": 3, "dec32": 4, "sdec16": 2, "sdec24": 3, "sdec32": 4, "text12": 6, "text16": 8,
}  # fmt: skip
"""Registers (or bits; in items, bytes) that a value of each type takes."""

ITEM_TYPES: Final = ("u8", "dec16", "dec24", "dec32", "sdec16", "sdec24", "sdec32")
"""Types of data items: decimal digits two to a byte, lowest byte first, ``s`` with the sign in the topmost bit."""

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
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _factor(value: float) -> float:
    if not 1e-12 <= abs(value) <= 1e12:
        raise ValueError("a factor lies between 1e-12 and 1e12; give the unit: the meter counts in instead")
    return value


Factor = Annotated[float, AfterValidator(_factor)]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{0,60}$")]


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
    """One value in the registers.

    A row with ``name`` instead of ``quantity`` helps others (scale factors), or is a detail that ``read`` and
    ``decode`` show and nobody stores (fan step, fault code).
    """

    quantity: str = ""
    name: Name = ""
    address: Annotated[int, Field(ge=0, le=65535)]  # on the wire, from 0
    item: Annotated[str, Field(pattern="^([0-9A-Fa-f]{4}|[0-9A-Fa-f]{8})?$")] = ""  # data item, or SunSpec model
    type: RegisterType = "u16"
    stride: Annotated[int, Field(ge=0, le=65535)] = 0  # added once per ``channel`` of the device
    table: Table | None = None  # else the page's
    order: Order | None = None  # else the device's, else the page's
    scale: Factor = 1.0  # value = (raw x scale + offset), in ``unit``
    offset: Annotated[float, Field(ge=-1e12, le=1e12)] = 0.0
    unit: str = ""  # as the meter counts; else the quantity's own
    none: Annotated[tuple[int | Literal["standard"], ...], BeforeValidator(_as_tuple)] = ()  # raw: "no value"
    words: Annotated[Mapping[int, str | int | float], BeforeValidator(_word_table)] = {}  # raw -> word or state
    bits: tuple[Annotated[int, Field(ge=0, le=63)], Annotated[int, Field(ge=1, le=64)]] | None = None
    """(lowest bit, how many) of the raw value."""
    times: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()  # helper rows to multiply by
    tens: str = ""  # helper row holding a power of ten (SunSpec scale factor)
    plus: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()  # helper rows to add (tariffs), counted as this
    form: Literal["plain", "four_quadrant"] = "plain"  # four_quadrant: Schneider's way to write a power factor
    wraps_at: Annotated[float, Field(gt=0)] | None = None  # raw counter goes to 0 here; else its type says where
    off_by: str = ""  # for mode: the quantity of this page that says 0 while the machine is off
    group: Literal["fast", "slow", "identity"] = "fast"  # identity: rows with ``name``, asked once a day

    @property
    def width(self) -> int:
        return WIDTHS[self.type]

    @property
    def helpers(self) -> tuple[str, ...]:
        """The helper rows this one cannot do without."""
        return (*self.times, *self.plus, *filter(None, [self.tens]))


class TopicPoint(_Frozen):
    """One value in an MQTT payload. Without ``path`` the whole payload is the value, as text.

    With ``name`` instead of ``quantity`` it is a detail that ``decode`` shows and nobody stores.
    """

    quantity: str = ""
    name: Name = ""
    path: Annotated[tuple[Text, ...], BeforeValidator(_as_tuple)] = ()  # dotted; several: the first that is there
    scale: Factor = 1.0
    unit: str = ""  # "@TempUnit": what stands at that path of the same payload
    words: Mapping[str, str | int] = {}  # payload words (case does not matter) -> word or state
    many: Literal["sum", "mean", "skip"] | None = None  # what a list means when the device has no ``channel``
    text: bool = False  # numbers come as text
    unless: str = ""  # not when this path is in the payload
    beside: str = ""  # only when this path is in the payload too
    plus: Annotated[tuple[Text, ...], BeforeValidator(_as_tuple)] = ()  # paths of numbers to add; all must be there
    when: Annotated[str, Field(pattern="^([^=]+=[^=]+)?$")] = ""  # only with this word at this path: system_mode=cool
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
    protocol: Protocol
    models: tuple[str, ...] = ()  # makers' names of the devices it is for
    kinds: tuple[Kind, ...] = ()
    meter_type: Annotated[int, Field(ge=0, le=0xFF)] = 0x10  # CJ/T 188: 0x10 cold water, 0x20 heat, 0x30 gas
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
        named += [point.quantity for topic in self.topics for point in topic.values if point.quantity]
        return tuple(dict.fromkeys(named))


# -- loading ----------------------------------------------------------------------------------------------------------


def profile_names(folder: Path | None = None) -> list[str]:
    """Every page there is, the user's own in ``folder`` among them."""
    return sorted({page.stem for place in (FOLDER, folder) if place is not None for page in place.glob("*.yaml")})


def load_profile(name: str, folder: Path | None = None) -> Profile:
    """The page ``name``; a user's own in ``folder`` goes before ours. Raises ConfigError, one sentence per mistake."""
    if name not in profile_names(folder):
        near = difflib.get_close_matches(name[:60], profile_names(folder), 3)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"there is no profile {shown(name)}; {meant}all are listed in docs/meters.md")
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


_KEYS: Final = frozenset(name for page in (Profile, RegisterPoint, Topic, TopicPoint) for name in page.model_fields)


def _problem(document: Document, item: Any) -> str:
    where = tuple(part for part in item["loc"] if not str(part).startswith(("function-", "tagged-")))
    named = [part for part in where if item["type"] in ("extra_forbidden", "missing") or part in _KEYS]
    key, value = (str(named[-1]) if named else "the page"), item.get("input")
    sentences = {
        "extra_forbidden": f"unknown key {shown(key)}",
        "missing": f"the key '{key}' is missing",
        "literal_error": f"{key}: {shown(value)} is not accepted; write one of {item.get('ctx', {}).get('expected')}",
    }
    told = str(item["msg"]).removeprefix("Value error, ").lower()
    return document.problem(where, sentences.get(item["type"], f"{key}: {shown(value)}: {told}"))


def _mistakes(profile: Profile) -> Iterator[tuple[Where, str]]:
    if (profile.protocol == "mqtt") != bool(profile.topics) or (profile.protocol != "mqtt") != bool(profile.registers):
        yield ("protocol",), "an mqtt page has topics:, any other page has registers:, and none has both"
    for number, row in enumerate(profile.registers):
        for sentence in _row_mistakes(profile, row):
            yield ("registers", number), sentence
    yield from _overlaps(profile)
    for number, topic in enumerate(profile.topics):
        if "{topic}" not in topic.topic:
            yield (
                ("topics", number, "topic"),
                f"{shown(topic.topic)} must contain {{topic}}, the device's name on the broker",
            )
        for place, point in enumerate(topic.values):
            where = ("topics", number, "values", place)
            if bool(point.quantity) == bool(point.name):
                yield where, "a value has either quantity: or name: (a detail nobody stores)"
            elif point.quantity:
                for sentence in _quantity_mistakes(point.quantity, point.unit, point.words.values()):
                    yield where, sentence


def _row_mistakes(profile: Profile, row: RegisterPoint) -> Iterator[str]:
    if bool(row.quantity) == bool(row.name):
        yield "a row has either quantity: or name: (a helper for other rows)"
    if row.quantity:
        yield from _quantity_mistakes(row.quantity, row.unit, row.words.values())
    if row.type.startswith("text") and not row.name:
        yield "a text is no quantity; write name: (a detail; with group: identity, what tells devices apart)"
    helpers = {other.name: other for other in profile.registers if other.name}
    for helper in row.helpers:
        if helper not in helpers:
            yield f"{shown(helper)} is no helper row; known are {', '.join(sorted(helpers)) or 'none'}"
        elif row.quantity and helpers[helper].helpers:
            yield f"{shown(helper)} needs a helper itself; name all of them here: {', '.join(helpers[helper].helpers)}"
    if row.unit.startswith("@"):
        yield f"unit: {shown(row.unit)} points into a message; registers have a unit such as W"
    if row.quantity == "mode" and not row.words:
        yield "mode is a word; say with words: which number means which, such as {0: auto, 4: cool}"
    if row.bits is not None and row.type in ("f32", "f64"):
        yield f"bits: a number of type {row.type} has none that can be cut out; write u16 or u32"
    if row.off_by and row.off_by not in profile.quantities:
        yield f"off_by: {shown(row.off_by)} is no quantity of this page"
    if (row.type == "bit") != ((row.table or profile.table) in ("coil", "discrete")):
        yield "type bit belongs to table coil or discrete, and nothing else does"
    if (row.type in ITEM_TYPES) != (profile.protocol in ("dlt645", "cjt188")):
        yield f"type {row.type} does not belong to a {profile.protocol} page"
    if bool(row.item) != ((row.table or profile.table) in ("item", "model")):
        yield "item: belongs to table item or model, and nothing else does"
    if row.address + row.width > 65536:
        yield "the value runs over the last address, 65535"
    if row.width > profile.max_block:
        yield f"the value is wider than max_block ({profile.max_block})"
    for first, last in profile.holes:
        if row.address <= last and row.address + row.width > first:
            yield f"the value lies in the hole {first} to {last}"


def _quantity_mistakes(name: str, unit: str, words: Iterable[str | int | float]) -> Iterator[str]:
    quantity = QUANTITIES.get(name)
    if quantity is None:
        yield f"{shown(name)} is no quantity; known are {', '.join(QUANTITIES)}"
        return
    if unit and not unit.startswith("@") and not convertible(unit, quantity):
        yield f"{name} cannot be counted in {shown(unit)}; known are {', '.join(units_of(quantity))}"
    for word in words:
        fits = word in quantity.words if quantity.nature is Nature.WORD else word in (0, 1)
        if not fits:
            yield f"{name} cannot be {shown(word)}; it is one of {', '.join(quantity.words) or '0, 1'}"


def _overlaps(profile: Profile) -> Iterator[tuple[Where, str]]:
    """Two values that share some but not all registers: one address is a slip of the pen."""
    placed = sorted(
        ((row.table or profile.table) + row.item, row.address, row.address + row.width, number)
        for number, row in enumerate(profile.registers)
        if row.table not in ("coil", "discrete") and row.bits is None
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
            f"the profile '{name}' needs a link with {profile.protocol}:, {shown(link.get('id'))} has none",
        )
    if profile.kinds and item.get("kind") not in profile.kinds:
        yield (
            (*where, "kind"),
            f"the profile '{name}' is for {', '.join(profile.kinds)}, not for {shown(item.get('kind'))}",
        )
    units = [row.unit for row in profile.registers] + [p.unit for topic in profile.topics for p in topic.values]
    if "pulse" in units and item.get("litres_per_pulse") is None:
        yield where, f"the profile '{name}' counts pulses; add litres_per_pulse: as on the meter's plate"
    number = item.get("address")
    digits = {"dlt645": 12, "cjt188": 14}.get(profile.protocol)
    if digits and number is not None and not (str(number).isdecimal() and len(str(number)) <= digits):
        yield (*where, "address"), f"{shown(number)} is no meter number; it has up to {digits} digits and nothing else"
    topic = item.get("topic")
    if profile.topics and isinstance(topic, str) and set("+#") & set(topic):
        yield (*where, "topic"), f"{shown(topic)} must be the name of one device; '+' and '#' are not allowed in it"
    channel = item.get("channel")
    if not isinstance(channel, int) or channel <= 0 or not profile.registers:
        return
    if not any(row.stride for row in profile.registers):
        yield (*where, "channel"), f"the profile '{name}' has no channels; leave channel: out"
    elif any(row.address + row.stride * channel + row.width > 65536 for row in profile.registers):
        yield (*where, "channel"), f"channel {channel} of the profile '{name}' lies beyond the last address, 65535"


def address_of(row: RegisterPoint, device: Device) -> int:
    """Where ``row`` stands for this device: its channel counts from 0.

    A byte of a data item (a register of a SunSpec model) stands at item x 256 + its place, so that bytes of one item
    are neighbours and items are not.
    """
    return (int(row.item, 16) << 8 if row.item else 0) + row.address + row.stride * (device.channel or 0)
