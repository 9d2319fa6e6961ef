"""What the first batch revealed: linked records, the proxy's own record, what it is all about."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from fhirmsg.guidance.record import RecipientKind
from fhirmsg.ports import ReadResult
from tests.fhir.national import INGESTED
from tests.fhir.reads import a_link, by_number, gaps, read, read_with, searchset
from tests.fhir.resources import AMARA_NUMBER, BEN_NUMBER, NHS_NUMBER, a_related_resource
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import a_patient_resource, an_objection_resource, put

BEN = "RelatedPerson/ben"


def second_batch_fails(made: Request) -> Reply | None:
    """Let only a batch through that begins with the patient."""
    if b'"batch"' not in made.body:
        return None
    first = json.loads(made.body)["entry"][0]["request"]["url"]
    return None if first == "Patient/amara" else Reply(500)


# --- linked records ----------------------------------------------------------------------------


@pytest.fixture
def linked(base: str) -> str:
    """Amara's record has replaced an older one, on which an objection hangs."""
    put(
        base,
        a_patient_resource(id="old", identifier=by_number("9990000034")),
        a_patient_resource(link=[a_link("replaces", "old")]),
        an_objection_resource("old-objection", patient="Patient/old"),
    )
    return base


def linked_consents(result: ReadResult) -> list[str]:
    return [consent.version.reference for consent in result.record.linked_consents]


@pytest.mark.parametrize("kind", ["replaces", "seealso"])
def test_objections_on_a_linked_record_are_read(linked: str, kind: str) -> None:
    put(linked, a_patient_resource(link=[a_link(kind, "old")]))
    result = read(linked)
    assert linked_consents(result) == ["Consent/old-objection"]
    assert result.record.linked_keys == {
        "Patient/old",
        "http://fhir.nhs.uk/id/nhs-number|9990000034",
    }
    assert "Consent/old-objection" in {each.reference for each in result.record.versions}
    assert gaps(result) == []


def test_the_objections_on_several_linked_records_are_read(linked: str) -> None:
    put(
        linked,
        a_patient_resource(id="older"),
        an_objection_resource("older-objection", patient="Patient/older"),
        a_patient_resource(link=[a_link("replaces", "old"), a_link("seealso", "older")]),
    )
    assert linked_consents(read(linked)) == ["Consent/old-objection", "Consent/older-objection"]


def test_a_record_that_replaced_this_one_is_named_and_not_followed(linked: str) -> None:
    put(linked, a_patient_resource(link=[a_link("replaced-by", "old")]))
    result = read(linked)
    assert result.record.patient.replaced_by == "Patient/old"
    assert result.record.linked_consents == ()


def test_a_related_person_among_the_links_is_no_gap(linked: str) -> None:
    put(linked, a_related_resource(id="amara-as-mother"))
    link = {"type": "seealso", "other": {"reference": "RelatedPerson/amara-as-mother"}}
    put(linked, a_patient_resource(link=[link]))
    assert gaps(read(linked)) == []


def test_a_linked_record_elsewhere_is_a_gap(base: str) -> None:
    link = {"type": "replaces", "other": {"reference": "https://elsewhere.example/Patient/1"}}
    result = read_with(base, {"Patient/amara": a_patient_resource(link=[link])})
    assert "elsewhere" in gaps(result)[0]


@pytest.mark.parametrize("path", ["Patient/old", "Consent?patient=Patient/old"])
@pytest.mark.parametrize("status", [404, 500])
def test_a_linked_record_that_cannot_be_read_is_a_gap(linked: str, path: str, status: int) -> None:
    assert len(gaps(read_with(linked, {path: status}))) == 1


def test_a_second_batch_that_fails_is_a_gap(linked: str) -> None:
    with reverse_proxy(linked, second_batch_fails) as proxied:
        result = read(proxied)
    assert len(gaps(result)) == 1
    assert result.record.patient.version.reference == "Patient/amara"


# --- the proxy's own record --------------------------------------------------------------------


@pytest.fixture
def proxy(base: str) -> str:
    """Ben may receive for Amara, and has objected to texts himself."""
    put(
        base,
        a_related_resource(),
        INGESTED | {"id": "grant"},
        a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER)),
        an_objection_resource("bens-objection", patient="Patient/bens-own"),
    )
    return base


def test_the_proxys_own_objections_are_read(proxy: str) -> None:
    result = read(proxy, recipient=BEN)
    recipient = result.record.recipient
    assert recipient.own_patient is not None
    assert recipient.own_patient.version.reference == "Patient/bens-own"
    [own] = recipient.own_consents
    assert own.version.reference == "Consent/bens-objection"
    assert "Patient/bens-own" in recipient.closure
    assert "Patient/bens-own" not in recipient.keys
    assert gaps(result) == []


def test_the_proxys_own_objection_is_not_the_patients(proxy: str) -> None:
    result = read(proxy, recipient=BEN)
    assert [each.version.reference for each in result.record.consents] == ["Consent/grant"]


def test_the_proxys_own_death_is_read(proxy: str) -> None:
    own = a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER))
    put(proxy, {**own, "deceasedDateTime": "2026"})
    own_patient = read(proxy, recipient=BEN).record.recipient.own_patient
    assert own_patient is not None
    assert own_patient.died


def test_a_proxy_whose_number_several_records_carry_is_a_gap(proxy: str) -> None:
    put(proxy, a_patient_resource(id="twin", identifier=by_number(BEN_NUMBER)))
    result = read(proxy, recipient=BEN)
    assert "several" in gaps(result)[0]
    assert result.record.recipient.own_patient is None


def test_a_proxy_whose_number_no_record_carries_is_a_gap(base: str) -> None:
    put(base, a_related_resource())
    assert "no record" in gaps(read(base, recipient=BEN))[0]


@pytest.mark.parametrize(
    "answered",
    [500, {"resourceType": "OperationOutcome"}, searchset(a_patient_resource(id="somebody"))],
)
def test_a_look_up_of_the_proxy_that_went_wrong_is_a_gap(proxy: str, answered: Any) -> None:
    result = read_with(proxy, {"Patient?identifier": answered}, recipient=BEN)
    assert len(gaps(result)) == 1
    assert result.record.recipient.own_patient is None


@pytest.mark.parametrize("reply", [Reply(500), Reply(200, b"<html>"), Reply(404)])
def test_own_objections_of_the_proxy_that_cannot_be_read_are_a_gap(
    proxy: str, reply: Reply
) -> None:
    own = lambda made: reply if b"Consent?patient=Patient/bens-own" in made.body else None  # noqa: E731
    with reverse_proxy(proxy, own) as proxied:
        result = read(proxied, recipient=BEN)
    assert len(gaps(result)) == 1
    assert result.record.recipient.own_consents == ()


def test_a_second_batch_that_fails_for_a_proxy_is_a_gap(proxy: str) -> None:
    with reverse_proxy(proxy, second_batch_fails) as proxied:
        result = read(proxied, recipient=BEN)
    assert len(gaps(result)) == 1
    assert result.record.recipient.kind is RecipientKind.RELATED_PERSON


def test_a_number_with_spaces_finds_the_proxy_too(proxy: str) -> None:
    put(proxy, a_related_resource(identifier=by_number("999 000 0026")))
    assert read(proxy, recipient=BEN).record.recipient.own_patient is not None


def test_a_proxy_who_had_another_number_before_is_found(proxy: str) -> None:
    numbers = [*by_number("9990000034"), *by_number(BEN_NUMBER)]
    put(proxy, a_patient_resource(id="bens-own", identifier=numbers))
    assert read(proxy, recipient=BEN).record.recipient.own_patient is not None


def test_no_number_is_in_a_gap(proxy: str) -> None:
    requests.delete(f"{proxy}/Consent/bens-objection", timeout=10)
    requests.delete(f"{proxy}/Patient/bens-own", timeout=10)
    said = " ".join(gaps(read(proxy, recipient=BEN)))
    assert said
    assert BEN_NUMBER not in said
    assert AMARA_NUMBER not in said


# --- about -------------------------------------------------------------------------------------


def an_appointment(**changes: Any) -> dict[str, Any]:
    participant = [{"actor": {"reference": "Patient/amara"}, "status": "accepted"}]
    return {
        "resourceType": "Appointment",
        "id": "appointment",
        "status": "booked",
        "participant": participant,
        **changes,
    }


def about(base: str, *references: str) -> ReadResult:
    return read(base, about=references or ("Appointment/appointment",))


def test_what_the_message_is_about_is_read_and_cited(base: str) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}
    put(base, an_appointment(meta={"security": [label]}))
    result = about(base)
    [found] = result.record.about
    assert found.subject_keys == {"Patient/amara"}
    assert found.sensitive_labels == {"HIV"}
    assert "Appointment/appointment" in {each.reference for each in result.record.versions}
    assert gaps(result) == []


def test_several_things_a_message_is_about_are_all_read(base: str) -> None:
    task = {
        "resourceType": "Task",
        "id": "task",
        "status": "requested",
        "intent": "order",
        "for": {"reference": "Patient/amara"},
    }
    put(base, an_appointment(), task)
    assert len(about(base, "Appointment/appointment", "Task/task").record.about) == 2


def test_what_cannot_be_read_is_a_gap(base: str) -> None:
    result = about(base, "Appointment/unknown")
    assert "Appointment/unknown" in gaps(result)[0]
    assert result.record.about == ()


def test_what_does_not_say_whom_it_is_about_is_a_gap(base: str) -> None:
    put(base, an_appointment(participant=[]))
    assert "which patient" in gaps(about(base))[0]


def test_another_resource_than_the_one_asked_for_is_a_gap(base: str) -> None:
    other = an_appointment(id="other")
    result = read_with(base, {"Appointment": other}, about=("Appointment/appointment",))
    assert len(gaps(result)) == 1
    assert result.record.about == ()


def test_an_appointment_that_begins_nobody_knows_when_is_a_gap(base: str) -> None:
    result = read_with(
        base, {"Appointment": an_appointment(start="soon")}, about=("Appointment/appointment",)
    )
    assert "begins" in gaps(result)[0]


def test_a_state_in_an_odd_shape_is_a_gap(base: str) -> None:
    result = read_with(
        base, {"Appointment": an_appointment(status=7)}, about=("Appointment/appointment",)
    )
    assert "Appointment.status" in gaps(result)[0]


def test_a_number_of_the_proxy_that_is_no_text_is_told(base: str) -> None:
    related = a_related_resource(identifier=[{"system": NHS_NUMBER, "value": "99\ud800"}])
    result = read_with(base, {"RelatedPerson/ben": related}, recipient="RelatedPerson/ben")
    assert any("NHS number is none" in sentence for sentence in gaps(result))
