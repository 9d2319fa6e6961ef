"""What a message stood on beside the plain rules: all of it, in one place no proxy reads."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fhirmsg.fhir.provenance import activities, provenance
from fhirmsg.fhir.resources import validated
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, decide
from fhirmsg.guidance.request import (
    Asserted,
    Evidence,
    IndividualCheck,
    PracticalReason,
    Review,
)
from fhirmsg.guidance.rule import Effect, Finding, Lift, Lifted
from fhirmsg.guidance.terms import Declared, ResourceVersion
from tests import builders, emergencies
from tests.fhir.drafts import an_emergency_case, an_overridden_case

AT = datetime(2026, 11, 24, 10, 0, 30, tzinfo=UTC)
GRANT = ResourceVersion(reference="Consent/grant", version_id="2")


def of(case: Case, decision: Decision | None = None) -> dict[str, Any]:
    """Give the Provenance of a case."""
    judged = decision or decide(case)
    return validated(provenance("Communication/9", case.request, judged, AT))


def lifting(lift: Lift, code: str, who: str = "Practitioner/guardian") -> Decision:
    """Give a decision in which one finding was lifted so."""
    finding = Finding(
        code=code,
        section="any",
        effect=Effect.WARN,
        normally=Effect.HOLD,
        sentence="Something.",
        lifted=Lifted(by=lift, who=who),
        evidence=(GRANT,),
    )
    return replace(decide(builders.a_case()), findings=(finding,))


def with_evidence(**evidence: Any) -> Case:
    """Give a case whose request brings this evidence."""
    return builders.a_case(request=builders.a_request(evidence=Evidence(**evidence)))


def agents(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (each["type"]["coding"][0]["code"], each["who"]["display"]) for each in resource["agent"]
    ]


def activity(resource: dict[str, Any]) -> list[str]:
    return [coding["code"] for coding in resource["activity"]["coding"]]


def test_an_override_says_who_asked_who_approved_and_why() -> None:
    resource = of(an_overridden_case())
    assert resource["meta"]["security"][0]["code"] == "R"
    assert resource["target"] == [{"reference": "Communication/9"}]
    assert activity(resource) == ["override-objection"]
    [reason] = resource["reason"]
    assert reason["coding"][0]["code"] == "BTG"
    assert "ptarmigan-reason" in reason["text"]
    assert "ptarmigan-circumstances" in reason["text"]
    assert resource["entity"][0]["what"]["reference"] == "Consent/objection/_history/1"
    assert agents(resource) == [
        ("author", "Nia Nurse, practice nurse"),
        ("verifier", "Gita Guardian, Caldicott Guardian"),
    ]


def test_an_emergency_says_who_declared_it_why_and_what_was_acknowledged() -> None:
    resource = of(an_emergency_case())
    assert activity(resource) == ["emergency-send"]
    [reason] = resource["reason"]
    assert reason["coding"][0]["code"] == "ETREAT"
    assert "ptarmigan-reason" in reason["text"]
    assert "objection.active" in reason["text"]
    assert resource["entity"][0]["what"]["display"] == "Consent/objection, version 1"
    # The declarer is the person who asks, and is named once.
    assert agents(resource) == [
        ("author", "Nia Nurse, practice nurse"),
        ("informant", "Sam Senior, consultant on call"),
    ]


def test_an_emergency_in_which_nobody_could_be_asked_says_why() -> None:
    case = emergencies.in_emergency(
        builders.a_case(), consulted=None, none_available_reason="ptarmigan-alone"
    )
    resource = of(case)
    assert "ptarmigan-alone" in resource["reason"][0]["text"]
    assert [part for part, _ in agents(resource)] == ["author"]


def test_who_confirmed_a_contact_point_of_a_restricted_record_is_named() -> None:
    case = emergencies.in_emergency(builders.a_case(patient=builders.a_patient(restricted=True)))
    assert ("informant", "Rhys Registrar, registrar") in agents(of(case))


def test_a_reviewers_note_stands_there_with_the_finding_and_the_reviewer() -> None:
    review = Review(code="proxy.scope", reviewer=builders.GUARDIAN, note="ptarmigan-note")
    other = replace(review, code="proxy.unclear", note="of something else")
    resource = of(with_evidence(reviews=(other, review)), lifting(Lift.REVIEW, "proxy.scope"))
    assert activity(resource) == ["evidence"]
    [reason] = resource["reason"]
    assert reason["coding"][0]["code"] == "review"
    assert reason["text"] == "proxy.scope: ptarmigan-note"
    assert ("verifier", "Gita Guardian, Caldicott Guardian") in agents(resource)
    assert resource["entity"][0]["what"]["reference"] == "Consent/grant/_history/2"


def test_a_review_that_stands_on_the_record_names_who_made_it() -> None:
    decision = lifting(Lift.REVIEW, "proxy.scope", who="Practitioner/earlier")
    resource = of(builders.a_case(), decision)
    assert resource["agent"][1]["who"]["identifier"] == {"value": "Practitioner/earlier"}
    assert "as it stands on the record" in resource["reason"][0]["text"]


@pytest.mark.parametrize(
    ("lift", "evidence"),
    [
        (
            Lift.NECESSITY,
            {"necessity": Asserted(reason="ptarmigan-said", by=builders.GUARDIAN)},
        ),
        (
            Lift.ACCESSIBLE_ALTERNATIVE,
            {"accessible_alternative": Asserted(reason="ptarmigan-said", by=builders.GUARDIAN)},
        ),
        (
            Lift.PRACTICAL_REASON,
            {"practical_reason": PracticalReason(reason="ptarmigan-said", by=builders.GUARDIAN)},
        ),
        (
            Lift.INDIVIDUAL_CHECK,
            {"individual_check": IndividualCheck(answer=Declared.YES, by=builders.GUARDIAN)},
        ),
    ],
)
def test_whoever_stands_for_a_piece_of_evidence_is_named_with_what_they_said(
    lift: Lift, evidence: dict[str, Any]
) -> None:
    resource = of(with_evidence(**evidence), lifting(lift, "some.finding"))
    [reason] = resource["reason"]
    assert reason["coding"][0]["code"] == str(lift)
    said = "answer was yes" if lift is Lift.INDIVIDUAL_CHECK else "ptarmigan-said"
    assert said in reason["text"]
    assert ("informant", "Gita Guardian, Caldicott Guardian") in agents(resource)


def test_several_grounds_stand_in_one_provenance() -> None:
    case = an_overridden_case()
    override = case.request.evidence.override
    review = Review(code="proxy.scope", reviewer=builders.GUARDIAN, note="ptarmigan-note")
    brought = Evidence(override=override, reviews=(review,))
    reviewed = lifting(Lift.REVIEW, "proxy.scope").findings
    decision = decide(case)
    both = replace(decision, findings=(*decision.findings, *reviewed))
    resource = of(replace(case, request=replace(case.request, evidence=brought)), both)
    assert activity(resource) == ["evidence", "override-objection"]
    assert [each["coding"][0]["code"] for each in resource["reason"]] == ["BTG", "review"]


def test_a_plain_message_stands_on_the_rules_alone() -> None:
    decision = decide(builders.a_case())
    assert activities(decision) == ()
    with pytest.raises(ValueError, match="no evidence"):
        provenance("Communication/9", builders.a_request(), decision, AT)


@pytest.mark.parametrize("case", [an_overridden_case(), an_emergency_case()])
def test_grounds_without_their_evidence_are_a_fault_of_ours(case: Case) -> None:
    with pytest.raises(ValueError, match="the request"):
        provenance("Communication/9", builders.a_request(), decide(case), AT)


def test_neither_text_nor_contact_detail_of_the_message_stands_there() -> None:
    text = json.dumps(of(an_emergency_case()))
    assert builders.a_request().content.body not in text
    assert "7700900101" not in text
