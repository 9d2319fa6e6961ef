"""The rule table, for people: made from the cards, so it cannot differ from what is decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    rows: list[list[str]] = []
    for heading in HEADINGS:
        here = [card for card in cards() if card.section == heading]
        if here:
            rows.append([f"**{heading}**", "", "", "", ""])
            rows += [_row_of(card) for card in here]
    return markdown(_COLUMNS, rows)


def _row_of(card: Card) -> list[str]:
    lifts = ", ".join(str(lift) for lift in card.lifted_by)
    return [
        f"`{card.code}`",
        card.states,
        _word(card.effect),
        _word(card.in_emergency),
        lifts or ("nothing: final" if card.is_final else ""),
    ]


def _word(effect: Effect | None) -> str:
    return "" if effect is None else effect.word


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table."""
    lines = (columns, ["---"] * len(columns), *rows)
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
