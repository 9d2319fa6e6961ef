"""What was not sent stays off the patient's record, unless the policy wants it there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fhirmsg.sandbox import Store, serve_in_thread
from tests.world import World, a_patient_resource, an_objection_resource, communications, put


@pytest.fixture
def world() -> Iterator[World]:
    """The embedded store with a patient who objects to texts."""
    with serve_in_thread(Store()) as running:
        put(running.base_url, a_patient_resource(), an_objection_resource())
        yield World(running.base_url)


def send(world: World, key: str, *, record_refusals: bool) -> str:
    """Send under a policy that does or does not record refusals; gives the status."""
    call = world.call(key)
    policy = replace(call.policy, record_refusals=record_refusals)
    return world.messenger.send(replace(call, policy=policy)).status


def test_by_default_a_refusal_leaves_nothing_on_the_record(world: World) -> None:
    assert send(world, "k", record_refusals=False) == "refused"
    assert communications(world.base) == []


def test_a_refusal_is_recorded_once_without_text_or_reason_where_the_policy_says_so(
    world: World,
) -> None:
    assert send(world, "k", record_refusals=True) == "refused"
    assert send(world, "k", record_refusals=True) == "refused"
    [entry] = communications(world.base)
    assert entry["status"] == "not-done"
    assert not {"payload", "statusReason", "sent", "note"} & entry.keys()
    assert [label["code"] for label in entry["meta"]["security"]] == ["R"]


def test_a_refusal_on_record_does_not_bind_the_key(world: World) -> None:
    send(world, "k", record_refusals=True)
    put(world.base, an_objection_resource(status="inactive"))
    assert send(world, "k", record_refusals=True) == "accepted-by-provider"
    [entry] = communications(world.base)
    assert entry["status"] == "completed"
    assert len(world.outbox.messages()) == 1
