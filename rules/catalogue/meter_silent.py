"""A device does not speak."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Parameter, Rule, Text, Values


def applies(device: Device) -> bool:
    """Every device."""
    return bool(device.id)


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """No reading for so many of its periods; one that reports on change: for its ``max_age``."""
    life = bench.life(device, values["periods"])
    return Condition(lambda: life.silent, (life,), (), began=lambda: life.since)


RULE = Rule(
    name="meter_silent",
    sentence=Text("设备没有数据。", "The device does not speak."),
    title=Text("{place}：设备无数据（{device}）", "{place}: no readings ({device})"),
    advice=Text("请检查设备供电、通信线路和网关。", "Check its supply, its cable and its gateway."),
    clause=Text("设备维护", "Maintenance of the metering (设备维护)"),
    severity="info",
    parameters=(
        Parameter(
            "periods", "", 5.0, 2.0, 10_000.0, Text("多少个采集周期无数据后告警", "How many periods without a reading")
        ),
    ),
    kinds=("electricity", "plug", "light", "water", "aircon", "sensor"),
    quantities=("online",),
    wasted=None,
    applies=applies,
    wire=wire,
)  # fmt: skip
