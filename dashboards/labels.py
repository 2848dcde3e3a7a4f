"""Words that stand in the store as tags or states, and how people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dashboards.description import Shown
from rules.catalogue import Text

CIRCUITS: Final[Mapping[str, Text]] = {
    "main": Text("总进线", "Main"),
    "lighting": Text("照明", "Lighting"),
    "sockets": Text("插座", "Sockets"),
    "aircon": Text("空调", "Air conditioning"),
    "lift": Text("电梯", "Lifts"),
    "pump": Text("水泵", "Pumps"),
    "other": Text("其他", "Other"),
}

RULES: Final[Mapping[str, Text]] = {
    "lights_left_on": Text("无人亮灯", "Light left on"),
    "lights_in_daylight": Text("白昼灯", "Light in daylight"),
    "tap_left_running": Text("长流水", "Tap running"),
    "water_leak": Text("漏水", "Water leak"),
    "standby_load": Text("待机能耗", "Standby"),
    "equipment_left_on": Text("设备未关", "Equipment left on"),
    "aircon_setpoint": Text("空调设定温度", "Setpoint off 26/18"),
    "aircon_unoccupied": Text("无人开空调", "Air con for nobody"),
    "aircon_room_temperature": Text("室温过低或过高", "Room too cool or too warm"),
    "night_base_load": Text("夜间基础负荷偏高", "Night load too high"),
    "high_power_appliance": Text("大功率电器", "High-power appliance"),
    "balance_mismatch": Text("总分表不平衡", "Meters do not balance"),
    "meter_silent": Text("仪表无应答", "Meter silent"),
    "meter_stuck": Text("读数不变", "Meter stuck"),
    "meter_implausible": Text("读数异常", "Implausible reading"),
    "quota_pace": Text("超定额进度", "Above the quota's pace"),
}

STATES: Final[Mapping[str, Text]] = {
    "firing": Text("正在发生", "Going on"),
    "acknowledged": Text("已确认", "Acknowledged"),
    "silenced": Text("已静音", "Silenced"),
    "resolved": Text("已结束", "Ended"),
}

SEVERITIES: Final[Mapping[str, Text]] = {
    "info": Text("提示", "Notice"),
    "warning": Text("警告", "Warning"),
    "critical": Text("严重", "Critical"),
}

INTERVAL_STATES: Final[Mapping[str, Text]] = {
    "measured": Text("实测", "Measured"),
    "settled": Text("补算", "Settled"),
    "estimated": Text("估算", "Estimated"),
    "missing": Text("缺失", "Missing"),
}

MODES: Final[tuple[Shown, ...]] = (
    Shown("off", 0, Text("关", "Off"), "#8e8e8e"),
    Shown("cool", 0, Text("制冷", "Cool"), "blue"),
    Shown("heat", 0, Text("制热", "Heat"), "orange"),
    Shown("auto", 0, Text("自动", "Auto"), "purple"),
    Shown("dry", 0, Text("除湿", "Dry"), "yellow"),
    Shown("fan", 0, Text("送风", "Fan"), "green"),
)
