"""Cases in an emergency: declared completely, and what has to be acknowledged is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.request import Acknowledgement, Emergency, Evidence
from fhirmsg.guidance.rule import Lift
from fhirmsg.guidance.terms import Person, Protects
from tests import builders

REGISTRAR = Person(identifier="Practitioner/registrar", name="Rhys Registrar", role="registrar")
REVIEWERS = frozenset({"Caldicott Guardian", "IG lead", "practice nurse"})


def a_declaration(case: Case, **fields: Any) -> Emergency:
    """Give a complete declaration by the person who asks for the message."""
    defaults = {
        "declared_by": case.request.requester,
        "declared_at": case.as_of - timedelta(minutes=5),
        "reason": "ptarmigan-reason",
        "protects": Protects.PATIENT,
        "consulted": Person(name="Sam Senior", role="consultant on call"),
    }
    return Emergency(**{**defaults, **fields})


def in_emergency(case: Case, declaration: Emergency | None = None, **fields: Any) -> Case:
    """Give the case with an emergency declared, and all that can be acknowledged is."""
    brought = declaration or a_declaration(case, **fields)
    policy = replace(case.policy, review=REVIEWERS)
    declared = replace(
        case,
        policy=policy,
        request=replace(case.request, evidence=Evidence(emergency=brought)),
    )
    seen = tuple(
        Acknowledgement(
            code=finding.code,
            reference=version.reference,
            version_id=version.version_id,
            confirmed_by=REGISTRAR if finding.code == "person.restricted" else None,
        )
        for finding in decide(declared).findings
        if Lift.ACKNOWLEDGEMENT in finding.lifted_by
        for version in finding.evidence
    )
    evidence = Evidence(emergency=brought, acknowledged=seen)
    return replace(declared, request=replace(declared.request, evidence=evidence))


def objected(**fields: Any) -> Case:
    """Give a case in which the patient objects to texts, and an emergency sets it aside."""
    return in_emergency(
        builders.a_case(consents=(builders.an_objection(builders.Channel.SMS),), **fields)
    )
