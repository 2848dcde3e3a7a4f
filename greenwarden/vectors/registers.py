"""Vectors of register words: single numbers, and blocks of a device with the values they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from building.site import Device
from collector.decoding import Decoded, decode_block, decode_value
from collector.profiles import (
    FUNCTIONS,
    READ_MODEL,
    STANDARD_MARKS,
    WIDTHS,
    Profile,
    RegisterPoint,
    address_of,
    load_profile,
    profile_names,
)
from collector.sunspec import FAMILIES
from greenwarden.vectors.judging import NO_PROFILE, UNSUPPORTED, Verdict, best_of, in_unit, remarks, same

Vector = Mapping[str, Any]
_ALIASES: Final = {"room_temperature": "temperature", "relay_on": "on", "occupied": "occupancy"}
_RATIO: Final = re.compile(r"\b(CT|PT|VT)\b(?: and (CT|PT|VT)\b)?(?: ratio)?\s*=?\s*(\d+(?:\.\d+)?)")
_MOST_CHANNELS: Final = 64
_SPELLINGS: Final = {
    "uint16": "u16", "int16": "s16", "uint32": "u32", "int32": "s32", "uint64": "u64", "int64": "s64",
    "float32": "f32", "float64": "f64", "i16": "s16", "i32": "s32", "i64": "s64", "sign_magnitude": "sm16",
}  # fmt: skip
# With 1000 litres to the pulse one pulse is 1 m3, so that counts compare as they are.
_PLACE: Final = Device(id="vector", kind="electricity", litres_per_pulse=1000.0)


def check_number(vector: Vector) -> Verdict:
    """One value in a named format and byte order; ``expected`` null means: one of the format's no-value marks."""
    kind, stated = str(vector["datatype"]).lower(), vector["expected"]
    kind = _SPELLINGS.get(kind, kind)
    if kind not in WIDTHS:
        return Verdict(UNSUPPORTED, f"the number format {kind} is not known")
    marks = STANDARD_MARKS.get(kind, ()) if stated is None else ()
    found = decode_value(kind, vector.get("order", "ABCD"), _words(vector["registers"]), marks)
    return remarks([] if same(found, stated, vector.get("tolerance", 0.0)) else [f"found {found}, stated {stated}"])


def check_registers(vector: Vector, folder: Path | None) -> Verdict:
    """A block of registers of a named device."""
    pages = pages_for(str(vector.get("device", "")), folder)
    if not pages:
        return Verdict(NO_PROFILE, f"no profile is for {vector.get('device')}")
    verdicts = [_with_page(vector, name, page) for name, page in pages]
    return best_of(verdicts)


def _words(words: Sequence[str]) -> bytes:
    return bytes.fromhex("".join(words))


# -- which page -------------------------------------------------------------------------------------------------------


def pages_for(device: str, folder: Path | None = None) -> list[tuple[str, Profile]]:
    """The Modbus pages that fit a device's name best: whole words of maker and model, then the family of the model."""
    found: list[tuple[float, str, Profile]] = []
    for name in profile_names(folder):
        page = load_profile(name, folder)
        if page.protocol == "modbus":
            titles = (*page.models, page.title)
            found.append((max(_likeness(device, title) for title in titles), name, page))
    best = max((score for score, *_ in found), default=0.0)
    return [(name, page) for score, name, page in found if score == best] if best >= 2 else []


def _likeness(device: str, model: str) -> float:
    asked, known = _tokens(device), _tokens(model)
    return sum(max((_token_likeness(one, other) for other in known), default=0.0) for one in asked)


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"[^a-z0-9]+", text.lower()) if token]


def _token_likeness(one: str, other: str) -> float:
    """Model numbers weigh most; iEM3155 is of the family iEM3000, and PM5310 of PM5xxx; makers' names weigh little."""
    model = any(letter.isdigit() for letter in one)
    if one == other:
        return 4.0 if model else min(2.0, len(one) / 4)
    if not model or not one[0].isalpha():
        return 0.0
    family = re.fullmatch(r"([a-z]+\d)\d+[a-z]*", one)
    if family and re.fullmatch(family.group(1) + r"(0+|x+|\d+)[a-z]*", other) and len(one) - len(other) in (-1, 0, 1):
        return 3.0 if other.endswith(("0", "x")) else 1.5
    return 2.5 if len(other) > 3 and (one.startswith(other) or other.startswith(one)) else 0.0


# -- one page ---------------------------------------------------------------------------------------------------------


class _Reading(NamedTuple):
    """What a page makes of the block for one channel, and where its rows stand (counted as the vector does)."""

    decoded: Decoded
    rows: Mapping[int, list[RegisterPoint]]


def _with_page(vector: Vector, name: str, page: Profile) -> Verdict:
    stated = vector["expected"]
    best: list[str] | None = None
    readings = list(_readings(vector, page))
    for reading in _joined(readings, stated):
        faults = [fault for point in stated if (fault := _fault(point, reading))]
        best = faults if best is None or len(faults) < len(best) else best
    return remarks([f"{name}: none of its rows lies in the block"] if best is None else best)


def _joined(readings: list[_Reading], stated: Sequence[Mapping[str, Any]]) -> Iterable[_Reading]:
    """Each channel alone, and all together: a block may hold the inputs of several (pulse counters)."""
    yield from readings
    several = [reading for reading in readings if any(point["address"] in reading.rows for point in stated)]
    if len(several) > 1:
        yield _together(several)


def _together(readings: Sequence[_Reading]) -> _Reading:
    """Readings of several channels seen as one: each address belongs to the channel that has a row there."""
    rows: dict[int, list[RegisterPoint]] = {}
    values: dict[str, float | str] = {}
    for reading in readings:
        for address, found in reading.rows.items():
            for row in found:
                label = f"{row.quantity or row.name}@{address}"
                got = _value(row, reading.decoded)
                if got is not None:
                    values[label] = got
                rows.setdefault(address, []).append(row.model_copy(update={"name": label, "quantity": ""}))
    return _Reading(Decoded({}, {}, values), rows)


def _readings(vector: Vector, page: Profile) -> Iterable[_Reading]:
    request, data = vector["request"], _words(vector["registers"])
    start, shift, functions = request["address"], 0, [request["function"]]
    if page.table == "model":
        family = int(page.registers[0].item, 16)
        if int.from_bytes(data[:2], "big") not in FAMILIES[family]:
            return
        functions, shift = [READ_MODEL], (family << 8) - start
    elif request["function"] in (3, 4):
        functions.append(7 - request["function"])  # many meters give the same registers by either
    ratios = _ratios(str(vector.get("note", "")))
    for function in functions:
        for channel in range(_MOST_CHANNELS) if any(row.stride for row in page.registers) else (None,):
            one = _PLACE.model_copy(update={"channel": channel, **ratios})
            rows: dict[int, list[RegisterPoint]] = {}
            for row in page.registers:
                if FUNCTIONS[row.table or page.table] == function:
                    rows.setdefault(address_of(row, one) - shift, []).append(row)
            if any(start <= address < start + len(data) // 2 for address in rows):
                yield _Reading(decode_block(page, one, function, start + shift, data), rows)


def _ratios(note: str) -> dict[str, float]:
    """Transformer ratios that a vector names in its note: they belong to the place, not to the meter."""
    ratios: dict[str, float] = {}
    for first, second, number in _RATIO.findall(note):
        for which in filter(None, (first, second)):
            ratios["ct_ratio" if which == "CT" else "vt_ratio"] = float(number)
    return ratios


def _fault(point: Mapping[str, Any], reading: _Reading) -> str:
    """Why a stated value did not come out; empty when it did."""
    wanted, address = str(point["quantity"]), point["address"]
    rows = reading.rows.get(address, [])
    named = [row for row in rows if wanted in _names(row) or _ALIASES.get(wanted) in _names(row)]
    found: list[Any] = []
    for row in named or rows:
        quantity = row.quantity or row.name
        stated, tolerance = in_unit(quantity, point["value"], point.get("unit", ""), point.get("tolerance", 0))
        for got in (_value(row, reading.decoded), reading.decoded.details.get(quantity)):
            if same(got, stated, tolerance):
                return ""
            found.append(got)
    if not rows and point["value"] is None:
        return ""
    shown = " or ".join(dict.fromkeys(str(one) for one in found if one is not None)) or "nothing"
    return f"{wanted} at {address}: found {shown}, stated {point['value']} {point.get('unit', '')}".rstrip()


def _names(row: RegisterPoint) -> tuple[str, ...]:
    return (row.quantity, row.name, row.name.partition("@")[0])


def _value(row: RegisterPoint, decoded: Decoded) -> float | str | None:
    if row.quantity:
        return decoded.values.get(row.quantity)
    return decoded.details.get(row.name)
