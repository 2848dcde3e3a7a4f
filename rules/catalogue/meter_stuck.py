"""A device says the same for half a day, though its neighbours move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Evidence, Rule, Text, Truth, Values, after
from rules.maintenance import Still, shown, worst
from rules.wording import quantity_name, with_unit

_MOVING: Final = {
    "electricity": (("active_power", False),),
    "plug": (("active_power", False),),
    "aircon": (("temperature", False),),
    "sensor": (("temperature", True), ("humidity", True), ("co2", True), ("illuminance", False)),
}
"""What ought to move, by kind; whether standing still is remarkable even without a neighbour that moves."""


_COUNTER: Final = "energy_import"


def applies(device: Device) -> bool:
    """Devices with something that ought to move."""
    return device.kind in _MOVING


def wire(bench: Bench, device: Device, values: Values) -> Condition | None:
    """By a look every hour. Zero is no sign of a fault where zero is usual; nor is a power that is the same all night
    while its counter goes on: a copier that sleeps draws its 14 W to the watt. A meter that tells no power is judged
    by its counter."""
    told = [(q, alone) for q, alone in _MOVING[device.kind] if not device.quantities or q in device.quantities]
    stills = [bench.still(device, quantity, alone=alone) for quantity, alone in told]
    counts = device.kind in ("electricity", "plug") and (not device.quantities or _COUNTER in device.quantities)
    stands_in = device.kind == "electricity"
    if not stills and not (counts and stands_in):
        return None
    counter = bench.still(device, _COUNTER, alone=False, excuses=stills, stands_in=stands_in) if counts else None
    wait = int(values["after"])

    def judged() -> Sequence[Still]:
        return [counter] if counter is not None and counter.judged else stills

    def found() -> Still | None:
        return worst(judged(), wait, bench.memory.now)

    def stuck() -> Truth:
        if all(still.value is None for still in judged()):
            return None
        return found() is not None and (counter is None or bench.memory.now - counter.moved >= wait)

    def began() -> int:
        still = found()
        return bench.memory.now if still is None else still.since

    inputs = [*stills, *([counter] if counter is not None else [])]
    signals = [still.signal for still in (inputs if stands_in else stills)]
    return Condition(stuck, inputs, signals, began=began, facts=lambda: shown(found()))


def detail(evidence: Evidence) -> Text | None:
    """Which value does not move."""
    facts = evidence.get("facts", {})
    if "value" not in facts:
        return None
    quantity, value = facts["quantity"], facts["value"]
    return Text(
        f"{quantity_name(quantity, 'zh')}一直是 {with_unit(quantity, value, 'zh')}，没有变化。",
        f"Its {quantity_name(quantity, 'en')} is {with_unit(quantity, value, 'en')} all the time.",
    )


RULE = Rule(
    name="meter_stuck",
    sentence=Text(
        "设备读数长时间不变，同类设备却在变化。",
        "The device says the same all the time, though others of its kind move."
    ),
    title=Text("{place}：读数不变（{device}）", "{place}: readings stand still ({device})"),
    advice=Text("请检查传感器或仪表是否损坏。", "Check whether the sensor or meter is broken."),
    clause=Text("设备维护", "Maintenance of the metering (设备维护)"),
    severity="info",
    parameters=(after(12 * 60, Text("读数不变多久后告警", "How long it must say the same")),),
    kinds=("electricity", "plug", "aircon", "sensor"),
    quantities=("active_power", "energy_import", "temperature", "humidity", "co2", "illuminance"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
)  # fmt: skip
