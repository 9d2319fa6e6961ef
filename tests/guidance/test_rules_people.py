"""The person and the record, and recording: each finding, and the near misses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.record import AboutFacts, ConsentFacts, ConsentStatus, Gap
from fhirmsg.guidance.terms import ResourceVersion
from tests.builders import (
    AMARA,
    AMARA_KEYS,
    BEN_KEYS,
    NHS_NUMBER,
    NOW,
    a_case,
    a_consent,
    a_grant,
    a_patient,
    a_person,
    a_proxy_case,
    a_request,
    an_objection,
    bens_own_record,
    codes_of,
    deny,
    permit,
    to_patient,
    verdict_of,
)


def about(*subject: str) -> AboutFacts:
    version = ResourceVersion(reference="Appointment/1", version_id="1")
    return AboutFacts(version=version, subject_keys=frozenset(subject))


# --- person.* ----------------------------------------------------------------------------------


def test_a_message_to_another_patient_is_a_mismatch() -> None:
    other = to_patient(a_patient(keys=frozenset({"Patient/other"})))
    assert "person.mismatch" in codes_of(a_case(recipient=other))


def test_the_same_patient_under_an_identifier_is_no_mismatch() -> None:
    by_number = to_patient(a_patient(keys=frozenset({f"{NHS_NUMBER}|9990000018"})))
    assert codes_of(a_case(recipient=by_number)) == set()


def test_an_appointment_of_somebody_else_is_a_mismatch() -> None:
    assert codes_of(a_case(about=(about("Patient/other"),))) == {"person.mismatch"}


@pytest.mark.parametrize("key", sorted(AMARA_KEYS))
def test_an_appointment_of_the_patient_among_others_is_no_mismatch(key: str) -> None:
    assert codes_of(a_case(about=(about("Patient/other", key),))) == set()


def test_a_patient_who_has_died_is_not_messaged() -> None:
    assert codes_of(a_case(patient=a_patient(died="a date of death"))) == {"person.deceased"}


def test_a_replaced_record_is_not_used_and_the_surviving_one_is_named() -> None:
    decision = decide(a_case(patient=a_patient(replaced_by="Patient/after")))
    assert [finding.code for finding in decision.findings] == ["person.replaced"]
    assert "Patient/after" in decision.findings[0].sentence
    assert codes_of(a_case(patient=a_patient(replaced_by=""))) == {"person.replaced"}


def test_an_inactive_or_restricted_record_is_held() -> None:
    inactive, restricted = a_patient(active=False), a_patient(restricted=True)
    assert codes_of(a_case(patient=inactive)) == {"person.inactive"}
    assert codes_of(a_case(patient=restricted)) == {"person.restricted"}
    assert verdict_of(a_case(patient=inactive)) == verdict_of(a_case(patient=restricted)) == "hold"


# --- read.incomplete ---------------------------------------------------------------------------


def test_a_gap_in_the_read_holds_the_message() -> None:
    case = a_case(gaps=(Gap(sentence="Page 2 of the Consents answered 500."),))
    assert codes_of(case) == {"read.incomplete"}
    assert verdict_of(case) == "hold"


@pytest.mark.parametrize(
    "consent",
    [
        an_objection(altered=True),
        an_objection(root=deny(altered=True)),
        an_objection(root=permit(deny(), altered=True)),
        an_objection(altered=True, status=ConsentStatus.PROPOSED),
        a_consent(root=deny(), altered=True),
        a_consent(root=deny(actors=(a_person(BEN_KEYS),)), altered=True),
    ],
)
def test_a_modifier_not_understood_on_what_may_forbid_is_a_gap(consent: ConsentFacts) -> None:
    assert "read.incomplete" in codes_of(a_case(consents=(consent,)))
    assert "read.incomplete" in codes_of(a_case(linked_consents=(consent,)))


def test_a_modifier_on_the_proxys_own_objection_is_a_gap() -> None:
    case = a_proxy_case(
        a_grant(), own_patient=bens_own_record(), own_consents=(an_objection(altered=True),)
    )
    assert "read.incomplete" in codes_of(case)


@pytest.mark.parametrize(
    "consent",
    [
        an_objection(altered=True, status=ConsentStatus.INACTIVE),
        an_objection(altered=True, status=ConsentStatus.ENTERED_IN_ERROR),
        a_grant(altered=True),
        a_consent(root=deny(), other_category=True, altered=True),
    ],
)
def test_a_modifier_on_what_cannot_forbid_is_no_gap(consent: ConsentFacts) -> None:
    assert codes_of(a_case(consents=(consent,))) == set()


# --- request.stale, record.unavailable ---------------------------------------------------------


def test_a_message_is_stale_after_its_time_and_not_at_it() -> None:
    assert codes_of(a_case(request=a_request(not_after=NOW))) == set()
    late = a_case(request=a_request(not_after=NOW - timedelta(microseconds=1)))
    assert codes_of(late) == {"request.stale"}


def test_what_cannot_be_recorded_is_not_sent() -> None:
    case = a_case(openable=False)
    assert codes_of(case) == {"record.unavailable"}
    assert verdict_of(case) == "hold"


def test_a_living_patient_with_a_contact_point_needs_no_consent() -> None:
    assert codes_of(a_case()) == set()
    assert verdict_of(a_case()) == "send"
    assert a_case().request.patient == AMARA
