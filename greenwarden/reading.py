"""``greenwarden read DEVICE``: ask one device once, and show values beside the raw registers they came from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from building.clock import SystemClock
from building.instants import to_iso
from building.quantities import QUANTITIES
from building.site import Site
from collector.asking import Answer, read_once
from collector.examining import doubt_about
from collector.planning import Block, Point
from collector.profiles import READ_ITEM, load_profile
from greenwarden import terminal
from greenwarden.door import open_site, profiles_folder

_COLUMNS: Final = {
    "en": ("quantity", "value", "unit", "function", "register", "words", "flaw"),
    "zh": ("量", "值", "单位", "功能码", "寄存器", "原始字", "问题"),
}
_WORDS: Final = {"en": ("(detail)", "no value"), "zh": ("（附注）", "无值")}


async def read_device(path: Path, device_id: str, *, as_json: bool, timeout_s: float) -> None:
    """Print what the device says. Raises ConfigError for an unknown one, NoAnswer and its kin as the line does."""
    site = open_site(path)
    answer = await read_once(site, device_id, SystemClock(), profiles_folder=profiles_folder(path), patience=timeout_s)
    device = site.device[device_id]
    profile = load_profile(device.profile or "", profiles_folder(path))
    language = "en" if as_json else site.site.language
    doubt = doubt_about(device, profile, answer, language)
    if as_json:
        terminal.emit_json({**_as_json(site, answer), "doubt": doubt})
        return
    at = to_iso(answer.reading.taken_at, site.site.tz)
    rows = list(_rows(answer, *_WORDS[language]))
    terminal.out.print(terminal.table(f"{answer.reading.device}  {at}", _COLUMNS[language], rows, right=(1, 3, 4)))
    if answer.reading.quality.reason:
        terminal.say(answer.reading.quality.reason)
    for message in answer.messages:
        terminal.say(f"{message.topic}  {message.payload[:2000].decode(errors='replace')}")
    if doubt:
        terminal.say(doubt)


def _as_json(site: Site, answer: Answer) -> dict[str, Any]:
    reading = answer.reading
    return {
        "device": reading.device,
        "at": to_iso(reading.taken_at, site.site.tz),
        "values": dict(reading.values),
        "remark": reading.quality.reason,
        "flaws": {name: flaw.reason for name, flaw in reading.quality.flaws.items()},
        "details": dict(answer.details),
        "raw": [
            {"function": block.function, "address": block.address, "registers": data.hex(" ", 2)}
            for block, data in answer.blocks
        ],
        "messages": [
            {"topic": message.topic, "payload": message.payload.decode(errors="replace")} for message in answer.messages
        ],
    }


def _rows(answer: Answer, detail: str, nothing: str) -> Iterable[tuple[object, ...]]:
    values, flaws = answer.reading.values, answer.reading.quality.flaws
    told: set[str] = set()
    for block, data in answer.blocks:
        for point in block.points:
            name, row = point.row.quantity or point.row.name, point.row
            value = values.get(row.quantity) if row.quantity else answer.details.get(row.name)
            flaw = flaws[name].reason if row.quantity and name in flaws else ""
            unit = QUANTITIES[name].unit if row.quantity else detail
            place = f"{row.item} + {row.address}" if row.item else str(point.address)
            told.add(row.quantity)
            yield name, _number(value, nothing), unit, point.function, place, words_of(block, point, data), flaw
    for name in dict.fromkeys([*values, *flaws]):
        if name not in told:
            flaw = flaws[name].reason if name in flaws else ""
            yield name, _number(values.get(name), nothing), QUANTITIES[name].unit, "", "", "", flaw


def words_of(block: Block, point: Point, data: bytes) -> str:
    """The words (bits, bytes) of one value as they came, in hex."""
    first, width = point.address - block.address, point.row.width
    if point.row.type == "bit":
        return str(data[first >> 3] >> (first & 7) & 1)
    if block.function == READ_ITEM:
        return data[first : first + width].hex(" ").upper()
    return data[2 * first : 2 * (first + width)].hex(" ", 2).upper()


def _number(value: float | str | None, nothing: str) -> str:
    if value is None:
        return nothing
    return value if isinstance(value, str) else f"{value:.10g}"
