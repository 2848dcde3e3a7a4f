"""``simulate --direct``: a month of a building of 1,000 points at 1 min, on one core; goal under 60 s.

    python -m benchmarks.simulate_direct [--zones 67] [--days 30]

Prints the seconds of the physics (columns of readings), of the rules over them, and of both, and the values handled.
"""

from __future__ import annotations

import argparse
import resource
import time
from datetime import date, datetime

from benchmarks.simulated_sites import office_tower
from greenwarden.scoring import score
from rules.readings_file import Series
from rules.replay import replay
from simulators.building import OfficeBuilding
from simulators.sampling import sample
from simulators.scenario_file import read_scenario


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--zones", type=int, default=67)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    site = office_tower(given.zones)
    start = int(datetime(2026, 7, 1, tzinfo=site.site.tz).timestamp() * 1000)
    end = start + given.days * 86_400_000
    began, cpu = time.perf_counter(), time.process_time()
    faults = read_scenario("standard", site, date(2026, 7, 1), given.days, given.seed)
    building = OfficeBuilding(site, given.seed, faults, start=start)
    sampled = sample(building, end)
    physics = time.perf_counter() - began
    columns = {key: Series(times, values) for key, (times, values) in sampled.columns.items()}
    alerts = replay(site, columns).alerts
    whole, cpu = time.perf_counter() - began, time.process_time() - cpu
    scores = score(site, alerts, building.truth, end)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{len(sampled.columns)} points, {given.days} days, {sampled.said / 1e6:.1f} million values, "
        f"{len(faults)} faults"
    )
    print(
        f"physics {physics:.1f} s, rules {whole - physics:.1f} s, whole {whole:.1f} s (CPU {cpu:.1f} s), {peak:.2f} GB"
    )
    for rule, own in scores.items():
        print(f"  {rule:26} faults {own.faults:4} found {own.found:4} false {own.false:3}")


if __name__ == "__main__":
    main()
