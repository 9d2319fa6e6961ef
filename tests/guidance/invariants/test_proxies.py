"""What holds of proxies: nobody receives without a grant, and one grant serves one person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import Basis, ConsentFacts, ConsentStatus, Scope
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Declared, Period
from tests.builders import TODAY, a_permission, a_related_person, codes_of, days, verdict_of
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import asking, found, weight, with_record


# 10
@given(some.to_proxies)
def test_a_proxy_without_any_consent_never_receives(case: Case) -> None:
    bare = with_record(case, consents=())
    if bare.emergency:
        # Somebody who declares an emergency decides, once they have seen that there is no basis.
        assert all(
            each.lifted is not None or each.effect >= Effect.HOLD
            for each in found(bare, "proxy.no-basis")
        )
        assert found(bare, "proxy.no-basis")
    else:
        assert verdict_of(bare) == "refuse"


_BREAKS: dict[str, Any] = {
    "status": {"status": ConsentStatus.INACTIVE},
    "actor": {"grantees": frozenset({"RelatedPerson/eve"})},
    "actor in the provision": {"root": a_permission(to=["RelatedPerson/eve"])},
    "basis": {"bases": frozenset()},
    "relationship in its place": {"bases": frozenset({Basis.RELATIONSHIP})},
    "ended period": {"root": a_permission(period=days(end=TODAY - timedelta(days=1)))},
    "malformed period": {"root": a_permission(period=Period(malformed=True))},
    "scope": {"scope": Scope.OTHER},
}


# 11
@pytest.mark.parametrize("broken", _BREAKS.values(), ids=_BREAKS)
@given(some.bare_to_proxies, some.plain_grants)
def test_a_single_grant_without_one_of_its_elements_never_lets_a_proxy_receive(
    broken: dict[str, Any], case: Case, grant: ConsentFacts
) -> None:
    whole = with_record(case, consents=(grant,))
    short = with_record(case, consents=(replace(grant, **broken),))
    assert weight(short) >= max(Effect.HOLD, weight(whole))


# 11, 13
@given(some.to_proxies, some.plain_grants)
def test_a_related_person_of_another_patient_never_receives(
    case: Case, grant: ConsentFacts
) -> None:
    stranger = a_related_person(patient_keys=frozenset({"Patient/x"}))
    recipient = replace(case.record.recipient, related=stranger)
    assert verdict_of(with_record(case, recipient=recipient, consents=(grant,))) == "refuse"


# 13
@given(some.bare_to_patients, some.plain_grants)
def test_a_grant_to_somebody_related_to_another_patient_makes_them_no_proxy_of_this_one(
    case: Case, grant: ConsentFacts
) -> None:
    point = case.contact_point
    if point is None or point.value is None:
        return
    eves = replace(grant, grantees=some.EVE_KEYS, root=a_permission(to=some.EVE_KEYS))
    of_another = some.a_neighbour(some.EVE, point.value, related_to=frozenset({"Patient/x"}))
    there = with_record(case, neighbours=(of_another,), consents=(eves,), digests={})
    assert {"contact.shared", "contact.shared-plain"} & codes_of(there)


# 27
@given(some.bare_to_proxies, st.sampled_from(["", *some.CHECKS]), st.booleans())
def test_unknown_sensitivity_weighs_as_much_as_yes_and_no_less_than_no(
    case: Case, check: str, emergency: bool
) -> None:
    plan = {"individual_check": check} if check else {}
    plan |= some.GONE_ON if emergency else {}

    def declared(sensitive: Declared) -> int:
        service = replace(case.request.service, sensitive=sensitive)
        return weight(some.with_evidence(asking(case, service=service), plan))

    yes, unknown, no = map(declared, (Declared.YES, Declared.UNKNOWN, Declared.NO))
    assert yes == unknown >= no


# 27
@given(some.bare_to_proxies, st.sampled_from([Declared.YES, Declared.UNKNOWN]))
def test_a_proxy_never_hears_of_a_service_that_may_be_sensitive(
    case: Case, sensitive: Declared
) -> None:
    service = replace(case.request.service, sensitive=sensitive)
    assert verdict_of(asking(case, service=service)) != "send"


@given(some.to_proxies)
def test_an_individual_who_said_no_is_obeyed_in_every_case(case: Case) -> None:
    service = replace(case.request.service, code=some.SERVICE)
    asked = some.with_evidence(
        asking(case, service=service), {**some.GONE_ON, "individual_check": "no"}
    )
    assert verdict_of(asked) == "refuse"
