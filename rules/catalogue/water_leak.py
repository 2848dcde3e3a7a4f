"""Water that never stops.

A day without a pause is a leak until explained; some wait two days (alarms of water companies). Here a day is enough
where the lowest flow is steady, hour by hour; where it wanders, people may just have been up, and half a day more is
waited.
"""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Evidence, Parameter, Rule, Text, Truth, Values, after, either
from rules.catalogue.tap_left_running import applies
from rules.cells import NEVER
from rules.learning import NightFlow
from rules.metering import Used
from rules.water import HOUR


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """No pause for the whole wait, by the steps of the counter (or by the flow); or nights above the learned base."""
    flow = bench.signal(device, "flow", bench.above(values["flow_above"]), summed=True)
    ceaseless = bench.ceaseless(device, int(values["pause"]))
    night = NightFlow(bench.memory, bench.meter(device), bench.ticker(*NightFlow.MINUTES), values["night_above"])
    bench.memory.keep(device.zone, f"nightflow|{device.id}", night)

    def by_flow() -> bool:
        return flow.spoken and ceaseless.seen is None

    def unceasing() -> Truth:
        if by_flow():
            return None if flow.unknown else flow.number > values["flow_above"]
        return ceaseless.running

    def began() -> int:
        if night.over:
            return min(night.began, bench.memory.now - int(values["after"]))
        return flow.heard if by_flow() else ceaseless.began

    def wait() -> int:
        """A steady lowest flow is a leak after a day; in a busy house it takes longer to be sure."""
        return int(values["after"] if ceaseless.steady else max(values["after"], values["uneven_after"]))

    def proved() -> int:
        if by_flow() or night.over:
            return bench.memory.now
        return ceaseless.last if ceaseless.last - ceaseless.began >= wait() else 0

    def sure() -> int:
        return NEVER if by_flow() or night.over else ceaseless.began + wait()

    def slowest() -> float | None:
        return ceaseless.least if ceaseless.floor is None else ceaseless.floor

    def spent(since: int, moment: int) -> Used:
        """The slowest rate seen, until it stopped: what is above it may have been use."""
        rate = night.leak if night.leak and ceaseless.floor is None else slowest()
        until = max(since, min(moment, ceaseless.last)) if ceaseless.running is False else moment
        return Used(litres=None if rate is None else rate * (until - since) / HOUR, estimated=True)

    return Condition(
        lambda: either(unceasing(), night.over or False), (flow, ceaseless, night), (flow, ceaseless.volume),
        began=began, proved=proved, sure=sure, spent=spent, facts=lambda: {"slowest": slowest(), **night.facts()},
    )  # fmt: skip


def detail(evidence: Evidence) -> Text | None:
    """How much runs at the least."""
    facts = evidence.get("facts", {})
    slowest = facts.get("slowest") or facts.get("night_flow")
    if not slowest:
        return None
    return Text(
        f"用水一直不停，最少时每小时也有 {slowest:.0f} L。",
        f"Water never stops; at the least {slowest:.0f} L an hour run.",
    )


RULE = Rule(
    name="water_leak",
    sentence=Text("用水昼夜不停，可能漏水。", "Water runs day and night without a pause: perhaps a leak."),
    title=Text("{place}：疑似漏水（{device}）", "{place}: perhaps a leak ({device})"),
    advice=Text(
        "请检查水箱、阀门和管道；冷却塔补水等正常用水请列入例外。",
        "Check cisterns, valves and pipes; put cooling towers and the like on the list of exceptions.",
    ),
    clause=Text("杜绝跑冒滴漏", "No leaks (跑冒滴漏)"),
    severity="critical",
    parameters=(
        after(24 * 60, Text("用水不停多久后告警", "How long there must be no pause")),
        Parameter(
            "uneven_after", "ms", 36 * 3_600_000.0, 1000.0, 7 * 24 * 3_600_000.0,
            Text("最小流量不平稳（像是有人在用）时，多久后告警", "The same where the lowest flow is uneven, like use"),
        ),
        Parameter(
            "pause", "ms", 50 * 60_000.0, 600_000.0, 12 * 3_600_000.0,
            Text("停水多久才算停过", "What counts as a pause"),
        ),
        Parameter("flow_above", "L/min", 0.05, 0.0, 100.0, Text("流量超过此值视为用水", "Flow above which water runs")),
        Parameter(
            "night_above", "L/h", 5.0, 0.5, 10_000.0,
            Text("夜间最小流量高出基线多少才算", "How far the lowest flow at night must be above its base"),
        ),
    ),
    kinds=("water",),
    quantities=("volume", "flow"),
    wasted=None,
    applies=applies,
    wire=wire,
    detail=detail,
)  # fmt: skip
