"""Which grant lets a proxy receive ("Sending messages to people acting on someone else's behalf").

The page names three grounds: parental responsibility with a proxy role, a best-interests decision
for somebody without capacity, and the individual's explicit consent. A candidate is a Consent
that could carry one of them; its flaws are what keeps it from doing so plainly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from fhirmsg.guidance.consents import Kind
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.provisions import (
    ROOT_CONTENT_APART,
    Answer,
    Direction,
    Provision,
    Query,
    evaluate,
    is_too_large,
    match_node,
    match_purposes,
)
from fhirmsg.guidance.record import Basis, ConsentFacts, ConsentStatus, Scope
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import BirthInterval, Match, birthday

# Age from which parental responsibility no longer lets anybody receive in the patient's place.
PARENTAL_LIMIT = 16

# Effect of each flaw, normally and in an emergency: decides which of several grants is the best.
FLAW_EFFECTS: dict[str, tuple[Effect, Effect]] = {
    "proxy.unclear": (Effect.HOLD, Effect.HOLD),
    "proxy.unknown-basis": (Effect.HOLD, Effect.HOLD),
    "proxy.unlisted-basis": (Effect.HOLD, Effect.WARN),
    "proxy.age-review": (Effect.HOLD, Effect.WARN),
    "proxy.scope": (Effect.HOLD, Effect.WARN),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Why a grant does not plainly cover the message."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A Consent that lets the proxy receive, with everything that speaks against relying on it."""

    consent: ConsentFacts
    basis: Basis
    flaws: tuple[Flaw, ...] = ()


def is_candidate(consent: ConsentFacts, kinds: frozenset[Kind], query: Query) -> bool:
    """Tell whether a Consent could be a grant to this recipient, in force now.

    `query.recipient` are the proxy's own identity keys. An altered Consent is never one.
    """
    root = consent.root or Provision()
    return (
        Kind.GRANT in kinds
        and consent.status is ConsentStatus.ACTIVE
        and not consent.altered
        and not consent.flag_record
        and not consent.refusal_purposes
        and bool(consent.grantees & query.recipient)
        and not is_too_large(root)
        and match_node(root, query, denial=False, lens=ROOT_CONTENT_APART) is Match.YES
    )


def answer_of_candidate(consent: ConsentFacts, queries: Iterable[Query]) -> Answer:
    """Evaluate a candidate on every reachable channel; its root is taken to permit."""
    worst = Answer.SILENT
    for query in queries:
        worst = max(worst, _answer_as_permit(consent, query))
    return worst


def _answer_as_permit(consent: ConsentFacts, query: Query) -> Answer:
    root = consent.root or Provision()
    if root.type is not Direction.PERMIT:
        root = replace(root, type=Direction.PERMIT)
    return evaluate(root, query, lens=ROOT_CONTENT_APART)


def basis_of(consent: ConsentFacts, born: BirthInterval, day: date) -> Basis | None:
    """Give the ground of a candidate, or None when it has none that can carry a grant.

    Parental responsibility counts only while the patient is certainly under 16.
    """
    grounds = set(consent.bases)
    if Basis.PARENTAL_RESPONSIBILITY in grounds and not _certainly_under_limit(born, day):
        grounds.remove(Basis.PARENTAL_RESPONSIBILITY)
        if not grounds - {Basis.UNKNOWN, Basis.RELATIONSHIP}:
            return None
    if Basis.UNKNOWN in grounds or not grounds:
        return Basis.UNKNOWN
    return min(grounds - {Basis.RELATIONSHIP}, default=None)


def _certainly_under_limit(born: BirthInterval, day: date) -> bool:
    oldest = born.oldest_age(day)
    return oldest is not None and oldest < PARENTAL_LIMIT


def judge_candidate(
    consent: ConsentFacts,
    queries: tuple[Query, ...],
    *,
    answer: Answer,
    policy: LocalPolicy,
    born: BirthInterval,
    day: date,
) -> Grant | None:
    """Give the grant a candidate amounts to, or None when it is none at all."""
    basis = basis_of(consent, born, day)
    if basis is None or answer not in (Answer.PERMIT, Answer.CANNOT_EXCLUDE_DENIAL):
        return None
    flaws = [
        *_flaws_of_clarity(consent),
        *_flaws_of_basis(consent, basis, policy, born, day),
        *_flaws_of_scope(consent, queries, answer, policy),
    ]
    return Grant(consent=consent, basis=basis, flaws=tuple(flaws))


def _flaws_of_clarity(consent: ConsentFacts) -> Iterator[Flaw]:
    root = consent.root
    if root is None or root.type is not Direction.PERMIT:
        yield Flaw(
            code="proxy.unclear",
            sentence="The Consent that names the proxy does not say whether it permits or "
            "excludes them.",
        )
    if consent.scope is Scope.UNKNOWN:
        yield Flaw(
            code="proxy.unclear",
            sentence="The Consent that names the proxy has a scope that is not understood.",
        )
    if len(consent.bases - {Basis.UNKNOWN, Basis.RELATIONSHIP}) > 1:
        yield Flaw(
            code="proxy.unclear",
            sentence="The Consent that names the proxy gives several different grounds.",
        )
    if consent.unverified:
        yield Flaw(
            code="proxy.unclear",
            sentence="The Consent that names the proxy is marked as not verified.",
        )


def _flaws_of_basis(
    consent: ConsentFacts, basis: Basis, policy: LocalPolicy, born: BirthInterval, day: date
) -> Iterator[Flaw]:
    if basis is Basis.UNKNOWN:
        yield Flaw(
            code="proxy.unknown-basis",
            sentence="The Consent does not say, in a code that is understood, on what ground "
            "the proxy acts.",
        )
    if Basis.UNLISTED in consent.bases and not (
        consent.unlisted and consent.unlisted <= policy.accept_unlisted_bases
    ):
        yield Flaw(
            code="proxy.unlisted-basis",
            sentence="The proxy acts on a ground that is real but is not one of the three the "
            "guidance lists, and the organisation's policy does not accept it.",
        )
    if Basis.PARENTAL_RESPONSIBILITY in consent.bases and _certainly_under_limit(born, day):
        due = review_due(policy.parental_review_ages, born, day)
        reviewed = consent.reviewed
        if due is not None and (reviewed is None or not due <= reviewed <= day):
            yield Flaw(
                code="proxy.age-review",
                sentence="The child has passed an age at which parental proxy access is to be "
                "reviewed, and no review since then is recorded.",
            )


def review_due(milestones: Iterable[int], born: BirthInterval, day: date) -> date | None:
    """Give the day on or after which a review must lie, None when no milestone has passed.

    With a birth date known only in part, the oldest reading decides which milestone has passed
    and the youngest decides when it did.
    """
    oldest = born.oldest_age(day)
    if oldest is None or born.earliest is None:
        return day
    passed = [age for age in milestones if age <= oldest]
    if not passed:
        return None
    latest = born.latest or day
    return min(birthday(latest, max(passed)), day)


def _flaws_of_scope(
    consent: ConsentFacts, queries: tuple[Query, ...], answer: Answer, policy: LocalPolicy
) -> Iterator[Flaw]:
    root = consent.root or Provision()
    if root.classes:
        if max(root.classes) is not Match.YES:
            yield Flaw(
                code="proxy.scope",
                sentence="The grant lists what it covers, and messages are not in the list.",
            )
    elif consent.access_only and not policy.accept_access_roles:
        yield Flaw(
            code="proxy.scope",
            sentence="The grant gives access to services; it does not say that messages may go "
            "to the proxy.",
        )
    if root.purposes and match_purposes(root.purposes, queries[0], denial=False) is not Match.YES:
        yield Flaw(
            code="proxy.scope",
            sentence="The grant is limited to purposes that do not clearly include this one.",
        )
    if root.codes and any(
        max(term.match(query) for term in root.codes) is not Match.YES for query in queries
    ):
        yield Flaw(
            code="proxy.scope",
            sentence="The grant is limited to channels or services that do not clearly include "
            "this message.",
        )
    if answer is Answer.CANNOT_EXCLUDE_DENIAL:
        yield Flaw(
            code="proxy.scope",
            sentence="The grant has an exception that may exclude this message.",
        )
    permits = [node for node in root.nested if node.type is Direction.PERMIT]
    if permits and not all(
        any(match_node(node, query, denial=False) is Match.YES for node in permits)
        for query in queries
    ):
        yield Flaw(
            code="proxy.scope",
            sentence="The grant spells out what it permits, and this message is not clearly "
            "part of it.",
        )


def best_of(grants: Iterable[Grant], *, emergency: bool) -> Grant | None:
    """Give the grant with the lowest highest effect; on a tie the one with the lowest id."""

    def weight(grant: Grant) -> tuple[int, str]:
        effects = [FLAW_EFFECTS[flaw.code][emergency] for flaw in grant.flaws]
        return max(effects, default=Effect.NOTE), grant.consent.version.reference

    return min(grants, key=weight, default=None)
