"""An objection counts from the moment it is on the server, on a real HAPI with its search reuse."""

from __future__ import annotations

import pytest
import requests

from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.http import make_session
from fhirmsg.ports import EntryDraft, Opening
from tests.world import (
    World,
    a_patient_resource,
    an_objection_resource,
    codes,
    communications,
    put,
)

pytestmark = pytest.mark.hapi


def a_stale_search(base: str) -> int:
    """Make a plain search for Consents, which HAPI remembers for a minute; gives its total."""
    answer = requests.get(f"{base}/Consent?patient=Patient/amara", timeout=30)
    return len(answer.json().get("entry", []))


def test_an_objection_written_one_moment_before_a_send_stops_it(hapi: str) -> None:
    put(hapi, a_patient_resource())
    world = World(hapi)
    assert a_stale_search(hapi) == 0
    assert world.send().status == "accepted-by-provider"
    put(hapi, an_objection_resource())
    assert a_stale_search(hapi) == 0, (
        "the server no longer reuses searches: this test shows nothing"
    )

    answer = world.send()

    # The same words again are a repeat besides.
    assert (answer.status, codes(answer)) == ("refused", ["objection.active", "request.repeated"])
    assert len(world.outbox.messages()) == 1


class LogThatObjects(FhirCommunicationLog):
    """Opens an entry, and at that moment the patient objects."""

    def open(self, draft: EntryDraft) -> Opening:
        opening = super().open(draft)
        put(self._client.base, an_objection_resource())
        return opening


def test_an_objection_written_between_the_first_read_and_the_hand_off_stops_it(hapi: str) -> None:
    put(hapi, a_patient_resource())
    log = LogThatObjects(FhirClient(FhirServer(base_url=hapi), make_session()))
    world = World(hapi, log=log)

    answer = world.send("the key")

    assert (answer.status, codes(answer)) == ("refused", ["objection.active"])
    assert world.outbox.messages() == []
    [entry] = communications(hapi)
    assert entry["status"] == "not-done"
    assert "payload" not in entry
    assert "statusReason" not in entry
    assert [label["code"] for label in entry["meta"]["security"]] == ["R"]


def test_the_key_of_a_message_stopped_at_the_second_look_can_be_used_again(hapi: str) -> None:
    put(hapi, a_patient_resource())
    log = LogThatObjects(FhirClient(FhirServer(base_url=hapi), make_session()))
    World(hapi, log=log).send("the key")
    put(hapi, an_objection_resource(status="inactive"))
    world = World(hapi)

    answer = world.send("the key")

    assert answer.status == "accepted-by-provider"
    [entry] = communications(hapi)
    assert entry["status"] == "completed"
    assert entry["payload"]
    assert len(world.outbox.messages()) == 1
