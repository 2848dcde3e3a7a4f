"""Devices that announce themselves on a broker while the program runs, become devices and pages of their own. Pure.

Announcements are other people's text: their number and size are bounded, topics with wildcards are refused, and a name
is only ever shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from pydantic import ValidationError

from building.document import parse_document
from building.errors import ConfigError
from building.site import DAY, Device
from collector.announcements import Entity, read_announcements
from collector.discovery import page_of
from collector.profiles import Profile, parse_profile

log = logging.getLogger(__name__)

_MOST_DEVICES: Final = 1000
_MOST_ENTITIES: Final = 100  # of one device
_LONGEST_NAME: Final = 100


class Found(NamedTuple):
    """A device that announced itself; ``profile`` is None when it has taken everything back."""

    device: Device
    profile: Profile | None


class Finder:
    """Collects the announcements on link ``link``. ``taken`` are ids that devices of the file have."""

    def __init__(self, link: str, taken: Container[str]) -> None:
        self._link = link
        self._taken = taken
        self._devices: dict[str, dict[str, tuple[Entity, ...]]] = {}  # what says which device, and its words by topic
        self._of: dict[str, str] = {}  # topic of an announcement: device
        self._several: set[tuple[str, str]] = set()  # devices and quantities of which it was told that not all is read
        self._changed: dict[str, None] = {}
        self._full_told = False

    def hear(self, topic: str, payload: bytes) -> bool:
        """Take note of a message; False when it is no announcement."""
        said = read_announcements(topic, payload)
        if said is None:
            return False
        said = tuple(entity for entity in said if not entity.deleted)
        name = said[0].device if said else None
        before = self._of.get(topic)
        if before is not None and before != name:
            del self._of[topic], self._devices[before][topic]
            self._changed[before] = None
        if name is not None:
            self._take(topic, name, said)
        return True

    def _take(self, topic: str, name: str, said: tuple[Entity, ...]) -> None:
        """Remember what was ``said`` at ``topic`` of the device ``name``, if there is room."""
        known = self._devices.get(name)
        if known is None and len(self._devices) < _MOST_DEVICES:
            known = self._devices[name] = {}
        others = sum(len(entities) for place, entities in (known or {}).items() if place != topic)
        if known is None or others + len(said) > _MOST_ENTITIES:
            self._tell_full()
        elif known.get(topic) != said:
            known[topic] = said
            self._of[topic] = name
            self._changed[name] = None

    def _tell_full(self) -> None:
        if not self._full_told:
            self._full_told = True
            log.warning(
                "more than %d devices, or %d values of one, announce themselves on link %s; the rest is left out",
                _MOST_DEVICES,
                _MOST_ENTITIES,
                self._link,
            )

    def changes(self) -> list[Found]:
        """The devices whose announcements have changed since the last time."""
        changed, self._changed = self._changed, {}
        found = []
        for name in changed:
            one = self._found(name, [entity for said in self._devices[name].values() for entity in said])
            if not self._devices[name]:
                del self._devices[name]
            if one is not None:
                found.append(one)
        return found

    def _found(self, name: str, entities: list[Entity]) -> Found | None:
        """None for a name that cannot be an id, or announcements without a quantity in them."""
        ident = f"{self._link}/{name}" if name in self._taken else name
        made = page_of(entities)
        topic, page, several = made if made is not None else ("", {}, ())
        about = entities[0].config if entities else {}
        settings = {
            "id": ident,
            "link": self._link,
            "kind": kind_of(entities, page),
            "name": _name(about),
            "topic": topic,
        }
        settings |= {"reports": "on_change", "max_age": f"{_age(entities)}s"}
        try:
            device = Device.model_validate(settings)
            profile = parse_profile(parse_document(msgspec.json.encode(page), name)) if page else None
        except (ValidationError, ConfigError) as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            log.warning("what %r announces on link %s cannot be used: %s", name[:_LONGEST_NAME], self._link, why)
            return None
        for quantity in several:
            self._tell_several(ident, quantity)
        return Found(device, profile)

    def _tell_several(self, ident: str, quantity: str) -> None:
        if (ident, quantity) not in self._several:
            self._several.add((ident, quantity))
            log.warning(
                "device %r announces more than one %s; one is read. Give it a page of its own for the others: "
                "docs/new-meter.md",
                ident[:_LONGEST_NAME],
                quantity,
            )


def kind_of(entities: list[Entity], page: Mapping[str, Any]) -> str:
    """What kind of device these entities are of, by what its page tells."""
    quantities = {point["quantity"] for topic in page.get("topics", ()) for point in topic["values"]}
    components = {entity.component for entity in entities}
    classes = {str(entity.config.get("device_class")) for entity in entities if entity.component == "sensor"}
    measures = bool(quantities & {"active_power", "energy_import", "current", "voltage"})
    rules: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("aircon", lambda: bool(quantities & {"mode", "setpoint"})),
        ("gas", lambda: "gas" in classes),
        ("water", lambda: bool(quantities & {"volume", "flow"})),
        ("light", lambda: "light" in components),
        ("plug", lambda: "on" in quantities),
        ("electricity", lambda: measures),
    )
    return next((kind for kind, is_so in rules if is_so()), "sensor")


def _name(config: Mapping[str, Any]) -> str:
    about = config.get("device")
    name = about.get("name") if isinstance(about, dict) else None
    return "".join(letter for letter in name if letter.isprintable())[:_LONGEST_NAME] if isinstance(name, str) else ""


def _age(entities: list[Entity]) -> int:
    """How many seconds a value holds: as long as the most patient of the announcements says."""
    told = [entity.config.get("expire_after") for entity in entities]
    ages = [int(age) for age in told if isinstance(age, int | float) and not isinstance(age, bool) and 1 <= age < 1e6]
    return max(ages) if ages and len(ages) == len(entities) else DAY // 1000
