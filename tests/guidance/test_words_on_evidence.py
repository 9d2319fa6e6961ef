"""What is said of evidence that does not count, or that found nothing to lift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.request import Acknowledgement, Asserted, IndividualCheck, PracticalReason
from fhirmsg.guidance.terms import Declared
from tests.builders import (
    GUARDIAN,
    NURSE,
    a_case,
    a_patient,
    a_review,
    an_objection,
    in_emergency,
    reviewed,
    with_evidence,
)


def said(case: Case) -> list[str]:
    """Give the sentences of evidence.invalid."""
    return [each.sentence for each in decide(case).findings if each.code == "evidence.invalid"]


def left(**fields: Any) -> Case:
    return a_case(patient=a_patient(left="TRA", **fields))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"acknowledged": (Acknowledgement(code="person.left"),)},
            "The acknowledgement does not count: no valid declaration of an emergency stands "
            "beside it.",
        ),
        (
            {"necessity": Asserted(by=NURSE)},
            "The necessity does not count: it gives no reason.",
        ),
        (
            {"necessity": Asserted(reason="So it is.")},
            "The necessity does not count: it does not name who stands for it, with identifier, "
            "name and role.",
        ),
        (
            {"accessible_alternative": Asserted(by=NURSE)},
            "The accessible alternative does not count: it gives no reason.",
        ),
        (
            {"practical_reason": PracticalReason(reason="So it is.", by=NURSE)},
            "The practical reason does not count: it does not say that the message is important "
            "for care; it does not say that this is the only practical way.",
        ),
        (
            {"individual_check": IndividualCheck(answer=Declared.YES, by=NURSE)},
            "The individual check does not count: it is not about this proxy; the request names "
            "no service that it could be about; it does not say when the individual was asked.",
        ),
    ],
)
def test_a_piece_that_does_not_count_is_named_with_all_that_is_wrong(
    parts: Any, sentence: str
) -> None:
    assert said(with_evidence(a_case(), **parts)) == [sentence]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"code": None}, "review of a finding that is not named does not count: it does not say"),
        ({"code": "a.b c"}, "review of a finding that is not named"),
        ({"code": "Person.left"}, "review of a finding that is not named"),
        ({"reviewer": NURSE}, "The review of person.left does not count: the reviewer's role may"),
        ({"note": ""}, "The review of person.left does not count: it holds no note of what"),
        ({"at": None}, "The review of person.left does not count: it does not say when it was"),
        ({"message_id": None}, "The review of person.left does not count: it was made for another"),
    ],
)
def test_a_review_that_does_not_count_is_named_by_its_code(fields: Any, words: str) -> None:
    (sentence,) = said(reviewed(left(), "person.left", **fields))
    assert words in sentence


def test_every_fault_of_a_review_is_told_at_once() -> None:
    given = {
        name: None for name in ("reviewer", "note", "at", "message_id", "message_digest", "code")
    }
    (sentence,) = said(reviewed(left(), "person.left", **given))
    assert sentence.count(";") == 5


# --- evidence that is whole and of no use ------------------------------------------------------


def test_a_review_of_nothing_that_was_found_is_told() -> None:
    case = reviewed(left(), "person.left", code="person.inactive", resources=())
    assert said(case) == [
        "The review is of no use: it names no finding of this message that stops it."
    ]


def test_a_review_of_a_warning_or_note_is_of_no_use() -> None:
    case = a_case(patient=a_patient(contact_points=()))
    warned = reviewed(case, "contact.none")
    assert said(warned) == ["The review of contact.none is of no use: it does not lift that."]


@pytest.mark.parametrize("resources", [(), None])
def test_a_review_of_another_version_is_told(resources: Any) -> None:
    case = left()
    review = a_review(case, "person.left")
    cited = tuple(replace(each, version_id="6") for each in review.resources)
    case = reviewed(case, "person.left", resources=cited if resources is None else resources)
    assert said(case) == [
        "The review of person.left is of no use: what it says, or the versions it names, are not "
        "what the finding asks for now."
    ]


def test_of_several_findings_of_one_code_the_one_that_is_not_lifted_is_told() -> None:
    case = a_case(consents=(an_objection(id="1"), an_objection(id="2")))
    one = Acknowledgement(code="objection.active", reference="Consent/1", version_id="1")
    two = Acknowledgement(code="objection.active", reference="Consent/2", version_id="1")
    for seen in (one, two):
        (sentence,) = said(in_emergency(case, seen))
        assert sentence.startswith("The acknowledgement of objection.active is of no use")
    assert said(in_emergency(case, one, two)) == []


def test_an_acknowledgement_of_what_none_lifts_is_told() -> None:
    case = in_emergency(left(active=False), "person.left", "person.inactive")
    assert said(case) == ["The acknowledgement of person.left is of no use: it does not lift that."]


def test_an_acknowledgement_of_a_restricted_record_needs_who_confirmed_the_number() -> None:
    case = a_case(patient=a_patient(restricted=True))
    (sentence,) = said(in_emergency(case, "person.restricted"))
    assert "acknowledgement of person.restricted is of no use" in sentence
    whole = Acknowledgement(code="person.restricted", confirmed_by=GUARDIAN)
    assert said(in_emergency(case, whole)) == []


def test_evidence_that_lifts_is_not_spoken_of() -> None:
    assert said(reviewed(left(), "person.left")) == []
    assert said(a_case()) == []
