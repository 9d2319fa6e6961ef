"""The cover table, for people: which code on an objection covers which channel.

Made from the very tables by which objections are read (`codes.py`).
"""

from __future__ import annotations

from typing import Any

from fhirmsg.fhir import codes
from fhirmsg.guidance.rule_table import markdown
from fhirmsg.guidance.terms import Channel

_NOTHING: frozenset[Channel] = frozenset()


def _sources() -> dict[str, tuple[dict[str, frozenset[Channel]], dict[str, frozenset[Channel]]]]:
    """Give, by name of the code system, the channels that its codes cover and may cover."""
    snomed = {
        code: frozenset({channel})
        for code, channel in codes.SNOMED_DECLINED.items()
        if code not in codes.SNOMED_RESULTS_ONLY
    }
    results = {
        f"{code} (results only)": frozenset({codes.SNOMED_DECLINED[code]})
        for code in codes.SNOMED_DECLINED
        if code in codes.SNOMED_RESULTS_ONLY
    }
    return {
        "our channel": ({str(each): frozenset({each}) for each in Channel}, {}),
        "ParticipationMode": (codes.PARTICIPATION_COVERS, codes.PARTICIPATION_MAY_COVER),
        "ContactPoint.system": (codes.CONTACT_SYSTEM_COVERS, codes.CONTACT_SYSTEM_MAY_COVER),
        "UK Core preferred method": (codes.METHOD_COVERS, codes.METHOD_MAY_COVER),
        "SNOMED CT declined": (snomed | results, {}),
        "LOINC": ({codes.LOINC_TEXT_PERMISSION: frozenset({Channel.SMS})}, {}),
    }


def as_json() -> list[dict[str, Any]]:
    """Give one object a channel: what covers it (refused), and what may cover it (held)."""
    sources = _sources()
    return [
        {
            "channel": str(channel),
            "covers": {name: _with(channel, sure) for name, (sure, _) in sources.items()},
            "may_cover": {name: _with(channel, maybe) for name, (_, maybe) in sources.items()},
        }
        for channel in Channel
    ]


def _with(channel: Channel, table: dict[str, frozenset[Channel]]) -> list[str]:
    return [code for code, channels in table.items() if channel in channels]


def as_markdown() -> str:
    """Give the table as Markdown; in brackets stand codes that may cover a channel."""
    columns = ("channel", *_sources())
    rows = []
    for line in as_json():
        cells = [line["channel"]]
        for name in columns[1:]:
            sure, maybe = line["covers"][name], line["may_cover"][name]
            cells.append(", ".join([*sure, *(f"[{code}]" for code in maybe)]))
        rows.append(cells)
    return markdown(columns, rows)
