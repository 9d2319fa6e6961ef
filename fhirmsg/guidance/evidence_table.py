"""The evidence table, for people: what each piece has to hold, what it is bound to, what it lifts.

What it lifts is taken from the cards of the rules, so it cannot differ from what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirmsg.guidance.rule import Lift
from fhirmsg.guidance.rule_table import cards, markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceCard:
    """One piece of evidence. `lift` is None for what changes how a message is judged."""

    name: str
    says: str
    holds: str
    bound_to: str
    lift: Lift | None = None


EVIDENCE = (
    EvidenceCard(
        name="override",
        says="Somebody with a role for it decided to send in spite of the objections.",
        holds="reason; circumstances considered; approver (identifier, name, role from the policy, "
        "another person than the requester); approved and expiring, 24 hours apart at most; a "
        "conversation where an objection has no reason recorded",
        bound_to="message id and digest; exactly the objections in force, in their versions",
        lift=Lift.OVERRIDE,
    ),
    EvidenceCard(
        name="emergency",
        says="The sender declares that safety needs this one message now.",
        holds="declared by the requester (identifier, name, role), within the hour; reason; whom "
        "it protects; who was consulted (name, role), or why nobody could be",
        bound_to="this call; the emergency column of the rules is used",
    ),
    EvidenceCard(
        name="acknowledged",
        says="The declarer has seen a finding and goes on.",
        holds="the code; for objections the reference and version; for a restricted record who "
        "confirmed the contact point",
        bound_to="a valid declaration beside it; what was seen, in its version",
        lift=Lift.ACKNOWLEDGEMENT,
    ),
    EvidenceCard(
        name="individual_check",
        says="The individual was asked whether this proxy may hear of this service.",
        holds="answer yes or no; who asked (identifier, name, role, and not the proxy); when",
        bound_to="the proxy; the service code of the message; the policy's age. A no refuses, and "
        "is put on the record",
        lift=Lift.INDIVIDUAL_CHECK,
    ),
    EvidenceCard(
        name="reviews",
        says="Somebody with a role for it looked at one finding and lets it go.",
        holds="code; reviewer (identifier, name, role from the policy); note; when",
        bound_to="message id and digest; every resource version that the finding cites",
        lift=Lift.REVIEW,
    ),
    EvidenceCard(
        name="necessity",
        says="Confidential words are needed on this channel.",
        holds="reason; who stands for it (identifier, name, role)",
        bound_to="this call",
        lift=Lift.NECESSITY,
    ),
    EvidenceCard(
        name="practical_reason",
        says="A preference is not followed.",
        holds="important for care and the only practical way, both; reason; who stands for it",
        bound_to="this call",
        lift=Lift.PRACTICAL_REASON,
    ),
    EvidenceCard(
        name="accessible_alternative",
        says="An accessible-information need is met in another way.",
        holds="description; who stands for it",
        bound_to="this call",
        lift=Lift.ACCESSIBLE_ALTERNATIVE,
    ),
)


def lifts_of(card: EvidenceCard) -> list[str]:
    """Give the codes of the findings that a piece of evidence can lift, in page order."""
    return [each.code for each in cards() if card.lift is not None and card.lift in each.lifted_by]


def as_json() -> list[dict[str, Any]]:
    """Give the table as JSON objects."""
    return [
        {
            "evidence": card.name,
            "says": card.says,
            "holds": card.holds,
            "bound_to": card.bound_to,
            "lifts": lifts_of(card),
        }
        for card in EVIDENCE
    ]


def as_markdown() -> str:
    """Give the table as Markdown."""
    columns = ("evidence", "says", "has to hold", "bound to", "lifts")
    rows = []
    for card in EVIDENCE:
        codes = ", ".join(f"`{code}`" for code in lifts_of(card))
        rows.append([f"`{card.name}`", card.says, card.holds, card.bound_to, codes])
    return markdown(columns, rows)
