"""Scope, contact points, platforms: each finding, and the near misses."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from fhirmsg.guidance.policy import Approval, Platform
from fhirmsg.guidance.record import Recipient, RecipientKind
from fhirmsg.guidance.terms import Channel, Purpose
from tests.builders import (
    TODAY,
    a_case,
    a_mobile,
    a_patient,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_email,
    bens_own_record,
    codes_of,
    days,
    local,
    verdict_of,
)

# --- scope.* -----------------------------------------------------------------------------------


def test_a_clinician_or_a_group_is_out_of_scope() -> None:
    group = Recipient(
        kind=RecipientKind.OTHER, reference="Group/1", keys=frozenset(), closure=frozenset()
    )
    assert codes_of(a_case(recipient=group)) == {"scope.recipient"}


def test_a_related_person_is_in_scope() -> None:
    assert "scope.recipient" not in codes_of(a_proxy_case())


@pytest.mark.parametrize("purpose", [Purpose.FUNDRAISING, Purpose.MARKETING])
def test_raising_money_and_selling_are_not_care(purpose: Purpose) -> None:
    assert codes_of(a_case(request=a_request(purpose=purpose))) == {"scope.not-care"}


def test_research_is_held_for_a_person() -> None:
    case = a_case(request=a_request(purpose=Purpose.RESEARCH))
    assert codes_of(case) == {"scope.research"}
    assert verdict_of(case) == "hold"


@pytest.mark.parametrize(
    "purpose", set(Purpose) - {Purpose.FUNDRAISING, Purpose.MARKETING, Purpose.RESEARCH}
)
def test_every_other_purpose_is_care(purpose: Purpose) -> None:
    assert codes_of(a_case(request=a_request(purpose=purpose))) == set()


# --- contact.none ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "points",
    [
        (),
        (an_email(),),
        (a_mobile(use="old"),),
        (a_mobile(period=days(end=TODAY - timedelta(days=1))),),
    ],
)
def test_a_patient_without_a_usable_contact_point_cannot_be_reached(points: tuple) -> None:
    case = a_case(patient=a_patient(contact_points=points))
    assert codes_of(case) == {"contact.none"}
    assert verdict_of(case) == "refuse"


def test_one_usable_contact_point_is_enough() -> None:
    points = (a_mobile("+447700900102", use="old"), a_mobile())
    assert codes_of(a_case(patient=a_patient(contact_points=points))) == set()


def test_a_proxy_is_reached_at_the_proxys_own_contact_point_alone() -> None:
    unreachable = a_related_person(contact_points=())
    assert "contact.none" in codes_of(a_proxy_case(related=unreachable))
    found = a_proxy_case(related=unreachable, own_patient=bens_own_record())
    assert "contact.none" not in codes_of(found)


# --- platform.unapproved -----------------------------------------------------------------------


def with_platform(**fields: object) -> set[str]:
    return codes_of(a_case(policy=a_policy(a_platform(**fields))))


def test_a_registered_platform_without_an_approval_is_unapproved() -> None:
    assert with_platform(approval=None) == {"platform.unapproved"}


@pytest.mark.parametrize(
    ("approval", "found"),
    [
        (Approval(start=TODAY), set()),
        (Approval(start=TODAY + timedelta(days=1)), {"platform.unapproved"}),
        (Approval(start=date(2025, 1, 1), end=TODAY), set()),
        (Approval(start=date(2025, 1, 1), end=TODAY - timedelta(days=1)), {"platform.unapproved"}),
    ],
)
def test_an_approval_holds_from_its_first_day_to_its_last(
    approval: Approval, found: set[str]
) -> None:
    assert with_platform(approval=approval) == found


def test_an_approval_ends_with_the_local_day() -> None:
    approved = a_policy(a_platform(approval=Approval(start=date(2025, 1, 1), end=TODAY)))
    last = a_case(policy=approved, as_of=local(TODAY, hour=23, minute=59, second=59))
    after = a_case(policy=approved, as_of=local(TODAY + timedelta(days=1)))
    assert codes_of(last) == set()
    assert codes_of(after) == {"platform.unapproved"}


def test_a_platform_is_approved_for_its_channels_alone() -> None:
    assert with_platform(channels=frozenset({Channel.EMAIL})) == {"platform.unapproved"}


def test_a_platform_registered_without_channels_is_approved_for_none() -> None:
    platform: Platform = a_platform(channels=frozenset())
    assert codes_of(a_case(policy=a_policy(platform))) == {"platform.unapproved"}
