"""A main meter and the meters under it do not add up."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Evidence, Parameter, Rule, Text, Values
from rules.learning import Balance


def applies(device: Device) -> bool:
    """Meters of electricity and of water; only those with meters under them are wired."""
    return device.kind in ("electricity", "water")


def wire(bench: Bench, device: Device, values: Values) -> Condition | None:
    """From midnight to midnight, where parent and all children were measured."""
    children = bench.children(device)
    if not children:
        return None
    water = device.kind == "water"
    least = values["least_litres"] if water else values["least"]
    balance = Balance(
        bench.memory, bench.meter(device), [bench.meter(child) for child in children], bench.ticker(0),
        values["margin"], least, "litres" if water else "kwh",
    )  # fmt: skip
    bench.memory.keep(device.zone, f"balance|{device.id}", balance)
    shown = (bench.signal(device, "volume" if water else "energy_import"),)
    return Condition(
        lambda: balance.over, (balance,), shown, began=lambda: balance.began, spent=balance.spent, facts=balance.facts
    )


def detail(evidence: Evidence) -> Text | None:
    """Both sums."""
    facts = evidence.get("facts", {})
    if "parent" not in facts:
        return None
    unit = "L" if any(r["quantity"] == "volume" for r in evidence["readings"]) else "kWh"
    parent, children, apart = facts["parent"], facts["children"], facts["difference_percent"]
    return Text(
        f"总表日用量 {parent:.1f} {unit}，分表合计 {children:.1f} {unit}，相差 {apart:.0f}%。",
        f"In a day the main meter counted {parent:.1f} {unit}, those under it {children:.1f} {unit}: "
        f"{apart:.0f} % apart.",
    )


RULE = Rule(
    name="balance_mismatch",
    sentence=Text("总表与分表之和不符。", "A main meter and the meters under it do not add up."),
    title=Text("{place}：总分表不平衡（{device}）", "{place}: meters do not add up ({device})"),
    advice=Text(
        "请检查是否有支路未装表、互感器变比设错或漏损。",
        "Look for an unmetered branch, a wrong transformer ratio, or a loss."
    ),
    clause=Text("杜绝跑冒滴漏", "No leaks (跑冒滴漏)"),
    severity="info",
    lost=Text("少计", "Not accounted for"),
    parameters=(
        Parameter("margin", "%", 5.0, 1.0, 100.0, Text("相差多少才算", "How far apart they must be")),
        Parameter("least", "kWh", 1.0, 0.0, 1e6, Text("至少相差多少电量", "Least difference, electricity")),
        Parameter("least_litres", "L", 100.0, 0.0, 1e6, Text("至少相差多少水量", "Least difference, water")),
    ),
    kinds=("electricity", "water", "plug"),
    quantities=("energy_import", "active_power", "volume", "flow"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
)  # fmt: skip
