"""A meter's load at night is above its own nights of the last weeks."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Evidence, Parameter, Rule, Text, Values
from rules.learning import Night


def applies(device: Device) -> bool:
    """Electricity meters but those of lamps and air conditioners, which have rules of their own."""
    return device.kind == "electricity" and device.circuit not in ("lighting", "aircon")


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """The mean load from 01:00 to 05:00 against the middle of earlier nights."""
    meter = bench.meter(device)
    night = Night(bench.memory, meter, bench.ticker(*Night.MINUTES), values["margin"], values["least"])
    bench.memory.keep(device.zone, f"night|{device.id}", night)
    power = bench.signal(device, "active_power", summed=True)
    return Condition(
        lambda: night.over, (night,), (power,), began=lambda: night.began, spent=night.spent, facts=night.facts
    )


def detail(evidence: Evidence) -> Text | None:
    """Last night's load, and the base."""
    facts = evidence.get("facts", {})
    power, base = facts.get("night_power"), facts.get("base")
    if not base or power is None:
        return None
    more = 100 * (power / base - 1)
    return Text(
        f"01:00–05:00 平均负荷 {power:.0f} W，比前 {facts['nights_seen']} 夜的基线 {base:.0f} W 高 {more:.0f}%。",
        f"From 01:00 to 05:00 it drew {power:.0f} W, {more:.0f} % above its base of {base:.0f} W over "
        f"{facts['nights_seen']} nights.",
    )


RULE = Rule(
    name="night_base_load",
    sentence=Text("夜间用电高于自身近几周的基线。", "The load at night is above its own base of the last weeks."),
    title=Text("{place}：夜间基础负荷偏高（{device}）", "{place}: night load above its base ({device})"),
    advice=Text("请排查夜间未关的设备。", "Look for what was left on at night."),
    clause=Text("减少待机能耗", "Cut standby consumption (待机能耗)"),
    severity="info",
    lost=Text("多用", "Above the base"),
    parameters=(
        Parameter("margin", "%", 25.0, 5.0, 500.0, Text("高出基线多少才算", "How far above the base it must be")),
        Parameter("least", "W", 20.0, 0.0, 1e6, Text("至少高出多少瓦", "Watts it must be above the base at least")),
    ),
    kinds=("electricity",),
    quantities=("active_power", "energy_import"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
)
