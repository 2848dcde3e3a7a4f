"""Vector files: published bytes with what they mean, run through the decoders that the collector uses.

A file is one JSON object whose ``vectors`` each say their form by the keys they have. A vector passes when every value
it states comes out; what no part of the collector decodes is "unsupported", never passed over in silence.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from building.errors import InputError
from greenwarden.vectors.buses import check_counter, check_frame, check_item_frame, check_timing
from greenwarden.vectors.judging import FAIL, PASS, UNSUPPORTED, Verdict, remarks
from greenwarden.vectors.messages import Series, check_message
from greenwarden.vectors.registers import check_number, check_registers
from greenwarden.vectors.telegrams import check_telegram, check_wired

Vector = Mapping[str, Any]
_LARGEST: Final = 64 * 1024 * 1024  # bytes


def check_file(path: Path, profiles_folder: Path | None = None) -> list[tuple[str, Verdict]]:
    """(id, verdict) of every vector in ``path``. Raises InputError for a file that is no vector file."""
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: larger than {_LARGEST >> 20} MiB; split it")
        content = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    vectors = content.get("vectors") if isinstance(content, dict) else content
    if not isinstance(vectors, list) or not all(isinstance(vector, dict) for vector in vectors):
        raise InputError(f"{path} has no list 'vectors' of objects")
    title = str(content.get("title", "")) if isinstance(content, dict) else ""
    series = Series()
    told = []
    for number, vector in enumerate(vectors, 1):
        told.append((str(vector.get("id", number)), _judged(vector, title, series, profiles_folder)))
    return told


def _judged(vector: Vector, title: str, series: Series, folder: Path | None) -> Verdict:
    """One vector; a vector whose own form is broken is no reason to leave the others out."""
    try:
        return _check(vector, title, series, folder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error) as error:
        return Verdict(FAIL, f"the vector cannot be read as its kind: {type(error).__name__} {error}")


def _check(vector: Vector, title: str, series: Series, folder: Path | None) -> Verdict:
    keys = vector.keys()
    forms: Sequence[tuple[set[str], Callable[[], Verdict]]] = (
        ({"datatype", "registers"}, lambda: check_number(vector)),
        ({"request", "registers", "expected"}, lambda: check_registers(vector, folder)),
        ({"baud"}, lambda: check_timing(vector)),
        ({"readings", "expected_deltas"}, lambda: check_counter(vector)),
        ({"topic"}, lambda: check_message(vector, series, folder)),
        ({"telegram_hex", "expected"}, lambda: check_telegram(vector)),
        ({"frame_hex"}, lambda: check_wired(vector)),
        ({"transport"}, lambda: check_frame(vector)),
        ({"bytes_hex"}, lambda: check_item_frame(vector, title)),
    )
    for needed, check in forms:
        if needed <= keys:
            return check()
    return Verdict(UNSUPPORTED, f"no part of the collector reads this form ({', '.join(sorted(keys))})")


__all__ = ["FAIL", "PASS", "UNSUPPORTED", "Verdict", "check_file", "remarks"]
