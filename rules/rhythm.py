"""The period of devices whose file does not tell it, learned from the readings themselves.

Only for devices without a link, fed by replay: one on a link is asked at the period that holds, told or not. A file
of five-minute data is then not taken for a meter that falls silent four minutes of five, and a switch that writes a row
when it is pressed not for one that died after the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from building.quantities import QUANTITIES, Nature
from building.site import Device, Site
from rules.readings_file import Columns

_SECOND: Final = 1000
_FEWEST: Final = 20  # instants from which a rhythm can be told
_STEADY: Final = 0.9  # part of the gaps that are about as long as the middle one, where a device keeps a period
_METERS: Final = ("electricity", "water")  # these report by the period, however badly
_WHEN_READ: Final = 0.3  # part of the time spent in gaps too long for a period, where a device speaks on change


class Rhythm(NamedTuple):
    """How a device speaks, as its readings show; ``every`` in ms, of one that speaks on change the default."""

    device: str
    reports: Literal["period", "on_change"]
    every: int


def with_rhythms(site: Site, columns: Columns) -> tuple[Site, list[Rhythm]]:
    """``site`` with the periods that its file leaves open, and what was learned."""
    series: dict[str, list[npt.NDArray[np.int64]]] = {}
    for (name, quantity), (times, _) in columns.items():
        meter = name in site.device and site.device[name].kind in _METERS
        if meter or QUANTITIES[quantity].nature is not Nature.COUNTER:  # elsewhere a counter keeps time of its own
            series.setdefault(name, []).append(times)
    learned: dict[str, Rhythm] = {}
    known: dict[tuple[int, ...], npt.NDArray[np.int64]] = {}  # by arrays of instants, which many devices may share
    for device in site.devices:
        if device.link is None and device.id in series and not {"every", "reports"} & device.model_fields_set:
            arrays = {id(times): times for times in series[device.id]}
            spoken = known.get(tuple(arrays))
            if spoken is None:
                spoken = known[tuple(arrays)] = np.unique(np.concatenate(list(arrays.values())))
            found = _rhythm(device, spoken)
            if found is not None:
                learned[device.id] = found
    if not learned:
        return site, []
    return with_devices(site, [_changed(device, learned.get(device.id)) for device in site.devices]), [
        *learned.values()
    ]


def with_devices(site: Site, devices: Iterable[Device]) -> Site:
    """A site that differs in its devices alone. Made anew: a copy would keep the look-up tables of the old ones."""
    kept = {name: getattr(site, name) for name in Site.model_fields}
    return Site.model_construct(site.model_fields_set, **kept | {"devices": tuple(devices)})


def _changed(device: Device, rhythm: Rhythm | None) -> Device:
    if rhythm is None:
        return device
    return device.model_copy(update={"reports": rhythm.reports, "every": rhythm.every})


def _rhythm(device: Device, times: npt.NDArray[np.int64]) -> Rhythm | None:
    """None where the default period fits."""
    if len(times) < _FEWEST:
        return None
    gaps = np.diff(times)
    middle = float(np.median(gaps))
    steady = float(np.mean((gaps >= 0.5 * middle) & (gaps <= 1.5 * middle))) >= _STEADY
    if steady or device.kind in _METERS:
        every = -(-int(middle) // _SECOND) * _SECOND
        return Rhythm(device.id, "period", every) if every > device.every else None
    long = gaps > 3 * max(middle, device.every)
    if float(gaps[long].sum()) >= _WHEN_READ * float(gaps.sum()):
        return Rhythm(device.id, "on_change", device.every)
    return Rhythm(device.id, "period", int(middle)) if middle > device.every else None
