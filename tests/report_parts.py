"""What the tests of reports share: a house whose ledger and alerts are written by hand, so that every sum is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import yaml
from click.testing import Result
from typer.testing import CliRunner

from building.instants import from_iso
from collector.intervals import SlotBook
from collector.storing.keeper import Keeper
from collector.storing.ledger import LEDGER, Ledger, Progress
from greenwarden.cli import app

Json = dict[str, Any]
OFFICE: Json = {
    "version": 1,
    "site": {
        "name": "Town hall", "timezone": "Asia/Shanghai", "language": "en", "calendar": "none",
        "working_hours": {"mon-fri": ["08:00-18:00"]},
        "tariffs": {"electricity": 0.5, "water": 4.0, "currency": "CNY"},
        "factors": {"grid_co2": 0.6, "standard_coal": 0.125},
    },
    "departments": [
        {"id": "finance", "name": "Finance", "headcount": 10, "area": 200,
         "quota": {"electricity": 36500, "water": 1000}},
        {"id": "archive", "name": "Archive"},
    ],
    "zones": [{"id": "301", "name": "Room 301", "department": "finance"},
              {"id": "b1", "name": "Cellar", "department": "archive"}],
    "devices": [
        {"id": "main", "name": "Main meter", "kind": "electricity", "circuit": "main"},
        {"id": "sub-301", "kind": "electricity", "circuit": "sockets", "zone": "301", "parent": "main"},
        {"id": "plug-301", "kind": "plug", "zone": "301", "parent": "sub-301"},
        {"id": "sub-b1", "kind": "electricity", "circuit": "sockets", "zone": "b1", "parent": "main"},
        {"id": "water", "kind": "water", "zone": "301"},
    ],
}  # fmt: skip
COUNTER = {"water": "volume", "gas": "volume", "fuel": "volume"}


class House:
    """A site file with a data folder beside it."""

    def __init__(self, folder: Path, content: Mapping[str, Any] = OFFICE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "devices.yaml"
        self.content = json.loads(json.dumps(content))
        self.path.write_text(yaml.safe_dump(self.content, allow_unicode=True), encoding="utf-8")
        self.data = folder / "data"
        self.data.mkdir()
        self.tz = ZoneInfo(self.content["site"]["timezone"])
        self._books: dict[str, list[tuple[int, int, float, bool]]] = {}

    def used(self, device: str, start: str, end: str, amount: float, *, estimated: bool = False) -> None:
        """``device`` used ``amount`` evenly between two local times, as its counter (or an estimate) told."""
        span = from_iso(start, self.tz), from_iso(end, self.tz)
        self._books.setdefault(device, []).append((*span, amount, estimated))

    def account(self, until: str) -> None:
        """Write the ledger, accounted up to a local time."""
        with Ledger(self.data / LEDGER) as ledger:
            for device, spans in self._books.items():
                kind = next(one["kind"] for one in self.content["devices"] if one["id"] == device)
                book = SlotBook()
                for start, end, amount, estimated in spans:
                    quarters = range(start, end, 900_000)  # by small steps, as readings come
                    for at in quarters:
                        book.book(at, at + 900_000, amount / len(quarters), estimated=estimated)
                number = ledger.number(device, COUNTER.get(kind, "energy_import"))
                ledger.save(number, book, Progress(max(span[1] for span in spans), []), [])
            ledger.note("until", from_iso(until, self.tz))

    def keep(self, alerts: Sequence[Json], answers: Sequence[Json] = (), still: Sequence[Json] = ()) -> None:
        """Alerts as they ended or began, answers of people, and those that are open now."""
        rows: list[tuple[str, int, str, Mapping[str, object]]] = []
        for alert in alerts:
            at = from_iso(alert["ended"] or alert["raised"], self.tz)
            rows.append(("alerts", at, alert["id"], alert))
        for step in answers:
            rows.append(("audit", from_iso(step["at"], self.tz), step["alert"], step))
        with Keeper(self.data / "memory.db") as keeper:
            keeper.keep({"alerts open": msgspec.json.encode(list(still))}, rows)

    def ask(self, *words: str) -> Result:
        """``greenwarden report`` of this house."""
        return CliRunner().invoke(app, ["report", "--site", str(self.path), *words])

    def told(self, *words: str) -> Json:
        """Its JSON."""
        result = self.ask(*words, "--json")
        assert result.exit_code == 0, result.output
        found: Json = json.loads(result.stdout)
        return found

    def text(self, *words: str) -> str:
        """Its tables."""
        result = self.ask(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def page(self, *words: str) -> str:
        """Its page."""
        target = self.path.with_name("report.html")
        result = self.ask(*words, "--out", str(target))
        assert result.exit_code == 0, result.output
        return target.read_text(encoding="utf-8")

    def refused(self, *words: str) -> tuple[int, str]:
        """Exit status and sentence of a report that cannot be made."""
        result = self.ask(*words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result.exit_code, result.stderr


def alert(ident: str, rule: str, raised: str, ended: str | None, **more: Any) -> Json:
    """An alert in the form that the program keeps."""
    waste = {"kwh": None, "litres": None, "cost": None, "currency": "CNY", "kgco2": None} | more.pop("waste", {})
    answer = more.pop("answer", None)
    evidence = {"readings": [], "estimated": more.pop("estimated", False)} | ({"answer": answer} if answer else {})
    return {
        "id": ident, "rule": rule, "site": "Town hall", "zone": "301", "department": "finance", "device": "sub-301",
        "severity": "warning", "state": "firing" if ended is None else "resolved", "since": raised, "raised": raised,
        "ended": ended, "waste": waste, "evidence": evidence, "title": ident, "text": "", "policy": "", **more,
    }  # fmt: skip
