"""Whole cases: a plain one, Consents, a few departures from the plain, and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import Assessment, Basis, Ending
from fhirmsg.guidance.request import SendRequest, Service
from fhirmsg.guidance.terms import Channel, Declared
from tests.builders import (
    NOW,
    THEIRS,
    TODAY,
    a_case,
    a_child,
    a_grant,
    a_patient,
    a_permission,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_objection,
    bens_own_record,
    days,
    deny,
    permit,
)
from tests.guidance.strategies.consents import (
    CHANNELS,
    SERVICE,
    consents,
    grants,
    grants_to_ben,
    plain_grants,
    records,
    renumbered,
)
from tests.guidance.strategies.departures import (
    BUNDLES,
    DEPARTURES,
    LEXICON,
    SECURE_APP,
    Departure,
    depart,
    departures,
)
from tests.guidance.strategies.draws import birth_intervals, mostly, named
from tests.guidance.strategies.evidence import DECLARED, Plan, plans, with_evidence
from tests.guidance.strategies.people import AMARAS, DIGESTS, digest_of, point_lists

# Everybody who may review or approve is a Caldicott Guardian.
POLICY: LocalPolicy = a_policy(
    a_platform(channels=frozenset(CHANNELS)),
    SECURE_APP,
    review=frozenset({"Caldicott Guardian"}),
    lexicon=LEXICON,
)


def made(case: Case, chosen: list[Departure], plan: Plan) -> Case:
    """Give a case from a plain one, what departs from it, and a plan of its evidence."""
    return with_evidence(depart(case, chosen), plan)


_linked = st.one_of(
    st.just(()),
    st.lists(consents, max_size=1).map(lambda found: renumbered(found, "linked-")),
)
_patients = st.one_of(
    st.just(a_patient()),
    st.builds(a_patient, born=birth_intervals),
    st.builds(a_patient, born=birth_intervals, contact_points=point_lists),
)
# Digests of contact points that a restriction names, on one of the Consents of a case.
_restricted = mostly(None, None, *DIGESTS)


def _restricting(case: Case, value: str | None) -> Case:
    record = replace(case.record, digests=DIGESTS)
    ours = [each for each in record.consents if not each.grantees]
    if value is not None and ours:
        restriction = replace(ours[0], restricted_digests=frozenset({digest_of(value)}))
        kept = [restriction if each is ours[0] else each for each in record.consents]
        record = replace(record, consents=tuple(kept))
    return replace(case, record=record)


_frame = {
    "consents": records,
    "linked_consents": _linked,
    "patient": _patients,
    "policy": st.just(POLICY),
}
# Most proxies have a grant, plain or not: without one nothing else matters.
_their_grants = st.one_of(
    st.just([]),
    st.lists(plain_grants, min_size=1, max_size=1),
    st.lists(grants_to_ben, min_size=1, max_size=2),
    st.lists(grants, min_size=1, max_size=2),
)
_to_proxies: SearchStrategy[Case] = st.builds(
    lambda own, consents, **fields: a_proxy_case(*renumbered([*own, *consents]), **fields),
    _their_grants,
    related=st.one_of(
        st.just(a_related_person()), st.builds(a_related_person, contact_points=point_lists)
    ),
    own_patient=mostly(None, bens_own_record()),
    own_consents=st.one_of(
        st.just(()), st.lists(consents, max_size=1).map(lambda found: renumbered(found, "own-"))
    ),
    **_frame,
)


def _whole(plain: SearchStrategy[Case], evidence: SearchStrategy[Plan]) -> SearchStrategy[Case]:
    return st.builds(
        lambda case, value, chosen, plan: made(_restricting(case, value), chosen, plan),
        plain,
        _restricted,
        departures(6),
        evidence,
    )


_plain_to_patients = st.builds(a_case, **_frame)
_nothing: SearchStrategy[Plan] = st.just({})
to_patients = named("to_patients", _whole(_plain_to_patients, plans))
to_proxies = named("to_proxies", _whole(_to_proxies, plans))
cases: SearchStrategy[Case] = st.one_of(to_patients, to_proxies)
# The same, before anybody brings evidence.
bare_to_patients = named("bare_to_patients", _whole(_plain_to_patients, _nothing))
bare_to_proxies = named("bare_to_proxies", _whole(_to_proxies, _nothing))
bare_cases: SearchStrategy[Case] = st.one_of(bare_to_patients, bare_to_proxies)

# Cases in which nothing but Consents can stand in the way.
clear_requests: SearchStrategy[SendRequest] = st.builds(
    a_request, channel=st.sampled_from([Channel.SMS, Channel.EMAIL])
)
clear_to_patients = named(
    "clear_to_patients", st.builds(a_case, consents=records, request=clear_requests)
)
_clear_to_proxies: SearchStrategy[Case] = st.builds(
    lambda grants, consents, **fields: a_proxy_case(*renumbered([*grants, *consents]), **fields),
    st.lists(plain_grants, max_size=2),
    records,
    request=clear_requests,
    patient=st.builds(a_patient, born=birth_intervals),
)
clear_to_proxies = named("clear_to_proxies", _clear_to_proxies)
clear_cases: SearchStrategy[Case] = st.one_of(clear_to_patients, clear_to_proxies)

# Every departure and bundle by itself, from a plain case to the patient and from one to a proxy.
_PLAIN = (
    a_case(policy=POLICY),
    a_proxy_case(a_grant(), policy=POLICY, own_patient=bens_own_record()),
)
LONE = [
    depart(plain, chosen)
    for plain in _PLAIN
    for chosen in [*([each] for each in DEPARTURES), *BUNDLES]
]


def _rarely() -> Iterator[Case]:
    """Give what needs several things at once, so that luck does not decide whether it is met."""
    patient, proxy = _PLAIN
    service = Departure("request", "service", Service(code=SERVICE, sensitive=Declared.YES))
    hours = next(each for each in DEPARTURES if each.name == "windows")
    objection = an_objection(Channel.SMS, signed=NOW - timedelta(days=9))
    ended = an_objection(root=deny(period=days(end=TODAY - timedelta(days=1))))
    coming = an_objection(root=deny(period=days(start=TODAY + timedelta(days=1))))
    permission = an_objection(root=permit(), id="later", signed=NOW)
    yield made(patient, [hours], DECLARED)
    yield made(proxy, [service], {"individual_check": "no"})
    for objections in ((objection, permission), (ended,), (coming,)):
        yield a_case(consents=objections, policy=POLICY)
    for flawed in (
        {"grantors": frozenset({THEIRS})},
        {"ended": Ending.OTHER},
        {"bases": frozenset({Basis.BEST_INTERESTS}), "capacity": Assessment(able=True)},
        {"bases": frozenset({Basis.UNLISTED}), "unlisted": frozenset({"POWATT"})},
    ):
        yield a_proxy_case(a_grant(**flawed), policy=POLICY)
    soon = a_permission(period=days(end=TODAY + timedelta(days=20)))
    yield a_proxy_case(a_grant(root=soon), policy=POLICY)
    yield _restricting(a_case(consents=(objection,), policy=POLICY), AMARAS)
    child = a_child(14)
    yield a_proxy_case(a_grant(), policy=POLICY, patient=child)
    yield a_proxy_case(a_grant(basis=Basis.PARENTAL_RESPONSIBILITY), policy=POLICY, patient=child)


RARE = tuple(_rarely())
