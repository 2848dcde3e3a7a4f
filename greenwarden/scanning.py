"""``greenwarden scan LINK``: who is there on a bus or broker, at which settings, and which profile fits."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from rich.progress import Progress

from building.clock import Clock, SystemClock
from building.endpoints import Endpoint, parse_endpoint
from building.errors import BadFrame, ConfigError, LinkDown, MeterRefused, NoAnswer
from building.site import Device, Link
from collector.announcements import TOPICS, Entity, read_announcements
from collector.asking import ask_device
from collector.discovery import page_of
from collector.examining import doubt_about
from collector.finding import kind_of
from collector.fitting import fits, is_there
from collector.links.cjt188 import Cjt188Link
from collector.links.dlt645 import Dlt645Link
from collector.links.modbus import ModbusLink
from collector.links.mqtt import Message, MqttLink
from collector.links.opening import modbus_link
from collector.profiles import Profile, load_profile, profile_names
from collector.service import access_of
from collector.sparkplug import NAMESPACE, read_topic
from collector.stations import line_for
from collector.sunspec import SunSpecLink
from collector.suspecting import suspicion
from greenwarden import terminal
from greenwarden.door import language_of, open_site, profiles_folder

_BAUDS: Final = ("9600", "19200", "2400", "4800", "38400", "115200")
_PARITIES: Final = ("N", "E", "O")
_LAST_UNIT: Final = 255  # 247 on a bus; over TCP 0 and 255 are the server itself
_MOST_ENTITIES: Final = 10_000
_TAKEN_FOR: Final = re.compile("(on|off|yes|no|true|false|null|y|n)", re.IGNORECASE)  # by YAML
_LISTENED: Final = (
    *TOPICS, "tele/+/SENSOR", "tele/+/LWT", "zigbee2mqtt/#", "shellies/+/#", "+/events/rpc", "+/status/#",
    "+/online", "wmbusmeters/+", "spBv1.0/#",
)  # fmt: skip


_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "stopped": "Stopped; this is what was found so far.",
        "unit": "unit {unit}", "unit_at": "unit {unit} at {setting}",
        "trying": "unit {unit}: which profile fits",
        "unsteady": "answers now and then; raise timeout: or look at the wiring",
        "unknown": "there, but no profile fits; write one: docs/new-meter.md", "or": "or {others}",
        "order": "its words come in order {order}, not as the profile says",
        "numbers": "looking for meter numbers", "asked": "asked {asked}", "number": "number {number}",
        "listening": "listening to {address}", "topic": "topic {topic}", "written": "page written to {name}",
        "write": "add --write for its page",
        "several": "; of several {names} one is read", "more": "{shown} and {left} more",
        "sparkplug": "Sparkplug B, which is not read: have the gateway send JSON too",
        "nobody": "Nobody answers. Check power, the two wires (A and B may be swapped), baud rate and parity.",
        "where": "where", "profile": "profile", "fits": "fits", "says": "says", "remark": "remark", "none": "none",
        "lines": "For devices.yaml, below devices: (choose id, kind and zone)",
    },
    "zh": {
        "stopped": "已停止；以下为目前找到的。", "unit": "单元 {unit}", "unit_at": "单元 {unit}（{setting}）",
        "trying": "单元 {unit}：比对型号",
        "unsteady": "时有应答；请加大 timeout: 或检查接线",
        "unknown": "有设备，但没有相符的型号；可自写一页：docs/new-meter.md", "or": "或 {others}",
        "order": "其字序为 {order}，与型号所写不同",
        "numbers": "查找表号", "asked": "询问 {asked}", "number": "表号 {number}",
        "listening": "监听 {address}", "topic": "主题 {topic}", "written": "型号页已写入 {name}",
        "write": "加 --write 可写出型号页", "several": "；有多个 {names}，只读其中一个",
        "more": "{shown} 等，另有 {left} 项", "sparkplug": "Sparkplug B，本程序不读；请让网关另发 JSON",
        "nobody": "无人应答。请检查供电、两根线（A、B 可能接反）、波特率和校验。",
        "where": "位置", "profile": "型号", "fits": "相符", "says": "读数", "remark": "说明", "none": "无",
        "lines": "写入 devices.yaml 的 devices: 之下（自定 id、kind 和 zone）",
    },
}  # fmt: skip


class Found(NamedTuple):
    """One device that is there: how it is reached, the profile that fits best ("" for none), and what it says."""

    where: str
    profile: str
    score: float
    values: Mapping[str, float | str]
    remark: str
    line: str


async def scan(
    path: Path, link: str, *, units: str, timeout_s: float, seconds: float, write: bool, as_json: bool
) -> None:
    """Print who is there. ``link`` is an id of the site file or an address. Raises ConfigError, LinkDown."""
    folder = profiles_folder(path)
    known = _link(path, link)
    endpoint, ident = known.endpoint, known.id
    language = "en" if as_json else language_of(path)
    words = _WORDS[language]
    found: list[Found] = []
    try:
        if known.protocol == "mqtt":
            found += await _scan_broker(known, folder, seconds, words, write=write, quiet=as_json)
        elif known.protocol == "modbus":
            async for one in _scan_modbus(ident, endpoint, _units(units), folder, timeout_s, language, quiet=as_json):
                found.append(one)
        else:
            async for one in _scan_numbers(known, endpoint, timeout_s, language, quiet=as_json):
                found.append(one)
    except asyncio.CancelledError:
        if not as_json:
            terminal.say(words["stopped"])
        _show(found, words, as_json=as_json)
        raise
    _show(found, words, as_json=as_json)


def _link(path: Path, text: str) -> Link:
    """A link of the site file, or one made of an address; DL/T 645 and CJ/T 188 are written dlt645=…, cjt188=…."""
    if "://" not in text:
        site = open_site(path)
        if text not in site.link:
            raise ConfigError(
                f"there is no link '{text}' in {path.name}; known are {', '.join(site.link) or 'none'}; "
                "or write an address such as rtu:///dev/ttyUSB0, tcp://10.1.0.5 or mqtt://10.1.0.9"
            )
        return site.link[text]
    protocol, marked, address = text.partition("=")
    if not marked or "://" in protocol:
        protocol, address = ("mqtt" if text.startswith("mqtt") else "modbus"), text
    if protocol not in ("modbus", "mqtt", "dlt645", "cjt188"):
        raise ConfigError(f"'{protocol}' is no protocol; write modbus=, mqtt=, dlt645= or cjt188= before the address")
    try:
        parse_endpoint(protocol, address)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Link.model_validate({"id": "link", protocol: address})


def _units(text: str) -> list[int]:
    units: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ConfigError(f"--units {text!r}: write e.g. 1-32 or 1,5,11-20")
        if max(int(first), int(last or first)) > _LAST_UNIT or int(last or first) < int(first):
            raise ConfigError(f"--units {text!r}: units are 1 to 247, the lower one first")
        units += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(units))


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    with Progress(console=terminal.err, transient=True, disable=quiet or not terminal.err.is_terminal) as progress:
        yield progress


# -- Modbus -----------------------------------------------------------------------------------------------------------


async def _scan_modbus(
    ident: str, endpoint: Endpoint, units: list[int], folder: Path, timeout_s: float, language: str, *, quiet: bool
) -> AsyncIterator[Found]:
    pages = {name: load_profile(name, folder) for name in profile_names(folder)}
    with _progress(quiet) as progress:
        for setting in _settings(endpoint):
            line: ModbusLink = SunSpecLink(modbus_link(setting, timeout=timeout_s))
            task = progress.add_task(_label(setting), total=len(units))
            heard = 0
            try:
                for unit in units:
                    progress.update(task, advance=1, description=f"{_label(setting)} {unit}")
                    several = setting != endpoint
                    found = await _unit(ident, line, unit, pages, setting, progress, language, several=several)
                    if found is not None:
                        heard += bool(found.profile) or found.remark == ""
                        yield found
            finally:
                await line.close()
                progress.remove_task(task)
            if heard:
                return  # a bus has one setting


def _settings(endpoint: Endpoint) -> Iterable[Endpoint]:
    """The address as it is; of a serial port without a baud rate, the usual rates and parities in turn."""
    if endpoint.scheme not in ("rtu", "ascii") or "baudrate" in endpoint.options:
        yield endpoint
        return
    for baud in _BAUDS:
        for parity in _PARITIES:
            yield endpoint.model_copy(update={"options": {**endpoint.options, "baudrate": baud, "parity": parity}})


def _label(endpoint: Endpoint) -> str:
    if endpoint.path:
        return f"{endpoint.options.get('baudrate', '9600')} {endpoint.options.get('parity', 'N')}"
    return f"{endpoint.host}:{endpoint.port}"


async def _unit(
    ident: str,
    line: ModbusLink,
    unit: int,
    pages: Mapping[str, Profile],
    setting: Endpoint,
    progress: Progress,
    language: str,
    *,
    several: bool,
) -> Found | None:
    words = _WORDS[language]
    where = words["unit_at" if several else "unit"].format(unit=unit, setting=_label(setting))
    clock = SystemClock()
    try:
        sign = await is_there(line, unit)
        if sign is None:
            return None
        task = progress.add_task(words["trying"].format(unit=unit), total=len(pages))
        try:
            found = await fits(line, unit, pages, clock, lambda name: progress.update(task, advance=1))
        finally:
            progress.remove_task(task)
    except NoAnswer:
        return Found(where, "", 0.0, {}, words["unsteady"], "")
    except BadFrame as error:
        return None if several else Found(where, "", 0.0, {}, str(error), "")
    if not found:
        return Found(where, "", 0.0, {}, words["unknown"], "")
    best = found[0]
    others = ", ".join(f"{fit.name} {fit.score:.0%}" for fit in found[1:3])
    page = pages[best.name]
    seen = Device(id="seen", kind="electricity", unit=unit, litres_per_pulse=1.0)
    remark = doubt_about(seen, page, best.answer, language) or (words["or"].format(others=others) if others else "")
    if best.order:
        remark = words["order"].format(order=best.order)
    kind = (page.kinds or ("electricity",))[0]
    order = f", order: {best.order}" if best.order else ""
    text = f"- {{id: {kind}-{unit}, kind: {kind}, profile: {best.name}, link: {ident}, unit: {unit}{order}}}"
    return Found(where, best.name, best.score, best.answer.reading.values, remark, text)


# -- DL/T 645 and CJ/T 188 --------------------------------------------------------------------------------------------


async def _scan_numbers(
    link: Link, endpoint: Endpoint, timeout_s: float, language: str, *, quiet: bool
) -> AsyncIterator[Found]:
    words = _WORDS[language]
    page, kind = ("dlt645_single", "electricity") if link.protocol == "dlt645" else ("cjt188_water", "water")
    profile = load_profile(page)
    line = line_for(link.protocol, endpoint, [profile], timeout=timeout_s)
    assert isinstance(line, Dlt645Link | Cjt188Link)
    with _progress(quiet) as progress:
        task = progress.add_task(words["numbers"], total=None)
        try:
            async for asked, number in line.discover():
                progress.update(task, advance=1, description=words["asked"].format(asked=asked))
                if number is not None:
                    yield await _number(link, line, number, page, profile, kind, language)
        except BadFrame as error:
            yield Found(line.address, "", 0.0, {}, str(error), "")
        finally:
            await line.close()


async def _number(
    link: Link, line: ModbusLink, number: str, page: str, profile: Profile, kind: str, language: str
) -> Found:
    where = _WORDS[language]["number"].format(number=number)
    device = Device.model_validate({"id": number, "kind": kind, "address": number})
    text = f'- {{id: meter-{number[-4:]}, kind: {kind}, profile: {page}, link: {link.id}, address: "{number}"}}'
    try:
        answer = await ask_device(line, device, profile, SystemClock())
    except (NoAnswer, BadFrame, MeterRefused) as error:
        return Found(where, page, 0.0, {}, str(error), text)
    values = answer.reading.values
    return Found(where, page, 1.0, values, suspicion(values, language), text)


# -- brokers ----------------------------------------------------------------------------------------------------------


async def _scan_broker(
    link: Link, folder: Path, seconds: float, words: Mapping[str, str], *, write: bool, quiet: bool
) -> list[Found]:
    """Listen for a while; retained announcements come at once, telemetry when it is due (Tasmota: every 5 min)."""
    clock: Clock = SystemClock()
    heard: dict[str, Message] = {}
    down: list[LinkDown] = []
    line = MqttLink(
        link.endpoint.host,
        link.endpoint.port or 0,
        _LISTENED,
        client_id=f"greenwarden-{secrets.token_hex(4)}",
        access=access_of(link, link.endpoint, {}),
        now=clock.now,
        on_state=lambda state: down.append(state) if state is not None else None,
        persistent=False,
        version=link.version,
    )

    async def listen() -> None:
        async for batch in line.batches():
            for message in batch.messages:
                if len(heard) < _MOST_ENTITIES:
                    heard[message.topic] = message
            batch.acknowledge()

    async with line:
        with _progress(quiet) as progress:
            task = progress.add_task(words["listening"].format(address=line.address), total=seconds)
            listening = asyncio.create_task(listen(), name="scan")
            try:
                for _ in range(max(1, round(seconds * 4))):
                    await asyncio.sleep(0.25)
                    progress.update(task, advance=0.25)
                    if down and not heard:
                        raise down[0]
            finally:
                listening.cancel()
    return [
        *_usual_devices(link.id, heard, words),
        *_announced_devices(link.id, heard, folder, words, write=write),
        *_sparkplug_nodes(heard, words),
    ]


_SPEAKERS: Final = (
    ("tele/+/SENSOR", "tasmota_plug", "plug"),
    ("tele/+/LWT", "tasmota_plug", "plug"),
    ("shellies/+/online", "shelly_gen1", "plug"),
    ("+/events/rpc", "shelly_gen2", "plug"),
    ("wmbusmeters/+", "wmbusmeters", "water"),
)


def _usual_devices(ident: str, heard: Mapping[str, Message], words: Mapping[str, str]) -> Iterable[Found]:
    told: set[tuple[str, str]] = set()
    for topic, message in heard.items():
        for pattern, profile, kind in _SPEAKERS:
            name = _name_in(topic, pattern)
            if name is not None and (name, profile) not in told:
                told.add((name, profile))
                yield _speaker(ident, name, profile, kind, message, words)
        parts = topic.split("/")
        zigbee = parts[0] == "zigbee2mqtt" and len(parts) > 1 and parts[1] != "bridge" and parts[-1] != "availability"
        if zigbee and message.payload.startswith(b"{") and ("/".join(parts[1:]), "z") not in told:
            told.add(("/".join(parts[1:]), "z"))
            yield _speaker(ident, "/".join(parts[1:]), "zigbee2mqtt_sensor", "sensor", message, words)


def _name_in(topic: str, pattern: str) -> str | None:
    parts, wanted = topic.split("/"), pattern.split("/")
    if len(parts) != len(wanted) or any(w not in ("+", p) for p, w in zip(parts, wanted, strict=True)):
        return None
    return parts[wanted.index("+")]


def _speaker(ident: str, name: str, profile: str, kind: str, message: Message, words: Mapping[str, str]) -> Found:
    shown = _quoted(name)
    text = f"- {{id: {shown}, kind: {kind}, profile: {profile}, link: {ident}, topic: {shown}}}"
    where = words["topic"].format(topic=name)
    return Found(where, profile, 1.0, {}, message.payload[:60].decode(errors="replace"), text)


def _sparkplug_nodes(heard: Mapping[str, Message], words: Mapping[str, str]) -> Iterable[Found]:
    """Nodes that speak a language we know by its topics only: told, so that nobody looks for them in vain."""
    speakers = [speaker for speaker in map(read_topic, heard) if speaker is not None]
    for group, node in dict.fromkeys((one.group, one.node) for one in speakers if one.node):
        yield Found(words["topic"].format(topic=f"{NAMESPACE}/{group}/+/{node}"), "", 0.0, {}, words["sparkplug"], "")


def _announced_devices(
    ident: str, heard: Mapping[str, Message], folder: Path, words: Mapping[str, str], *, write: bool
) -> Iterable[Found]:
    """Devices that described themselves for Home Assistant, but for those whose bridge we know better."""
    devices: dict[str, list[Entity]] = {}
    for topic, message in heard.items():
        for entity in read_announcements(topic, message.payload) or ():
            if not entity.deleted and "zigbee2mqtt" not in str(entity.state_topic):
                devices.setdefault(entity.device, []).append(entity)
    taken: set[str] = set()
    for device, entities in devices.items():
        made = page_of(entities)
        if made is None:
            continue
        topic, page, several = made
        name = _page_name(device, taken)
        quantities = [point["quantity"] for one in page["topics"] for point in one["values"]]
        target = folder / f"{name}.yaml"
        if write:
            folder.mkdir(exist_ok=True)
            target.write_text(yaml.safe_dump(page, allow_unicode=True, sort_keys=False), encoding="utf-8")
        remark = words["written"].format(name=target.name) if write else words["write"]
        if several:
            remark += words["several"].format(names=", ".join(several))
        kind = kind_of(entities, page)
        text = f"- {{id: {_quoted(name[6:])}, kind: {kind}, profile: {name}, link: {ident}, topic: {_quoted(topic)}}}"
        yield Found(words["topic"].format(topic=topic), name, 1.0, dict.fromkeys(quantities, ""), remark, text)


def _page_name(device: str, taken: set[str]) -> str:
    """A file name for a page, of its own for each device; of a name in other letters only a number is left."""
    plain = re.sub(r"[^a-z0-9]+", "_", device.lower()).strip("_") or "device"
    name, number = f"found_{plain}", 1
    while name in taken:
        number += 1
        name = f"found_{plain}_{number}"
    taken.add(name)
    return name


def _quoted(text: str) -> str:
    """``text`` as a value of devices.yaml: in quotes where YAML would take it for something else."""
    plain = re.fullmatch(r"[^\W\d][\w/.:-]*", text) and not text.endswith(":") and not _TAKEN_FOR.fullmatch(text)
    return text if plain else json.dumps(text, ensure_ascii=False)


# -- what is shown ----------------------------------------------------------------------------------------------------


def _show(found: list[Found], words: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        terminal.emit_json({"found": [one._asdict() for one in found]})
        return
    if not found:
        terminal.say(words["nobody"])
        return
    rows = [
        (
            one.where,
            one.profile or words["none"],
            f"{one.score:.0%}" if one.profile else "",
            _brief(one.values, words["more"]),
            one.remark,
        )
        for one in found
    ]
    columns = [words[name] for name in ("where", "profile", "fits", "says", "remark")]
    terminal.out.print(terminal.table("", columns, rows, right=(2,)))
    lines = [one.line for one in found if one.line]
    if lines:
        terminal.say(words["lines"])
        for line in lines:
            terminal.say(f"  {line}")


def _brief(values: Mapping[str, float | str], more: str, most: int = 4) -> str:
    shown = [
        f"{name} {value:.6g}" if isinstance(value, float | int) else f"{name} {value}".strip()
        for name, value in values.items()
    ]
    told, left = ", ".join(shown[:most]), len(shown) - most
    return more.format(shown=told, left=left) if left > 0 else told
