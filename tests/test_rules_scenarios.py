"""Every story in tests/scenarios ends as it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rules.catalogue import CATALOGUE
from rules.engine import RuleEngine
from tests.scenario_parts import expand, play, readings_of, site_of, stories, told

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


KINDS = {
    "raised", "not raised", "resolved", "gap", "restart", "window", "lunch", "saturday", "holiday", "overtime",
    "flicker", "dead",
}  # fmt: skip
"""What a rule must be seen through. Where one is meaningless for a rule, its story shows that it changes nothing."""


def kinds_of(story: Mapping[str, Any]) -> set[str]:
    """What a story shows: what it ends in and that it restarts by itself, the rest by its ``shows:``."""
    states = {expected["state"] for expected in story["expect"]}
    kinds = set(story.get("shows", ())) | (states & {"raised", "resolved"})
    return kinds | ({"not raised"} if not states else set()) | ({"restart"} if story.get("restarts") else set())


@pytest.mark.parametrize("rule", CATALOGUE)
def test_every_rule_has_a_story_of_each_kind(rule: str) -> None:
    shown = set().union(*(kinds_of(story) for _, story in ALL if story["rule"] == rule))
    assert shown == KINDS


@pytest.mark.parametrize("story", [story for _, story in ALL if "shows" in story])
def test_a_story_is_of_the_kind_it_says(story: Mapping[str, Any]) -> None:
    said = " ".join(text for series in story["readings"].values() for text in series.values())
    start = str(story["start"])
    signs = {
        "gap": "_" in said or "bad" in said,
        "window": "contact" in str(story["readings"]),
        "lunch": start[11:] < "12:30",
        "saturday": start.startswith("2026-02-14"),
        "holiday": start.startswith("2026-10-01"),
        "overtime": "overtime" in story,
        "flicker": any(len(set(expand(text))) > 1 for series in story["readings"].values()
                       for name, text in series.items() if name in ("occupancy", "people")),
        "dead": True,
    }  # fmt: skip
    assert all(signs[kind] for kind in story["shows"]), story["story"]


@pytest.mark.parametrize("story", [story for _, story in ALL if "flicker" in story.get("shows", ())])
def test_a_story_of_flicker_says_what_holds_and_what_the_rule_waits_for(
    story: Mapping[str, Any],
) -> None:
    assert "presence_hold" in story["zone"], story["story"]
    assert {parameter.name for parameter in CATALOGUE[story["rule"]].parameters} == set(story["rules"]), story["story"]
