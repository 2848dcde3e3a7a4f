"""``greenwarden decode``: what a profile makes of bytes in a file, or whether a file of published vectors comes out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from building.document import parse_document
from building.errors import BadFrame, ConfigError, InputError
from building.quantities import QUANTITIES
from building.site import Device
from collector.decoding import Flaws, Values, decode_blocks
from collector.payloads import topics_of
from collector.profiles import Profile, load_profile
from collector.suspecting import suspicion
from greenwarden import terminal
from greenwarden.vectors import FAIL, PASS, check_file
from greenwarden.vectors.judging import same

_LINE: Final = re.compile(r"(?P<function>\d+)\s+(?P<address>0[xX][0-9A-Fa-f]+|\d+)\s*:\s*(?P<words>[0-9A-Fa-f\s]+)")
_LARGEST: Final = 16 * 1024 * 1024  # bytes of a file


class Recording(NamedTuple):
    """What a device said: ``blocks`` (function, address, words in hex) or ``messages`` (topic, payload)."""

    device: Mapping[str, Any]
    blocks: list[tuple[int, int, bytes]]
    messages: list[tuple[str, bytes]]
    expect: Mapping[str, Any] | None
    flawed: tuple[str, ...]


class Decoded(NamedTuple):
    """What the page makes of a recording; ``unread`` are messages that could not be read, with the reason."""

    values: Values
    flaws: Flaws
    details: dict[str, Any]
    unread: list[str]


def decode_vectors(path: Path, profiles_folder: Path | None, *, as_json: bool) -> bool:
    """Print a line per vector and the counts; True when none failed."""
    told = check_file(path, profiles_folder)
    counts = Counter(verdict.outcome for _, verdict in told)
    unsupported = len(told) - counts[PASS] - counts[FAIL]
    if as_json:
        vectors = [{"id": ident, "outcome": verdict.outcome, "remark": verdict.remark} for ident, verdict in told]
        terminal.emit_json(
            {"vectors": vectors, "passed": counts[PASS], "failed": counts[FAIL], "unsupported": unsupported}
        )
    else:
        for ident, verdict in told:
            terminal.say(f"{verdict.outcome:<11}  {ident}" + (f"  ({verdict.remark})" if verdict.remark else ""))
        terminal.say(f"{counts[PASS]} passed, {counts[FAIL]} failed, {unsupported} unsupported")
    return not counts[FAIL]


_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "quantity": "quantity", "value": "value", "unit": "unit", "nothing": "no value", "flaw": "",
        "detail": "detail, not stored", "right": "All values are as the file expects.", "none": "none",
        "differs": "{name}: found {found}, expected {expected}", "flawed": "flawed",
    },
    "zh": {
        "quantity": "量", "value": "值", "unit": "单位", "nothing": "无值", "flaw": "",
        "detail": "附注，不入库", "right": "各值均与文件所写一致。", "none": "无",
        "differs": "{name}：得到 {found}，应为 {expected}", "flawed": "有问题的量",
    },
}  # fmt: skip


def decode_file(name: str, path: Path, profiles_folder: Path | None, *, as_json: bool, language: str = "en") -> bool:
    """Print what the page ``name`` makes of ``path``; False when the file says what to expect and it did not come."""
    profile = load_profile(name, profiles_folder)
    recording = read_recording(path)
    decoded = decode_recording(profile, recording)
    words = _WORDS["en" if as_json else language]
    wrong = [] if recording.expect is None else _differences(recording, decoded, words)
    doubt = suspicion(decoded.values, "en" if as_json else language)
    if as_json:
        terminal.emit_json(
            {
                "profile": name,
                "values": decoded.values,
                "flaws": {quantity: flaw.reason for quantity, flaw in decoded.flaws.items()},
                "details": decoded.details,
                "unread": decoded.unread,
                "differences": wrong,
                "doubt": doubt,
            }
        )
        return not wrong
    rows: list[tuple[str, str, str, str]] = []
    for quantity in dict.fromkeys([*decoded.values, *decoded.flaws]):
        flaw = decoded.flaws.get(quantity)
        rows.append(
            (
                quantity,
                _shown(decoded.values.get(quantity), words),
                QUANTITIES[quantity].unit,
                flaw.reason if flaw else "",
            )
        )
    rows += [(detail, _shown(value, words), "", words["detail"]) for detail, value in decoded.details.items()]
    columns = [words[name] for name in ("quantity", "value", "unit", "flaw")]
    terminal.out.print(terminal.table(profile.title, columns, rows, right=(1,)))
    for line in [*decoded.unread, *wrong, *filter(None, [doubt])]:
        terminal.say(line)
    if recording.expect is not None and not wrong:
        terminal.say(words["right"])
    return not wrong


def read_recording(path: Path) -> Recording:
    """A recording (YAML as in tests/recordings), or lines "FUNCTION ADDRESS: WORDS" or "TOPIC PAYLOAD".

    Raises InputError for anything else.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: larger than {_LARGEST >> 20} MiB; cut out what you want to see")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text; write register words in hex, one block per line") from None
    if re.search(r"^(blocks|messages):", text, re.MULTILINE):
        return _from_yaml(raw, path)
    blocks, messages = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        topic, _, payload = line.partition(" ")
        if match:
            blocks.append((int(match["function"]), int(match["address"], 0), _hex(match["words"], f"{path}:{number}")))
        elif "/" in topic and payload:
            messages.append((topic, payload.encode()))
        else:
            raise InputError(
                f"{path}:{number}: neither registers such as '4 0x0000: 4366 3334' nor a message such as 'a/b {{...}}'"
            )
    return Recording({}, blocks, messages, None, ())


def _from_yaml(raw: bytes, path: Path) -> Recording:
    try:
        content = parse_document(raw, path.name).content
        blocks = [
            (int(block["function"]), int(str(block["address"]), 0), _hex(str(block["words"]), path.name))
            for block in content.get("blocks", ())
        ]
        messages = [(str(one["topic"]), str(one["payload"]).encode()) for one in content.get("messages", ())]
        return Recording(
            content.get("device", {}), blocks, messages, content.get("expect"), tuple(content.get("flawed", ()))
        )
    except ConfigError as error:
        raise InputError(str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not a recording; it needs blocks: or messages: as in docs/new-meter.md ({error})"
        ) from None


def _hex(words: str, where: str) -> bytes:
    try:
        return bytes.fromhex(words)
    except ValueError:
        raise InputError(f"{where}: {words[:40]!r} is no row of words in hex") from None


def decode_recording(profile: Profile, recording: Recording) -> Decoded:
    """What ``profile`` makes of ``recording``. Raises InputError where the two do not go together."""
    found = Decoded({}, {}, {}, [])
    device = _device(recording)
    part = decode_blocks(profile, device, recording.blocks)
    found.values.update(part.values)
    found.flaws.update(part.flaws)
    found.details.update(part.details)
    readers = dict(topics_of(profile, device, ZoneInfo("UTC")))
    for topic, payload in recording.messages:
        reader = readers.get(topic)
        if reader is None:
            found.unread.append(f"{topic}: the profile has no such topic for device {device.topic!r}")
            continue
        try:
            decoded = reader.decode_all(payload)
        except BadFrame as error:
            found.unread.append(f"{topic}: {error}")
            continue
        found.values.update(decoded.values)
        found.flaws.update(decoded.flaws)
        found.details.update(decoded.details)
    return found


def _device(recording: Recording) -> Device:
    settings = {"id": "device", "kind": "electricity", "litres_per_pulse": 1.0, **recording.device}
    if "topic" not in settings and recording.messages:
        settings["topic"] = _topic_in(recording.messages[0][0])
    try:
        return Device.model_validate(settings)
    except ValueError as error:
        raise InputError(f"device: of the recording is not right: {error}") from None


def _topic_in(topic: str) -> str:
    """The device's name in a topic of one of the usual forms; a recording names it where this is not enough."""
    parts = topic.split("/")
    if parts[0] in ("tele", "stat", "shellies", "zigbee2mqtt", "wmbusmeters") and len(parts) > 1:
        return "/".join(parts[1:]) if parts[0] == "zigbee2mqtt" and parts[-1] != "availability" else parts[1]
    return parts[0]


def _differences(recording: Recording, decoded: Decoded, words: Mapping[str, str]) -> list[str]:
    assert recording.expect is not None
    names = dict.fromkeys([*recording.expect, *decoded.values])
    wrong = [
        words["differs"].format(
            name=name,
            found=_shown(decoded.values.get(name), words),
            expected=_shown(recording.expect.get(name), words),
        )
        for name in names
        if not same(decoded.values.get(name), recording.expect.get(name))
    ]
    if set(recording.flawed) != set(decoded.flaws):
        found, expected = (", ".join(one) or words["none"] for one in (decoded.flaws, recording.flawed))
        wrong.append(words["differs"].format(name=words["flawed"], found=found, expected=expected))
    return wrong


def _shown(value: object, words: Mapping[str, str]) -> str:
    if value is None:
        return words["nothing"]
    return f"{value:.10g}" if isinstance(value, float) else str(value)
