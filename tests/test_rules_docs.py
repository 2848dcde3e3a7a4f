"""The page about the rules is the catalogue's."""

from __future__ import annotations

from pathlib import Path

from rules.catalogue import CATALOGUE
from rules.docs import page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "rules.md"


def test_the_page_about_the_rules_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m rules.docs docs/rules.md"
    assert all(page().count(f"## {name}\n") == 2 for name in CATALOGUE)
