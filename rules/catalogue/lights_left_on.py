"""A lamp burns where nobody is."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Parameter, Rule, Text, Truth, Values, after, both, either


def applies(device: Device) -> bool:
    """Lamps, and meters of a room's lighting circuit. A circuit meter without zone stands for many rooms: left out."""
    return device.kind == "light" or (device.circuit == "lighting" and device.zone is not None)


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """On by what the switch says or by power; a source that never spoke takes no part."""
    limit = values["on_above"]
    switch = bench.signal(device, "on")
    power = bench.signal(device, "active_power", bench.above(limit))
    room = bench.room(device.zone)

    def lit() -> Truth:
        drawing = None if power.unknown else power.number > limit
        if not switch.spoken:
            return drawing
        switched = None if switch.unknown else switch.number >= 0.5
        return either(switched, drawing) if power.spoken else switched

    return Condition(lambda: both(lit(), room.vacant), (switch, power, room), (switch, power), room)


RULE = Rule(
    name="lights_left_on",
    sentence=Text(
        "房间无人时灯一直亮着；没有人员传感器时，指下班后灯一直亮着。",
        "A light stays on in an empty room; without presence sensors, outside working hours.",
    ),
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
)
