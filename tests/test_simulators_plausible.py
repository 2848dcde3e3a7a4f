"""The simulated building beside measured ones: shape of the day, night against day, levels of plugs. Prints both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from random import Random

import numpy as np
import pytest

from simulators.appliances import Computer, Copier, Dispenser
from simulators.building import OfficeBuilding
from simulators.courses import HOUR
from tests.parts import need_shared
from tests.simulators_parts import at, sample_site

pytest.importorskip("pyarrow")
import pyarrow.parquet as parquet

CHINA = timezone(timedelta(hours=8))


def simulated_hours() -> dict[tuple[bool, int], float]:
    """(workday, hour) -> mean kWh of two summer weeks of the sample building's main meter."""
    building = OfficeBuilding(sample_site(), 1, start=at("2026-07-06 00:00"))
    sums: dict[tuple[bool, int], list[float]] = {}
    for day in building.days(at("2026-07-20 00:00")):
        for hour in range(24):
            start = day.begin + hour * HOUR
            weekday = datetime.fromtimestamp(start / 1000, UTC).astimezone(CHINA).weekday() < 5
            sums.setdefault((weekday, hour), []).append(day.power["main"].between(start, start + HOUR) / 3.6e9)
    return {key: float(np.mean(values)) for key, values in sums.items()}


def measured_hours() -> dict[str, dict[tuple[bool, int], float]]:
    """The same of each measured building, all its years together; hours without data are written as 0 there."""
    table = parquet.read_table(need_shared("data", "cambridge_buildings_hourly.parquet")).to_pydict()
    sums: dict[str, dict[tuple[bool, int], list[float]]] = {}
    for name, when, kwh in zip(table["building"], table["ts"], table["kwh"], strict=True):
        if kwh and kwh > 0:
            sums.setdefault(name, {}).setdefault((when.weekday() < 5, when.hour), []).append(kwh)
    return {name: {key: float(np.mean(values)) for key, values in own.items()} for name, own in sums.items()}


def shape(hours: dict[tuple[bool, int], float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A working day, above its least hour, as parts of its greatest."""
    day = np.array([hours[True, hour] for hour in range(24)])
    return (day - day.min()) / (day.max() - day.min())


def night_to_day(hours: dict[tuple[bool, int], float]) -> float:
    """01:00 to 05:00 against 09:00 to 17:00 of a working day."""
    return float(np.mean([hours[True, h] for h in range(1, 5)]) / np.mean([hours[True, h] for h in range(9, 17)]))


def test_the_day_has_the_shape_of_measured_office_days() -> None:
    ours, measured = simulated_hours(), measured_hours()
    print("\nnight/day  simulated " + f"{night_to_day(ours):.2f}")
    likeness = {}
    for name, hours in sorted(measured.items()):
        likeness[name] = float(np.corrcoef(shape(ours), shape(hours))[0, 1])
        print(f"{name}: night/day {night_to_day(hours):.2f}, likeness of the day's shape {likeness[name]:.2f}")
    print("hour  simulated  measured (mean of the shapes)")
    mean = np.mean([shape(hours) for hours in measured.values()], axis=0)
    for hour in range(24):
        print(f"{hour:4}  {shape(ours)[hour]:9.2f}  {mean[hour]:8.2f}")
    assert float(np.corrcoef(shape(ours), mean)[0, 1]) > 0.75
    assert np.mean([shape(ours)[hour] for hour in (9, 10, 11, 14, 15, 16)]) > 0.4
    # Offices without servers fall near to nothing at night; measured university buildings never do.
    assert night_to_day(ours) < min(night_to_day(hours) for hours in measured.values())
    weekend = np.mean([ours[False, hour] for hour in range(9, 17)]) / np.mean([ours[True, h] for h in range(9, 17)])
    assert weekend < 0.3


def test_plugs_draw_what_measured_plugs_draw() -> None:
    table = parquet.read_table(need_shared("data", "tracebase_office_plugs_1min.parquet")).to_pydict()
    powers: dict[str, list[float]] = {}
    for name, watts in zip(table["device"], table["w_mean"], strict=True):
        powers.setdefault(name.rsplit("_", 1)[0], []).append(watts)
    print()
    busy = {}
    for name, values in sorted(powers.items()):
        awake = np.array([watts for watts in values if watts > 1])
        busy[name] = awake
        if len(awake):
            low, middle, high = np.percentile(awake, [5, 50, 95])
            print(f"measured {name:24} 5 % {low:7.1f}  median {middle:7.1f}  95 % {high:7.1f} W")
    building = OfficeBuilding(sample_site(), 1, start=at("2026-07-01 00:00"))
    pc = building.day.power["pc-301"].sample(building.day.grid)
    pc = pc[pc > 20]
    print(f"simulated computer                5 % {np.percentile(pc, 5):7.1f}  median {np.median(pc):7.1f} W")
    computers = [values for name, values in busy.items() if name.startswith(("pc", "desktop", "computer", "laptop"))]
    if computers:
        measured = np.concatenate(computers)
        measured = measured[measured > 20]
        assert 0.4 * np.median(measured) < np.median(pc) < 2.5 * np.median(measured)
    sleeping = [values for values in powers.values() if 0.5 < np.percentile(values, 20) < 30]
    print(f"measured standby levels {sorted(round(float(np.percentile(v, 20)), 1) for v in sleeping)} W")
    assert sleeping
    for machine in (Copier(800), Computer(85, Random(1)), Dispenser(600)):
        assert 0.5 <= machine.standby <= 30
