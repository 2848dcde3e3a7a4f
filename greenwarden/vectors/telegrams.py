"""Vectors of M-Bus: wired frames with their records, and radio telegrams with what a gateway makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from building.errors import BadFrame
from collector.mbus import Record, Telegram, read_frame
from collector.wmbus import read_telegram
from greenwarden.vectors.judging import FAIL, PASS, UNSUPPORTED, Verdict, remarks, same
from greenwarden.vectors.messages import check_gateway_fields

Vector = Mapping[str, Any]
_PREFIXES: Final = {"k": 1e3, "M": 1e6, "m": 1e-3}
_LITRES: Final = {"l": 1e-3, "ml": 1e-6}
_GATEWAY_MEDIA: Final[Mapping[int, str]] = {
    0x00: "other", 0x01: "oil", 0x02: "electricity", 0x03: "gas", 0x04: "heat", 0x05: "steam", 0x06: "warm water",
    0x07: "water", 0x08: "heat cost allocation", 0x09: "compressed air", 0x0A: "cooling load volume at outlet",
    0x0B: "cooling load volume at inlet", 0x0C: "heat volume at inlet", 0x0D: "heat/cooling load",
    0x0E: "bus/system component", 0x15: "hot water", 0x16: "cold water", 0x18: "pressure", 0x1A: "smoke detector",
    0x1B: "room sensor", 0x37: "radio converter (meter side)",
}  # fmt: skip
_FIELD_UNITS: Final[Mapping[str, tuple[tuple[str, float], ...]]] = {
    "kwh": (("Wh", 1e-3), ("J", 1 / 3.6e6), ("varh", 1e-3)), "kvarh": (("varh", 1e-3), ("Wh", 1e-3)),
    "kvah": (("VAh", 1e-3), ("Wh", 1e-3)), "kw": (("W", 1e-3), ("J/h", 1 / 3.6e6), ("var", 1e-3)),
    "kvar": (("var", 1e-3), ("W", 1e-3)), "kva": (("VA", 1e-3), ("W", 1e-3)), "m3": (("m^3", 1.0),),
    "m3h": (("m^3/h", 1.0), ("m^3/min", 60.0), ("m^3/s", 3600.0)), "c": (("°C", 1.0), ("K", 1.0)),
    "v": (("V", 1.0),), "a": (("A", 1.0),), "hz": (("Hz", 1.0),), "rh": (("%", 1.0), ("-", 1.0)),
    "counter": (("", 1.0),), "h": (("s", 1 / 3600),), "s": (("s", 1.0),), "y": (("s", 1 / 31_536_000),),
}  # fmt: skip
_MAKERS_OWN: Final = ("0F", "1F")
_ROUNDED: Final = 6e-7  # a gateway prints six digits behind the point


# -- wired frames -----------------------------------------------------------------------------------------------------


def check_wired(vector: Vector) -> Verdict:
    """A long frame: who speaks, and each stated record at its place."""
    stated = vector.get("expected")
    try:
        telegram = read_frame(bytes.fromhex(vector["frame_hex"]))
    except BadFrame as error:
        unsound = stated is None or vector.get("frame_checksum_ok") is False
        return remarks([] if unsound else [str(error)])
    if stated is None or vector.get("frame_checksum_ok") is False:
        return remarks(["taken for a sound frame"])
    faults = [*_head_faults(telegram, stated)]
    wanted = stated.get("records", [])
    if len(telegram.records) < len(wanted):
        faults.append(f"found {len(telegram.records)} records, stated {len(wanted)} {telegram.trouble}".rstrip())
    unread = []
    for number, (record, one) in enumerate(zip(telegram.records, wanted, strict=False), 1):
        if why := _nothing_to_compare(record, one):
            unread.append(f"record {number}, {why}")
        else:
            faults += [f"record {number}: {fault}" for fault in _record_faults(record, one)]
    return remarks(faults, unread)


def _head_faults(telegram: Telegram, stated: Mapping[str, Any]) -> Iterable[str]:
    found: dict[str, str] = {
        "id": telegram.ident, "manufacturer": telegram.manufacturer, "version": str(telegram.version),
        "medium": telegram.medium_name, "status_hex": f"{telegram.status:02X}", "access": str(telegram.access),
    }  # fmt: skip
    for key, got in found.items():
        wanted = stated.get(key)
        if wanted is None or (not telegram.manufacturer and key in ("manufacturer", "version")):
            continue  # the fixed structure names neither
        text = _text(wanted)
        alike = got.startswith(text) if key == "medium" else got.lstrip("0") == text.upper().lstrip("0")
        if not (alike or got == text):
            yield f"{key}: found {got}, stated {text}"


def _text(value: Any) -> str:
    """A stated word; UTF-8 that somebody took for Latin-1 is read as it was meant."""
    text = str(value)
    try:
        return text.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return text


def _nothing_to_compare(record: Record, stated: Mapping[str, Any]) -> str:
    """Why a record is passed over; empty when it is not. BCD with letters in it is an error code and no number."""
    if record.value is None and isinstance(stated.get("value"), int | float):
        return "whose digits are no number"
    if not stated.get("function"):
        return "of which nothing is stated"
    return "of which only digits are stated" if str(stated.get("unit")).startswith("reserved") else ""


def _record_faults(record: Record, stated: Mapping[str, Any]) -> Iterable[str]:
    found = {"function": record.function, "storage": record.storage, "quantity": record.quantity}
    found |= {"tariff": record.tariff or 0, "subunit": record.subunit or 0}
    for key, got in found.items():
        if key == "quantity" and not stated.get("quantity") and record.key not in _MAKERS_OWN:
            continue  # the fixed structure has units only
        if key in stated and not same(got, stated[key]):
            yield f"{key}: found {got}, stated {stated[key]}"
    unit, value = _text(stated.get("unit", record.unit)), stated.get("value")
    if unit != record.unit and isinstance(value, int | float):
        unit, value = _plain(unit, value, record.unit)
    if unit != record.unit:
        yield f"unit: found {record.unit}, stated {unit}"
    if not _same_value(record.value, value):
        yield f"value: found {record.value}, stated {value}"


def _plain(unit: str, value: float, plain: str) -> tuple[str, float]:
    """A value in kWh or litres, in the plain unit."""
    if unit in _LITRES and plain == "m^3":
        return plain, value * _LITRES[unit]
    if unit[:1] in _PREFIXES and unit[1:] == plain:
        return plain, value * _PREFIXES[unit[0]]
    return unit, value


def _same_value(found: float | str | None, stated: Any) -> bool:
    if isinstance(stated, str):
        if stated.startswith("1900-01-00"):  # how a moment that the meter marks as not valid is printed
            stated = ""
        return str(found or "") == str(stated).strip().removesuffix("Z")
    return same(found, stated, _ROUNDED)


# -- radio telegrams --------------------------------------------------------------------------------------------------


def check_telegram(vector: Vector) -> Verdict:
    """A telegram, by both ways it can come in: read here, and as the fields that a gateway publishes of it."""
    by_gateway = check_gateway_fields(vector)
    if by_gateway.outcome == FAIL or not isinstance(vector["expected"], dict):
        return by_gateway
    text = re.sub(r"[\s|_]", "", vector["telegram_hex"])
    try:
        telegram = read_telegram(bytes.fromhex(text))
    except BadFrame as error:
        return by_gateway if by_gateway.outcome == UNSUPPORTED else Verdict(PASS, f"from the gateway's fields; {error}")
    fields: Mapping[str, Any] = vector["expected"]
    faults = []
    if "id" in fields and telegram.ident != str(fields["id"]).upper():
        faults.append(f"id: found {telegram.ident}, stated {fields['id']}")
    media = _GATEWAY_MEDIA.get(telegram.medium)
    if media is not None and "media" in fields and media != fields["media"]:
        faults.append(f"media: found {media}, stated {fields['media']}")
    missing = [key for key, value in fields.items() if _in_records(key, value, telegram.records) is False]
    faults += [f"{key}: stated {fields[key]}, not in the telegram" for key in missing if _must_be_there(key, telegram)]
    if not telegram.records and by_gateway.outcome == UNSUPPORTED:
        return remarks(faults, missing, checked=bool(faults))
    return remarks(faults, missing)


def _must_be_there(key: str, telegram: Telegram) -> bool:
    """Whether the telegram itself has present values of this kind, so that a total stated must be one of them."""
    return (
        bool(re.fullmatch(r"total\w*_(m3|kwh)|\w*temperature_c", key))
        and not telegram.trouble
        and all(record.function not in ("Manufacturer specific", "More records follow") for record in telegram.records)
        and any(record.unit in dict(_FIELD_UNITS[key.rpartition("_")[2]]) for record in telegram.records)
    )


def _in_records(key: str, stated: Any, records: Iterable[Record]) -> bool | None:
    """Whether a stated number stands in one of the records; None for a field that is no number with a unit."""
    units = _FIELD_UNITS.get(key.rpartition("_")[2])
    if units is None or isinstance(stated, bool) or not isinstance(stated, int | float):
        return None
    numbers = [
        record.value * factor
        for record in records
        for unit, factor in units
        if record.unit == unit and isinstance(record.value, float)
    ]
    return any(same(number, stated, _ROUNDED) for number in numbers)
