"""What stands outside Consents, read with the record: the patient's, linked, the proxy's."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.guidance.record import ConsentFacts
from fhirmsg.ports import ReadResult
from tests.fhir.objecting import SMS_DECLINED
from tests.fhir.reads import KEY, a_link, by_number, consents, gaps, read, read_with, searchset
from tests.fhir.resources import (
    BEN_NUMBER,
    OWN,
    a_consent_resource,
    a_related_resource,
    concept,
)
from tests.fhir.test_needs import a_flag
from tests.fhir.test_objections_elsewhere import a_request_not_to
from tests.fhir.test_opting_out import CAREDOVE, opt_out
from tests.world import a_patient_resource, an_objection_resource, put

BEN = "RelatedPerson/ben"
EMAIL_NEED = "936741000000100"


def cited(result: ReadResult) -> set[str]:
    return {version.reference for version in result.record.versions}


def declined(**changes: Any) -> dict[str, Any]:
    return a_flag(code=concept(SMS_DECLINED), **changes)


# --- the patient's -----------------------------------------------------------------------------


def test_what_says_no_outside_consent_stands_beside_the_consents(base: str) -> None:
    put(
        base,
        an_objection_resource(),
        a_request_not_to(),
        declined(),
        a_patient_resource(extension=[opt_out("sms")]),
    )
    result = read(base)
    assert consents(result) == [
        "CommunicationRequest/request",
        "Consent/objection",
        "Flag/flag",
        "Patient/amara",
    ]
    assert cited(result) >= {"CommunicationRequest/request", "Flag/flag"}
    assert gaps(result) == []


def test_what_says_nothing_is_not_cited(base: str) -> None:
    put(base, a_flag("22298006"), a_request_not_to(doNotPerform=False))
    result = read(base)
    assert consents(result) == []
    assert cited(result) == {"Patient/amara"}


def test_a_revoked_request_is_not_even_found(base: str) -> None:
    put(base, a_request_not_to(status="revoked"))
    assert consents(read(base)) == []


def test_a_need_on_a_flag_is_the_patients(base: str) -> None:
    put(base, a_flag(EMAIL_NEED))
    result = read(base)
    assert [need.name for need in result.record.patient.needs] == ["contact by email"]
    assert "Flag/flag" in cited(result)


@pytest.mark.parametrize("search", ["CommunicationRequest", "Flag"])
@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_search_for_them_that_fails_is_a_gap(base: str, search: str, status: int) -> None:
    assert search in gaps(read_with(base, {search: status}))[0]


def test_the_policy_can_leave_them_unread(base: str) -> None:
    put(base, a_request_not_to(), declined())
    assert consents(read(base, policy={"read_flags": False})) == ["CommunicationRequest/request"]
    assert consents(read(base, policy={"read_communication_requests": False})) == ["Flag/flag"]


@pytest.mark.parametrize("said", ["true", 1])
def test_a_request_that_does_not_say_whether_it_forbids_is_a_gap(base: str, said: Any) -> None:
    answer = searchset(a_request_not_to(doNotPerform=said), a_request_not_to(id="plain"))
    result = read_with(base, {"CommunicationRequest": answer})
    assert "CommunicationRequest" in gaps(result)[0]
    assert consents(result) == ["CommunicationRequest/plain"]


def test_a_request_or_flag_in_an_odd_shape_is_a_gap(base: str) -> None:
    odd = searchset(a_request_not_to(medium="sms"))
    assert "CommunicationRequest.medium" in gaps(read_with(base, {"CommunicationRequest": odd}))[0]
    odd = searchset(a_flag(code="513631000000106"))
    assert "Flag.code" in gaps(read_with(base, {"Flag": odd}))[0]


def test_one_about_another_patient_shows_that_the_filter_was_ignored(base: str) -> None:
    answer = searchset(declined(subject={"reference": "Patient/other"}))
    result = read_with(base, {"Flag": answer})
    assert consents(result) == []
    assert "not about this patient" in gaps(result)[0]


# --- on a linked record ------------------------------------------------------------------------


def references(found: tuple[ConsentFacts, ...]) -> list[str]:
    return sorted(each.version.reference for each in found)


def test_a_linked_record_says_no_outside_consent_too(base: str) -> None:
    old = {"reference": "Patient/old"}
    put(
        base,
        a_patient_resource(id="old", identifier=[], extension=[opt_out("sms")]),
        a_patient_resource(link=[a_link("replaces", "old")]),
        a_request_not_to(subject=old),
        declined(subject=old),
    )
    result = read(base)
    assert references(result.record.linked_consents) == [
        "CommunicationRequest/request",
        "Flag/flag",
        "Patient/old",
    ]
    assert consents(result) == []
    assert gaps(result) == []


# --- the proxy's own ---------------------------------------------------------------------------


def test_the_proxys_own_record_says_no_outside_consent_too(base: str) -> None:
    own = {"reference": "Patient/bens-own"}
    put(
        base,
        a_related_resource(),
        a_patient_resource(
            id="bens-own", identifier=by_number(BEN_NUMBER), extension=[opt_out("sms")]
        ),
        a_request_not_to(subject=own),
        declined(subject=own),
        a_flag(EMAIL_NEED, id="need", subject=own),
    )
    recipient = read(base, recipient=BEN).record.recipient
    assert references(recipient.own_consents) == [
        "CommunicationRequest/request",
        "Flag/flag",
        "Patient/bens-own",
    ]
    assert recipient.own_patient is not None
    assert [need.name for need in recipient.own_patient.needs] == ["contact by email"]


def test_the_relations_entry_may_say_no_itself(base: str) -> None:
    refused = {"url": CAREDOVE, "valueBoolean": False}
    telecom = {"system": "phone", "value": "07700 900456", "extension": [refused]}
    put(base, a_related_resource(identifier=[], telecom=[telecom]))
    recipient = read(base, recipient=BEN).record.recipient
    assert references(recipient.own_consents) == [BEN]
    assert recipient.related is not None
    assert not recipient.related.identified


# --- restricted contact points -----------------------------------------------------------------


def restricting(digest: str, **changes: Any) -> dict[str, Any]:
    url = f"{OWN}/StructureDefinition/restricted-contact-digest"
    return a_consent_resource(extension=[{"url": url, "valueString": digest}], **changes)


def test_contact_points_have_digests_when_one_is_restricted(base: str) -> None:
    put(base, restricting("ab" * 32))
    result = read(base)
    assert set(result.record.digests) == {"+447700900123", "amara@example.com"}
    assert all(len(digest) == 64 for digest in result.record.digests.values())
    assert gaps(result) == []
    assert "900123" not in repr(result.record)


def test_without_a_restriction_there_are_none(base: str) -> None:
    assert read(base).record.digests == {}
    put(base, restricting("ab" * 32, status="entered-in-error"))
    assert read(base).record.digests == {}


def test_a_restriction_without_a_key_is_a_gap(base: str) -> None:
    put(base, restricting("ab" * 32))
    result = read(base, contact_key=None)
    assert "no key" in gaps(result)[0]
    assert result.record.digests == {}
    assert read(base, contact_key=KEY).record.gaps == ()


@pytest.mark.parametrize("digest", ["banana", "ab" * 31])
def test_a_restriction_that_cannot_be_compared_is_a_gap(base: str, digest: str) -> None:
    put(base, restricting(digest))
    assert "cannot be compared" in gaps(read(base))[0]


def test_a_restriction_on_the_proxys_own_record_counts(base: str) -> None:
    put(base, a_related_resource())
    put(base, a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER)))
    put(base, restricting("ab" * 32, patient={"reference": "Patient/bens-own"}))
    assert "+447700900456" in read(base, recipient=BEN).record.digests


# --- kept from us ------------------------------------------------------------------------------


def test_consents_that_are_kept_from_us_are_told_apart(base: str) -> None:
    outcome = {
        "resource": {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "warning", "code": "suppressed"}],
        },
        "search": {"mode": "outcome"},
    }
    result = read_with(base, {"Consent": searchset(entry=[outcome])})
    assert len(result.record.blind) == 1
    assert gaps(result) == []
    assert len(gaps(read_with(base, {"Flag": searchset(entry=[outcome])}))) == 1


# --- the grantor -------------------------------------------------------------------------------


def test_a_grantor_named_by_reference_is_looked_up(base: str) -> None:
    url = "https://hl7.org/fhir/5.0/StructureDefinition/extension-Consent.grantor"
    named = {"url": url, "valueReference": {"reference": "Organization/theirs"}}
    identifier = {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "B67890"}
    put(
        base,
        {"resourceType": "Organization", "id": "theirs", "identifier": [identifier]},
        a_consent_resource(extension=[named]),
    )
    [consent] = read(base).record.consents
    assert consent.grantors == {"B67890"}
