"""What speaks against relying on a grant to a proxy, though it lets them receive.

The grounds and their limits: "Sending messages to people acting on someone else's behalf"; ages,
capacity, competence and review as NHS England's proxy standard (DAPB3051) has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from fhirmsg.guidance.consents import direction_of
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.provisions import (
    Answer,
    Direction,
    Provision,
    Query,
    match_node,
    match_purposes,
)
from fhirmsg.guidance.record import (
    Basis,
    ConsentFacts,
    ConsentStatus,
    Ending,
    PatientFacts,
    Scope,
)
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import BirthInterval, Match, ResourceVersion, birthday

# Age from which parental responsibility no longer lets anybody receive in the patient's place.
PARENTAL_LIMIT = 16
# Age from which somebody can give a lasting power of attorney.
ADULT = 18

# Effect of each flaw, normally and in an emergency: decides which of several grants is the best.
FLAW_EFFECTS: dict[str, tuple[Effect, Effect]] = {
    "proxy.unclear": (Effect.HOLD, Effect.HOLD),
    "proxy.unknown-basis": (Effect.HOLD, Effect.HOLD),
    "proxy.unlisted-basis": (Effect.HOLD, Effect.WARN),
    "proxy.age-review": (Effect.HOLD, Effect.WARN),
    "proxy.capacity": (Effect.HOLD, Effect.WARN),
    "proxy.capacity-unrecorded": (Effect.WARN, Effect.NOTE),
    "proxy.competence": (Effect.HOLD, Effect.HOLD),
    "proxy.scope": (Effect.HOLD, Effect.WARN),
    "proxy.other-organisation": (Effect.HOLD, Effect.WARN),
    "proxy.conflict": (Effect.HOLD, Effect.HOLD),
    "proxy.no-end": (Effect.WARN, Effect.NOTE),
    "proxy.ends-soon": (Effect.WARN, Effect.NOTE),
}

# Flaws that the declarer of an emergency can acknowledge.
ACKNOWLEDGEABLE = frozenset(
    {"proxy.unclear", "proxy.unknown-basis", "proxy.competence", "proxy.conflict"}
)

# A grant that ends within this time is spoken of, so that it can be renewed or let go.
ENDS_SOON = timedelta(days=30)
# Codes of a lasting power of attorney, which only an adult can give.
_POWERS_OF_ATTORNEY = frozenset(
    {
        "health-and-welfare-lasting-power-of-attorney",
        *("POWATT", "HPOWATT", "DPOWATT", "SPOWATT"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Why a grant does not plainly cover the message, or what is to be said about it.

    `effect` is what it does outside emergencies where the policy makes that another one;
    `others` are further Consents it is about.
    """

    code: str
    sentence: str
    effect: Effect | None = None
    others: tuple[ResourceVersion, ...] = ()

    def weight(self, *, emergency: bool) -> Effect:
        """Give what it does to the message."""
        normal, in_emergency = FLAW_EFFECTS[self.code]
        return in_emergency if emergency else (self.effect or normal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What candidates are judged against.

    oldest, youngest: the patient's greatest and least possible age in whole years, None when
    nobody can tell. organisations: ODS codes that are ours. day: the local day. proxy: every
    identity key of the person who would receive. at_odds: Consents on the patient's record that
    are not active, and may contradict a grant.
    """

    policy: LocalPolicy
    patient: PatientFacts
    oldest: int | None
    youngest: int | None
    organisations: frozenset[str]
    as_of: datetime
    day: date
    proxy: frozenset[str]
    at_odds: tuple[ConsentFacts, ...] = ()


def is_under_limit(oldest: int | None) -> bool:
    """Tell whether somebody is under 16, given their greatest possible age."""
    return oldest is not None and oldest < PARENTAL_LIMIT


def flaws_of(
    consent: ConsentFacts,
    basis: Basis,
    queries: tuple[Query, ...],
    answer: Answer,
    setting: Setting,
) -> tuple[Flaw, ...]:
    """Say everything that speaks against relying on a candidate."""
    return (
        *_flaws_of_clarity(consent),
        *_flaws_of_basis(consent, basis, setting),
        *_flaws_of_capacity(consent, setting),
        *_flaws_of_competence(consent, setting),
        *_flaws_of_scope(consent, queries, answer, setting.policy),
        *_flaws_of_origin(consent, setting),
        *_flaws_of_end(consent, setting.as_of),
    )


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


def _flaws_of_basis(consent: ConsentFacts, basis: Basis, setting: Setting) -> Iterator[Flaw]:
    policy, day = setting.policy, setting.day
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
    if Basis.PARENTAL_RESPONSIBILITY in consent.bases and is_under_limit(setting.oldest):
        due = review_due(policy.parental_review_ages, setting.patient.born, day)
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


def _flaws_of_capacity(consent: ConsentFacts, setting: Setting) -> Iterator[Flaw]:
    """Look at what is recorded of the patient's capacity to decide for themselves."""
    day, assessed = setting.day, consent.capacity
    by_power = bool(consent.unlisted & _POWERS_OF_ATTORNEY)
    in_best_interests = Basis.BEST_INTERESTS in consent.bases
    if (in_best_interests or by_power) and assessed is not None and assessed.able is not False:
        yield Flaw(
            code="proxy.capacity",
            sentence="The proxy acts in place of somebody without capacity, and the patient is "
            "recorded as having it: ask the patient."
            if assessed.able
            else "The proxy acts in place of somebody without capacity, and what is recorded of "
            "the patient's capacity is not understood.",
        )
    elif in_best_interests:
        if assessed is not None and assessed.until is not None and assessed.until < day:
            yield Flaw(
                code="proxy.capacity",
                sentence="The assessment of capacity behind the best-interests decision counted "
                "until a day that has passed. Have it made anew.",
            )
        elif assessed is None or assessed.on is None or assessed.on > day:
            yield Flaw(
                code="proxy.capacity-unrecorded",
                sentence="The proxy acts on a best-interests decision, and no dated assessment "
                "of the patient's capacity is recorded with it.",
                effect=Effect.HOLD if setting.policy.require_capacity_record else None,
            )
    adult = setting.youngest is not None and setting.youngest >= ADULT
    if by_power and not adult:
        yield Flaw(
            code="proxy.capacity",
            sentence="The proxy acts on a power of attorney, which only an adult can give, and "
            "the patient is not certainly 18.",
        )


def _flaws_of_competence(consent: ConsentFacts, setting: Setting) -> Iterator[Flaw]:
    """Look at whether a child under 16 is recorded as able to decide ("Gillick competent")."""
    day = setting.day
    recorded = [each for each in (consent.competence, setting.patient.competence) if each]
    if Basis.EXPLICIT_CONSENT in consent.bases:
        child = setting.youngest is None or setting.youngest < PARENTAL_LIMIT
        if child and not (recorded and all(each.able and each.counts_on(day) for each in recorded)):
            yield Flaw(
                code="proxy.competence",
                sentence="The consent is the patient's own, the patient may be under 16, and it "
                "is not plainly recorded that they were competent to give it.",
            )
    if Basis.PARENTAL_RESPONSIBILITY in consent.bases and any(
        # Whatever does not plainly say otherwise may say that they can decide.
        each.able is not False
        for each in recorded
    ):
        yield Flaw(
            code="proxy.competence",
            sentence="The child is, or may be, recorded as competent to decide, so parental "
            "responsibility does not stand alone: the child's own consent is needed.",
        )


def _flaws_of_origin(consent: ConsentFacts, setting: Setting) -> Iterator[Flaw]:
    """Look at who granted it, and at what else the record says of the same person."""
    if consent.grantors and not consent.grantors & setting.organisations:
        yield Flaw(
            code="proxy.other-organisation",
            sentence="The grant was made by another organisation, and such a grant is not "
            "reusable without an arrangement.",
        )
    if consent.ended is not None:
        yield Flaw(
            code="proxy.conflict",
            sentence="The grant is marked as in force, and its latest status reason says that "
            f"the role ended ({consent.ended.value}).",
        )
    for other in setting.at_odds:
        if other is not consent and (reason := _conflict(consent, other, setting.proxy)):
            yield Flaw(code="proxy.conflict", sentence=reason, others=(other.version,))


def _conflict(grant: ConsentFacts, other: ConsentFacts, proxy: frozenset[str]) -> str | None:
    """Say how another Consent contradicts a grant, None when it does not."""
    if other.status is not grant.status and grant.identifiers & other.identifiers:
        return "Two Consents carry one identifier and differ in status."
    if not other.grantees & proxy or direction_of(other) is Direction.DENY or other.declines:
        # A denial that was taken back is none of a grant.
        return None
    if other.status is ConsentStatus.REJECTED:
        return "A grant to the same person was rejected."
    if other.status is not ConsentStatus.INACTIVE or other.ended is Ending.HARMLESS:
        return None
    if other.ended is Ending.AGAINST:
        return f"A grant to the same person was withdrawn ({Ending.AGAINST.value})."
    if _is_later(other.version, grant.version):
        return "A grant to the same person was withdrawn after this one was last changed."
    return None


def _is_later(one: ResourceVersion, other: ResourceVersion) -> bool:
    """Tell whether one was changed after the other; what is not known counts as later."""
    try:
        return datetime.fromisoformat(one.last_updated or "") > datetime.fromisoformat(
            other.last_updated or ""
        )
    except (ValueError, TypeError):
        return True


def _flaws_of_end(consent: ConsentFacts, as_of: datetime) -> Iterator[Flaw]:
    period = consent.root.period if consent.root else None
    end = period.end if period is not None else None
    if end is None:
        yield Flaw(
            code="proxy.no-end",
            sentence="The grant has no end date, which is for exceptions alone. Agree on one.",
        )
    elif end - as_of <= ENDS_SOON:
        yield Flaw(
            code="proxy.ends-soon",
            sentence="The grant ends within 30 days. Decide in time whether it is to go on.",
        )


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
