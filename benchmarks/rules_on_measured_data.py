"""Rules against labelled measurements: how much of the labelled waste is found, how late, and with what false alarms.

    python benchmarks/rules_on_measured_data.py DATA_FOLDER

DATA_FOLDER holds labels_events.csv and the measured sets beside it; they are not part of this project. Every set is
turned into the long form with a small devices.yaml in a temporary folder, and goes through ``rules.replay`` with the
defaults of the catalogue. Alarms of one rule and unit less than 60 minutes apart count as one; a false alarm overlaps
no label; delay is from the label's start to the first alarm that overlaps it.
"""

from __future__ import annotations

import csv
import gzip
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from building.instants import from_iso, to_iso
from building.site import MINUTE, load_site
from rules.catalogue import check_rules
from rules.replay import read_readings, replay

MERGE = 60 * MINUTE
SHANGHAI = ZoneInfo("Asia/Shanghai")

Row = tuple[str, str, str, str]


class Stretch(NamedTuple):
    """A labelled event or a (merged) alarm of one unit, in ms."""

    unit: str
    start: int
    end: int
    kind: str = ""


class Scored(NamedTuple):
    """One rule on one set."""

    rule: str
    labels: list[Stretch]
    alarms: list[Stretch]

    def overlapping(self, one: Stretch, others: Iterable[Stretch]) -> list[Stretch]:
        return [o for o in others if o.unit == one.unit and o.start < one.end and one.start < max(o.end, o.start + 1)]

    def found(self) -> list[Stretch]:
        return [label for label in self.labels if self.overlapping(label, self.alarms)]

    def false(self) -> list[Stretch]:
        return [alarm for alarm in self.alarms if not self.overlapping(alarm, self.labels)]

    def delays(self) -> list[float]:
        hits = [(label, self.overlapping(label, self.alarms)) for label in self.labels]
        return [(min(alarm.start for alarm in found) - label.start) / MINUTE for label, found in hits if found]


OFFICE = """
version: 1
site:
  name: measured office
  timezone: Asia/Shanghai
  cooling_season: 05-01..10-31        # the units cool in May here; the label calls it summer
zones: [{id: office}]
devices:
  - {id: people, kind: sensor, zone: office, every: 1m, quantities: [people]}
"""
_RULES = {
    "ac_on_empty": "aircon_unoccupied",
    "lights_on_empty": "lights_left_on",
    "setpoint_below_26_summer": "aircon_setpoint",
}


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def wifi_office(folder: Path) -> Iterator[Row]:
    """One office: head count by the minute, three split units, a lamp and a socket per desk; local times."""
    source = folder / "wifi_office_occ"
    for row in rows_of(source / "occupied_number_1min.csv.gz"):
        yield f"{row['ts']}+08:00", "people", "people", row["occupied_number"]
    for row in rows_of(source / "ac_settings.csv.gz"):
        at, device = f"{row['ts']}+08:00", f"ac{row['ac']}"
        yield at, device, "running", "1" if row["switch"] == "on" else "0"
        yield at, device, "setpoint", row["setpoint_c"]
    for row in rows_of(source / "ac_energy.csv.gz"):
        yield f"{row['ts']}+08:00", f"ac{row['ac']}", "energy_import", str(float(row["wh_counter"]) / 1000)
    for row in rows_of(source / "light_switch.csv.gz"):
        yield f"{row['ts']}+08:00", f"light{row['desk']}", "on", row["state"]


def office_site() -> str:
    units = [f"  - {{id: ac{n}, kind: aircon, zone: office, reports: on_change}}" for n in (1, 2, 3)]
    lamps = [f"  - {{id: light{n}, kind: light, zone: office, reports: on_change}}" for n in range(1, 9)]
    return OFFICE + "\n".join(units + lamps) + "\n"


def labels_of(folder: Path, dataset: str) -> dict[str, list[Stretch]]:
    found: dict[str, list[Stretch]] = {}
    with (folder / "labels_events.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] == dataset and row["rule"] in _RULES:
                start, end = (from_iso(row[key], SHANGHAI) for key in ("start", "end"))
                found.setdefault(_RULES[row["rule"]], []).append(Stretch(row["unit"], start, end, row["label_type"]))
    return found


def merged(alarms: Iterable[Stretch]) -> list[Stretch]:
    result: list[Stretch] = []
    for alarm in sorted(alarms):
        if result and result[-1].unit == alarm.unit and alarm.start - result[-1].end < MERGE:
            result[-1] = result[-1]._replace(end=max(result[-1].end, alarm.end))
        else:
            result.append(alarm)
    return result


def run(folder: Path) -> list[Scored]:
    with tempfile.TemporaryDirectory() as place:
        file, readings = Path(place, "devices.yaml"), Path(place, "readings.csv.gz")
        file.write_text(office_site(), encoding="utf-8")
        with gzip.open(readings, "wt", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("time", "device", "quantity", "value"))
            writer.writerows(wifi_office(folder))
        site = load_site(file, [check_rules])
        replayed = replay(site, read_readings(readings, site))
    last = replayed.last or 0
    labels = labels_of(folder, "wifi_office_occ")
    scored = []
    for rule in _RULES.values():
        alarms = [Stretch(a.device, a.raised, a.ended or last) for a in replayed.alerts if a.rule == rule]
        scored.append(Scored(rule, labels.get(rule, []), merged(alarms)))
    return scored


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "labels_events.csv").exists():
        sys.exit(f"{folder} holds no labels_events.csv; give the folder of the measured sets")
    print("precision recall  labels found missed alarms false  median delay  rule (wifi_office_occ, measured)")
    scored = run(folder)
    for score in scored:
        found, false, delays = score.found(), score.false(), score.delays()
        precision = 1 - len(false) / len(score.alarms) if score.alarms else float("nan")
        recall = len(found) / len(score.labels) if score.labels else float("nan")
        delay = f"{statistics.median(delays):.0f} min" if delays else "-"
        print(
            f"{precision:9.2f} {recall:6.2f} {len(score.labels):7} {len(found):5} {len(score.labels) - len(found):6} "
            f"{len(score.alarms):6} {len(false):5} {delay:>13}  {score.rule}"
        )
    for score in scored:
        missed = [label for label in score.labels if label not in score.found()]
        for word, stretches in (("missed", missed), ("false", score.false())):
            for stretch in stretches:
                span = (to_iso(stretch.start, SHANGHAI), to_iso(stretch.end, SHANGHAI))
                print(f"{word:7} {score.rule:18} {stretch.unit:8} {span[0]} .. {span[1]}")


if __name__ == "__main__":
    main()
