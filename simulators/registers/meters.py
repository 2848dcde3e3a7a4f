"""Maps of electricity meters, written by hand from the makers' register lists. Addresses are those on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simulators.registers.tables import Row, Table, length


def _run(first: int, names: str, form: str, factor: float = 1.0, step: int | None = None) -> Iterator[Row]:
    """Values one behind the other; ``step`` registers apart where there is room between them."""
    apart = step or length(form)
    for number, name in enumerate(names.split()):
        yield first + number * apart, name, form, factor


def _rows(*runs: Iterator[Row]) -> tuple[Row, ...]:
    return tuple(row for run in runs for row in run)


_THREE_V, _THREE_I, _THREE_P = "v1 v2 v3", "i1 i2 i3", "p1 p2 p3"

EASTRON_1: Final = Table(
    _rows(
        _run(0x00, "v", "f32"), _run(0x06, "i1p", "f32"), _run(0x0C, "p", "f32"), _run(0x12, "s", "f32"),
        _run(0x18, "q", "f32"), _run(0x1E, "pf", "f32"), _run(0x46, "hz imp exp rimp rexp", "f32"),
        _run(0x156, "imp", "f32"), _run(0x180, "zero", "f32"),
    ), (4,), most=80,
)  # fmt: skip
EASTRON_3: Final = Table(
    _rows(
        _run(0x00, _THREE_V, "f32"), _run(0x06, _THREE_I, "f32"), _run(0x0C, _THREE_P, "f32"),
        _run(0x12, "s1 s2 s3", "f32"), _run(0x18, "q1 q2 q3", "f32"), _run(0x1E, "pf1 pf2 pf3", "f32"),
        _run(0x30, "i", "f32"), _run(0x34, "p", "f32"), _run(0x38, "s", "f32"), _run(0x3C, "q pf", "f32"),
        _run(0x46, "hz imp exp rimp rexp", "f32"), _run(0x156, "imp", "f32"),
        _run(0x15A, "imp1 imp2 imp3 exp1 exp2 exp3 imp1 imp2 imp3", "f32"), _run(0x180, "zero", "f32"),
    ), (4,), most=80,
)  # fmt: skip
SCHNEIDER: Final = Table(
    _rows(
        _run(0x0BB7, _THREE_I, "f32"), _run(0x0BD3, _THREE_V, "f32"), _run(0x0BED, "p1 p2 p3 p", "f32", 0.001),
        _run(0x0BFB, "q", "f32", 0.001), _run(0x0C03, "s", "f32", 0.001), _run(0x0C0B, "pf", "f32"),
        _run(0x0C25, "hz", "f32"), _run(0x0C83, "imp exp", "s64", 1000), _run(0x0C93, "rimp rexp", "s64", 1000),
        _run(0x0DBD, "imp1 imp2 imp3", "s64", 1000),
    )
)  # fmt: skip
ABB: Final = Table(
    _rows(
        _run(0x5000, "imp exp", "u64", 100), _run(0x5460, "imp1 imp2 imp3 exp1 exp2 exp3", "u64", 100),
        _run(0x5B00, _THREE_V, "u32", 10), _run(0x5B0C, _THREE_I, "u32", 100), _run(0x5B14, "p p1 p2 p3", "s32", 100),
        _run(0x5B2C, "hz", "u16", 100), _run(0x5B3A, "pf pf1 pf2 pf3", "s16", 1000),
        _run(0x8EFF, "zero", "u16"),
    )
)  # fmt: skip
_GAVAZZI = (
    *_run(0x00, _THREE_V, "s32", 10), *_run(0x0C, _THREE_I, "s32", 1000), *_run(0x12, _THREE_P, "s32", 10),
    *_run(0x28, "p", "s32", 10),
)  # fmt: skip
EM24: Final = Table(
    (
        *_GAVAZZI, *_run(0x32, "pf1 pf2 pf3 pf", "s16", 1000), *_run(0x37, "hz", "u16", 10),
        *_run(0x42, "imp", "s32", 10), *_run(0x46, "imp1 imp2 imp3", "s32", 10), *_run(0x5C, "exp", "s32", 10),
    ), (4,), low_word_first=True, most=50,
)  # fmt: skip
EM340: Final = Table(
    (
        *_GAVAZZI, *_run(0x2E, "pf1 pf2 pf3 pf", "s16", 1000), *_run(0x32, "zero", "u16"),
        *_run(0x33, "hz", "u16", 10), *_run(0x34, "imp", "s32", 10), *_run(0x40, "imp1 imp2 imp3", "s32", 10),
        *_run(0x4E, "exp", "s32", 10),
    ), (3, 4), low_word_first=True, most=50,
)  # fmt: skip
JANITZA: Final = Table(
    _rows(
        _run(19000, _THREE_V, "f32"), _run(19012, "i1 i2 i3 i", "f32"), _run(19020, "p1 p2 p3 p", "f32"),
        _run(19028, "s1 s2 s3 s", "f32"), _run(19036, "q1 q2 q3 q", "f32"), _run(19044, "pf1 pf2 pf3", "f32"),
        _run(19050, "hz one", "f32"), _run(19054, "imp1 imp2 imp3 imp", "f32", 1000),
        _run(19062, "imp1 imp2 imp3 imp", "f32", 1000), _run(19070, "exp1 exp2 exp3 exp", "f32", 1000),
    )
)  # fmt: skip
DTSU666: Final = Table(
    _rows(
        _run(0x0006, "one", "u16"), _run(0x0007, "one", "u16", 10),
        _run(0x101E, "imp imp1 imp2 imp3", "f32"), _run(0x1028, "exp exp1 exp2 exp3", "f32"),
        _run(0x2006, _THREE_V, "f32", 10), _run(0x200C, _THREE_I, "f32", 1000), _run(0x2012, "p p1 p2 p3", "f32", 10),
        _run(0x201A, "q q1 q2 q3", "f32", 10), _run(0x202A, "pf pf1 pf2 pf3", "f32", 1000),
        _run(0x2044, "hz", "f32", 100), _run(0x401E, "imp imp1 imp2 imp3", "f32"),
        _run(0x4028, "exp exp1 exp2 exp3", "f32"),
    ), secondary=True,
)  # fmt: skip
DDSU666: Final = Table(
    _rows(
        _run(0x2000, "v i1p", "f32"), _run(0x2004, "p q", "f32", 0.001), _run(0x200A, "pf", "f32"),
        _run(0x200E, "hz", "f32"), _run(0x4000, "imp", "f32"), _run(0x400A, "exp", "f32"),
    )
)  # fmt: skip
ACREL_DTSD: Final = Table(
    _rows(
        _run(0x0A, "imp", "u32", 100), _run(0x14, "exp", "u32", 100), _run(0x61, _THREE_V, "u16", 10),
        _run(0x64, _THREE_I, "u16", 100), _run(0x77, "hz", "u16", 100), _run(0x164, "p1 p2 p3 p", "s32", 1),
        _run(0x17F, "pf", "s16", 1000),
    ), top_kwh=(1 << 32) / 100, secondary=True,
)  # fmt: skip
ACREL_ADW: Final = Table(
    _rows(
        _run(20, _THREE_V, "u16", 10), _run(26, _THREE_I, "u16", 100), _run(30, "p1 p2 p3 p", "s32"),
        _run(62, "imp exp", "s32", 100),
    )
)  # fmt: skip
FINDER: Final = Table(
    _rows(
        _run(2500, _THREE_V, "f32"), _run(2516, _THREE_I, "f32"), _run(2530, "p1 p2 p3 p", "f32"),
        _run(2538, "q1 q2 q3 q", "f32"), _run(2546, "s1 s2 s3 s", "f32"), _run(2554, "pf1 pf2 pf3 pf", "f32"),
        _run(2584, "hz", "f32"), _run(2752, "imp rimp exp rexp", "f32", 1000),
    ), (4,),
)  # fmt: skip
PAC: Final = Table(
    _rows(
        _run(1, _THREE_V, "f32"), _run(13, _THREE_I, "f32"), _run(25, _THREE_P, "f32"), _run(31, "q1 q2 q3", "f32"),
        _run(37, "pf1 pf2 pf3", "f32"), _run(55, "hz", "f32"), _run(63, "s p q pf", "f32"),
        _run(801, "imp zero exp zero", "f64", 1000),
    ), (3, 4), whole=True,
)  # fmt: skip
PAC1600: Final = Table(
    _rows(
        _run(1, _THREE_V, "u32", 100), _run(7, _THREE_I, "u32", 10_000), _run(19, _THREE_P, "s32", 100),
        _run(49, "hz", "u32", 100), _run(57, "p", "s32", 100), _run(6687, "imp exp", "u32", 1000),
    ), holes="refused", top_kwh=(1 << 32) / 1000,
)  # fmt: skip
ORNO: Final = Table(
    _rows(
        _run(0x0E, "v1 v2 v3 hz i1 i2 i3", "f32"), _run(0x1C, "p p1 p2 p3 q q1 q2 q3 s s1 s2 s3", "f32", 0.001),
        _run(0x34, "pf pf1 pf2 pf3", "f32"), _run(0x100, "imp imp1 imp2 imp3", "f32"),
        _run(0x108, "imp imp1 imp2 imp3", "f32"), _run(0x110, "exp exp1 exp2 exp3", "f32"),
    )
)  # fmt: skip
INEPRO: Final = Table(
    _rows(
        _run(0x5002, "v1 v2 v3 hz", "f32"), _run(0x500C, _THREE_I, "f32"), _run(0x5012, "p p1 p2 p3", "f32", 0.001),
        _run(0x502A, "pf pf1 pf2 pf3", "f32"), _run(0x6000, "imp", "f32"), _run(0x600C, "imp", "f32"),
        _run(0x6018, "exp", "f32"),
    )
)  # fmt: skip
PHOENIX: Final = Table(
    _rows(
        _run(0x8006, "v1 v2 v3 hz i1 i2 i3 i p", "f32"), _run(0x801E, _THREE_P, "f32"), _run(0x803D, "v", "f32"),
        _run(0x8100, "imp", "f32", 1000), _run(0x8106, "exp", "f32", 1000),
    ), low_word_first=True,
)  # fmt: skip
SHELLY_3EM: Final = Table(
    _rows(
        _run(1011, "i p s", "f32"),
        *(_run(1020 + 20 * n, f"v{n + 1} i{n + 1} p{n + 1} s{n + 1} pf{n + 1}", "f32") for n in range(3)),
        *(_run(1033 + 20 * n, "hz", "f32") for n in range(3)),
        _run(1162, "imp exp", "f32", 1000),
        *(_run(1170 + 20 * n, f"imp{n + 1} zero exp{n + 1}", "f32", 1000) for n in range(3)),
    ), (4,), low_word_first=True,
)  # fmt: skip
PZEM: Final = Table(
    _rows(
        _run(0, "v", "u16", 10), _run(1, "i1p", "u32", 1000), _run(3, "p", "u32", 10), _run(5, "imp", "u32", 1000),
        _run(7, "hz", "u16", 10), _run(8, "pf", "u16", 100), _run(9, "zero", "u16"),
    ), (4,), low_word_first=True, most=60, top_kwh=(1 << 32) / 1000,
)  # fmt: skip
DDS238: Final = Table(
    _rows(
        _run(0x00, "imp", "u32", 100), _run(0x08, "exp imp", "u32", 100), _run(0x0C, "v", "u16", 10),
        _run(0x0D, "i1p", "u16", 100), _run(0x0E, "p", "s16"), _run(0x0F, "q", "s16"), _run(0x10, "pf", "u16", 1000),
        _run(0x11, "hz", "u16", 100),
    ), top_kwh=(1 << 32) / 100,
)  # fmt: skip

MODELS: Final = (
    (r"sdm(120|220|230)", EASTRON_1),
    (r"sdm(630|72)", EASTRON_3),
    (r"iem3|pm5|schneider", SCHNEIDER),
    (r"abb|(^|_)b2[34]|a4[34]|m4m", ABB),
    (r"em24(?!_?eth)", EM24),
    (r"em(340|330|530|540)|et340|em24_?eth|gavazzi", EM340),
    (r"janitza|umg", JANITZA),
    (r"dtsu666", DTSU666),
    (r"ddsu666", DDSU666),
    (r"dtsd1352|adl400", ACREL_DTSD),
    (r"adw300", ACREL_ADW),
    (r"finder|7m_?(24|38)", FINDER),
    (r"pac1600|7kt", PAC1600),
    (r"pac2200|pac3[12]|pac3200|siemens_pac", PAC),
    (r"orno|we_?51[67]", ORNO),
    (r"inepro|pro380", INEPRO),
    (r"phoenix|eem", PHOENIX),
    (r"shelly.*3em.*modbus|shelly_pro_3em$", SHELLY_3EM),
    (r"pzem", PZEM),
    (r"dds238", DDS238),
)
"""What a profile's name tells of the model -> its table. The first that fits counts."""
