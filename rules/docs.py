"""The page about the rules, made from the catalogue so that it cannot go stale.

Run ``python -m rules.docs docs/rules.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from building.durations import format_duration
from rules.catalogue import CATALOGUE, Parameter, Rule, Text
from rules.catalogue.conditions import WORDS
from rules.catalogue.own import KEYS

_OWN = Text(
    "在 `devices.yaml` 的 `rules:` 里起一个新名字，写上 `when:`，就是本单位自己的规则。条件里可以用设备自己的量、"
    "`zone.量`（同一区域的设备）、`设备.量`，以及 {words}；用 `and`、`or`、`not` 和括号连接。可用的键：{keys}。",
    "A new name under `rules:` in `devices.yaml` with `when:` is a rule of your own. A condition may use the device's "
    "own quantities, `zone.quantity` (of the same zone), `device.quantity`, and {words}; join them by `and`, `or`, "
    "`not` and brackets. Keys: {keys}.",
)
_EXAMPLE = """```yaml
rules:
  server_room_warm:
    when: temperature > 28 or humidity > 70
    kind: sensor
    zones: [server]
    after: 10m
    clear: 5m
    severity: critical
    text: {zh: 机房过热, en: The server room is too warm}
```
"""


def page() -> str:
    """The whole page, Chinese first."""
    return "\n".join([*_part("zh"), *_part("en")])


def _part(language: str) -> Iterator[str]:
    zh = language == "zh"
    yield "# 规则\n" if zh else "# The rules\n"
    yield (
        "本页由规则目录生成，请勿手改。参数写在 `devices.yaml` 的 `rules:` 下；"
        "每条规则还接受 `enabled`、`zones`（按区域另设）和 `except`。\n"
        if zh
        else "This page is made from the catalogue; do not edit it. Parameters stand under `rules:` in `devices.yaml`; "
        "every rule also takes `enabled`, `zones` (numbers for single zones) and `except`.\n"
    )
    for rule in CATALOGUE.values():
        yield from _rule(rule, language)
    yield "## 自己的规则\n" if zh else "## Rules of your own\n"
    yield _OWN.of(language).format(
        words=", ".join(f"`{word}`" for word in WORDS), keys=", ".join(f"`{key}`" for key in KEYS)
    )
    yield ""
    yield _EXAMPLE


def _rule(rule: Rule, language: str) -> Iterator[str]:
    zh = language == "zh"
    yield f"## {rule.name}\n"
    yield f"{rule.sentence.of(language)} {rule.advice.of(language)}\n"
    yield f"- {'条款' if zh else 'Clause'}: {rule.clause.of(language)}"
    yield f"- {'设备' if zh else 'Devices'}: {', '.join(rule.kinds)}"
    yield f"- {'数据' if zh else 'Quantities'}: {', '.join(rule.quantities)}\n"
    yield ("| 参数 | 默认 | 范围 | 含义 |" if zh else "| parameter | default | range | meaning |")
    yield "|---|---|---|---|"
    for parameter in rule.parameters:
        low, high = _shown(parameter, parameter.low), _shown(parameter, parameter.high)
        default = _shown(parameter, parameter.default)
        yield f"| `{parameter.name}` | {default} | {low} … {high} | {parameter.sentence.of(language)} |"
    yield ""


def _shown(parameter: Parameter, value: float) -> str:
    return format_duration(value) if parameter.unit == "ms" else f"{value:g} {parameter.unit}".strip()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
