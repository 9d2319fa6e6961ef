"""The rule table, for people: made from the cards, so it cannot differ from what is decided."""

from __future__ import annotations

from typing import Any

from fhirmsg.guidance.rule import Card, Effect
from fhirmsg.guidance.rules import HEADINGS, RULES

_COLUMNS = ("code", "holds when", "otherwise", "in an emergency", "lifted by")


def cards() -> list[Card]:
    """Give every card, in page order."""
    return [rule.card for rule in RULES]


def as_json() -> list[dict[str, Any]]:
    """Give the cards as JSON objects, in page order."""
    return [
        {
            "code": card.code,
            "section": card.section,
            "states": card.states,
            "effect": _word(card.effect) or None,
            "in_emergency": _word(card.in_emergency) or None,
            "lifted_by": [str(lift) for lift in card.lifted_by],
            "final": card.is_final,
            "ask": [str(role) for role in card.ask],
        }
        for card in cards()
    ]


def as_markdown() -> str:
    """Give one table with a row a rule, under a row for each heading of the guidance page."""
    lines = [row(_COLUMNS), row(["---"] * len(_COLUMNS))]
    for heading in HEADINGS:
        here = [card for card in cards() if card.section == heading]
        if here:
            lines.append(row([f"**{heading}**", "", "", "", ""]))
            lines += [_row_of(card) for card in here]
    return "\n".join(lines) + "\n"


def _row_of(card: Card) -> str:
    lifts = ", ".join(str(lift) for lift in card.lifted_by)
    return row(
        [
            f"`{card.code}`",
            card.states,
            _word(card.effect),
            _word(card.in_emergency),
            lifts or ("nothing: final" if card.is_final else ""),
        ]
    )


def _word(effect: Effect | None) -> str:
    return "" if effect is None else effect.word


def row(cells: list[str] | tuple[str, ...]) -> str:
    """Give one row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
