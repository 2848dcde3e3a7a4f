"""How lengths, moments, amounts and quantities are written for people, in Chinese or English."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from building.durations import format_duration
from building.quantities import QUANTITIES

_UNITS_ZH: Final = (("d", "天"), ("h", "小时"), ("m", "分钟"), ("s", "秒"))
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LEAST: Final = 0.005  # of money and kg; less would read as nothing

_QUANTITIES_ZH: Final[Mapping[str, str]] = {
    "active_power": "功率", "reactive_power": "无功功率", "apparent_power": "视在功率", "power_factor": "功率因数",
    "voltage": "电压", "current": "电流", "frequency": "频率", "energy_import": "电表读数",
    "energy_export": "反向电表读数", "volume": "水表读数", "flow": "流量", "temperature": "室温", "humidity": "湿度",
    "illuminance": "照度", "co2": "二氧化碳浓度", "setpoint": "设定温度", "mode": "模式", "running": "运行状态",
    "on": "开关状态", "occupancy": "有人状态", "people": "人数", "contact": "门窗状态", "battery": "电量",
    "online": "在线状态",
}  # fmt: skip
_QUANTITIES_EN: Final[Mapping[str, str]] = {
    "active_power": "power", "energy_import": "meter reading", "energy_export": "export reading",
    "volume": "meter reading", "co2": "CO2", "temperature": "room temperature",
}  # fmt: skip


def quantity_name(name: str, language: str) -> str:
    """``active_power_l1`` as people read it: A相功率, power (L1)."""
    plain, _, phase = name.rpartition("_l")
    if phase not in ("1", "2", "3"):
        plain, phase = name, ""
    if language == "zh":
        return (f"{'ABC'[int(phase) - 1]}相" if phase else "") + _QUANTITIES_ZH.get(plain, plain)
    return _QUANTITIES_EN.get(plain, plain.replace("_", " ")) + (f" (L{phase})" if phase else "")


def with_unit(name: str, value: float, language: str) -> str:
    """``value`` of a quantity with its unit."""
    unit = QUANTITIES[name].unit.replace("m3", "m³")
    return f"{value:g} {unit.replace('°C', '℃') if language == 'zh' else unit}".rstrip()


def span(milliseconds: int, language: str) -> str:
    """How long, in whole minutes from one minute on."""
    return length(milliseconds // 60_000 * 60_000 if milliseconds >= 60_000 else max(milliseconds, 1000), language)


def length(milliseconds: int, language: str) -> str:
    """How long, to the second: ``1h5m``, ``1小时5分钟``."""
    shown = format_duration(milliseconds // 1000 * 1000) if milliseconds >= 1000 else "0s"
    if language == "zh":
        for letter, word in _UNITS_ZH:
            shown = shown.replace(letter, word)
    return shown


def day_of(iso: str, language: str) -> str:
    """``7月1日`` or ``1 Jul`` of an ISO 8601 text."""
    month, day = int(iso[5:7]), int(iso[8:10])
    return f"{month}月{day}日" if language == "zh" else f"{day} {_MONTHS[month - 1]}"


def moment_of(iso: str, language: str) -> str:
    """``7月1日 18:10`` or ``1 Jul 18:10`` of an ISO 8601 text, by the clock of its own offset."""
    return f"{day_of(iso, language)} {iso[11:16]}"


def moment(at: int, tz: tzinfo, language: str) -> str:
    """The same of an instant (ms UTC)."""
    return moment_of(datetime.fromtimestamp(at / 1000, UTC).astimezone(tz).isoformat(), language)


def stretch(begin: str, end: str, language: str) -> str:
    """From one ISO 8601 text to another; the day is said once where it is the same."""
    until = end[11:16] if begin[:10] == end[:10] else moment_of(end, language)
    return f"{moment_of(begin, language)} {'至' if language == 'zh' else 'to'} {until}"


def money(amount: float, currency: str, language: str) -> str:
    """``0.16 元``, ``0.16 CNY``; what would round to nothing is said to be less than the least."""
    sign = "元" if language == "zh" and currency == "CNY" else currency
    if amount < LEAST:
        return f"不到 0.01 {sign}" if language == "zh" else f"less than 0.01 {sign}"
    return f"{amount:.2f} {sign}"


def amounts(waste: Mapping[str, Any], language: str) -> str:
    """Energy, water, money and CO2 that were measured, in one phrase; empty when there is nothing to tell.

    Money is left out where the site told no price: what has no price is not free.
    """
    kwh, litres, cost, carbon = waste["kwh"], waste["litres"], waste["cost"], waste["kgco2"]
    parts = []
    if kwh:
        parts.append(f"{kwh:.2f} kWh" if kwh >= 0.1 else f"{kwh:.3f} kWh")
    if litres:
        parts.append(f"{litres:.0f} L" if litres >= 1 else f"{litres:.1f} L")
    if parts and cost:
        parts.append(money(cost, waste["currency"], language))
    if parts and carbon and carbon >= LEAST:
        parts.append(f"折合二氧化碳 {carbon:.2f} kg" if language == "zh" else f"{carbon:.2f} kg CO2")
    return ("，" if language == "zh" else ", ").join(parts)


def lost(waste: Mapping[str, Any], word: str, language: str, *, over: bool, estimated: bool) -> str:
    """One sentence of what an alert has cost; ``word``: wasted, or what else the rule calls it. Empty: nothing."""
    used = amounts(waste, language)
    if not used:
        return ""
    if language == "zh":
        return f"{'共' if over else '已'}{word}{'约 ' if estimated else ' '}{used}。"
    return f"{word} {'in all' if over else 'so far'}: {'about ' if estimated else ''}{used}."
