"""``greenwarden check``: is the site file right, and what would be asked of whom, how often, in how many requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from building.calendar import WorkCalendar, missing_holidays
from building.durations import format_duration
from building.site import MINUTE, Device, Link, Site
from collector.links.wires import baudrate_of
from collector.planning import DevicePlan, plan_of
from collector.profiles import load_profile
from greenwarden import terminal
from greenwarden.door import open_site, profiles_folder

_WIDE: Final = 120  # columns from which a terminal shows the long table
_NAMED: Final = 8  # devices named in one sentence
_FULL: Final = 0.7  # share of a serial line's time from which late polls are likely: the meters' own delay comes on top
_USUAL_BAUD: Final = {"dlt645": {"baudrate": "2400"}, "cjt188": {"baudrate": "2400"}}

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "device": "device", "kind": "kind", "zone": "zone", "link": "link", "profile": "profile", "points": "points",
        "requests": "requests", "registers": "registers", "every": "every", "address": "address",
        "devices": "devices", "per_minute": "requests/min", "share": "line busy",
        "head": "{file}: {site}, {zones}, {links}, {devices}", "right": "{file} is right.",
        "zones_1": "{n} zone", "zones_n": "{n} zones", "links_1": "{n} link", "links_n": "{n} links",
        "devices_1": "{n} device", "devices_n": "{n} devices",
        "on_change": "on change, {age}",
        "full": "link {link} takes {share} of its line's time before any meter's delay: polls will come late. "
        "Raise every: or slow:, raise the baud rate, or spread the meters over two lines.",
        "unasked": "Without link: {devices}. Nobody asks them; they are for a replay, or for meters read by hand "
        "(greenwarden meter reading).",
    },
    "zh": {
        "device": "设备", "kind": "类型", "zone": "区域", "link": "通信", "profile": "型号", "points": "测点",
        "requests": "请求", "registers": "寄存器", "every": "周期", "address": "地址", "devices": "设备数",
        "per_minute": "请求/分", "share": "总线占用",
        "head": "{file}：{site}，{zones}，{links}，{devices}", "right": "{file} 无误。",
        "zones_1": "{n} 个区域", "zones_n": "{n} 个区域", "links_1": "{n} 条通信", "links_n": "{n} 条通信",
        "devices_1": "{n} 台设备", "devices_n": "{n} 台设备",
        "on_change": "变化时上报，{age}",
        "full": "通信 {link} 仅报文就占用总线 {share} 的时间，轮询会延迟。"
        "请加大 every: 或 slow:，提高波特率，或分成两条总线。",
        "unasked": "未设 link: 的设备：{devices}。程序不会采集它们，"
        "只用于回放或人工抄表（greenwarden meter reading）。",
    },
}  # fmt: skip


class _Serial(NamedTuple):
    """A link's serial line as the file names it; behind a serial server or a gateway its speed is not known."""

    baudrate: int
    framing: str


def check_site(path: Path, *, as_json: bool, now: int) -> None:
    """Print the site and its plan, and what is missing at ``now`` (ms); raises ConfigError with every mistake."""
    site = open_site(path)
    year = WorkCalendar(site).missing_year(now)
    plans = {device.id: _plans(site, device, path) for device in site.devices}
    devices = [_device(device, plans[device.id], path, _WORDS["en"]) for device in site.devices]
    links = [_link(site, link, plans) for link in site.links]
    if as_json:
        found = {"site": site.site.name, "devices": devices, "links": links, "missing_holidays": year}
        terminal.emit_json(found)
        return
    words = _WORDS[site.site.language]
    counts = {"zones": len(site.zones), "links": len(site.links), "devices": len(site.devices)}
    told = {what: words[f"{what}_{1 if n == 1 else 'n'}"].format(n=n) for what, n in counts.items()}
    terminal.say(words["head"].format(file=path.name, site=site.site.name, **told))
    _show_devices([_device(device, plans[device.id], path, words) for device in site.devices], words)
    _show_links(links, words)
    unasked = [device.id for device in site.devices if device.link is None]
    if unasked:
        terminal.say(words["unasked"].format(devices=_some(unasked, words)))
    if year is not None:
        terminal.say(missing_holidays(year, site.site.language))
    terminal.say(words["right"].format(file=path.name))


def _some(names: Sequence[str], words: Mapping[str, str]) -> str:
    return ", ".join(names[:_NAMED]) + (f", … ({len(names)} {words['devices']})" if len(names) > _NAMED else "")


_COLUMNS: Final = ("device", "kind", "zone", "link", "profile", "points", "requests", "registers", "every")
_NARROW: Final = ("device", "link", "points", "requests", "registers", "every")
_LINK_COLUMNS: Final = ("link", "address", "devices", "per_minute", "share")
_NUMBERS: Final = ("points", "requests", "registers", "devices", "per_minute", "share")


def _show(columns: Sequence[str], rows: Sequence[Mapping[str, object]], words: Mapping[str, str]) -> None:
    right = [place for place, name in enumerate(columns) if name in _NUMBERS]
    cells = [["" if row[name] is None else row[name] for name in columns] for row in rows]
    terminal.out.print(terminal.table("", [words[name] for name in columns], cells, right=right))


def _show_devices(rows: Sequence[Mapping[str, object]], words: Mapping[str, str]) -> None:
    asked = [row if row["link"] is not None else {**row, "every": None} for row in rows]  # of the others nobody asks
    _show(_COLUMNS if terminal.out.width >= _WIDE else _NARROW, asked, words)


def _show_links(links: Sequence[Mapping[str, Any]], words: Mapping[str, str]) -> None:
    if not links:
        return
    rows = [
        {
            **link,
            "per_minute": None if link["requests_per_minute"] is None else f"{link['requests_per_minute']:.1f}",
            "share": None if link["line_share"] is None else f"{link['line_share']:.0%}",
        }
        for link in links
    ]
    _show(_LINK_COLUMNS, rows, words)
    for row, link in zip(rows, links, strict=True):
        if link["line_share"] is not None and link["line_share"] > _FULL:
            terminal.say(words["full"].format(link=link["link"], share=row["share"]))


def _device(device: Device, plans: Sequence[DevicePlan], path: Path, words: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= {"device": device.id, "kind": device.kind, "zone": device.zone, "link": device.link}
    row |= {"profile": device.profile, "every": format_duration(device.every)}
    if device.slow is not None:
        row["every"] += f", {format_duration(device.slow)}"
    if device.reports == "on_change":
        row["every"] = words["on_change"].format(age=format_duration(device.max_age))
    if plans:
        row["points"] = sum(plan.points for plan in plans)
        row["requests"] = sum(plan.requests for plan in plans)
        row["registers"] = sum(plan.registers for plan in plans)
    elif device.profile is not None:
        profile = load_profile(device.profile, profiles_folder(path))
        row["points"] = sum(bool(point.quantity) for topic in profile.topics for point in topic.values)
    return row


def _plans(site: Site, device: Device, path: Path) -> list[DevicePlan]:
    """What is asked of ``device``; nothing of one that speaks by itself."""
    link = site.link.get(device.link or "")
    if device.profile is None or link is None:
        return []
    profile = load_profile(device.profile, profiles_folder(path))
    if not profile.registers:
        return []
    serial = _serial(link)
    if serial is None:
        return plan_of(device, profile)
    return plan_of(device, profile, baudrate=serial.baudrate, pause=link.pause, framing=serial.framing)


def _serial(link: Link) -> _Serial | None:
    endpoint = link.endpoint
    if not endpoint.path:
        return None
    framing = endpoint.scheme if link.protocol == "modbus" else link.protocol
    return _Serial(baudrate_of({**_USUAL_BAUD.get(link.protocol, {}), **endpoint.options}), framing)


def _link(site: Site, link: Link, plans: Mapping[str, Sequence[DevicePlan]]) -> dict[str, Any]:
    """``line_share`` is the part of a serial line's time that its frames take; None for lines of unknown speed."""
    devices = [device for device in site.devices if device.link == link.id]
    asked = [plan for device in devices for plan in plans[device.id]]
    return {
        "link": link.id,
        "address": getattr(link, link.protocol),
        "devices": len(devices),
        "requests_per_minute": sum(plan.requests * MINUTE / plan.every for plan in asked) if asked else None,
        "line_share": sum(plan.share for plan in asked) if _serial(link) and asked else None,
    }
