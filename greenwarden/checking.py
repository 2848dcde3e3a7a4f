"""``greenwarden check``: is the site file right, and what would be asked of whom, how often, in how many requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from building.durations import format_duration
from building.site import Device, Site
from collector.planning import limits_of, plan, points_of
from collector.profiles import Profile, load_profile
from greenwarden import terminal
from greenwarden.door import open_site, profiles_folder


def check_site(path: Path, *, as_json: bool) -> None:
    """Print the site and its plan; raises ConfigError with every mistake."""
    site = open_site(path)
    devices = [_device(site, device, path) for device in site.devices]
    if as_json:
        terminal.emit_json({"site": site.site.name, "devices": devices})
        return
    terminal.say(
        f"{path.name}: {site.site.name}, {len(site.zones)} zones, {len(site.links)} links, {len(site.devices)} devices"
    )
    rows = [[row[key] if row[key] is not None else "" for key in _COLUMNS] for row in devices]
    terminal.out.print(terminal.table("", _COLUMNS, rows, right=(5, 6, 7)))
    terminal.say(f"{path.name} is right.")


_COLUMNS = ("device", "kind", "zone", "link", "profile", "points", "requests", "registers", "every")


def _device(site: Site, device: Device, path: Path) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= {"device": device.id, "kind": device.kind, "zone": device.zone, "link": device.link}
    row |= {"profile": device.profile, "every": format_duration(device.every)}
    if device.reports == "on_change":
        row["every"] = f"on change, {format_duration(device.max_age)}"
    if device.profile is not None:
        profile = load_profile(device.profile, profiles_folder(path))
        row |= _requests(site, device, profile)
    return row


def _requests(site: Site, device: Device, profile: Profile) -> dict[str, Any]:
    if not profile.registers:
        return {"points": sum(len(topic.values) for topic in profile.topics)}
    points = points_of(profile, device)
    blocks = plan(points, limits_of(profile))
    return {"points": len(points), "requests": len(blocks), "registers": sum(block.length for block in blocks)}
