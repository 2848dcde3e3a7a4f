"""A heater or cooker runs where none is allowed."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Evidence, Parameter, Rule, Text, Truth, Values, after, clear, read
from rules.catalogue.standby_load import applies


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """Power above the limit. Plugs where such an appliance is allowed stand under ``except``."""
    limit = values["power_above"]
    power = bench.signal(device, "active_power", bench.above(limit))

    def heavy() -> Truth:
        return None if power.unknown else power.number > limit

    return Condition(heavy, (power,), (power,))


def detail(evidence: Evidence) -> Text | None:
    """What it draws."""
    power, limit = read(evidence, "active_power"), evidence["limits"]["power_above"]
    if not isinstance(power, float):
        return None
    return Text(
        f"插座功率 {power:.0f} W，超过允许的 {limit:.0f} W。", f"The plug delivers {power:.0f} W, over {limit:.0f} W."
    )


RULE = Rule(
    name="high_power_appliance",
    sentence=Text("插座上使用了大功率电器。", "A high-power appliance is used on a plug."),
    title=Text("{place}：大功率电器（{device}）", "{place}: high-power appliance ({device})"),
    advice=Text(
        "请停用电热器等大功率电器；确需使用请报备。",
        "Stop using it; where it is needed, have it put on the list of exceptions."
    ),
    clause=Text("不使用高耗能电器", "No high-consumption appliances (不使用高耗能电器)"),
    severity="warning",
    parameters=(
        after(2, Text("超过限值持续多久后告警", "How long it must draw so much")),
        clear(2),
        Parameter("power_above", "W", 1500.0, 100.0, 20_000.0, Text("允许的最大功率", "Power that is allowed at most")),
    ),
    kinds=("plug",),
    quantities=("active_power",),
    wasted="kwh",
    applies=applies,
    wire=wire,
    detail=detail,
)  # fmt: skip
