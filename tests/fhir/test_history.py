"""What is on a patient's record, page by page, through cursors that nobody can make up."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from itsdangerous import URLSafeSerializer

from fhirmsg.errors import CursorRefused, PatientNotFound, RecordUnavailable
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.communication import opened
from fhirmsg.fhir.history import FhirMessageHistory
from fhirmsg.http import make_session
from tests.fhir.drafts import a_draft
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import FHIR_JSON, a_patient_resource, put

AMARA, KEY = "Patient/amara", b"a key of the tests, and no secret"


def a_history(base: str, key: bytes = KEY) -> FhirMessageHistory:
    return FhirMessageHistory(
        FhirClient(FhirServer(base_url=base), make_session(get_retries=0)), cursor_key=key
    )


def write(base: str, *ids: str, patient: str = AMARA) -> None:
    """Put an entry for each message id, oldest first."""
    for message_id in ids:
        resource = opened(a_draft(message_id=message_id, patient=patient))
        answer = requests.post(
            f"{base}/Communication", json=resource, headers=FHIR_JSON, timeout=10
        )
        assert answer.ok


def all_pages(base: str, *, count: int = 2) -> list[list[str]]:
    """Give the message ids, page by page."""
    history, cursor, pages = a_history(base), None, []
    while True:
        page = history.page(AMARA, count=count, cursor=cursor)
        pages.append([entry.message_id for entry in page.entries])
        cursor = page.next
        if cursor is None:
            return pages


def test_every_entry_is_shown_once(base: str) -> None:
    write(base, "a", "b", "c", "d", "e")
    pages = all_pages(base)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(id for page in pages for id in page) == ["a", "b", "c", "d", "e"]


def test_a_patient_without_messages_has_an_empty_page(base: str) -> None:
    assert all_pages(base) == [[]]


def test_entries_about_somebody_else_are_not_shown(base: str) -> None:
    put(base, a_patient_resource(id="other"))
    write(base, "theirs", patient="Patient/other")
    write(base, "ours")
    assert all_pages(base) == [["ours"]]


def test_an_unknown_patient_is_not_found(base: str) -> None:
    with pytest.raises(PatientNotFound):
        a_history(base).page("Patient/nobody", count=2)


def test_one_message_is_found_by_its_id(base: str) -> None:
    write(base, "a", "b")
    assert [entry.message_id for entry in a_history(base).find("a")] == ["a"]


# --- cursors -----------------------------------------------------------------------------------


@pytest.fixture
def cursor(base: str) -> str:
    """A cursor that was given out for Amara."""
    write(base, "a", "b", "c")
    given = a_history(base).page(AMARA, count=2).next
    assert given is not None
    return given


def refused(base: str, cursor: str, patient: str = AMARA, key: bytes = KEY) -> None:
    with pytest.raises(CursorRefused):
        a_history(base, key).page(patient, count=2, cursor=cursor)


def test_a_cursor_leads_to_the_next_page_in_any_process(base: str, cursor: str) -> None:
    [entry] = a_history(base).page(AMARA, count=2, cursor=cursor).entries
    assert entry.message_id


def test_a_cursor_is_of_no_use_for_another_patient(base: str, cursor: str) -> None:
    put(base, a_patient_resource(id="other"))
    refused(base, cursor, patient="Patient/other")


def test_a_cursor_signed_with_another_key_is_refused(base: str, cursor: str) -> None:
    refused(base, cursor, key=b"another key")


def made_up(content: Any, *, key: bytes = b"guess", salt: str = "fhirmsg.history") -> str:
    return str(URLSafeSerializer(key, salt=salt).dumps(content))


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "x",
        ".",
        "a.b.c",
        "\ud800",
        "é",
        "%00",
        made_up([AMARA, "?_getpages=1"]),
        # Signed for another use of the same key, or with something else inside.
        made_up([AMARA, "?_getpages=1"], key=KEY, salt="another"),
        made_up([AMARA], key=KEY),
        made_up({"patient": AMARA}, key=KEY),
        made_up(None, key=KEY),
        made_up([AMARA, 7], key=KEY),
        made_up([AMARA, "?_getpages=1", "more"], key=KEY),
    ],
)
def test_a_cursor_that_was_made_up_is_refused_before_anything_is_read(
    base: str, forged: str
) -> None:
    made: list[Request] = []
    with reverse_proxy(base, lambda request: made.append(request)) as proxied:
        refused(proxied, forged)
    assert made == []


def test_a_changed_cursor_is_refused(base: str, cursor: str) -> None:
    # All but the last character, some bits of which mean nothing in base64.
    for position in range(0, len(cursor) - 1, 7):
        other = "A" if cursor[position] != "A" else "B"
        refused(base, f"{cursor[:position]}{other}{cursor[position + 1 :]}")


@pytest.mark.parametrize("link", ["https://elsewhere.example/fhir?x=1", "http://[", "/other"])
def test_a_cursor_never_leads_to_another_server(base: str, link: str) -> None:
    with pytest.raises(RecordUnavailable):
        a_history(base).page(AMARA, count=2, cursor=made_up([AMARA, link], key=KEY))


@pytest.mark.parametrize("status", [404, 410])
def test_a_page_that_is_no_longer_kept_is_said(base: str, cursor: str, status: int) -> None:
    with reverse_proxy(base, lambda _: Reply(status)) as proxied, pytest.raises(CursorRefused):
        a_history(proxied).page(
            AMARA, count=2, cursor=made_up([AMARA, f"{proxied}?_getpages=1"], key=KEY)
        )


# --- answers that are wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(200, b"<html>"),
        Reply(200, b'{"resourceType":"OperationOutcome"}'),
        Reply(200, b'{"resourceType":"Bundle","type":"batch-response","entry":[]}'),
    ],
)
def test_a_record_that_cannot_be_read_is_unavailable(base: str, reply: Reply) -> None:
    with reverse_proxy(base, lambda _: reply) as proxied, pytest.raises(RecordUnavailable):
        a_history(proxied).page(AMARA, count=2)


def test_entries_that_are_no_communications_of_the_patient_are_left_out(base: str) -> None:
    ours = {**opened(a_draft(message_id="ours")), "id": "1"}
    absolute = {**ours, "subject": {"reference": f"{base}/{AMARA}"}}
    others = [
        None,
        "banana",
        {"resourceType": "Patient"},
        {**ours, "subject": {"reference": "Patient/other"}},
        {**ours, "subject": None},
    ]
    searchset = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": each} for each in [ours, absolute, *others]],
    }
    answers = [
        {"response": {"status": "200"}, "resource": a_patient_resource()},
        {"response": {"status": "200"}, "resource": searchset},
    ]
    bundle = {"resourceType": "Bundle", "type": "batch-response", "entry": answers}
    reply = Reply(200, json.dumps(bundle).encode())
    with reverse_proxy(base, lambda _: reply) as proxied:
        assert len(a_history(proxied).page(AMARA, count=9).entries) == 2
