"""M-Bus (EN 13757-2 and -3): frames, and the values in a meter's answer. Pure.

    68 L L 68  C A CI  data  CS 16        CS = sum of C to the last data byte, mod 256

The data of CI 72 is a header and records, each: DIF (length and kind), DIFEs (storage, tariff, sub-unit), VIF and VIFEs
(what, unit, corrections), value lowest byte first. CI 73 is the older fixed structure of two counters. A record that
cannot be read ends the list; what stands before it is kept.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from building.errors import BadFrame
from collector.links.summed import BEGIN, is_summed, sound_frames
from collector.mbus_units import Meaning, fixed_meaning, meaning, medium_of

_VARIABLE: Final = 0x72
_FIXED: Final = 0x73
_GENERAL_ERROR: Final = 0x70
_HEADER: Final = 12  # bytes of the header of the variable structure
_SIZES: Final = (0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, 0, 6)  # bytes by data field; 0xD says its own
_FUNCTIONS: Final = ("Instantaneous value", "Maximum value", "Minimum value", "Value during error state")
_MAKERS: Final = "Manufacturer specific"
_MOST_EXTENSIONS: Final = 10
_MOMENTS: Final = ((0, 0x6D), (0xFD, 0x30), (0xFD, 0x70))
_BITS: Final = ((0xFD, 0x17), (0xFD, 0x18), (0xFD, 0x1A), (0xFD, 0x1B))  # flags and contacts have no sign
_NOTHING: Final = Fraction(0)

CIPHERS: Final = (5, 7, 8, 13)
"""Security modes in use, of those that encipher."""

PHASE: Final = 0xFC
"""The VIFE whose next one is the phase, 1 to 3."""


class Record(NamedTuple):
    """One value of an answer, in the plain unit; ``value`` is None where the digits or bits are no number.

    ``tariff`` and ``subunit`` are None where the record has no place for them. ``qualifiers`` are the VIFEs that say
    more than unit and correction; a 0xFF among them says that the maker defined those behind it.
    """

    function: str
    storage: int
    quantity: str
    unit: str
    value: float | str | None
    tariff: int | None = None
    subunit: int | None = None
    qualifiers: tuple[int, ...] = ()
    key: str = ""  # DIF, DIFEs, VIF, VIFEs in hex

    @property
    def phase(self) -> int | None:
        """1 to 3 for a value of one phase, as the standard says it or, by habit, a maker's own VIFE."""
        for first, second in zip(self.qualifiers, self.qualifiers[1:], strict=False):
            if first in (PHASE, 0xFF) and 1 <= second & 0x7F <= 3:
                return second & 0x7F
        return None


class Telegram(NamedTuple):
    """What a meter said of itself and of its values. ``trouble`` says why the rest of the records could not be read."""

    ident: str  # digits, usually as on the plate
    manufacturer: str  # three letters
    version: int
    medium: int
    access: int
    status: int
    records: tuple[Record, ...]
    trouble: str = ""

    @property
    def medium_name(self) -> str:
        """The kind of meter in words."""
        return medium_of(self.medium)


class Frame(NamedTuple):
    """A sound long frame."""

    control: int
    address: int
    information: int  # CI
    data: bytes


# -- frames -----------------------------------------------------------------------------------------------------------


def short_frame(control: int, address: int) -> bytes:
    """A frame without data, as a master sends it: SND_NKE is 40, REQ_UD2 5B or 7B."""
    return bytes([0x10, control, address, (control + address) & 0xFF, 0x16])


def frames(heard: bytes) -> Iterator[Frame]:
    """Every sound long frame in ``heard``, whatever stands between them."""
    return sound_frames(heard, _frame)


def _frame(heard: bytes, at: int) -> tuple[Frame, int] | None:
    if len(heard) < at + 9 or heard[at + 3] != BEGIN or heard[at + 1] != heard[at + 2] or heard[at + 1] < 3:
        return None
    end = at + 4 + heard[at + 1]
    if not is_summed(heard, at + 4, end):
        return None
    return Frame(heard[at + 4], heard[at + 5], heard[at + 6], bytes(heard[at + 7 : end])), end + 1


def read_frame(heard: bytes) -> Telegram:
    """What the first sound frame in ``heard`` says. Raises BadFrame where there is none, or it holds no values."""
    frame = next(frames(heard), None)
    if frame is None:
        raise BadFrame(f"no sound M-Bus frame in {len(heard)} bytes")
    return read_answer(frame)


def read_answer(frame: Frame) -> Telegram:
    """What ``frame`` says. Raises BadFrame where it holds no values."""
    if frame.information == _VARIABLE:
        return read_variable(frame.data)
    if frame.information == _FIXED:
        return _fixed(frame.data)
    if frame.information == _GENERAL_ERROR:
        code = f" {frame.data[0]}" if frame.data else ""
        raise BadFrame(f"the meter answers with an application error{code}")
    raise BadFrame(f"an M-Bus frame of kind CI {frame.information:02X} holds no values that are known here")


def read_variable(data: bytes) -> Telegram:
    """The variable data structure with its long header. Raises BadFrame when it is shorter than that."""
    if len(data) < _HEADER:
        raise BadFrame("the M-Bus header is cut short")
    mode = data[11] & 0x1F
    # Older meters leave anything in these bytes; who deciphered the values on the way leaves the mode, and 2F 2F.
    if mode in CIPHERS and data[_HEADER : _HEADER + 2] != b"\x2f\x2f":
        raise BadFrame(f"the values are enciphered (mode {mode}); they need the meter's key")
    records, trouble = read_records(data[_HEADER:])
    return Telegram(
        ident_of(data[:4]), manufacturer_of(data[4:6]), data[6], data[7], data[8], data[9], records, trouble
    )


def ident_of(raw: bytes) -> str:
    """Eight digits, lowest byte first."""
    return raw[::-1].hex().upper()


def manufacturer_of(raw: bytes) -> str:
    """Three letters of five bits each."""
    packed = int.from_bytes(raw, "little")
    return "".join(chr((packed >> shift & 0x1F) + 64) for shift in (10, 5, 0))


def _fixed(data: bytes) -> Telegram:
    """Two counters; the medium is spread over the top bits of the two unit bytes."""
    if len(data) < 16:
        raise BadFrame("the M-Bus answer is cut short")
    status, first, second = data[5], data[6], data[7]
    function = "Stored value" if status & 0x02 else "Actual value"
    told = fixed_meaning(first & 0x3F)
    records = []
    for code, raw in ((first, data[8:12]), (second, data[12:16])):
        told = told if code & 0x3F == 0x3E else fixed_meaning(code & 0x3F)  # 3E: the same, earlier
        number = int.from_bytes(raw, "little", signed=True) if status & 0x01 else _digits(raw)
        records.append(
            Record(function, int(code & 0x3F == 0x3E), told.quantity, told.unit, _scaled(number, told.factor))
        )
    medium = (first >> 6) | (second >> 6) << 2
    return Telegram(ident_of(data[:4]), "", 0, medium, data[4], status, tuple(records))


# -- records ----------------------------------------------------------------------------------------------------------


def read_records(data: bytes) -> tuple[tuple[Record, ...], str]:
    """The records in ``data``, and why it ended before the end; empty when it did not."""
    found: list[Record] = []
    at = 0
    while at < len(data):
        if data[at] == 0x2F:  # filler
            at += 1
            continue
        if data[at] in (0x0F, 0x1F):
            function = _MAKERS if data[at] == 0x0F else "More records follow"
            found.append(Record(function, 0, "", "", data[at + 1 :].hex(" ").upper(), key=f"{data[at]:02X}"))
            break
        try:
            record, at = _record(data, at)
        except (IndexError, BadFrame) as error:
            return tuple(found), str(error) if isinstance(error, BadFrame) else "a record is cut short"
        found.append(record)
    return tuple(found), ""


def _record(data: bytes, at: int) -> tuple[Record, int]:
    """The record at ``at``, and where the next begins. Raises IndexError where it is cut short, BadFrame."""
    start, dif = at, data[at]
    kind = dif & 0x0F
    if kind == 0x0F:
        raise BadFrame(f"a record begins with DIF {dif:02X}, which is reserved")
    difes, at = _extensions(data, at, dif)
    storage, tariff, subunit = dif >> 6 & 1, 0, 0
    for number, one in enumerate(difes):
        storage |= (one & 0x0F) << 1 + 4 * number
        tariff |= (one >> 4 & 0x03) << 2 * number
        subunit |= (one >> 6 & 0x01) << number
    about, at = _information(data, at)
    key = data[start:at].hex().upper()
    length = 0
    if kind == 0x0D:
        length, at = data[at], at + 1
    size = _variable_size(length) if kind == 0x0D else _SIZES[kind]
    raw = data[at : at + size]
    if len(raw) < size:
        raise BadFrame(f"record {key} is cut short")
    value: float | str | None = _text_value(kind, length, raw, about.code)
    if value is None:
        value = _scaled(_number(kind, length, raw, about.code), about.told.factor * about.factor, about.shift)
    function = _FUNCTIONS[dif >> 4 & 3]
    places = (tariff, subunit) if difes else (None, None)
    told = about.told
    return Record(function, storage, told.quantity, told.unit, value, places[0], places[1], about.rest, key), at + size


def _extensions(data: bytes, at: int, byte: int) -> tuple[list[int], int]:
    """The bytes behind ``at`` that the top bit of ``byte``, and theirs, announce; and where they end."""
    found: list[int] = []
    while byte & 0x80:
        at += 1
        byte = data[at]
        found.append(byte)
        if len(found) > _MOST_EXTENSIONS:
            raise BadFrame("a record has more extensions than the standard knows")
    return found, at + 1


class _About(NamedTuple):
    """What VIF and VIFEs say: value = raw x (meaning's factor x ``factor``) + ``shift``."""

    told: Meaning
    code: tuple[int, int]  # FD, FB or 0, and the seven bits
    factor: Fraction
    shift: Fraction
    rest: tuple[int, ...]


def _information(data: bytes, at: int) -> tuple[_About, int]:
    vif = data[at]
    extension, code = 0, vif & 0x7F
    named: Meaning | None = None
    if code == 0x7C:  # the unit is a text, last letter first, and stands between VIF and VIFEs
        length = data[at + 1]
        text = data[at + 2 : at + 2 + length]
        if len(text) < length:
            raise BadFrame("the text of a unit is cut short")
        named, at = Meaning(_text(text), "-", Fraction(1)), at + 1 + length
    vifes, at = _extensions(data, at, vif)
    if vif in (0xFD, 0xFB):
        extension, code, vifes = vif, vifes[0] & 0x7F, vifes[1:]
    factor, shift = Fraction(1), Fraction(0)
    rest: list[int] = []
    for place, one in enumerate(vifes):
        code_of_it = one & 0x7F
        if code_of_it == 0x7F or code == 0x7F:  # from here on they are the maker's own
            rest += vifes[place:]
            break
        if 0x70 <= code_of_it <= 0x77:
            factor *= Fraction(10) ** (code_of_it - 0x76)
        elif 0x78 <= code_of_it <= 0x7B:
            shift += Fraction(10) ** (code_of_it - 0x7B)
        elif code_of_it == 0x7D:
            factor *= 1000
        else:
            rest.append(one)
    told = named or meaning(code, extension)
    return _About(told, (extension, code), factor, shift * told.factor, tuple(rest)), at


# -- values -----------------------------------------------------------------------------------------------------------


def _variable_size(length: int) -> int:
    """Bytes behind the length byte of a value of variable length."""
    if length <= 0xBF:
        return length
    if length <= 0xDF:
        return length & 0x0F  # two digits a byte
    if length <= 0xEF:
        return length - 0xE0
    if length <= 0xF4:
        return 4 * (length - 0xEC)
    if length in (0xF5, 0xF6):
        return 48 if length == 0xF5 else 64
    raise BadFrame(f"the length byte {length:02X} is reserved")


def _text_value(kind: int, length: int, raw: bytes, code: tuple[int, int]) -> str | None:
    """Words, dates and long bit fields; None for what is a number."""
    if kind == 0x0D and length <= 0xBF:
        return _text(raw)
    if kind == 0x0D and length >= 0xE0:
        return raw[::-1].hex(" ").upper()
    if kind == 2 and code in ((0, 0x6C), *_MOMENTS):
        return _date(raw)
    if kind == 4 and code in _MOMENTS:
        return _moment(raw[0], raw[1], raw[2:], None)
    if kind == 6 and code in _MOMENTS:
        return _moment(raw[1], raw[2], raw[3:5], raw[0])
    return None


def _text(raw: bytes) -> str:
    return raw[::-1].decode("latin-1").strip("\x00 \t\r\n")


def _date(raw: bytes) -> str:
    year, month, day = _calendar(raw)
    return f"{2000 + year:04d}-{month:02d}-{day:02d}"


def _calendar(raw: bytes) -> tuple[int, int, int]:
    return raw[0] >> 5 | (raw[1] & 0xF0) >> 1, raw[1] & 0x0F, raw[0] & 0x1F


def _moment(minute: int, hour: int, date: bytes, second: int | None) -> str:
    """Wall-clock time of the meter, as it stands there; empty where the meter marks it as not valid."""
    if minute & 0x80:
        return ""
    year, month, day = _calendar(date)
    century = 100 * (hour >> 5 & 3) if second is None else 100
    if not century and year <= 80:  # older meters have two digits only
        century = 100
    seconds = 0 if second is None else second & 0x3F
    return f"{1900 + century + year:04d}-{month:02d}-{day:02d}T{hour & 0x1F:02d}:{minute & 0x3F:02d}:{seconds:02d}"


def _number(kind: int, length: int, raw: bytes, code: tuple[int, int]) -> float | None:
    if kind in (0, 8):
        return None
    if kind == 5:
        (real,) = struct.unpack("<f", raw)
        return float(real) if math.isfinite(real) else None
    if kind == 0x0D:
        number = _digits(raw)
        return -number if number is not None and length >= 0xD0 else number
    if kind >= 9:
        return _digits(raw)
    return int.from_bytes(raw, "little", signed=code not in _BITS)


def _digits(raw: bytes) -> int | None:
    """A number in BCD, lowest byte first; F in the first place says minus. None for other letters among the digits."""
    text = raw[::-1].hex()
    minus = text.startswith("f")
    text = text[1:] if minus else text
    if not text.isdecimal():
        return None
    return -int(text) if minus else int(text)


def _scaled(number: float | None, factor: Fraction, shift: Fraction = _NOTHING) -> float | None:
    if number is None:
        return None
    value = number * factor.numerator / factor.denominator
    return float(value + float(shift) if shift else value)
