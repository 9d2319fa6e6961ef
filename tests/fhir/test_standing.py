"""What stands on a Consent about it: numbers, grantors, reviews, endings, restrictions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fhirmsg.fhir.consents import consent_facts
from fhirmsg.guidance.record import ConsentFacts, Ending, StandingReview
from tests.fhir.national import INGESTED, grantor, status_reason
from tests.fhir.resources import OWN, a_consent_resource, a_context, organisation

REVIEW = f"{OWN}/StructureDefinition/standing-review"


def facts(*extensions: dict[str, Any], organisations: Any = None, **changes: Any) -> ConsentFacts:
    """Read a Consent with these extensions."""
    context = a_context(organisations=organisations or {})
    return consent_facts(a_consent_resource(extension=list(extensions), **changes), context)


# --- numbers and days --------------------------------------------------------------------------


def test_business_identifiers_are_read_and_those_without_a_system_left_out() -> None:
    read = facts(identifier=[{"system": "https://Example.org/c", "value": "7"}, {"value": "8"}])
    assert read.identifiers == {"http://example.org/c|7"}


@pytest.mark.parametrize(
    ("written", "signed"),
    [
        ("2026-11-01T09:30:00Z", datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        ("2026-07-01T09:30:00+01:00", datetime(2026, 7, 1, 8, 30, tzinfo=UTC)),
        ("2026-07-01T09:30:00", datetime(2026, 7, 1, 8, 30, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 6, 30, 23, tzinfo=UTC)),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_when_a_consent_was_signed_is_an_instant(written: Any, signed: datetime | None) -> None:
    assert facts(dateTime=written).signed == signed


# --- who granted it ----------------------------------------------------------------------------


def test_the_organisation_and_the_grantor_granted_it() -> None:
    assert facts(grantor("Y12345"), organization=[organisation("a12345")]).grantors == {
        "A12345",
        "Y12345",
    }


def test_a_grantor_by_reference_is_the_organisation_that_was_looked_up() -> None:
    url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Consent.grantor"
    named = {"url": url, "valueReference": {"reference": "Organization/theirs"}}
    known = {"Organization/theirs": frozenset({"B67890"})}
    assert facts(named, organisations=known).grantors == {"B67890"}
    assert facts(named).grantors == frozenset()


def test_an_organisation_inside_the_consent_is_known() -> None:
    inside = {"resourceType": "Organization", "id": "o", **organisation("B67890")}
    inside["identifier"] = [inside["identifier"]]
    read = facts(contained=[inside], organization=[{"reference": "#o"}])
    assert read.grantors == {"B67890"}


def test_a_person_who_granted_it_is_no_organisation() -> None:
    person = {"url": "x/extension-Consent.grantor", "valueReference": {"reference": "Patient/x"}}
    assert facts(person).grantors == frozenset()


# --- why a role ended --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("ROLE_DEACTIVATED_SAFEGUARDING", Ending.AGAINST),
        ("ROLE_DEACTIVATED_MISUSE_OF_SYSTEM", Ending.AGAINST),
        ("ROLE_DEACTIVATED_PATIENT_REQUEST", Ending.AGAINST),
        ("APPLICATION_REJECTED_SAFEGUARDING", Ending.AGAINST),
        ("ROLE_DEACTIVATED_END_DATE_REACHED", Ending.HARMLESS),
        ("ROLE_DEACTIVATED_INACTIVE_ROLE", Ending.HARMLESS),
        ("ROLE_DEACTIVATED_PATIENT_DECEASED", Ending.OTHER),
        ("ROLE_SUSPENDED_PENDING_REVIEW", Ending.OTHER),
        ("APPLICATION_REJECTED_UNDER_AGE", Ending.OTHER),
        ("APPLICATION_WITHDRAWN", Ending.OTHER),
        ("ROLE_CREATED", None),
        ("ROLE_REACTIVATED", None),
        ("APPLICATION_SUBMITTED", None),
        ("OTHER", None),
    ],
)
def test_a_status_reason_tells_why_a_role_ended(code: str, ended: Ending | None) -> None:
    assert facts(status_reason(code)).ended is ended


def test_of_several_reasons_the_last_one_counts() -> None:
    gone, back = status_reason("ROLE_DEACTIVATED_SAFEGUARDING"), status_reason("ROLE_REACTIVATED")
    assert facts(gone, back).ended is None
    assert facts(back, gone).ended is Ending.AGAINST


def test_the_older_extension_for_the_reason_is_read_too() -> None:
    older = status_reason("APPLICATION_WITHDRAWN")
    older["url"] = "https://fhir.hl7.org.uk/StructureDefinition/Extension-statusReason"
    assert facts(older).ended is Ending.OTHER


def test_without_a_reason_nothing_ended() -> None:
    assert consent_facts(INGESTED, a_context()).ended is None
    assert facts().ended is None


# --- reviews that stand ------------------------------------------------------------------------


def a_review(**parts: Any) -> dict[str, Any]:
    """Give a standing review as written at nine, when the Consent was last changed."""
    written = {
        "code": {"valueCode": "proxy.scope"},
        "by": {"valueReference": {"reference": "Practitioner/guardian"}},
        "role": {"valueString": "Caldicott Guardian"},
        "at": {"valueDateTime": "2026-11-01T09:00:00Z"},
        **parts,
    }
    shown = [{"url": name, **value} for name, value in written.items() if value is not None]
    return {"url": REVIEW, "extension": shown}


def test_a_standing_review_is_read() -> None:
    review = a_review(until={"valueDate": "2027-11-01"})
    assert facts(review).standing_reviews == (
        StandingReview(
            code="proxy.scope",
            by="Practitioner/guardian",
            role="Caldicott Guardian",
            at=date(2026, 11, 1),
            until=date(2027, 11, 1),
        ),
    )


@pytest.mark.parametrize(
    ("at", "void"),
    [
        ({"valueDateTime": "2026-11-01T08:50:00Z"}, False),
        ({"valueDateTime": "2026-11-01T08:49:59Z"}, True),
        ({"valueDateTime": "2026-11-01T09:30:00Z"}, False),
        ({"valueDate": "2026-11-01"}, False),
        ({"valueDate": "2026-10-31"}, True),
        ({"valueDate": "2026-11"}, True),
        ({"valueDate": "soon"}, True),
        ({}, True),
        (None, True),
    ],
)
def test_a_review_is_void_when_the_consent_changed_after_it(at: Any, void: bool) -> None:
    [review] = facts(a_review(at=at)).standing_reviews
    assert review.void is void


@pytest.mark.parametrize("meta", [{}, {"lastUpdated": "2026-11-01"}, {"lastUpdated": "x"}])
def test_a_review_is_void_when_nobody_knows_when_the_consent_changed(meta: Any) -> None:
    [review] = facts(a_review(), meta=meta).standing_reviews
    assert review.void


def test_a_review_whose_end_cannot_be_read_is_void() -> None:
    [review] = facts(a_review(until={"valueDate": "next year"})).standing_reviews
    assert review.void


def test_a_review_of_nothing_is_none() -> None:
    assert facts(a_review(code=None)).standing_reviews == ()


@pytest.mark.parametrize(
    ("by", "who"),
    [
        ({"valueReference": {"identifier": {"value": "C123"}, "display": "Gita"}}, "C123"),
        ({"valueReference": {"display": "Gita"}}, "Gita"),
        ({"valueString": "Gita"}, "Gita"),
        ({}, ""),
    ],
)
def test_who_reviewed_is_given_as_it_is_written(by: Any, who: str) -> None:
    [review] = facts(a_review(by=by)).standing_reviews
    assert review.by == who


# --- restricted contact points -----------------------------------------------------------------


def restricting(value: Any) -> dict[str, Any]:
    return {"url": f"{OWN}/StructureDefinition/restricted-contact-digest", "valueString": value}


def test_restricted_digests_are_read_in_lower_case() -> None:
    assert facts(restricting("AB" * 32), restricting("01" * 32)).restricted_digests == {
        "ab" * 32,
        "01" * 32,
    }


def test_a_digest_that_cannot_be_read_is_still_a_restriction() -> None:
    assert facts(restricting(7)).restricted_digests == {""}
