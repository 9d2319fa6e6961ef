"""An individual's "no" on the record: whoever asks next is refused, for that service alone."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import requests

from fhirmsg.fhir.consents import consent_facts
from fhirmsg.fhir.denials import denial
from fhirmsg.fhir.resources import validated
from fhirmsg.guidance.consents import Denied, Kind, kinds_of, read_denial_of_proxy
from fhirmsg.guidance.request import Service
from fhirmsg.guidance.terms import Channel, Declared, Purpose
from fhirmsg.ports import Declined
from tests import builders
from tests.fhir.deciding import a_case_of, to_amara
from tests.fhir.logs import a_log
from tests.fhir.resources import a_context, a_related_resource
from tests.reverse_proxy import Reply, reverse_proxy
from tests.world import FHIR_JSON, put

SERVICE = "http://snomed.info/sct|310098006"
OTHERS = ["http://snomed.info/sct|310000008", "urn:example|x", "x"]


def a_no(**changes: Any) -> Declined:
    """Give Amara's "no" to Ben hearing of a service."""
    defaults = {
        "patient": "Patient/amara",
        "proxy": "RelatedPerson/ben",
        "proxy_keys": builders.BEN_KEYS,
        "service": SERVICE,
        "at": builders.NOW,
        "by": builders.NURSE,
    }
    return Declined(**{**defaults, **changes})


def as_read(declined: Declined) -> Any:
    resource = validated({**denial(declined), "id": "no"})
    resource["meta"] = {**resource["meta"], "versionId": "1"}
    return consent_facts(resource, a_context())


def answer(declined: Declined, service: str | None, **fields: Any) -> Denied | None:
    """Tell whether the "no" denies Ben a message about this service."""
    request = builders.a_request(service=Service(code=service, sensitive=Declared.NO), **fields)
    consent = as_read(declined)
    case = builders.a_proxy_case(consent, request=request)
    return read_denial_of_proxy(
        consent, kinds_of(consent, case.patient_keys), case.queries_to_recipient
    )


def test_it_is_a_denial_of_that_person_and_nothing_else() -> None:
    assert kinds_of(as_read(a_no()), a_context().patient) == {Kind.DENIAL_OF_PERSON}


@pytest.mark.parametrize("service", [SERVICE, "sexual-health"])
@pytest.mark.parametrize("channel", list(Channel))
@pytest.mark.parametrize("purpose", [Purpose.TEST_RESULT, Purpose.APPOINTMENT])
def test_a_message_about_that_service_is_denied_on_every_channel(
    service: str, channel: Channel, purpose: Purpose
) -> None:
    found = answer(a_no(service=service), service, channel=channel, purpose=purpose)
    assert found is Denied.YES


@pytest.mark.parametrize("service", OTHERS)
@pytest.mark.parametrize("declined", [SERVICE, "sexual-health"])
def test_a_message_about_another_service_is_not_denied(declined: str, service: str | None) -> None:
    assert answer(a_no(service=declined), service) is None


def codes_to_ben(declined: Declined, service: str, **fields: Any) -> set[str]:
    """Give what is found in a message to Ben about a service, the "no" on record."""
    request = builders.a_request(service=Service(code=service, sensitive=Declared.NO))
    written = {**denial(declined), "id": "no"}
    related = a_related_resource(**fields)
    return builders.codes_of(a_case_of(written, related=related, request=request))


def test_a_service_named_without_a_system_is_that_service_in_any_system() -> None:
    bare = a_no(service="sexual-health")
    assert answer(bare, "urn:example|sexual-health") is Denied.YES
    assert answer(bare, "urn:example|other") is None
    assert answer(a_no(), "urn:example|310098006") is None


@pytest.mark.parametrize("service", [SERVICE, "sexual-health"])
def test_a_message_that_names_no_service_may_be_about_that_one(service: str) -> None:
    assert answer(a_no(service=service), None) is Denied.PERHAPS


def test_the_next_sender_meets_it() -> None:
    assert "proxy.denied" in codes_to_ben(a_no(), SERVICE)
    assert "proxy.denied" not in codes_to_ben(a_no(), "http://snomed.info/sct|310000008")


def test_the_person_is_known_again_by_their_number_under_another_entry() -> None:
    assert "proxy.denied" in codes_to_ben(a_no(), SERVICE, id="ben-again")
    without = a_no(proxy_keys=frozenset({"RelatedPerson/ben"}))
    assert "proxy.denied" not in codes_to_ben(without, SERVICE, id="ben-again")


def test_a_number_that_is_none_is_not_written() -> None:
    wrong = frozenset({f"{builders.NHS_NUMBER}|9990000027", "RelatedPerson/ben"})
    for keys in (wrong, builders.BEN_KEYS | wrong):
        [actor] = denial(a_no(proxy_keys=keys))["provision"]["actor"]
        assert "identifier" not in actor["reference"]


def test_it_is_nothing_to_the_patient() -> None:
    request = builders.a_request(service=Service(code=SERVICE, sensitive=Declared.NO))
    written = {**denial(a_no()), "id": "no"}
    assert to_amara(written, request=request) == to_amara(request=request)


def test_it_says_who_asked_and_when_and_is_labelled() -> None:
    resource = denial(a_no())
    assert resource["meta"]["security"][0]["code"] == "R"
    assert resource["dateTime"] == "2026-11-24T10:00:00.000Z"
    assert "Nia Nurse" in str(resource["extension"])
    assert validated(denial(a_no(by=None)))


# --- on a store --------------------------------------------------------------------------------


@pytest.fixture
def with_ben(base: str) -> str:
    """A store with Amara and Ben in it."""
    put(base, a_related_resource())
    return base


def consents(base: str) -> list[dict[str, Any]]:
    found = requests.get(f"{base}/Consent", timeout=10).json()
    return [entry["resource"] for entry in found.get("entry", [])]


def test_it_is_written_once_for_each_service(with_ben: str) -> None:
    for service in (SERVICE, SERVICE, "sexual-health"):
        assert a_log(with_ben).remember(a_no(service=service))
    assert len(consents(with_ben)) == 2


def test_one_that_was_withdrawn_is_written_anew_by_another_no(with_ben: str) -> None:
    a_log(with_ben).remember(a_no())
    [written] = consents(with_ben)
    withdrawn = {**written, "status": "inactive"}
    requests.put(
        f"{with_ben}/Consent/{written['id']}", json=withdrawn, headers=FHIR_JSON, timeout=10
    ).raise_for_status()
    assert a_log(with_ben).remember(a_no())
    assert sorted(each["status"] for each in consents(with_ben)) == ["active", "inactive"]


@pytest.mark.parametrize("reply", [Reply(500), Reply(422), Reply(200, b"<html>")])
def test_one_that_cannot_be_written_is_logged_without_saying_whose(
    with_ben: str, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    with reverse_proxy(with_ben, lambda _: reply) as broken:
        assert not a_log(broken).remember(a_no())
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.message == "individual's answer not recorded"
    assert "amara" not in str(record.__dict__)


def test_one_that_would_not_be_valid_is_not_written(with_ben: str) -> None:
    assert not a_log(with_ben).remember(replace(a_no(), service=""))
    assert consents(with_ben) == []
