"""Messages of ours that are on the patient's record already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from fhirmsg.calls import is_of
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.elements import (
    codings,
    element,
    elements,
    instant_of,
    literal,
    text_of,
    version_of,
)
from fhirmsg.fhir.entries import entry_of, own_extension, part
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import EarlierMessage

# The server's clock may be behind ours.
_TOLERANCE = timedelta(minutes=10)
_DID_NOT_LEAVE = frozenset({"not-done", "entered-in-error"})
_UNREACHABLE = frozenset({"invalid-phone-number"})


def search_for_earlier(
    patient: str, policy: LocalPolicy, at: datetime, page_size: int
) -> str | None:
    """Give the search for entries that changed within the window; None without a window."""
    if policy.repeat_window_hours <= 0:
        return None
    try:
        since = at - timedelta(hours=policy.repeat_window_hours) - _TOLERANCE
    except OverflowError:
        since = datetime.min.replace(tzinfo=UTC)
    written = since.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return (
        f"Communication?subject={patient}&_lastUpdated={quote(f'ge{written}', safe='')}"
        f"&_sort=-_lastUpdated&_count={page_size}"
    )


def earlier_messages(
    reading: Reading, answer: FhirAnswer, message_id: str
) -> tuple[EarlierMessage, ...]:
    """Read that search to its end; gives messages of ours, this very one left out."""
    raw = reading.own_matches(
        answer, "Communication", reading.context, by="subject", element="subject", cite=False
    )
    found = [
        reading.translated(
            each, lambda one, context: _message(one, context, reading.at), reading.context
        )
        for each in raw
        if _is_ours(each)
    ]
    return tuple(
        message
        for message in found
        if message is not None and not is_of(message.message_id, message_id)
    )


def _is_ours(communication: Resource) -> bool:
    return any(
        identifier.get("system") == codes.MESSAGE_ID
        for identifier in elements(communication.get("identifier"))
    )


def _message(communication: Resource, context: Context, at: datetime) -> EarlierMessage:
    entry = entry_of(communication, None)
    status = text_of(communication.get("status"))
    written = entry.recipient or ""
    changed = instant_of(entry.sent) or instant_of(entry.last_updated)
    extension = own_extension(communication, "content-digest")
    tail = own_extension(communication, "contact-point-tail")
    return EarlierMessage(
        version=version_of(communication),
        message_id=entry.message_id,
        recipient=literal(written, context.base) or written,
        channel=entry.channel or "",
        # One that nobody knows the time of may have been sent a moment ago.
        at=changed or at,
        content_digest=text_of(extension.get("valueString")) or None,
        left=status not in _DID_NOT_LEAVE,
        unreachable=_is_unreachable(communication),
        tail=text_of(tail.get("valueString")),
    )


def _is_unreachable(communication: Resource) -> bool:
    """Tell whether it failed because its contact point is not valid."""
    reasons = {code for _, code in codings(communication.get("statusReason"))}
    deliveries = [
        extension
        for extension in elements(communication.get("extension"))
        if extension.get("url") == codes.own_extension("delivery")
    ]
    if deliveries and text_of(part(deliveries[-1], "state").get("valueCode")) == "failed":
        reason: Mapping[str, object] = part(deliveries[-1], "reason")
        reasons |= {text_of(reason.get("valueCode"))}
        reasons |= {code for _, code in codings(element(reason.get("valueCodeableConcept")))}
    return bool(reasons & _UNREACHABLE)
