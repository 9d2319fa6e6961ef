"""Objections in CommunicationRequests and Flags."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.objections_elsewhere import (
    NotReadable,
    objection_in_flag,
    objection_in_request,
)
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Kind, kinds_of
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus
from fhirmsg.guidance.terms import Channel
from tests import builders
from tests.fhir.objecting import EMAIL_DECLINED, RESULTS_DECLINED, SMS_DECLINED
from tests.fhir.resources import OWN, a_context, concept, number, v3
from tests.fhir.test_needs import a_flag
from tests.fhir.test_opting_out import DENY, UNCLEAR, against


def a_request_not_to(**changes: Any) -> dict[str, Any]:
    """Give an active CommunicationRequest not to text Amara."""
    made = {
        "resourceType": "CommunicationRequest",
        "id": "request",
        "meta": {"versionId": "2"},
        "status": "active",
        "doNotPerform": True,
        "subject": {"reference": "Patient/amara"},
        "medium": [concept((f"{OWN}/CodeSystem/channel", "sms"))],
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def told(**changes: Any) -> ConsentFacts | None:
    return objection_in_request(a_request_not_to(**changes), a_context())


def objection(**changes: Any) -> ConsentFacts:
    found = told(**changes)
    assert found is not None
    return found


def case_of(found: ConsentFacts) -> Case:
    return builders.a_case(consents=(found,))


# --- CommunicationRequest ----------------------------------------------------------------------


@pytest.mark.parametrize("status", ["active", "on-hold"])
def test_a_request_not_to_communicate_is_an_objection(status: str) -> None:
    found = objection(status=status)
    assert against(found) == {Channel.SMS: DENY}
    assert found.status is ConsentStatus.ACTIVE
    assert found.version.reference == "CommunicationRequest/request"
    assert builders.codes_of(case_of(found)) >= {"objection.active"}


@pytest.mark.parametrize("status", ["draft", "revoked", "completed", "entered-in-error"])
def test_one_that_is_not_in_force_is_none(status: str) -> None:
    assert told(status=status) is None


@pytest.mark.parametrize("status", ["banana", None])
def test_one_in_a_state_nobody_knows_is_unclear(status: Any) -> None:
    assert objection(status=status).status is ConsentStatus.UNKNOWN
    assert builders.codes_of(case_of(objection(status=status))) >= {"objection.unclear"}


@pytest.mark.parametrize("said", [False, None])
def test_a_request_to_communicate_is_none(said: Any) -> None:
    assert told(doNotPerform=said) is None


@pytest.mark.parametrize("said", ["true", 1, [True], "false"])
def test_one_that_does_not_say_is_not_readable(said: Any) -> None:
    with pytest.raises(NotReadable):
        told(doNotPerform=said)


def test_one_that_says_it_in_an_extension_is_not_readable() -> None:
    with pytest.raises(NotReadable):
        told(doNotPerform=None, _doNotPerform={"extension": []})


def test_without_a_medium_it_is_about_every_channel() -> None:
    assert against(objection(medium=None)) == dict.fromkeys(Channel, DENY)


def test_a_medium_of_hl7s_covers_as_it_does_on_a_consent() -> None:
    found = objection(medium=[concept(v3("ParticipationMode", "EMAILWRIT"))])
    assert against(found) == {Channel.EMAIL: DENY}


def test_a_medium_nobody_knows_may_be_any() -> None:
    found = objection(medium=[{"text": "semaphore"}])
    assert against(found) == dict.fromkeys(Channel, UNCLEAR)


def test_it_counts_in_the_period_it_is_for() -> None:
    assert against(objection(occurrencePeriod={"end": "2026-11-23"})) == {}
    assert against(objection(occurrencePeriod={"end": "2026-11-24"})) == {Channel.SMS: DENY}


def test_the_patient_as_recipient_changes_nothing() -> None:
    for reference in ({"reference": "Patient/amara"}, number("9990000018")):
        assert objection(recipient=[reference]) == objection()


def test_one_about_somebody_related_denies_that_person() -> None:
    found = objection(recipient=[{"reference": "RelatedPerson/ben"}])
    assert kinds_of(found, builders.AMARA_KEYS) == {Kind.DENIAL_OF_PERSON}
    assert builders.codes_of(builders.a_proxy_case(found)) >= {"proxy.denied"}
    assert "objection.active" not in builders.codes_of(case_of(found))


@pytest.mark.parametrize("kind", ["Organization", "Practitioner", "PractitionerRole"])
def test_one_about_staff_alone_says_nothing_to_the_patient(kind: str) -> None:
    assert told(recipient=[{"reference": f"{kind}/1"}]) is None


def test_one_about_the_patient_and_staff_is_about_the_patient() -> None:
    both = [{"reference": "Organization/1"}, {"reference": "Patient/amara"}]
    assert objection(recipient=both) == objection()


@pytest.mark.parametrize("reference", [{"reference": "Group/1"}, {"display": "somebody"}])
def test_one_about_nobody_known_may_be_about_the_patient(reference: Any) -> None:
    found = case_of(objection(recipient=[reference]))
    assert builders.codes_of(found) >= {"objection.unclear"}


def test_who_asked_for_it_is_its_performer() -> None:
    by_ben = objection(requester={"reference": "RelatedPerson/ben"})
    assert by_ben.performer_related
    assert by_ben.performers == {"RelatedPerson/ben"}
    assert not objection(requester={"reference": "Practitioner/1"}).performer_related


def test_its_reason_is_noted_and_one_of_safety_counts() -> None:
    assert not objection().reason_recorded
    assert objection(statusReason={"text": "asked"}).reason_recorded
    assert objection(note=[{"text": "asked"}]).reason_recorded
    grave = objection(reasonCode=[concept(("urn:x", "serious-harm"))])
    assert grave.safety
    assert grave.reason_recorded


def test_a_modifier_nobody_knows_alters_it() -> None:
    assert objection(modifierExtension=[{"url": "urn:x"}]).altered


# --- Flag --------------------------------------------------------------------------------------


def flagged(*codes: tuple[str, str], **changes: Any) -> ConsentFacts | None:
    return objection_in_flag(a_flag(**{"code": concept(*codes), **changes}), a_context())


def test_a_flag_with_a_declined_channel_is_an_objection() -> None:
    texts, email = flagged(SMS_DECLINED), flagged(EMAIL_DECLINED)
    assert texts is not None
    assert email is not None
    assert against(texts) == {Channel.SMS: DENY}
    assert against(email) == {Channel.EMAIL: DENY}
    assert texts.version.reference == "Flag/flag"
    assert builders.codes_of(case_of(texts)) >= {"objection.active"}


def test_one_about_results_is_about_results_alone() -> None:
    found = flagged(RESULTS_DECLINED)
    assert found is not None
    assert against(found) == {}
    assert found.root is not None
    assert found.root.codes[0].covers_results == {Channel.SMS}


@pytest.mark.parametrize("status", ["inactive", "entered-in-error"])
def test_a_flag_that_is_not_active_is_none(status: str) -> None:
    assert flagged(SMS_DECLINED, status=status) is None


def test_a_flag_in_a_state_nobody_knows_is_unclear() -> None:
    found = flagged(SMS_DECLINED, status="banana")
    assert found is not None
    assert builders.codes_of(case_of(found)) >= {"objection.unclear"}


def test_a_flag_counts_in_its_period() -> None:
    found = flagged(SMS_DECLINED, period={"end": "2026-11-23"})
    assert found is not None
    assert against(found) == {}


def test_a_flag_about_something_else_is_none() -> None:
    assert flagged(("http://snomed.info/sct", "22298006")) is None
    assert flagged(("urn:x", SMS_DECLINED[1])) is None
