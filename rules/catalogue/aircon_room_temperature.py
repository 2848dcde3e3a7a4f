"""A room is cooled far below the floor, or heated far above the ceiling, whatever the setpoint says."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.aircon_setpoint import applies
from rules.catalogue.aircon_unoccupied import RUNNING_ABOVE
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
    read,
)


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """While it cools or heats, by the room temperature of the unit itself, else of the zone's sensors."""
    cold = values["cooling_floor"] - values["margin"]
    warm = values["heating_ceiling"] + values["margin"]
    unit = bench.aircon(device, values["running_above"])
    work = bench.work_of(device)
    cuts = (cold, bench.above(warm))
    rooms = [bench.signal(device, "temperature", *cuts), *bench.sensors(device.zone, "temperature", *cuts)]

    def beyond() -> Truth:
        doing = work.now()
        if doing == "other":
            return False
        room = next((room for room in rooms if room.spoken), None)
        if doing is None or room is None or room.unknown:
            return None
        return room.number < cold if doing == "cooling" else room.number > warm

    inputs = (*unit.inputs, *work.inputs, *rooms)
    return Condition(
        lambda: both(unit.running(), beyond()), inputs, (*rooms, work.setpoint, work.mode),
        facts=lambda: {"doing": work.now()},
        parts=(
            Part(Text("空调在运行", "the air conditioner runs"), unit.running, unit.inputs),
            Part(Text("室温超出限值", "the room is beyond the limit"), beyond, (*work.inputs, *rooms)),
        ),
    )  # fmt: skip


def detail(evidence: Evidence) -> Text | None:
    """How cold or warm it is."""
    room, limits, doing = read(evidence, "temperature"), evidence["limits"], evidence.get("facts", {}).get("doing")
    if not isinstance(room, float) or doing not in ("cooling", "heating"):
        return None
    if doing == "cooling":
        floor = limits["cooling_floor"]
        return Text(
            f"制冷时室温 {room:.1f} ℃，比 {floor:g} ℃ 低 {floor - room:.1f} ℃。",
            f"While cooling the room is at {room:.1f} °C, {floor - room:.1f} K below {floor:g} °C.",
        )
    ceiling = limits["heating_ceiling"]
    return Text(
        f"制热时室温 {room:.1f} ℃，比 {ceiling:g} ℃ 高 {room - ceiling:.1f} ℃。",
        f"While heating the room is at {room:.1f} °C, {room - ceiling:.1f} K above {ceiling:g} °C.",
    )


RULE = Rule(
    name="aircon_room_temperature",
    sentence=Text(
        "空调运行时室温明显超出规定：制冷过低，或制热过高。",
        "With the air conditioning on, the room is far below the cooling floor or above the heating ceiling.",
    ),
    title=Text("{place}：室温超限（{device}）", "{place}: room too cold or too warm ({device})"),
    advice=Text(
        "请调整设定温度；如设定已合规，请检查传感器和其他冷热源。",
        "Set it back; if the setpoint is within the limit, look for a wrong sensor or another heater.",
    ),
    clause=Text(
        "空调夏季不低于26℃，冬季不高于18℃", "Air conditioning not below 26 °C in summer, not above 18 °C in winter"
    ),
    severity="warning",
    parameters=(
        after(30, Text("室温超限持续多久后告警", "How long the room must be beyond the limit")),
        clear(10),
        Parameter("cooling_floor", "°C", 26.0, 10.0, 35.0, Text("制冷设定下限", "Lowest setpoint when cooling")),
        Parameter("heating_ceiling", "°C", 18.0, 10.0, 35.0, Text("制热设定上限", "Highest setpoint when heating")),
        Parameter("margin", "K", 1.5, 0.5, 10.0, Text("室温超出多少才算", "How far beyond the room must be")),
        RUNNING_ABOVE,
    ),
    kinds=("aircon", "sensor"),
    quantities=("temperature", "mode", "running", "on", "setpoint", "active_power"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
)
