"""A machine stands by where nobody needs it."""

from __future__ import annotations

from typing import Final

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import (
    Condition,
    Evidence,
    Parameter,
    Part,
    Rule,
    Text,
    Truth,
    Values,
    after,
    both,
    not_needed,
    read,
)

BAND_HIGH: Final = 30.0
"""W. The upper end of standby until it is learned; a site that sets another has its own, and nothing is learned."""


def applies(device: Device) -> bool:
    """Every plug."""
    return device.kind == "plug"


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """Power inside the band in an empty zone or outside working hours; the upper end is learned unless it is set."""
    low, high = values["band_low"], values["band_high"]
    power = bench.signal(device, "active_power", low)
    edge = bench.edge(device, high, learn=high == BAND_HIGH)
    room = bench.room(device.zone)

    def standing_by() -> Truth:
        return None if power.unknown else low <= power.number <= edge.watts

    inputs = (power, room) if edge.learned is None else (power, edge.learned, room)
    return Condition(
        lambda: both(standing_by(), room.unneeded), inputs, (power,), room, sure=room.unneeded_for_sure,
        facts=edge.facts, parts=(Part(Text("设备在待机", "it stands by"), standing_by, (power,)), not_needed(room)),
    )  # fmt: skip


def detail(evidence: Evidence) -> Text | None:
    """What it draws, and what is known of its standby."""
    power, facts = read(evidence, "active_power"), evidence.get("facts", {})
    if not isinstance(power, float):
        return None
    zh, en = f"待机功率 {power:.1f} W", f"It stands by at {power:.1f} W"
    if "standby_level" in facts:
        zh += f"（{facts['days_seen']} 天学到的待机水平 {facts['standby_level']:.1f} W）"
        en += f" (standby learned over {facts['days_seen']} days: {facts['standby_level']:.1f} W)"
    elif "learning" in facts:
        zh, en = zh + "（待机水平学习中）", en + " (its standby is still being learned)"
    return Text(zh + "，无人使用。", en + " while nobody needs it.")


RULE = Rule(
    name="standby_load",
    sentence=Text("无人或下班后，插座上的设备一直待机耗电。", "A plugged-in machine stands by while nobody needs it."),
    title=Text("{place}：待机耗电（{device}）", "{place}: standing by ({device})"),
    advice=Text("下班时请关闭设备并断开插座电源。", "Switch the machine off at the plug after work."),
    clause=Text("减少待机能耗", "Cut standby consumption (待机能耗)"),
    severity="info",
    parameters=(
        after(30, Text("待机且无人持续多久后告警", "How long it must stand by while nobody needs it")),
        Parameter("band_low", "W", 0.5, 0.0, 1000.0, Text("待机功率下限", "Lowest power of standby")),
        Parameter("band_high", "W", BAND_HIGH, 0.1, 5000.0, Text("待机功率上限", "Highest power of standby")),
    ),
    kinds=("plug",),
    quantities=("active_power", "occupancy", "people"),
    wasted="kwh",
    applies=applies,
    wire=wire,
    detail=detail,
    pairs=(("band_low", "band_high"),),
)
