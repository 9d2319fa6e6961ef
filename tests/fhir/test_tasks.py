"""Tasks for people: one of a key, kept true while it is open, never over what somebody did."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests

from fhirmsg.fhir.resources import validated
from fhirmsg.fhir.tasks import task
from fhirmsg.ports import TaskDraft
from tests import builders
from tests.fhir.logs import a_log, once
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import FHIR_JSON

KEY = "5e0e0001-0000-5000-8000-000000000001:emergency-review"


def a_task(**changes: Any) -> TaskDraft:
    """Give the draft of a review."""
    defaults = {
        "key": KEY,
        "code": "emergency-review",
        "text": "Talk it over.",
        "patient": "Patient/amara",
        "findings": (("objection.active", "There is an objection."),),
        "roles": ("Caldicott Guardian", "IG lead"),
        "requester": builders.NURSE,
        "attempt": "mine",
    }
    return TaskDraft(**{**defaults, **changes})


def tasks(base: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{base}/Task", timeout=10).json()
    return [entry["resource"] for entry in answer.get("entry", [])]


def the_task(base: str) -> dict[str, Any]:
    [found] = tasks(base)
    return found


def change(base: str, **fields: Any) -> None:
    """Let somebody else change the Task."""
    changed = {**the_task(base), **fields}
    url = f"{base}/Task/{changed['id']}"
    requests.put(url, json=changed, headers=FHIR_JSON, timeout=10).raise_for_status()


# --- the resource ------------------------------------------------------------------------------


def test_a_task_says_what_was_found_whom_to_ask_and_on_whose_account() -> None:
    resource = validated(task(a_task(focus="Communication/9"), builders.NOW))
    assert resource["meta"]["security"][0]["code"] == "R"
    assert (resource["status"], resource["priority"]) == ("requested", "urgent")
    assert resource["for"] == {"reference": "Patient/amara"}
    assert resource["focus"] == {"reference": "Communication/9"}
    assert resource["performerType"] == [{"text": "Caldicott Guardian"}, {"text": "IG lead"}]
    assert resource["requester"]["identifier"] == {"value": "Practitioner/nurse"}
    [found] = resource["input"]
    assert found["type"]["coding"][0]["code"] == "objection.active"
    assert found["valueString"] == "There is an objection."


def test_a_task_that_names_nothing_but_itself_is_valid_too() -> None:
    bare = TaskDraft(key="k", code="hold", text="Look.", urgent=False)
    resource = validated(task(bare, builders.NOW))
    assert resource["priority"] == "routine"
    assert not {"for", "focus", "input", "performerType", "requester"} & resource.keys()


# --- kept --------------------------------------------------------------------------------------


def test_there_is_one_task_of_a_key(base: str) -> None:
    assert all(a_log(base).keep_task(a_task()) for _ in range(3))
    assert the_task(base)["meta"]["versionId"] == "1"


def test_a_task_that_lists_something_else_by_now_is_brought_up_to_date(base: str) -> None:
    a_log(base).keep_task(a_task())
    found = (("platform.unapproved", "It is not approved."),)
    assert a_log(base).keep_task(a_task(findings=found, text="Talk that over."))
    resource = the_task(base)
    assert [each["type"]["coding"][0]["code"] for each in resource["input"]] == [
        "platform.unapproved"
    ]
    assert resource["description"] == "Talk that over."
    assert a_log(base).keep_task(a_task(findings=(), roles=()))
    assert not {"input", "performerType"} & the_task(base).keys()


def test_a_task_belongs_to_the_latest_attempt(base: str) -> None:
    a_log(base).keep_task(a_task())
    assert a_log(base).keep_task(a_task(attempt="later"))
    [attempt] = the_task(base)["extension"]
    assert attempt["valueString"] == "later"


def test_what_somebody_at_work_on_it_has_written_stays(base: str) -> None:
    a_log(base).keep_task(a_task())
    change(base, status="in-progress", owner={"display": "Gita Guardian"})
    assert a_log(base).keep_task(a_task(text="Talk that over."))
    resource = the_task(base)
    assert (resource["status"], resource["owner"]) == (
        "in-progress",
        {"display": "Gita Guardian"},
    )
    assert resource["description"] == "Talk that over."


def test_a_review_that_was_cancelled_is_opened_again(base: str) -> None:
    a_log(base).keep_task(a_task())
    a_log(base).close_task(KEY, done=False, note="Nothing was sent.")
    assert the_task(base)["status"] == "cancelled"
    assert a_log(base).keep_task(a_task(attempt="later"))
    assert the_task(base)["status"] == "requested"


@pytest.mark.parametrize("status", ["completed", "cancelled", "rejected"])
def test_what_a_person_has_ended_stays_ended(base: str, status: str) -> None:
    draft = a_task(attempt="mine" if status == "completed" else None)
    a_log(base).keep_task(draft)
    change(base, status=status)
    assert a_log(base).keep_task(replace(draft, text="Talk that over."))
    assert the_task(base)["status"] == status
    assert the_task(base)["description"] == "Talk it over."


@pytest.mark.parametrize("code", [409, 412, 500])
def test_a_change_that_was_refused_is_tried_once_more_on_what_is_there_then(
    base: str, code: int
) -> None:
    a_log(base).keep_task(a_task())
    with reverse_proxy(base, once("PUT", lambda _: Reply(code))) as proxied:
        assert a_log(proxied).keep_task(a_task(text="Talk that over."))
    assert the_task(base)["description"] == "Talk that over."


def test_a_change_that_cannot_be_written_is_logged(
    base: str, caplog: pytest.LogCaptureFixture
) -> None:
    a_log(base).keep_task(a_task())
    no_put = lambda made: Reply(500) if made.method == "PUT" else None  # noqa: E731
    with reverse_proxy(base, no_put) as proxied:
        assert not a_log(proxied).keep_task(a_task(text="Talk that over."))
    assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == [
        "task not brought up to date"
    ]


def test_an_answer_without_the_task_is_looked_into(base: str) -> None:
    a_log(base).keep_task(a_task())
    with reverse_proxy(base, once("POST", lambda _: Reply(200))) as proxied:
        assert a_log(proxied).keep_task(a_task(text="Talk that over."))
    assert the_task(base)["description"] == "Talk that over."


# --- closed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("done", "status"), [(True, "completed"), (False, "cancelled")])
def test_a_task_is_closed_with_a_word(base: str, done: bool, status: str) -> None:
    a_log(base).keep_task(a_task())
    assert a_log(base).close_task(KEY, done=done, note="The message was sent.")
    resource = the_task(base)
    assert resource["status"] == status
    assert resource["note"][0]["text"] == "The message was sent."
    assert resource["meta"]["security"][0]["code"] == "R"


def test_a_task_of_another_attempt_is_left_open(base: str) -> None:
    a_log(base).keep_task(a_task())
    assert a_log(base).close_task(KEY, done=False, note="x", attempts=frozenset({"theirs"}))
    assert the_task(base)["status"] == "requested"
    assert a_log(base).close_task(KEY, done=False, note="x", attempts=frozenset({"mine", "y"}))
    assert the_task(base)["status"] == "cancelled"


def test_what_is_closed_or_not_there_needs_no_closing(base: str) -> None:
    assert a_log(base).close_task(KEY, done=True, note="x")
    a_log(base).keep_task(a_task())
    change(base, status="completed")
    assert a_log(base).close_task(KEY, done=False, note="x")
    assert the_task(base)["status"] == "completed"


def failing(method: str) -> Callable[[Request], Reply | None]:
    return lambda made: Reply(500) if made.method == method else None


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_task_that_cannot_be_closed_is_logged(
    base: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    a_log(base).keep_task(a_task())
    with reverse_proxy(base, failing(method)) as proxied:
        assert not a_log(proxied).close_task(KEY, done=True, note="x")
    assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == [
        "task not closed"
    ]


def test_a_close_that_met_a_change_is_tried_once_more(base: str) -> None:
    a_log(base).keep_task(a_task())
    with reverse_proxy(base, once("PUT", lambda _: Reply(409))) as proxied:
        assert a_log(proxied).close_task(KEY, done=True, note="x")
    assert the_task(base)["status"] == "completed"
