"""Vectors of buses: Modbus frames and timing, DL/T 645 and CJ/T 188 frames, and counters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from building.errors import BadFrame, MeterRefused
from building.site import Device
from collector.counters import Counter, Event, deltas
from collector.decoding import decode_block
from collector.links import cjt188, dlt645
from collector.links.frames import AsciiFraming, Framing, RtuFraming, TcpFrame, content, cut_tcp, question
from collector.links.modbus import READ_DISCRETE, bits_to_bytes
from collector.links.wires import frame_gap
from collector.profiles import READ_ITEM, Profile, load_profile, profile_names
from greenwarden.vectors.judging import UNSUPPORTED, Verdict, in_unit, remarks, same

Vector = Mapping[str, Any]
_FRAMINGS: Final[Mapping[str, Framing]] = {"rtu": RtuFraming(), "ascii": AsciiFraming()}
_FAILED: Final = 0x80
_COIL_ON: Final = 0xFF00
_PLACE: Final = Device(id="vector", kind="electricity")
_US: Final = 1e6


# -- Modbus -----------------------------------------------------------------------------------------------------------


def check_frame(vector: Vector) -> Verdict:
    """A Modbus frame, or a stream of them in chunks, over TCP, RTU or ASCII."""
    transport, stated = vector["transport"], vector.get("decoded")
    chunks = [bytes.fromhex(text) for text in vector.get("chunks_hex", [vector.get("bytes_hex", "")])]
    if transport == "tcp":
        return _check_tcp(chunks, stated)
    framing = _FRAMINGS.get(transport)
    if framing is None:
        return Verdict(UNSUPPORTED, f"the transport {transport} is not known")
    wanted = stated if isinstance(stated, list) else [stated]
    faults = [fault for one in wanted if (fault := _check_serial(framing, b"".join(chunks), one))]
    return remarks(faults)


def _check_tcp(chunks: Sequence[bytes], stated: Any) -> Verdict:
    found: list[TcpFrame] = []
    rest = b""
    try:
        for chunk in chunks:
            frames, rest = cut_tcp(rest + chunk)
            found += frames
    except BadFrame as error:
        return remarks([] if stated is None else [f"not taken for a frame: {error}"])
    if stated is None:
        return remarks([f"taken for {len(found)} sound frames"] if found else [])
    wanted = stated if isinstance(stated, list) else [stated]
    if len(found) != len(wanted):
        return remarks([f"found {len(found)} frames, stated {len(wanted)}"])
    faults = []
    for (transaction, unit, body), one in zip(found, wanted, strict=True):
        faults += [f"transaction: found {transaction}"] if transaction != one["transaction"] else []
        faults += [f"unit: found {unit}"] if unit != one["unit"] else []
        faults += _body_faults(body, one)
    return remarks(faults)


def _body_faults(body: bytes, stated: Mapping[str, Any]) -> list[str]:
    """What differs between a frame's body (function code first) and what is stated of it."""
    function = stated["function"]
    if "address" in stated:
        return [] if body == _question(stated) else ["the question is another"]
    count = _count(stated)
    try:
        data = content(body, function, count)
    except MeterRefused as refused:
        return [] if refused.code == stated.get("exception") else [f"found exception {refused.code}"]
    except BadFrame as error:
        return [str(error)]
    if "exception" in stated:
        return ["found values, stated an exception"]
    return [] if data == _packed(stated) else [f"found {data.hex(' ', 2)}"]


def _question(stated: Mapping[str, Any]) -> bytes:
    """The body of a frame that names an address: a read, a write, or the short answer to a write."""
    value = stated.get("count", stated.get("value", 0))
    if isinstance(value, bool):
        value = _COIL_ON if value else 0
    values = stated.get("registers", stated.get("values"))
    if values is None:
        return question(stated["function"], stated["address"], value)
    data = _packed({"registers": values})
    return question(stated["function"], stated["address"], len(values)) + bytes([len(data)]) + data


def _count(stated: Mapping[str, Any]) -> int:
    return len(stated.get("registers", stated.get("bits_lsb_first", ())))


def _packed(stated: Mapping[str, Any]) -> bytes:
    if "registers" in stated:
        words = [int(word, 16) if isinstance(word, str) else int(word) for word in stated["registers"]]
        return b"".join(word.to_bytes(2, "big") for word in words)
    bits = stated["bits_lsb_first"]
    packed: int = sum(bit << place for place, bit in enumerate(bits))
    return packed.to_bytes(bits_to_bytes(len(bits)), "little")


def _check_serial(framing: Framing, heard: bytes, stated: Mapping[str, Any] | None) -> str:
    if stated is None:
        return "taken for a sound frame" if _any_frame(framing, heard) else ""
    unit, function = stated["unit"], stated["function"]
    if "address" in stated:
        return "" if framing.question(unit, _question(stated)) in heard else "the frame made for it is another"
    count = _count(stated)
    size = bits_to_bytes(count) if function <= READ_DISCRETE else 2 * count
    body_found = framing.find(heard, unit, function, size)
    if body_found is None:
        return "no sound frame found"
    return "; ".join(_body_faults(body_found, stated))


def _any_frame(framing: Framing, heard: bytes) -> bool:
    """Whether any unit's answer of any length, or its refusal, can be found in ``heard``."""
    units = set(heard[:1]) if isinstance(framing, RtuFraming) else set(range(256))
    sizes = range(len(heard))
    return any(
        framing.find(heard, unit, function, size) for unit in units for function in (1, 2, 3, 4) for size in sizes
    )


def check_timing(vector: Vector) -> Verdict:
    """Silence between RTU frames at a baud rate; within a frame the collector counts bytes instead of waiting."""
    gap = frame_gap(vector["baud"]) * _US
    stated = vector.get("t3_5_us")
    if stated is None:
        return Verdict(UNSUPPORTED, "only t3_5_us is used by the collector")
    faults = [] if abs(gap - stated) <= 1 else [f"t3_5_us: found {gap:.0f}, stated {stated}"]
    return remarks(faults, ["t1_5_us"] if "t1_5_us" in vector else [])


# -- DL/T 645 and CJ/T 188 --------------------------------------------------------------------------------------------


def check_item_frame(vector: Vector, title: str) -> Verdict:
    """A frame of DL/T 645 or CJ/T 188; which of them the file's title, the vector's id or the frame says."""
    heard = bytes.fromhex(vector["bytes_hex"])
    named = f"{title} {vector.get('id', '')} {vector.get('source', '')}".lower()
    if "645" in named:
        return _check_dlt645(heard, vector["decoded"])
    if "188" in named:
        return _check_cjt188(heard, vector["decoded"])
    return Verdict(UNSUPPORTED, "neither title nor id says DL/T 645 or CJ/T 188")


def _check_dlt645(heard: bytes, stated: Mapping[str, Any] | None) -> Verdict:
    frame = next(dlt645.frames(heard), None)
    if frame is None or stated is None:
        return _unsound(frame is not None, stated is not None)
    item = f"{frame.item:08X}" if frame.item is not None else None
    found: dict[str, Any] = {"address": frame.address, "control": f"{frame.control:02X}", "di": item}
    found |= {"error": frame.refused, "error_code": frame.data[:1].hex().upper() if frame.refused else None}
    found |= {"data_hex": frame.data.hex().upper(), "length": len(frame.data)}
    faults, unread = _compared(found, stated, ("quantity", "value", "values", "unit"))
    if "value" in stated or "values" in stated:
        faults += _item_faults("dlt645", (frame.item or 0) << 8, frame.data[4:], stated)
    return remarks(faults, unread)


def _unsound(found: bool, stated: bool) -> Verdict:
    """For a frame that is not there, or should not be taken for one."""
    if found == stated:
        return remarks([])
    return remarks(["taken for a sound frame" if found else "no sound frame found"])


def _check_cjt188(heard: bytes, stated: Mapping[str, Any] | None) -> Verdict:
    frame = next(cjt188.frames(heard), None)
    if frame is None or stated is None:
        return _unsound(frame is not None, stated is not None)
    found: dict[str, Any] = {"type": f"{frame.meter_type:02X}", "address": frame.address}
    found |= {"control": f"{frame.control:02X}", "di": frame.data[:2].hex().upper(), "ser": frame.serial}
    found |= {"error": frame.refused}
    if not frame.refused and frame.control & _FAILED and frame.item is not None:
        pages = _item_pages("cjt188")
        for page in pages:
            decoded = decode_block(page, _PLACE, READ_ITEM, frame.item << 8, frame.data[3:])
            found = {**decoded.details, **decoded.values, **found}
        found |= {"unit": "m3"} if "volume" in found else {}
        found |= _clock_and_status(frame.data[3:])
    return remarks(*_compared(found, stated, ()))


def _clock_and_status(data: bytes) -> dict[str, Any]:
    """The meter's own time and status, behind the two totals: ss mm hh DD MM YY YY, two bytes."""
    if len(data) < 19:
        return {}
    second, minute, hour, day, month, low, high = (f"{byte:02X}" for byte in data[10:17])
    return {
        "meter_time": f"{high}{low}-{month}-{day}T{hour}:{minute}:{second}",
        "status_hex": data[17:19].hex().upper(),
    }


def _compared(
    found: Mapping[str, Any], stated: Mapping[str, Any], elsewhere: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Faults, and the keys that nothing here reads."""
    faults = [
        f"{key}: found {found[key]}, stated {wanted}"
        for key, wanted in stated.items()
        if key in found and not same(found[key], wanted)
    ]
    return faults, [key for key in stated if key not in found and key not in elsewhere]


def _item_faults(protocol: str, address: int, data: bytes, stated: Mapping[str, Any]) -> list[str]:
    wanted = stated.get("values", [stated.get("value")])
    found: list[Any] = []
    for page in _item_pages(protocol):
        decoded = decode_block(page, _PLACE, READ_ITEM, address, data)
        rows = [row for row in page.registers if int(row.item, 16) << 8 == address]
        numbers = [
            decoded.values.get(row.quantity) if row.quantity else decoded.details.get(row.name)
            for row in sorted(rows, key=lambda row: row.address)
        ]
        quantity = stated.get("quantity") or next((row.quantity for row in rows), "")
        inside = [in_unit(quantity, one, stated.get("unit", ""), 0)[0] for one in wanted]
        if numbers and same(numbers[: len(inside)], inside):
            return []
        found += numbers
    return [f"found {found or 'no such item'}, stated {wanted}"]


def _item_pages(protocol: str) -> list[Profile]:
    pages = [load_profile(name) for name in profile_names()]
    return [page for page in pages if page.protocol == protocol]


# -- counters ---------------------------------------------------------------------------------------------------------


def check_counter(vector: Vector) -> Verdict:
    """Readings of one counter, and what each step books."""
    told, readings = vector["counter"], vector["readings"]
    scale = told.get("scale", 1)
    times = told.get("times_s") or vector.get("times_s") or [300 * number for number in range(len(readings))]
    timed = zip((round(at * 1000) for at in times), readings, strict=True)
    booked, events = deltas(timed, _counter(told))
    found = [None if one is None else one * scale for one in booked]
    stated = vector["expected_deltas"]
    faults = [] if same(found, stated, 1e-6) else [f"found {found}, stated {stated}"]
    if isinstance(vector.get("expected_events"), list):
        names = {step.event.value for step in events if step.event is not None}
        faults += [f"no event {name}" for name in vector["expected_events"] if str(name) not in names]
    return remarks(faults)


def _counter(told: Mapping[str, Any]) -> Counter:
    modulus = told.get("modulus") or (2 ** told["width_bits"] if "width_bits" in told else None)
    scale = told.get("scale", 1)
    rate, step = None, None
    for key, value in told.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not re.search("max|plausible|limit", key):
            continue
        if re.search("step|delta", key) or ("rate" not in key and "times_s" not in told):
            step = value / scale
        else:
            thousands = 1000 if "m3" in key and told.get("unit") == "L" else 1
            rate = (
                value * thousands / scale * (3600 if key.endswith("_s") else 60 if key.endswith(("_min", "lpm")) else 1)
            )
    return Counter(modulus, max_per_hour=rate, max_step=step, resets=told.get("resets_allowed", True))


__all__ = ["Event", "check_counter", "check_frame", "check_item_frame", "check_timing"]
