"""Mistakes in devices.yaml as sentences: what a single field shows, and what only several together do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from building.document import Document, Where
from building.endpoints import SCHEMES, parse_endpoint
from building.errors import listed, shown
from building.instants import from_iso
from building.quantities import QUANTITIES

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
    return problems + _shared_endpoints(document) + _parent_loops(document) + _bookings_backwards(document)


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
    return f"known are {listed(shortlist)}" + (f" and {rest} more" if rest else "")


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


def _bookings_backwards(document: Document) -> list[tuple[Where, str]]:
    site = document.content.get("site")
    zone = site.get("timezone") if isinstance(site, Mapping) else None
    tz = ZoneInfo(zone if isinstance(zone, str) and zone in available_timezones() else "UTC")
    problems = []
    for where, item in document.entries("overtime"):
        start, end = (_instant(item.get(key), tz) for key in ("start", "end"))
        if start is not None and end is not None and end <= start:
            problems.append(((*where, "end"), f"end: {shown(item['end'])} is not after start: {shown(item['start'])}"))
    return problems


def _instant(said: object, tz: ZoneInfo) -> int | None:
    """When ``said`` is, in milliseconds; None for what is no date and time, which its field tells."""
    try:
        return from_iso(said, tz) if isinstance(said, str) else None
    except (ValueError, OverflowError):
        return None
