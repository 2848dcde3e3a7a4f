"""Water runs without a break."""

from __future__ import annotations

from building.site import Device
from rules.bench import Bench
from rules.catalogue.page import Condition, Parameter, Part, Rule, Text, Truth, Values, after
from rules.water import Flowing


def applies(device: Device) -> bool:
    """Every water meter."""
    return device.kind == "water"


def wire(bench: Bench, device: Device, values: Values) -> Condition:
    """From the flow where the meter tells it, else from the steps of its volume counter.

    Either way it is raised only when readings prove that it ran so long, not when a meter fell silent over it. Between
    two steps of a counter nothing is known, so the count then runs from step to step: two steps closer than
    the limit allows prove that water ran between them.
    """
    limit = values["flow_above"]
    flow = bench.signal(device, "flow", bench.above(limit), summed=True)
    flowing = Flowing(bench.memory, flow, limit, int(values["pause"]), int(values["after"]))
    bench.memory.keep(device.zone, f"flowing|{device.id}", flowing)
    steps = bench.steps(device, limit)

    def running() -> Truth:
        return flowing.running if flow.spoken else steps.running

    def began() -> int:
        return flowing.began if flow.spoken else steps.began

    def proved() -> int:
        return flowing.proved if flow.spoken else steps.last

    def head() -> float:
        return 0.0 if flow.spoken else steps.step

    parts = (Part(Text("水在流", "water runs"), running, (flowing, steps)),)
    return Condition(
        running, (flowing, steps), (flow, steps.volume), began=began, proved=proved, head=head, parts=parts
    )


RULE = Rule(
    name="tap_left_running",
    sentence=Text("水一直流，中间没有停过。", "Water runs without a break."),
    title=Text("{place}：长流水（{device}）", "{place}: tap left running ({device})"),
    advice=Text("请关紧水龙头；关不紧请报修。", "Close the tap; if it cannot be closed, call for repair."),
    clause=Text("杜绝长流水", "No running taps (长流水)"),
    severity="critical",
    parameters=(
        after(10, Text("连续用水多久后告警", "How long the water must run without a break")),
        Parameter(
            "flow_above", "L/min", 1.0, 0.01, 10_000.0, Text("流量超过此值视为用水", "Flow above which water runs")
        ),
        Parameter("pause", "ms", 10_000.0, 0.0, 600_000.0, Text("短于此的停顿不算中断", "A shorter dip is no break")),
    ),
    kinds=("water",),
    quantities=("flow", "volume"),
    wasted="litres",
    applies=applies,
    wire=wire,
)
