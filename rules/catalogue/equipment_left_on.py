"""A machine works where nobody needs it."""

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
    Truth,
    Values,
    after,
    both,
    clear,
    not_needed,
    read,
)
from rules.catalogue.standby_load import BAND_HIGH


def applies(device: Device) -> bool:
    """Plugs, and meters of a room's socket circuit."""
    return device.kind == "plug" or (device.circuit == "sockets" and device.zone is not None)


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """Above standby; or switched on, where no watts are known. In an empty zone or outside working hours."""
    power = bench.signal(device, "active_power")
    edge = bench.edge(
        device, values["working_above"], learn=values["working_above"] == BAND_HIGH, large=device.kind != "plug"
    )
    switch = bench.signal(device, "on")
    room = bench.room(device.zone)

    def working() -> Truth:
        if power.spoken:
            return None if power.unknown else power.number > edge.watts
        return None if switch.unknown else switch.number >= 0.5

    learned = () if edge.learned is None else (edge.learned,)
    return Condition(
        lambda: both(working(), room.unneeded), (power, switch, room, *learned), (power, switch), room,
        sure=room.unneeded_for_sure, facts=edge.facts,
        parts=(Part(Text("设备在工作", "it works, or is switched on"), working, (power, switch)), not_needed(room)),
    )  # fmt: skip


def detail(evidence: Evidence) -> Text | None:
    """What it draws."""
    power = read(evidence, "active_power")
    if not isinstance(power, float):
        return None
    return Text(f"功率 {power:.0f} W，无人使用却仍在运行。", f"It draws {power:.0f} W while nobody needs it.")


RULE = Rule(
    name="equipment_left_on",
    sentence=Text("无人或下班后，设备仍在运行。", "A machine works while nobody needs it."),
    title=Text("{place}：人走未关机（{device}）", "{place}: left working ({device})"),
    advice=Text("请关闭设备；离开前关机断电。", "Switch the machine off, and do so before leaving."),
    clause=Text("人走机关", "The last to leave switches the machines off (人走机关)"),
    severity="warning",
    parameters=(
        after(30, Text("运行且无人持续多久后告警", "How long it must work while nobody needs it")),
        clear(5),
        Parameter(
            "working_above", "W", BAND_HIGH, 1.0, 100_000.0,
            Text("学到待机水平之前，功率超过此值视为运行", "Power above which it works, until its standby is learned"),
        ),
    ),
    kinds=("plug", "electricity"),
    quantities=("active_power", "on", "occupancy", "people"),
    wasted="kwh",
    applies=applies,
    wire=wire,
    detail=detail,
)  # fmt: skip
