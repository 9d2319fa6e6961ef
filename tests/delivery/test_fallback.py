"""The next channel after a failure: as the policy orders them, each decided anew."""

from __future__ import annotations

import json

import pytest

from fhirmsg.ports import Outcome
from tests.delivery.conftest import Line
from tests.delivery.desk import Office
from tests.world import an_objection_resource, put

ORDER = "\nfallback_order: [email]\n"
SEALED = "fallback-request"


@pytest.fixture
def office(line: Line) -> Office:
    return Office(base=line.base, direct=line.direct, more_policy=ORDER)


def test_a_failed_text_is_followed_by_an_email_of_its_own_entry(office: Office) -> None:
    office.send()
    office.receipt("failed")
    office.catch_up()
    first, second = office.record()
    assert (first["status"], second["status"]) == ("stopped", "completed")
    assert second["identifier"][0]["value"] == first["identifier"][0]["value"] + "-2"
    assert second["partOf"][0]["reference"] == f"Communication/{first['id']}"
    [message] = office.second.taken
    assert message.to == "amara@example.com"
    state = office.state()
    assert (state["status"], [leg["status"] for leg in state["legs"]]) == (
        "failed",
        ["accepted-by-provider"],
    )


def test_a_text_that_the_provider_refuses_at_once_is_followed_too(office: Office) -> None:
    office.first.outcome = Outcome.REFUSED
    assert office.send()["status"] == "failed"
    office.catch_up()
    assert len(office.second.taken) == 1


def test_a_delivered_text_is_followed_by_nothing(office: Office) -> None:
    office.send()
    office.receipt("delivered")
    office.receipt("failed")
    office.catch_up()
    assert office.second.taken == []


def test_an_unknown_outcome_is_followed_by_nothing(office: Office) -> None:
    office.first.outcome = Outcome.MAY_HAVE_LEFT
    office.send()
    office.catch_up()
    assert (len(office.record()), office.second.taken) == (1, [])


def test_an_objection_that_came_meanwhile_stops_the_next_leg(line: Line, office: Office) -> None:
    office.send()
    put(line.direct, an_objection_resource("no-email", "email"))
    office.receipt("failed")
    office.catch_up()
    assert office.second.taken == []
    assert "fallback-ended" in office.tasks()


def test_a_failure_told_twice_is_followed_once(office: Office) -> None:
    office.send()
    for _ in range(2):
        office.receipt("failed")
        office.catch_up()
    assert len(office.second.taken) == 1


def test_the_request_for_the_next_leg_is_sealed_and_goes_when_it_is_no_longer_needed(
    office: Office,
) -> None:
    office.send()
    [before] = office.record()
    assert SEALED in json.dumps(before)
    # The copy of the text is on the entry; sealed a second time it cannot be read.
    assert json.dumps(before).count("your appointment") == 1
    office.receipt("failed")
    office.catch_up()
    assert all(SEALED not in json.dumps(each) for each in office.record())


def test_without_an_order_in_the_policy_nothing_is_sealed(line: Line) -> None:
    office = Office(base=line.base, direct=line.direct)
    office.send()
    [entry] = office.record()
    assert SEALED not in json.dumps(entry)


def test_a_leg_waits_for_the_server(line: Line, office: Office) -> None:
    office.send()
    office.receipt("failed")
    office.service.catch_up.drain(sending=False)
    line.away = True
    office.catch_up()
    assert (office.second.taken, office.owed()) == ([], 1)
    line.away = False
    office.catch_up()
    assert (len(office.second.taken), office.owed()) == (1, 0)
