"""Consent provisions: three-valued matching, four-valued evaluation, protective in doubt.

Follows FHIR R4 Consent.provision (https://hl7.org/fhir/R4/consent.html): the root sets the
direction, nested provisions are exceptions to the one above. R4 gives no rule for what is not
understood; here it never permits and never stops denying.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from fhirmsg.guidance.terms import Channel, Match, Period, purpose_covers

MAX_DEPTH = 16
MAX_NODES = 1000


class Direction(Enum):
    """What a provision does when it matches."""

    PERMIT = "permit"
    DENY = "deny"


class Answer(IntEnum):
    """Result of an evaluation, from nothing said to denied."""

    SILENT = 0
    PERMIT = 1
    CANNOT_EXCLUDE_DENIAL = 2
    DENY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTerm:
    """One CodeableConcept of `provision.code`, translated.

    `covers` are channels it surely covers, `covers_results` those it covers for test results
    alone, `may_cover` channels it perhaps covers; `tokens` are its codes as `system|code` and
    `code`, to compare with the service. `understood` is false when no coding of it is a code
    known here, `service` true when it names a service.
    """

    covers: frozenset[Channel] = frozenset()
    covers_results: frozenset[Channel] = frozenset()
    may_cover: frozenset[Channel] = frozenset()
    tokens: frozenset[str] = frozenset()
    understood: bool = False
    service: bool = False

    def match(self, query: Query) -> Match:
        """Compare with the channel and the topics of the message."""
        if query.channel in self.covers or self.tokens & query.topics:
            return Match.YES
        if query.about_result and query.channel in self.covers_results:
            return Match.YES
        if query.channel in self.may_cover or not self.understood:
            return Match.UNKNOWN
        if self.service and not query.topics:
            # A message that names no service may be about this one.
            return Match.UNKNOWN
        return Match.NO


class ActorKind(Enum):
    """What sort of thing an actor is; `OTHER` may or may not include the recipient."""

    PERSON = "person"
    ORGANISATION = "organisation"
    STAFF = "staff"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One `provision.actor`: identity keys (`Type/id`, `system|value`), kind, role codes.

    For an organisation `ods` holds its ODS codes, empty when they could not be resolved.
    """

    kind: ActorKind
    keys: frozenset[str] = frozenset()
    ods: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()

    def match(self, query: Query) -> Match:
        """Compare with the recipient, or with the organisation that sends."""
        if self.kind is ActorKind.ORGANISATION:
            if not self.ods:
                return Match.UNKNOWN
            return Match.YES if self.ods & query.organisations else Match.NO
        if self.keys & query.recipient:
            return Match.YES
        if self.kind is ActorKind.OTHER or not self.keys:
            return Match.UNKNOWN
        return Match.NO


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """One node. An absent dimension is None or empty and matches everything.

    `unknown_type` marks a `type` that is neither permit nor deny; `altered` marks a node with a
    modifierExtension or anything else that changes its meaning in a way not understood;
    `other_action` one that is about collecting or correcting data alone.
    """

    type: Direction | None = None
    unknown_type: bool = False
    period: Period | None = None
    purposes: tuple[str | None, ...] = ()
    classes: tuple[Match, ...] = ()
    codes: tuple[CodeTerm, ...] = ()
    actors: tuple[Actor, ...] = ()
    labels: frozenset[str] = frozenset()
    data: bool = False
    altered: bool = False
    other_action: bool = False
    nested: tuple[Provision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question put to a tree: may this message reach this recipient on this channel now?

    `purposes_permit` and `purposes_deny` are v3 ActReason codes; `topics` the service, as
    the request gives it. `channel` None stands for some channel nobody has named.
    """

    now: datetime
    channel: Channel | None
    recipient: frozenset[str]
    organisations: frozenset[str]
    purposes_permit: frozenset[str]
    purposes_deny: frozenset[str]
    topics: frozenset[str] = frozenset()
    about_result: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """Dimensions of the root that are taken as matched, because they are judged elsewhere."""

    content: bool = False
    actors: bool = False


PLAIN = Lens()
ROOT_CONTENT_APART = Lens(content=True)
ACTORS_APART = Lens(actors=True)


def match_purposes(purposes: Iterable[str | None], query: Query, *, denial: bool) -> Match:
    """Compare a provision's purposes with the message's; None stands for a code not known."""
    wanted = query.purposes_deny if denial else query.purposes_permit
    result = Match.NO
    for code in purposes:
        if code is None:
            result = Match.UNKNOWN
        elif any(purpose_covers(code, purpose) for purpose in wanted):
            return Match.YES
    return result


def match_node(node: Provision, query: Query, *, denial: bool, lens: Lens = PLAIN) -> Match:
    """Match one node: no if any dimension says no, else unknown if any is, else yes."""
    if node.other_action:
        return Match.NO
    result = Match.YES
    if node.period is not None:
        result = node.period.contains(query.now, denial=denial)
    if node.altered or node.labels or node.data:
        # Nobody here can say what a label, a data reference or an alteration narrows it to.
        result = min(result, Match.UNKNOWN)
    if result and node.actors and not lens.actors:
        actors = _denied_by_name(node.actors) if denial else node.actors
        result = min(result, max(actor.match(query) for actor in actors))
    if result and not lens.content:
        if node.purposes:
            result = min(result, match_purposes(node.purposes, query, denial=denial))
        if node.classes:
            result = min(result, max(node.classes))
        if node.codes:
            result = min(result, max(term.match(query) for term in node.codes))
    return result


def _denied_by_name(actors: tuple[Actor, ...]) -> tuple[Actor, ...]:
    """Leave the organisations out of a denial that names people.

    They stand there as custodians: a denial of one person is none of everybody else.
    """
    if len(actors) == 1 or not any(actor.kind is ActorKind.PERSON for actor in actors):
        return actors
    return tuple(actor for actor in actors if actor.kind is not ActorKind.ORGANISATION)


_NOTHING_BELOW: frozenset[Answer] = frozenset()


def evaluate(
    node: Provision,
    query: Query,
    *,
    inherited: Direction | None = None,
    lens: Lens = PLAIN,
) -> Answer:
    """Evaluate a tree for one question.

    A permit that matches only perhaps does not permit; a denial that matches only perhaps cannot
    be excluded. `inherited` is the direction a policy gives to an untyped root; nested nodes
    without a type are ill-formed and cannot be excluded as denials.
    """
    own = node.type or (None if node.unknown_type else inherited)
    matched = match_node(node, query, denial=own is not Direction.PERMIT, lens=lens)
    if matched is Match.NO:
        return Answer.SILENT
    if own is None:
        return Answer.CANNOT_EXCLUDE_DENIAL
    if own is Direction.PERMIT and matched is Match.UNKNOWN:
        # Its exceptions lapse with it: they only ever narrowed this permission.
        return Answer.SILENT
    base = Answer.PERMIT if own is Direction.PERMIT else Answer.DENY
    below = {evaluate(nested, query) for nested in node.nested} if node.nested else _NOTHING_BELOW
    if not below:
        result = base
    elif Answer.DENY in below:
        result = Answer.DENY
    elif Answer.CANNOT_EXCLUDE_DENIAL in below:
        firm = base is Answer.DENY and Answer.PERMIT not in below
        result = Answer.DENY if firm else Answer.CANNOT_EXCLUDE_DENIAL
    elif Answer.PERMIT in below:
        result = Answer.PERMIT
    else:
        result = base
    if own is Direction.DENY and matched is Match.UNKNOWN and result is Answer.DENY:
        return Answer.CANNOT_EXCLUDE_DENIAL
    return result


def is_too_large(root: Provision) -> bool:
    """Tell whether a tree is deeper or larger than anybody writes on purpose."""
    if not root.nested:
        return False
    level, seen = [root], 0
    for _ in range(MAX_DEPTH):
        seen += len(level)
        if seen > MAX_NODES:
            return True
        level = [nested for node in level for nested in node.nested]
        if not level:
            return False
    return True


def with_effective_types(
    root: Provision, inherited: Direction | None
) -> Iterable[tuple[Provision, Direction | None]]:
    """Give every node with the direction it has: its own, or for the root the inherited one."""
    yield root, root.type or (None if root.unknown_type else inherited)
    waiting = list(root.nested)
    while waiting:
        node = waiting.pop()
        yield node, node.type
        waiting.extend(node.nested)
