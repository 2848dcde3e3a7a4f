"""The round after work: which lights, sockets and air conditioners are on now, by the engine's own knowledge."""

from __future__ import annotations

from typing import Any, Final

from building.site import Device, Site
from rules.memory import Memory

_ON_ABOVE: Final = {"light": 20.0, "plug": 30.0, "aircon": 50.0}  # W; below, a plug is in standby at most
_CIRCUITS: Final = {"lighting": "light", "sockets": "plug", "aircon": "aircon"}


def still_on(site: Site, memory: Memory) -> list[dict[str, Any]]:
    """One entry per device that is on: ``device, zone, department, quantity, value``. Unknown is not on."""
    found = []
    for device in site.devices:
        sort = _sort(site, device)
        track = memory.tracks.get(device.id) if sort else None
        if sort is None or track is None:
            continue
        said = {
            name: float(signal.value)
            for name, signal in track.signals.items()
            if signal.spoken and not signal.unknown and not isinstance(signal.value, str)
        }
        on = _what(sort, said)
        if on is not None:
            owner = site.department_of(device)
            found.append(
                {"device": device.id, "zone": device.zone, "department": owner, "quantity": on, "value": said[on]}
            )
    return sorted(found, key=lambda on: (str(on["department"]), str(on["zone"]), on["device"]))


def _sort(site: Site, device: Device) -> str | None:
    """light, plug or aircon; a supply meter of an air conditioner that speaks for itself counts once."""
    if device.zone is None:
        return None
    if device.kind == "electricity":
        sort = _CIRCUITS.get(device.circuit or "")
        own = any(other.kind == "aircon" and other.zone == device.zone for other in site.devices)
        return None if sort == "aircon" and own else sort
    return device.kind if device.kind in _ON_ABOVE else None


def _what(sort: str, said: dict[str, float]) -> str | None:
    """The quantity that says it is on."""
    if "active_power" in said:
        return "active_power" if said["active_power"] > _ON_ABOVE[sort] else None
    return next((name for name in ("running", "on") if said.get(name, 0.0) >= 0.5), None)
