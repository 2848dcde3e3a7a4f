"""Every story in tests/scenarios ends as it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rules.catalogue import CATALOGUE
from rules.engine import RuleEngine
from tests.scenario_parts import play, readings_of, site_of, stories, told

ALL = list(stories())


@pytest.mark.parametrize("story", [story for _, story in ALL], ids=[name for name, _ in ALL])
def test_the_story_ends_as_it_says(story: Mapping[str, Any]) -> None:
    assert told(story, play(story)) == [dict(expected) for expected in story["expect"]]


@pytest.mark.parametrize("story", [story for _, story in ALL], ids=[name for name, _ in ALL])
def test_a_restart_after_every_reading_changes_nothing(story: Mapping[str, Any]) -> None:
    engine = RuleEngine(site_of(story))
    memory, through = engine.new_memory(), engine.new_memory()
    readings = readings_of(story)
    for reading in readings:
        expected = engine.step(through, [reading])
        assert engine.step(memory, [reading]) == expected
        memory = engine.restore(engine.save(memory))


def test_every_rule_has_stories() -> None:
    assert {story["rule"] for _, story in ALL} == set(CATALOGUE)
