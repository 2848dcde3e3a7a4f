"""A lamp burns although the day is bright enough."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from building.site import Device
from rules.bench import Bench
from rules.catalogue.lights_left_on import applies, lit_by
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

_STEPS: Final = (0.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 700.0, 1000.0, 1500.0)
"""lx to which the learned light of the lamps is rounded up, so that few readings need to be looked at."""


def wire(bench: Bench, device: Device, values: Values) -> Condition | None:
    """Lit, while a sensor of the zone shows more than the lamps themselves give plus the limit."""
    limit = values["lux_above"]
    sensors = bench.sensors(device.zone, "illuminance", *(bench.above(limit + step) for step in _STEPS))
    if not sensors:
        return None
    lit, inputs = lit_by(bench, device, values["on_above"])
    lights = {sensor: bench.lamp_light(device, lit, inputs, sensor) for sensor in sensors}

    def own(sensor: Any) -> float:
        learned = lights[sensor].lux
        given = values["lamp_lux"] if learned is None else learned
        return _STEPS[min(bisect_left(_STEPS, given), len(_STEPS) - 1)]

    def bright() -> Truth:
        """By the darkest of the sensors that ever told."""
        dark, told = False, False
        for sensor in sensors:
            if sensor.spoken:
                if sensor.unknown:
                    return None
                told = True
                dark = dark or sensor.number <= limit + own(sensor)
        return not dark if told else None

    def facts() -> dict[str, Any]:
        learned = [light.lux for light in lights.values() if light.lux is not None]
        return {"lamp_lux": max(learned)} if learned else {"learning": 0}

    shown = (*sensors, *inputs)
    parts = (
        Part(Text("灯亮着", "the light is on"), lit, inputs),
        Part(Text("日光充足", "there is daylight enough"), bright, sensors),
    )
    return Condition(
        lambda: both(lit(), bright()), (*inputs, *sensors, *lights.values()), shown, facts=facts, parts=parts
    )


def detail(evidence: Evidence) -> Text | None:
    """How bright it is."""
    lux = read(evidence, "illuminance")
    if not isinstance(lux, float):
        return None
    limit = evidence["limits"]["lux_above"]
    return Text(
        f"室内照度 {lux:.0f} lx，扣除灯光后仍高于 {limit:.0f} lx，灯却亮着。",
        f"The room has {lux:.0f} lx, over {limit:.0f} lx without the lamps, and yet they burn.",
    )


RULE = Rule(
    name="lights_in_daylight",
    sentence=Text("白天光线充足，灯却一直亮着。", "A light burns although daylight is enough."),
    title=Text("{place}：白昼灯（{device}）", "{place}: light on in daylight ({device})"),
    advice=Text("请关灯，利用自然光。", "Switch the light off and use the daylight."),
    clause=Text("杜绝白昼灯", "No lights burning in daylight (白昼灯)"),
    severity="info",
    parameters=(
        after(20, Text("光线充足且灯亮持续多久后告警", "How long the light must be on in daylight")),
        clear(5),
        Parameter(
            "lux_above", "lx", 500.0, 50.0, 10_000.0,
            Text("自然光照度超过此值视为充足", "Daylight that is enough"),
        ),
        Parameter(
            "lamp_lux", "lx", 300.0, 0.0, 2000.0,
            Text("学到之前，灯本身照到传感器上的照度", "Light of the lamps on the sensor, until it is learned"),
        ),
        Parameter(
            "on_above", "W", 20.0, 0.1, 100_000.0, Text("功率超过此值视为亮灯", "Power above which the light is on")
        ),
    ),
    kinds=("light", "electricity", "sensor"),
    quantities=("on", "active_power", "illuminance"),
    wasted="kwh",
    applies=applies,
    wire=wire,
    detail=detail,
)  # fmt: skip
