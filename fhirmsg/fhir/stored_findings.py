"""The findings of a decision of the past, read back from its AuditEvent.

They are believed only when they are the very bytes whose digest stands on the record entry.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.auditing import RECEIPT, entity_search
from fhirmsg.fhir.client import FhirClient, Resource
from fhirmsg.fhir.elements import element, elements, text_of
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.guidance.rule import Card, Effect, Finding, Lift, Lifted
from fhirmsg.guidance.rules import RULES
from fhirmsg.guidance.terms import ResourceVersion
from fhirmsg.ports import Entry

_CARDS: dict[str, Card] = {each.card.code: each.card for each in RULES}
_EFFECTS = {effect.word: effect for effect in Effect}


def findings_of(client: FhirClient, entry: Entry) -> tuple[Finding, ...] | None:
    """Give the findings of the decision that an entry stands on; None when they cannot be read.

    A receipt holds no sentences, so each finding says the rule that was not met.
    """
    if not entry.receipt_digest:
        return None
    deadline = Deadline(client.server.call_deadline)
    try:
        answer = client.read(entity_search(entry.reference), deadline=deadline)
    except RecordUnavailable:
        return None
    found = read_all_pages(
        client, answer, kind="AuditEvent", filtered_by="entity", deadline=deadline
    )
    for receipt in (each for event in found.resources for each in _receipts(event)):
        if hashlib.sha256(receipt).hexdigest() == entry.receipt_digest:
            return _findings(receipt)
    return None


def _receipts(event: Resource) -> Iterator[bytes]:
    for entity in elements(event.get("entity")):
        for detail in elements(entity.get("detail")):
            if detail.get("type") == RECEIPT:
                try:
                    yield base64.b64decode(text_of(detail.get("valueBase64Binary")), validate=True)
                except ValueError:
                    continue


def _findings(receipt: bytes) -> tuple[Finding, ...] | None:
    try:
        content = json.loads(receipt)
        return tuple(_finding(each) for each in elements(element(content).get("findings")))
    except (ValueError, KeyError):
        # Written by a version with other words.
        return None


def _finding(stored: dict[str, Any]) -> Finding:
    """Give one finding. Raises ValueError or KeyError for what is not understood."""
    code = text_of(stored.get("code"))
    card = _CARDS.get(code)
    lifted = element(stored.get("lifted"))
    return Finding(
        code=code,
        section="" if card is None else card.section,
        effect=_EFFECTS[text_of(stored.get("effect"))],
        sentence=(
            "The rule is not one of this version."
            if card is None
            else f"The rule was not met: {card.states}"
        ),
        lifted_by=() if card is None else card.lifted_by,
        lifted=Lifted(by=Lift(lifted["by"]), who=text_of(lifted.get("who"))) if lifted else None,
        evidence=tuple(
            ResourceVersion(
                reference=text_of(each.get("reference")),
                version_id=text_of(each.get("versionId")) or None,
                last_updated=text_of(each.get("lastUpdated")) or None,
            )
            for each in elements(stored.get("evidence"))
        ),
        ask=() if card is None else card.ask,
    )
