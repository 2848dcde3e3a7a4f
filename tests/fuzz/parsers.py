"""Coverage-guided fuzzing of every parser of device bytes: ``python tests/fuzz/parsers.py -max_total_time=600``.

Needs the package atheris, which is no dependency of the project. Stops at the first input that breaks a promise.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import atheris  # type: ignore[import-not-found]  # only where somebody fuzzes

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["collector", "building"]):
    from building.errors import BadFrame
    from building.quantities import QUANTITIES
    from building.site import Device
    from collector.announcements import read_announcements
    from collector.decoding import decode_blocks
    from collector.discovery import page_of
    from collector.finding import Finder
    from collector.links import cjt188, dlt645
    from collector.links.frames import AsciiFraming, RtuFraming, cut_tcp
    from collector.links.mqtt_socket import cut_packets
    from collector.mbus import frames as mbus_frames
    from collector.mbus import read_frame, read_records
    from collector.payloads import topics_of
    from collector.planning import every_point, limits_of, plan
    from collector.profiles import READ_ITEM, load_profile, profile_names
    from collector.sparkplug import read_topic
    from collector.wmbus import read_telegram

TZ = ZoneInfo("Asia/Shanghai")
PAGES = [load_profile(name) for name in profile_names()]
READERS = [
    reader
    for page in PAGES
    for channel in (None, 1)
    for _, reader in topics_of(page, Device(id="d", kind="plug", topic="t", channel=channel, litres_per_pulse=1.0), TZ)
]
METER = Device(id="d", kind="electricity", litres_per_pulse=10.0, ct_ratio=40.0)
MAPS = [(page, plan(every_point(page, METER), limits_of(page))) for page in PAGES if page.registers]


def one_input(raw: bytes) -> None:
    """One run: the first two bytes say which parser, the rest is what came."""
    if len(raw) < 2:
        return
    kind, which, data = raw[0] % 8, raw[1], raw[2:]
    if kind == 0:
        _payload(READERS[which % len(READERS)], data)
    elif kind == 1:
        _registers(*MAPS[which % len(MAPS)], data)
    elif kind == 2:
        list(dlt645.frames(data))
        list(cjt188.frames(data))
    elif kind == 3:
        _line(data, which)
    elif kind == 4:
        for component in ("sensor", "device"):
            page_of(read_announcements(f"homeassistant/{component}/x/config", data) or ())
        finder = Finder("broker", ("x",))
        finder.hear("homeassistant/sensor/x/config", data)
        finder.changes()
    elif kind == 5:
        _telegrams(data)
    elif kind == 6:
        read_topic(data.decode("latin-1"))
        try:
            cut_packets(data, five=bool(which & 1))
        except BadFrame:
            return
    else:
        _payload(READERS[which % len(READERS)], b'{"' + data)


def _payload(reader, data: bytes) -> None:  # type: ignore[no-untyped-def]  # PayloadDecoder
    try:
        decoded = reader.decode_all(data)
    except BadFrame:
        return
    _sane(decoded.values, decoded.flaws)


def _registers(page, blocks, data: bytes) -> None:  # type: ignore[no-untyped-def]
    if not data:
        return
    answers = []
    for block in blocks:
        size = (
            (block.length + 7) // 8 if block.function <= 2 else block.length * (1 if block.function == READ_ITEM else 2)
        )
        answers.append((block.function, block.address, (data * (size // len(data) + 1))[:size]))
    values, flaws, _ = decode_blocks(page, METER, answers)
    _sane(values, flaws)


def _telegrams(data: bytes) -> None:
    """M-Bus: as it came, as the data of a sound frame, and as records."""
    body = b"\x08\x01\x72" + data[:240]
    framed = bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])
    list(mbus_frames(data))
    records = list(read_records(data)[0])
    for read, heard in ((read_frame, data), (read_frame, framed), (read_telegram, data), (read_telegram, framed)):
        try:
            records += read(heard).records
        except BadFrame:
            continue
    for record in records:
        assert isinstance(record.value, str | None) or math.isfinite(record.value), record


def _line(data: bytes, which: int) -> None:
    for framing in (RtuFraming(), AsciiFraming()):
        framing.find(data, which, 3, 4)
        framing.puzzle(data, which)
    try:
        cut_tcp(data)
    except BadFrame:
        return


def _sane(values, flaws) -> None:  # type: ignore[no-untyped-def]
    for name, value in values.items():
        if isinstance(value, str):
            assert value in QUANTITIES[name].words
        else:
            assert math.isfinite(value)
            assert QUANTITIES[name].plausible(value) or name in flaws, (name, value)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
