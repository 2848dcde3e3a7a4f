"""docs/meters.md, made from the pages: ``python -m collector.profiles.listing > docs/meters.md``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from collector.profiles import Profile, load_profile, profile_names

_SECTIONS: Final[tuple[tuple[str, Callable[[Profile], bool]], ...]] = (
    ("Electricity meters on Modbus", lambda page: page.protocol == "modbus" and "electricity" in page.kinds),
    ("Water meters and pulse counters on Modbus", lambda page: page.protocol == "modbus" and "water" in page.kinds),
    ("Air conditioners and thermostats on Modbus", lambda page: page.protocol == "modbus" and "aircon" in page.kinds),
    ("Sensors, relays and inputs on Modbus", lambda page: page.protocol == "modbus"),
    ("DL/T 645 and CJ/T 188", lambda page: page.protocol in ("dlt645", "cjt188")),
    ("Over MQTT", lambda page: page.protocol == "mqtt"),
)
_HEAD: Final = """\
# Devices that are known out of the box

Made from the pages in `collector/profiles/` by `python -m collector.profiles.listing`; do not edit it by hand.

Write the name in the first column behind `profile:` of a device. `greenwarden scan LINK` tells which one fits. A meter
that is not here takes ten minutes: see [new-meter.md](new-meter.md). Pages were written from makers' documents and
cross-read with what other projects do; their recordings in `tests/recordings/` are worked examples and words built by
hand. Compare three values with the display before you rely on one, and `greenwarden record` what you saw.
Devices that describe themselves for Home Assistant need no page: `greenwarden scan BROKER --write` makes one.
"""


def meters_page() -> str:
    """The whole of docs/meters.md."""
    pages = {name: load_profile(name) for name in profile_names()}
    text = [_HEAD]
    for title, belongs in _SECTIONS:
        chosen = {name: page for name, page in pages.items() if belongs(page)}
        pages = {name: page for name, page in pages.items() if name not in chosen}
        text += [f"## {title}\n", "| profile | devices | tells | source |", "|---|---|---|---|"]
        text += [_row(name, page) for name, page in chosen.items()]
        text.append("")
    return "\n".join(text)


def _row(name: str, page: Profile) -> str:
    devices = "; ".join(page.models) or page.title
    return f"| `{name}` | {devices} | {', '.join(_brief(page))} | {page.source} |".replace("\n", " ")


def _brief(page: Profile) -> list[str]:
    """Quantities, with the three phases of one as a word."""
    told: list[str] = []
    for name in page.quantities:
        base = name[:-3] if name.endswith(("_l1", "_l2", "_l3")) else name
        label = f"{base} per phase" if base != name else name
        if label not in told:
            told.append(label)
    return told


if __name__ == "__main__":
    sys.stdout.write(meters_page())
