"""Chinese for what is kept of alerts in English: states, stages, their reasons, and what people answered."""

from __future__ import annotations

import re
from typing import Final

STATES: Final = {
    "pending": "待定", "firing": "正在发生", "acknowledged": "已确认", "silenced": "已暂停提醒", "resolved": "已结束",
}  # fmt: skip
STAGES: Final = {
    "sent": "已发送", "chattering": "反复出现", "its beginning was never told": "开始时未通知",
    "acknowledged": "已确认", "silenced": "已暂停提醒", "hidden by its cause": "由上级原因代报",
    "its cause is sought": "正在查找原因", "already told": "已通知过", "not their turn": "尚未轮到",
    "outside hours": "不在通知时段", "grouping": "合并等待", "daily limit": "每日上限",
}  # fmt: skip
ANSWERS: Final = {
    "fixed": "已处理", "on_purpose": "有意为之", "false_alarm": "误报", "needs_work_order": "需要报修",
}  # fmt: skip
ACTIONS: Final = {"acknowledge": "确认", "silence": "暂停提醒", "release": "恢复提醒", "overtime": "登记加班"}
WHO: Final = {"rules": "系统", "silence over": "暂停到期"}
_WISHES: Final = {
    "firing": "首次通知", "reminder": "再次提醒", "resolved": "结束通知", "chattering": "反复出现通知",
    "acknowledged": "确认通知", "silenced": "暂停提醒通知",
}  # fmt: skip
_REASONS: Final = (
    (r"raised again and again; told once as such until it is calm", "反复出现，平稳之前只通知一次"),
    (r"it ended before this person was told of it", "通知之前就已结束"),
    (r"acknowledged by (.*)", r"已由 \1 确认"),
    (r"silenced by (.*) until (.*)", r"\1 已暂停提醒，至 \2"),
    (r"behind: (.*)", r"上级原因：\1"),
    (r"others may fall silent too", "其他设备可能也会失去数据"),
    (r"no reminders on this route", "该路由不再次提醒"),
    (r"the reminder is not due yet", "未到再次提醒的时间"),
    (r"others are told first", "先通知其他人"),
    (r"told when the hours begin, if it is still on", "到通知时段若仍未结束再通知"),
    (r"gathering what else comes for the department", "等待合并同部门的其他告警"),
    (r"(\d+) messages today, the limit is (\d+)", r"今天已发 \1 条，上限 \2 条"),
)


def reason(said: str) -> str:
    """The reason of a decision; one that is not known stays as it is."""
    wish, _, ident = said.partition(", message ")
    if ident and wish in _WISHES:
        return f"{_WISHES[wish]}，消息 {ident}"
    for pattern, words in _REASONS:
        found = re.fullmatch(pattern, said)
        if found:
            return found.expand(words)
    return said
