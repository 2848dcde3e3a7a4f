"""Messages on standard output, for the person who watches the program run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from rules.channels.message import Message

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class TerminalChannel:
    """Prints title and text. Names come from outside, so control characters are taken out."""

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self._write = write

    async def send(self, message: Message) -> str:
        self._write(_CONTROL.sub(" ", f"{message.title}\n  {message.text}"))
        return "shown"
