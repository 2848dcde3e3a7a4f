"""Parquet files read by row groups: whatever is repeated from one to the next, the readings are those of the file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from building.document import parse_document
from building.site import build_site
from rules import parquet_file, readings_file
from rules.parquet_pages import pattern_of
from rules.readings_file import open_readings

SITE = build_site(
    parse_document(
        b"version: 1\ndevices:\n  - {id: a, kind: plug}\n  - {id: b, kind: plug}\n  - {id: c, kind: plug}\n",
        "devices.yaml",
    )
)
START = 1_782_835_200_000
KINDS = ("alike", "alike", "alike", "shifted", "late", "gap", "fewer", "uneven", "turned", "twice", "without")


def group(kind: str, number: int, draw: np.random.Generator) -> dict[str, list[Any]]:
    """Rows of one row group: three devices, sixty instants, unless ``kind`` wants it otherwise."""
    count = 57 if kind == "fewer" else 60
    start = START + number * 10_000_000
    rows: list[tuple[int, str, float | None]] = []
    for name in ("c", "b", "a") if kind == "turned" else ("a", "b", "c"):
        times = start + 60_000 * np.arange(count)
        if kind == "shifted":
            times = times + 500
        elif kind == "late" and name == "b":
            times = times + 60_000
        elif kind == "gap" and name == "c":
            times = times + np.where(np.arange(count) > 4, 60_000, 0)
        elif kind == "uneven":
            times = times + 1000 * draw.integers(0, 30, count)
        elif kind == "twice":
            times[5] = times[4]
        values = draw.choice([0.0, 1.5, 60.0], count).tolist()
        if kind == "without":
            values[3] = None
        rows += zip(times.tolist(), [name] * count, values, strict=True)
    return {key: list(part) for key, part in zip(("time", "device", "value"), zip(*rows, strict=True), strict=True)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=8), st.integers(0, 2**32 - 1),
    st.sampled_from([1, 400, 10_000]), st.sampled_from(["zstd", "snappy", "none"]), st.sampled_from(["1.0", "2.0"]),
)  # fmt: skip
def test_stretches_of_a_file_are_its_rows_whatever_its_row_groups_share(
    kinds: list[str], seed: int, at_once: int, compression: str, pages: str
) -> None:
    draw = np.random.default_rng(seed)
    groups = [group(kind, number, draw) for number, kind in enumerate(kinds)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "r.parquet")
        writer = None
        for rows in groups:
            table = pa.table({"time": pa.array(rows["time"], pa.timestamp("ms", "UTC")), "device": rows["device"],
                              "quantity": ["active_power"] * len(rows["time"]), "value": rows["value"]})  # fmt: skip
            writer = writer or pq.ParquetWriter(path, table.schema, compression=compression, data_page_version=pages)
            writer.write_table(table)
        assert writer is not None
        writer.close()
        with mock.patch.multiple(parquet_file, _AT_ONCE=at_once), mock.patch.multiple(readings_file, WHOLE_UP_TO=1):
            stretches = list(open_readings(path, SITE))
    expected: dict[str, dict[int, float]] = {}
    for rows in groups:
        for at, device, value in zip(rows["time"], rows["device"], rows["value"], strict=True):
            expected.setdefault(device, {}).setdefault(at, np.nan if value is None else value)
    for device, told in expected.items():
        parts = [columns[(device, "active_power")] for columns in stretches if (device, "active_power") in columns]
        assert np.concatenate([part.times for part in parts]).tolist() == sorted(told)
        values = np.concatenate([part.values for part in parts])
        assert np.array_equal(values, np.array([told[at] for at in sorted(told)]), equal_nan=True)


def chunk(path: Path, times: list[int], **options: Any) -> bytes:
    """The stored column of ``times``."""
    pq.write_table(pa.table({"time": times}), path, **options)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    return path.read_bytes()[start : start + column.total_compressed_size]


def test_chunks_have_the_same_pattern_where_rows_repeat_alike(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    first = pattern_of(chunk(path, [1, 2, 3, 1, 2, 3]), "SNAPPY")
    assert first is not None
    assert first.listed == 3
    assert pattern_of(chunk(path, [7, 8, 9, 7, 8, 9]), "SNAPPY") == first
    assert pattern_of(chunk(path, [7, 8, 9, 7, 9, 8]), "SNAPPY") != first
    assert pattern_of(chunk(path, [7, 8, 9, 7, 8, 9, 7, 8, 9]), "SNAPPY") != first
    assert pattern_of(chunk(path, [7, 8, 9, 7, 8, 9]), "ZSTD") != first


def test_what_has_no_dictionary_or_is_no_page_has_no_pattern(tmp_path: Path) -> None:
    assert pattern_of(chunk(tmp_path / "t.parquet", [1, 2, 1, 2], use_dictionary=False), "SNAPPY") is None


@pytest.mark.parametrize("stored", [b"\xff" * 40, b"\x15", b"\x00", b""])
def test_bytes_that_are_no_pages_have_no_pattern(stored: bytes) -> None:
    assert pattern_of(stored, "SNAPPY") is None
