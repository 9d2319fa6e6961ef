"""What a message is about (an Appointment, a Task...) as raw JSON, translated to facts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from fhirmsg.fhir import codes
from fhirmsg.fhir.elements import (
    Element,
    elements,
    labels,
    moment_of,
    own_keys,
    period_of,
    reference_keys,
    text_of,
    version_of,
)
from fhirmsg.fhir.people import sensitive
from fhirmsg.fhir.provisions import Context
from fhirmsg.guidance.record import AboutFacts

# States in which it will not take place, or nobody wants it any more.
_OFF = {
    "Appointment": frozenset({"cancelled", "noshow", "entered-in-error"}),
    "Task": frozenset({"cancelled", "rejected", "failed", "entered-in-error"}),
    "ServiceRequest": frozenset({"revoked", "entered-in-error"}),
}
DATED_OR_ENDED = frozenset(_OFF)
# Where each kind of resource says whom it concerns; everything else has `subject` or `patient`.
_SUBJECTS = {"Task": ("for",), "Coverage": ("beneficiary",)}


def about_facts(resource: Element, context: Context) -> AboutFacts:
    """Translate something a message is about; no subject means that it cannot be told."""
    return AboutFacts(
        version=version_of(resource),
        subject_keys=frozenset[str]().union(*_subjects(resource, context)),
        sensitive_labels=sensitive(labels(resource)),
        off=_off(resource),
        starts=_start(resource, context),
    )


def _start(resource: Element, context: Context) -> datetime | None:
    """Give when an Appointment begins; one that has no time may begin at the end of its day."""
    if resource.get("resourceType") != "Appointment":
        return None
    written = text_of(resource.get("start"))
    if len(written) > 10:
        return moment_of(written, context.zone)
    period = period_of({"end": written}, context.zone)
    return None if period is None or period.malformed else period.end


def _off(resource: Element) -> str | None:
    status = text_of(resource.get("status"))
    return status if status in _OFF.get(text_of(resource.get("resourceType")), ()) else None


def _subjects(resource: Element, context: Context) -> Iterator[frozenset[str]]:
    kind = text_of(resource.get("resourceType"))
    if kind == "Appointment":
        for participant in elements(resource.get("participant")):
            keys = reference_keys(participant.get("actor"), context.base)
            if any(key.startswith("Patient/") or codes.is_nhs_number(key) for key in keys):
                yield keys
        return
    if kind == "Patient":
        yield own_keys(resource)
        return
    for name in _SUBJECTS.get(kind, ("subject", "patient")):
        yield reference_keys(resource.get(name), context.base)
