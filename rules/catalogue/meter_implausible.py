"""A device says what cannot be."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.meter_silent import applies
from rules.catalogue.page import Condition, Evidence, Parameter, Rule, Text, Values
from rules.wording import quantity_name


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """A value outside its range or marked as not good, or a counter that falls."""
    doubt = bench.doubt(device, int(values["hold"]))
    return Condition(
        lambda: doubt.active, (doubt,), (), began=lambda: doubt.since, facts=lambda: {"quantity": doubt.what}
    )


def detail(evidence: Evidence) -> Text | None:
    """Which quantity."""
    quantity = evidence.get("facts", {}).get("quantity")
    if not quantity:
        return None
    return Text(
        f"上报的{quantity_name(quantity, 'zh')}不合理。", f"Its {quantity_name(quantity, 'en')} cannot be right."
    )


RULE = Rule(
    name="meter_implausible",
    sentence=Text("设备读数不合理。", "The device says what cannot be."),
    title=Text("{place}：读数异常（{device}）", "{place}: implausible readings ({device})"),
    advice=Text("请检查仪表、接线和参数设置。", "Check the meter, its wiring and its settings."),
    clause=Text("设备维护", "Maintenance of the metering (设备维护)"),
    severity="info",
    parameters=(
        Parameter(
            "hold", "ms", 3_600_000.0, 1000.0, 7 * 86_400_000.0,
            Text("恢复正常多久后解除告警", "How long all must be well before the alert ends"),
        ),
    ),
    kinds=("electricity", "plug", "light", "water", "aircon", "sensor"),
    quantities=("energy_import", "volume", "active_power", "temperature"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
)  # fmt: skip
