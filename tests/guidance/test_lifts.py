"""Reviews, standing reviews and individual checks: complete, bound, by somebody who may."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import Basis, StandingReview
from fhirmsg.guidance.request import CitedVersion, Service
from fhirmsg.guidance.rule import Effect, Lift
from fhirmsg.guidance.terms import Declared
from tests.builders import (
    BEN,
    BEN_KEYS,
    GUARDIAN,
    NURSE,
    TODAY,
    a_case,
    a_check,
    a_child,
    a_grant,
    a_patient,
    a_policy,
    a_proxy_case,
    a_request,
    a_review,
    codes_of,
    finding_of,
    in_emergency,
    reviewed,
    verdict_of,
    with_evidence,
)

SERVICE = Service(code="urn:service|sexual-health", sensitive=Declared.YES)


def left() -> Case:
    """Give a case that is held, because the patient has left registration."""
    return a_case(patient=a_patient(left="TRA"))


# --- review ------------------------------------------------------------------------------------


def test_a_review_lets_the_message_go_and_names_the_reviewer() -> None:
    found = finding_of(reviewed(left(), "person.left"), "person.left")
    assert found.effect is Effect.WARN
    assert found.normally is Effect.HOLD
    assert found.lifted is not None
    assert (found.lifted.by, found.lifted.who) == (Lift.REVIEW, GUARDIAN.identifier)


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"code": "person.inactive"}, None),
        ({"code": None}, "which finding"),
        ({"reviewer": None}, "does not name a reviewer"),
        ({"reviewer": replace(GUARDIAN, identifier=" ")}, "does not name a reviewer"),
        ({"reviewer": NURSE}, "may not review"),
        ({"note": "\u200b"}, "no note"),
        ({"at": None}, "when it was made"),
        ({"message_id": "another"}, "another message id"),
        ({"message_digest": "another"}, "other content"),
        ({"resources": ()}, None),
        ({"resources": (CitedVersion(reference="Patient/amara", version_id="6"),)}, None),
        ({"resources": (CitedVersion(reference="Patient/ben", version_id="7"),)}, None),
    ],
)
def test_a_review_that_is_incomplete_or_of_something_else_lifts_nothing(
    flaw: Any, words: str | None
) -> None:
    case = reviewed(left(), "person.left", **flaw)
    assert verdict_of(case) == "hold"
    assert finding_of(case, "person.left").lifted is None
    if words is not None:
        assert words in finding_of(case, "evidence.invalid").sentence


def test_a_review_from_the_future_lifts_nothing_beyond_two_minutes() -> None:
    case = left()
    soon = reviewed(case, "person.left", at=case.as_of + timedelta(seconds=120))
    later = reviewed(case, "person.left", at=case.as_of + timedelta(seconds=121))
    assert verdict_of(soon) == "send"
    assert verdict_of(later) == "hold"
    assert "in the future" in finding_of(later, "evidence.invalid").sentence


def test_a_role_is_the_same_however_it_is_written() -> None:
    written = replace(GUARDIAN, role="  caldicott   GUARDIAN ")
    assert verdict_of(reviewed(left(), "person.left", reviewer=written)) == "send"


def test_the_policy_can_narrow_who_reviews_a_finding() -> None:
    policy = a_policy(review_by_code={"person.left": frozenset({"IG lead"})})
    case = a_case(patient=a_patient(left="TRA"), policy=policy)
    assert verdict_of(reviewed(case, "person.left")) == "hold"
    lead = replace(GUARDIAN, role="IG lead")
    assert verdict_of(reviewed(case, "person.left", reviewer=lead)) == "send"


def test_a_review_lifts_its_own_finding_and_no_other() -> None:
    case = a_case(patient=a_patient(left="TRA", active=False))
    assert verdict_of(reviewed(case, "person.left")) == "hold"
    both = (a_review(case, "person.left"), a_review(case, "person.inactive"))
    assert verdict_of(with_evidence(case, reviews=both)) == "send"


def test_a_review_of_what_no_review_lifts_is_of_no_use() -> None:
    case = a_case(patient=a_patient(died="a date of death"))
    assert verdict_of(reviewed(case, "person.deceased")) == "refuse"


def test_a_code_that_is_none_is_not_repeated() -> None:
    case = reviewed(left(), "person.left", code="Amara Okafor, 07700 900101")
    assert "Amara" not in finding_of(case, "evidence.invalid").sentence


# --- standing review ---------------------------------------------------------------------------


def a_standing(**fields: Any) -> StandingReview:
    defaults = {
        "code": "proxy.scope",
        "by": "Practitioner/guardian",
        "role": "Caldicott Guardian",
        "at": TODAY - timedelta(days=10),
        "until": TODAY,
    }
    return StandingReview(**{**defaults, **fields})


def with_standing(*reviews: StandingReview, **fields: Any) -> Case:
    from fhirmsg.guidance.terms import Match
    from tests.builders import a_permission

    root = a_permission(classes=(Match.NO,))
    return a_proxy_case(a_grant(root=root, standing_reviews=reviews, **fields))


def test_a_standing_review_lifts_its_finding_for_more_than_one_message() -> None:
    assert verdict_of(with_standing()) == "hold"
    found = finding_of(with_standing(a_standing()), "proxy.scope")
    assert found.effect is Effect.WARN
    assert found.lifted is not None
    assert found.lifted.who == "Practitioner/guardian"
    assert verdict_of(with_standing(a_standing(until=None))) == "send"


@pytest.mark.parametrize(
    "flaw",
    [
        {"code": "proxy.other-organisation"},
        {"void": True},
        {"at": None},
        {"at": TODAY + timedelta(days=1)},
        {"until": TODAY - timedelta(days=1)},
        {"by": " "},
        {"role": "receptionist"},
        {"role": ""},
    ],
)
def test_a_standing_review_that_does_not_hold_lifts_nothing(flaw: Any) -> None:
    assert verdict_of(with_standing(a_standing(**flaw))) == "hold"


def test_a_standing_review_lifts_no_finding_but_those_about_the_reach_of_a_grant() -> None:
    standing = (a_standing(code="proxy.unclear"),)
    case = a_proxy_case(a_grant(unverified=True, standing_reviews=standing))
    assert verdict_of(case) == "hold"


@pytest.mark.parametrize(
    ("code", "grant"),
    [
        ("proxy.other-organisation", {"grantors": frozenset({"B67890"})}),
        ("proxy.age-review", {"basis": Basis.PARENTAL_RESPONSIBILITY}),
        ("proxy.unlisted-basis", {"basis": Basis.UNLISTED}),
    ],
)
def test_each_of_the_four_findings_can_be_lifted_by_a_standing_review(
    code: str, grant: Any
) -> None:
    child = a_child(14, contact_points=())
    plain = a_proxy_case(a_grant(**grant), patient=child)
    assert code in codes_of(plain)
    assert verdict_of(plain) == "hold"
    standing = a_grant(**grant, standing_reviews=(a_standing(code=code),))
    case = a_proxy_case(standing, patient=child)
    assert finding_of(case, code).effect is Effect.WARN


# --- individual check --------------------------------------------------------------------------


def sensitive_case(**request: Any) -> Case:
    return a_proxy_case(
        a_grant(), request=a_request(**{"recipient": BEN, "service": SERVICE, **request})
    )


def checked(case: Case, **fields: Any) -> Case:
    return with_evidence(case, individual_check=a_check(case, **fields))


def test_the_individuals_yes_lets_a_proxy_hear_of_a_sensitive_service() -> None:
    assert verdict_of(sensitive_case()) == "hold"
    case = checked(sensitive_case())
    found = finding_of(case, "sensitive.proxy")
    assert found.lifted is not None
    assert (found.lifted.by, found.lifted.who) == (Lift.INDIVIDUAL_CHECK, NURSE.identifier)
    assert codes_of(case) == {"sensitive.proxy"}
    assert verdict_of(case) == "send"


def test_the_individuals_no_refuses_for_good() -> None:
    case = checked(sensitive_case(), answer=Declared.NO)
    assert codes_of(case) == {"sensitive.proxy", "sensitive.declined"}
    assert verdict_of(case) == "refuse"
    assert verdict_of(in_emergency(case)) != "send"
    said_no = with_evidence(
        in_emergency(case, "sensitive.proxy"), individual_check=a_check(case, answer=Declared.NO)
    )
    assert verdict_of(said_no) == "refuse"


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"answer": None}, "yes or no"),
        ({"answer": Declared.UNKNOWN}, "yes or no"),
        ({"proxy": None}, "this proxy"),
        ({"proxy": "RelatedPerson/other"}, "this proxy"),
        ({"service": None}, "the service"),
        ({"service": "urn:service|physio"}, "the service"),
        ({"service": "urn:other|sexual-health"}, "the service"),
        ({"by": None}, "who asked"),
        ({"by": replace(NURSE, name="")}, "who asked"),
        ({"by": replace(NURSE, identifier=" relatedperson/BEN ")}, "by the proxy"),
        ({"by": replace(NURSE, identifier="9990000026")}, "by the proxy"),
        ({"at": None}, "when the individual was asked"),
    ],
)
def test_a_check_that_is_incomplete_or_of_something_else_counts_for_nothing(
    flaw: Any, words: str
) -> None:
    case = checked(sensitive_case(), **flaw)
    assert codes_of(case) == {"sensitive.proxy", "evidence.invalid"}
    assert words in finding_of(case, "evidence.invalid").sentence
    assert verdict_of(case) == "hold"


def test_a_check_counts_for_as_long_as_the_policy_says() -> None:
    case = sensitive_case()
    oldest, too_old = timedelta(days=180), timedelta(days=180, seconds=1)
    assert verdict_of(checked(case, at=case.as_of - oldest)) == "send"
    assert verdict_of(checked(case, at=case.as_of - too_old)) == "hold"
    assert verdict_of(checked(case, at=case.as_of + timedelta(seconds=120))) == "send"
    assert verdict_of(checked(case, at=case.as_of + timedelta(seconds=121))) == "hold"


def test_a_bare_code_is_the_service_under_any_system() -> None:
    assert verdict_of(checked(sensitive_case(), service="sexual-health")) == "send"


def test_a_proxy_may_be_named_by_any_of_their_names() -> None:
    (number,) = BEN_KEYS - {BEN}
    assert verdict_of(checked(sensitive_case(), proxy=number)) == "send"


def test_without_a_service_there_is_nothing_that_was_asked_about() -> None:
    case = sensitive_case(service=Service(sensitive=Declared.YES))
    given = checked(case, service="sexual-health")
    assert verdict_of(given) == "hold"
    assert "names no service" in finding_of(given, "evidence.invalid").sentence


def test_a_review_by_the_caldicott_guardian_stands_in_where_nobody_can_be_asked() -> None:
    assert verdict_of(reviewed(sensitive_case(), "sensitive.proxy")) == "send"


def test_a_no_about_another_proxy_is_no_no() -> None:
    case = checked(sensitive_case(), answer=Declared.NO, proxy="RelatedPerson/other")
    assert verdict_of(case) == "hold"
