"""Evidence for a case: whole, or broken in each way there is.

A plan names, for each piece, the way in which it is given; what has to cite findings is built
from what is found in the very case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.request import (
    Acknowledgement,
    Asserted,
    CitedVersion,
    Conversation,
    Emergency,
    Evidence,
    IndividualCheck,
    PracticalReason,
    Review,
)
from fhirmsg.guidance.rule import Finding, Lift
from fhirmsg.guidance.terms import Declared, Person, Protects
from tests.builders import GUARDIAN, NURSE, an_override
from tests.guidance.strategies.draws import named

DPO = Person(identifier="Practitioner/dpo", name="Dilys Officer", role="Data Protection Officer")
PORTER = Person(identifier="Practitioner/porter", name="Pat Porter", role="porter")
_NOBODY = Person()
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

Change = Callable[[Case], dict[str, Any]]


def _always(**fields: Any) -> Change:
    return lambda case: fields


# What each way of giving a piece changes in the whole one.
EMERGENCIES: dict[str, Change] = {
    "whole": _always(),
    "decided alone": _always(consulted=None, none_available_reason="It is night."),
    "protecting others": _always(protects=Protects.OTHERS),
    "by nobody": _always(declared_by=None),
    "by another": _always(declared_by=PORTER),
    "without a reason": _always(reason="\u200b"),
    "protecting nobody": _always(protects=None),
    "neither consulted nor alone": _always(consulted=None),
    "consulting somebody unnamed": _always(consulted=Person(role="consultant")),
    "without a time": _always(declared_at=None),
    "stale": lambda case: {"declared_at": case.as_of - 2 * _HOUR},
    "to come": lambda case: {"declared_at": case.as_of + _HOUR},
}
OVERRIDES: dict[str, Change] = {
    "whole": _always(),
    "without a conversation": _always(conversation=None),
    "without an approver": _always(approver=None),
    "by a porter": _always(approver=PORTER),
    "of another message": _always(message_digest="0" * 64),
    "of no objection": _always(objections=()),
    "expired": lambda case: {"expires_at": case.as_of},
    "without circumstances": _always(circumstances=" "),
}
REVIEWS: dict[str, Change] = {
    "whole": _always(),
    "by a porter": _always(reviewer=PORTER),
    "by the officer": _always(reviewer=DPO),
    "by nobody": _always(reviewer=None),
    "without a note": _always(note="\u2800"),
    "without a time": _always(at=None),
    "to come": lambda case: {"at": case.as_of + _HOUR},
    "of another message": _always(message_id="another"),
    "of other words": _always(message_digest="0" * 64),
    "of nothing": _always(code=None),
    "citing nothing": _always(resources=()),
}
CHECKS: dict[str, Change] = {
    "yes": _always(),
    "no": _always(answer=Declared.NO),
    "unknown": _always(answer=Declared.UNKNOWN),
    "another service": _always(service="urn:example|other"),
    "another proxy": _always(proxy="RelatedPerson/eve"),
    "by the proxy": lambda case: {"by": replace(NURSE, identifier=case.recipient.reference)},
    "by nobody": _always(by=_NOBODY),
    "old": lambda case: {"at": case.as_of - 400 * _DAY},
    "without a time": _always(at=None),
}
ASSERTIONS: dict[str, Change] = {
    "whole": _always(),
    "without a reason": _always(reason="\ufeff"),
    "by nobody": _always(by=None),
}
REASONS: dict[str, Change] = {
    **ASSERTIONS,
    "not important": _always(important_for_care=False),
    "not the only way": _always(only_practical_way=None),
}
ACKNOWLEDGED: dict[str, Change] = {
    "all": _always(),
    "without versions": _always(reference=None, version_id=None),
    "of older versions": _always(version_id="0"),
    "unconfirmed": _always(confirmed_by=None),
}
WAYS: dict[str, dict[str, Change]] = {
    "emergency": EMERGENCIES,
    "override": OVERRIDES,
    "reviews": REVIEWS,
    "individual_check": CHECKS,
    "necessity": ASSERTIONS,
    "practical_reason": REASONS,
    "accessible_alternative": ASSERTIONS,
    "acknowledged": ACKNOWLEDGED,
}
Plan = Mapping[str, str]

# Evidence that is good, in and outside of an emergency.
_GOOD = {piece: next(iter(ways)) for piece, ways in WAYS.items()}
NORMAL: Plan = {
    piece: way for piece, way in _GOOD.items() if piece not in ("emergency", "acknowledged")
}
DECLARED: Plan = {"emergency": "whole"}
GONE_ON: Plan = {"emergency": "whole", "acknowledged": "all"}
ALL: Plan = dict(_GOOD)

_PIECES = [(piece, way) for piece, ways in WAYS.items() for way in ways]
plans: st.SearchStrategy[Plan] = named(
    "plans",
    st.one_of(
        st.sampled_from([{}, {}, NORMAL, DECLARED, GONE_ON, ALL]),
        st.lists(st.sampled_from(_PIECES), max_size=3).map(dict),
        st.lists(st.sampled_from(_PIECES), max_size=3).map(lambda more: {**GONE_ON, **dict(more)}),
    ),
)
# Every piece is whole, and any of them may be missing.
good_plans: st.SearchStrategy[Plan] = named(
    "good_plans",
    st.sets(st.sampled_from(sorted(_GOOD))).map(
        lambda pieces: {piece: _GOOD[piece] for piece in sorted(pieces)}
    ),
)


def with_evidence(case: Case, plan: Plan) -> Case:
    """Give the case with the evidence that a plan asks for, and no other."""
    declared = _bringing(case, Evidence(emergency=_emergency(case, plan)))
    if not plan:
        return declared
    found = decide(declared).findings if {"reviews", "acknowledged"} & set(plan) else ()
    evidence = declared.request.evidence
    for piece, make in _MAKERS.items():
        if piece in plan:
            changed = WAYS[piece][plan[piece]](case)
            evidence = replace(evidence, **{piece: make(declared, found, changed)})
    return _bringing(case, evidence)


def without_evidence(case: Case) -> Case:
    """Give the case as it is before anybody brings anything."""
    return _bringing(case, Evidence())


def _bringing(case: Case, evidence: Evidence) -> Case:
    # Evidence is no part of what the digest is made of.
    return replace(case, request=replace(case.request, evidence=evidence))


def _emergency(case: Case, plan: Plan) -> Emergency | None:
    if "emergency" not in plan:
        return None
    whole = Emergency(
        declared_by=case.request.requester,
        declared_at=case.as_of - timedelta(minutes=5),
        reason="She may come to harm today.",
        protects=Protects.PATIENT,
        consulted=Person(name="Sam Senior", role="consultant"),
    )
    return replace(whole, **EMERGENCIES[plan["emergency"]](case))


def _override(case: Case, found: tuple[Finding, ...], changed: dict[str, Any]) -> Any:
    talk = Conversation(by=NURSE, at=case.as_of - _HOUR)
    return an_override(case, **{"conversation": talk, **changed})


def _reviews(case: Case, found: tuple[Finding, ...], changed: dict[str, Any]) -> Any:
    return tuple(
        Review(
            **{
                "code": finding.code,
                "reviewer": GUARDIAN,
                "note": "Talked over with the team.",
                "at": case.as_of - _HOUR,
                "message_id": case.message_id,
                "message_digest": case.message_digest,
                "resources": tuple(
                    CitedVersion(reference=each.reference, version_id=each.version_id)
                    for each in finding.evidence
                ),
                **changed,
            }
        )
        for finding in found
        if Lift.REVIEW in finding.lifted_by
    )


def _acknowledged(case: Case, found: tuple[Finding, ...], changed: dict[str, Any]) -> Any:
    return tuple(
        Acknowledgement(
            **{
                "code": finding.code,
                "reference": version and version.reference,
                "version_id": version and version.version_id,
                "confirmed_by": NURSE if finding.code == "person.restricted" else None,
                **changed,
            }
        )
        for finding in found
        if Lift.ACKNOWLEDGEMENT in finding.lifted_by
        for version in finding.evidence or (None,)
    )


def _check(case: Case, found: tuple[Finding, ...], changed: dict[str, Any]) -> Any:
    whole = IndividualCheck(
        proxy=case.recipient.reference,
        service=case.request.service.code,
        answer=Declared.YES,
        by=NURSE,
        at=case.as_of - 2 * _DAY,
    )
    return replace(whole, **changed)


def _assertion(case: Case, found: tuple[Finding, ...], changed: dict[str, Any]) -> Any:
    return Asserted(**{"reason": "There is no other way today.", "by": NURSE, **changed})


def _practical(case: Case, found: tuple[Finding, ...], changed: dict[str, Any]) -> Any:
    whole = PracticalReason(
        important_for_care=True, only_practical_way=True, reason="No call is answered.", by=NURSE
    )
    return replace(whole, **changed)


_MAKERS: dict[str, Callable[[Case, tuple[Finding, ...], dict[str, Any]], Any]] = {
    "override": _override,
    "reviews": _reviews,
    "individual_check": _check,
    "necessity": _assertion,
    "practical_reason": _practical,
    "accessible_alternative": _assertion,
    "acknowledged": _acknowledged,
}
