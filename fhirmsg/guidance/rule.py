"""Rule cards, effects, lifts and findings: the vocabulary in which rules speak."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

from fhirmsg.guidance.terms import ResourceVersion, Role

if TYPE_CHECKING:
    from fhirmsg.guidance.case import Case


class Effect(IntEnum):
    """What a finding does to the message, weakest first."""

    NOTE = 0
    WARN = 1
    HOLD = 2
    REFUSE = 3

    @property
    def word(self) -> str:
        """The word used in answers."""
        return self.name.lower()


class Lift(StrEnum):
    """What can bring a finding down to a warning."""

    OVERRIDE = "override"
    REVIEW = "review"
    INDIVIDUAL_CHECK = "individual-check"
    NECESSITY = "necessity"
    PRACTICAL_REASON = "practical-reason"
    ACCESSIBLE_ALTERNATIVE = "accessible-alternative"
    ACKNOWLEDGEMENT = "acknowledgement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """What a rule yields: a sentence for a clinician, the evidence, whom to ask.

    `effect` is that of this breach outside emergencies, where the organisation's policy makes it
    another one than the card's. `liftable` is false where the lifts of the card are of no use.
    """

    sentence: str
    evidence: tuple[ResourceVersion, ...] = ()
    ask: tuple[Role, ...] = ()
    effect: Effect | None = None
    liftable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a rule is, readable without its code.

    code: stable name. section: heading of the guidance page, or "Scope" or "The person and the
    record" for what comes before it. states: the rule in one sentence. effect, in_emergency:
    what a breach does; an effect is None where the case cannot arise.
    lifted_by: what brings it down to a warning; empty with two refusals means final.
    ask: roles to ask when the breach itself names none.
    """

    code: str
    section: str
    states: str
    effect: Effect | None
    in_emergency: Effect | None
    lifted_by: tuple[Lift, ...] = ()
    ask: tuple[Role, ...] = ()

    @property
    def is_final(self) -> bool:
        """Tell whether only a changed record or request helps."""
        return (
            self.effect is Effect.REFUSE
            and self.in_emergency is Effect.REFUSE
            and not self.lifted_by
        )


Check = Callable[["Case"], Iterable[Breach]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A card and the function that looks for breaches of it.

    `where` names a fact of the case without which there can be no breach, so that nobody has to
    look for one: it must be a plain yes or no of `Case`.
    """

    card: Card
    check: Check
    where: str | None = None


def rule(
    *,
    code: str,
    section: str,
    states: str,
    effect: Effect | None,
    in_emergency: Effect | None,
    lifted_by: tuple[Lift, ...] = (),
    ask: tuple[Role, ...] = (),
    where: str | None = None,
) -> Callable[[Check], Rule]:
    """Put a function under a card."""
    card = Card(
        code=code,
        section=section,
        states=states,
        effect=effect,
        in_emergency=in_emergency,
        lifted_by=lifted_by,
        ask=ask,
    )
    return lambda check: Rule(card=card, check=check, where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """What lifted a finding, and who stands for it (`identifier` of a person)."""

    by: Lift
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One breach under its card, with the effect that remains after lifts.

    `normally` is the effect that it has outside an emergency and before any lift.
    """

    code: str
    section: str
    effect: Effect
    normally: Effect = Effect.NOTE
    sentence: str
    lifted_by: tuple[Lift, ...] = ()
    lifted: Lifted | None = None
    evidence: tuple[ResourceVersion, ...] = ()
    ask: tuple[Role, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give the shape of a finding in answers and receipts."""
        lifted = None if self.lifted is None else {"by": self.lifted.by, "who": self.lifted.who}
        return {
            "code": self.code,
            "section": self.section,
            "effect": self.effect.word,
            "sentence": self.sentence,
            "lifted_by": [str(lift) for lift in self.lifted_by],
            "lifted": lifted,
            "evidence": [version.as_json() for version in self.evidence],
            "ask": [str(role) for role in self.ask],
        }
