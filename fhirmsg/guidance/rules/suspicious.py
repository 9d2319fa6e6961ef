"""Helping patients and service users identify suspicious messages: ours must not look like one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Role
from fhirmsg.guidance.wording import Topic

SECTION = "Helping patients and service users identify suspicious messages"
_ASK = (Role.IG_TEAM, Role.SENIOR)


def _seen(case: Case, *topics: Topic) -> Iterable[Breach]:
    if not case.content.observations:
        return ()
    sentences = dict.fromkeys(each.sentence for each in case.content.about(*topics))
    return [Breach(sentence=sentence) for sentence in sentences]


@rule(
    code="suspicious.link-personal-data",
    section=SECTION,
    states="No link carries personal data.",
    where="words_are_remarked_on",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def links_carry_no_personal_data(case: Case) -> Iterable[Breach]:
    return _seen(case, Topic.LINK_PERSONAL_DATA)


@rule(
    code="suspicious.link",
    section=SECTION,
    states="Links are whole, encrypted, and lead to sites the organisation trusts.",
    where="words_are_remarked_on",
    effect=Effect.WARN,
    in_emergency=Effect.WARN,
    ask=_ASK,
)
def links_can_be_trusted(case: Case) -> Iterable[Breach]:
    return _seen(case, Topic.LINK)


@rule(
    code="suspicious.wording",
    section=SECTION,
    states="The words are professional and neutral, the grammar good.",
    effect=Effect.WARN,
    in_emergency=Effect.WARN,
    ask=_ASK,
)
def words_are_professional(case: Case) -> Iterator[Breach]:
    yield from _seen(case, Topic.WORDING, Topic.SMS)
    if case.language:
        yield Breach(
            sentence=f"The text has faults of language: {', '.join(case.language)}. Have it read "
            "through."
        )


@rule(
    code="suspicious.sender",
    section=SECTION,
    states="The message names the organisation that sends it.",
    where="words_are_remarked_on",
    effect=Effect.WARN,
    in_emergency=Effect.WARN,
    ask=_ASK,
)
def organisation_is_named(case: Case) -> Iterable[Breach]:
    return _seen(case, Topic.SENDER)


RULES = (
    links_carry_no_personal_data,
    links_can_be_trusted,
    words_are_professional,
    organisation_is_named,
)
