"""What people answer: a STOP is an objection, anything else asks a person."""

from __future__ import annotations

import pytest

from fhirmsg.fhir.replies import is_stop
from tests.delivery.conftest import Line
from tests.delivery.desk import Office
from tests.world import a_patient_resource, put


@pytest.fixture
def office(line: Line) -> Office:
    return Office(base=line.base, direct=line.direct)


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop.",
        "Stop texting me",
        "UNSUBSCRIBE",
        "I want to opt out",
        "please stop",
        "Can you stop sending these",
        "don\u2019t text me",
    ],
)
def test_these_ask_for_no_more_messages(text: str) -> None:
    assert is_stop(text)


@pytest.mark.parametrize(
    "text",
    [
        "Yes",
        "When does it stop?",
        "",
        "  ",
        "Thanks, see you then",
        "End of treatment when?",
        "Quit smoking clinic yes please",
        "Remove my stitches when?",
        "Stop by at three?",
    ],
)
def test_these_are_for_a_person_to_read(text: str) -> None:
    assert not is_stop(text)


def test_a_stop_is_an_objection_of_whoever_has_the_number(line: Line, office: Office) -> None:
    put(line.direct, a_patient_resource(id="other", telecom=[], identifier=[]))
    office.reply("STOP")
    office.catch_up()
    [consent] = office.resources("Consent")
    assert consent["patient"]["reference"] == "Patient/amara"
    assert office.tasks() == ["stop-received"]
    refused = office.send()
    assert refused["status"] == "refused"
    assert "objection.active" in {each["code"] for each in refused["decision"]["findings"]}


def test_a_stop_that_comes_again_is_the_same_objection(office: Office) -> None:
    for _ in range(2):
        office.reply("STOP")
        office.catch_up()
    assert (len(office.resources("Consent")), office.tasks()) == (1, ["stop-received"])


def test_a_stop_from_a_number_of_nobody_asks_a_person(office: Office) -> None:
    office.reply("STOP", sender="07700900777")
    office.catch_up()
    assert (office.resources("Consent"), office.tasks()) == ([], ["stop-received"])


def test_any_other_answer_asks_a_person_and_repeats_no_word_of_it(office: Office) -> None:
    office.reply("the ptarmigan is ill")
    office.catch_up()
    [task] = office.resources("Task")
    assert task["code"]["coding"][0]["code"] == "reply-received"
    assert "ptarmigan" not in str(task)
    assert "07700" not in str(task)
