"""What a Consent excepts for emergencies: it opens what was closed, and nothing dangerous."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.provisions import Provision
from fhirmsg.guidance.terms import Channel, Match
from tests.builders import (
    BEN_KEYS,
    a_case,
    a_consent,
    a_grant,
    a_permission,
    a_person,
    a_proxy_case,
    an_objection,
    codes_of,
    deny,
    finding_of,
    in_emergency,
    permit,
    reviewed,
    verdict_of,
    with_evidence,
)

SMS = Channel.SMS
IN_EMERGENCIES = permit(purposes=("ETREAT",))


def both(case: Case) -> tuple[set[str], set[str]]:
    """Give what is found as it stands, and in an emergency."""
    return codes_of(case), codes_of(in_emergency(case))


def test_an_objection_to_all_but_emergencies_is_none_in_an_emergency() -> None:
    case = a_case(consents=(an_objection(root=deny(IN_EMERGENCIES)),))
    assert both(case) == ({"objection.active"}, set())


def test_a_danger_has_no_exception_for_emergencies() -> None:
    case = a_case(consents=(an_objection(root=deny(IN_EMERGENCIES), safety=True),))
    assert both(case) == ({"objection.safety"}, {"objection.safety"})


def test_a_declaration_makes_no_objection_of_what_is_none_without_it() -> None:
    root = permit(deny(on=[SMS]), purposes=("TREAT",))
    consent = an_objection(root=root)
    assert both(a_case(consents=(consent,))) == (set(), set())


def test_a_person_who_is_denied_stays_denied_in_emergencies() -> None:
    denial = a_consent(id="no", root=deny(IN_EMERGENCIES, actors=(a_person(BEN_KEYS),)))
    case = a_proxy_case(a_grant(), denial)
    assert [codes & {"proxy.denied"} for codes in both(case)] == [{"proxy.denied"}] * 2


def test_a_grant_that_denies_this_stays_a_denial_in_emergencies() -> None:
    grant = a_grant(deny(permit(purposes=("ETREAT",))))
    case = a_proxy_case(grant)
    assert [codes & {"proxy.denied"} for codes in both(case)] == [{"proxy.denied"}] * 2


def test_a_grant_for_emergencies_alone_counts_in_one() -> None:
    grant = a_grant(root=a_permission(purposes=("ETREAT",)))
    as_it_stands, declared = both(a_proxy_case(grant))
    assert as_it_stands == {"proxy.scope"}
    assert declared == set()


# --- the grant that is relied on, its lifts counted --------------------------------------------


def flawed(id: str, **fields: Any) -> Any:
    return a_grant(id=id, root=a_permission(classes=(Match.NO,)), **fields)


def test_a_grant_that_was_reviewed_is_relied_on_rather_than_one_that_was_not() -> None:
    one, two = flawed("1"), flawed("2")
    case = a_proxy_case(one, two)
    assert verdict_of(case) == "hold"
    assert finding_of(case, "proxy.scope").evidence[0].reference == "Consent/1"
    alone = a_proxy_case(two)
    (review,) = reviewed(alone, "proxy.scope").request.evidence.reviews
    later = with_evidence(case, reviews=(review,))
    assert verdict_of(later) == "send"
    assert finding_of(later, "proxy.scope").evidence[0].reference == "Consent/2"


@pytest.mark.parametrize(
    ("code", "second"),
    [("proxy.unclear", {"unverified": True}), ("proxy.scope", {"access_only": True})],
)
def test_in_an_emergency_what_is_acknowledged_weighs_less(code: str, second: Any) -> None:
    conflicting = {"identifiers": frozenset({"urn:x|1"})}
    rejected = a_consent(id="0", status=a_rejected(), grantees=BEN_KEYS, **conflicting)
    one = a_grant(id="1", **conflicting)
    two = a_grant(id="2", root=a_permission(classes=()), **second)
    case = a_proxy_case(rejected, one, two)
    acknowledged = in_emergency(case, "proxy.conflict", code)
    assert verdict_of(acknowledged) == "send"


def a_rejected() -> Any:
    from fhirmsg.guidance.record import ConsentStatus

    return ConsentStatus.REJECTED


def test_an_untyped_provision_is_no_exception() -> None:
    vague = an_objection(root=deny(Provision(purposes=("ETREAT",))))
    assert "objection.active" in codes_of(in_emergency(a_case(consents=(vague,))))
