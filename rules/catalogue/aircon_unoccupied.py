"""An air conditioner runs where nobody is."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import (
    Condition,
    Evidence,
    Parameter,
    Part,
    Rule,
    Text,
    Values,
    after,
    both,
    nobody_by_sensors,
    room_empty,
)

RUNNING_ABOVE = Parameter(
    "running_above",
    "W",
    100.0,
    1.0,
    100_000.0,
    Text("只知道功率时，超过此值视为运行", "Power above which it runs, where only power is known"),
)


def applies(device: Device) -> bool:
    """Every air conditioner."""
    return device.kind == "aircon"


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """Running by the most direct sign the unit gives, in an empty zone."""
    unit = bench.aircon(device, values["running_above"])
    room = bench.room(device.zone)
    inputs = (*unit.inputs, room)
    parts = (Part(Text("空调在运行", "the air conditioner runs"), unit.running, unit.inputs), room_empty(room))
    return Condition(
        lambda: both(unit.running(), room.vacant), inputs, unit.inputs, room, sure=room.vacant_for_sure, parts=parts
    )


def detail(evidence: Evidence) -> Text:
    """Whether sensors or the calendar say that nobody is there."""
    if nobody_by_sensors(evidence):
        return Text("房间无人，空调仍在运行。", "The air conditioner runs in an empty room.")
    return Text("非工作时间，空调仍在运行。", "The air conditioner runs outside working hours.")


RULE = Rule(
    name="aircon_unoccupied",
    sentence=Text(
        "房间无人时空调一直开着；没有人员传感器时，指下班后空调一直开着。",
        "An air conditioner runs in an empty room; without presence sensors, outside working hours.",
    ),
    brief=Text("无人时空调一直开着。", "The air conditioner ran on while nobody was there."),
    title=Text("{place}：无人开空调（{device}）", "{place}: air conditioner running for nobody ({device})"),
    advice=Text("请关闭空调；下班前可提前关机。", "Switch the air conditioner off, best a while before leaving."),
    clause=Text("无人时不开空调", "No air conditioning in empty rooms (无人时不开空调)"),
    severity="warning",
    parameters=(
        after(30, Text("运行且无人持续多久后告警", "How long it must run in the empty room")),
        RUNNING_ABOVE,
    ),
    kinds=("aircon",),
    quantities=("running", "on", "mode", "active_power", "occupancy", "people"),
    wasted="kwh",
    applies=applies,
    wire=wire,
    detail=detail,
)
