"""A department uses more this month than its quota allows for as many days."""

from __future__ import annotations

from building.site import Department, Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Evidence, Parameter, Rule, Text, Values
from rules.learning import Pace


def applies(device: Device) -> bool:
    """No single device: the rule is about departments."""
    return not device.id


def wire(_bench: Bench, _device: Device, _values: Values) -> None:
    """Nothing to wire on a single device."""


def of_department(bench: Bench, department: Department, values: Values) -> Condition | None:
    """The sum of its topmost meters since the first of the month, judged every midnight from the third day on."""
    quota = department.quota
    heads = bench.heads(department.id)
    if (quota.electricity is None and quota.water is None) or not heads:
        return None
    pace = Pace(
        bench.memory, [bench.meter(head) for head in heads], (quota.electricity, quota.water), bench.ticker(0),
        values["margin"],
    )  # fmt: skip
    bench.memory.keep(None, f"pace|{department.id}", pace)
    return Condition(lambda: pace.over, (pace,), (), began=lambda: pace.began, spent=pace.spent, facts=pace.facts)


def detail(evidence: Evidence) -> Text | None:
    """Used and allowed."""
    facts = evidence.get("facts", {})
    parts = [
        (facts[used], facts[allowed], unit)
        for used, allowed, unit in (("kwh", "kwh_allowed", "kWh"), ("m3", "m3_allowed", "m³"))
        if facts.get(allowed) and facts[used] > facts[allowed]
    ]
    if not parts:
        return None
    zh = "；".join(
        f"本月已用 {used:.1f} {unit}，按定额进度应不超过 {allowed:.1f} {unit}" for used, allowed, unit in parts
    )
    en = "; ".join(
        f"{used:.1f} {unit} used this month, {allowed:.1f} {unit} by the quota" for used, allowed, unit in parts
    )
    return Text(zh + "。", en + ".")


RULE = Rule(
    name="quota_pace",
    sentence=Text("本月用量超过定额进度。", "This month's use is ahead of the quota."),
    title=Text("{place}：用量超定额进度", "{place}: ahead of its quota"),
    advice=Text("请查明用量大的原因并采取节约措施。", "Look at what used most, and save there."),
    clause=Text("定额考核", "Quotas per department (定额考核)"),
    severity="info",
    lost=Text("超用", "Above the quota"),
    parameters=(
        Parameter("margin", "%", 10.0, 0.0, 500.0, Text("超过进度多少才算", "How far ahead of the pace it must be")),
    ),
    kinds=("electricity", "plug", "water"),
    quantities=("energy_import", "active_power", "volume", "flow"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
    of_department=of_department,
)  # fmt: skip
