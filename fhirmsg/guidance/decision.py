"""decide(): every rule runs, every finding returns, the strongest that remains is the verdict."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.lifts import lifted, of_no_use
from fhirmsg.guidance.rule import Breach, Card, Check, Effect, Finding, Lift
from fhirmsg.guidance.rules import RULES, RULES_VERSION
from fhirmsg.guidance.terms import ResourceVersion


class Verdict(StrEnum):
    """What becomes of the message."""

    SEND = "send"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision, the same bytes for the same facts and the same instant.

    findings: strongest first, then by code. resources: every version relied on.
    emergency: a complete declaration stood, so the emergency column was used.
    """

    findings: tuple[Finding, ...]
    as_of: str
    read_at: str
    resources: tuple[ResourceVersion, ...]
    policy_version: str
    policy_sha256: str
    rules: str
    message_digest: str
    emergency: bool = False

    @property
    def lowered(self) -> tuple[Finding, ...]:
        """What the emergency lowered, or an acknowledgement in it: each one is to be talked over
        afterwards ("Emergencies")."""
        if not self.emergency:
            return ()
        return tuple(
            finding
            for finding in self.findings
            if finding.effect < finding.normally
            and (finding.lifted is None or finding.lifted.by is Lift.ACKNOWLEDGEMENT)
        )

    @property
    def verdict(self) -> Verdict:
        """The strongest remaining effect, so it cannot disagree with the findings."""
        strongest = max((finding.effect for finding in self.findings), default=Effect.NOTE)
        if strongest is Effect.REFUSE:
            return Verdict.REFUSE
        return Verdict.HOLD if strongest is Effect.HOLD else Verdict.SEND

    @property
    def deciding(self) -> Finding | None:
        """The first of the strongest findings, None when nothing was found."""
        return self.findings[0] if self.findings else None

    def as_json(self) -> dict[str, Any]:
        """Give the decision as it stands in answers."""
        return {
            "verdict": str(self.verdict),
            "emergency": self.emergency,
            "findings": [finding.as_json() for finding in self.findings],
            **self._frame(),
        }

    def _frame(self) -> dict[str, Any]:
        return {
            "as_of": self.as_of,
            "read_at": self.read_at,
            "resources": [version.as_json() for version in self.resources],
            "policy": {"version": self.policy_version, "sha256": self.policy_sha256},
            "rules": self.rules,
            "message_digest": self.message_digest,
        }

    def receipt(self) -> bytes:
        """Give the receipt: canonical JSON without contact details, texts or reasons."""
        findings = [
            {
                key: value
                for key, value in finding.as_json().items()
                if key in ("code", "effect", "lifted", "evidence")
            }
            for finding in self.findings
        ]
        content = {
            "verdict": str(self.verdict),
            "emergency": self.emergency,
            "findings": findings,
            **self._frame(),
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    def receipt_digest(self) -> str:
        """Give the SHA-256 of the receipt, in hex."""
        return hashlib.sha256(self.receipt()).hexdigest()


def _checks(*, emergency: bool) -> dict[str | None, list[tuple[Check, Card, Effect]]]:
    """Give every rule with the effect of a breach, by the fact without which there is none."""
    found: dict[str | None, list[tuple[Check, Card, Effect]]] = {}
    for each in RULES:
        effect = each.card.in_emergency if emergency else each.card.effect
        if effect is not None:
            found.setdefault(each.where, []).append((each.check, each.card, effect))
    return found


_CHECKS = {emergency: _checks(emergency=emergency) for emergency in (False, True)}


def decide(case: Case) -> Decision:
    """Judge a case. Pure: no clock, no network; never raises for any combination of facts."""
    emergency = case.emergency
    findings = [
        _finding(case, card, effect, breach)
        for where, checks in _CHECKS[emergency].items()
        if where is None or getattr(case, where)
        for check, card, effect in checks
        for breach in check(case)
    ]
    if case.request.evidence.reviews or case.request.evidence.acknowledged:
        findings += _notes_on_evidence(case, findings)
    return Decision(
        findings=_in_order(findings),
        as_of=case.as_of.isoformat(),
        read_at=case.record.read_at,
        resources=tuple(sorted(set(case.record.versions), key=_version_key)),
        policy_version=case.policy.version,
        policy_sha256=case.policy.sha256,
        rules=RULES_VERSION,
        message_digest=case.message_digest,
        emergency=emergency,
    )


def _finding(case: Case, card: Card, effect: Effect, breach: Breach) -> Finding:
    normally = next(each for each in (breach.effect, card.effect, effect) if each is not None)
    if not case.emergency:
        effect = normally
    lifts = card.lifted_by if breach.liftable else ()
    lift = lifted(case, card, breach) if effect > Effect.WARN and lifts else None
    return Finding(
        code=card.code,
        section=card.section,
        effect=Effect.WARN if lift else effect,
        normally=normally,
        sentence=breach.sentence,
        lifted_by=lifts,
        lifted=lift,
        evidence=breach.evidence,
        ask=breach.ask or card.ask,
    )


def _in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Give each finding once, whatever was read twice, the strongest first."""
    if len(findings) > 1:
        findings = sorted(dict.fromkeys(findings), key=_strongest_first)
    return tuple(findings)


def _notes_on_evidence(case: Case, findings: list[Finding]) -> list[Finding]:
    """Say which reviews and acknowledgements lifted nothing, and why: they can be mended."""
    card = next(each.card for each in RULES if each.card.code == "evidence.invalid")
    return [
        _finding(case, card, Effect.NOTE, Breach(sentence=sentence))
        for sentence in of_no_use(case, findings)
    ]


def _strongest_first(finding: Finding) -> tuple[int, str, str, str]:
    first = finding.evidence[0] if finding.evidence else None
    reference = "" if first is None else f"{first.reference}/{first.version_id}"
    return -finding.effect, finding.code, reference, finding.sentence


def _version_key(version: ResourceVersion) -> tuple[str, str, str]:
    return version.reference, version.version_id or "", version.last_updated or ""
