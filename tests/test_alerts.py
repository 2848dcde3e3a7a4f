"""The alert desk: one object per stretch of waste, complete, the same after a restart."""

from __future__ import annotations

import json

import pytest

from building.errors import InputError
from rules.alerts import AlertDesk
from rules.engine import RuleEngine
from rules.life import Answer
from tests.engine_parts import MINUTE, START, in_order, site, steady

SITE = site()
ENGINE = RuleEngine(SITE)
LAMP = in_order(
    steady("lamp", {"on": 1.0, "active_power": 60.0}, 0, 59),
    steady("pir", {"occupancy": 0.0}, 0, 60),
    steady("lamp", {"on": 0.0, "active_power": 0.0}, 60, 60),
)
KEYS = [
    "id", "rule", "site", "zone", "department", "device", "severity", "state", "since", "raised", "ended", "waste",
    "evidence", "title", "text", "policy",
]  # fmt: skip


def test_an_alert_says_what_where_since_when_and_what_it_has_cost() -> None:
    memory, desk = ENGINE.new_memory(), AlertDesk(SITE)
    changes = [a.to_json() for reading in LAMP for a in desk.take(ENGINE.step(memory, [reading]))]
    raised, resolved = changes
    assert list(raised) == KEYS
    assert raised["state"] == "firing"
    assert raised["since"] == "2026-07-01T17:00:00+08:00"
    assert raised["raised"] == "2026-07-01T17:15:00+08:00"
    assert raised["ended"] is None
    assert (raised["zone"], raised["department"], raised["device"]) == ("301", "finance", "lamp")
    assert raised["waste"] == {"kwh": 0.015, "litres": None, "cost": 0.012, "currency": "CNY", "kgco2": 0.0075}
    assert raised["evidence"]["presence"]["source"] == "sensors"
    assert raised["evidence"]["limits"] == {"after": "15m", "on_above": 20.0}
    power = {"device": "lamp", "quantity": "active_power", "value": 60.0, "time": "2026-07-01T17:14:00+08:00"}
    assert power in raised["evidence"]["readings"]
    assert "Room 301" in raised["title"]
    assert resolved["id"] == raised["id"]
    assert (resolved["state"], resolved["ended"]) == ("resolved", "2026-07-01T18:00:00+08:00")
    assert json.loads(json.dumps(resolved)) == resolved


def test_waste_grows_while_the_alert_is_open() -> None:
    memory, desk = ENGINE.new_memory(), AlertDesk(SITE)
    desk.take(ENGINE.step(memory, LAMP[:60]))
    (alert,) = desk.refresh(ENGINE, memory, START + 30 * MINUTE)
    assert alert.waste["kwh"] == pytest.approx(0.030)
    assert alert.state == "firing"


def test_an_alert_is_acknowledged_or_silenced_by_its_id_and_stays_so_until_it_ends() -> None:
    memory, desk = ENGINE.new_memory(), AlertDesk(SITE)
    (alert,) = desk.take(ENGINE.step(memory, LAMP[:60]))
    now = START + 30 * MINUTE
    with pytest.raises(InputError, match="no open alert has the id"):
        desk.answer(Answer("acknowledge", "Li", "no such", "fixed"), now)
    (acknowledged,) = desk.answer(Answer("acknowledge", "Li", alert.id, "fixed"), now)
    assert acknowledged.state == "acknowledged"
    assert desk.refresh(ENGINE, memory, START + 40 * MINUTE)[0].state == "acknowledged"
    (silenced,) = desk.answer(Answer("silence", "Li", alert.id, why="painting", until=now + 60 * MINUTE), now)
    assert silenced.state == "silenced"
    (resolved,) = desk.take(ENGINE.step(memory, LAMP[60:]))
    assert (resolved.id, resolved.state, desk.open) == (alert.id, "resolved", [])


def test_a_restart_keeps_open_alerts_and_raises_none_twice() -> None:
    memory, desk = ENGINE.new_memory(), AlertDesk(SITE)
    findings = ENGINE.step(memory, LAMP[:60])
    desk.take(findings)
    again = AlertDesk(SITE)
    again.restore(desk.save())
    assert again.open == desk.open
    assert again.take(findings) == []
    (resolved,) = again.take(ENGINE.step(ENGINE.restore(ENGINE.save(memory)), LAMP[60:]))
    assert resolved.state == "resolved"


def test_kept_alerts_that_cannot_be_read_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="delete them"):
        AlertDesk(SITE).restore(b"[{}]")


def test_the_chinese_text_is_chinese() -> None:
    chinese = SITE.model_copy(update={"site": SITE.site.model_copy(update={"language": "zh"})})
    desk = AlertDesk(chinese)
    engine = RuleEngine(chinese)
    (alert,) = desk.take(engine.step(engine.new_memory(), LAMP[:60]))
    assert "无人亮灯" in alert.title
    assert "分钟" in alert.text
