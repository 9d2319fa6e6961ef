"""Communications of ours, read back as record entries.

The extensions are listed in `communication.py`, which writes them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from fhirmsg.clock import Deadline
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.elements import element, elements, instant_of, text_of, version_of
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.fhir.source import FhirSource
from fhirmsg.ports import Delivery, Entry, EntryStatus


def by_message_id(message_id: str) -> str:
    """Give the search parameter that finds the entries of one message, percent-encoded."""
    return "identifier=" + quote(f"{codes.MESSAGE_ID}|{message_id}", safe="")


def entries_in(
    client: FhirSource, answer: FhirAnswer, message_id: str, *, deadline: Deadline
) -> tuple[tuple[Entry, ...], str | None]:
    """Read the answer to that search to its end; gives the entries, and why some may be missing.

    The reason is None when every page was read and understood.
    """
    found = read_all_pages(
        client, answer, kind="Communication", filtered_by="identifier", deadline=deadline
    )
    entries = (entry_of(raw, answer.date) for raw in found.resources)
    own = tuple(entry for entry in entries if entry.message_id == message_id)
    return own, found.gaps[0].sentence if found.gaps else None


def own_extension(holder: Resource, name: str) -> Resource:
    """Give one of our extensions, an empty object when it is not there."""
    url = codes.own_extension(name)
    for extension in elements(holder.get("extension")):
        if extension.get("url") == url:
            return extension
    return {}


def part(extension: Resource, name: str) -> Resource:
    """Give a part of a complex extension, an empty object when it is not there."""
    for each in elements(extension.get("extension")):
        if each.get("url") == name:
            return each
    return {}


def entry_in(answer: FhirAnswer) -> Entry:
    """Translate the Communication in an answer."""
    return entry_of(answer.resource or {}, answer.date)


def entry_of(communication: Resource, server_date: float | None) -> Entry:
    """Translate a Communication; `server_date` is the Date of the answer it came in."""
    version = version_of(communication)
    attempt = own_extension(communication, "attempt")
    decision = own_extension(communication, "decision")
    payload = next(iter(elements(communication.get("payload"))), {})
    changed = instant_of(version.last_updated)
    return Entry(
        reference=version.reference,
        version_id=version.version_id or "",
        status=_status(communication.get("status")),
        message_id=_message_id(communication),
        attempt=text_of(part(attempt, "id").get("valueString")) or None,
        message_digest=text_of(own_extension(communication, "message-digest").get("valueString"))
        or None,
        verdict=text_of(part(decision, "verdict").get("valueCode")) or None,
        receipt_digest=text_of(part(decision, "receipt").get("valueString")) or None,
        on_evidence=part(decision, "evidence").get("valueBoolean") is True,
        provider_id=text_of(own_extension(communication, "provider-id").get("valueString")) or None,
        platform=text_of(own_extension(communication, "platform").get("valueString")) or None,
        channel=_channel(communication),
        sent=text_of(communication.get("sent")) or None,
        opened_at=text_of(part(attempt, "at").get("valueDateTime")) or None,
        last_updated=version.last_updated,
        age_seconds=_age(changed, server_date),
        sender=_sender(communication),
        subject=text_of(element(communication.get("subject")).get("reference")) or None,
        recipient=_recipient(communication),
        text=text_of(payload.get("contentString")) or None,
        fidelity=text_of(own_extension(payload, "payload-fidelity").get("valueCode")) or None,
        emergency=any(
            is_own_reason(coding, "emergency")
            for reason in elements(communication.get("reasonCode"))
            for coding in elements(reason.get("coding"))
        ),
        delivered=_delivered(communication),
        sealed=text_of(own_extension(communication, "fallback-request").get("valueString")) or None,
        part_of=_part_of(communication),
        resource=communication,
    )


def told(communication: Resource) -> frozenset[str]:
    """Give the delivery states that stand on an entry, in no order."""
    url = codes.own_extension("delivery")
    return frozenset(
        text_of(part(extension, "state").get("valueCode"))
        for extension in elements(communication.get("extension"))
        if extension.get("url") == url
    )


def _delivered(communication: Resource) -> str | None:
    known = told(communication)
    return next((str(each) for each in reversed(list(Delivery)) if str(each) in known), None)


def _part_of(communication: Resource) -> str | None:
    for reference in elements(communication.get("partOf")):
        return text_of(reference.get("reference")) or None
    return None


def is_own_reason(coding: Resource, code: str) -> bool:
    """Tell whether a coding is this one of our reasons for a message."""
    return coding.get("system") == codes.MESSAGE_REASON_SYSTEM and coding.get("code") == code


def _age(changed: datetime | None, server_date: float | None) -> float | None:
    if changed is None or server_date is None:
        return None
    return server_date - changed.timestamp()


def _status(written: Any) -> EntryStatus | None:
    try:
        return EntryStatus(written)
    except ValueError:
        return None


def _message_id(communication: Resource) -> str:
    for identifier in elements(communication.get("identifier")):
        if identifier.get("system") == codes.MESSAGE_ID:
            return text_of(identifier.get("value"))
    return ""


def _channel(communication: Resource) -> str | None:
    for medium in elements(communication.get("medium")):
        for coding in elements(medium.get("coding")):
            if coding.get("system") == codes.CHANNEL_SYSTEM:
                return text_of(coding.get("code")) or None
    return None


def _sender(communication: Resource) -> str | None:
    identifier = element(element(communication.get("sender")).get("identifier"))
    return (
        text_of(identifier.get("value")) or None if codes.is_ods(identifier.get("system")) else None
    )


def _recipient(communication: Resource) -> str | None:
    for reference in elements(communication.get("recipient")):
        return text_of(reference.get("reference")) or None
    return None
