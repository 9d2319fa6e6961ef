"""An emergency message and its review: opened together, or the message first, and never two."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import requests

from fhirmsg.fhir.communication import opened
from fhirmsg.guidance.decision import decide
from fhirmsg.ports import Entry, EntryDraft, EntryStatus, Opened
from tests import builders
from tests.fhir.drafts import MESSAGE_ID, a_draft, an_emergency_case
from tests.fhir.logs import a_log, lost, once, written
from tests.fhir.test_tasks import change, tasks, the_task
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import FHIR_JSON, an_objection_resource, communications, put


@pytest.fixture
def base(base: str) -> str:
    """The store, with an objection of Amara's."""
    put(base, an_objection_resource())
    return base


def an_emergency(attempt: str = "mine") -> EntryDraft:
    """Give the draft of an emergency message under this attempt."""
    draft = a_draft(an_emergency_case(), attempt=attempt)
    assert draft.review is not None
    return replace(draft, review=replace(draft.review, attempt=attempt))


def no_transactions(made: Request) -> Reply | None:
    return Reply(405, b"{}") if b'"transaction"' in made.body else None


def attempt_of(task: dict[str, Any]) -> str:
    return str(task["extension"][0]["valueString"])


# --- opened ------------------------------------------------------------------------------------


def test_the_entry_and_its_review_are_opened_in_one_transaction(base: str) -> None:
    made: list[Request] = []
    with reverse_proxy(base, lambda request: made.append(request)) as proxied:
        opening = a_log(proxied).open(an_emergency())
    assert (opening.outcome, opening.reviewed, len(made)) == (Opened.OURS, True, 1)
    assert opening.entry is not None
    assert opening.entry.emergency
    task = the_task(base)
    assert task["status"] == "requested"
    assert task["focus"] == {"reference": opening.entry.reference}
    assert task["identifier"][0]["value"] == f"{MESSAGE_ID}:emergency-review"
    assert [each["type"]["coding"][0]["code"] for each in task["input"]] == ["objection.active"]


def test_the_entry_says_that_it_is_an_emergency_and_not_which(base: str) -> None:
    a_log(base).open(an_emergency())
    entry = written(base)
    assert [each["coding"][0]["code"] for each in entry["reasonCode"]] == ["emergency"]
    assert entry["meta"]["security"][0]["code"] == "R"
    for resource in (entry, the_task(base)):
        assert "ptarmigan" not in json.dumps(resource)


def test_neither_text_nor_contact_detail_stands_on_the_review(base: str) -> None:
    a_log(base).open(an_emergency())
    text = json.dumps(the_task(base))
    assert builders.a_request().content.body not in text
    assert "7700900101" not in text


def test_a_call_that_is_repeated_finds_both(base: str) -> None:
    a_log(base).open(an_emergency("first"))
    opening = a_log(base).open(an_emergency("second"))
    assert opening.outcome is Opened.OTHERS
    assert len(communications(base)) == 1
    assert (the_task(base)["status"], attempt_of(the_task(base))) == ("requested", "first")


def test_a_review_beside_an_entry_of_somebody_else_is_taken_back(base: str) -> None:
    plain = opened(a_draft(attempt="theirs"))
    requests.post(f"{base}/Communication", json=plain, headers=FHIR_JSON, timeout=10)
    assert a_log(base).open(an_emergency()).outcome is Opened.OTHERS
    assert the_task(base)["status"] == "cancelled"


def test_a_plain_message_opens_no_review(base: str) -> None:
    a_log(base).open(a_draft())
    assert tasks(base) == []


# --- where both cannot be written together -----------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 405, 409, 412, 422, 500, 503])
def test_a_server_that_takes_no_transaction_gets_the_entry_and_then_the_review(
    base: str, status: int
) -> None:
    refuse = lambda made: Reply(status) if b'"transaction"' in made.body else None  # noqa: E731
    with reverse_proxy(base, refuse) as proxied:
        opening = a_log(proxied).open(an_emergency())
    assert opening.outcome is Opened.OURS
    assert opening.entry is not None
    assert the_task(base)["focus"] == {"reference": opening.entry.reference}


def test_a_lost_answer_to_the_transaction_leaves_one_of_each(base: str) -> None:
    with reverse_proxy(base, once("POST", lambda made: lost(base, made))) as proxied:
        assert a_log(proxied).open(an_emergency()).outcome is Opened.OURS
    assert len(communications(base)) == 1
    assert attempt_of(the_task(base)) == "mine"


def test_a_review_that_cannot_be_written_does_not_hold_the_message_up(
    base: str, caplog: pytest.LogCaptureFixture
) -> None:
    def no_task(made: Request) -> Reply | None:
        refused = made.path.endswith("/Task") or b'"transaction"' in made.body
        return Reply(422, b"{}") if refused else None

    with reverse_proxy(base, no_task) as proxied:
        opening = a_log(proxied).open(an_emergency())
    assert opening.outcome is Opened.OURS
    assert tasks(base) == []
    assert "task not opened" in [each.message for each in caplog.records]


# --- claimed and ended -------------------------------------------------------------------------


def ended_unsent(base: str) -> Entry:
    """Give an emergency entry that was not sent, its review cancelled."""
    entry = a_log(base).open(an_emergency("first")).entry
    assert entry is not None
    settled = a_log(base).settle(entry, EntryStatus.NOT_DONE)
    assert settled is not None
    change(base, status="cancelled")
    return settled


def test_an_entry_that_was_not_sent_says_nothing_of_an_emergency(base: str) -> None:
    entry = ended_unsent(base)
    assert "reasonCode" not in written(base)
    assert not entry.emergency


def test_an_entry_that_is_claimed_anew_has_its_review_again(base: str) -> None:
    entry = ended_unsent(base)
    claimed = a_log(base).claim(entry, an_emergency("second"), "second")
    assert claimed is not None
    assert claimed.emergency
    assert (the_task(base)["status"], attempt_of(the_task(base))) == ("requested", "second")


def settle(base: str, **more: Any) -> Entry | None:
    case = an_emergency_case()
    entry = a_log(base).open(an_emergency()).entry
    assert entry is not None
    grounds = {"decision": decide(case), "grounds": case.request}
    return a_log(base).settle(entry, EntryStatus.COMPLETED, **{**grounds, **more})


def provenances(base: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{base}/Provenance", timeout=10).json()
    return [entry["resource"] for entry in answer.get("entry", [])]


def test_why_it_was_declared_is_in_the_provenance_and_nowhere_else(base: str) -> None:
    assert settle(base) is not None
    [provenance] = provenances(base)
    assert "ptarmigan-reason" in provenance["reason"][0]["text"]
    assert provenance["meta"]["security"][0]["code"] == "R"
    assert written(base)["reasonCode"][0]["coding"][0]["code"] == "emergency"
    assert "ptarmigan" not in json.dumps([written(base), the_task(base)])


def test_an_emergency_whose_evidence_cannot_be_written_is_for_a_person(base: str) -> None:
    def no_provenance(made: Request) -> Reply | None:
        refused = made.path.endswith("/Provenance") or b'"Provenance"' in made.body
        return Reply(422, b"{}") if refused else None

    with reverse_proxy(base, no_provenance) as proxied:
        assert settle(proxied) is not None
    codes = sorted(each["code"]["coding"][0]["code"] for each in tasks(base))
    assert codes == ["emergency-review", "evidence-unrecorded"]
    assert written(base)["status"] == "completed"


def test_a_plain_message_leaves_no_provenance(base: str) -> None:
    case = builders.a_case()
    entry = a_log(base).open(a_draft()).entry
    assert entry is not None
    a_log(base).settle(entry, EntryStatus.COMPLETED, decision=decide(case), grounds=case.request)
    assert provenances(base) == []
    assert "reasonCode" not in written(base)
