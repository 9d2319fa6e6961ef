"""What was sent stays sent, and stays on the record, whatever goes wrong afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from fhirmsg import clock
from fhirmsg.calls import Call, Times
from fhirmsg.errors import PatientNotFound, RecordUnavailable, StillRunning
from fhirmsg.guidance.request import CitedVersion, Evidence, Override
from fhirmsg.judging import draft_entry, judge
from fhirmsg.ports import Entry, EntryStatus, Opened
from fhirmsg.sandbox import Store, serve_in_thread
from tests import builders
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import World, a_patient_resource, an_objection_resource, communications, put

SHORT = Times(start_within=0.2, handoff=0.2, margin=0.1)


@pytest.fixture
def base() -> Iterator[str]:
    """The embedded store with one patient."""
    with serve_in_thread(Store()) as running:
        put(running.base_url, a_patient_resource())
        yield running.base_url


def found(base: str, kind: str) -> list[dict[str, Any]]:
    """Give everything of a kind."""
    answer = requests.get(f"{base}/{kind}", headers={"Cache-Control": "no-cache"}, timeout=30)
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def with_override(world: World, key: str) -> Call:
    """Give a call that brings a complete override of the patient's objection."""
    call = world.call(key)
    refused = world.messenger.check(call)
    assert refused.decision is not None
    now = clock.now()
    cited = tuple(
        CitedVersion(reference=version.reference, version_id=version.version_id)
        for finding in refused.decision.findings
        if finding.code == "objection.active"
        for version in finding.evidence
    )
    override = Override(
        message_id=call.message_id,
        message_digest=call.digest,
        objections=cited,
        reason="A critical result",
        circumstances="Lives alone",
        approver=builders.GUARDIAN,
        approved_at=now,
        expires_at=now + timedelta(hours=1),
    )
    return replace(call, request=replace(call.request, evidence=Evidence(override=override)))


# --- a replay is answered though the record is gone or out of reach ---------------------------


def test_a_message_that_was_sent_stays_sent_when_its_patient_is_gone(base: str) -> None:
    world = World(base)
    world.send("k")

    def gone(request: Request) -> Reply | None:
        if b'"batch"' not in request.body:
            return None
        entries = [{"response": {"status": "410"}}] * len(json.loads(request.body)["entry"])
        bundle = {"resourceType": "Bundle", "type": "batch-response", "entry": entries}
        return Reply(200, json.dumps(bundle).encode())

    with reverse_proxy(base, gone) as broken:
        again = World(broken)
        answer = again.send("k")
    assert (answer.status, answer.replayed) == ("accepted-by-provider", True)
    assert again.outbox.messages() == []


def test_a_message_that_was_sent_stays_sent_when_the_record_answers_500(base: str) -> None:
    World(base).send("k")
    no_batch = lambda made: Reply(500) if b'"batch"' in made.body else None  # noqa: E731
    with reverse_proxy(base, no_batch) as broken:
        assert World(broken).send("k").replayed


def test_a_message_that_was_never_opened_is_still_a_failure(base: str) -> None:
    with pytest.raises(PatientNotFound, match="this call sent nothing"):
        World(base).send("k", patient="Patient/nobody")
    with (
        reverse_proxy(base, lambda _: Reply(500)) as broken,
        pytest.raises(RecordUnavailable, match="This call sent nothing"),
    ):
        World(broken).send("k")


# --- a process that was asleep ends nothing that another one took over ------------------------


def test_a_process_that_wakes_up_late_cannot_undo_what_another_one_completed(base: str) -> None:
    asleep = World(base)
    call = asleep.call("k")
    read = asleep.messenger._read(call)
    opening = asleep.real_log.open(draft_entry(call, *judge(call, read), b"k" * 32))
    assert opening.outcome is Opened.OURS
    assert opening.entry is not None
    time.sleep(1.7)
    awake = World(base, times=SHORT)
    assert awake.send("k").status == "accepted-by-provider"

    assert asleep.real_log.settle(opening.entry, EntryStatus.NOT_DONE) is None

    [entry] = communications(base)
    assert entry["status"] == "completed"
    assert awake.send("k").replayed
    assert len(awake.outbox.messages()) == 1


# --- a message sent on an override is on the record, and so is the override --------------------


def test_an_override_is_recorded_beside_the_entry(base: str) -> None:
    put(base, an_objection_resource())
    world = World(base)
    answer = world.messenger.send(with_override(world, "k"))
    assert (answer.status, answer.record) == ("accepted-by-provider", "complete")
    assert [entry["status"] for entry in communications(base)] == ["completed"]
    [provenance] = found(base, "Provenance")
    assert provenance["target"][0]["reference"].startswith("Communication/")


def no_transactions(made: Request) -> Reply | None:
    """Refuse transactions, as some servers do."""
    return Reply(405, b"{}") if b'"transaction"' in made.body else None


def test_a_server_without_transactions_gets_the_entry_and_then_the_override(base: str) -> None:
    put(base, an_objection_resource())
    with reverse_proxy(base, no_transactions) as limited:
        world = World(limited)
        answer = world.messenger.send(with_override(world, "k"))
    assert (answer.status, answer.record) == ("accepted-by-provider", "complete")
    assert [entry["status"] for entry in communications(base)] == ["completed"]
    assert len(found(base, "Provenance")) == 1
    assert found(base, "Task") == []


def test_an_override_that_cannot_be_recorded_is_for_a_person_and_the_entry_is_complete(
    base: str,
) -> None:
    put(base, an_objection_resource())

    def no_provenance(made: Request) -> Reply | None:
        refused = made.path.endswith("/Provenance") or b'"transaction"' in made.body
        return Reply(422, b"{}") if refused else None

    with reverse_proxy(base, no_provenance) as limited:
        world = World(limited)
        answer = world.messenger.send(with_override(world, "k"))
    assert (answer.status, answer.record) == ("accepted-by-provider", "complete")
    assert [entry["status"] for entry in communications(base)] == ["completed"]
    [task] = found(base, "Task")
    assert task["identifier"][0]["value"].endswith(":evidence-unrecorded")


class Killed(BaseException):
    """The process ends here."""


def test_an_override_lost_with_its_process_is_for_a_person(base: str) -> None:
    put(base, an_objection_resource())
    world = World(base, times=SHORT)
    call = with_override(world, "k")
    settle = world.real_log.settle

    def die(*_: Any, **__: Any) -> Entry:
        raise Killed

    world.real_log.settle = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.messenger.send(call)
    world.real_log.settle = settle  # type: ignore[method-assign]
    time.sleep(1.7)

    assert world.messenger.send(call).status == "accepted-by-provider"

    assert len(world.outbox.messages()) == 1
    [task] = found(base, "Task")
    assert task["identifier"][0]["value"].endswith(":completed-without-evidence")


# --- an entry that cannot be written, and one that comes late ----------------------------------


def test_a_summary_that_is_not_there_opens_nothing_and_sends_nothing(base: str) -> None:
    world = World(base)
    call = world.call("k")
    call = replace(call, policy=replace(call.policy, record_copy=False))
    answer = world.messenger.send(call)
    assert answer.status == "held"
    assert world.outbox.messages() == []


def test_a_create_that_comes_through_late_is_closed_by_the_next_call(base: str) -> None:
    world = World(base)
    world.send("k")
    [entry] = communications(base)
    late = {name: value for name, value in entry.items() if name not in ("id", "meta", "sent")}
    late["status"] = "in-progress"
    requests.post(f"{base}/Communication", json=late, timeout=30).raise_for_status()

    assert world.send("k").replayed

    assert sorted(each["status"] for each in communications(base)) == ["completed", "not-done"]
    assert len(world.outbox.messages()) == 1


def test_an_entry_being_sent_by_another_process_is_not_answered_as_sent(base: str) -> None:
    world = World(base)
    call = world.call("k")
    world.real_log.open(draft_entry(call, *judge(call, world.messenger._read(call)), b"k" * 32))
    no_batch = lambda made: Reply(500) if b'"batch"' in made.body else None  # noqa: E731
    with reverse_proxy(base, no_batch) as broken, pytest.raises(StillRunning):
        World(broken).send("k")
