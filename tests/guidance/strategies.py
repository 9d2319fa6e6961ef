"""What hypothesis draws from: provision trees, Consents, people and cases, sane and broken.

Values come from small pools around the boundaries that matter, so that matches, near misses and
collisions are all frequent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.policy import Fallback, LocalPolicy
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
    born,
    channel_code,
    days,
    instants,
    made_to,
    unknown_code,
)

SERVICE = "urn:example:service|7"
EVE_KEYS = frozenset({"RelatedPerson/eve"})
CHANNELS = (Channel.SMS, Channel.EMAIL, Channel.NHS_APP)


def named(name: str, strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Give the strategy under a short name, since failures print where values come from."""

    def drawn(draw: st.DrawFn) -> Any:
        return draw(strategy)

    drawn.__name__ = name
    return st.composite(drawn)()


def mostly(usual: object, *others: object) -> SearchStrategy[Any]:
    """Draw the usual value half of the time."""
    return named("mostly", st.sampled_from([*[usual] * len(others), *others]))


def changes(**pools: Sequence[object]) -> SearchStrategy[dict[str, Any]]:
    """Draw a few fields, each with a value from its pool."""
    one = st.one_of(
        *(st.sampled_from([(name, value) for value in pool]) for name, pool in pools.items())
    )
    return named("changes", st.lists(one, max_size=3).map(dict))


def one_or_two(pool: Sequence[object]) -> list[tuple[object, ...]]:
    """Give every value of a pool alone, and every two of them in either order."""
    return [*((value,) for value in pool), *permutations(pool, 2)]


# --- time --------------------------------------------------------------------------------------

_DAYS = [None, *(TODAY + timedelta(days=n) for n in (-400, -1, 0, 1, 400))]
_INSTANTS = [
    None,
    datetime.min.replace(tzinfo=UTC),
    *(NOW + timedelta(minutes=n) for n in (-60, -11, -10, -9, 0, 9, 10, 11, 60)),
    datetime.max.replace(tzinfo=UTC),
]
PERIODS = [
    *(days(start, end) for start in _DAYS for end in _DAYS),
    *(instants(start, end) for start in _INSTANTS for end in _INSTANTS),
    *[Period(malformed=True)] * 8,
]
periods = mostly(None, *PERIODS)

_birth_days = st.dates(TODAY.replace(year=TODAY.year - 19), TODAY)


def whole_year(day: date) -> BirthInterval:
    """Give the birth dates that a year alone leaves open."""
    return BirthInterval(earliest=day.replace(month=1, day=1), latest=date(day.year, 12, 31))


birth_intervals = st.one_of(
    _birth_days.map(born),
    _birth_days.map(whole_year),
    st.just(BirthInterval()),
    st.sampled_from([born(TODAY.replace(year=TODAY.year - age)) for age in (14, 38)]),
)

# --- provisions --------------------------------------------------------------------------------

CODES = [
    *(channel_code(channel) for channel in CHANNELS),
    channel_code(Channel.SMS, Channel.EMAIL),
    CodeTerm(may_cover=frozenset({Channel.SMS}), understood=True),
    CodeTerm(covers_results=frozenset({Channel.SMS}), understood=True),
    CodeTerm(tokens=frozenset({SERVICE, "7"})),
    unknown_code(),
]
ACTORS = [
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
PURPOSES = ["TREAT", "PATADMIN", "ETREAT", "HOPERAT", "HRESCH", None]

_narrowings = changes(
    period=PERIODS,
    purposes=one_or_two(PURPOSES),
    classes=one_or_two(list(Match)),
    codes=one_or_two(CODES),
    actors=one_or_two(ACTORS),
    oddity=["unknown_type", "labels", "data", "altered", "other_action"],
)


def _node(
    direction: Direction | None, narrowings: dict[str, Any], nested: list[Provision]
) -> Provision:
    odd = narrowings.get("oddity")
    fields = {name: value for name, value in narrowings.items() if name != "oddity"}
    if odd is not None:
        fields[odd] = frozenset({"x|R"}) if odd == "labels" else True
    return Provision(type=direction, nested=tuple(nested), **fields)


def nodes(
    directions: SearchStrategy, nested: SearchStrategy | None = None
) -> SearchStrategy[Provision]:
    """Draw a node with these directions and what stands below it."""
    return st.builds(_node, directions, _narrowings, st.just([]) if nested is None else nested)


def trees_of(directions: SearchStrategy) -> SearchStrategy[Provision]:
    """Draw trees up to three levels deep whose nodes have these directions."""
    leaves = nodes(directions)
    middle = nodes(directions, st.lists(leaves, max_size=2))
    return named("trees_of", nodes(directions, st.lists(st.one_of(leaves, middle), max_size=2)))


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


_features = changes(
    scope=list(Scope),
    policy_direction=list(Direction),
    policy_rule=[True],
    message_marker=[True],
    text_permission=[True],
    declines=[True],
    disclosure=[True],
    access_only=[True],
    other_category=[True],
    flag_record=[True],
    organisations=[
        (OrganisationRef(),),
        (OrganisationRef(ods=frozenset({OURS})),),
        (OrganisationRef(ods=frozenset({THEIRS})),),
    ],
    bases=[
        frozenset(),
        *(frozenset({basis}) for basis in Basis),
        frozenset({Basis.PARENTAL_RESPONSIBILITY, Basis.UNKNOWN}),
        frozenset({Basis.PARENTAL_RESPONSIBILITY, Basis.EXPLICIT_CONSENT}),
    ],
    performers=[AMARA_KEYS, BEN_KEYS],
    performer_related=[True],
    refusal_purposes=[True],
    safety=[True],
    confirmed_with_patient=[True],
    reason_recorded=[True],
    reviewed=[TODAY, TODAY - timedelta(days=700)],
    unverified=[True],
    altered=[True],
)


def consents_of(
    roots: SearchStrategy[Provision | None], status: SearchStrategy[ConsentStatus] = statuses
) -> SearchStrategy[ConsentFacts]:
    """Draw Consents of every class and none, as a reader would translate them."""

    def made(
        id: str,
        root: Provision | None,
        status: ConsentStatus,
        marked: bool,
        features: dict[str, Any],
        performer: frozenset[str] | None,
    ) -> ConsentFacts:
        usual = {"message_marker": marked, "bases": frozenset({Basis.EXPLICIT_CONSENT})}
        named = _named(root) | (performer or frozenset())
        fields = {**usual, **features, "grantees": named}
        return a_consent(id=id, root=root, status=status, **fields)

    grantees = mostly(None, BEN_KEYS, EVE_KEYS)
    drawn = st.builds(made, _IDS, roots, status, st.booleans(), _features, grantees)
    return named("consents_of", drawn)


_consents = st.one_of(
    consents_of(st.one_of(st.none(), trees)),
    st.builds(
        lambda channels, id, status, **more: an_objection(*channels, id=id, status=status, **more),
        st.lists(st.sampled_from(CHANNELS), max_size=2),
        _IDS,
        statuses,
        safety=st.booleans(),
        performer_related=st.booleans(),
        reason_recorded=st.booleans(),
        organisations=mostly((), made_to(THEIRS), made_to(THEIRS, OURS)),
    ),
    st.builds(
        lambda id, to, nested, status, basis: a_grant(
            *nested, id=id, to=to, status=status, basis=basis
        ),
        _IDS,
        st.sampled_from([BEN_KEYS, BEN_KEYS, EVE_KEYS]),
        st.lists(nodes(st.sampled_from(list(Direction))), max_size=1),
        statuses,
        st.sampled_from([*Basis, *[Basis.PARENTAL_RESPONSIBILITY] * 4]),
    ),
)
consents = named("consents", _consents)
plain_grants = st.builds(
    lambda id, basis, period: a_grant(id=id, basis=basis, root=a_permission(period=period)),
    _IDS,
    st.sampled_from([Basis.EXPLICIT_CONSENT, Basis.BEST_INTERESTS]),
    st.sampled_from([None, days(TODAY, TODAY), days(TODAY - timedelta(days=9)), instants(NOW)]),
)


def renumbered(found: Iterable[ConsentFacts], where: str = "") -> tuple[ConsentFacts, ...]:
    """Give Consents ids of their own, so that none hides another."""
    return tuple(
        replace(
            each,
            version=replace(each.version, reference=f"{each.version.reference}-{where}{number}"),
        )
        for number, each in enumerate(found)
    )


records = named("records", st.lists(consents, max_size=3).map(renumbered))

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
        falls_back=mostly((), (Fallback(channel=Channel.SMS),), (Fallback(channel=Channel.EMAIL),)),
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
    "linked_consents": st.one_of(
        st.just(()),
        st.lists(consents, max_size=1).map(lambda found: renumbered(found, "linked-")),
    ),
    "patient": st.one_of(
        st.just(a_patient()), st.builds(a_patient, born=birth_intervals), patients
    ),
    "request": requests,
    "policy": st.one_of(st.just(a_policy(a_platform(channels=frozenset(CHANNELS)))), policies),
    "about": st.one_of(st.just(()), st.tuples(_abouts)),
    "gaps": mostly((), (), (Gap(sentence="A page is missing."),)),
    "openable": mostly(True, True, False),
}
to_patients = named("to_patients", st.builds(a_case, **_frame))
_to_proxies: SearchStrategy[Case] = st.builds(
    lambda consents, **fields: a_proxy_case(*consents, **fields),
    related=st.one_of(st.just(a_related_person()), related_people),
    own_patient=mostly(None, bens_own_record(), bens_own_record(died="a date of death")),
    own_consents=st.one_of(
        st.just(()), st.lists(consents, max_size=1).map(lambda found: renumbered(found, "own-"))
    ),
    **_frame,
)
to_proxies = named("to_proxies", _to_proxies)
cases: SearchStrategy[Case] = st.one_of(to_patients, to_proxies)

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
