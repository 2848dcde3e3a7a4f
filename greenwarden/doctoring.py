"""``greenwarden doctor``: every device on every bus examined, with what to do about what is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.progress import Progress

from building.clock import SystemClock
from building.errors import ConfigError, LinkDown, NoAnswer
from building.site import Device, Link, Site
from collector.asking import read_once
from collector.examining import Findings, examine
from collector.profiles import load_profile
from collector.service import endpoint_of
from collector.stations import line_for
from greenwarden import terminal
from greenwarden.door import open_site, profiles_folder

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "device": "device", "requests": "requests", "median": "median ms", "worst": "worst ms", "errors": "errors",
        "advice": "what to do", "none": "none", "and": "; ", "well": "well", "down": "link {link} is down: {reason}",
        "examining": "examining", "silence": "silence", "bad frame": "bad frame",
        "gone": "its last will says that it is gone: is it powered, does it reach the network?",
    },
    "zh": {
        "device": "设备", "requests": "请求", "median": "中位 ms", "worst": "最慢 ms", "errors": "错误",
        "advice": "建议", "none": "无", "and": "；", "well": "正常", "down": "通信 {link} 中断：{reason}",
        "examining": "检查中", "silence": "无应答", "bad frame": "坏帧",
        "gone": "其遗嘱消息（LWT）显示设备已离线：是否通电，能否连上网络？",
    },
}  # fmt: skip

_PATIENCE = 3.0  # times the link's own timeout, to see how late answers come


async def doctor(path: Path, only: str | None, *, rounds: int, patience: float, as_json: bool) -> bool:
    """Print what is found; True when nothing is wrong (a hint is no fault). ``only`` is the id of one device or link.

    ``patience``: seconds to wait for a device that speaks by itself. Raises ConfigError.
    """
    site = open_site(path)
    language = "en" if as_json else site.site.language
    words = _WORDS[language]
    devices = _chosen(site, only)
    found: list[Findings] = []
    down: dict[str, str] = {}
    with Progress(console=terminal.err, transient=True, disable=as_json or not terminal.err.is_terminal) as progress:
        task = progress.add_task(words["examining"], total=len(devices))
        for link in site.links:
            found += await _on_link(
                site, link, [one for one in devices if one.link == link.id], path, down, rounds, patience,
                lambda device: progress.update(task, advance=1, description=f"{words['examining']} {device}"),
                language,
            )  # fmt: skip
    _show(found, down, words, as_json=as_json)
    return not down and all(one.well for one in found)


def _chosen(site: Site, only: str | None) -> list[Device]:
    devices = [one for one in site.devices if one.link is not None and only in (None, one.id, one.link)]
    if not devices:
        raise ConfigError(f"there is no device or link '{only}' to examine" if only else "no device has a link")
    return devices


async def _on_link(
    site: Site,
    link: Link,
    devices: list[Device],
    path: Path,
    down: dict[str, str],
    rounds: int,
    patience: float,
    said: Callable[[str], None],
    language: str,
) -> list[Findings]:
    if not devices:
        return []
    folder = profiles_folder(path)
    clock = SystemClock()
    found: list[Findings] = []
    if link.mqtt is not None:
        try:
            for device in devices:
                said(device.id)
                found.append(await _listener(site, device.id, folder, patience, _WORDS[language]))
        except LinkDown as error:
            down[link.id] = str(error)
        return found
    profiles = {device.id: load_profile(device.profile or "", folder) for device in devices}
    line = line_for(
        link.protocol,
        endpoint_of(link, {}),
        profiles.values(),
        timeout=_PATIENCE * link.timeout / 1000,
        pause=link.pause / 1000,
    )
    try:
        for device in devices:
            said(device.id)
            page = profiles[device.id]
            found.append(await examine(line, device, page, clock, rounds=rounds, waits=link.timeout, language=language))
    except LinkDown as error:
        down[link.id] = str(error)
    finally:
        await line.close()
    return found


async def _listener(site: Site, device: str, folder: Path, patience: float, words: Mapping[str, str]) -> Findings:
    """A device that speaks by itself: whether it does, and sense. Raises LinkDown, ConfigError."""
    try:
        answer = await read_once(site, device, SystemClock(), profiles_folder=folder, patience=patience)
    except NoAnswer as error:
        return Findings(device, 1, (), {"silence": 1}, None, (str(error),))
    faults = [flaw.reason for flaw in answer.reading.quality.flaws.values()]
    if answer.reading.values.get("online") == 0:
        faults.append(words["gone"])
    return Findings(device, 1, (), {}, answer, tuple(faults))


def _show(found: list[Findings], down: Mapping[str, str], words: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        devices = [
            {
                "device": one.device,
                "requests": one.asked,
                "median_ms": one.median,
                "worst_ms": one.worst,
                "errors": one.errors,
                "advice": one.advice,
                "well": one.well,
            }
            for one in found
        ]
        terminal.emit_json({"devices": devices, "links_down": down})
        return
    rows = [
        (
            one.device,
            one.asked,
            "" if one.median is None else f"{one.median:.0f}",
            "" if one.worst is None else f"{one.worst:.0f}",
            ", ".join(f"{number} {words.get(kind, kind)}" for kind, number in one.errors.items()) or words["none"],
            words["and"].join([*one.faults, *([words["well"]] if one.well else []), *one.hints]),
        )
        for one in found
    ]
    columns = [words[name] for name in ("device", "requests", "median", "worst", "errors", "advice")]
    if rows:
        terminal.out.print(terminal.table("", columns, rows, right=(1, 2, 3)))
    for link, reason in down.items():
        terminal.say(words["down"].format(link=link, reason=reason))
