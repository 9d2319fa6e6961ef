"""Two calls open an entry for one message, because the server let both through: one gives way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests

from fhirmsg.errors import StillRunning
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.http import make_session
from fhirmsg.ports import EntryDraft, Opening
from fhirmsg.sandbox import Store, serve_in_thread
from tests.world import FHIR_JSON, World, a_patient_resource, communications, put


@pytest.fixture
def base() -> Iterator[str]:
    """The embedded store with one patient."""
    with serve_in_thread(Store()) as running:
        put(running.base_url, a_patient_resource())
        yield running.base_url


class RacingLog(FhirCommunicationLog):
    """Opens an entry just when somebody else does, before or after it."""

    def __init__(self, base: str, *, other_first: bool, status: str = "in-progress") -> None:
        super().__init__(FhirClient(FhirServer(base_url=base), make_session()))
        self.base, self.other_first, self.status = base, other_first, status
        self.other = ""

    def open(self, draft: EntryDraft) -> Opening:
        if self.other_first:
            # Under another identifier first, so that our conditional create does not find it.
            self._meet(draft, "a moment ago")
        opening = super().open(draft)
        self._meet(draft, draft.message_id)
        return opening

    def _meet(self, draft: EntryDraft, message_id: str) -> None:
        theirs = super().open(replace(draft, message_id="another", attempt="theirs"))
        assert theirs.entry is not None
        self.other = theirs.entry.reference
        theirs_now = {**theirs.entry.resource, "status": self.status}
        theirs_now["identifier"] = [{**theirs_now["identifier"][0], "value": message_id}]
        url = f"{self.base}/{self.other}"
        requests.put(url, json=theirs_now, headers=FHIR_JSON, timeout=30).raise_for_status()


class FirstLog(RacingLog):
    """The other one was created first, so it has the lower id."""

    def _meet(self, draft: EntryDraft, message_id: str) -> None:
        if not self.other:
            super()._meet(draft, message_id)
            return
        url = f"{self.base}/{self.other}"
        theirs = requests.get(url, timeout=30).json()
        theirs["identifier"][0]["value"] = message_id
        requests.put(url, json=theirs, headers=FHIR_JSON, timeout=30).raise_for_status()


def statuses(base: str) -> dict[str, str]:
    """Give the status of every entry, by reference."""
    return {f"Communication/{each['id']}": each["status"] for each in communications(base)}


def test_the_later_entry_gives_way_at_once_and_says_that_nothing_was_done(base: str) -> None:
    log = FirstLog(base, other_first=True)
    world = World(base, log=log, pause=lambda _: pytest.fail("it waited"))
    with pytest.raises(StillRunning):
        world.send("k")
    assert world.outbox.messages() == []
    found = statuses(base)
    assert found.pop(log.other) == "in-progress"
    assert list(found.values()) == ["not-done"]


def test_the_earlier_entry_goes_on_when_the_other_has_given_way(base: str) -> None:
    log = RacingLog(base, other_first=False)

    def the_other_gives_way(_: float) -> None:
        requests.delete(f"{base}/{log.other}", timeout=30)

    world = World(base, log=log, pause=the_other_gives_way)
    assert world.send("k").status == "accepted-by-provider"
    assert len(world.outbox.messages()) == 1
    assert [entry["status"] for entry in communications(base)] == ["completed"]


def test_the_earlier_entry_gives_way_in_the_end_to_one_that_stays(base: str) -> None:
    waits: list[float] = []
    log = RacingLog(base, other_first=False)
    world = World(base, log=log, pause=waits.append)
    with pytest.raises(StillRunning):
        world.send("k")
    assert sum(waits) >= 2
    assert world.outbox.messages() == []
    assert sorted(statuses(base).values()) == ["in-progress", "not-done"]


def test_an_entry_beside_one_handed_off_gives_way_and_the_next_call_is_a_replay(base: str) -> None:
    log = RacingLog(base, other_first=False, status="completed")
    world = World(base, log=log, pause=lambda _: None)
    with pytest.raises(StillRunning):
        world.send("k")
    answer = World(base).send("k")
    assert (answer.status, answer.replayed) == ("accepted-by-provider", True)
    assert world.outbox.messages() == []


def test_two_entries_handed_off_are_for_a_person(base: str) -> None:
    world = World(base)
    world.send("k")
    [entry] = communications(base)
    twin = {name: value for name, value in entry.items() if name not in ("id", "meta")}
    requests.post(f"{base}/Communication", json=twin, headers=FHIR_JSON, timeout=30)
    answer = world.send("k")
    assert answer.status == "held"
    tasks = requests.get(f"{base}/Task?patient=Patient/amara", timeout=30).json()
    assert len(tasks["entry"]) == 1
    assert len(world.outbox.messages()) == 1
