"""An air conditioner is set colder than the floor in summer, or warmer than the ceiling in winter."""

from __future__ import annotations

from typing import Any, Final

from building.site import Device
from rules.bench import HALVES, Bench
from rules.catalogue.aircon_unoccupied import RUNNING_ABOVE
from rules.catalogue.page import Condition, Evidence, Parameter, Part, Rule, Text, Truth, Values, after, both, read

SHARE_PER_KELVIN: Final = 0.07
"""Part of the consumption that each kelvin beyond the limit costs: an estimate, the middle of the 6 to 8 % per kelvin
that public energy-saving advice gives for room air conditioners; it serves until the unit's own usual draw within the
limit is known. What either yields is marked estimated."""

MOST: Final = 0.5
"""However far the setpoint is off, no more than half of the consumption is called waste."""


def applies(device: Device) -> bool:
    """Every air conditioner."""
    return device.kind == "aircon"


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """While it runs: cooling below the floor, or heating above the ceiling. Dry, fan and off: never."""
    floor, ceiling = values["cooling_floor"], values["heating_ceiling"]
    unit = bench.aircon(device, values["running_above"])
    # Whole and half kelvins beside the limits, so that the estimated share follows the setpoint.
    setpoint = bench.signal(device, "setpoint", *HALVES, floor, bench.above(ceiling))
    work = bench.work_of(device)

    def beyond() -> float:
        """Kelvins beyond the limit, at or below 0 within it; meaningless while the work is unknown."""
        return floor - setpoint.number if work.now() == "cooling" else setpoint.number - ceiling

    def outside() -> Truth:
        doing = work.now()
        if doing == "other":
            return False
        return None if doing is None or setpoint.unknown else beyond() > 0

    def share() -> float:
        if setpoint.unknown or work.now() not in ("cooling", "heating"):
            return 0.0
        return min(max(beyond(), 0.0) * SHARE_PER_KELVIN, MOST)

    inputs = (*unit.inputs, *work.inputs, setpoint)
    shown = (setpoint, work.mode, *unit.inputs[:1])

    def test() -> Truth:
        return both(unit.running(), outside())

    excess = bench.excess(device, inputs, test, unit.running, share)

    def facts() -> dict[str, Any]:
        return {"doing": work.now(), **({} if excess.usual is None else {"usual_power": round(excess.usual, 1)})}

    return Condition(
        test, (*inputs, excess), shown, spent=excess.spent, facts=facts,
        parts=(
            Part(Text("空调在运行", "the air conditioner runs"), unit.running, unit.inputs),
            Part(Text("设定温度超出限值", "it is set beyond the limit"), outside, (*work.inputs, setpoint)),
        ),
    )  # fmt: skip


def detail(evidence: Evidence) -> Text | None:
    """The setpoint and the limit."""
    setpoint, doing = read(evidence, "setpoint"), evidence.get("facts", {}).get("doing")
    limits = evidence["limits"]
    if not isinstance(setpoint, float) or doing not in ("cooling", "heating"):
        return None
    if doing == "cooling":
        return Text(
            f"制冷设定 {setpoint:g} ℃，低于 {limits['cooling_floor']:g} ℃。",
            f"Cooling is set to {setpoint:g} °C, below {limits['cooling_floor']:g} °C.",
        )
    return Text(
        f"制热设定 {setpoint:g} ℃，高于 {limits['heating_ceiling']:g} ℃。",
        f"Heating is set to {setpoint:g} °C, above {limits['heating_ceiling']:g} °C.",
    )


RULE = Rule(
    name="aircon_setpoint",
    sentence=Text(
        "空调设定温度超出规定：制冷低于下限，或制热高于上限。",
        "An air conditioner is set below the cooling floor or above the heating ceiling.",
    ),
    title=Text("{place}：空调设定温度超限（{device}）", "{place}: air conditioner set beyond the limit ({device})"),
    advice=Text("请把设定温度调回规定范围。", "Set it back within the limit."),
    clause=Text(
        "空调夏季不低于26℃，冬季不高于18℃", "Air conditioning not below 26 °C in summer, not above 18 °C in winter"
    ),
    severity="warning",
    parameters=(
        after(10, Text("超限运行持续多久后告警", "How long it must run beyond the limit")),
        Parameter("cooling_floor", "°C", 26.0, 10.0, 35.0, Text("制冷设定下限", "Lowest setpoint when cooling")),
        Parameter("heating_ceiling", "°C", 18.0, 10.0, 35.0, Text("制热设定上限", "Highest setpoint when heating")),
        RUNNING_ABOVE,
    ),
    kinds=("aircon",),
    quantities=("setpoint", "mode", "running", "on", "active_power", "temperature"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
)
