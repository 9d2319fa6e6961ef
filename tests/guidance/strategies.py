"""What hypothesis draws from: provision trees, Consents, people and cases, sane and broken.

Values come from small pools around the boundaries that matter, so that matches, near misses and
collisions are all frequent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.provisions import Actor, ActorKind, CodeTerm, Direction, Provision
from fhirmsg.guidance.record import (
    AboutFacts,
    Basis,
    ConsentFacts,
    ConsentStatus,
    ContactPoint,
    Gap,
    OrganisationRef,
    PatientFacts,
    RelatedPersonFacts,
    Scope,
)
from fhirmsg.guidance.request import SendRequest, Service
from fhirmsg.guidance.terms import (
    BirthInterval,
    Channel,
    Declared,
    Match,
    Period,
    Purpose,
    ResourceVersion,
)
from tests.builders import (
    AMARA,
    AMARA_KEYS,
    BEN_KEYS,
    NOW,
    OURS,
    THEIRS,
    TODAY,
    a_case,
    a_consent,
    a_grant,
    a_mobile,
    a_patient,
    a_permission,
    a_person,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_app_login,
    an_email,
    an_objection,
    an_organisation,
    bens_own_record,
    channel_code,
    days,
    instants,
    unknown_code,
)

SERVICE = "urn:example:service|7"
EVE_KEYS = frozenset({"RelatedPerson/eve"})
CHANNELS = (Channel.SMS, Channel.EMAIL, Channel.NHS_APP)


def mostly(usual: object, *others: object) -> SearchStrategy:
    """Draw the usual value half of the time."""
    return st.one_of(st.just(usual), st.sampled_from(others))


# --- time --------------------------------------------------------------------------------------

_DAYS = [None, *(TODAY + timedelta(days=n) for n in (-400, -1, 0, 1, 400))]
_INSTANTS = [
    None,
    datetime.min.replace(tzinfo=UTC),
    *(NOW + timedelta(minutes=n) for n in (-60, -11, -10, -9, 0, 9, 10, 11, 60)),
    datetime.max.replace(tzinfo=UTC),
]
date_only = st.builds(days, st.sampled_from(_DAYS), st.sampled_from(_DAYS))
timed = st.builds(instants, st.sampled_from(_INSTANTS), st.sampled_from(_INSTANTS))
periods = st.one_of(
    st.none(), st.none(), st.just(days()), date_only, timed, st.just(Period(malformed=True))
)

_birth_days = st.dates(TODAY.replace(year=TODAY.year - 19), TODAY)


def whole_year(day: date) -> BirthInterval:
    """Give the birth dates that a year alone leaves open."""
    return BirthInterval(earliest=day.replace(month=1, day=1), latest=date(day.year, 12, 31))


birth_intervals = st.one_of(
    _birth_days.map(lambda day: BirthInterval(earliest=day, latest=day)),
    _birth_days.map(whole_year),
    st.just(BirthInterval()),
    st.just(BirthInterval(earliest=date(1988, 2, 3), latest=date(1988, 2, 3))),
)

# --- provisions --------------------------------------------------------------------------------

code_terms = st.sampled_from(
    [
        *(channel_code(channel) for channel in CHANNELS),
        channel_code(Channel.SMS, Channel.EMAIL),
        CodeTerm(may_cover=frozenset({Channel.SMS}), understood=True),
        CodeTerm(covers_results=frozenset({Channel.SMS}), understood=True),
        CodeTerm(tokens=frozenset({SERVICE, "7"})),
        unknown_code(),
    ]
)
actors = st.sampled_from(
    [
        a_person(AMARA_KEYS),
        a_person([AMARA]),
        a_person(BEN_KEYS),
        a_person(["Patient/ben"]),
        a_person(EVE_KEYS),
        a_person([]),
        an_organisation(OURS),
        an_organisation(THEIRS),
        an_organisation(),
        Actor(kind=ActorKind.STAFF, keys=frozenset({"Practitioner/1"})),
        Actor(kind=ActorKind.OTHER, keys=frozenset({"Group/1"})),
    ]
)
purposes = st.sampled_from(["TREAT", "PATADMIN", "ETREAT", "HOPERAT", "HRESCH", None])
classes = st.sampled_from(list(Match))


def few(values: SearchStrategy) -> SearchStrategy:
    """Draw none, mostly, or one or two."""
    return st.one_of(st.just(()), st.just(()), st.lists(values, min_size=1, max_size=2).map(tuple))


def nodes(
    directions: SearchStrategy, nested: SearchStrategy | None = None
) -> SearchStrategy[Provision]:
    """Draw a node with these directions and what stands below it."""
    return st.builds(
        Provision,
        type=directions,
        unknown_type=mostly(False, False, True),
        period=periods,
        purposes=few(purposes),
        classes=few(classes),
        codes=few(code_terms),
        actors=few(actors),
        labels=mostly(frozenset(), frozenset(), frozenset({"x|R"})),
        data=mostly(False, False, False, True),
        altered=mostly(False, False, False, True),
        other_action=mostly(False, False, False, True),
        nested=st.just(()) if nested is None else nested,
    )


def trees_of(directions: SearchStrategy) -> SearchStrategy[Provision]:
    """Draw trees up to three levels deep whose nodes have these directions."""
    leaves = nodes(directions)
    middle = nodes(directions, st.lists(leaves, max_size=2).map(tuple))
    return nodes(directions, st.lists(st.one_of(leaves, middle), max_size=2).map(tuple))


trees = trees_of(st.sampled_from([Direction.PERMIT, Direction.DENY, Direction.DENY, None]))
denials = trees_of(st.just(Direction.DENY))
permissions = trees_of(st.just(Direction.PERMIT))


def grafted(tree: Provision, graft: Provision) -> SearchStrategy[Provision]:
    """Draw the tree with another one hung below any of its nodes."""
    here = replace(tree, nested=(*tree.nested, graft))
    below = [
        grafted(node, graft).map(
            lambda new, at=at: replace(
                tree, nested=(*tree.nested[:at], new, *tree.nested[at + 1 :])
            )
        )
        for at, node in enumerate(tree.nested)
    ]
    return st.one_of(st.just(here), *below)


def reversed_siblings(tree: Provision) -> Provision:
    """Give the same tree with every list of siblings and values turned round."""
    return replace(
        tree,
        nested=tuple(reversed_siblings(node) for node in reversed(tree.nested)),
        actors=tree.actors[::-1],
        codes=tree.codes[::-1],
        purposes=tree.purposes[::-1],
        classes=tree.classes[::-1],
    )


# --- Consents ----------------------------------------------------------------------------------

statuses = mostly(ConsentStatus.ACTIVE, *ConsentStatus)
_IDS = st.integers(0, 9).map(str)


def _named(root: Provision | None) -> frozenset[str]:
    people = [] if root is None else [a.keys for a in root.actors if a.kind is ActorKind.PERSON]
    return frozenset[str]().union(*(keys for keys in people if not keys & AMARA_KEYS))


def consents_of(
    roots: SearchStrategy[Provision | None],
    status: SearchStrategy[ConsentStatus] = statuses,
    **fixed: SearchStrategy,
) -> SearchStrategy[ConsentFacts]:
    """Draw Consents of every class and none, as a reader would translate them."""
    drawn = st.fixed_dictionaries(
        {
            "id": _IDS,
            "root": roots,
            "status": status,
            "scope": mostly(Scope.PRIVACY, *Scope),
            "policy_direction": mostly(None, *Direction),
            "policy_rule": st.booleans(),
            "message_marker": st.booleans(),
            "text_permission": mostly(False, False, True),
            "declines": mostly(False, False, True),
            "disclosure": mostly(False, False, True),
            "access_only": mostly(False, False, True),
            "other_category": mostly(False, False, True),
            "flag_record": mostly(False, False, False, True),
            "organisations": mostly(
                (),
                (OrganisationRef(),),
                (OrganisationRef(ods=frozenset({OURS})),),
                (OrganisationRef(ods=frozenset({THEIRS})),),
            ),
            "bases": mostly(
                frozenset({Basis.EXPLICIT_CONSENT}),
                frozenset(),
                *(frozenset({basis}) for basis in Basis),
                frozenset({Basis.PARENTAL_RESPONSIBILITY, Basis.UNKNOWN}),
            ),
            "performers": mostly(frozenset(), AMARA_KEYS, BEN_KEYS),
            "performer_related": mostly(False, False, True),
            "refusal_purposes": mostly(False, False, False, True),
            "safety": mostly(False, False, True),
            "confirmed_with_patient": st.booleans(),
            "reason_recorded": st.booleans(),
            "reviewed": mostly(None, TODAY, TODAY - timedelta(days=700)),
            "unverified": mostly(False, False, True),
            "altered": mostly(False, False, True),
            **fixed,
        }
    )
    grantees = mostly(None, BEN_KEYS, EVE_KEYS)

    def made(fields: dict, performer: frozenset[str] | None) -> ConsentFacts:
        named = _named(fields["root"]) | (performer or frozenset())
        return a_consent(**{**fields, "grantees": named})

    return st.builds(made, drawn, grantees)


consents = st.one_of(
    consents_of(st.one_of(st.none(), trees)),
    st.builds(
        lambda channels, id, status, **more: an_objection(*channels, id=id, status=status, **more),
        st.lists(st.sampled_from(CHANNELS), max_size=2),
        _IDS,
        statuses,
        safety=st.booleans(),
        performer_related=st.booleans(),
        reason_recorded=st.booleans(),
    ),
    st.builds(
        lambda id, to, nested, status, basis: a_grant(
            *nested, id=id, to=to, status=status, basis=basis
        ),
        _IDS,
        st.sampled_from([BEN_KEYS, BEN_KEYS, EVE_KEYS]),
        st.lists(nodes(st.sampled_from(list(Direction))), max_size=1),
        statuses,
        st.sampled_from(list(Basis)),
    ),
)
plain_grants = st.builds(
    lambda id, basis, period: a_grant(id=id, basis=basis, root=a_permission(period=period)),
    _IDS,
    st.sampled_from([Basis.EXPLICIT_CONSENT, Basis.BEST_INTERESTS]),
    st.sampled_from([None, days(TODAY, TODAY), days(TODAY - timedelta(days=9)), instants(NOW)]),
)


def renumbered(found: Iterable[ConsentFacts]) -> tuple[ConsentFacts, ...]:
    """Give Consents ids of their own, so that none hides another."""
    return tuple(
        replace(each, version=replace(each.version, reference=f"{each.version.reference}-{number}"))
        for number, each in enumerate(found)
    )


records = st.lists(consents, max_size=3).map(renumbered)

# --- people ------------------------------------------------------------------------------------

contact_points = st.builds(
    lambda point, **fields: replace(point, **fields),
    st.sampled_from(
        [
            a_mobile(),
            a_mobile("+447700900102"),
            a_mobile(value=None),
            an_email(),
            an_app_login(),
        ]
    ),
    use=mostly("mobile", "home", "work", "temp", "old", None),
    rank=mostly(None, 1, 2),
    period=periods,
)
point_lists: SearchStrategy[tuple[ContactPoint, ...]] = st.one_of(
    st.just(a_patient().contact_points), st.lists(contact_points, max_size=4).map(tuple)
)
patients: SearchStrategy[PatientFacts] = st.builds(
    a_patient,
    active=mostly(True, True, False),
    died=mostly(None, None, "a date of death"),
    replaced_by=mostly(None, None, "Patient/after"),
    restricted=mostly(False, False, True),
    sensitive_labels=mostly(frozenset(), frozenset(), frozenset({"HIV"})),
    born=birth_intervals,
    contact_points=point_lists,
)
related_people: SearchStrategy[RelatedPersonFacts] = st.builds(
    a_related_person,
    active=mostly(True, True, False),
    period=periods,
    patient_keys=mostly(frozenset({AMARA}), AMARA_KEYS, frozenset(), frozenset({"Patient/x"})),
    contact_points=st.one_of(st.just(a_related_person().contact_points), point_lists),
)

# --- cases -------------------------------------------------------------------------------------

requests: SearchStrategy[SendRequest] = st.builds(
    a_request,
    channel=mostly(Channel.SMS, *CHANNELS),
    purpose=mostly(Purpose.APPOINTMENT, *Purpose),
    service=st.builds(
        Service,
        code=mostly(None, SERVICE, "7", "urn:other|7"),
        sensitive=mostly(Declared.NO, *Declared),
    ),
    not_after=mostly(None, NOW, NOW - timedelta(seconds=1)),
)
policies: SearchStrategy[LocalPolicy] = st.builds(
    lambda platform, **fields: a_policy(platform, **fields),
    st.builds(
        a_platform,
        channels=mostly(frozenset(CHANNELS), frozenset({Channel.EMAIL}), frozenset()),
        approval=mostly(a_platform().approval, None),
        fallbacks=mostly(frozenset(), frozenset({Channel.SMS}), frozenset({Channel.EMAIL})),
        notifies_by=mostly(frozenset(), frozenset({Channel.EMAIL})),
    ),
    parental_review_ages=st.sampled_from([(13,), (11, 13), ()]),
    accept_access_roles=st.booleans(),
    sensitive_services=mostly(frozenset(), frozenset({SERVICE})),
)
_abouts = st.builds(
    lambda keys, labels: AboutFacts(
        version=ResourceVersion(reference="Appointment/1", version_id="1"),
        subject_keys=keys,
        sensitive_labels=labels,
    ),
    mostly(frozenset({AMARA}), frozenset({"Patient/x"})),
    mostly(frozenset(), frozenset({"SEX"})),
)
_frame = {
    "consents": records,
    "linked_consents": st.one_of(st.just(()), st.lists(consents, max_size=1).map(renumbered)),
    "patient": st.one_of(st.just(a_patient()), patients),
    "request": requests,
    "policy": st.one_of(st.just(a_policy(a_platform(channels=frozenset(CHANNELS)))), policies),
    "about": few(_abouts),
    "gaps": mostly((), (), (Gap(sentence="A page is missing."),)),
    "openable": mostly(True, True, False),
}
to_patients: SearchStrategy[Case] = st.builds(a_case, **_frame)
to_proxies: SearchStrategy[Case] = st.builds(
    lambda consents, **fields: a_proxy_case(*consents, **fields),
    related=st.one_of(st.just(a_related_person()), related_people),
    own_patient=mostly(None, bens_own_record(), bens_own_record(died="a date of death")),
    own_consents=st.one_of(st.just(()), st.lists(consents, max_size=1).map(renumbered)),
    **_frame,
)
cases: SearchStrategy[Case] = st.one_of(to_patients, to_proxies)

# Cases in which nothing but Consents can stand in the way.
clear_requests: SearchStrategy[SendRequest] = st.builds(
    a_request, channel=st.sampled_from([Channel.SMS, Channel.EMAIL])
)
clear_to_patients: SearchStrategy[Case] = st.builds(
    a_case, consents=records, request=clear_requests
)
clear_to_proxies: SearchStrategy[Case] = st.builds(
    lambda grants, consents, **fields: a_proxy_case(*renumbered([*grants, *consents]), **fields),
    st.lists(plain_grants, max_size=2),
    records,
    request=clear_requests,
    patient=st.builds(a_patient, born=birth_intervals),
)
clear_cases: SearchStrategy[Case] = st.one_of(clear_to_patients, clear_to_proxies)
