"""The words and numbers of a report in Chinese and English, for the terminal and the page alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from dashboards.labels import INTERVAL_STATES
from dashboards.report import Costly, Gap, Line, Report, Span, Unit, Use, change
from rules.catalogue import Text
from rules.wording import moment_of, span

NOTHING: Final = "–"
HOUR: Final = 3_600_000
_DAY: Final = 24 * HOUR
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MEDIA: Final[Mapping[str, Text]] = {
    "energy": Text("电", "Electricity"), "volume": Text("水", "Water"), "heat": Text("热力", "Heat"),
    "gas": Text("燃气", "Gas"), "fuel": Text("燃料", "Fuel"),
}  # fmt: skip
USES: Final[Mapping[str, Text]] = {
    "energy": Text("用电量", "Electricity"), "volume": Text("用水量", "Water"), "heat": Text("用热量", "Heat"),
    "gas": Text("用气量", "Gas"), "fuel": Text("燃料用量", "Fuel"),
}  # fmt: skip
UNITS: Final[Mapping[str, Text]] = {
    "energy": Text("千瓦时", "kWh"), "volume": Text("立方米", "m³"), "heat": Text("千瓦时", "kWh"),
    "gas": Text("立方米", "m³"), "fuel": Text("立方米", "m³"),
}  # fmt: skip
REASONS: Final[Mapping[str, Text]] = {
    "fixed": Text("已处理", "dealt with"), "on_purpose": Text("有意为之", "on purpose"),
    "false_alarm": Text("误报", "false alarm"), "needs_work_order": Text("需要报修", "needs a work order"),
}  # fmt: skip
WORDS: Final[Mapping[str, Text]] = {
    "period": Text("统计期", "Period"),
    "uses": Text("能源资源消耗", "Energy and water"),
    "medium": Text("品种", "Kind"),
    "amount": Text("用量", "Use"),
    "cost": Text("费用", "Cost"),
    "coal": Text("折标煤", "Standard coal"),
    "carbon": Text("碳排放", "Emissions"),
    "before": Text("上期", "Before"),
    "change": Text("环比", "Change"),
    "year_ago": Text("上年同期", "A year ago"),
    "change_in_a_year": Text("同比", "In a year"),
    "measured": Text("实测", "Measured"),
    "estimated": Text("估算", "Estimated"),
    "missing": Text("缺失", "Missing"),
    "total_cost": Text("费用合计", "Cost in all"),
    "total": Text("合计", "Total"),
    "daily": Text("逐日用量", "Day by day"),
    "monthly": Text("逐月用量", "Month by month"),
    "day": Text("日期", "Day"),
    "day_off": Text("非工作日", "not a working day"),
    "workday": Text("工作日", "working day"),
    "off": Text("休", "off"),
    "rest": Text("夜间（1–5 时）与非工作时间", "At night (01:00–05:00) and outside working hours"),
    "departments": Text("部门用能与定额", "Departments and quotas"),
    "department": Text("部门", "Department"),
    "per_head": Text("人均", "Per head"),
    "per_area": Text("单位建筑面积", "Per m²"),
    "quota": Text("年定额", "Quota of the year"),
    "used": Text("定额已用", "Used so far"),
    "gone": Text("年度进度", "Year gone"),
    "all_units": Text("全单位", "Whole site"),
    "no_department": Text("（无部门）", "(none)"),
    "balances": Text("总分表核对", "Main meters against sub-meters"),
    "meter": Text("总表", "Meter"),
    "above": Text("总表用量", "It counted"),
    "below": Text("分表合计", "Those behind it"),
    "apart": Text("差额", "Difference"),
    "apart_share": Text("差率", "In percent"),
    "days": Text("天数", "Days"),
    "alerts": Text("告警与浪费", "Alerts and waste"),
    "rule": Text("类别", "Rule"),
    "raised": Text("新发", "Raised"),
    "ended": Text("结束", "Ended"),
    "open": Text("未结束", "Still open"),
    "kwh": Text("电（千瓦时）", "kWh"),
    "litres": Text("水（升）", "Litres"),
    "waste": Text("浪费合计", "Waste in all"),
    "costliest": Text("浪费最多的告警", "The costliest alerts"),
    "place": Text("位置", "Place"),
    "since": Text("开始", "Since"),
    "lasted": Text("持续", "Lasted"),
    "answer": Text("答复", "Answer"),
    "gaps": Text("未能计量", "What was not measured"),
    "device": Text("设备", "Device"),
    "silent": Text("无数据时长", "Silent for"),
    "never": Text("从未有读数", "never read"),
    "no_price": Text("未设单价", "no price"),
    "no_factor": Text("未设系数", "no factor"),
    "not_counted": Text("不计", "not counted"),
    "no_data": Text("无数据", "no data"),
    "no_meter": Text("未装表", "no meter"),
    "compared": Text("与上期、上年同期比较", "Against the time before and a year ago"),
    "by_rule": Text("告警与浪费（按类别）", "Alerts and waste, by rule"),
    "by_department": Text("告警与浪费（按部门）", "Alerts and waste, by department"),
    "now": Text("本期", "Now"),
    "no_quota": Text("未设定额", "no quota"),
}
"""Headings and short words."""

NOTES: Final[Mapping[str, Text]] = {
    "incomplete": Text(
        "缺失超过 5% 的，用量、费用和排放只是已计量的部分，合计亦同，不作环比、同比。",
        "Where more than 5 % is missing, use, cost and emissions are only those of the part that was measured, in "
        "the total too, and are not compared.",
    ),
    "waste": Text(
        "浪费按告警结束之日计入，不同类别的浪费可能有重叠；标 * 的是超基数、超定额或总分表差额，不计入浪费合计。",
        "Waste counts on the day its alert ends, and that of different rules may overlap. Lines marked * are use above "
        "a base or quota, or not accounted for by meters: no part of the waste in all.",
    ),
    "chart": Text(
        "深色为工作日，浅色为非工作日；橙色为估算或部分缺失，斜线为无数据。",
        "Dark: working days; light: other days; orange: estimated or in part missing; hatched: no data.",
    ),
    "balances": Text(
        "只计总表和全部分表都有数据的日子。", "Of the days on which the meter and all those behind it are known."
    ),
    "holidays": Text(
        "本年度节假日和调休日尚未收录，工作日只按星期判断。",
        "The holidays of this year are not known: working days are by the weekday alone.",
    ),
    "no_alerts": Text(
        "没有告警记录（memory.db 不存在），浪费情况不明。",
        "No alerts are kept (there is no memory.db): what was wasted is not known.",
    ),
    "none_raised": Text("统计期内没有告警。", "There was no alert."),
    "no_gaps": Text("各表计读数完整，缺失均不到 1%。", "No meter was without readings for 1 % of the time."),
    "settled": Text(
        "实测、估算、缺失按时间计，为各表平均；总表之下的分表不重复计。",
        "Shares are of the time, over all meters; no meter behind another counts twice.",
    ),
    "intensity": Text(
        "人均、单位建筑面积以部门登记的人数和面积计；年定额已用自 1 月 1 日计。",
        "Per head and m² by the headcount and area of the site file; quotas are used from the first of January.",
    ),
}  # fmt: skip


class Wording:
    """How one report is said in its language."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.language = report.language
        self.zh = report.language == "zh"
        self.money = "元" if self.zh and report.currency == "CNY" else report.currency

    def __call__(self, key: str) -> str:
        return WORDS[key].of(self.language)

    def note(self, key: str) -> str:
        return NOTES[key].of(self.language)

    def of(self, words: Mapping[str, Text], key: str) -> str:
        return words[key].of(self.language)

    def unit(self, field: str) -> str:
        return UNITS[field].of(self.language)

    def with_unit(self, word: str, unit: str) -> str:
        """A heading with its unit."""
        return f"{word}（{unit}）" if self.zh else f"{word}, {unit}"

    def use_of(self, field: str) -> str:
        return self.with_unit(self.of(USES, field), self.unit(field))

    # -- whole lines --------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """With whom, and which time."""
        begin = self.report.period.span.begin
        who = (
            self.report.site if self.report.department is None else f"{self.report.site} {self.report.department.name}"
        )
        if not self.report.month:
            return f"{who}用能报告" if self.zh else f"{who}: energy and water"
        if self.zh:
            return f"{who}{begin.year}年{begin.month}月用能月报"
        return f"{who}: energy and water, {_MONTHS[begin.month - 1]} {begin.year}"

    @property
    def period(self) -> str:
        """The days, and how many of them are working days."""
        worked = self.report.period
        days, at_work = worked.span.days, worked.workdays
        if self.zh:
            return f"{self.stretch(worked.span)}，共{days}天，其中工作日{at_work}天"
        return f"{self.stretch(worked.span)}, {days} day{_s(days)}, {at_work} of them working days"

    def stretch(self, span: Span) -> str:
        """From the first day to the last; the year is said once where it is the same."""
        last = span.end - timedelta(1)
        if span.begin == last:
            return self.date(last)
        same = span.begin.year == last.year
        if self.zh:
            return f"{self.date(span.begin)}至{f'{last.month}月{last.day}日' if same else self.date(last)}"
        begin = f"{span.begin.day} {_MONTHS[span.begin.month - 1]}" if same else self.date(span.begin)
        return f"{begin} to {self.date(last)}"

    def month(self, day: date) -> str:
        """The month of ``day``, in short."""
        return f"{day.month}月" if self.zh else _MONTHS[day.month - 1][:3]

    def date(self, day: date) -> str:
        if self.zh:
            return f"{day.year}年{day.month}月{day.day}日"
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"

    @property
    def compared(self) -> str:
        """Which times are compared, with their working days."""
        report = self.report
        told = [
            f"{self(key)}{'：' if self.zh else ': '}{self.stretch(worked.span)}"
            + (f"（工作日{worked.workdays}天）" if self.zh else f" ({worked.workdays} working days)")
            for key, worked in (("before", report.before), ("year_ago", report.year_ago))
        ]
        return ("；" if self.zh else "; ").join(told) + ("。" if self.zh else ".")

    @property
    def accounted(self) -> str:
        """Up to when readings are in it, and when it was made."""
        until, made = (text[:16].replace("T", " ") for text in (self.report.until, self.report.made))
        if self.zh:
            return f"表计数据核算至 {until}；本报告由绿哨于 {made} 根据表计数据自动生成"
        return f"Readings are accounted up to {until}; made by Greenwarden at {made} from the meters' readings"

    def rest(self, field: str) -> str:
        """One sentence on nights and evenings of one medium; empty where nothing can be said of it at all."""
        medium = self.report.medium(field)
        if medium is None or medium.rest is None:
            return ""
        rest, name = medium.rest, self.of(USES, field)
        if rest.base is None:
            known = self.percent(rest.known)
            why = f"只有 {known} 的时间能逐刻计量" if self.zh else f"only {known} of the quarters of an hour are known"
            return f"{name}：不明（{why}）。" if self.zh else f"{name}: unknown ({why})."
        base, unit = self._base(rest.base, field)
        night = f"{name}：夜间平均 {base} {unit}" if self.zh else f"{name}: {base} {unit} at night"
        if rest.base_share is None or rest.outside_share is None:
            return night + ("。" if self.zh else ".")
        share, outside = self.percent(rest.base_share), self.percent(rest.outside_share)
        if self.zh:
            return f"{night}，按全天计占总用量的 {share}；非工作时间用量占 {outside}。"
        return f"{night}, {share} of the whole were it so all day; {outside} was used outside working hours."

    def _base(self, base: float, field: str) -> tuple[str, str]:
        """A mean over the night with its unit."""
        if field in ("energy", "heat"):
            return self.number(base, 2), "千瓦" if self.zh else "kW"
        if field == "volume":
            return self.number(base * 1000, 1), "升/时" if self.zh else "L/h"
        return self.number(base, 3), "立方米/时" if self.zh else "m³/h"

    @property
    def answers(self) -> str:
        """How many alerts were answered, how fast and how."""
        if self.report.alerts is None:
            return ""
        told = self.report.alerts.answers
        if not told.raised:
            return self.note("none_raised")
        comma = "、" if self.zh else ", "
        how = comma.join(
            f"{self.of(REASONS, key) if key in REASONS else key} {count}" for key, count in sorted(told.reasons.items())
        )
        pace = "" if told.minutes is None else self.length(round(told.minutes * 60_000))
        if self.zh:
            said = f"新发 {told.raised} 条，有人答复 {told.answered} 条"
            said += f"，答复用时中位数 {pace}" if pace else ""
            return said + (f"（{how}）。" if how else "。")
        said = f"{told.raised} raised, {told.answered} answered by people"
        return said + (f", half of them within {pace}" if pace else "") + (f" ({how})." if how else ".")

    @property
    def excused(self) -> str:
        """What part of the waste people called none; empty where they did not."""
        waste = None if self.report.alerts is None else self.report.alerts.answers.excused
        if waste is None or not (waste.kwh or waste.litres):
            return ""
        parts = [f"{self.number(waste.kwh, 1)} {self.unit('energy')}"] if waste.kwh else []
        parts += [f"{self.number(waste.litres, 0)} {'升' if self.zh else 'litres'}"] if waste.litres else []
        parts += [f"{self.number(waste.cost, 2)} {self.money}"] if waste.cost else []
        what = ("、" if self.zh else ", ").join(parts)
        if self.zh:
            return f"其中答复为误报或有意为之的：{what}。"
        return f"Of the waste people called a false alarm or on purpose: {what}."

    # -- numbers ------------------------------------------------------------------------------------------------------

    def number(self, value: float | None, digits: int = 1) -> str:
        return NOTHING if value is None else f"{value:,.{digits}f}"

    def percent(self, share: float | None, digits: int = 0) -> str:
        return NOTHING if share is None else f"{share * 100:.{digits}f}%"

    def amount(self, use: Use | None, field: str) -> str:
        """Without its unit; what is unknown is told as such."""
        if use is None:
            return self("no_meter")
        if use.amount is None:
            return self("no_data")
        return self.number(use.amount, digits(field))

    def cost(self, use: Use) -> str:
        return self._or(use, use.cost, "no_price", 2)

    def coal(self, use: Use, field: str) -> str:
        return self._or(use, use.coal, "not_counted" if field == "volume" else "no_factor", 1)

    def carbon(self, use: Use, field: str) -> str:
        return self._or(use, use.kgco2, "not_counted" if field == "volume" else "no_factor", 1)

    def _or(self, use: Use, value: float | None, why: str, digits: int) -> str:
        if value is not None:
            return self.number(value, digits)
        return NOTHING if use.amount is None else self(why)

    def change(self, now: Use, before: Use | None) -> str:
        """How much more or less; else what share is missing of which."""
        more = change(now, before)
        if more is not None:
            return f"{more * 100:+.1f}%" if abs(more) >= 0.0005 else "0.0%"
        if before is None:
            return self("no_data")
        short = before if not before.complete else now
        if short.complete:
            return NOTHING  # nothing was used before
        share = self.percent(short.missing)
        if self.zh:
            return f"{'对比期' if short is before else '本期'}缺 {share}"
        return f"{share} missing {'then' if short is before else 'now'}"

    def past(self, use: Use | None, field: str) -> str:
        """What was used then."""
        return self("no_data") if use is None else self.amount(use, field)

    def pace(self, unit: Unit, field: str) -> str:
        """How much of a quota is used, and what is missing of it."""
        pace = unit.paces.get(field)
        if pace is None:
            return self("no_quota")
        if field not in unit.uses:
            return self("no_meter")
        if pace.share is None:
            return self("no_data")
        short = "" if pace.missing <= 0.05 else self.percent(pace.missing)
        return self.percent(pace.share) + ((f"（缺 {short}）" if self.zh else f" ({short} missing)") if short else "")

    def length(self, milliseconds: int) -> str:
        """How long; of days and more in hours, which is near enough."""
        rounded = milliseconds // HOUR * HOUR if milliseconds >= _DAY else milliseconds
        return span(rounded, self.language)

    def state(self, state: str) -> str:
        return INTERVAL_STATES[state].of(self.language)

    # -- alerts and gaps ----------------------------------------------------------------------------------------------

    def rule(self, line: Line) -> str:
        name = self.report.name("rule", line.key)
        return name if line.counts else f"{name} *"

    def department(self, ident: str) -> str:
        return self.report.name("department", ident) if ident else self("no_department")

    def place(self, alert: Costly) -> str:
        zone, device = self.report.name("zone", alert.zone), self.report.name("device", alert.device)
        return " · ".join(dict.fromkeys(part for part in (zone, device) if part)) or self.report.name(
            "department", alert.department
        )

    def since(self, alert: Costly) -> str:
        return moment_of(alert.since, self.language)

    def reason(self, alert: Costly) -> str:
        return self.of(REASONS, alert.reason) if alert.reason in REASONS else alert.reason or NOTHING

    def missing(self, gap: Gap) -> str:
        return self("never") if gap.never else self.percent(gap.missing, 1)

    def silent(self, gap: Gap) -> str:
        return self.length(gap.silent) if gap.silent else NOTHING


def digits(field: str) -> int:
    """Decimals with which amounts of a medium are shown."""
    return 1 if field in ("energy", "heat") else 2


def _s(count: int) -> str:
    return "" if count == 1 else "s"
