"""Which grant lets a proxy receive ("Sending messages to people acting on someone else's behalf").

The page names three grounds: parental responsibility with a proxy role, a best-interests decision
for somebody without capacity, and the individual's explicit consent. A candidate is a Consent
that could carry one of them; its flaws are what keeps it from doing so plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from fhirmsg.guidance.consents import Denied, Kind
from fhirmsg.guidance.flaws import Flaw, Setting, flaws_of, is_under_limit
from fhirmsg.guidance.provisions import (
    ROOT_CONTENT_APART,
    Answer,
    Direction,
    Lens,
    Provision,
    Query,
    evaluate,
    is_too_large,
    match_node,
)
from fhirmsg.guidance.record import Basis, ConsentFacts, ConsentStatus
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Match

_ROOT_IN_FORCE = Lens(content=True, actors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A Consent that lets the proxy receive, with everything that speaks against relying on it."""

    consent: ConsentFacts
    basis: Basis
    flaws: tuple[Flaw, ...] = ()

    def effect(self, *, emergency: bool) -> Effect:
        """Give the strongest effect among its flaws, a note when it has none."""
        return max((flaw.weight(emergency=emergency) for flaw in self.flaws), default=Effect.NOTE)


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


def exception_of(consent: ConsentFacts, queries: tuple[Query, ...]) -> Denied | None:
    """Tell whether a Consent that cannot carry a grant denies this proxy by an exception in it.

    What is not understood of a grant takes its permission away and never its exceptions.
    `queries` carry the proxy's closure as recipient.
    """
    root, status = consent.root or Provision(), consent.status
    if status is ConsentStatus.ACTIVE and not root.nested:
        return None
    if (
        status not in (ConsentStatus.ACTIVE, ConsentStatus.UNKNOWN)
        or consent.flag_record
        or not consent.grantees & queries[0].recipient
    ):
        return None
    in_force = (
        Match.YES if root.period is None else root.period.contains(queries[0].now, denial=True)
    )
    if in_force is Match.NO:
        return None
    if status is ConsentStatus.UNKNOWN or is_too_large(root):
        return Denied.PERHAPS
    plain = replace(
        root,
        period=None,
        altered=False,
        labels=frozenset(),
        data=False,
        actors=(),
    )
    worst = answer_of_candidate(replace(consent, root=plain), queries)
    understood = not consent.altered and all(
        match_node(root, query, denial=False, lens=_ROOT_IN_FORCE) is Match.YES for query in queries
    )
    if worst is Answer.DENY:
        return Denied.YES if understood else Denied.PERHAPS
    return Denied.PERHAPS if worst is Answer.CANNOT_EXCLUDE_DENIAL and not understood else None


def _answer_as_permit(consent: ConsentFacts, query: Query) -> Answer:
    root = consent.root or Provision()
    if root.type is not Direction.PERMIT:
        root = replace(root, type=Direction.PERMIT)
    return evaluate(root, query, lens=ROOT_CONTENT_APART)


def basis_of(consent: ConsentFacts, oldest: int | None) -> Basis | None:
    """Give the ground of a candidate, or None when it has none that can carry a grant.

    Parental responsibility counts only while the patient is certainly under 16: `oldest` is the
    age in whole years if born as early as possible, None when nobody can tell.
    """
    grounds = set(consent.bases)
    if Basis.PARENTAL_RESPONSIBILITY in grounds and not is_under_limit(oldest):
        grounds.remove(Basis.PARENTAL_RESPONSIBILITY)
        if not grounds - {Basis.UNKNOWN, Basis.RELATIONSHIP}:
            return None
    if Basis.UNKNOWN in grounds or not grounds:
        return Basis.UNKNOWN
    return min(grounds - {Basis.RELATIONSHIP}, default=None)


def judge_candidate(
    consent: ConsentFacts, queries: tuple[Query, ...], *, answer: Answer, setting: Setting
) -> Grant | None:
    """Give the grant a candidate amounts to, or None when it is none at all."""
    basis = basis_of(consent, setting.oldest)
    if basis is None or answer not in (Answer.PERMIT, Answer.CANNOT_EXCLUDE_DENIAL):
        return None
    flaws = flaws_of(consent, basis, queries, answer, setting)
    return Grant(consent=consent, basis=basis, flaws=flaws)


def best_of(grants: Sequence[Grant], weight: Callable[[Grant], Effect]) -> Grant | None:
    """Give the grant with the lowest highest effect; on a tie the one with the lowest id.

    `weight` gives the highest effect of a grant, its lifts counted.
    """
    if len(grants) == 1:
        return grants[0]
    return min(grants, key=lambda grant: (weight(grant), grant.consent.key), default=None)
