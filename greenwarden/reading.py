"""``greenwarden read DEVICE``: ask one device once, and show values beside the raw registers they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from building.clock import SystemClock
from building.instants import to_iso
from building.quantities import QUANTITIES
from building.readings import Reading
from building.site import Site
from collector.asking import read_once
from greenwarden import terminal
from greenwarden.door import open_site, profiles_folder


async def read_device(path: Path, device_id: str, *, as_json: bool, timeout_s: float) -> None:
    """Print what the device says. Raises ConfigError for an unknown one, NoAnswer and its kin as the line does."""
    site = open_site(path)
    answer = await read_once(site, device_id, SystemClock(), profiles_folder=profiles_folder(path), patience=timeout_s)
    raw = [
        {"function": block.function, "address": block.address, "registers": data.hex(" ", 2)}
        for block, data in answer.blocks
    ]
    _show(site, answer.reading, raw, as_json=as_json)


def _show(site: Site, reading: Reading, raw: list[dict[str, Any]], *, as_json: bool) -> None:
    at = to_iso(reading.taken_at, site.site.tz)
    flaws = {name: flaw.reason for name, flaw in reading.quality.flaws.items()}
    if as_json:
        terminal.emit_json(
            {"device": reading.device, "at": at, "values": dict(reading.values), "flaws": flaws, "raw": raw}
        )
        return
    names = [*reading.values, *(name for name in flaws if name not in reading.values)]
    rows = [(name, _number(reading.values.get(name)), QUANTITIES[name].unit, flaws.get(name, "")) for name in names]
    terminal.out.print(
        terminal.table(f"{reading.device}  {at}", ("quantity", "value", "unit", "flaw"), rows, right=(1,))
    )
    for block in raw:
        terminal.say(f"function {block['function']}, from register {block['address']}: {block['registers']}")


def _number(value: float | str | None) -> str:
    if value is None:
        return "no value"
    return value if isinstance(value, str) else f"{value:.10g}"
