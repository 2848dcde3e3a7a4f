"""A lamp burns where nobody is."""

from __future__ import annotations

from collections.abc import Callable

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
    either,
    nobody_by_sensors,
    read,
    room_empty,
)
from rules.cells import Signal


def applies(device: Device) -> bool:
    """Lamps, and meters of a room's lighting circuit. A circuit meter without zone stands for many rooms: left out."""
    return device.kind == "light" or (device.circuit == "lighting" and device.zone is not None)


def lit_by(bench: Bench, device: Device, limit: float) -> tuple[Callable[[], Truth], tuple[Signal, Signal]]:
    """On by what the switch says or by power; a source that never spoke takes no part. With the signals it goes by."""
    switch = bench.signal(device, "on")
    power = bench.signal(device, "active_power", bench.above(limit))

    def lit() -> Truth:
        drawing = None if power.unknown else power.number > limit
        if not switch.spoken:
            return drawing
        switched = None if switch.unknown else switch.number >= 0.5
        return either(switched, drawing) if power.spoken else switched

    return lit, (switch, power)


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """Lit in an empty zone."""
    lit, signals = lit_by(bench, device, values["on_above"])
    room = bench.room(device.zone)
    parts = (Part(Text("灯亮着", "the light is on"), lit, signals), room_empty(room))
    return Condition(
        lambda: both(lit(), room.vacant), (*signals, room), signals, room, sure=room.vacant_for_sure, parts=parts
    )


def detail(evidence: Evidence) -> Text | None:
    """What it draws, and whether sensors or the calendar say that nobody is there."""
    power, seen = read(evidence, "active_power"), nobody_by_sensors(evidence)
    when = Text("房间无人", "in an empty room") if seen else Text("非工作时间", "outside working hours")
    if not isinstance(power, float):
        return Text(f"{when.zh}，灯仍亮着。", f"The light is on {when.en}.")
    return Text(f"{when.zh}，灯仍亮着，功率 {power:.0f} W。", f"The light is on at {power:.0f} W {when.en}.")


RULE = Rule(
    name="lights_left_on",
    sentence=Text(
        "房间无人时灯一直亮着；没有人员传感器时，指下班后灯一直亮着。",
        "A light stays on in an empty room; without presence sensors, outside working hours.",
    ),
    brief=Text("无人时灯一直亮着。", "The light stayed on while nobody was there."),
    title=Text("{place}：无人亮灯（{device}）", "{place}: light left on ({device})"),
    advice=Text("请关灯；离开时随手关灯。", "Switch the light off, and do so when leaving."),
    clause=Text(
        "杜绝长明灯，做到人走灯灭", "No lights left burning; the last to leave switches off (长明灯, 人走灯灭)"
    ),
    severity="warning",
    parameters=(
        after(15, Text("灯亮且无人持续多久后告警", "How long the light must be on in the empty room")),
        Parameter(
            "on_above", "W", 20.0, 0.1, 100_000.0, Text("功率超过此值视为亮灯", "Power above which the light is on")
        ),
    ),
    kinds=("light", "electricity"),
    quantities=("on", "active_power", "occupancy", "people"),
    wasted="kwh",
    applies=applies,
    wire=wire,
    detail=detail,
)
