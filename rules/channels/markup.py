"""Text from devices and rooms inside markdown, HTML and fixed sizes.

Names come from outside: whatever they hold is shown as it is and does nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final

from rules.channels.message import Entry, Message

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_FULL_WIDTH: Final = str.maketrans("<>@*`[]#_~|\\", "＜＞＠＊｀［］＃＿～｜＼")
_BARE_URL: Final = re.compile(r"(?i)\b(https?|ftp|dingtalk|wxwork|lark)(://)")


def one_line(text: str) -> str:
    """Without line breaks, control characters and marks that turn the direction of writing."""
    return " ".join(_CONTROL.sub(" ", text).split())


def plainly(text: str) -> str:
    """For the chat robots' markdown: no link, no heading, no mention, no tag.

    Their dialects differ in what they let one escape, so the letters that would do something become full-width ones.
    """
    return _BARE_URL.sub(r"\1 \2", one_line(text)).translate(_FULL_WIDTH)


def as_html(text: str) -> str:
    """Escaped for HTML, attributes too."""
    return html.escape(one_line(text), quote=True)


def as_markdown(message: Message, largest: int, *, heading: str = "### ") -> str:
    """The message in markdown of at most ``largest`` bytes of UTF-8; what does not fit is counted at the end."""
    head = f"{heading}{plainly(message.title)}"
    tail = [f"> {plainly(line)}" for line in message.footer]
    return fit(head, [_entry(entry) for entry in message.under_title()], tail, largest, message.language)


def _entry(entry: Entry) -> str:
    lines = [f"**{plainly(entry.title)}**"] if entry.title else []
    lines += [plainly(line) for line in entry.lines]
    if entry.links:
        lines.append(" | ".join(f"[{plainly(link.words)}]({link.url})" for link in entry.links))
    return "\n\n".join(lines)


def fit(head: str, parts: Iterable[str], tail: Iterable[str], largest: int, language: str) -> str:
    """Head, as many whole parts as fit into ``largest`` bytes, how many more there are, and the tail."""
    parts, end = list(parts), "".join(f"\n\n{line}" for line in tail)
    room = largest - len(head.encode()) - len(end.encode()) - 40  # 40 for the sentence about the rest
    taken = []
    for number, part in enumerate(parts):
        room -= len(part.encode()) + 2
        if room < 0:
            taken.append(and_more(len(parts) - number, language))
            break
        taken.append(part)
    return cut("\n\n".join([head, *taken]) + end, largest)


def and_more(count: int, language: str) -> str:
    """How many are not shown."""
    return f"…… 另有 {count} 条" if language == "zh" else f"… and {count} more"


def cut(text: str, largest: int) -> str:
    """At most ``largest`` bytes of UTF-8, never half a character."""
    raw = text.encode()
    return text if len(raw) <= largest else raw[: largest - 3].decode(errors="ignore") + "…"
