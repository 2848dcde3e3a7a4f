"""The alert desk: findings become alerts, one JSON object each, that live until the readings show they are over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from building.errors import InputError
from building.instants import to_iso
from building.money import price
from building.site import Site
from rules import messages
from rules.catalogue import CATALOGUE
from rules.engine import Finding, Memory, RuleEngine, Used

OPEN = ("firing", "acknowledged", "silenced")


@dataclass(frozen=True)
class Alert:
    """One stretch of waste: a rule on a device since a moment. Instants are ms; a new object at every change."""

    id: str
    rule: str
    site: str
    zone: str | None
    department: str | None
    device: str
    severity: str
    state: str  # firing, acknowledged, silenced, resolved
    since: int
    raised: int
    ended: int | None
    used: Used
    evidence: Mapping[str, Any]
    title: str
    text: str
    policy: str
    waste: Mapping[str, Any]
    times: Mapping[str, str | None]  # since, raised, ended as ISO 8601 with the site's offset

    def to_json(self) -> dict[str, Any]:
        """The object that the store, ``replay``, webhooks and the alert page share."""
        return {
            "id": self.id,
            "rule": self.rule,
            "site": self.site,
            "zone": self.zone,
            "department": self.department,
            "device": self.device,
            "severity": self.severity,
            "state": self.state,
            **self.times,
            "waste": dict(self.waste),
            "evidence": dict(self.evidence),
            "title": self.title,
            "text": self.text,
            "policy": self.policy,
        }


def ident(site: str, rule: str, subject: str, since: int) -> str:
    """The same for the same waste, whoever computes it: live, after a restart, in a replay, on another worker."""
    return hashlib.sha256("\0".join((site, rule, subject, str(since))).encode()).hexdigest()[:16]


class _Kept(msgspec.Struct):
    """An open alert as it is kept over a restart."""

    finding: dict[str, Any]
    state: str


class AlertDesk:
    """Holds the open alerts of one site. Each method returns the alerts that it changed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: dict[tuple[str, str], tuple[Finding, Alert]] = {}

    @property
    def open(self) -> list[Alert]:
        """Alerts not yet over, oldest first."""
        return sorted((alert for _, alert in self._open.values()), key=lambda alert: (alert.raised, alert.id))

    def take(self, findings: Iterable[Finding]) -> list[Alert]:
        """Raise and resolve. A finding told twice (after a restart) raises no second alert."""
        changed = []
        for finding in findings:
            key = (finding.rule, finding.device)
            if finding.state == "raised":
                known = self._open.get(key)
                if known is None or known[0].since != finding.since:
                    alert = alert_of(self._site, finding)
                    self._open[key] = (finding, alert)
                    changed.append(alert)
            else:
                self._open.pop(key, None)
                changed.append(alert_of(self._site, finding))
        return changed

    def refresh(self, engine: RuleEngine, memory: Memory, now: int) -> list[Alert]:
        """Open alerts with their waste up to ``now`` (ms)."""
        for key, (finding, alert) in list(self._open.items()):
            used = engine.waste_so_far(memory, *key, now)
            if used is not None:
                finding = finding._replace(used=used, at=max(now, finding.at))
                self._open[key] = (finding, alert_of(self._site, finding, alert.state))
        return self.open

    def acknowledge(self, alert_id: str) -> Alert | None:
        """A person has seen it; None when it is not open."""
        return self._mark(alert_id, "acknowledged")

    def silence(self, alert_id: str) -> Alert | None:
        """A person wants no more messages of it; None when it is not open."""
        return self._mark(alert_id, "silenced")

    def save(self) -> bytes:
        """Open alerts as bytes; keep them beside the engine's memory, saved at the same moment."""
        return msgspec.json.encode([_Kept(f._asdict(), alert.state) for f, alert in self._open.values()])

    def restore(self, saved: bytes) -> None:
        """Open alerts as they were; those of rules or devices the site no longer has are left out."""
        try:
            kept = msgspec.json.decode(saved, type=list[_Kept])
            for item in kept:
                finding = Finding(**(item.finding | {"used": Used(*item.finding["used"])}))
                if finding.rule in CATALOGUE and finding.device in self._site.device:
                    self._open[(finding.rule, finding.device)] = (finding, alert_of(self._site, finding, item.state))
        except (msgspec.MsgspecError, TypeError, KeyError) as error:
            raise InputError(f"the saved alerts cannot be read ({error}); delete them to start afresh") from None

    def _mark(self, alert_id: str, state: str) -> Alert | None:
        for key, (finding, alert) in self._open.items():
            if alert.id == alert_id:
                marked = replace(alert, state=state)
                self._open[key] = (finding, marked)
                return marked
        return None


def alert_of(site: Site, finding: Finding, state: str = "") -> Alert:
    """What ``finding`` means to people. ``state`` where it is more than firing or resolved."""
    used = finding.used
    device = site.device[finding.device]
    waste = price(site.site, kwh=used.kwh, litres=used.litres)
    tz = site.site.tz
    ended = finding.at if finding.state == "resolved" else None
    return Alert(
        id=ident(site.site.name, finding.rule, finding.device, finding.since),
        rule=finding.rule,
        site=site.site.name,
        zone=finding.zone,
        department=site.department_of(device),
        device=finding.device,
        severity=CATALOGUE[finding.rule].severity,
        state=state or ("resolved" if finding.state == "resolved" else "firing"),
        since=finding.since,
        raised=finding.raised,
        ended=ended,
        used=used,
        evidence=_evidence(site, finding),
        title=messages.title(site, finding),
        text=messages.text(site, finding, waste, estimated=used.estimated),
        policy=messages.policy(site, finding.rule),
        waste={name: _rounded(value) for name, value in waste._asdict().items()},
        times={
            "since": to_iso(finding.since, tz),
            "raised": to_iso(finding.raised, tz),
            "ended": None if ended is None else to_iso(ended, tz),
        },
    )


def _evidence(site: Site, finding: Finding) -> dict[str, Any]:
    tz = site.site.tz
    presence = finding.evidence["presence"]
    if presence is not None and presence["last_sign"] is not None:
        presence = presence | {"last_sign": to_iso(presence["last_sign"], tz)}
    return {
        "readings": [reading | {"time": to_iso(reading["time"], tz)} for reading in finding.evidence["readings"]],
        "limits": messages.shown_limits(finding.rule, finding.evidence["limits"]),
        "presence": presence,
        "estimated": finding.used.estimated,
    }


def _rounded(value: float | str | None) -> float | str | None:
    """To a tenth of a watt-hour, of a litre's thousandth, of a hundredth of a cent: finer than any meter."""
    return round(value, 4) if isinstance(value, float) else value
