"""Receipts move an entry up and never down, in whatever order and however often they come."""

from __future__ import annotations

import itertools

import pytest

from fhirmsg.ports import Outcome
from tests.delivery.conftest import Line
from tests.delivery.desk import Office


@pytest.fixture
def office(line: Line) -> Office:
    return Office(base=line.base, direct=line.direct)


@pytest.mark.parametrize(
    ("told", "status", "state"),
    [
        ((), "completed", "accepted-by-provider"),
        (("accepted",), "completed", "accepted-by-provider"),
        (("delivered",), "completed", "delivered"),
        (("read",), "completed", "read"),
        (("failed",), "stopped", "failed"),
        (("failed", "delivered"), "completed", "delivered"),
        (("delivered", "failed"), "completed", "delivered"),
        (("read", "delivered", "accepted"), "completed", "read"),
    ],
)
def test_a_receipt_moves_the_entry(
    office: Office, told: tuple[str, ...], status: str, state: str
) -> None:
    office.send()
    for each in told:
        assert office.receipt(each) == 204
        office.catch_up()
    [entry] = office.record()
    assert (entry["status"], office.state()["status"]) == (status, state)
    assert ("received" in entry) == ("delivered" in told)
    assert office.owed() == 0


def test_every_order_of_the_same_receipts_ends_in_the_same_state(office: Office) -> None:
    for number, order in enumerate(itertools.permutations(("accepted", "failed", "delivered"))):
        office.send(f"order-{number}", content={"body": f"Example Surgery: note {number}."})
        for each in order:
            office.receipt(each, f"order-{number}")
            office.catch_up()
        assert office.state(f"order-{number}")["status"] == "delivered"


def test_a_receipt_that_comes_again_writes_nothing(office: Office) -> None:
    office.send()
    office.receipt("delivered")
    office.catch_up()
    [before] = office.record()
    office.receipt("delivered")
    office.receipt("accepted")
    office.catch_up()
    [after] = office.record()
    assert after["meta"]["versionId"] == before["meta"]["versionId"]


@pytest.mark.parametrize(
    ("told", "status"),
    [("accepted", "completed"), ("delivered", "completed"), ("failed", "stopped")],
)
def test_an_unknown_outcome_is_settled_by_a_receipt(office: Office, told: str, status: str) -> None:
    office.first.outcome = Outcome.MAY_HAVE_LEFT
    assert office.send()["status"] == "unknown"
    office.receipt(told)
    office.catch_up()
    [entry] = office.record()
    assert entry["status"] == status


def test_a_receipt_for_a_message_that_is_being_sent_waits(office: Office) -> None:
    sending = office.first.send
    seen = []

    def send(*args: object, **more: object) -> object:
        office.receipt("delivered")
        office.service.catch_up.drain()
        seen.append(office.record()[0]["status"])
        return sending(*args, **more)  # type: ignore[arg-type]

    office.first.send = send  # type: ignore[method-assign,assignment]
    office.send()
    assert seen == ["in-progress"]
    office.catch_up()
    assert office.state()["status"] == "delivered"


def test_a_callback_that_is_not_the_providers_is_refused(office: Office) -> None:
    office.send()
    answer = office.client.post("/v1/receipts/first", json={}, headers={"Authorization": "no"})
    assert answer.status_code == 401
    assert office.owed() == 0
    assert office.client.post("/v1/receipts/nobody", json={}).status_code == 404


def test_a_receipt_for_what_was_not_sent_asks_a_person(office: Office) -> None:
    office.first.outcome = Outcome.RETRYABLE
    assert office.send()["http"] == 503
    office.receipt("delivered")
    office.catch_up()
    [entry] = office.record()
    assert entry["status"] == "not-done"
    assert office.tasks() == ["sent-though-not-done"]
