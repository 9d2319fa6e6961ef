"""An override: complete, in time, and bound to one message and what was known of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.evidence import override_faults
from fhirmsg.guidance.readable import same_role
from fhirmsg.guidance.request import CitedVersion, Conversation
from fhirmsg.guidance.terms import Channel, Person
from tests.builders import (
    GUARDIAN,
    NOW,
    NURSE,
    a_case,
    a_policy,
    a_request,
    an_objection,
    an_override,
    with_override,
)

HOUR, TICK = timedelta(hours=1), timedelta(seconds=1)
NOTHING = ["", " \t", "\u200b\ufeff", None]
CITED = CitedVersion(reference="Consent/objection", version_id="1")


def objected(**fields: Any) -> Case:
    return a_case(consents=(an_objection(**fields),))


def faults(**fields: Any) -> tuple[str, ...]:
    """Give the faults of an override that is complete but for these fields."""
    return override_faults(with_override(objected(), **fields))


def test_a_complete_override_has_no_faults() -> None:
    assert faults() == ()


def test_no_override_has_no_faults() -> None:
    assert override_faults(objected()) == ()


# --- what it says ------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize("name", ["reason", "circumstances"])
def test_a_statement_that_says_nothing_is_none(name: str, nothing: str | None) -> None:
    assert len(faults(**{name: nothing})) == 1


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize("name", ["identifier", "name", "role"])
def test_an_approver_has_an_identifier_a_name_and_a_role(name: str, nothing: str | None) -> None:
    assert len(faults(approver=replace(GUARDIAN, **{name: nothing}))) == 1


def test_there_is_an_approver() -> None:
    assert len(faults(approver=None)) == 1


def test_the_approver_has_a_role_of_the_policy() -> None:
    assert len(faults(approver=replace(GUARDIAN, role="receptionist"))) == 1


@pytest.mark.parametrize("role", ["caldicott  guardian", " Caldicott Guardian "])
def test_letter_case_and_spacing_of_a_role_make_no_difference(role: str) -> None:
    assert faults(approver=replace(GUARDIAN, role=role)) == ()


def test_a_blank_role_is_none_even_if_the_policy_has_one() -> None:
    case = a_case(consents=(an_objection(),), policy=a_policy(approve_overrides=frozenset({" "})))
    assert override_faults(with_override(case, approver=replace(GUARDIAN, role=" ")))


@pytest.mark.parametrize(
    "identifier", ["Practitioner/nurse", " practitioner/NURSE", "Practitioner/nurse\u200b"]
)
def test_nobody_approves_their_own_request(identifier: str) -> None:
    assert len(faults(approver=replace(GUARDIAN, identifier=identifier))) == 1


# --- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["approved_at", "expires_at"])
def test_both_times_are_given(missing: str) -> None:
    assert len(faults(**{missing: None})) == 1


def test_an_override_is_valid_until_the_instant_it_expires() -> None:
    assert faults(expires_at=NOW + TICK) == ()
    assert len(faults(expires_at=NOW)) == 1


def test_clocks_may_differ_by_two_minutes() -> None:
    assert faults(approved_at=NOW + 120 * TICK) == ()
    assert len(faults(approved_at=NOW + 121 * TICK)) == 1


def test_an_override_lasts_a_day_at_most() -> None:
    assert faults(approved_at=NOW - HOUR, expires_at=NOW + 23 * HOUR) == ()
    assert len(faults(approved_at=NOW - HOUR, expires_at=NOW + 23 * HOUR + TICK)) == 1


def test_a_fault_of_time_says_what_time_it_is_here() -> None:
    assert NOW.isoformat() in faults(expires_at=NOW)[0]


# --- binding -----------------------------------------------------------------------------------


def test_it_names_the_message() -> None:
    assert len(faults(message_id="another")) == 1
    assert len(faults(message_digest="0" * 64)) == 1


@pytest.mark.parametrize(
    "cited",
    [
        (),
        (replace(CITED, version_id="2"),),
        (replace(CITED, version_id=None),),
        (replace(CITED, reference="Consent/other"),),
        (CITED, replace(CITED, reference="Consent/other")),
    ],
)
def test_it_cites_the_objections_in_force_exactly(cited: tuple[CitedVersion, ...]) -> None:
    assert len(faults(objections=cited)) == 1


def test_it_cites_every_objection_in_force_in_any_order() -> None:
    two = a_case(consents=(an_objection(id="1"), an_objection(id="2")))
    one_of_two = an_override(two).objections[:1]
    assert override_faults(with_override(two)) == ()
    assert override_faults(with_override(two, objections=an_override(two).objections[::-1])) == ()
    assert len(override_faults(with_override(two, objections=one_of_two))) == 1


def test_an_objection_without_a_version_cannot_be_overridden() -> None:
    assert override_faults(with_override(objected(version=None)))


def test_there_is_something_to_override() -> None:
    assert len(override_faults(with_override(a_case()))) == 1


def test_it_does_not_outlive_a_change_of_the_objection() -> None:
    override = an_override(objected())
    assert override_faults(with_override(objected(version="2"), override))


def test_it_does_not_outlive_another_objection() -> None:
    override = an_override(objected())
    both = a_case(consents=(an_objection(), an_objection(id="later")))
    assert override_faults(with_override(both, override))


def test_it_is_for_no_other_message() -> None:
    override = an_override(objected())
    by_email = a_case(request=a_request(channel=Channel.EMAIL), consents=(an_objection(),))
    assert override_faults(with_override(by_email, override))


# --- conversation ------------------------------------------------------------------------------


def talked(**fields: Any) -> Conversation:
    return Conversation(**{"by": NURSE, "at": NOW - HOUR, **fields})


def unexplained(conversation: Conversation | None) -> tuple[str, ...]:
    case = objected(reason_recorded=False)
    return override_faults(with_override(case, conversation=conversation))


def test_an_objection_without_a_reason_asks_for_a_conversation() -> None:
    assert unexplained(talked()) == ()
    assert len(unexplained(None)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"by": None},
        {"by": Person(identifier="Practitioner/nurse")},
        {"at": None},
        {"at": NOW + HOUR},
    ],
)
def test_a_conversation_has_somebody_who_held_it_and_a_time_that_has_come(
    fields: dict[str, Any],
) -> None:
    assert len(unexplained(talked(**fields))) == 1


def test_an_empty_role_is_no_role_of_anybody() -> None:
    assert not same_role(None, frozenset({"Caldicott Guardian"}))
