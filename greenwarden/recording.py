"""``greenwarden record DEVICE``: what a device says, written down as a recording for the tests, without its numbers.

Only registers that the profile names are kept; serial numbers and addresses are masked, so that a recording can be
shown to others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from building.clock import SystemClock
from building.errors import InputError
from building.instants import to_iso
from building.site import Device, Site
from collector.asking import Answer, read_once
from collector.payloads import topics_of
from collector.planning import Block
from collector.profiles import READ_ITEM, Profile, load_profile
from greenwarden import terminal
from greenwarden.door import open_site, profiles_folder

_PRIVATE: Final = re.compile(
    r"(serial|mac|bssid|ssid|ssid|uniq|(^|_)ids?$|ip$|ipaddress|hostname|meter_id|address|token|password|name$)",
    re.IGNORECASE,
)
_SETTINGS: Final = ("kind", "channel", "litres_per_pulse", "ct_ratio", "vt_ratio", "invert", "order")
_MASK: Final = "masked"
_NAMELESS: Final = "device"
_SHORTEST_NAME: Final = 4
_WRITTEN: Final = {
    "en": (
        "Written to {target}.",
        "Compare expect: with the meter's own display before you rely on it; it holds what this profile makes of it.",
    ),
    "zh": ("已写入 {target}。", "使用前请将 expect: 与电表屏显核对；其中是按该型号解出的值。"),
}


async def record(path: Path, device_id: str, target: Path | None, *, timeout_s: float) -> None:
    """Write a recording of ``device_id`` to ``target`` (default: beside the site file). Raises as ``read`` does."""
    site = open_site(path)
    answer = await read_once(site, device_id, SystemClock(), profiles_folder=profiles_folder(path), patience=timeout_s)
    device = site.device[device_id]
    profile = device.profile or "unknown"
    target = target or profiles_folder(path).parent / "recordings" / profile / f"{_plain(device_id)}.yaml"
    content = recording_of(site, device, load_profile(profile, profiles_folder(path)), answer)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=110), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from None
    for sentence in _WRITTEN[site.site.language]:
        terminal.say(sentence.format(target=target))


def recording_of(site: Site, device: Device, profile: Profile, answer: Answer) -> dict[str, Any]:
    """The content of a recording, in the form that tests/recordings and ``decode`` read."""
    at = to_iso(answer.reading.taken_at, site.site.tz)
    settings = {key: getattr(device, key) for key in _SETTINGS}
    plain = Device(id="d", kind=device.kind)
    kept = {key: value for key, value in settings.items() if key == "kind" or value != getattr(plain, key)}
    content: dict[str, Any] = {
        "source": f"recorded {at[:10]} from a device with profile {device.profile}",
        "device": kept,
    }
    if answer.blocks:
        content["blocks"] = [_block(block, data) for block, data in answer.blocks]
    if answer.messages:
        kept["topic"] = _NAMELESS
        nameless = device.model_copy(update={"topic": _NAMELESS})
        own, shown = (topics_of(profile, one, site.site.tz) for one in (device, nameless))
        topics = {before: after for (before, _), (after, _) in zip(own, shown, strict=True)}
        content["messages"] = [
            {"topic": topics[message.topic], "payload": masked(message.payload, device.topic or "")}
            for message in answer.messages
            if message.topic in topics
        ]
    content["expect"] = dict(answer.reading.values)
    if answer.reading.quality.flaws:
        content["flawed"] = sorted(answer.reading.quality.flaws)
    return content


def _block(block: Block, data: bytes) -> dict[str, Any]:
    """One request, with zeros where no row stands and where a row holds a number that says whose device it is."""
    bits = any(point.row.type == "bit" for point in block.points)
    size = 1 if block.function == READ_ITEM else 2
    if bits:
        return {"function": block.function, "address": block.address, "words": data.hex(" ").upper()}
    kept = bytearray(len(data))
    for point in block.points:
        if not _PRIVATE.search(point.row.name):
            start, end = size * (point.address - block.address), size * (point.end - block.address)
            kept[start:end] = data[start:end]
    words = bytes(kept).hex(" ", size).upper() if size == 1 else bytes(kept).hex(" ", -2).upper()
    return {"function": block.function, "address": block.address, "words": words}


def masked(payload: bytes, name: str = "") -> str:
    """A payload with whatever tells one device from another replaced, its ``name`` on the broker too.

    What is no JSON object stays as it is.
    """
    text = payload.decode("utf-8", errors="replace")
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text
    if not isinstance(content, dict):
        return text
    # A name such as "on" or "p1" is hardly one, and stands in other words too.
    own = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])") if len(name) >= _SHORTEST_NAME else None
    return msgspec.json.encode(_masked(content, own)).decode()


def _masked(content: Any, own: re.Pattern[str] | None) -> Any:
    if isinstance(content, dict):
        return {
            key: (_MASK if isinstance(value, str) and _PRIVATE.search(str(key)) else _masked(value, own))
            for key, value in content.items()
        }
    if isinstance(content, str) and own is not None:
        return own.sub(_NAMELESS, content)
    return [_masked(one, own) for one in content] if isinstance(content, list) else content


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]", "_", text)
