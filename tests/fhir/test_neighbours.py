"""Who else is found at a contact point."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given

from fhirmsg.fhir.neighbours import neighbour_of, searches_at
from fhirmsg.guidance.record import Neighbour
from fhirmsg.guidance.request import BroughtContactPoint, Content, Service
from fhirmsg.guidance.terms import Channel, Declared
from fhirmsg.policyfile.lexicons import packaged_lexicon
from tests import builders
from tests.builders import NOW
from tests.fhir.reads import a_link, by_number, gaps, read, read_with, requests_of
from tests.fhir.resources import BEN_NUMBER, a_context, a_related_resource
from tests.fhir.strategies import damaged
from tests.world import a_patient_resource, put

AMARAS, BENS = "+447700900123", "+447700900456"
PRIVATE = {"confidential": Declared.UNKNOWN}


def phone(value: str, **changes: Any) -> dict[str, Any]:
    return {"system": "phone", "use": "mobile", "value": value, **changes}


def somebody(**changes: Any) -> dict[str, Any]:
    """Give another patient, at Amara's number."""
    resource = a_patient_resource(id="somebody", identifier=by_number("9990000034"))
    return {**resource, "telecom": [phone("07700 900123")], **changes}


def neighbours(result: Any) -> dict[str, Neighbour]:
    return {each.version.reference: each for each in result.record.neighbours}


# --- translation -------------------------------------------------------------------------------


def holder(*telecom: dict[str, Any], own: tuple[str, ...] = ()) -> Neighbour:
    return neighbour_of(a_related_resource(telecom=list(telecom)), a_context(), NOW, own)


def test_a_neighbour_has_values_in_use_and_former_ones() -> None:
    found = holder(
        phone("07700 900111"),
        phone("07700 900222", use="old"),
        phone("07700 900333", period={"end": "2026-11-23"}),
        phone("07700 900444", period={"end": "2026-11-24"}),
        phone("07700 900555", period={"start": "2026-11-25"}),
        {"system": "email", "value": "ben@Example.ORG"},
        phone("ask my daughter"),
    )
    assert found.values == {
        "+447700900111",
        "+447700900444",
        "+447700900555",
        "ben@example.org",
    }
    assert found.former == {"+447700900222", "+447700900333"}
    assert found.related_to == {"Patient/amara"}


def test_a_value_in_use_is_not_former_too() -> None:
    found = holder(phone("07700 900111", use="old"), phone("+447700900111"))
    assert (found.values, found.former) == ({"+447700900111"}, frozenset())


def test_an_address_is_the_same_in_capitals() -> None:
    mail = {"system": "email", "value": "amara@example.com"}
    assert "Amara@example.com" in holder(mail, own=("Amara@example.com",)).values


def test_an_nhs_number_is_no_shared_contact_point() -> None:
    verified = {"url": "x/Extension-UKCore-NHSNumberVerificationStatus"}
    verified["valueCodeableConcept"] = {"coding": [{"system": "urn:x", "code": "01"}]}  # type: ignore[assignment]
    [identifier] = by_number("9990000034")
    patient = somebody(identifier=[{**identifier, "extension": [verified]}])
    assert neighbour_of(patient, a_context(), NOW, ()).values == {AMARAS}


@given(person=damaged(somebody()))
def test_no_shape_of_a_neighbour_raises(person: Any) -> None:
    neighbour_of(person, a_context(), NOW + timedelta(days=1), (AMARAS,))


# --- searching ---------------------------------------------------------------------------------


def forms_asked(*values: str, holders: tuple[Any, ...] = ()) -> list[str]:
    searches = searches_at(values, holders, 50)
    [patients, related] = searches.values()
    assert patients.startswith("Patient?telecom=")
    assert related.startswith("RelatedPerson?telecom=")
    return parse_qs(urlsplit(patients).query)["telecom"][0].split(",")


def test_a_number_is_asked_for_in_every_common_form() -> None:
    forms = forms_asked(AMARAS)
    assert set(forms) >= {
        "07700900123",
        "+447700900123",
        "00447700900123",
        "07700 900123",
        "+44 7700 900123",
    }


def test_an_address_is_asked_for_in_common_letter_cases() -> None:
    assert set(forms_asked("Amara@example.com")) >= {
        "Amara@example.com",
        "amara@example.com",
        "AMARA@EXAMPLE.COM",
        "Amara@Example.Com",
    }


@pytest.mark.parametrize(
    "written",
    [
        "0044 7700 900123",
        "+44 7700900123",
        "+44 7700 900 123",
        "447700900123",
        "07700-900123",
        "+44 (0)7700 900123",
        "tel:+447700900123",
    ],
)
def test_a_number_is_asked_for_as_people_write_it_too(written: str) -> None:
    assert written in forms_asked(AMARAS)


def test_what_separates_values_is_escaped() -> None:
    assert forms_asked("a|b$c@example.com")[0] == "a\\|b\\$c@example.com"


def test_the_spelling_on_the_record_is_asked_for_too() -> None:
    amara = a_patient_resource(telecom=[phone("(07700) 900-123"), phone("07700 900999")])
    assert "(07700) 900-123" in forms_asked(AMARAS, holders=(amara,))
    assert "07700 900999" not in forms_asked(AMARAS, holders=(amara,))


def test_without_a_value_nothing_is_asked() -> None:
    assert searches_at((), (a_patient_resource(),), 50) == {}


# --- through the reader ------------------------------------------------------------------------


def test_people_related_to_the_patient_are_neighbours_without_a_search(base: str) -> None:
    put(base, a_related_resource(), somebody())
    result = read(base)
    [ben] = result.record.neighbours
    assert ben.version.reference == "RelatedPerson/ben"
    assert ben.values == {BENS}


def test_the_very_recipient_is_none_and_another_entry_of_theirs_is(base: str) -> None:
    put(base, a_related_resource(), a_related_resource(id="ben-again"))
    put(base, a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER)))
    found = neighbours(read(base, recipient="RelatedPerson/ben"))
    assert list(found) == ["RelatedPerson/ben-again"]


@pytest.mark.parametrize(
    "asked",
    [
        {"confidential": Declared.UNKNOWN},
        {"confidential": Declared.YES},
        {"service": Service(sensitive=Declared.YES)},
    ],
)
@pytest.mark.parametrize(
    "written", ["07700900123", "+447700900123", "00447700900123", "07700 900123"]
)
def test_others_at_the_number_are_looked_for_when_the_content_may_be_private(
    base: str, asked: Any, written: str
) -> None:
    put(base, somebody(telecom=[phone(written)]))
    result = read(base, **asked)
    [found] = result.record.neighbours
    assert found.version.reference == "Patient/somebody"
    assert found.values == {AMARAS}
    assert "Patient/somebody" in {each.reference for each in result.record.versions}
    assert gaps(result) == []


@pytest.mark.parametrize(
    "asked",
    [
        {"service": Service(code="urn:s|77"), "policy": {"sensitive_services": {"urn:s|77"}}},
        {"content": Content(body="Your chlamydia test is positive.")},
        {"content": Content(body="Amara Fictional, please call Example Surgery.")},
        {"about": ("Appointment/one",)},
    ],
)
def test_others_are_looked_for_whoever_says_that_it_is_private(base: str, asked: Any) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "STD"}
    appointment = {
        "resourceType": "Appointment",
        "id": "one",
        "status": "booked",
        "meta": {"security": [label]},
        "participant": [{"actor": {"reference": "Patient/amara"}, "status": "accepted"}],
    }
    named = [{"given": ["Amara"], "family": "Fictional"}]
    put(base, a_patient_resource(name=named), somebody(), appointment)
    wanted = {"policy": {"lexicon": packaged_lexicon()}, **asked}
    assert list(neighbours(read(base, **wanted))) == ["Patient/somebody"]


def test_others_are_looked_for_where_the_supplier_falls_back_to(base: str) -> None:
    put(base, somebody())
    app = builders.an_app_platform(fallbacks={Channel.SMS})
    asked = {"channel": Channel.NHS_APP, "platform": "app", **PRIVATE}
    result = read(base, policy={"platforms": {"app": app}}, **asked)
    assert list(neighbours(result)) == ["Patient/somebody"]


def test_a_person_related_to_somebody_else_is_found_too(base: str) -> None:
    put(base, somebody(telecom=[]))
    other = {"patient": {"reference": "Patient/somebody"}, "telecom": [phone("07700900123")]}
    put(base, a_related_resource(id="other", **other))
    found = neighbours(read(base, **PRIVATE))
    assert found["RelatedPerson/other"].related_to == {"Patient/somebody"}


def test_nobody_is_looked_for_when_the_content_is_plain(base: str) -> None:
    put(base, somebody())
    assert read(base).record.neighbours == ()
    assert len(requests_of(base)) == 1


def test_nobody_is_looked_for_on_other_channels(base: str) -> None:
    put(base, somebody())
    for channel in (Channel.EMAIL, Channel.NHS_APP):
        assert read(base, channel=channel, **PRIVATE).record.neighbours == ()
    put(base, somebody(telecom=[{"system": "email", "value": "amara@example.com"}]))
    assert len(read(base, channel=Channel.EMAIL, **PRIVATE).record.neighbours) == 1


def test_an_old_number_is_not_looked_for(base: str) -> None:
    put(base, somebody(), a_patient_resource(telecom=[phone("07700 900123", use="old")]))
    assert len(requests_of(base, **PRIVATE)) == 1


def test_the_patient_and_linked_records_are_no_neighbours(base: str) -> None:
    put(base, a_patient_resource(id="old"), a_patient_resource(link=[a_link("replaces", "old")]))
    assert read(base, **PRIVATE).record.neighbours == ()


def test_a_proxys_own_record_is_no_neighbour_and_the_proxys_number_is_looked_for(
    base: str,
) -> None:
    own = [phone("07700 900456")]
    put(base, a_related_resource(), somebody(telecom=[phone("07700900456")]))
    put(base, a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER), telecom=own))
    found = neighbours(read(base, recipient="RelatedPerson/ben", **PRIVATE))
    assert list(found) == ["Patient/somebody"]
    assert found["Patient/somebody"].values == {BENS}


def test_a_number_that_only_the_proxys_own_record_has_is_looked_for(base: str) -> None:
    own = [phone("07700 900456")]
    put(base, a_related_resource(telecom=[]), somebody(telecom=[phone("07700900456")]))
    put(base, a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER), telecom=own))
    assert "Patient/somebody" in neighbours(read(base, recipient="RelatedPerson/ben", **PRIVATE))


def test_a_number_that_is_brought_is_looked_for(base: str) -> None:
    put(base, somebody(telecom=[phone("07700900777")]))
    brought = BroughtContactPoint(system="phone", value="07700 900777", source="the caller")
    assert list(neighbours(read(base, contact_point=brought, **PRIVATE))) == ["Patient/somebody"]


def test_no_number_stands_in_an_address(base: str) -> None:
    put(base, somebody())
    made = requests_of(base, **PRIVATE)
    assert len(made) == 2
    assert not any("900123" in request.path for request in made)
    asked = [entry["request"]["url"] for entry in json.loads(made[1].body)["entry"]]
    assert len(asked) == 2


@pytest.mark.parametrize("path", ["Patient?telecom", "RelatedPerson?telecom"])
def test_a_search_for_others_that_fails_is_a_gap(base: str, path: str) -> None:
    result = read_with(base, {path: 500}, **PRIVATE)
    [gap] = gaps(result)
    assert "900123" not in gap


def test_a_neighbour_in_an_odd_shape_is_a_gap(base: str) -> None:
    put(base, a_related_resource())
    odd = a_related_resource(telecom=[{"system": "phone", "value": 7}])
    answer = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": odd}]}
    assert "RelatedPerson.telecom.value" in gaps(read_with(base, {"RelatedPerson?": answer}))[0]
