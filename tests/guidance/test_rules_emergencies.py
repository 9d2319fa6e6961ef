"""Emergencies, platforms and devices."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.policy import Window
from fhirmsg.guidance.record import Gap
from fhirmsg.guidance.request import Acknowledgement
from fhirmsg.guidance.rule import Effect, Lift
from fhirmsg.guidance.terms import Channel, Device, Person, Purpose
from tests.builders import (
    GUARDIAN,
    NURSE,
    a_case,
    a_grant,
    a_patient,
    a_platform,
    a_policy,
    a_proxy_case,
    a_request,
    an_emergency,
    an_objection,
    codes_of,
    finding_of,
    in_emergency,
    verdict_of,
    with_evidence,
)

SMS = Channel.SMS
EVERY_DAY = frozenset(range(7))


# --- the declaration ---------------------------------------------------------------------------


def test_a_complete_declaration_makes_an_emergency() -> None:
    case = in_emergency(a_case())
    assert case.emergency
    assert decide(case).emergency
    assert codes_of(case) == set()
    assert not a_case().emergency
    assert not decide(a_case()).emergency


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"declared_by": None}, "who declares it"),
        ({"declared_by": replace(NURSE, name="\u200b")}, "who declares it"),
        ({"declared_by": GUARDIAN}, "another person"),
        ({"reason": None}, "no reason"),
        ({"reason": "\u2060"}, "no reason"),
        ({"protects": None}, "whom the message is to protect"),
        ({"consulted": None}, "nobody could be asked"),
        ({"consulted": None, "none_available_reason": " "}, "nobody could be asked"),
        ({"consulted": Person(name="Sana")}, "name and role"),
        ({"consulted": Person(role="partner")}, "name and role"),
        ({"declared_at": None}, "when it was declared"),
        ({"ago": timedelta(minutes=62, seconds=1)}, "more than an hour ago"),
        ({"ago": -timedelta(seconds=121)}, "has not come"),
    ],
)
def test_a_declaration_that_lacks_something_does_not_count(flaw: Any, words: str) -> None:
    case = a_case()
    if "ago" in flaw:
        flaw = {"declared_at": case.as_of - flaw["ago"]}
    declared = in_emergency(case, **flaw)
    assert not declared.emergency
    assert codes_of(declared) == {"emergency.invalid"}
    found = finding_of(declared, "emergency.invalid")
    assert (found.effect, found.lifted_by) == (Effect.HOLD, ())
    assert words in found.sentence


@pytest.mark.parametrize(
    "ago", [timedelta(minutes=62), timedelta(0), -timedelta(seconds=120)], ids=str
)
def test_clocks_may_differ_by_two_minutes(ago: timedelta) -> None:
    case = a_case()
    assert in_emergency(case, declared_at=case.as_of - ago).emergency


def test_the_declarer_is_the_requester_however_the_identifier_is_written() -> None:
    written = replace(NURSE, identifier="  PRACTITIONER/nurse ")
    assert in_emergency(a_case(), declared_by=written).emergency


def test_nobody_to_ask_is_a_reason_too() -> None:
    alone = {"consulted": None, "none_available_reason": "Night shift; the line is engaged."}
    assert in_emergency(a_case(), **alone).emergency


# --- what it relaxes ---------------------------------------------------------------------------


def test_an_emergency_lets_an_unapproved_platform_be_used_and_lists_that() -> None:
    case = a_case(policy=a_policy(a_platform(approval=None)))
    assert verdict_of(case) == "refuse"
    decision = decide(in_emergency(case))
    assert str(decision.verdict) == "send"
    assert [finding.code for finding in decision.lowered] == ["platform.unapproved"]


def test_outside_an_emergency_nothing_is_lowered() -> None:
    assert decide(a_case(policy=a_policy(a_platform(approval=None)))).lowered == ()


def test_an_objection_is_to_be_seen_before_it_is_set_aside() -> None:
    case = a_case(consents=(an_objection(SMS),))
    assert verdict_of(in_emergency(case)) == "refuse"
    assert verdict_of(in_emergency(case, "objection.active")) == "refuse"
    seen = Acknowledgement(code="objection.active", reference="Consent/objection", version_id="1")
    decision = decide(in_emergency(case, seen))
    assert str(decision.verdict) == "send"
    (found,) = decision.findings
    assert found.lifted is not None
    assert (found.lifted.by, found.lifted.who) == (Lift.ACKNOWLEDGEMENT, NURSE.identifier)
    assert decision.lowered == (found,)


@pytest.mark.parametrize(
    "seen",
    [
        Acknowledgement(code="objection.active", reference="Consent/objection", version_id="2"),
        Acknowledgement(code="objection.active", reference="Consent/other", version_id="1"),
        Acknowledgement(code="objection.active", reference="Consent/objection"),
        Acknowledgement(code="objection.unclear", reference="Consent/objection", version_id="1"),
        Acknowledgement(reference="Consent/objection", version_id="1"),
    ],
)
def test_another_objection_or_another_version_was_not_seen(seen: Acknowledgement) -> None:
    assert verdict_of(in_emergency(a_case(consents=(an_objection(SMS),)), seen)) == "refuse"


def test_an_acknowledgement_without_a_declaration_is_nothing_and_is_told() -> None:
    seen = Acknowledgement(code="objection.active", reference="Consent/objection", version_id="1")
    case = with_evidence(a_case(consents=(an_objection(SMS),)), acknowledged=(seen,))
    assert codes_of(case) == {"objection.active", "evidence.invalid"}
    assert verdict_of(case) == "refuse"


def test_each_objection_is_acknowledged_by_itself() -> None:
    case = a_case(consents=(an_objection(SMS, id="1"), an_objection(id="2")))
    one = Acknowledgement(code="objection.active", reference="Consent/1", version_id="1")
    two = Acknowledgement(code="objection.active", reference="Consent/2", version_id="1")
    assert verdict_of(in_emergency(case, one)) == "refuse"
    assert verdict_of(in_emergency(case, one, two)) == "send"


def test_a_restricted_record_needs_somebody_who_confirmed_the_contact_point() -> None:
    case = a_case(patient=a_patient(restricted=True))
    assert verdict_of(in_emergency(case, "person.restricted")) == "hold"
    confirmed = Acknowledgement(code="person.restricted", confirmed_by=GUARDIAN)
    assert verdict_of(in_emergency(case, confirmed)) == "send"


def test_what_could_not_be_read_is_acknowledged_for_the_patient_alone() -> None:
    gaps = (Gap(sentence="Page 2 answered 500."),)
    assert verdict_of(in_emergency(a_case(gaps=gaps), "read.incomplete")) == "send"
    to_proxy = a_proxy_case(a_grant(), gaps=gaps)
    assert verdict_of(in_emergency(to_proxy, "read.incomplete")) == "hold"
    blind = a_proxy_case(a_grant(), blind=gaps)
    assert verdict_of(in_emergency(blind, "read.blind")) == "send"


def test_a_different_person_is_told_only_by_a_named_decision() -> None:
    case = a_proxy_case()
    assert verdict_of(in_emergency(case)) == "hold"
    assert verdict_of(in_emergency(case, "proxy.no-basis")) == "send"


def test_no_emergency_sets_a_danger_aside() -> None:
    case = a_case(consents=(an_objection(SMS, safety=True),))
    seen = Acknowledgement(code="objection.safety", reference="Consent/objection", version_id="1")
    assert verdict_of(in_emergency(case, seen, "objection.safety")) == "refuse"


# --- emergency.latency -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "late"),
    [
        (Window(weekdays=frozenset({1}), start=time(8), end=time(18)), False),
        (Window(weekdays=frozenset({1}), start=time(10), end=time(18)), False),
        (Window(weekdays=frozenset({1}), start=time(8), end=time(10)), True),
        (Window(weekdays=frozenset({0, 2}), start=time(8), end=time(18)), True),
    ],
)
def test_a_platform_that_does_not_deliver_now_is_told_in_an_emergency_alone(
    window: Window, late: bool
) -> None:
    case = a_case(policy=a_policy(a_platform(windows=(window,))))
    assert codes_of(case) == set()
    assert codes_of(in_emergency(case)) == ({"emergency.latency"} if late else set())
    assert verdict_of(in_emergency(case)) == "send"


def test_a_warning_that_only_an_emergency_knows_is_not_lowered_by_it() -> None:
    never = Window(weekdays=frozenset(), start=time(8), end=time(18))
    case = in_emergency(a_case(policy=a_policy(a_platform(windows=(never,)))))
    assert decide(case).lowered == ()


def test_one_window_of_several_is_enough() -> None:
    closed = Window(weekdays=EVERY_DAY, start=time(1), end=time(2))
    open_ = Window(weekdays=EVERY_DAY, start=time(9), end=time(11))
    case = a_case(policy=a_policy(a_platform(windows=(closed, open_))))
    assert codes_of(in_emergency(case)) == set()


# --- platform.device, platform.data-class ------------------------------------------------------


@pytest.mark.parametrize("device", [Device.PERSONAL, Device.SHARED])
def test_a_device_that_the_policy_does_not_allow_refuses(device: Device) -> None:
    request = a_request(device=device)
    case = a_case(request=request)
    assert codes_of(case) == {"platform.device"}
    assert verdict_of(case) == "refuse"
    assert verdict_of(in_emergency(case)) == "send"
    allowed = a_policy(devices=frozenset({Device.ORGANISATION, device}))
    assert codes_of(a_case(request=request, policy=allowed)) == set()


def test_content_that_the_matrix_forbids_refuses() -> None:
    policy = a_policy(forbidden=frozenset({(Purpose.TEST_RESULT, SMS)}))
    result = a_request(purpose=Purpose.TEST_RESULT)
    assert codes_of(a_case(request=result, policy=policy)) == {"platform.data-class"}
    assert verdict_of(a_case(request=result, policy=policy)) == "refuse"
    assert codes_of(a_case(policy=policy)) == set()
    by_email = replace(result, channel=Channel.EMAIL)
    assert codes_of(a_case(request=by_email, policy=policy)) == set()


def test_content_that_the_matrix_forbids_refuses_where_the_supplier_may_fall_back_to() -> None:
    forbidden = frozenset({(Purpose.TEST_RESULT, SMS)})
    request = a_request(purpose=Purpose.TEST_RESULT, channel=Channel.EMAIL)
    platform = a_platform(fallbacks=frozenset({SMS}))
    case = a_case(request=request, policy=a_policy(platform, forbidden=forbidden))
    assert codes_of(case) == {"platform.data-class"}
    notice = a_platform(notifies_by=frozenset({SMS}))
    case = a_case(request=request, policy=a_policy(notice, forbidden=forbidden))
    assert codes_of(case) == set()


def test_a_declaration_says_nothing_of_itself_when_it_is_absent() -> None:
    assert "emergency.invalid" not in codes_of(a_case())
    assert an_emergency(a_case()).reason
