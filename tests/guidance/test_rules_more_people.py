"""The person, the record and the request: what else keeps a message from going."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import AboutFacts, EarlierMessage, Gap
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Occasion, ResourceVersion
from tests.builders import (
    AMARA,
    AMARA_KEYS,
    NOW,
    a_case,
    a_grant,
    a_patient,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    codes_of,
    finding_of,
    in_emergency,
    reviewed,
    verdict_of,
)

GAP = Gap(sentence="The server says that entries are kept back.")


def test_somebody_who_has_left_registration_is_held() -> None:
    case = a_case(patient=a_patient(left="EMB"))
    assert codes_of(case) == {"person.left"}
    assert "EMB" in finding_of(case, "person.left").sentence
    assert verdict_of(in_emergency(case)) == "send"


def test_signs_that_consents_are_hidden_hold_the_message() -> None:
    case = a_case(blind=(GAP,))
    assert codes_of(case) == {"read.blind"}
    assert verdict_of(case) == "hold"
    assert verdict_of(in_emergency(case, "read.blind")) == "send"


def test_a_proxy_without_an_nhs_number_is_told() -> None:
    related = a_related_person(identified=False)
    case = a_proxy_case(a_grant(), related=related)
    assert codes_of(case) == {"read.proxy-unknown"}
    assert finding_of(case, "read.proxy-unknown").effect is Effect.WARN
    assert verdict_of(case) == "send"


# --- about.cancelled ---------------------------------------------------------------------------


def about(occasion: Occasion = Occasion.REMINDER, **fields: Any) -> Case:
    thing = AboutFacts(
        version=ResourceVersion(reference="Appointment/a", version_id="1"),
        subject_keys=AMARA_KEYS,
        **fields,
    )
    return a_case(request=a_request(occasion=occasion), about=(thing,))


@pytest.mark.parametrize("occasion", [Occasion.REMINDER, Occasion.INVITATION])
@pytest.mark.parametrize(
    ("fields", "words"),
    [({"off": "cancelled"}, "cancelled"), ({"starts": NOW - timedelta(seconds=1)}, "in the past")],
)
def test_a_reminder_of_what_will_not_take_place_is_refused(
    occasion: Occasion, fields: Any, words: str
) -> None:
    case = about(occasion, **fields)
    assert codes_of(case) == {"about.cancelled"}
    assert words in finding_of(case, "about.cancelled").sentence
    assert verdict_of(case) == "refuse"
    assert verdict_of(reviewed(case, "about.cancelled")) == "send"
    assert verdict_of(in_emergency(case)) == "send"


@pytest.mark.parametrize(
    "case",
    [
        about(starts=NOW),
        about(),
        about(Occasion.CANCELLATION, off="cancelled"),
        about(Occasion.OTHER, off="cancelled"),
        about(Occasion.FOLLOW_UP, starts=NOW - timedelta(days=1)),
    ],
)
def test_what_is_to_come_may_be_reminded_of_and_what_is_off_may_be_told(case: Case) -> None:
    assert codes_of(case) == set()


# --- request.repeated --------------------------------------------------------------------------


def repeat(digest: str | None = "words", hours: float = 24.0, **fields: Any) -> Case:
    defaults = {
        "version": ResourceVersion(reference="Communication/earlier", version_id="2"),
        "message_id": "another",
        "recipient": AMARA,
        "channel": "email",
        "at": NOW - timedelta(hours=3),
        "content_digest": "words",
    }
    earlier = EarlierMessage(**{**defaults, **fields})
    case = a_case(earlier=(earlier,), policy=a_policy(repeat_window_hours=hours))
    return replace(case, content_digest=digest)


def test_the_same_words_again_are_held() -> None:
    case = repeat()
    assert codes_of(case) == {"request.repeated"}
    assert finding_of(case, "request.repeated").evidence[0].reference == "Communication/earlier"
    assert verdict_of(case) == "hold"
    assert verdict_of(reviewed(case, "request.repeated")) == "send"
    assert verdict_of(in_emergency(case)) == "send"


def test_the_window_is_the_policys_and_its_end_belongs_to_it() -> None:
    assert codes_of(repeat(hours=3)) == {"request.repeated"}
    assert codes_of(repeat(hours=2.9)) == set()


@pytest.mark.parametrize(
    "case",
    [
        repeat(content_digest="others"),
        repeat(content_digest=None),
        repeat(digest=None, content_digest=None),
        repeat(left=False),
        repeat(recipient="RelatedPerson/ben"),
        repeat(message_id=a_case().message_id),
    ],
    ids=["other-words", "unknown-words", "no-key", "never-left", "another-person", "itself"],
)
def test_what_is_no_repeat_is_none(case: Case) -> None:
    assert codes_of(case) == set()
