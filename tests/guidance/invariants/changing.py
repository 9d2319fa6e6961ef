"""How tests of invariants change a case, and how they weigh what is decided.

`weight` orders decisions: nothing or a note, a warning, a hold, a refusal, a refusal for good.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, decide
from fhirmsg.guidance.provisions import Direction, Provision
from fhirmsg.guidance.record import ConsentFacts, Preferences
from fhirmsg.guidance.request import message_digest
from fhirmsg.guidance.rule import Effect, Finding
from fhirmsg.guidance.rules import RULES

FINAL = {each.card.code for each in RULES if each.card.is_final}
# Findings that depend on where else the recipient could be reached: one more bar there may end
# them, since the guidance asks for the preferred way only where it can be used.
ELSEWHERE = frozenset({"preference.ignored", "preference.unavailable", "confidential.necessity"})


def weight(case: Case, *, leaving_out: Collection[str] = ()) -> int:
    """Give the severity of a decision."""
    findings = [each for each in decide(case).findings if each.code not in leaving_out]
    strongest = max((finding.effect for finding in findings), default=Effect.NOTE)
    return int(strongest) + any(finding.code in FINAL for finding in findings)


def said(decision: Decision, *, leaving_out: Collection[str] = ()) -> list[dict[str, Any]]:
    """Give the findings, without the list of what was read."""
    return [each.as_json() for each in decision.findings if each.code not in leaving_out]


def found(case: Case, code: str) -> list[Finding]:
    """Give the findings under one code."""
    return [each for each in decide(case).findings if each.code == code]


def with_record(case: Case, **fields: Any) -> Case:
    """Give the case with another record."""
    return replace(case, record=replace(case.record, **fields))


def with_patient(case: Case, **fields: Any) -> Case:
    """Give the case with another patient."""
    return with_record(case, patient=replace(case.record.patient, **fields))


def with_policy(case: Case, **fields: Any) -> Case:
    """Give the case under another policy."""
    return replace(case, policy=replace(case.policy, **fields))


def with_platform(case: Case, **fields: Any) -> Case:
    """Give the case with its platform registered otherwise."""
    platform = replace(case.platform, **fields)
    return with_policy(case, platforms={**case.policy.platforms, platform.name: platform})


def with_evidence_of(case: Case, **fields: Any) -> Case:
    """Give the case with other evidence, its other pieces as they are."""
    evidence = replace(case.request.evidence, **fields)
    return replace(case, request=replace(case.request, evidence=evidence))


def with_consents(case: Case, *more: ConsentFacts) -> Case:
    """Give the case with more Consents on the patient's record, under ids of their own."""
    added = [
        replace(each, version=replace(each.version, reference=f"Consent/added-{number}"))
        for number, each in enumerate(more)
    ]
    return with_record(case, consents=(*case.record.consents, *added))


def without(case: Case, consent: ConsentFacts) -> Case:
    """Give the case without a Consent."""
    kept = tuple(each for each in case.record.consents if each != consent)
    return with_record(case, consents=kept)


def changed(case: Case, old: ConsentFacts, new: ConsentFacts) -> Case:
    """Give the case with a Consent in the place of another."""
    consents = tuple(new if each == old else each for each in case.record.consents)
    return with_record(case, consents=consents)


def asking(case: Case, **fields: Any) -> Case:
    """Give the case of another message."""
    request = replace(case.request, **fields)
    return replace(case, request=request, message_digest=message_digest(request))


def alone(case: Case) -> Case:
    """Give the case in which nobody else is at a contact point, and none is restricted.

    A denial of somebody at a contact point, or a restriction of it, moves the message to the
    next one, which may be a better one.
    """
    return with_record(case, neighbours=(), digests={})


def without_preferences(case: Case) -> Case:
    """Give the case in which the recipient prefers nothing.

    An objection to a preferred channel makes it unusable, so that it need not be used.
    """
    none, recipient = Preferences(), case.record.recipient
    related, own = recipient.related, recipient.own_patient
    recipient = replace(
        recipient,
        related=related and replace(related, preferences=none),
        own_patient=own and replace(own, preferences=none),
    )
    return with_record(with_patient(case, preferences=none), recipient=recipient)


def with_roots(case: Case, change: Callable[[Provision], Provision]) -> Case:
    """Give the case with every provision tree changed."""

    def new(consents: tuple[ConsentFacts, ...]) -> tuple[ConsentFacts, ...]:
        return tuple(replace(each, root=each.root and change(each.root)) for each in consents)

    record = case.record
    recipient = replace(record.recipient, own_consents=new(record.recipient.own_consents))
    return with_record(
        case,
        consents=new(record.consents),
        linked_consents=new(record.linked_consents),
        recipient=recipient,
    )


def for_any_purpose(case: Case) -> Case:
    """Give the case in which no permission is limited to purposes.

    In an emergency such a permission applies where it does not otherwise (ETREAT), with the
    exceptions that stand in it; and one that stands in a denial reopens it.
    """

    def plain(root: Provision) -> Provision:
        purposes = root.purposes if root.type is Direction.DENY else ()
        return replace(root, purposes=purposes, nested=tuple(map(plain, root.nested)))

    return with_roots(case, plain)
