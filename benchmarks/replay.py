"""How fast history goes through the rules from columns, beside the same engine one reading at a time.

    python benchmarks/replay.py [DAYS] [DEVICES]

Minute data of DEVICES points (lamps' meters, plugs and presence sensors in equal parts), loads that wander inside their
bands and change a few times a day. Both ways must give the same alerts; the single readings get the first day only.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from building.document import parse_document
from building.site import Site, build_site
from rules.readings_file import Columns, Series, readings_of
from rules.replay import replay

START = 1_782_835_200_000  # 2026-07-01 00:00 in Shanghai
MINUTES_OF_DAY = 24 * 60


def site(zones: int) -> Site:
    lines = ["version: 1", "site: {timezone: Asia/Shanghai}", "zones:"]
    lines += [f"  - {{id: z{n}}}" for n in range(zones)]
    lines += ["devices:"]
    for n in range(zones):
        lines += [
            f"  - {{id: lamp{n}, kind: electricity, circuit: lighting, zone: z{n}, quantities: [active_power]}}",
            f"  - {{id: plug{n}, kind: plug, zone: z{n}, quantities: [active_power]}}",
            f"  - {{id: pir{n}, kind: sensor, zone: z{n}, quantities: [occupancy]}}",
        ]
    return build_site(parse_document("\n".join(lines).encode(), "benchmark"))


def columns(zones: int, days: int) -> Columns:
    draw = np.random.default_rng(1)
    count = days * MINUTES_OF_DAY
    times = START + 60_000 * np.arange(count)

    def states(per_day: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return (np.cumsum(draw.random(count) < per_day / MINUTES_OF_DAY) % 2).astype(np.float64)

    made = {}
    for n in range(zones):
        made[(f"lamp{n}", "active_power")] = Series(times, states(4) * 60.0 + draw.random(count))
        made[(f"plug{n}", "active_power")] = Series(times, states(2) * 90.0 + 5.0 + draw.random(count))
        made[(f"pir{n}", "occupancy")] = Series(times, states(12))
    return made


def main() -> None:
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    zones = max((int(sys.argv[2]) if len(sys.argv) > 2 else 300) // 3, 1)
    place, source = site(zones), columns(zones, days)
    total = sum(len(series.times) for series in source.values())
    began = time.process_time()
    replayed = replay(place, source)
    fast = total / (time.process_time() - began)
    day = {key: Series(series.times[:MINUTES_OF_DAY], series.values[:MINUTES_OF_DAY]) for key, series in source.items()}
    readings = list(readings_of(day))
    began = time.process_time()
    stepped = replay(place, readings)
    slow = len(readings) / (time.process_time() - began)
    same = replay(place, day).alerts == stepped.alerts
    print(f"{fast / slow:.1f} times the rate of single readings; alerts of the first day identical: {same}")
    print(f"{'columns':8} {fast:14,.0f} values/s  ({total:,} values, {len(replayed.alerts):,} alerts)")
    print(f"{'singly':8} {slow:14,.0f} values/s  ({len(readings):,} values, {len(stepped.alerts):,} alerts)")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
