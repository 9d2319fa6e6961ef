"""The record read for one decision: fresh, whole, and with every doubt written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import responses

from fhirmsg.errors import (
    PatientAmbiguous,
    PatientNotFound,
    RecipientNotFound,
    RecordUnavailable,
)
from fhirmsg.guidance.record import RecipientKind
from tests import builders
from tests.fhir.national import INGESTED
from tests.fhir.reads import (
    MESSAGE_ID,
    a_link,
    by_number,
    consents,
    gaps,
    read,
    read_with,
    requests_of,
    searchset,
)
from tests.fhir.resources import (
    AMARA_NUMBER,
    BEN_NUMBER,
    NHS_NUMBER,
    ODS,
    a_consent_resource,
    a_related_resource,
    organisation,
)
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import a_patient_resource, an_objection_resource, put

BY_NUMBER = f"{NHS_NUMBER}|{AMARA_NUMBER}"

# --- how often it asks -------------------------------------------------------------------------


def test_a_plain_patient_takes_one_batch(base: str) -> None:
    put(base, an_objection_resource(), a_related_resource())
    [batch] = requests_of(base)
    asked = [entry["request"]["url"] for entry in json.loads(batch.body)["entry"]]
    *asked, earlier = asked
    whole = "&_count=100&_total=accurate"
    assert asked == [
        "Patient/amara",
        f"Consent?patient=Patient/amara{whole}",
        f"CommunicationRequest?subject=Patient/amara&status=active,on-hold{whole}",
        f"Flag?patient=Patient/amara{whole}",
        f"RelatedPerson?patient=Patient/amara{whole}",
        f"Communication?identifier=https%3A%2F%2Ffhirmsg.example%2FId%2Fmessage%7C{MESSAGE_ID}",
    ]
    assert earlier.startswith("Communication?subject=Patient/amara&_lastUpdated=ge2")
    assert earlier.endswith("Z&_sort=-_lastUpdated&_count=100")


def test_what_the_policy_switches_off_is_not_searched(base: str) -> None:
    off = {"read_flags": False, "read_communication_requests": False, "repeat_window_hours": 0}
    [batch] = requests_of(base, policy=off)
    asked = [entry["request"]["url"] for entry in json.loads(batch.body)["entry"]]
    assert [path.partition("?")[0] for path in asked] == [
        "Patient/amara",
        "Consent",
        "RelatedPerson",
        "Communication",
    ]


def test_a_second_batch_is_made_only_for_what_the_first_one_revealed(base: str) -> None:
    put(base, a_patient_resource(id="old"), a_patient_resource(link=[a_link("replaces", "old")]))
    assert len(requests_of(base)) == 2


def test_a_number_stands_in_no_address(base: str) -> None:
    put(base, a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER)))
    put(base, a_related_resource())
    made = requests_of(base, patient=BY_NUMBER, recipient="RelatedPerson/ben")
    assert len(made) > 2
    for number in (AMARA_NUMBER, BEN_NUMBER):
        assert not any(number in request.path for request in made)


# --- the patient -------------------------------------------------------------------------------


def test_what_is_read_is_cited_with_its_version(base: str) -> None:
    put(base, an_objection_resource())
    result = read(base)
    assert consents(result) == ["Consent/objection"]
    assert {version.reference for version in result.record.versions} == {
        "Patient/amara",
        "Consent/objection",
    }
    assert all(version.version_id for version in result.record.versions)
    assert result.entries == ()
    assert gaps(result) == []


def test_an_unknown_patient_is_not_found(base: str) -> None:
    with pytest.raises(PatientNotFound):
        read(base, patient="Patient/nobody")


def test_a_deleted_patient_is_not_found(base: str) -> None:
    put(base, a_patient_resource(id="gone"))
    requests.delete(f"{base}/Patient/gone", timeout=10)
    with pytest.raises(PatientNotFound):
        read(base, patient="Patient/gone")


def test_an_identifier_is_resolved_to_the_one_who_carries_it(base: str) -> None:
    put(base, a_patient_resource(id="other", identifier=by_number("9990000034")))
    result = read(base, patient=BY_NUMBER)
    assert result.record.patient.version.reference == "Patient/amara"
    assert result.record.recipient.kind is RecipientKind.PATIENT
    assert result.record.recipient.reference == "Patient/amara"
    assert gaps(result) == []


def test_an_identifier_nobody_carries_is_not_found(base: str) -> None:
    with pytest.raises(PatientNotFound):
        read(base, patient=f"{NHS_NUMBER}|9990000034")


def test_an_identifier_several_carry_is_ambiguous(base: str) -> None:
    put(base, a_patient_resource(id="twin"))
    with pytest.raises(PatientAmbiguous):
        read(base, patient=BY_NUMBER)


def test_a_server_that_ignores_the_identifier_gives_nobody(base: str) -> None:
    def everybody(made: Request) -> Reply | None:
        answered = json.dumps(searchset(a_patient_resource()))
        return Reply(200, answered.encode()) if made.path.endswith("/_search") else None

    with reverse_proxy(base, everybody) as proxied:
        read(proxied, patient=BY_NUMBER)
        with pytest.raises(RecordUnavailable):
            read(proxied, patient=f"{NHS_NUMBER}|9990000034")


def test_a_patient_in_an_odd_shape_is_held(base: str) -> None:
    patient = {**a_patient_resource(), "meta": {"versionId": "1", "security": ["R"]}}
    result = read_with(base, {"Patient/amara": patient})
    assert "Patient.meta.security" in gaps(result)[0]


# --- answers that are wrong at one point -------------------------------------------------------


@pytest.mark.parametrize("path", ["Consent", "RelatedPerson"])
@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_search_that_fails_is_a_gap(base: str, path: str, status: int) -> None:
    [gap] = gaps(read_with(base, {path: status}))
    assert path in gap
    assert str(status) in gap


@pytest.mark.parametrize("status", [400, 500])
def test_a_look_up_of_earlier_entries_that_fails_is_not_none_found(base: str, status: int) -> None:
    assert read_with(base, {"Communication": status}).entries is None


@pytest.mark.parametrize(
    ("answered", "failure"),
    [
        (404, PatientNotFound),
        (410, PatientNotFound),
        (500, RecordUnavailable),
        (403, RecordUnavailable),
        ({"resourceType": "OperationOutcome"}, RecordUnavailable),
        ("banana", RecordUnavailable),
    ],
)
def test_a_patient_that_cannot_be_read_ends_the_read(
    base: str, answered: Any, failure: type[Exception]
) -> None:
    with pytest.raises(failure):
        read_with(base, {"Patient/amara": answered})


def test_one_bad_consent_neither_hides_nor_loses_the_others(base: str) -> None:
    found = searchset(
        an_objection_resource("a"),
        an_objection_resource("b", provision="banana"),
        "banana",
        an_objection_resource("c", provision={"type": "deny", "provision": [_deep(20)]}),
        an_objection_resource("d"),
    )
    result = read_with(base, {"Consent": found})
    assert consents(result) == ["Consent/a", "Consent/b", "Consent/d"]
    assert len(gaps(result)) == 3


def _deep(levels: int) -> dict[str, Any]:
    return {"type": "deny", "provision": [_deep(levels - 1)] if levels else []}


def test_somebody_elses_consent_is_a_gap_and_not_the_patients(base: str) -> None:
    foreign = an_objection_resource("a", patient="Patient/other")
    result = read_with(base, {"Consent": searchset(foreign, an_objection_resource("b"))})
    assert consents(result) == ["Consent/b"]
    assert "not about this patient" in gaps(result)[0]


def test_a_search_from_which_the_filter_is_gone_is_a_gap(base: str) -> None:
    links = [{"relation": "self", "url": f"{base}/Consent?_count=100"}]
    result = read_with(base, {"Consent": searchset(link=links)})
    assert "filter" in gaps(result)[0]


def test_every_page_of_consents_is_read(base: str) -> None:
    put(base, *(an_objection_resource(f"o{number}") for number in range(7)))
    result = read(base, page_size=3)
    assert len(consents(result)) == 7
    assert gaps(result) == []


def test_a_page_that_fails_is_a_gap(base: str) -> None:
    put(base, *(an_objection_resource(f"o{number}") for number in range(4)))
    broken = lambda made: Reply(500) if "_getpages" in made.path else None  # noqa: E731
    with reverse_proxy(base, broken) as proxied:
        result = read(proxied, page_size=3)
    assert len(consents(result)) == 3
    assert "Page 2" in gaps(result)[0]


def test_an_outer_answer_from_a_cache_is_a_gap(base: str) -> None:
    body = requests.post(
        base,
        json=json.loads(requests_of(base)[0].body),
        headers={"Content-Type": "application/fhir+json"},
        timeout=10,
    ).json()
    with responses.RequestsMock() as web:
        web.post("https://ehr.example/fhir", json=body, headers={"Age": "40"})
        assert any("cache" in gap for gap in gaps(read("https://ehr.example/fhir")))


@pytest.mark.parametrize("reply", [Reply(500), Reply(200, b"<html>"), Reply(302)])
def test_a_batch_that_fails_as_a_whole_ends_the_read(base: str, reply: Reply) -> None:
    with reverse_proxy(base, lambda _: reply) as proxied, pytest.raises(RecordUnavailable):
        read(proxied)


# --- organisations -----------------------------------------------------------------------------


def test_an_organisation_named_by_reference_is_looked_up(base: str) -> None:
    put(
        base,
        {
            "resourceType": "Organization",
            "id": "theirs",
            "identifier": [{"system": ODS, "value": "b67890"}],
        },
        an_objection_resource(organization=[{"reference": "Organization/theirs"}]),
    )
    [objection] = read(base).record.consents
    assert objection.organisations[0].ods == {"B67890"}


def test_an_organisation_that_cannot_be_read_is_not_resolved(base: str) -> None:
    consent = an_objection_resource(organization=[{"reference": "Organization/gone"}])
    result = read_with(base, {"Consent": searchset(consent)})
    assert result.record.consents[0].organisations[0].ods == frozenset()
    assert gaps(result) == []


def test_the_ods_code_beside_a_reference_needs_no_look_up(base: str) -> None:
    named = {"reference": "Organization/x", **organisation("B67890")}
    made: list[Request] = []
    consent = searchset(a_consent_resource(organization=[named]))
    with reverse_proxy(base, lambda one: made.append(one)) as proxied:
        result = read_with(proxied, {"Consent": consent})
    assert result.record.consents[0].organisations[0].ods == {"B67890"}
    assert len(made) == 1


# --- the recipient -----------------------------------------------------------------------------


def test_a_related_person_is_read_with_their_own_identity(base: str) -> None:
    put(base, a_related_resource(identifier=[]), INGESTED | {"id": "grant"})
    result = read(base, recipient="RelatedPerson/ben")
    recipient = result.record.recipient
    assert recipient.kind is RecipientKind.RELATED_PERSON
    assert recipient.related is not None
    assert recipient.keys == {"RelatedPerson/ben"}
    assert gaps(result) == []


def test_an_unknown_related_person_is_not_found(base: str) -> None:
    with pytest.raises(RecipientNotFound):
        read(base, recipient="RelatedPerson/nobody")


@pytest.mark.parametrize("answered", [500, {"resourceType": "OperationOutcome"}])
def test_a_related_person_that_cannot_be_read_ends_the_read(base: str, answered: Any) -> None:
    put(base, a_related_resource())
    with pytest.raises(RecordUnavailable):
        read_with(base, {"RelatedPerson/ben": answered}, recipient="RelatedPerson/ben")


def test_another_entry_of_the_same_person_is_the_same_human(base: str) -> None:
    put(base, a_related_resource(), a_related_resource(id="ben-again"))
    recipient = read(base, recipient="RelatedPerson/ben").record.recipient
    assert "RelatedPerson/ben-again" in recipient.closure
    assert "RelatedPerson/ben-again" not in recipient.keys


def test_a_recipient_of_another_kind_is_neither_read_nor_taken_for_a_person(base: str) -> None:
    assert read(base, recipient="Group/all").record.recipient.kind is RecipientKind.OTHER


def test_another_patient_as_recipient_is_not_the_patient(base: str) -> None:
    put(base, a_patient_resource(id="other", identifier=by_number("9990000034")))
    recipient = read(base, recipient="Patient/other").record.recipient
    assert not recipient.keys & builders.AMARA_KEYS


@pytest.mark.parametrize(
    "modifier",
    [
        {"implicitRules": "https://example.org/rules"},
        {"modifierExtension": [{"url": "urn:example:not", "valueBoolean": True}]},
        {"link": [{"type": "refer", "modifierExtension": [{"url": "urn:example:not"}]}]},
    ],
)
def test_a_person_with_a_modifier_that_is_not_understood_is_told(base: str, modifier: Any) -> None:
    assert gaps(read(base)) == []
    put(base, a_patient_resource(**modifier))
    assert any("modifier" in gap for gap in gaps(read(base)))
