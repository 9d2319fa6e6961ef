"""What lifts a finding, who stands for it, and which evidence lifts nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.lifts import lifted, of_no_use
from fhirmsg.guidance.record import Gap
from fhirmsg.guidance.request import Acknowledgement, Asserted, CitedVersion, PracticalReason
from fhirmsg.guidance.rule import Breach, Card, Effect, Finding, Lift, Lifted
from fhirmsg.guidance.terms import Person
from tests.builders import (
    GUARDIAN,
    NURSE,
    a_case,
    a_patient,
    a_review,
    an_objection,
    finding_of,
    in_emergency,
    reviewed,
    with_evidence,
)

MANAGER = Person(identifier="Practitioner/manager", name="Mo Manager", role="practice manager")
LEFT = "person.left"


def left() -> Case:
    """Give a case that is held, because the patient has left registration."""
    return a_case(patient=a_patient(left="TRA"))


# --- who stands for it -------------------------------------------------------------------------


def lift_of(case: Case, lift: Lift) -> Lifted | None:
    card = Card(
        code="content.tone",
        section="Scope",
        states="",
        effect=Effect.HOLD,
        in_emergency=Effect.HOLD,
        lifted_by=(lift,),
    )
    return lifted(case, card, Breach(sentence=""))


@pytest.mark.parametrize(
    ("lift", "part"),
    [
        (Lift.NECESSITY, {"necessity": Asserted(reason="It is asked for.", by=MANAGER)}),
        (
            Lift.ACCESSIBLE_ALTERNATIVE,
            {"accessible_alternative": Asserted(reason="Read out by telephone.", by=MANAGER)},
        ),
        (
            Lift.PRACTICAL_REASON,
            {
                "practical_reason": PracticalReason(
                    reason="The post is on strike.",
                    by=MANAGER,
                    important_for_care=True,
                    only_practical_way=True,
                )
            },
        ),
    ],
)
def test_what_somebody_stands_for_lifts_and_names_them(lift: Lift, part: dict[str, Any]) -> None:
    assert lift_of(a_case(), lift) is None
    assert lift_of(with_evidence(a_case(), **part), lift) == Lifted(
        by=lift, who="Practitioner/manager"
    )
    (name, given), *_ = part.items()
    incomplete = with_evidence(a_case(), **{name: replace(given, reason=" ")})
    assert lift_of(incomplete, lift) is None


def test_an_acknowledgement_lifts_in_the_name_of_the_declarer() -> None:
    seen = Acknowledgement(code="content.tone")
    assert lift_of(in_emergency(a_case(), seen), Lift.ACKNOWLEDGEMENT) == Lifted(
        by=Lift.ACKNOWLEDGEMENT, who="Practitioner/nurse"
    )
    assert lift_of(with_evidence(a_case(), acknowledged=(seen,)), Lift.ACKNOWLEDGEMENT) is None
    other = in_emergency(a_case(), Acknowledgement(code="content.length"))
    assert lift_of(other, Lift.ACKNOWLEDGEMENT) is None


# --- of no use ---------------------------------------------------------------------------------

NAMES_NONE = "it names no finding of this message that stops it."


def useless(case: Case) -> list[str]:
    """Give what is said of evidence that lifts nothing."""
    return [
        finding.sentence
        for finding in decide(case).findings
        if finding.code == "evidence.invalid" and "of no use" in finding.sentence
    ]


def test_a_review_that_lifts_its_finding_is_of_use() -> None:
    assert useless(reviewed(left(), LEFT)) == []


def test_a_review_of_what_was_not_found_names_no_finding() -> None:
    case = with_evidence(left(), reviews=(a_review(left(), "proxy.scope"),))
    assert useless(case) == [f"The review is of no use: {NAMES_NONE}"]


def test_a_review_of_what_does_not_stop_the_message_names_no_finding() -> None:
    case = a_case(consents=(an_objection(performer_related=True),))
    noted = with_evidence(case, reviews=(a_review(case, "objection.by-proxy"),))
    assert useless(noted) == [f"The review is of no use: {NAMES_NONE}"]


def test_a_review_of_what_no_review_lifts_says_so() -> None:
    case = a_case(patient=a_patient(died="a date of death"))
    given = with_evidence(case, reviews=(a_review(case, "person.deceased"),))
    assert useless(given) == ["The review of person.deceased is of no use: it does not lift that."]


OTHER_VERSIONS = (
    "is of no use: what it says, or the versions it names, are not what the finding asks for now."
)


def test_a_review_of_another_version_says_so() -> None:
    seen = (CitedVersion(reference="Patient/amara", version_id="6"),)
    case = with_evidence(left(), reviews=(a_review(left(), LEFT, resources=seen),))
    assert useless(case) == [f"The review of {LEFT} {OTHER_VERSIONS}"]


def test_of_two_reviews_the_one_that_lifts_makes_the_other_no_matter() -> None:
    seen = (CitedVersion(reference="Patient/amara", version_id="6"),)
    reviews = (a_review(left(), LEFT, resources=seen), a_review(left(), LEFT))
    assert useless(with_evidence(left(), reviews=reviews)) == []


def test_an_incomplete_review_is_told_as_such_and_not_as_useless() -> None:
    case = with_evidence(left(), reviews=(a_review(left(), "proxy.scope", note=""),))
    assert useless(case) == []


def test_an_acknowledgement_is_of_use_in_an_emergency_alone() -> None:
    case = a_case(consents=(an_objection(),))
    seen = Acknowledgement(code="objection.active", reference="Consent/objection", version_id="1")
    assert useless(in_emergency(case, seen)) == []
    assert useless(with_evidence(case, acknowledged=(seen,))) == []
    stale = replace(seen, version_id="0")
    assert useless(in_emergency(case, stale)) == [
        f"The acknowledgement of objection.active {OTHER_VERSIONS}"
    ]
    assert useless(in_emergency(case, Acknowledgement(code="proxy.unclear"))) == [
        f"The acknowledgement is of no use: {NAMES_NONE}"
    ]
    assert useless(in_emergency(case, Acknowledgement())) == [
        f"The acknowledgement is of no use: {NAMES_NONE}"
    ]


def test_what_an_emergency_lowers_by_itself_needs_no_acknowledgement_and_makes_none_useless() -> (
    None
):
    case = in_emergency(left())
    assert finding_of(case, LEFT).effect is Effect.WARN
    assert useless(with_evidence(case, reviews=(a_review(case, LEFT),))) == []


def a_finding(**fields: Any) -> Finding:
    defaults = {
        "code": LEFT,
        "section": "Scope",
        "effect": Effect.HOLD,
        "normally": Effect.HOLD,
        "sentence": "",
        "lifted_by": (Lift.REVIEW,),
    }
    return Finding(**{**defaults, **fields})


def test_of_several_findings_of_one_code_the_one_that_still_stops_the_message_counts() -> None:
    case = with_evidence(left(), reviews=(a_review(left(), LEFT),))
    still = a_finding()
    gone = a_finding(
        effect=Effect.WARN, lifted=Lifted(by=Lift.REVIEW, who=GUARDIAN.identifier or "")
    )
    for order in ([still, gone], [gone, still]):
        assert list(of_no_use(case, order)) == [f"The review of {LEFT} {OTHER_VERSIONS}"]
    assert list(of_no_use(case, [gone])) == []
    warned = a_finding(effect=Effect.WARN, normally=Effect.WARN)
    assert list(of_no_use(case, [warned])) == [f"The review is of no use: {NAMES_NONE}"]


def test_what_could_not_be_read_is_acknowledged_for_a_patient_alone() -> None:
    gaps = (Gap(sentence="Page 2 answered 500."),)
    case = in_emergency(a_case(gaps=gaps), "read.incomplete")
    found = finding_of(case, "read.incomplete")
    assert found.lifted == Lifted(by=Lift.ACKNOWLEDGEMENT, who=NURSE.identifier or "")
