"""What stands behind what: a gateway or broker that is down, or power that is off, makes all behind it silent at once.

Then one alert about the cause is worth more than thirty about its meters. Evidence for a cause: an open alert
``meter_silent`` on at least one device of the link, and four of five devices of the link not heard for two periods.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from building.instants import to_iso
from building.site import Device, Site

SILENT: Final = "meter_silent"
LINK_DOWN, SITE_DOWN = "link_down", "site_down"
CAUSES: Final = (LINK_DOWN, SITE_DOWN)

_DOWN_FROM: Final = 0.8  # share of a link's devices
_UP_BELOW: Final = 0.5
_FEWEST: Final = 2  # one silent meter alone on its link is told as that meter

Heard = Callable[[str], int | None]
"""When a device was heard last (ms UTC), None when never or not known."""


class Down(NamedTuple):
    """A cause as it stands: ``link`` None for the whole site."""

    link: str | None
    devices: int  # behind it
    silent: int  # of them


class Topology:
    """The links of a site and the devices behind each. Without ``heard``, open alerts are the only evidence."""

    def __init__(self, site: Site, heard: Heard | None = None) -> None:
        self.site = site
        self._heard = heard
        self._behind: dict[str, list[Device]] = {}
        for device in site.devices:
            if device.link is not None:
                self._behind.setdefault(device.link, []).append(device)

    def link_of(self, device: str) -> str | None:
        """The link that a device is on; None for one without, or unknown here."""
        found = self.site.device.get(device)
        return None if found is None else found.link

    def behind(self, link: str | None) -> int:
        """How many devices stand behind ``link`` (None: behind any)."""
        return sum(len(devices) for name, devices in self._behind.items() if link in (None, name))

    def down(self, silent: Iterable[str], now: int, held: Iterable[str | None] = ()) -> list[Down]:
        """Causes that hold: the site alone, or links. ``silent``: devices with an open alert; ``held``: causes that
        were down before, which stay so until most of what is behind them speaks again."""
        alarmed, before = set(silent), set(held)
        links: list[Down] = []
        counted = dead_all = 0
        for link, devices in self._behind.items():
            known = [device for device in devices if self._counts(device, alarmed)]
            dead = sum(self._is_dead(device, alarmed, now) for device in known)
            counted, dead_all = counted + len(known), dead_all + dead
            named = link in before or None in before or any(device.id in alarmed for device in devices)
            if named and self._holds(dead, len(known), link in before):
                links.append(Down(link, len(devices), dead))
        share = _UP_BELOW if None in before else _DOWN_FROM
        if (len(links) > 1 or (links and None in before)) and dead_all >= share * counted:
            return [Down(None, self.behind(None), dead_all)]
        return links

    def _holds(self, dead: int, known: int, before: bool) -> bool:
        if before:
            return known > 0 and dead >= known * _UP_BELOW and dead > 0
        return known >= _FEWEST and dead >= known * _DOWN_FROM

    def _counts(self, device: Device, alarmed: set[str]) -> bool:
        """A device that speaks only on change proves nothing by being quiet."""
        return device.reports != "on_change" or device.id in alarmed

    def _is_dead(self, device: Device, alarmed: set[str], now: int) -> bool:
        if device.id in alarmed:
            return True
        if self._heard is None:
            return False
        heard = self._heard(device.id)
        return heard is None or now - heard > 2 * device.every


class Words(NamedTuple):
    """Title and text of a cause in one language."""

    title: str
    text: str


def words(cause: Mapping[str, Any], language: str) -> Words:
    """What is said of a cause, from its alert's JSON."""
    evidence = cause["evidence"]
    over, count, hidden = cause["state"] == "resolved", evidence["devices"], evidence["silent"]
    link = cause["device"]
    if language == "zh":
        what = "全楼断电或断网" if link is None else f"通信中断：{link}"
        if over:
            return Words(what, f"通信已恢复。共涉及 {count} 台设备，中断期间未逐台发送无数据告警。")
        advice = "请检查供电和网络。" if link is None else "请检查该网关或服务器的供电和网络。"
        return Words(what, f"所接 {count} 台设备中有 {hidden} 台无数据，不再逐台告警。{advice}")
    what = "Power or network of the building is off" if link is None else f"Link down: {link}"
    if over:
        return Words(what, f"It answers again. The {count} devices behind it were not told one by one.")
    advice = "Check mains and network." if link is None else "Check power and network of this gateway or broker."
    return Words(what, f"Of the {count} devices behind it {hidden} are silent; they are not told one by one. {advice}")


def cause_alert(site: Site, down: Down, since: int, now: int) -> dict[str, Any]:
    """The alert about a cause, in the form that all alerts have; ``device`` holds the link."""
    rule = SITE_DOWN if down.link is None else LINK_DOWN
    name = "\0".join((site.site.name, rule, down.link or "", str(since)))
    alert: dict[str, Any] = {
        "id": hashlib.sha256(name.encode()).hexdigest()[:16],
        "rule": rule,
        "site": site.site.name,
        "zone": None,
        "department": None,
        "device": down.link,
        "severity": "warning",
        "state": "firing",
        "since": to_iso(since, site.site.tz),
        "raised": to_iso(now, site.site.tz),
        "ended": None,
        "waste": {"kwh": None, "litres": None, "cost": None, "currency": site.site.tariffs.currency, "kgco2": None},
        "evidence": {"devices": down.devices, "silent": down.silent},
        "policy": "设备维护" if site.site.language == "zh" else "Maintenance (设备维护)",
    }
    return alert | words(alert, site.site.language)._asdict()
