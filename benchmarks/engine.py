"""How many readings a second the engine takes on one core, beside a peer measured in the same run.

    python benchmarks/engine.py [ROUNDS] [five]

1,000 zones, each with a lamp's meter, a presence sensor, a plug, an air conditioner and (every tenth) a water meter,
every rule of the catalogue on (with ``five``: the first five alone). One round is 30 s of the building: loads wander
inside their bands, people come and go, lamps and taps are left on; every sensor tells the light, every unit the room's
temperature. Each round is made just before it is timed. The peer is one hand-written state machine of __slots__
objects with a single rule (power above 20 W and nobody there for 15 min), the fastest plain Python there is.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence

from building.document import parse_document
from building.readings import Reading
from building.site import Site, build_site
from rules.catalogue import CATALOGUE
from rules.engine import RuleEngine

ZONES = 1000
STEP = 30_000  # ms between rounds
START = 1_782_871_200_000  # 2026-07-01 10:00 in Shanghai, a Wednesday
REPEATS = 5
_WARM = 2  # rounds that are not timed
FIVE = ("lights_left_on", "tap_left_running", "standby_load", "aircon_setpoint", "aircon_unoccupied")


def site(rules: Sequence[str]) -> Site:
    """1,000 zones under ``rules``."""
    lines = ["version: 1", "site: {timezone: Asia/Shanghai}", "rules:"]
    lines += [f"  {name}: {{enabled: {str(name in rules).lower()}}}" for name in CATALOGUE]
    lines += ["zones:"]
    lines += [f"  - {{id: z{n}}}" for n in range(ZONES)]
    lines += ["devices:"]
    for n in range(ZONES):
        common = f"zone: z{n}, every: 30s"
        lines += [
            f"  - {{id: lamp{n}, kind: electricity, circuit: lighting, {common}}}",
            f"  - {{id: pir{n}, kind: sensor, quantities: [occupancy, illuminance], {common}}}",
            f"  - {{id: plug{n}, kind: plug, {common}}}",
            f"  - {{id: ac{n}, kind: aircon, {common}}}",
        ]
        if n % 10 == 0:
            lines += [f"  - {{id: water{n}, kind: water, {common}}}"]
    return build_site(parse_document("\n".join(lines).encode(), "benchmark"))


def rounds(count: int, seed: int = 1) -> Iterator[list[Reading]]:
    """What the building says, round by round; about one state in 50 changes each round."""
    draw = random.Random(seed)
    there = [draw.random() < 0.6 for _ in range(ZONES)]
    lit = [draw.random() < 0.6 for _ in range(ZONES)]
    # A collector names a device by the same object every time, so its hash is known already.
    names = {kind: [f"{kind}{zone}" for zone in range(ZONES)] for kind in ("lamp", "pir", "plug", "ac", "water")}
    for number in range(count):
        readings = []
        for zone in range(ZONES):
            at = START + number * STEP + zone * 29
            if draw.random() < 0.01:
                there[zone] = not there[zone]
            if draw.random() < 0.01:
                lit[zone] = not lit[zone]
            power = (60.0 if lit[zone] else 0.5) + draw.random()
            readings.append(Reading(names["lamp"][zone], at, {"active_power": power}))
            seen = {"occupancy": 1.0 if there[zone] else 0.0, "illuminance": 300.0 + 50 * draw.random()}
            readings.append(Reading(names["pir"][zone], at, seen))
            readings.append(Reading(names["plug"][zone], at, {"active_power": 5.0 + draw.random()}))
            values: dict[str, float | str] = {
                "running": 1.0,
                "mode": "cool",
                "setpoint": 24.0 if zone % 9 == 0 else 26.0,
                "temperature": 26.1 + 0.3 * draw.random(),
            }
            readings.append(Reading(names["ac"][zone], at, values))
            if zone % 10 == 0:
                readings.append(Reading(names["water"][zone], at, {"flow": 6.0 * draw.random()}))
        yield readings


class Peer:
    """One rule for one series, by hand."""

    __slots__ = ("fired", "since", "there")

    def __init__(self) -> None:
        self.since = 0
        self.fired = False
        self.there = False


def step_peer(peers: dict[str, Peer], batch: Sequence[Reading]) -> int:
    alerts = 0
    for device, at, values, _ in batch:
        peer = peers.get(device)
        if peer is None:
            peer = peers[device] = Peer()
        value = values.get("active_power", 0.0)
        if value > 20.0 and not peer.there:  # type: ignore[operator]  # power is a number
            if not peer.since:
                peer.since = at
            elif not peer.fired and at - peer.since >= 900_000:
                peer.fired = True
                alerts += 1
        else:
            peer.since, peer.fired = 0, False
    return alerts


def run(engine: RuleEngine, count: int) -> tuple[float, float, int, int]:
    """Seconds of the engine and of the peer over the same rounds, each fresh from its making as readings are."""
    memory, peers = engine.new_memory(), dict[str, Peer]()
    gc.collect()
    gc.freeze()  # the cells live as long as the process; they need not be searched for garbage
    ours = theirs = 0.0
    readings = findings = 0
    for number, batch in enumerate(rounds(count + _WARM)):
        if number < _WARM:  # the first words of every device, once in its life
            engine.step(memory, batch)
            step_peer(peers, batch)
            continue
        readings += len(batch)
        began = time.process_time()
        findings += len(engine.step(memory, batch))
        between = time.process_time()
        step_peer(peers, batch)
        ended = time.process_time()
        ours, theirs = ours + between - began, theirs + ended - between
    return ours, theirs, readings, findings


def main() -> None:
    words = sys.argv[1:]
    rules = FIVE if "five" in words else tuple(CATALOGUE)
    count = next((int(word) for word in words if word.isdigit()), 120)
    engine = RuleEngine(site(rules))
    runs = [run(engine, count) for _ in range(REPEATS)]
    readings, findings = runs[0][2:]
    rates = [readings / ours for ours, *_ in runs]
    mine, peer = statistics.median(rates), statistics.median(readings / theirs for _, theirs, *_ in runs)
    print(f"{mine / peer:.2f} of the rate of one hand-written rule, with {len(rules)} rules on {ZONES} zones")
    print(f"{'engine':8} {mine:12,.0f} readings/s  ({1e9 / mine:,.0f} ns each; {findings} findings)")
    print(f"{'peer':8} {peer:12,.0f} readings/s  ({1e9 / peer:,.0f} ns each)")
    print(f"{readings:,} readings, median of {REPEATS} runs, spread {100 * (max(rates) / min(rates) - 1):.0f} %")


if __name__ == "__main__":
    main()
