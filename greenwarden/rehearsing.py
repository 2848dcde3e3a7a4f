"""What a simulated building said, kept as a running program would have: to try reports, export and replay on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from building.errors import InputError
from building.instants import to_iso
from building.quantities import MODES
from building.readings import Reading
from building.site import Site
from collector.accounting import Accountant
from collector.storing.embedded import DATABASE, EmbeddedStore
from collector.storing.keeper import Keeper
from collector.storing.ledger import LEDGER, Ledger
from greenwarden.alerting import MEMORY
from rules.alerts import Alert
from rules.readings_file import Series

_AT_ONCE = 5_000  # readings
Columns = Mapping[tuple[str, str], Series]


def check_empty(folder: Path) -> None:
    """Raises InputError where something is in ``folder`` already: a rehearsal must not get among real readings."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already; name a folder that is new or empty with --keep")


def keep(folder: Path, site: Site, columns: Columns, alerts: Sequence[Alert], end: int) -> None:
    """Readings, intervals up to ``end`` (ms) and ``alerts`` into ``folder``. Raises InputError, StoreAway."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); name another with --keep") from None
    with EmbeddedStore(folder / DATABASE, power_safe=False) as store, Keeper(folder / MEMORY) as keeper:
        for device in site.devices:
            for batch in _readings(device.id, columns):
                store.write(batch)
        with Ledger(folder / LEDGER) as ledger:
            Accountant(site, store, ledger, keeper).run(end)
        _keep_alerts(keeper, site, alerts)


def _readings(device: str, columns: Columns) -> Iterator[list[Reading]]:
    """What one device said, in order; several quantities of one moment are one reading."""
    said = {quantity: series for (ident, quantity), series in columns.items() if ident == device}
    if not said:
        return
    moments = np.unique(np.concatenate([series.times for series in said.values()]))
    for first in range(0, len(moments), _AT_ONCE):
        times = moments[first : first + _AT_ONCE].tolist()
        values: dict[int, dict[str, Any]] = {at: {} for at in times}
        for quantity, series in said.items():
            low, high = np.searchsorted(series.times, (times[0], times[-1] + 1))
            known = zip(series.times[low:high].tolist(), series.values[low:high].tolist(), strict=True)
            for at, value in known:
                if value == value:  # a number: what a device could not say is not kept
                    values[at][quantity] = MODES[int(value)] if quantity == "mode" else value
        yield [Reading(device, at, told) for at, told in values.items() if told]


def _keep_alerts(keeper: Keeper, site: Site, alerts: Sequence[Alert]) -> None:
    rows: list[tuple[str, int, str, Mapping[str, object]]] = []
    for alert in alerts:
        subject: dict[str, object] = {
            "alert": alert.id,
            "rule": alert.rule,
            "zone": alert.zone,
            "device": alert.device,
            "who": "rules",
        }
        steps = [(alert.raised, "pending", "firing")]
        if alert.ended is not None:
            steps.append((alert.ended, "firing", "resolved"))
        rows.append(("alerts", steps[-1][0], alert.id, alert.to_json()))
        for at, before, after in steps:
            step = {"at": to_iso(at, site.site.tz), "from": before, "to": after}
            rows.append(("audit", at, alert.id, subject | step))
    still = [alert.to_json() for alert in alerts if alert.ended is None]
    keeper.keep({"alerts open": msgspec.json.encode(still)}, rows)
