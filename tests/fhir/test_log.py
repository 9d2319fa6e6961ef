"""The record entries on a real store, whatever becomes of the answers on their way."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.communication import opened
from fhirmsg.ports import Entry, EntryStatus, Opened
from tests.fhir.drafts import MESSAGE_ID, a_draft
from tests.fhir.logs import AFTER_WRITING, Fault, a_log, lost, once, written
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import FHIR_JSON, communications


def by_somebody_else(base: str, **changes: Any) -> dict[str, Any]:
    """Put an entry of another attempt on the store."""
    resource = {**opened(a_draft(attempt="theirs")), **changes}
    return dict(
        requests.post(f"{base}/Communication", json=resource, headers=FHIR_JSON, timeout=10).json()
    )


# --- open --------------------------------------------------------------------------------------


def test_an_entry_that_is_not_there_is_opened(base: str) -> None:
    opening = a_log(base).open(a_draft(attempt="mine"))
    assert opening.outcome is Opened.OURS
    assert opening.entry is not None
    assert (opening.entry.attempt, opening.entry.status) == ("mine", EntryStatus.IN_PROGRESS)
    assert opening.entry.version_id == "1"
    assert opening.entry.age_seconds is not None
    assert written(base)["status"] == "in-progress"


def test_an_entry_of_another_attempt_is_left_as_it_is(base: str) -> None:
    a_log(base).open(a_draft(attempt="theirs"))
    opening = a_log(base).open(a_draft(attempt="mine"))
    assert opening.outcome is Opened.OTHERS
    assert opening.entry is not None
    assert opening.entry.attempt == "theirs"
    assert len(communications(base)) == 1


@pytest.mark.parametrize("fault", AFTER_WRITING)
def test_an_answer_that_is_lost_after_the_server_wrote_it_leaves_it_ours(
    base: str, fault: Fault
) -> None:
    with reverse_proxy(base, once("POST", lambda request: fault(base, request))) as proxied:
        opening = a_log(proxied).open(a_draft(attempt="mine"))
    assert opening.outcome is Opened.OURS
    assert written(base)["id"] == (
        opening.entry.reference.rpartition("/")[2] if opening.entry else ""
    )


@pytest.mark.parametrize("fault", AFTER_WRITING)
def test_an_answer_that_is_lost_when_another_was_first_leaves_it_theirs(
    base: str, fault: Fault
) -> None:
    by_somebody_else(base)
    with reverse_proxy(base, once("POST", lambda request: fault(base, request))) as proxied:
        assert a_log(proxied).open(a_draft(attempt="mine")).outcome is Opened.OTHERS
    assert len(communications(base)) == 1


@pytest.mark.parametrize("status", [409, 412, 429, 500, 503])
def test_an_error_with_nothing_written_is_tried_once_more(base: str, status: int) -> None:
    with reverse_proxy(base, once("POST", lambda _: Reply(status))) as proxied:
        assert a_log(proxied).open(a_draft(attempt="mine")).outcome is Opened.OURS
    assert len(communications(base)) == 1


def test_a_conflict_is_looked_into(base: str) -> None:
    by_somebody_else(base)
    with reverse_proxy(base, once("POST", lambda _: Reply(409))) as proxied:
        assert a_log(proxied).open(a_draft(attempt="mine")).outcome is Opened.OTHERS


def test_several_entries_are_several(base: str) -> None:
    by_somebody_else(base)
    by_somebody_else(base)
    opening = a_log(base).open(a_draft())
    assert opening.outcome is Opened.SEVERAL
    assert opening.entry is not None


def test_an_answer_about_another_message_is_not_ours(base: str) -> None:
    other = {**opened(a_draft(attempt="mine", message_id="another")), "id": "x"}
    answer = Reply(200, json.dumps(other).encode())
    with reverse_proxy(base, once("POST", lambda _: answer)) as proxied:
        opening = a_log(proxied).open(a_draft(attempt="mine"))
    assert opening.outcome is Opened.OURS
    assert opening.entry is not None
    assert opening.entry.message_id == MESSAGE_ID


@pytest.mark.parametrize("reply", [Reply(500), Reply(503), Reply(200, b"<html>"), Reply(403)])
def test_when_nothing_is_known_the_record_is_unavailable(base: str, reply: Reply) -> None:
    made: list[str] = []

    def refuse(request: Request) -> Reply:
        made.append(request.method)
        return reply

    with reverse_proxy(base, refuse) as proxied:
        assert a_log(proxied).open(a_draft()).outcome is Opened.UNAVAILABLE
    assert made == ["POST", "GET", "GET", "GET"] * 2
    assert communications(base) == []


def test_a_search_that_fails_after_a_lost_answer_does_not_say_that_nothing_is_there(
    base: str,
) -> None:
    blind = lambda request: Reply(500) if request.method == "GET" else lost(base, request)  # noqa: E731
    with reverse_proxy(base, blind) as proxied:
        assert a_log(proxied).open(a_draft()).outcome is Opened.UNAVAILABLE
    assert len(communications(base)) == 1


# --- find --------------------------------------------------------------------------------------


def test_entries_are_found_by_message_id(base: str) -> None:
    by_somebody_else(base)
    assert [entry.attempt for entry in a_log(base).find(MESSAGE_ID)] == ["theirs"]
    assert a_log(base).find("another") == ()


@pytest.mark.parametrize("reply", [Reply(500), Reply(200, b"<html>"), Reply(200, b"{}")])
def test_a_search_that_cannot_be_read_is_not_none_found(base: str, reply: Reply) -> None:
    with (
        reverse_proxy(base, lambda _: reply) as proxied,
        pytest.raises(RecordUnavailable),
    ):
        a_log(proxied).find(MESSAGE_ID)


# --- claim -------------------------------------------------------------------------------------


@pytest.fixture
def theirs(base: str) -> Entry:
    """The entry of another attempt."""
    by_somebody_else(base)
    [entry] = a_log(base).find(MESSAGE_ID)
    return entry


def test_an_abandoned_entry_is_claimed_as_it_is(base: str, theirs: Entry) -> None:
    claimed = a_log(base).claim(theirs, None, "mine")
    assert claimed is not None
    assert (claimed.attempt, claimed.version_id) == ("mine", "2")
    assert claimed.text == theirs.text


def test_an_entry_that_was_not_sent_is_claimed_and_written_anew(base: str) -> None:
    by_somebody_else(base, status="not-done", payload=[])
    [unsent] = a_log(base).find(MESSAGE_ID)
    claimed = a_log(base).claim(unsent, a_draft(attempt="mine"), "mine")
    assert claimed is not None
    assert (claimed.attempt, claimed.status) == ("mine", EntryStatus.IN_PROGRESS)
    assert written(base)["payload"]


def test_an_entry_that_has_changed_is_not_claimed(base: str, theirs: Entry) -> None:
    assert a_log(base).claim(theirs, None, "faster") is not None
    assert a_log(base).claim(theirs, None, "mine") is None
    assert a_log(base).find(MESSAGE_ID)[0].attempt == "faster"


@pytest.mark.parametrize("fault", AFTER_WRITING)
def test_a_claim_whose_answer_is_lost_is_looked_into(
    base: str, theirs: Entry, fault: Fault
) -> None:
    with reverse_proxy(base, once("PUT", lambda request: fault(base, request))) as proxied:
        claimed = a_log(proxied).claim(theirs, None, "mine")
    assert claimed is not None
    assert (claimed.attempt, claimed.version_id) == ("mine", "2")


@pytest.mark.parametrize("status", [404, 409, 412, 500])
def test_a_claim_that_was_not_written_is_none(base: str, theirs: Entry, status: int) -> None:
    with reverse_proxy(base, once("PUT", lambda _: Reply(status))) as proxied:
        assert a_log(proxied).claim(theirs, None, "mine") is None
    assert a_log(base).find(MESSAGE_ID)[0].attempt == "theirs"


def test_a_claim_about_which_nothing_is_known_is_none(base: str, theirs: Entry) -> None:
    with reverse_proxy(base, lambda _: Reply(500)) as proxied:
        assert a_log(proxied).claim(theirs, None, "mine") is None


def test_an_entry_that_another_system_touched_can_be_claimed(base: str) -> None:
    by_somebody_else(base, reasonCode=[{"text": ""}])
    [touched] = a_log(base).find(MESSAGE_ID)
    assert a_log(base).claim(touched, None, "mine") is not None
