"""Provision trees and Consents, sane and broken, as a reader would translate them.

Values come from small pools, so that matches, near misses and collisions are all frequent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fhirmsg.guidance.provisions import Actor, ActorKind, CodeTerm, Direction, Provision
from fhirmsg.guidance.record import (
    Assessment,
    Basis,
    ConsentFacts,
    ConsentStatus,
    Ending,
    OrganisationRef,
    Scope,
    StandingReview,
)
from fhirmsg.guidance.terms import Channel, Match
from tests.builders import (
    AMARA,
    AMARA_KEYS,
    BEN_KEYS,
    NOW,
    OURS,
    THEIRS,
    TODAY,
    a_consent,
    a_grant,
    a_permission,
    a_person,
    an_objection,
    an_organisation,
    channel_code,
    days,
    deny,
    instants,
    made_to,
    unknown_code,
)
from tests.guidance.strategies.draws import PERIODS, changes, mostly, named, one_or_two

SERVICE = "urn:example:service|7"
EVE_KEYS = frozenset({"RelatedPerson/eve"})
CHANNELS = (Channel.SMS, Channel.EMAIL, Channel.NHS_APP)

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
    """Draw Consents of every class and none."""

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


# What bears on a grant alone, and on an objection alone.
_ASSESSMENTS = [
    Assessment(able=able, on=on, until=until)
    for able in (True, False, None)
    for on in (None, TODAY - timedelta(days=30))
    for until in (None, TODAY - timedelta(days=1), TODAY)
]
_OF_GRANTS = changes(
    most=2,
    ended=list(Ending),
    signed=[NOW - timedelta(days=100)],
    identifiers=[frozenset({"urn:example|one"})],
    grantors=[frozenset({OURS}), frozenset({THEIRS})],
    capacity=_ASSESSMENTS,
    competence=[each for each in _ASSESSMENTS if each.until is None],
    standing_reviews=[
        (StandingReview(code=code, by="Practitioner/guardian", role=role, at=at, until=until),)
        for code in ("proxy.scope", "proxy.other-organisation", "proxy.age-review")
        for role, at, until in (
            ("Caldicott Guardian", TODAY, None),
            ("porter", TODAY, None),
            ("Caldicott Guardian", TODAY - timedelta(days=9), TODAY - timedelta(days=1)),
        )
    ],
    unlisted=[
        frozenset({"POWATT"}),
        frozenset({"court-appointed-personal-welfare-deputy"}),
    ],
    access_only=[True],
    unverified=[True],
    reviewed=[TODAY, TODAY - timedelta(days=700)],
    organisations=[made_to(THEIRS)],
)


def _a_grant(
    id: str,
    to: frozenset[str],
    nested: list[Provision],
    status: ConsentStatus,
    basis: Basis,
    more: dict[str, Any],
) -> ConsentFacts:
    if more.get("unlisted"):
        basis = Basis.UNLISTED
    return a_grant(*nested, id=id, to=to, status=status, basis=basis, **more)


# An objection in force at any time, one that ended lately or begins later, and a permission.
_LIMITS = st.sampled_from(
    [
        {},
        {},
        {},
        {"period": days(end=TODAY - timedelta(days=1))},
        {"period": days(start=TODAY + timedelta(days=1))},
        {"type": Direction.PERMIT},
    ]
)


def _an_objection(
    channels: list[Channel],
    id: str,
    status: ConsentStatus,
    limits: dict[str, Any],
    **more: Any,
) -> ConsentFacts:
    root = deny(**{"on": channels, **limits})
    return an_objection(id=id, status=status, root=root, **more)


objections = named(
    "objections",
    st.builds(
        _an_objection,
        st.lists(st.sampled_from(CHANNELS), max_size=2),
        _IDS,
        statuses,
        _LIMITS,
        safety=st.booleans(),
        performer_related=st.booleans(),
        reason_recorded=st.booleans(),
        organisations=mostly((), made_to(THEIRS), made_to(THEIRS, OURS)),
        signed=st.sampled_from([None, NOW - timedelta(days=50)]),
    ),
)
grants = named(
    "grants",
    st.builds(
        _a_grant,
        _IDS,
        st.sampled_from([BEN_KEYS, BEN_KEYS, EVE_KEYS]),
        st.lists(nodes(st.sampled_from(list(Direction))), max_size=1),
        statuses,
        st.sampled_from([*Basis, *[Basis.PARENTAL_RESPONSIBILITY] * 4]),
        _OF_GRANTS,
    ),
)
# What a proxy most often has: a grant in force, with something that speaks against relying on it.
grants_to_ben = named(
    "grants_to_ben",
    st.builds(
        _a_grant,
        _IDS,
        st.just(BEN_KEYS),
        st.just([]),
        st.just(ConsentStatus.ACTIVE),
        st.sampled_from([*list(Basis)[:4] * 2, *Basis]),
        _OF_GRANTS,
    ),
)
consents = named(
    "consents", st.one_of(consents_of(st.one_of(st.none(), trees)), objections, grants)
)
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


records = named("records", st.lists(consents, max_size=2).map(renumbered))
