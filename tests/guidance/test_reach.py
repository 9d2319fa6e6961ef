"""Where a message would arrive: what is ruled out there, and by whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.contact import is_as_good, select, tail, usable
from fhirmsg.guidance.provisions import Provision
from fhirmsg.guidance.record import ConsentStatus, ContactPoint
from fhirmsg.guidance.terms import Channel, Period
from tests.builders import (
    BEN_KEYS,
    NOW,
    TODAY,
    a_case,
    a_consent,
    a_grant,
    a_mobile,
    a_neighbour,
    a_patient,
    a_permission,
    a_person,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_email,
    an_objection,
    codes_of,
    days,
    deny,
    finding_of,
    instants,
    reviewed,
    unknown_code,
    verdict_of,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
HERS, HIS = "+447700900101", "+447700900202"
LODGER = frozenset({"RelatedPerson/lodger"})


def a_danger(**fields: Any) -> Any:
    defaults = {
        "id": "danger",
        "safety": True,
        "root": deny(on=[Channel.FAX]),
        "restricted_digests": frozenset({"d1"}),
    }
    return an_objection(**{**defaults, **fields})


# --- where the supplier may turn ---------------------------------------------------------------


def by_email(platform: Any, *points: ContactPoint, **case: Any) -> Case:
    return a_case(
        request=a_request(channel=EMAIL),
        policy=a_policy(platform),
        patient=a_patient(contact_points=(an_email(), *points)),
        **case,
    )


@pytest.mark.parametrize("reach", ["fallbacks", "notifies_by"])
def test_a_platform_that_may_turn_to_a_restricted_number_is_refused(reach: str) -> None:
    platform = a_platform(**{reach: frozenset({SMS})})
    danger = {"digests": {HERS: "d1"}, "consents": (a_danger(),)}
    case = by_email(platform, a_mobile(), **danger)
    assert codes_of(case) == {"contact.excluded"}
    assert "may turn to another channel" in finding_of(case, "contact.excluded").sentence
    assert finding_of(case, "contact.excluded").evidence[0].reference == "Patient/amara"
    assert codes_of(by_email(a_platform(), a_mobile(), **danger)) == set()
    assert codes_of(by_email(platform, a_mobile(use="old"), **danger)) == set()
    assert codes_of(by_email(platform, a_mobile(HIS), **danger)) == set()


def test_one_restricted_number_of_several_is_enough() -> None:
    platform = a_platform(fallbacks=frozenset({SMS}))
    danger = {"digests": {HERS: "d1"}, "consents": (a_danger(),)}
    assert codes_of(by_email(platform, a_mobile(HIS, rank=1), a_mobile(), **danger)) == {
        "contact.excluded"
    }


# --- restrictions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restriction", "excluded"),
    [
        (a_danger(), True),
        (a_danger(status=ConsentStatus.UNKNOWN), True),
        (a_danger(root=None), True),
        (a_danger(root=deny(period=instants(end=NOW - timedelta(minutes=9)))), True),
        (a_danger(root=deny(period=Period(malformed=True))), True),
        (a_danger(status=ConsentStatus.DRAFT), False),
        (a_danger(status=ConsentStatus.REJECTED), False),
        (a_danger(root=deny(period=days(start=TODAY + timedelta(days=1)))), False),
    ],
)
def test_a_restriction_counts_while_it_may_be_in_force(restriction: Any, excluded: bool) -> None:
    case = a_case(digests={HERS: "d1"}, consents=(restriction,))
    assert ("contact.excluded" in codes_of(case)) is excluded


def test_a_restriction_on_the_proxys_own_record_counts_in_its_newest_version() -> None:
    def found(*own: Any) -> set[str]:
        return codes_of(a_proxy_case(a_grant(), own_consents=own, digests={HIS: "d1"}))

    older = a_danger(version="1")
    newer = a_danger(version="2", restricted_digests=frozenset())
    assert "contact.excluded" in found(older)
    assert "contact.excluded" not in found(older, newer)


def test_a_restriction_on_the_proxys_own_record_is_no_matter_to_the_patient() -> None:
    case = a_case(digests={HERS: "d1"})
    own = replace(case.record.recipient, own_consents=(a_danger(),))
    assert codes_of(replace(case, record=replace(case.record, recipient=own))) == set()


# --- people who are denied, surely or perhaps ----------------------------------------------------


def a_denial(keys: Any = LODGER, **root: Any) -> Any:
    return a_consent(id="denial", root=deny(actors=(a_person(keys),), **root))


@pytest.mark.parametrize(
    "denial",
    [
        a_denial(period=Period(malformed=True)),
        a_denial(codes=(unknown_code(),)),
        a_denial(purposes=(None,)),
        replace(a_denial(), status=ConsentStatus.UNKNOWN),
    ],
    ids=["period", "code", "purpose", "status"],
)
def test_a_denial_that_is_not_understood_holds_a_message_to_that_number(denial: Any) -> None:
    case = a_case(neighbours=(a_neighbour(HERS),), consents=(denial,))
    assert codes_of(case) - {"objection.unclear"} == {"contact.shared"}
    found = finding_of(case, "contact.shared")
    assert "may be denied" in found.sentence
    assert found.evidence[0].reference == "RelatedPerson/lodger"
    assert verdict_of(case) == "hold"
    assert verdict_of(reviewed(case, "contact.shared")) in ("send", "hold")


def test_a_denial_that_is_not_in_force_yet_is_no_denial_of_the_number() -> None:
    draft = replace(a_denial(), status=ConsentStatus.DRAFT)
    case = a_case(neighbours=(a_neighbour(HERS),), consents=(draft,))
    assert codes_of(case) == {"contact.shared-plain"}


def test_one_human_is_one_through_a_chain_of_names_in_any_order() -> None:
    eve = a_neighbour(HERS, id="RelatedPerson/1", keys=frozenset({"RelatedPerson/1", "n|1"}))
    two = a_neighbour(id="RelatedPerson/2", keys=frozenset({"RelatedPerson/2", "n|1", "n|2"}))
    three = a_neighbour(id="RelatedPerson/3", keys=frozenset({"RelatedPerson/3", "n|2"}))
    for order in ((eve, two, three), (three, two, eve), (eve, three, two)):
        case = a_case(neighbours=order, consents=(a_denial(frozenset({"RelatedPerson/3"})),))
        assert codes_of(case) == {"contact.excluded"}


def test_a_number_of_the_proxy_who_is_denied_is_no_excluded_one_but_a_denied_message() -> None:
    denial = a_consent(id="denial", root=deny(actors=(a_person(BEN_KEYS),)))
    himself = a_neighbour(HIS, id="RelatedPerson/ben", keys=BEN_KEYS)
    case = a_proxy_case(a_grant(), denial, neighbours=(himself,))
    assert codes_of(case) == {"proxy.denied"}


def test_others_there_are_told_once_and_in_one_order() -> None:
    one, two = a_neighbour(HERS, id="RelatedPerson/1"), a_neighbour(HERS, id="RelatedPerson/2")
    for order in ((one, two), (two, one), (two, one, two)):
        found = finding_of(a_case(neighbours=order), "contact.shared-plain")
        assert [each.reference for each in found.evidence] == [
            "RelatedPerson/1",
            "RelatedPerson/2",
        ]


def test_a_grant_on_another_patients_record_authorises_nobody_here() -> None:
    lodger = a_grant(to=LODGER, root=a_permission(to=LODGER))
    stranger = a_neighbour(HERS, related_to=frozenset({"Patient/other"}))
    case = a_case(neighbours=(stranger,), consents=(lodger,))
    assert codes_of(case) == {"contact.shared-plain"}


# --- contact points ----------------------------------------------------------------------------


def test_a_related_person_without_points_is_reached_by_their_own_record() -> None:
    from tests.builders import bens_own_record

    related = a_related_person(contact_points=())
    case = a_proxy_case(a_grant(), related=related, own_patient=bens_own_record())
    assert case.contact_point is not None
    assert case.contact_point.value == HIS
    assert "contact.none" in codes_of(a_proxy_case(a_grant(), related=related))


def test_of_one_value_the_confirmed_entry_counts_in_any_order() -> None:
    plain, confirmed = a_mobile(confirmed=False), a_mobile()
    for order in ((plain, confirmed), (confirmed, plain)):
        assert usable(order, SMS, NOW)[0] is confirmed
        assert codes_of(a_case(patient=a_patient(contact_points=order))) == set()


def test_of_one_value_the_entry_that_lasts_longer_counts() -> None:
    brief = a_mobile(period=days(end=TODAY))
    lasting = a_mobile(period=Period())
    assert usable((brief, lasting), SMS, NOW)[0] is lasting
    assert usable((lasting, brief), SMS, NOW)[0] is lasting


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (a_mobile(HIS, rank=1), a_mobile(HERS)),
        (a_mobile(HIS, rank=1), a_mobile(HERS, rank=2)),
        (a_mobile(HIS), a_mobile(HERS, use="home")),
        (a_mobile(HIS, use="home"), a_mobile(HERS, use="temp")),
        (a_mobile(HIS, use="temp"), a_mobile(HERS, use="work")),
        (a_mobile(HIS, use="work"), a_mobile(HERS, use=None)),
        (a_mobile(HIS, period=days(TODAY)), a_mobile(HERS, period=days(TODAY.replace(day=1)))),
        (a_mobile(HIS, period=days(TODAY)), a_mobile(HERS)),
        (a_mobile(HERS), a_mobile(HIS)),
    ],
)
def test_the_order_is_rank_use_newest_and_value(first: ContactPoint, second: ContactPoint) -> None:
    assert usable((second, first), SMS, NOW) == (first, second)
    assert select((second, first), SMS, NOW) is first
    assert select((second, first), SMS, NOW, {first.value or ""}) is second
    assert select((first,), SMS, NOW, {first.value or ""}) is None


def test_two_points_are_as_good_when_only_their_values_differ() -> None:
    assert is_as_good(a_mobile(HERS), a_mobile(HIS))
    assert not is_as_good(a_mobile(HERS), a_mobile(HERS, confirmed=False))
    assert not is_as_good(a_mobile(HERS), a_mobile(HIS, rank=1))


def test_a_hint_is_three_characters_and_none_of_nothing() -> None:
    assert (tail("+447700900123"), tail(""), tail(None)) == ("123", "", "")


def test_a_provision_without_anything_is_nobodys_denial() -> None:
    empty = a_consent(id="empty", root=Provision())
    case = a_case(neighbours=(a_neighbour(HERS),), consents=(empty,))
    assert "contact.excluded" not in codes_of(case)
