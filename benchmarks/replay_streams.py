"""Minute data of offices for the benchmark of replay: a site, and the values of each day by series.

Ten points to a room: lamp and plug meters with power and energy, presence, illuminance, an air conditioner with four.

``restless``  every room raises about fourteen alerts a day: people come and go every twenty minutes, all week
``office``    a year as offices have them: weekends, lunch, meetings, sensors that miss people now and then, clouds,
              lamps, machines and units left on in a few rooms, setpoints out of bounds in some, seasons
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from building.document import parse_document
from building.site import Site, build_site

START_S = 1_782_835_200  # 2026-07-01 00:00 in Shanghai
MINUTES_OF_DAY = 24 * 60
PER_ROOM = 10
_FIRST_DAY = datetime.fromtimestamp(START_S, UTC).date() + timedelta(days=1)  # at the site it is tomorrow

Values = np.ndarray[tuple[int], np.dtype[np.float64]]
Day = list[tuple[str, str, Values]]


def site(rooms: int) -> Site:
    lines = ["version: 1", "site: {timezone: Asia/Shanghai}", "zones:", *(f"  - {{id: z{n}}}" for n in range(rooms))]
    lines.append("devices:")
    for n in range(rooms):
        lines += [
            f"  - {{id: lamp{n}, kind: electricity, circuit: lighting, zone: z{n}}}",
            f"  - {{id: plug{n}, kind: plug, zone: z{n}}}",
            f"  - {{id: sensor{n}, kind: sensor, zone: z{n}, quantities: [occupancy, illuminance]}}",
            f"  - {{id: ac{n}, kind: aircon, zone: z{n}}}",
        ]
    return build_site(parse_document("\n".join(lines).encode(), "benchmark"))


def restless(rooms: int, day: int) -> Day:
    """People come and go all the time, machines run while they are there, one in ten is left on."""
    draw = np.random.default_rng(day)
    count = MINUTES_OF_DAY
    minute = np.arange(count)
    found: Day = []

    def during(start: float, end: float) -> Values:
        late = 240 if draw.random() < 0.1 else 0
        begins, ends = start + draw.integers(-15, 15), end + draw.integers(-15, 15) + late
        return ((minute >= begins) & (minute < ends)).astype(np.float64)

    for n in range(rooms):
        lamp = during(510, 1055) * 60 + draw.random(count)
        plug = during(520, 1050) * 90 + 3 + draw.random(count)
        runs = during(530, 1040)
        for device, watts in (("lamp", lamp), ("plug", plug)):
            found.append((f"{device}{n}", "active_power", watts))
            found.append((f"{device}{n}", "energy_import", day * 3.0 + np.round(np.cumsum(watts) / 60_000, 2)))
        seen = during(510, 1050) * (np.cumsum(draw.random(count) < 1 / 20) % 2)
        found.append((f"sensor{n}", "occupancy", seen))
        found.append((f"sensor{n}", "illuminance", 200 + 300 * np.sin(minute / count * np.pi) + draw.random(count)))
        found.append((f"ac{n}", "running", runs))
        found.append((f"ac{n}", "active_power", runs * 900 + 5 + draw.random(count)))
        found.append((f"ac{n}", "setpoint", np.full(count, 26.0 - 2 * (n % 3 == 0))))
        found.append(
            (f"ac{n}", "temperature", np.round(26 + 1.5 * np.sin(minute / 300) + draw.random(count) * 0.02, 2))
        )
    return found


def office(rooms: int, day: int) -> Day:
    """A day of ordinary offices, from 1 July on."""
    draw = np.random.default_rng(10_000 + day)
    today = _FIRST_DAY + timedelta(days=day)
    outside = 16 - 12 * np.cos((today - date(today.year, 1, 20)).days / 365 * 2 * np.pi)
    clouds = np.repeat(draw.uniform(0.2, 1.0, 48), MINUTES_OF_DAY // 48)
    sun = np.clip(np.sin((np.arange(MINUTES_OF_DAY) - 360) / 780 * np.pi), 0, None) * clouds
    found: Day = []
    for n in range(rooms):
        found += _office_room(draw, n, day, today.weekday() < 5 or draw.random() < 0.03, float(outside), sun)
    return found


def _office_room(draw: np.random.Generator, n: int, day: int, at_work: bool, outside: float, sun: Values) -> Day:
    count = MINUTES_OF_DAY
    minute = np.arange(count)
    there = np.zeros(count, np.bool_)
    arrives, leaves = draw.normal(520, 20), draw.normal(1070, 30)
    if at_work:
        there = (minute >= arrives) & (minute < leaves)
        there &= ~((minute >= draw.normal(720, 10)) & (minute < draw.normal(790, 10)))  # lunch
        for _ in range(draw.integers(0, 4)):  # meetings elsewhere
            begins = draw.uniform(540, 1020)
            there &= ~((minute >= begins) & (minute < begins + draw.uniform(10, 75)))

    def used(left_on: float, careful: float) -> Values:
        """While people are about; off when they go out for a while with ``careful``; left on with ``left_on``."""
        if not at_work:
            return np.zeros(count)
        ends = count if draw.random() < left_on / 4 else leaves + 180 if draw.random() < left_on else leaves
        on = (minute >= arrives) & (minute < ends)
        return (there if draw.random() < careful else on).astype(np.float64)

    lamp = used(0.05, 0.2) * 60
    plug = 3.2 + used(0.1, 0.05) * (70 + 20 * draw.random())
    hot, cold = outside > 24, outside < 8
    runs = used(0.06, 0.1) if hot or cold else np.zeros(count)
    wanted = float(draw.choice([26, 26, 26, 25, 24] if hot else [18, 18, 20, 22]))
    room = 20 + 0.35 * (outside - 16) + np.sin((minute - 500) / count * 2 * np.pi)
    settled = np.convolve(runs, np.full(60, 1 / 60))[:count]
    noise = draw.random((5, count))
    lamp_watts, plug_watts = np.round(lamp * (0.98 + 0.02 * noise[0]), 1), np.round(plug + 0.4 * noise[1], 1)
    seen = there & (noise[2] < 0.97)  # one minute in thirty nobody moves
    found: Day = []
    for device, watts in (("lamp", lamp_watts), ("plug", plug_watts)):
        found.append((f"{device}{n}", "active_power", watts))
        found.append((f"{device}{n}", "energy_import", day * 3.0 + np.round(np.cumsum(watts) / 60_000, 2)))
    return [
        *found,
        (f"sensor{n}", "occupancy", seen.astype(np.float64)),
        (f"sensor{n}", "illuminance", np.round(900 * sun + 4 * lamp + 3 * noise[3])),
        (f"ac{n}", "running", runs),
        (f"ac{n}", "active_power", np.round(5 + runs * (700 + 200 * noise[4]))),
        (f"ac{n}", "setpoint", np.full(count, wanted)),
        (f"ac{n}", "temperature", np.round(room + settled * (wanted - room) + 0.05 * noise[1], 1)),
    ]


STREAMS: dict[str, Callable[[int, int], Day]] = {"restless": restless, "office": office}


def write(path: Path, stream: str, rooms: int, days: int, gaps: float = 0.0) -> int:
    """A Parquet file in long form, a row group a day, series after series within it, names as dictionaries; its rows.

    Of each day a part ``gaps`` of the devices says nothing for one to six hours.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [(device, quantity) for device, quantity, _ in STREAMS[stream](rooms, 0)]
    devices, quantities = (sorted({name[place] for name in names}) for place in (0, 1))
    codes = [np.repeat([known.index(name[place]) for name in names], MINUTES_OF_DAY).astype(np.int32)
             for place, known in enumerate((devices, quantities))]  # fmt: skip
    columns = [pa.DictionaryArray.from_arrays(pa.array(code), pa.array(known))
               for code, known in zip(codes, (devices, quantities), strict=True)]  # fmt: skip
    writer, written = None, 0
    for day in range(days):
        times = START_S + 60 * np.arange(day * MINUTES_OF_DAY, (day + 1) * MINUTES_OF_DAY)
        stamps = pa.array(np.tile(times * 1000, len(names)), pa.timestamp("ms", "UTC"))
        values = np.concatenate([series for _, _, series in STREAMS[stream](rooms, day)])
        table = pa.table({"time": stamps, "device": columns[0], "quantity": columns[1], "value": values})
        if gaps:
            table = table.filter(pa.array(_spoken(gaps, day, codes[0], len(devices))))
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=len(table))
        written += len(table)
    assert writer is not None
    writer.close()
    return written


def _spoken(gaps: float, day: int, codes: npt.NDArray[np.int32], devices: int) -> npt.NDArray[np.bool_]:
    """Which of a day's rows, each of the device of ``codes``, do not lie in a gap."""
    draw = np.random.default_rng((20_000 + day, devices))
    silent = draw.random(devices) < gaps
    begins = draw.integers(0, MINUTES_OF_DAY, devices)
    ends = begins + draw.integers(60, 360, devices)
    minute = np.arange(len(codes)) % MINUTES_OF_DAY
    return ~(silent[codes] & (minute >= begins[codes]) & (minute < ends[codes]))
