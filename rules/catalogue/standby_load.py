"""A machine stands by where nobody needs it."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Parameter, Rule, Text, Truth, Values, after, both


def applies(device: Device) -> bool:
    """Every plug."""
    return device.kind == "plug"


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """Power inside the band, both ends included, in an empty zone or outside working hours."""
    low, high = values["band_low"], values["band_high"]
    power = bench.signal(device, "active_power", low, bench.above(high))
    room = bench.room(device.zone)

    def standing_by() -> Truth:
        return None if power.unknown else low <= power.number <= high

    return Condition(lambda: both(standing_by(), room.unneeded), (power, room), (power,), room)


RULE = Rule(
    name="standby_load",
    sentence=Text("无人或下班后，插座上的设备一直待机耗电。", "A plugged-in machine stands by while nobody needs it."),
    title=Text("{place}：待机耗电（{device}）", "{place}: standing by ({device})"),
    advice=Text("下班时请关闭设备并断开插座电源。", "Switch the machine off at the plug after work."),
    clause=Text("减少待机能耗", "Cut standby consumption (待机能耗)"),
    severity="info",
    parameters=(
        after(30, Text("待机且无人持续多久后告警", "How long it must stand by while nobody needs it")),
        Parameter("band_low", "W", 0.5, 0.0, 1000.0, Text("待机功率下限", "Lowest power of standby")),
        Parameter("band_high", "W", 30.0, 0.1, 5000.0, Text("待机功率上限", "Highest power of standby")),
    ),
    kinds=("plug",),
    quantities=("active_power", "occupancy", "people"),
    wasted="kwh",
    applies=applies,
    wire=wire,
    pairs=(("band_low", "band_high"),),
)
