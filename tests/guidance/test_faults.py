"""What is wrong with a piece of evidence, in the very words its sender reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.declarations import emergency_faults
from fhirmsg.guidance.evidence import (
    evidence_faults,
    faults_of_assertion,
    faults_of_check,
    faults_of_practical_reason,
    override_faults,
)
from fhirmsg.guidance.request import (
    Acknowledgement,
    Asserted,
    Conversation,
    PracticalReason,
    Review,
    Service,
)
from fhirmsg.guidance.reviews import faults_of_review
from fhirmsg.guidance.terms import Declared, Person
from tests.builders import (
    BEN,
    GUARDIAN,
    NOW,
    NURSE,
    a_case,
    a_check,
    a_grant,
    a_proxy_case,
    a_request,
    a_review,
    an_emergency,
    an_objection,
    with_evidence,
    with_override,
)

DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
EVE = Person(identifier="Practitioner/eve", name="Eve Else", role="receptionist")


# --- override ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"reason": None}, "it gives no reason"),
        (
            {"circumstances": None},
            "it does not say which circumstances of the patient were considered",
        ),
        (
            {"approver": replace(GUARDIAN, name=None)},
            "it does not name an approver with identifier, name and role",
        ),
        (
            {"approver": EVE},
            "the approver's role may not approve overrides under the organisation's policy",
        ),
        (
            {"approver": replace(NURSE, role=GUARDIAN.role)},
            "the approver is the person who asks for the message",
        ),
        ({"approved_at": None}, "it does not say when it was approved and when it expires"),
        ({"approved_at": NOW - DAY}, "it would last longer than 24 hours"),
        (
            {"approved_at": NOW + HOUR / 2},
            f"it is approved for a time that has not come (our time is {NOW.isoformat()})",
        ),
        ({"expires_at": NOW}, f"it has expired (our time is {NOW.isoformat()})"),
        ({"message_id": "another"}, "it was approved for another message id"),
        ({"message_digest": "0" * 64}, "it was approved for a message with other content"),
        ({"objections": ()}, "the objections and versions it cites are not those in force"),
    ],
)
def test_an_override_says_what_it_lacks(fields: Any, fault: str) -> None:
    case = a_case(consents=(an_objection(),))
    assert override_faults(with_override(case, **fields)) == (fault,)


def test_an_override_says_what_the_objection_lacks() -> None:
    assert override_faults(with_override(a_case())) == ("there is no objection for it to override",)
    assert override_faults(with_override(a_case(consents=(an_objection(version=None),)))) == (
        "an objection has no version on the server, so nothing can be bound to it",
    )
    assert override_faults(
        with_override(a_case(consents=(an_objection(reason_recorded=False),)))
    ) == (
        "an objection has no reason recorded, so a conversation with the patient is needed: by "
        "whom and when",
    )


def test_a_conversation_may_be_ahead_of_our_clock_by_two_minutes() -> None:
    case = a_case(consents=(an_objection(reason_recorded=False),))

    def talked(at: Any) -> tuple[str, ...]:
        return override_faults(with_override(case, conversation=Conversation(by=NURSE, at=at)))

    assert talked(NOW + timedelta(seconds=120)) == ()
    assert len(talked(NOW + timedelta(seconds=121))) == 1


# --- emergency ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        (
            {"declared_by": replace(NURSE, name=" ")},
            "it does not name who declares it, with identifier, name and role",
        ),
        (
            {"declared_by": EVE},
            "it is declared by another person than the one who asks for the message",
        ),
        ({"reason": " "}, "it gives no reason"),
        ({"protects": None}, "it does not say whom the message is to protect"),
        (
            {"consulted": None},
            "it says neither who was consulted (name and role) nor why nobody could be asked",
        ),
        (
            {"consulted": Person(name="Sana Senior")},
            "it does not give the name and role of the person who was consulted",
        ),
        (
            {"consulted": Person(role="senior partner")},
            "it does not give the name and role of the person who was consulted",
        ),
        ({"declared_at": None}, "it does not say when it was declared"),
        (
            {"declared_at": NOW + timedelta(seconds=121)},
            f"it is declared for a time that has not come (our time is {NOW.isoformat()})",
        ),
        (
            {"declared_at": NOW - timedelta(minutes=62, seconds=1)},
            f"it was declared more than an hour ago (our time is {NOW.isoformat()}); "
            "declare it anew",
        ),
    ],
)
def test_a_declaration_says_what_it_lacks(fields: Any, fault: str) -> None:
    case = a_case()
    declared = with_evidence(case, emergency=an_emergency(case, **fields))
    assert emergency_faults(declared.request, NOW) == (fault,)


@pytest.mark.parametrize(
    "fields",
    [
        {"declared_at": NOW + timedelta(seconds=120)},
        {"declared_at": NOW - timedelta(minutes=62)},
        {"consulted": None, "none_available_reason": "Nobody answers at this hour."},
    ],
)
def test_a_declaration_counts_to_the_last_second_and_without_anybody_to_ask(fields: Any) -> None:
    case = a_case()
    declared = with_evidence(case, emergency=an_emergency(case, **fields))
    assert emergency_faults(declared.request, NOW) == ()


# --- review ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        (
            {"reviewer": replace(GUARDIAN, identifier=None)},
            "it does not name a reviewer with identifier, name and role",
        ),
        (
            {"reviewer": EVE},
            "the reviewer's role may not review this finding under the organisation's policy",
        ),
        ({"note": ""}, "it holds no note of what was considered"),
        ({"at": None}, "it does not say when it was made"),
        (
            {"at": NOW + timedelta(seconds=121)},
            f"it is dated in the future (our time is {NOW.isoformat()})",
        ),
        ({"message_id": "another"}, "it was made for another message id"),
        ({"message_digest": "0" * 64}, "it was made for a message with other content"),
    ],
)
def test_a_review_says_what_it_lacks(fields: Any, fault: str) -> None:
    case = a_case()
    assert faults_of_review(case, a_review(case, "content.tone", **fields)) == (fault,)


@pytest.mark.parametrize("code", [None, "", "content", "Content.tone", "content.tone and more"])
def test_a_review_names_a_finding(code: str | None) -> None:
    case = a_case()
    review = replace(a_review(case, "content.tone"), code=code)
    assert faults_of_review(case, review) == ("it does not say which finding it is about",)


def test_a_review_without_a_reviewer_lacks_one_and_nothing_else() -> None:
    case = a_case()
    assert faults_of_review(case, a_review(case, "content.tone", reviewer=None)) == (
        "it does not name a reviewer with identifier, name and role",
    )


# --- individual check --------------------------------------------------------------------------


def sensitive(code: str | None = "urn:service|sexual-health") -> Case:
    service = Service(code=code, sensitive=Declared.YES)
    return a_proxy_case(a_grant(), request=a_request(recipient=BEN, service=service))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"answer": Declared.UNKNOWN}, "it does not say whether the answer was yes or no"),
        ({"proxy": "RelatedPerson/other"}, "it is not about this proxy"),
        ({"service": "urn:service|physio"}, "it is not about the service of this message"),
        ({"by": None}, "it does not name who asked, with identifier, name and role"),
        ({"by": replace(NURSE, identifier=BEN)}, "it is made by the proxy"),
        ({"at": None}, "it does not say when the individual was asked"),
        (
            {"at": NOW + timedelta(seconds=121)},
            f"it is dated in the future (our time is {NOW.isoformat()})",
        ),
        (
            {"at": NOW - timedelta(days=180, seconds=1)},
            "it is older than the organisation's policy allows; ask again",
        ),
    ],
)
def test_a_check_says_what_it_lacks(fields: Any, fault: str) -> None:
    case = sensitive()
    assert faults_of_check(case, a_check(case, **fields)) == (fault,)


def test_a_check_says_that_there_is_no_service_to_be_about() -> None:
    case = sensitive(code=None)
    assert faults_of_check(case, a_check(case)) == (
        "the request names no service that it could be about",
    )


def test_a_no_stands_however_old_it_is() -> None:
    case = sensitive()
    assert faults_of_check(case, a_check(case, answer=Declared.NO, at=NOW - 4000 * DAY)) == ()


@pytest.mark.parametrize(
    "identifier", ["https://fhir.nhs.uk/Id/nhs-number|9990000026", "9990000026"]
)
def test_a_proxy_is_known_by_the_whole_identifier_and_by_its_value(identifier: str) -> None:
    case = sensitive()
    check = a_check(case, by=replace(NURSE, identifier=identifier))
    assert faults_of_check(case, check) == ("it is made by the proxy",)


def test_a_value_with_a_bar_in_it_is_compared_by_what_follows_the_last() -> None:
    case = sensitive()
    asked = a_check(case, by=replace(NURSE, identifier="nhs-number"))
    assert faults_of_check(case, asked) == ()


# --- reasons that somebody stands for ----------------------------------------------------------


def test_a_reason_says_what_it_lacks() -> None:
    assert faults_of_assertion(Asserted(reason=" ", by=replace(NURSE, role=None))) == (
        "it gives no reason",
        "it does not name who stands for it, with identifier, name and role",
    )
    assert faults_of_assertion(Asserted(reason="It was asked for.", by=NURSE)) == ()


def test_a_practical_reason_has_both_limbs() -> None:
    full = PracticalReason(
        reason="The post is on strike.",
        by=NURSE,
        important_for_care=True,
        only_practical_way=True,
    )
    important = "it does not say that the message is important for care"
    only = "it does not say that this is the only practical way"
    assert faults_of_practical_reason(full) == ()
    assert faults_of_practical_reason(replace(full, important_for_care=None)) == (important,)
    assert faults_of_practical_reason(replace(full, important_for_care=False)) == (important,)
    assert faults_of_practical_reason(replace(full, only_practical_way=None)) == (only,)
    assert faults_of_practical_reason(replace(full, only_practical_way=False)) == (only,)
    assert faults_of_practical_reason(replace(full, reason=None)) == ("it gives no reason",)
    assert len(faults_of_practical_reason(replace(full, by=None))) == 1


# --- all of them -------------------------------------------------------------------------------


def test_each_piece_is_named_with_what_it_lacks() -> None:
    case = sensitive()
    nothing = Asserted()
    given = with_evidence(
        case,
        acknowledged=(Acknowledgement(code="objection.active"),),
        individual_check=a_check(case, at=None),
        reviews=(a_review(case, "proxy.scope", note=""), Review(code="<b>9990000018</b>")),
        necessity=nothing,
        practical_reason=PracticalReason(),
        accessible_alternative=nothing,
    )
    found = dict(evidence_faults(given))
    assert list(found) == [
        "acknowledgement",
        "individual check",
        "review of proxy.scope",
        "review of a finding that is not named",
        "necessity",
        "practical reason",
        "accessible alternative",
    ]
    assert found["acknowledgement"] == ("no valid declaration of an emergency stands beside it",)
    assert found["individual check"] == ("it does not say when the individual was asked",)
    assert found["review of proxy.scope"] == ("it holds no note of what was considered",)
    assert found["necessity"] == found["accessible alternative"] == faults_of_assertion(nothing)
    assert found["practical reason"] == faults_of_practical_reason(PracticalReason())


def test_a_review_without_any_code_is_not_named() -> None:
    given = with_evidence(a_case(), reviews=(Review(),))
    assert [name for name, _ in evidence_faults(given)] == ["review of a finding that is not named"]
