"""Minimising confidential information in messages: secure ways, or only what is necessary."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Declared, Purpose, Role

SECTION = "Minimising confidential information in messages"
_ASK = (Role.CALDICOTT_GUARDIAN, Role.IG_TEAM, Role.SENIOR)


def _secure_way(case: Case) -> str:
    way = case.content.secure_way
    if way is None:
        return "No secure platform is open to this recipient."
    return f"A secure way is open: {way[0]} by {way[1]}."


@rule(
    code="confidential.necessity",
    section=SECTION,
    states="Confidential content goes by a secure platform, or its necessity is stated.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.NECESSITY, Lift.REVIEW),
    ask=_ASK,
)
def confidential_content_is_necessary(case: Case) -> Iterator[Breach]:
    declared = case.request.confidential
    if declared is Declared.NO or case.content.goes_securely:
        return
    saying = (
        "The content is declared as confidential"
        if declared is Declared.YES
        else "Nobody has said whether the content is confidential"
    )
    yield Breach(
        sentence=f"{saying}, and {case.platform.name} is not approved for that. Say why it is "
        f"necessary here, or send it otherwise. {_secure_way(case)}"
    )


@rule(
    code="confidential.undeclared",
    section=SECTION,
    states="Content declared as plain looks plain.",
    where="words_are_remarked_on",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.NECESSITY, Lift.REVIEW),
    ask=_ASK,
)
def plain_content_looks_plain(case: Case) -> Iterator[Breach]:
    if case.request.confidential is not Declared.NO or not case.content.confidential:
        return
    if case.content.goes_securely:
        return
    for sentence in dict.fromkeys(each.sentence for each in case.content.confidential):
        yield Breach(sentence=f"{sentence} The content is declared as not confidential.")


@rule(
    code="confidential.preview",
    section=SECTION,
    states="A locked screen shows nothing confidential.",
    where="words_are_remarked_on",
    effect=Effect.WARN,
    in_emergency=Effect.WARN,
    ask=_ASK,
)
def locked_screen_shows_nothing_confidential(case: Case) -> Iterator[Breach]:
    for sentence in dict.fromkeys(each.sentence for each in case.content.shows_on_locked_screen):
        yield Breach(sentence=sentence)


@rule(
    code="confidential.safer-wording",
    section=SECTION,
    states="Where the words say too much for the channel, neutral ones are offered.",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=(Role.SENIOR,),
)
def neutral_wording_is_offered(case: Case) -> Iterator[Breach]:
    content = case.content
    if not content.may_be_confidential or (
        content.goes_securely and not content.shows_on_locked_screen
    ):
        return
    safer = content.safer()
    if safer is None:
        return
    result = case.request.purpose is Purpose.TEST_RESULT
    yield Breach(
        sentence=(
            "For results, it is better to say that they are ready and how to hear them. "
            if result
            else ""
        )
        + f"A neutral wording that is ready to send: {safer}"
    )


RULES = (
    confidential_content_is_necessary,
    plain_content_looks_plain,
    locked_screen_shows_nothing_confidential,
    neutral_wording_is_offered,
)
