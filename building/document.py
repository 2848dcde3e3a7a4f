"""A YAML file as plain objects, with the line of everything in it.

Stricter than YAML 1.1 where that surprises people: ``on`` and ``13:30`` are text, a date is text, a key may stand once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from building.errors import ConfigError, shown

Where = tuple[str | int, ...]
"""A place in the document: ("devices", 3, "unit")."""

LARGEST_FILE: Final = 4_000_000  # bytes; 500 meters need about 100 kB
_MOST_NODES: Final = 1_000_000  # aliases may repeat a node; this stops a file that unfolds without end

_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})$")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,16}$")
# A number that begins with a zero, such as a meter's 000012345678, is a name and stays text.
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_PLAIN_TAG: Final = re.compile(r"!$|tag:yaml\.org,2002:\w+$")
_WORDS: Final[Mapping[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TOO_DEEP: Final = "is nested too deeply, or an alias contains itself; write it flat and without aliases"
_NUMBERED_NAMES: Final = frozenset({"id", "zone", "department", "parent", "link", "topic", "name"})
"""Keys whose values are names even when they look like numbers: zone 301 is "301"."""


@dataclass(frozen=True)
class Document:
    """The content of one YAML file, where each part of it stands, and what is odd about it as YAML.

    ``mistakes`` (line, sentence) is empty but for a document read with ``tolerant``.
    """

    name: str
    content: Any
    lines: Mapping[Where, int]
    mistakes: tuple[tuple[int, str], ...] = ()

    def line(self, where: Where) -> int:
        """Line of ``where``, or of the nearest thing around it; from 1."""
        while where not in self.lines and where:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: Where, sentence: str) -> str:
        """``sentence`` led by file, line and, inside a list, the id of the entry: what a person needs to mend it."""
        entry = self.entry(where)
        return f"{self.name}:{self.line(where)}: {entry}{sentence}"

    def entry(self, where: Where) -> str:
        """``device 'light-301': `` for a place inside a list entry that has an id; else empty."""
        if len(where) >= 2 and isinstance(where[1], int):
            single = str(where[0]).removesuffix("s")
            try:
                ident = self.content[where[0]][where[1]]["id"]
            except (KeyError, TypeError, IndexError):
                return f"{single} number {where[1] + 1}: "
            return f"{single} {shown(ident)}: "
        return ""

    def entries(self, key: str) -> list[tuple[Where, Mapping[str, Any]]]:
        """The mappings in the list ``key``, each with its place; tolerant, for checks that run beside others."""
        found = self.content.get(key) if isinstance(self.content, Mapping) else None
        if not isinstance(found, tuple):
            return []
        return [((key, number), item) for number, item in enumerate(found) if isinstance(item, Mapping)]

    def section(self, key: str) -> Mapping[str, Any]:
        """The mapping ``key``, or an empty one; tolerant, like ``entries``."""
        found = self.content.get(key) if isinstance(self.content, Mapping) else None
        return found if isinstance(found, Mapping) else {}


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Where, int] = {}
        self.mistakes: list[tuple[int, str]] = []
        self._nodes = 0

    def read(self, node: yaml.Node, where: Where, key: str = "") -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise ConfigError(f"{self.name}:1: unfolds to more than {_MOST_NODES} parts; write it without aliases")
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        if node.tag and not _PLAIN_TAG.match(node.tag):
            self.mistakes.append((line, f"the tag {shown(node.tag)} has no meaning here; leave it out"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.read(child, (*where, number), key) for number, child in enumerate(node.value))
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, key)

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.mistakes.append((line, "a key must be a single word; put text with brackets or braces in quotes"))
                continue
            key = str(key_node.value)
            if key in content:
                self.mistakes.append((line, f"the key {shown(key)} stands twice; keep one"))
                continue
            self.lines[(*where, key)] = line
            content[key] = self.read(value_node, (*where, key), key)
        return content

    def _scalar(self, node: yaml.ScalarNode, key: str) -> Any:
        text = str(node.value)
        if node.style is not None or node.tag == "!":
            return text
        if text in _WORDS:
            return _WORDS[text]
        if key in _NUMBERED_NAMES:
            return text
        if _INT.match(text):
            return int(text)
        if _HEX.match(text):
            return int(text, 16)
        return float(text) if _FLOAT.match(text) else text


def read_document(path: Path, *, name: str | None = None, tolerant: bool = False) -> Document:
    """The YAML file at ``path``. Raises ConfigError with one sentence when it is no readable YAML mapping.

    With ``tolerant``, mistakes that leave the rest readable (a key that stands twice) are kept in the document, so
    that they can be told together with others.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)  # never all of what may have no end
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from None
    return parse_document(raw, name or path.name, tolerant=tolerant)


def parse_document(raw: bytes, name: str, *, tolerant: bool = False) -> Document:
    """Like ``read_document``, from bytes already at hand."""
    if len(raw) > LARGEST_FILE:
        raise ConfigError(f"{name}:1: is larger than the {LARGEST_FILE} bytes a configuration may have")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_sentence(name, error, text)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{name}:{line}: holds a character that text may not have; save the file as text") from None
    except RecursionError:
        raise ConfigError(f"{name}:1: {_TOO_DEEP}") from None
    except (ValueError, OverflowError):  # PyYAML lets an escape such as "\UFFFFFFFF" fall through
        raise ConfigError(f"{name}:1: holds an escape or a number that stands for nothing") from None
    if node is None:
        raise ConfigError(f"{name}:1: the file is empty; start from the sample devices.yaml")
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name}:{node.start_mark.line + 1}: expected keys such as 'site:' and 'devices:' at the top")
    reader = _Reader(name)
    try:
        content = reader.read(node, ())
    except RecursionError:
        raise ConfigError(f"{name}:1: {_TOO_DEEP}") from None
    if reader.mistakes and not tolerant:
        raise ConfigError(*(f"{name}:{line}: {sentence}" for line, sentence in reader.mistakes))
    return Document(name, content, reader.lines, tuple(reader.mistakes))


def _sentence(name: str, error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())] or "\\t" in str(error.problem):
        return f"{name}:{line}: a tab stands where YAML wants spaces; indent with spaces"
    told = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{name}:{line}: not readable as YAML ({told}); check quotes, brackets and indentation here and above"
