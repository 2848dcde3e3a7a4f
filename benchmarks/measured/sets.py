"""The sets, one function each. Devices get the period of their data unless asked otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from measured.forms import (
    Held,
    Label,
    Measured,
    Part,
    Terms,
    columns_of,
    local_seconds,
    numbers,
    off_hours,
    parquet,
    rows_of,
    seconds_of,
)

_DESKS: Final = range(1, 9)
_UNITS: Final = (1, 2, 3)
MINUTE_MS: Final = 60_000


# -- an office in China: head count by the minute, three split units, a lamp and a socket per desk --------------------


def _wifi_parts(folder: Path) -> Iterator[Part]:
    source = folder / "wifi_office_occ"
    tz = "Asia/Shanghai"

    def part(file: str, key: str, prefix: str, columns: dict[str, str]) -> Iterator[Part]:
        rows = list(rows_of(source / file))
        for unit in sorted({row[key] for row in rows}):
            own = [row for row in rows if row[key] == unit]
            times = seconds_of((row["ts"] for row in own), tz)
            for column, quantity in columns.items():
                texts = ["1" if row[column] == "on" else "0" if row[column] == "off" else row[column] for row in own]
                yield Part(f"{prefix}{unit}", quantity, times, numbers(texts))

    people = columns_of(source / "occupied_number_1min.csv.gz")
    yield Part("people", "people", seconds_of(people["ts"], tz), numbers(people["occupied_number"]))
    yield from part("ac_settings.csv.gz", "ac", "ac", {"switch": "running", "setpoint_c": "setpoint"})
    for energy in part("ac_energy.csv.gz", "ac", "ac", {"wh_counter": "energy_import"}):
        yield energy._replace(values=energy.values / 1000)
    yield from part("light_switch.csv.gz", "desk", "light", {"state": "on"})
    yield from part("socket_switch.csv.gz", "desk", "socket", {"state": "on"})


def _wifi_device(name: str) -> str:
    if name == "people":
        return "kind: sensor, every: 1m, quantities: [people]"
    kind = {"ac": "aircon", "light": "light", "socket": "plug"}[name.rstrip("0123456789")]
    return f"kind: {kind}, reports: on_change"


def _wifi_terms(folder: Path) -> dict[str, Terms]:
    """On for the whole wait, and nobody counted in it; for machines also: outside working hours."""
    signals: dict[str, list[Part]] = {}
    for part in _wifi_parts(folder):
        if part.quantity in ("on", "people"):
            signals.setdefault(part.device, []).append(part)
    held = {name: Held(parts[0].times, parts[0].values) for name, parts in signals.items()}

    def on(unit: str, start: float, end: float) -> bool:
        return held[unit].all(start, end, lambda values: values > 0.5)

    def empty(start: float, end: float) -> bool:
        return held["people"].all(start, end, lambda values: values < 0.5)

    def light(unit: str, raised: int) -> bool:
        start, end = raised / 1000 - 15 * 60, raised / 1000
        return on(unit, start, end) and empty(start, end)

    def machine(unit: str, raised: int) -> bool:
        start, end = raised / 1000 - 30 * 60, raised / 1000
        idle = all(empty(at, at + 60) or off_hours(at, at + 60, "Asia/Shanghai") for at in np.arange(start, end, 60.0))
        return on(unit, start, end) and idle

    return {"lights_left_on": light, "equipment_left_on": machine}


WIFI = Measured(
    "wifi_office_occ",
    "Asia/Shanghai",
    "cooling_season: 05-01..10-31",  # the units cool in May here, and say no mode
    _wifi_device,
    _wifi_parts,
    {
        "ac_on_empty": ("aircon_unoccupied",),
        "lights_on_empty": ("lights_left_on",),
        "plug_on_empty": ("equipment_left_on",),
        "setpoint_below_26_summer": ("aircon_setpoint",),
    },
    free=("aircon_unoccupied", "lights_left_on", "equipment_left_on", "aircon_setpoint"),
    terms=_wifi_terms,
)


# -- an office in Singapore, every five minutes -----------------------------------------------------------------------


def _robod_parts(folder: Path) -> Iterator[Part]:
    data = columns_of(folder / "robod_room3_5min.csv.gz")
    times = seconds_of(data["ts"], "Asia/Singapore")
    yield Part("sensor", "occupancy", times, numbers(data["occupant_presence"]))
    yield Part("sensor", "people", times, numbers(data["occupant_count"]))
    running = (numbers(data["ac_fan_hz"]) > 0.5) & (numbers(data["supply_air_m3h"]) > 50)
    yield Part("room3", "running", times, running.astype(np.float64))
    yield Part("room3", "setpoint", times, numbers(data["setpoint_c"]))
    yield Part("room3", "temperature", times, numbers(data["indoor_c"]))
    yield Part("room3", "active_power", times, numbers(data["ac_fan_kwh"]) * 12_000)


ROBOD = Measured(
    "robod_room3_5min",
    "Asia/Singapore",
    "cooling_season: 01-01..12-31, heating_season: none",
    {
        "sensor": "kind: sensor, every: 5m, quantities: [occupancy, people]",
        "room3": "kind: aircon, every: 5m",
    }.__getitem__,
    _robod_parts,
    {"ac_on_empty": ("aircon_unoccupied",), "setpoint_below_26_summer": ("aircon_setpoint",)},
    free=("aircon_unoccupied", "aircon_setpoint"),
)


# -- an office in Belgium: the lamp is told from the light ------------------------------------------------------------


def _uci_parts(folder: Path) -> Iterator[Part]:
    data = columns_of(folder / "uci_office_train_1min.csv.gz")
    times = seconds_of(data["ts"], "Europe/Brussels")
    yield Part("sensor", "occupancy", times, numbers(data["occupied"]))
    yield Part("room", "on", times, (numbers(data["lux"]) > 300).astype(np.float64))


UCI = Measured(
    "uci_office_train_1min",
    "Europe/Brussels",
    "calendar: none",
    {"sensor": "kind: sensor, every: 1m, quantities: [occupancy]", "room": "kind: light, every: 1m"}.__getitem__,
    _uci_parts,
    {"lights_on_empty": ("lights_left_on",)},
    free=("lights_left_on",),
    floor={"lights_on_empty": 15},
)


# -- 23 rooms in California: spikes and silences of real sensors ------------------------------------------------------

_SILENT_FROM_MIN: Final = 30


def _sdh(folder: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    rooms: dict[str, dict[str, list[str]]] = {}
    for row in rows_of(folder / "sdh_rooms_1min.csv.gz"):
        room = rooms.setdefault(row["room"], {name: [] for name in row})
        for name, value in row.items():
            room[name].append(value)
    yield from sorted(rooms.items())


def _sdh_parts(folder: Path) -> Iterator[Part]:
    for room, data in _sdh(folder):
        times = seconds_of(data["ts"], "UTC")
        device = f"room{room}"
        for column, quantity in (
            ("temp_c", "temperature"),
            ("rh", "humidity"),
            ("co2_ppm", "co2"),
            ("lux", "illuminance"),
        ):
            yield Part(device, quantity, times, numbers(data[column]))
        yield Part(device, "occupancy", times, (numbers(data["pir_mean"]) > 0).astype(np.float64))


def _sdh_labels(folder: Path) -> Iterator[Label]:
    """Silences of half an hour and more, and temperatures no room has, from the data itself."""
    for room, data in _sdh(folder):
        times = (seconds_of(data["ts"], "UTC") * 1000).astype(np.int64)
        for place in np.flatnonzero(np.diff(times) >= _SILENT_FROM_MIN * MINUTE_MS):
            yield Label(f"room{room}", "meter_silent", int(times[place]), int(times[place + 1]), "derived", "data_gap")
        hot = np.flatnonzero(numbers(data["temp_c"]) > 60)
        for group in np.split(hot, np.flatnonzero(np.diff(times[hot]) > 60 * MINUTE_MS) + 1):
            if len(group):
                start, end = int(times[group[0]]), int(times[group[-1]]) + MINUTE_MS
                yield Label(f"room{room}", "meter_implausible", start, end, "measured", "spike")


SDH = Measured(
    "sdh_rooms_1min",
    "UTC",
    "calendar: none",
    lambda room: "kind: sensor, every: 1m",
    _sdh_parts,
    {},
    derived=_sdh_labels,
)


# -- 46 water meters of houses in Spain -------------------------------------------------------------------------------


def _daiad_parts(folder: Path) -> Iterator[Part]:
    data = parquet(folder / "daiad_water_hourly.parquet")
    times = local_seconds(data["ts"], "Europe/Madrid")
    for meter in np.unique(data["meter"]):
        own = data["meter"] == meter
        yield Part(str(meter), "volume", times[own], data["litres"][own] / 1000)


DAIAD = Measured(
    "daiad_water_hourly",
    "Europe/Madrid",
    "calendar: none",
    lambda meter: "kind: water, every: 1h, litres_per_pulse: 1",
    _daiad_parts,
    {
        "continuous_flow_leak": ("water_leak",),
        "counter_backwards": ("meter_implausible",),
        "data_gap": ("meter_silent",),
    },
    free=("water_leak",),
)


# -- taps by the second -----------------------------------------------------------------------------------------------


def _taps(name: str, device: str, rules: dict[str, tuple[str, ...]]) -> Measured:
    def parts(folder: Path) -> Iterator[Part]:
        data = columns_of(folder / f"{name}.csv.gz")
        yield Part(device, "flow", numbers(data["unix_ts"]), numbers(data["flow_ml_s"]) * 0.06)

    return Measured(
        name,
        "UTC",
        "calendar: none",
        lambda tap: "kind: water, every: 5m",  # a word every five minutes, and every second while water runs
        parts,
        rules,
        free=("tap_left_running",),
        floor={"tap_running_5min": 10, "normal_long_use": 10},
    )


WASHBASIN = _taps("weusedto_washbasin_1s", "washbasin", {"tap_running_5min": ("tap_left_running",)})
SHOWER = _taps("weusedto_shower_1s", "shower", {"normal_long_use": ("tap_left_running",)})


# -- a house in Canada: a counter of whole US gallons, read by the minute ----------------------------------------------


def _ampds_parts(folder: Path) -> Iterator[Part]:
    data = parquet(folder / "ampds_water_gas_1min_year1.parquet")
    yield Part("house", "volume", data["unix_ts"].astype(np.float64), data["water_counter_l"] / 1000)


AMPDS = Measured(
    "ampds_water_gas_1min_year1",
    "America/Vancouver",
    "calendar: none",
    lambda meter: "kind: water, every: 1m, litres_per_pulse: 3.785",
    _ampds_parts,
    {},
    free=("water_leak",),
)


# -- buildings in Cambridge: missing hours were written as 0 ----------------------------------------------------------


def _cambridge_parts(folder: Path) -> Iterator[Part]:
    data = parquet(folder / "cambridge_buildings_hourly.parquet")
    times = local_seconds(data["ts"], "UTC")
    for building in np.unique(data["building"]):
        own = data["building"] == building
        yield Part(str(building), "active_power", times[own], data["kwh"][own].astype(np.float64) * 1000)


CAMBRIDGE = Measured(
    "cambridge_buildings_hourly",
    "UTC",
    "calendar: none",
    lambda building: "kind: electricity, circuit: main, every: 1h",
    _cambridge_parts,
    {"missing_data_as_zero": ("meter_stuck", "meter_silent", "meter_implausible")},
)


# -- plugs of offices in Germany, the building of a university in Bangkok ----------------------------------------------


def _tracebase_parts(folder: Path) -> Iterator[Part]:
    data = parquet(folder / "tracebase_office_plugs_1min.parquet")
    times = local_seconds(data["ts"], "Europe/Berlin")
    for plug in np.unique(data["device"]):
        own = data["device"] == plug
        yield Part(str(plug), "active_power", times[own], data["w_mean"][own].astype(np.float64))


TRACEBASE = Measured(
    "tracebase_office_plugs_1min",
    "Europe/Berlin",
    "calendar: none",
    lambda plug: "kind: plug, every: 1m",
    _tracebase_parts,
    {},
)


def _bangkok_parts(folder: Path) -> Iterator[Part]:
    data = columns_of(folder / "cu_bems_cham5_hourly.csv.gz")
    times = seconds_of(data["ts"], "Asia/Bangkok")
    yield Part("main", "active_power", times, numbers(data["load_kw"]) * 1000)


BANGKOK = Measured(
    "cu_bems_cham5_hourly",
    "Asia/Bangkok",
    "calendar: none",
    lambda building: "kind: electricity, circuit: main, every: 1h",
    _bangkok_parts,
    {},
)

SETS: Final = (WIFI, ROBOD, UCI, SDH, DAIAD, WASHBASIN, SHOWER, AMPDS, CAMBRIDGE, TRACEBASE, BANGKOK)
