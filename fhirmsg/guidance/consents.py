"""What a Consent is, and what the objections and denials among them say about one message.

R4 uses one resource for grants to proxies, objections to messages, record-sharing choices and
research consent. The order of the tests in `kind_of` is the order in which they count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, IntEnum, auto

from fhirmsg.guidance.provisions import (
    ACTORS_APART,
    ActorKind,
    Answer,
    Direction,
    Provision,
    Query,
    evaluate,
    is_too_large,
    match_node,
    with_effective_types,
)
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, Scope
from fhirmsg.guidance.terms import Channel, Match


class Kind(IntEnum):
    """What a Consent is, for messages."""

    GRANT = auto()
    DENIAL_OF_PERSON = auto()
    OBJECTION = auto()
    DENIAL_OF_DISCLOSURE = auto()
    OTHER = auto()
    UNCLEAR = auto()


_GRANT = frozenset({Kind.GRANT})
_OTHER = frozenset({Kind.OTHER})
_DENIAL_OF_PERSON = frozenset({Kind.DENIAL_OF_PERSON})
_DENIALS = frozenset({Kind.DENIAL_OF_PERSON, Kind.DENIAL_OF_DISCLOSURE})


def direction_of(consent: ConsentFacts) -> Direction | None:
    """Give the direction of the root: its own type, else what the policy rule says."""
    root = consent.root
    if root is not None and root.type is not None:
        return root.type
    if root is not None and root.unknown_type:
        return None
    return consent.policy_direction


def _root(consent: ConsentFacts) -> Provision:
    return consent.root or Provision()


def _names_other_person(consent: ConsentFacts, patient: frozenset[str]) -> bool:
    people = [actor for actor in _root(consent).actors if actor.kind is ActorKind.PERSON]
    return bool(people) and not any(actor.keys & patient for actor in people)


def _is_about_messages(consent: ConsentFacts) -> bool:
    # A reason of safety is given for an objection; a restricted contact detail has a rule apart.
    if consent.message_marker or (consent.safety and not consent.restricted_digests):
        return True
    root = consent.root
    if root is None or not (root.classes or root.codes or root.nested):
        return False
    # An untyped node cannot be excluded as a denial, so its mark counts.
    return any(
        Match.YES in node.classes or any(term.understood for term in node.codes)
        for node, direction in with_effective_types(root, direction_of(consent))
        if direction is not Direction.PERMIT
    )


def _says_nothing_of_its_subject(consent: ConsentFacts, patient: frozenset[str]) -> bool:
    root = _root(consent)
    narrowed_to_others = bool(root.actors) and not any(
        actor.kind is ActorKind.ORGANISATION or actor.keys & patient for actor in root.actors
    )
    # A class or code that is not understood says nothing.
    return not (
        any(each is not Match.UNKNOWN for each in root.classes)
        or any(term.understood for term in root.codes)
        or root.data
        or narrowed_to_others
        or consent.other_category
        or consent.disclosure
    )


def kinds_of(consent: ConsentFacts, patient: frozenset[str]) -> frozenset[Kind]:
    """Tell what a Consent is; a disclosure denial can be an objection beside it.

    `patient` are the identity keys of the Consent's subject.
    """
    direction = direction_of(consent)
    foreign_scope = consent.scope is Scope.OTHER
    grants = direction is not Direction.DENY and not consent.declines
    if grants and consent.grantees and not foreign_scope:
        return _GRANT
    if direction is Direction.DENY and _names_other_person(consent, patient):
        return _DENIAL_OF_PERSON
    kinds = set()
    if _is_about_messages(consent):
        kinds.add(Kind.OBJECTION)
    only_organisations = all(
        actor.kind is ActorKind.ORGANISATION for actor in _root(consent).actors
    )
    if (
        direction is Direction.DENY
        and not foreign_scope
        and only_organisations
        and (consent.disclosure or (not kinds and _says_nothing_of_its_subject(consent, patient)))
    ):
        kinds.add(Kind.DENIAL_OF_DISCLOSURE)
        if not consent.disclosure:
            kinds.add(Kind.UNCLEAR)
    if kinds:
        return frozenset(kinds)
    if foreign_scope or consent.other_category or consent.disclosure:
        return frozenset({Kind.OTHER})
    untyped = _root(consent).type is None and (consent.root is not None or consent.policy_rule)
    opted_in = consent.root is None and direction is Direction.PERMIT
    may_deny = direction is Direction.DENY or (untyped and not opted_in)
    if may_deny and _says_nothing_of_its_subject(consent, patient):
        return frozenset({Kind.UNCLEAR})
    return frozenset({Kind.OTHER})


_NOT_YET_CERTAIN = frozenset({ConsentStatus.UNKNOWN, ConsentStatus.DRAFT, ConsentStatus.PROPOSED})


class Says(Enum):
    """What one Consent says about one message."""

    SAFETY = auto()
    SAFETY_BY_PROXY = auto()
    ACTIVE = auto()
    PENDING = auto()
    UNCLEAR = auto()
    OTHER_ORGANISATION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One Consent's bearing on one message; `channel` is the channel it was found on, if one.

    by_omission: nothing speaks against the channel but that only another one is permitted.
    """

    says: Says
    consent: ConsentFacts
    channel: Channel | None = None
    by_omission: bool = False


def _judged_root(consent: ConsentFacts) -> Provision:
    """Give the root; a code that says "declined" under a permit counts as the denial it names."""
    root = _root(consent)
    if consent.declines and direction_of(consent) is Direction.PERMIT:
        return replace(root, type=Direction.DENY)
    return root


def _root_of_objection(consent: ConsentFacts) -> Provision:
    """Give the root with its actors matched if they include an organisation.

    Which organisation an objection is made to is judged apart (`belongs_elsewhere`).
    """
    root = _judged_root(consent)
    if not root.actors:
        return root
    if any(actor.kind is ActorKind.ORGANISATION for actor in root.actors):
        return replace(root, actors=())
    if any(actor.kind is ActorKind.STAFF for actor in root.actors):
        # A recorder or custodian stands there as often as somebody the objection is about.
        actors = tuple(
            replace(actor, kind=ActorKind.OTHER) if actor.kind is ActorKind.STAFF else actor
            for actor in root.actors
        )
        return replace(root, actors=actors)
    return root


def answer_of(consent: ConsentFacts, query: Query) -> Answer:
    """Evaluate a whole Consent for one question."""
    return _evaluate(_judged_root(consent), query, consent.policy_direction)


def _answer_of_objection(consent: ConsentFacts, kinds: frozenset[Kind], query: Query) -> Answer:
    """Evaluate an objection, or a Consent without a subject that may be one.

    R4 publishes untyped roots under an opt-in that permit and others that exclude, so without a
    subject an opting-in policy rule is no help.
    """
    if Kind.OBJECTION in kinds:
        return _evaluate(_root_of_objection(consent), query, consent.policy_direction)
    denies = direction_of(consent) is Direction.DENY
    return _evaluate(_root(consent), query, Direction.DENY if denies else None)


def _evaluate(root: Provision, query: Query, inherited: Direction | None) -> Answer:
    if is_too_large(root):
        return Answer.CANNOT_EXCLUDE_DENIAL
    return evaluate(root, query, inherited=inherited)


def _permits_only_another_channel(consent: ConsentFacts, query: Query) -> bool:
    root = _root(consent)
    if direction_of(consent) is not Direction.PERMIT or not root.codes or consent.declines:
        return False
    in_force = match_node(replace(root, codes=()), query, denial=True)
    return in_force is not Match.NO and not any(
        term.match(query) is Match.YES or query.channel in term.covers_results
        for term in root.codes
    )


def belongs_elsewhere(consent: ConsentFacts, organisations: frozenset[str]) -> bool:
    """Tell whether every organisation it names is known and none of them is ours.

    An organisation that is absent or cannot be resolved counts as ours.
    """
    root = consent.root
    if not consent.organisations and (root is None or not root.actors):
        return False
    named = [ref.ods for ref in consent.organisations]
    named += [actor.ods for actor in _root(consent).actors if actor.kind is ActorKind.ORGANISATION]
    return bool(named) and all(ods and not ods & organisations for ods in named)


def read_objection(
    consent: ConsentFacts, kinds: frozenset[Kind], queries: Iterable[Query]
) -> Reading | None:
    """Tell what a Consent says about messages on the channels asked about; the worst counts.

    Gives None when it says nothing against them.
    """
    if Kind.OBJECTION not in kinds and Kind.UNCLEAR not in kinds:
        return None
    worst: Reading | None = None
    for query in queries:
        reading = _read_one_channel(consent, kinds, query)
        if reading is not None and (worst is None or reading.says.value < worst.says.value):
            worst = reading
    return worst


def _read_one_channel(
    consent: ConsentFacts, kinds: frozenset[Kind], query: Query
) -> Reading | None:
    says: Says | None = None
    about_messages = Kind.OBJECTION in kinds
    answer = _answer_of_objection(consent, kinds, query)
    denies = answer in (Answer.DENY, Answer.CANNOT_EXCLUDE_DENIAL)
    status = consent.status
    if consent.safety and denies and about_messages and status in _NOT_YET_CERTAIN:
        # What may endanger the patient is not set aside by an emergency alone.
        says = Says.SAFETY_BY_PROXY
    elif status is ConsentStatus.UNKNOWN:
        says = Says.UNCLEAR
    elif status is ConsentStatus.INACTIVE:
        # Some systems store a refusal of text messages as an inactive permission.
        if consent.text_permission and denies:
            says = Says.UNCLEAR
    elif status in (ConsentStatus.DRAFT, ConsentStatus.PROPOSED):
        if denies and (about_messages or direction_of(consent) is Direction.DENY):
            says = Says.PENDING
    elif status is ConsentStatus.ACTIVE:
        says = _read_active(consent, kinds, query, answer)
    if says is None:
        return None
    by_omission = says is Says.UNCLEAR and status is ConsentStatus.ACTIVE and not denies
    return Reading(says=says, consent=consent, channel=query.channel, by_omission=by_omission)


def _read_active(
    consent: ConsentFacts, kinds: frozenset[Kind], query: Query, answer: Answer
) -> Says | None:
    denies = answer in (Answer.DENY, Answer.CANNOT_EXCLUDE_DENIAL)
    if Kind.OBJECTION not in kinds:
        return Says.UNCLEAR if denies else None
    if denies and consent.safety:
        if consent.performer_related and not consent.confirmed_with_patient:
            return Says.SAFETY_BY_PROXY
        return Says.SAFETY
    if answer is Answer.DENY:
        return Says.ACTIVE
    if answer is Answer.CANNOT_EXCLUDE_DENIAL or _permits_only_another_channel(consent, query):
        return Says.UNCLEAR
    return None


class Denied(Enum):
    """Whether a Consent bars a proxy."""

    YES = auto()
    PERHAPS = auto()
    PENDING = auto()


def _may_deny_somebody(consent: ConsentFacts, kinds: frozenset[Kind]) -> bool:
    """Tell whether a denial names somebody in a way that is not understood, and nothing else.

    What is plainly about something else than messages denies nobody any.
    """
    root = consent.root
    return (
        root is not None
        and kinds == _OTHER
        and direction_of(consent) is Direction.DENY
        and consent.scope is not Scope.OTHER
        and not consent.other_category
        and any(actor.kind is ActorKind.OTHER or not actor.keys for actor in root.actors)
        and not any(actor.kind is ActorKind.ORGANISATION for actor in root.actors)
    )


def read_denial_of_proxy(
    consent: ConsentFacts, kinds: frozenset[Kind], queries: Iterable[Query]
) -> Denied | None:
    """Tell whether a Consent on the patient's record denies this proxy this message.

    `queries` carry the proxy's closure as recipient, one for each reachable channel.
    """
    root = consent.root
    denial = bool(kinds & _DENIALS) or _may_deny_somebody(consent, kinds)
    if not denial and (root is None or not (root.nested or root.actors)):
        return None
    worst = Answer.SILENT
    for query in queries:
        if denial:
            worst = max(worst, answer_of(consent, query))
        for answer in _answers_of_nodes_naming(consent, query):
            worst = max(worst, answer)
    return _denied(consent.status, worst)


def _denied(status: ConsentStatus, worst: Answer) -> Denied | None:
    if worst not in (Answer.DENY, Answer.CANNOT_EXCLUDE_DENIAL):
        return None
    if status in (ConsentStatus.DRAFT, ConsentStatus.PROPOSED):
        return Denied.PENDING
    if status is ConsentStatus.ACTIVE and worst is Answer.DENY:
        return Denied.YES
    if status in (ConsentStatus.ACTIVE, ConsentStatus.UNKNOWN):
        return Denied.PERHAPS
    return None


def _answers_of_nodes_naming(consent: ConsentFacts, query: Query) -> Iterator[Answer]:
    """Evaluate each denying node that names the recipient, wherever it stands.

    Who else the nodes above it name does not matter: a refusal of a person holds even inside a
    provision that is about somebody else.
    """
    root = consent.root
    if root is None or not (root.nested or root.actors):
        return
    if is_too_large(root):
        yield Answer.CANNOT_EXCLUDE_DENIAL
        return
    waiting: list[tuple[Provision, Direction | None, Match]] = [
        (_judged_root(consent), consent.policy_direction, Match.YES)
    ]
    while waiting:
        node, inherited, above = waiting.pop()
        own = node.type or (None if node.unknown_type else inherited)
        if own is Direction.DENY and any(actor.keys & query.recipient for actor in node.actors):
            answer = evaluate(node, query, inherited=inherited)
            if answer is Answer.DENY and above is Match.UNKNOWN:
                answer = Answer.CANNOT_EXCLUDE_DENIAL
            yield answer
        if node.nested:
            here = min(above, match_node(node, query, denial=True, lens=ACTORS_APART))
            if here is not Match.NO:
                waiting.extend((nested, None, here) for nested in node.nested)


def would_deny(
    consent: ConsentFacts, kinds: frozenset[Kind], queries: Iterable[Query], at: datetime
) -> bool:
    """Tell whether an objection covers such a message at another time."""
    return (
        Kind.OBJECTION in kinds
        and consent.status is ConsentStatus.ACTIVE
        and any(
            _answer_of_objection(consent, kinds, replace(query, now=at)) is Answer.DENY
            for query in queries
        )
    )


def permits(consent: ConsentFacts, kinds: frozenset[Kind], query: Query) -> bool:
    """Tell whether a Consent about messages permits them on the channel asked about."""
    return (
        Kind.OBJECTION in kinds
        and consent.status.is_active
        and _answer_of_objection(consent, kinds, query) is Answer.PERMIT
    )


def denial_by_name(consent: ConsentFacts, queries: Iterable[Query]) -> Denied | None:
    """Tell whether a Consent denies a person it names; `queries` carry their keys."""
    worst = Answer.SILENT
    for query in queries:
        for answer in _answers_of_nodes_naming(consent, query):
            worst = max(worst, answer)
    return _denied(consent.status, worst)


def denies_every_channel(consent: ConsentFacts, kinds: frozenset[Kind], query: Query) -> bool:
    """Tell whether an objection reaches even a channel that nobody has named.

    query: the question on any channel; the others it might be asked on do not matter.
    """
    if _names_channels_alone(consent.root, query.topics):
        return False
    answer = _answer_of_objection(consent, kinds, replace(query, channel=None))
    return answer in (Answer.DENY, Answer.CANNOT_EXCLUDE_DENIAL)


def _names_channels_alone(root: Provision | None, topics: frozenset[str]) -> bool:
    """Tell at a glance that a root is limited to channels it names, as most objections are."""
    return (
        root is not None
        and bool(root.codes)
        and not root.nested
        and all(
            term.understood and not term.service and not term.tokens & topics for term in root.codes
        )
    )


def is_altered(consent: ConsentFacts) -> bool:
    """Tell whether a modifier that is not understood stands anywhere in a Consent."""
    root = consent.root
    if root is None or not root.nested:
        return consent.altered or (root is not None and root.altered)
    nodes = with_effective_types(root, None)
    return consent.altered or any(node.altered for node, _ in nodes)
