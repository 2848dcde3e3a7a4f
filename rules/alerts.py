"""The alert desk: findings become alerts, one JSON object each, that live until the readings show they are over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from building.errors import InputError
from building.instants import to_iso
from building.money import Waste, price
from building.site import Site
from rules import messages
from rules.catalogue import Rule, is_known, rule_of
from rules.engine import Finding, Memory, RuleEngine, Used
from rules.life import Answer, Mark, Silence, checked, lapsed, marked, state_of

_PACK: Final = msgspec.msgpack.Encoder().encode
_UNPACK: Final = msgspec.msgpack.Decoder().decode


class _About(NamedTuple):
    """What all alerts of one rule on one subject share."""

    site: Site
    rule: Rule
    subject: str  # a device, or a department
    zone: str | None
    limits: Mapping[str, float]
    shown_limits: Mapping[str, Any]
    title: str
    policy: str
    department: str | None
    device: str | None


class Alert(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One stretch of waste: a rule on a device since a moment. Instants are ms; a new object at every change.

    A year of a large site brings hundreds of thousands: only what is its own is kept, in few bytes, and the words are
    made when they are asked for.
    """

    about: _About
    state: str  # firing, acknowledged, silenced, resolved
    since: int
    raised: int
    at: int  # up to when ``used`` counts
    used: Used
    told: bytes  # what the finding had as evidence, but the limits
    said: Mapping[str, Any] | None = None  # what else the evidence holds: the answer of a person, what was saved

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alert) and self._own() == other._own() and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # its evidence is no key

    def _own(self) -> tuple[object, ...]:
        return self.since, self.raised, self.ended, self.used

    @property
    def id(self) -> str:
        return ident(self.site, self.rule, self.about.subject, self.since)

    @property
    def rule(self) -> str:
        return self.about.rule.name

    @property
    def site(self) -> str:
        return self.about.site.site.name

    @property
    def zone(self) -> str | None:
        return self.about.zone

    @property
    def department(self) -> str | None:
        return self.about.department

    @property
    def device(self) -> str | None:
        """None when it is about a department."""
        return self.about.device

    @property
    def severity(self) -> str:
        return self.about.rule.severity

    @property
    def ended(self) -> int | None:
        return self.at if self.state == "resolved" else None

    @property
    def evidence(self) -> dict[str, Any]:
        """With instants as ISO 8601 and limits as people write them."""
        tz, (readings, presence, facts) = self.about.site.site.tz, _UNPACK(self.told)
        for reading in readings:
            reading["time"] = to_iso(reading["time"], tz)
        if presence is not None and presence["last_sign"] is not None:
            presence["last_sign"] = to_iso(presence["last_sign"], tz)
        evidence = {"readings": readings, "limits": self.about.shown_limits, "presence": presence}
        if facts:
            evidence["facts"] = facts
        evidence["estimated"] = self.used.estimated
        return evidence if self.said is None else {**evidence, **self.said}

    @property
    def title(self) -> str:
        return self.about.title

    @property
    def text(self) -> str:
        return self._text(self.times, self._price())

    @property
    def policy(self) -> str:
        return self.about.policy

    @property
    def waste(self) -> dict[str, Any]:
        return _rounded(self._price())

    @property
    def times(self) -> dict[str, str | None]:
        """When it began, was raised and ended, as ISO 8601 with the site's offset."""
        tz, ended = self.about.site.site.tz, self.ended
        return {
            "since": to_iso(self.since, tz),
            "raised": to_iso(self.raised, tz),
            "ended": None if ended is None else to_iso(ended, tz),
        }

    def to_json(self) -> dict[str, Any]:
        """The object that the store, ``replay``, webhooks and the alert page share."""
        about, times, price = self.about, self.times, self._price()
        return {
            "id": self.id,
            "rule": about.rule.name,
            "site": about.site.site.name,
            "zone": about.zone,
            "department": about.department,
            "device": about.device,
            "severity": about.rule.severity,
            "state": self.state,
            **times,
            "waste": _rounded(price),
            "evidence": self.evidence,
            "title": about.title,
            "text": self._text(times, price),
            "policy": about.policy,
        }

    def saying(self, name: str, what: Any) -> Alert:
        """The same with ``what`` under ``name`` of its evidence."""
        return replace(self, said={**(self.said or {}), name: what})

    def _price(self) -> Waste:
        return price(self.about.site.site, kwh=self.used.kwh, litres=self.used.litres)

    def _text(self, times: Mapping[str, str | None], waste: Waste) -> str:
        about, lasted, estimated = self.about, self.at - self.since, self.used.estimated
        language, evidence = about.site.site.language, None
        if self.state != "resolved":
            readings, presence, facts = _UNPACK(self.told)
            evidence = {"readings": readings, "limits": about.limits, "presence": presence, "facts": facts or {}}
        return messages.text(language, about.rule, evidence, times, lasted, waste, estimated=estimated)


def ident(site: str, rule: str, subject: str, since: int) -> str:
    """The same for the same waste, whoever computes it: live, after a restart, in a replay, on another worker."""
    return hashlib.sha256("\0".join((site, rule, subject, str(since))).encode()).hexdigest()[:16]


class _Kept(msgspec.Struct):
    """An open alert as it is kept over a restart."""

    finding: dict[str, Any]
    mark: Mark | None = None


class _Saved(msgspec.Struct):
    open: list[_Kept]
    silences: list[Silence] = []


class AlertDesk:
    """Holds the open alerts of one site. Each method returns the alerts that it changed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._scribe = Scribe(site)
        self._open: dict[tuple[str, str], tuple[Finding, Alert]] = {}
        self._marks: dict[tuple[str, str], Mark] = {}
        self.silences: list[Silence] = []

    @property
    def open(self) -> list[Alert]:
        """Alerts not yet over, oldest first."""
        return sorted((alert for _, alert in self._open.values()), key=lambda alert: (alert.raised, alert.id))

    def changed(self, ident: str) -> int:
        """When the open alert ``ident`` took on its present state (ms). Raises KeyError when none has that id."""
        for key, (_, alert) in self._open.items():
            if alert.id == ident:
                mark = self._marks.get(key)
                return alert.raised if mark is None else mark.at
        raise KeyError(ident)

    def take(self, findings: Iterable[Finding]) -> list[Alert]:
        """Raise and resolve. A finding told twice (after a restart) raises no second alert."""
        changed = []
        for finding in findings:
            key = (finding.rule, finding.device)
            if finding.state == "raised":
                known = self._open.get(key)
                if known is None or known[0].since != finding.since:
                    self._marks.pop(key, None)
                    silence = self._silence_over(finding)
                    if silence is not None:
                        self._marks[key] = silence.mark
                    changed.append(self._put(key, finding))
            else:
                self._open.pop(key, None)
                changed.append(self._alert(finding, self._marks.pop(key, None)))
        return changed

    def refresh(self, engine: RuleEngine, memory: Memory, now: int) -> list[Alert]:
        """Open alerts with their waste up to ``now`` (ms)."""
        for key, (finding, _) in list(self._open.items()):
            used = engine.waste_so_far(memory, *key, now)
            if used is not None:
                self._put(key, finding._replace(used=used, at=max(now, finding.at)))
        return self.open

    def answer(self, answer: Answer, now: int) -> list[Alert]:
        """What a person wants done; raises InputError when it makes no sense or the alert is not open."""
        checked(answer, now)
        if answer.alert is not None:
            keys = [key for key, (_, alert) in self._open.items() if alert.id == answer.alert]
            if not keys:
                raise InputError(f"no open alert has the id {answer.alert[:40]!r}; it may be over by now")
            return [self._mark(keys[0], marked(self._marks.get(keys[0]), answer, now))]
        keys = [key for key, (_, alert) in self._open.items() if _fits(alert, answer.fitting)]
        self.silences = [silence for silence in self.silences if silence.fitting != answer.fitting]
        if answer.action == "silence":
            mark = marked(None, answer, now)
            assert mark is not None
            self.silences.append(Silence(answer.fitting, mark))
        else:
            keys = [key for key in keys if state_of(self._marks.get(key)) == "silenced"]
        return [self._mark(key, marked(self._marks.get(key), answer, now)) for key in keys]

    def lapse(self, now: int) -> list[Alert]:
        """Open alerts whose silence has come to its end."""
        self.silences = [silence for silence in self.silences if not lapsed(silence.mark, now)]
        ended = [key for key, mark in self._marks.items() if lapsed(mark, now)]
        return [self._mark(key, self._marks[key].before) for key in ended]

    def save(self) -> bytes:
        """Open alerts as bytes; keep them beside the engine's memory, saved at the same moment."""
        kept = [_Kept(finding._asdict(), self._marks.get(key)) for key, (finding, _) in self._open.items()]
        return msgspec.json.encode(_Saved(kept, self.silences))

    def restore(self, saved: bytes) -> None:
        """Open alerts as they were; those of rules or devices the site no longer has are left out."""
        try:
            kept = msgspec.json.decode(saved, type=_Saved)
            self.silences = kept.silences
            for item in kept.open:
                finding = Finding(**(item.finding | {"used": Used(*item.finding["used"])}))
                if is_known(self._site, finding.rule, finding.device):
                    key = (finding.rule, finding.device)
                    if item.mark is not None:
                        self._marks[key] = item.mark
                    self._put(key, finding)
        except (msgspec.MsgspecError, TypeError, KeyError) as error:
            raise InputError(f"the saved alerts cannot be read ({error}); delete them to start afresh") from None

    def _put(self, key: tuple[str, str], finding: Finding) -> Alert:
        alert = self._alert(finding, self._marks.get(key))
        self._open[key] = (finding, alert)
        return alert

    def _mark(self, key: tuple[str, str], mark: Mark | None) -> Alert:
        if mark is None:
            self._marks.pop(key, None)
        else:
            self._marks[key] = mark
        return self._put(key, self._open[key][0])

    def _alert(self, finding: Finding, mark: Mark | None) -> Alert:
        """The alert with what a person said of it, under ``answer`` of its evidence."""
        if mark is None:
            return self._scribe.alert(finding)
        alert = self._scribe.alert(finding, state_of(mark) if finding.state != "resolved" else "")
        tz = self._site.site.tz
        said = {"state": mark.state, "by": mark.by, "at": to_iso(mark.at, tz), "reason": mark.reason, "why": mark.why}
        said["until"] = "" if mark.until is None else to_iso(mark.until, tz)
        return alert.saying("answer", said)

    def _silence_over(self, finding: Finding) -> Silence | None:
        """The silence that an alert to come falls under."""
        if not self.silences:
            return None
        alert = self._scribe.alert(finding)
        fitting = (silence for silence in self.silences if _fits(alert, silence.fitting))
        return next((silence for silence in fitting if not lapsed(silence.mark, finding.at)), None)


class Scribe:
    """Makes the alerts of one site from findings."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._about: dict[tuple[str, str], _About] = {}

    def alert(self, finding: Finding, state: str = "") -> Alert:
        """What ``finding`` means to people. ``state`` where it is more than firing or resolved."""
        evidence = finding.evidence
        return Alert(
            self._of(finding),
            "resolved" if finding.state == "resolved" else state or "firing",
            finding.since,
            finding.raised,
            finding.at,
            finding.used,
            _PACK((evidence["readings"], evidence["presence"], evidence.get("facts"))),
        )

    def _of(self, finding: Finding) -> _About:
        key, limits = (finding.rule, finding.device), finding.evidence["limits"]
        about = self._about.get(key)
        if about is None or about.limits is not limits or about.zone != finding.zone:
            site, rule = self._site, rule_of(self._site, finding.rule)
            device = site.device.get(finding.device)
            about = self._about[key] = _About(
                site,
                rule,
                finding.device,
                finding.zone,
                limits,
                messages.shown_limits(rule, limits),
                messages.title(site, finding),
                rule.clause.of(site.site.language),
                finding.device if device is None else site.department_of(device),
                None if device is None else finding.device,
            )
        return about


def alert_of(site: Site, finding: Finding) -> Alert:
    """What ``finding`` means to people."""
    return Scribe(site).alert(finding)


def _fits(alert: Alert, fitting: Mapping[str, str]) -> bool:
    return all(getattr(alert, key) == value for key, value in fitting.items())


def _rounded(waste: Waste) -> dict[str, Any]:
    """To a tenth of a watt-hour, of a litre's thousandth, of a hundredth of a cent: finer than any meter."""
    kwh, litres, cost, currency, kgco2 = waste
    return {
        "kwh": None if kwh is None else round(kwh, 4),
        "litres": None if litres is None else round(litres, 4),
        "cost": None if cost is None else round(cost, 4),
        "currency": currency,
        "kgco2": None if kgco2 is None else round(kgco2, 4),
    }
