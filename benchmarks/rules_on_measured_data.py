"""Rules against labelled measurements: how much of the labelled waste is found, how late, and with what false alarms.

    python benchmarks/rules_on_measured_data.py [--bare] [--details] [DATA_FOLDER [SET ...]]

DATA_FOLDER holds labels_events.csv and the measured sets beside it; they are not part of this project. Every set is
turned into the long form with a small devices.yaml in a temporary folder, and goes through ``greenwarden replay`` with
the defaults of the catalogue. Alarms of one rule and unit less than 60 minutes apart count as one; a false alarm
overlaps no label, its end included (a counter that fell is seen by the reading that ends the label); delay is from the
label's start to the first alarm that overlaps it. ``--bare`` leaves periods,
``reports: on_change`` and pulse sizes out of devices.yaml, as a hasty file would.
"""

from __future__ import annotations

import csv
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from measured.forms import Label, Measured, Part, Terms, labels_of
from measured.sets import SETS

from building.instants import from_iso, to_iso
from building.site import load_site
from greenwarden.replaying import replay_file
from rules.catalogue import CATALOGUE, check_rules
from rules.columns import find
from rules.engine import RuleEngine
from rules.learning import LowLevel
from rules.readings_file import read_readings

MINUTE: Final = 60_000
MERGE: Final = 60 * MINUTE
WITHIN: Final = 48 * 60 * MINUTE  # in which a leak is to be found
DAY: Final = 24 * 60 * MINUTE
_HINTS: Final = re.compile(r", (every|reports|litres_per_pulse): [\w.]+")


class Alarm(NamedTuple):
    """One or more alarms of one rule and unit, in ms."""

    rule: str
    unit: str
    start: int
    end: int


class Score(NamedTuple):
    """One rule on one set and kind of label."""

    labels: Sequence[Label]
    alarms: Sequence[Alarm]  # of the rules that may find these labels

    def hits(self, label: Label) -> list[Alarm]:
        return [a for a in self.alarms if a.unit == label.unit and a.start <= label.end and label.start < a.end]

    def found(self) -> list[Label]:
        return [label for label in self.labels if self.hits(label)]

    def delays(self) -> list[float]:
        return [(min(a.start for a in self.hits(label)) - label.start) / MINUTE for label in self.found()]


def write_set(folder: Path, measured: Measured, place: Path, *, bare: bool) -> tuple[Path, Path]:
    """devices.yaml and readings.parquet of one set."""
    import pyarrow.parquet as pq

    site, readings = place / "devices.yaml", place / "readings.parquet"
    devices: dict[str, str] = {}
    writer = None
    for part in measured.parts(folder):
        keys = measured.devices(part.device)
        devices.setdefault(part.device, _HINTS.sub("", keys) if bare else keys)
        table = table_of(part)
        writer = writer or pq.ParquetWriter(readings, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    lines = "\n".join(f"  - {{id: {name}, zone: room, {keys}}}" for name, keys in devices.items())
    head = f"version: 1\nsite: {{name: measured, timezone: {measured.tz}, {measured.more}}}\nzones: [{{id: room}}]\n"
    site.write_text(f"{head}devices:\n{lines}\n", encoding="utf-8")
    return site, readings


def table_of(part: Part) -> object:
    import pyarrow as pa

    count = len(part.times)
    names = {"device": part.device, "quantity": part.quantity}
    coded = {
        key: pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([name]))
        for key, name in names.items()
    }
    return pa.table({"time": part.times, **coded, "value": part.values})


def merged(alarms: Iterable[Alarm]) -> list[Alarm]:
    result: list[Alarm] = []
    for alarm in sorted(alarms):
        if result and result[-1][:2] == alarm[:2] and alarm.start - result[-1].end < MERGE:
            result[-1] = result[-1]._replace(end=max(result[-1].end, alarm.end))
        else:
            result.append(alarm)
    return result


def alarms_of(path: Path, last: int) -> list[Alarm]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        raised = from_iso(told["raised"])
        ended = last if told["ended"] is None else from_iso(told["ended"])
        found.append(Alarm(told["rule"], told["device"], raised, max(ended, raised + 1)))
    return merged(found)


class Ran(NamedTuple):
    """What came of one set; ``days``: of all devices together, from the first to the last reading of each; ``levels``:
    standby levels by plug, labelled and learned (W)."""

    labels: list[Label]
    alarms: list[Alarm]
    days: float
    levels: dict[str, tuple[float, float | None]]


def days_of(parts: Iterable[Part]) -> float:
    spans: dict[str, tuple[float, float]] = {}
    for part in parts:
        first, last = spans.get(part.device, (np.inf, -np.inf))
        spans[part.device] = (min(first, part.times.min()), max(last, part.times.max()))
    return float(sum(last - first for first, last in spans.values())) * 1000 / DAY


def run(folder: Path, measured: Measured, *, bare: bool) -> Ran:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        site, readings = write_set(folder, measured, place, bare=bare)
        alerts = place / "alerts.jsonl"
        replay_file(site, readings, alerts, as_json=True)
        last = max(int(part.times.max() * 1000) for part in measured.parts(folder))
        days, levels = days_of(measured.parts(folder)), levels_of(folder, site, readings)
        return Ran(labels_of(folder, measured), alarms_of(alerts, last), days, levels)


def levels_of(folder: Path, file: Path, readings: Path) -> dict[str, tuple[float, float | None]]:
    """Of each plug with a labelled standby level: the label, and what the engine has learned by the last reading."""
    site = load_site(file, [check_rules])
    with (folder / "labels_standby.csv").open(encoding="utf-8", newline="") as table:
        labelled = {
            row["device"]: float(row["level_w"]) for row in csv.DictReader(table) if row["device"] in site.device
        }
    if not labelled:
        return {}
    memory = RuleEngine(site).new_memory()
    for _ in find(memory, read_readings(readings, site)):
        pass
    learned = {
        name.removeprefix("level|"): cell for (_, name), cell in memory.kept.items() if isinstance(cell, LowLevel)
    }
    return {name: (level, learned[name].level) for name, level in labelled.items()}


def report(measured: Measured, ran: Ran, terms: Mapping[str, Terms], *, details: bool) -> None:
    labels, alarms = ran.labels, ran.alarms
    zone = ZoneInfo(measured.tz)
    names = dict.fromkeys((label.rule, label.name, label.kind) for label in labels)
    labelled = {rule for rule, _, _ in names}
    for rule, name, kind in names:
        finders = measured.rules.get(name, (rule,))
        own = Score([label for label in labels if (label.name, label.kind) == (name, kind)],
                    [alarm for alarm in alarms if alarm.rule in finders])  # fmt: skip
        every = Score([label for label in labels if label.rule == rule], own.alarms)
        hit = {alarm for label in every.labels for alarm in every.hits(label)}
        false = [alarm for alarm in own.alarms if alarm not in hit] if rule in measured.free else []
        show(measured, rule, f"{name} ({kind})", own, len(false))
        floor = measured.floor.get(name)
        if floor is not None:
            long = Score([label for label in own.labels if label.end - label.start >= floor * MINUTE], own.alarms)
            show(measured, rule, f"  of them >= {floor:g} min", long, len(false))
        if rule in terms and false:
            told = sum(terms[rule](alarm.unit, alarm.start) for alarm in false)
            print(f"{'':28} {rule:20} of the false, {told} are as the rule says, but of a kind or length not labelled")
        if rule == "water_leak":
            soon = sum(delay * MINUTE <= WITHIN for delay in own.delays())
            each = f"{1000 * len(false) / ran.days:.2f} false per 1,000 meter-days"
            print(f"{'':28} {rule:20} found within 48 h {soon} of {len(own.labels)}; {each}")
        if details:
            for word, stretches in (("missed", [x for x in own.labels if x not in own.found()]), ("false", false)):
                for one in stretches[:12]:
                    span = (to_iso(one.start, zone)[:19], to_iso(one.end, zone)[:19])
                    print(f"    {word:7} {rule:18} {one.unit:8} {span[0]} .. {span[1]}")
    near = {
        name: told is not None and abs(told - level) <= max(0.15 * level, 0.5)
        for name, (level, told) in ran.levels.items()
    }
    if near:
        print(f"{measured.name:28} standby level        within 15 % or 0.5 W: {sum(near.values())} of {len(near)}")
    for name, (level, told) in ran.levels.items() if details else ():
        print(f"    {'near' if near[name] else 'far':7} {name:24} labelled {level:5.1f} W, learned {told} W")
    for rule in CATALOGUE:
        others = [alarm for alarm in alarms if alarm.rule == rule]
        if rule not in labelled and (others or rule in measured.free):
            units = len({alarm.unit for alarm in others})
            each = f" in {ran.days:,.0f} meter-days" if rule == "water_leak" else ""
            print(f"{measured.name:28} {rule:20} no labels; {len(others)} alarms of {units} units{each}")
            if details:
                for one in others[:12]:
                    span = (to_iso(one.start, zone)[:19], to_iso(one.end, zone)[:19])
                    print(f"    alarm   {rule:18} {one.unit:8} {span[0]} .. {span[1]}")


def show(measured: Measured, rule: str, what: str, score: Score, false: int) -> None:
    found, delays = score.found(), score.delays()
    right = len({a for label in score.labels for a in score.hits(label)})
    recall = f"{len(found) / len(score.labels):.2f}" if score.labels else "-"
    precision = f"{right / (right + false):.2f}" if right + false else "-"
    delay = f"{statistics.median(delays):.0f} min" if delays else "-"
    told = rule if rule in CATALOGUE else f"{rule} (none)"
    missed = len(score.labels) - len(found)
    print(
        f"{measured.name:28} {told:20} {what:38} labels {len(score.labels):4} found {len(found):4} missed {missed:4} "
        f"false {false:4}  precision {precision:>4} recall {recall:>4}  delay {delay}"
    )


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    folder = Path(words[0]) if words else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "labels_events.csv").exists():
        sys.exit(f"{folder} holds no labels_events.csv; give the folder of the measured sets")
    for measured in SETS:
        if not words[1:] or measured.name in words[1:]:
            terms = measured.terms(folder) if measured.terms is not None else {}
            report(measured, run(folder, measured, bare="--bare" in sys.argv), terms, details="--details" in sys.argv)


if __name__ == "__main__":
    main()
