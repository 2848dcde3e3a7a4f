"""YAML files as plain objects with lines."""

from __future__ import annotations

import pytest

from building.document import parse_document
from building.errors import ConfigError, shown


def _content(text: str) -> object:
    return parse_document(text.encode(), "page.yaml").content


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("13:30", "13:30"), ("2026-10-01", "2026-10-01"),
        ("5", 5), ("-5", -5), ("0x48", 72), ("1e3", 1000.0), ("4.10", 4.1), (".5", 0.5), ("true", True), ("~", None),
        ("007", "007"), ("000012345678", "000012345678"), ('"5"', "5"), ("1_000", "1_000"), ("", None),
    ],
)  # fmt: skip
def test_a_plain_word_is_what_it_looks_like_to_people(text: str, value: object) -> None:
    found = _content(f"a: {text}")["a"]  # type: ignore[index]
    assert (found, type(found)) == (value, type(value))


def test_everything_knows_its_line() -> None:
    document = parse_document(b"a: 1\nb:\n  - c: 2\n    d: 3\n", "page.yaml")
    assert [document.line(where) for where in (("a",), ("b",), ("b", 0, "d"), ("b", 0, "x", "y"), ("none",))] == [
        1, 2, 4, 3, 1,
    ]  # fmt: skip


def test_a_key_that_stands_twice_is_told_and_the_first_kept() -> None:
    with pytest.raises(ConfigError, match=r"page\.yaml:2: the key 'a' stands twice; keep one"):
        _content("a: 1\na: 2\n")
    document = parse_document(b"a: 1\na: 2\n", "page.yaml", tolerant=True)
    assert (document.content, document.mistakes) == ({"a": 1}, ((2, "the key 'a' stands twice; keep one"),))


def test_an_alias_repeats_what_it_names() -> None:
    assert _content("a: &hours [1, 2]\nb: *hours\n") == {"a": (1, 2), "b": (1, 2)}


def test_a_sentence_shows_values_short_and_contents_not_at_all() -> None:
    assert shown({"password": "hunter2"}) == "a set of keys"
    assert shown(("hunter2",)) == "a list"
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 10_000)) < 100
    assert shown(10**5000) == "a very large number"
