"""What an outcome leaves on the record, from call to record: on the store, and on a real HAPI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from fhirmsg import clock
from fhirmsg.calls import Call
from fhirmsg.errors import StillRunning
from fhirmsg.guidance.request import (
    Acknowledgement,
    Emergency,
    Evidence,
    IndividualCheck,
    SendRequest,
    Service,
)
from fhirmsg.guidance.rule import Lift
from fhirmsg.guidance.terms import Declared, Person, Protects
from fhirmsg.sandbox import Store, serve_in_thread
from tests import builders, emergencies
from tests.fhir.resources import a_related_resource
from tests.world import World, a_patient_resource, an_objection_resource, codes, put

SERVICE = "http://snomed.info/sct|310098006"
BEN = "RelatedPerson/ben"


def everybody() -> tuple[dict[str, Any], ...]:
    """Give Amara, Ben as somebody related to her, and Ben as a patient himself."""
    ben = a_related_resource()
    himself = {"resourceType": "Patient", "id": "ben", "identifier": ben["identifier"]}
    return a_patient_resource(), ben, himself


@pytest.fixture(params=["store", pytest.param("hapi", marks=pytest.mark.hapi)])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with Amara and Ben."""
    if request.param == "hapi":
        url = request.getfixturevalue("hapi")
        put(url, *everybody())
        yield url
        return
    with serve_in_thread(Store()) as running:
        put(running.base_url, *everybody())
        yield running.base_url


def found(base: str, kind: str) -> list[dict[str, Any]]:
    """Give everything of a kind."""
    answer = requests.get(
        f"{base}/{kind}?_count=100", headers={"Cache-Control": "no-cache"}, timeout=30
    )
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def tasks(base: str) -> dict[str, str]:
    """Give the status of each Task by its code."""
    return {each["code"]["coding"][0]["code"]: each["status"] for each in found(base, "Task")}


def asked(call: Call, **changes: Any) -> Call:
    return replace(call, request=replace(call.request, **changes))


def in_emergency(world: World, key: str) -> Call:
    """Give a call in an emergency that acknowledges every objection it was shown."""
    call = world.call(key)
    call = replace(call, policy=replace(call.policy, review=emergencies.REVIEWERS))
    declared = Emergency(
        declared_by=call.request.requester,
        declared_at=clock.now() - timedelta(minutes=1),
        reason="ptarmigan-reason",
        protects=Protects.PATIENT,
        consulted=Person(name="Sam Senior", role="consultant on call"),
    )
    shown = world.messenger.check(asked(call, evidence=Evidence(emergency=declared)))
    assert shown.decision is not None
    seen = tuple(
        Acknowledgement(
            code=finding.code, reference=version.reference, version_id=version.version_id
        )
        for finding in shown.decision.findings
        if Lift.ACKNOWLEDGEMENT in finding.lifted_by
        for version in finding.evidence
    )
    return asked(call, evidence=Evidence(emergency=declared, acknowledged=seen))


def test_an_emergency_is_sent_with_one_review_open_however_often_it_is_called(base: str) -> None:
    put(base, an_objection_resource())
    world = World(base)
    call = in_emergency(world, "k")
    answer = world.messenger.send(call)
    assert (answer.status, answer.record) == ("accepted-by-provider", "complete")
    assert all(world.messenger.send(call).replayed for _ in range(2))
    [entry] = found(base, "Communication")
    [task] = found(base, "Task")
    assert task["status"] == "requested"
    assert task["focus"]["reference"] == f"Communication/{entry['id']}"
    assert [each["type"]["coding"][0]["code"] for each in task["input"]] == ["objection.active"]
    assert task["requester"]["identifier"]["value"] == "Practitioner/nurse"
    # The entry was created with its review and completed once; the review was never touched.
    assert (entry["meta"]["versionId"], task["meta"]["versionId"]) == ("2", "1")
    assert entry["reasonCode"][0]["coding"][0]["code"] == "emergency"
    [provenance] = found(base, "Provenance")
    assert "ptarmigan-reason" in provenance["reason"][0]["text"]
    assert "ptarmigan" not in json.dumps([entry, task])
    for resource in (entry, task, provenance):
        assert [label["code"] for label in resource["meta"]["security"]] == ["R"]


def test_an_emergency_called_by_several_at_once_is_sent_once_with_one_review(base: str) -> None:
    put(base, an_objection_resource())
    world = World(base)
    call = in_emergency(world, "k")

    def send(_: int) -> None:
        with suppress(StillRunning):
            world.messenger.send(call)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(6)))
    assert len(world.outbox.messages()) == 1
    assert tasks(base) == {"emergency-review": "requested"}
    assert len(found(base, "Task")) == 1


def test_an_emergency_that_a_restriction_stops_in_time_leaves_no_open_review(base: str) -> None:
    put(base, an_objection_resource())
    world = World(base)
    call = in_emergency(world, "k")
    real = world.real_log.open

    def open_and_restrict(draft: Any) -> Any:
        opening = real(draft)
        reason = {"coding": [{"system": "https://fhirmsg.example/x", "code": "serious-harm"}]}
        extension = an_objection_resource()["extension"][0]
        danger = {**extension, "valueCodeableConcept": reason}
        put(base, an_objection_resource("danger", extension=[danger]))
        return opening

    world.real_log.open = open_and_restrict  # type: ignore[method-assign]
    assert world.messenger.send(call).status == "refused"
    assert world.outbox.messages() == []
    assert tasks(base) == {"emergency-review": "cancelled", "safety-contact": "requested"}
    [entry] = found(base, "Communication")
    assert entry["status"] == "not-done"
    assert "reasonCode" not in entry


def test_a_held_message_asks_once_and_what_lets_it_go_closes_that(base: str) -> None:
    put(base, an_objection_resource(status="proposed"))
    world = World(base)
    call = world.call("k")
    assert [world.messenger.send(call).status for _ in range(2)] == ["held", "held"]
    [task] = found(base, "Task")
    assert (task["code"]["coding"][0]["code"], task["status"]) == ("hold", "requested")
    assert task["input"][0]["type"]["coding"][0]["code"] == "objection.pending"
    assert call.request.content.body not in json.dumps(task)
    assert found(base, "Communication") == []

    put(base, an_objection_resource())
    assert world.messenger.send(in_emergency(world, "k")).status == "accepted-by-provider"
    assert tasks(base) == {"hold": "completed", "emergency-review": "requested"}


def test_a_safety_restriction_calls_for_one_talk_however_many_messages_it_stops(
    base: str,
) -> None:
    extension = an_objection_resource()["extension"][0]
    reason = {"coding": [{"system": "https://fhirmsg.example/x", "code": "serious-harm"}]}
    danger = {**extension, "valueCodeableConcept": reason}
    put(base, an_objection_resource("danger", extension=[danger]))
    world = World(base)
    assert {world.send(key).status for key in ("a", "b")} == {"refused"}
    [task] = found(base, "Task")
    assert task["identifier"][0]["value"] == "safety:danger"


def a_grant_resource() -> dict[str, Any]:
    """Give Ben an explicit consent of Amara's to receive messages."""
    person = {"reference": BEN}
    role = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
    return {
        **an_objection_resource("grant"),
        "extension": [],
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                        "code": "INFAO",
                    }
                ]
            }
        ],
        "dateTime": "2026-01-01T09:00:00Z",
        "performer": [{"reference": "Patient/amara"}],
        "provision": {
            "type": "permit",
            "period": {"start": "2026-01-01", "end": "2099-12-31"},
            "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Communication"}],
            "actor": [
                {
                    "role": {"coding": [{"system": role, "code": "DELEGATEE"}]},
                    "reference": person,
                }
            ],
        },
    }


def to_ben(world: World, key: str, service: str, answer: Declared) -> Call:
    """Give a call to Ben about a sensitive service, with Amara's answer."""
    check = IndividualCheck(
        proxy=BEN, service=service, answer=answer, by=builders.NURSE, at=clock.now()
    )
    request: dict[str, Any] = {
        "recipient": BEN,
        "service": Service(code=service, sensitive=Declared.YES),
        "evidence": Evidence(individual_check=check),
    }
    call = world.call(key)
    asked_for: SendRequest = replace(call.request, **request)
    return replace(call, request=asked_for)


def test_an_individuals_no_is_met_by_the_next_sender_whatever_they_bring(base: str) -> None:
    put(base, a_grant_resource())
    world = World(base)
    assert world.messenger.send(to_ben(world, "a", SERVICE, Declared.NO)).status == "refused"
    assert world.messenger.send(to_ben(world, "a", SERVICE, Declared.NO)).status == "refused"
    denials = [each for each in found(base, "Consent") if each["id"] != "grant"]
    assert len(denials) == 1
    assert [label["code"] for label in denials[0]["meta"]["security"]] == ["R"]

    # Another sender, who was told yes by somebody, meets the no.
    again = world.messenger.send(to_ben(world, "b", SERVICE, Declared.YES))
    assert again.status == "refused"
    assert "proxy.denied" in codes(again)
    other = world.messenger.send(to_ben(world, "c", "http://snomed.info/sct|1", Declared.YES))
    assert other.status == "accepted-by-provider", codes(other)
    [provenance] = found(base, "Provenance")
    assert provenance["activity"]["coding"][0]["code"] == "evidence"
    assert tasks(base) == {}


def test_a_check_leaves_nothing_on_the_record(base: str) -> None:
    put(base, a_grant_resource(), an_objection_resource())
    world = World(base)
    world.messenger.check(to_ben(world, "a", SERVICE, Declared.NO))
    world.messenger.check(world.call("b"))
    assert found(base, "Task") == []
    assert {each["id"] for each in found(base, "Consent")} == {"grant", "objection"}
