"""Accessible-information needs: what they are, and the channels on which each of them is met.

Sources: NHS PDS and UK Core (written formats, interpreters), NHS England's Reasonable Adjustment
Flag (SNOMED CT codes on a Flag), DAPB1605. A need counts as met only by a channel that meets it
by itself: that an organisation prints its letters in braille is for somebody to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from fhirmsg.fhir import codes
from fhirmsg.fhir.elements import (
    Element,
    coded_value,
    codings,
    elements,
    extensions,
    period_of,
    text_of,
    version_of,
)
from fhirmsg.fhir.preferences import contact_preferences, named_parts
from fhirmsg.fhir.provisions import Context
from fhirmsg.guidance.record import Need
from fhirmsg.guidance.terms import Channel, Match, ResourceVersion

_NONE: frozenset[Channel] = frozenset()
_FORMATS = {"11": "large print", "12": "braille", "13": "an audio recording"}
_METHODS = {
    "5": ("a textphone", _NONE),
    "7": ("sign language", frozenset({Channel.VIDEO})),
}
_INTERPRETER = "an interpreter"

# SNOMED CT (UK) on a Flag. A text relay needs somebody who calls through it, and a carer is
# reached by no channel: it says nothing of who may receive a message.
_FLAGGED: dict[str, tuple[str, frozenset[Channel]]] = {
    "936741000000100": ("contact by email", frozenset({Channel.EMAIL})),
    "936701000000103": ("contact by text message", frozenset({Channel.SMS})),
    "936721000000107": ("contact by letter", frozenset({Channel.LETTER})),
    "795661000000104": ("contact by telephone", frozenset({Channel.VOICE})),
    "796081000000106": ("contact by text relay", _NONE),
    "719561001": ("contact through a carer", _NONE),
    "936581000000101": ("information by email", frozenset({Channel.EMAIL})),
}


def needs_of(resource: Element) -> tuple[Need, ...]:
    """Give the needs that a Patient or RelatedPerson records itself, each once."""
    version = version_of(resource)
    found = {
        name: Need(name=name, met_by=met_by, version=version)
        for name, met_by in (*_preferred(resource), *_interpreters(resource))
    }
    return tuple(found.values())


def _preferred(resource: Element) -> Iterator[tuple[str, frozenset[Channel]]]:
    for extension in contact_preferences(resource):
        for method in named_parts(extension, "PreferredContactMethod"):
            for code in sorted(coded_value(method)):
                if code in _METHODS:
                    yield _METHODS[code]
        for written in named_parts(extension, "PreferredWrittenCommunicationFormat"):
            for code in sorted(coded_value(written)) or [""]:
                yield _FORMATS.get(code, "a written format that is not understood"), _NONE


def _interpreters(resource: Element) -> Iterator[tuple[str, frozenset[Channel]]]:
    for language in extensions(resource, "NHSCommunication"):
        for part in extensions(language, "interpreterRequired"):
            if _is_asked_for(part):
                yield _INTERPRETER, _NONE
    for extension in extensions(resource, "/patient-interpreterRequired"):
        if _is_asked_for(extension):
            yield _INTERPRETER, _NONE


def _is_asked_for(part: Element) -> bool:
    # Whatever is not plainly "no" may be somebody's "yes" in another shape.
    return part.get("valueBoolean") is not False


def needs_of_flag(flag: Element, context: Context, at: datetime) -> tuple[Need, ...]:
    """Give the needs that a Flag records, while it is active and in its period."""
    if text_of(flag.get("status")) != "active":
        return ()
    period = period_of(flag.get("period"), context.zone)
    if period is not None and period.contains(at) is Match.NO:
        return ()
    version = version_of(flag)
    found = {
        _FLAGGED[code][0]: _need(code, version)
        for concept in elements(flag.get("code"))
        for system, code in codings(concept)
        if system == codes.SNOMED and code in _FLAGGED
    }
    return tuple(found.values())


def _need(code: str, version: ResourceVersion) -> Need:
    name, met_by = _FLAGGED[code]
    return Need(name=name, met_by=met_by, version=version)
