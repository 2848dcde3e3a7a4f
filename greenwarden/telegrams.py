"""``greenwarden decode mbus FILE``: what an M-Bus meter says in a frame or radio telegram written in hex, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from building.errors import BadFrame, InputError
from collector.mbus import Record, Telegram
from collector.wmbus import read_telegram
from greenwarden import terminal

MBUS: Final = "mbus"
"""What stands in place of a profile's name."""

_LARGEST: Final = 64 * 1024  # bytes of a file; a frame has 261 at most
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("quantity", "value", "unit", "function", "storage", "tariff", "sub-unit", "record"),
    "zh": ("量", "值", "单位", "类别", "存储号", "费率", "子单元", "记录"),
}
_NOTHING: Final = {"en": "no value", "zh": "无值"}


def decode_telegram(path: Path, *, as_json: bool, language: str) -> bool:
    """Print the records of each line of ``path``; False when one cannot be read. Raises InputError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: larger than {_LARGEST >> 10} KiB; cut out what you want to see")
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text; write the frame in hex") from None
    right = True
    for number, line in enumerate(lines, 1):
        text = re.sub(r"[\s|:_-]", "", line)
        if not text or line.startswith("#"):
            continue
        try:
            telegram = read_telegram(bytes.fromhex(text))
        except ValueError:
            raise InputError(f"{path}:{number}: {line[:40]!r} is no row of bytes in hex") from None
        except BadFrame as error:
            right = False
            terminal.complain(f"{path}:{number}: {error}")
            continue
        right = right and not telegram.trouble
        _show(telegram, as_json=as_json, language=language)
    return right


def _show(telegram: Telegram, *, as_json: bool, language: str) -> None:
    if as_json:
        content = telegram._asdict() | {"medium_name": telegram.medium_name}
        terminal.emit_json(content | {"records": [one._asdict() for one in telegram.records]})
        return
    title = f"{telegram.manufacturer} {telegram.ident}  {telegram.medium_name}"
    rows = [_row(one, _NOTHING[language]) for one in telegram.records]
    terminal.out.print(terminal.table(title, _WORDS[language], rows, right=(1, 4, 5, 6)))
    if telegram.trouble:
        terminal.say(telegram.trouble)


def _row(one: Record, nothing: str) -> tuple[object, ...]:
    value = nothing if one.value is None else f"{one.value:.10g}" if isinstance(one.value, float) else one.value
    tariff, subunit = ("" if number is None else number for number in (one.tariff, one.subunit))
    return one.quantity, value, one.unit, one.function, one.storage, tariff, subunit, one.key
