"""Objections that stand on a Patient or RelatedPerson itself: extensions and labels.

Sources: LinuxForHealth's communication-opt-out extension (on the person or on a telecom entry),
Caredove's contactpoint-message-permission and Visiba's patient-consent-extension (on a telecom
entry), Oridashi's label SMSOPTOUT. Each is told as the Consent it amounts to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhirmsg.fhir import codes
from fhirmsg.fhir.elements import (
    Element,
    codings,
    element,
    elements,
    extensions,
    labels,
    part_of,
    period_of,
    text_of,
    version_of,
)
from fhirmsg.fhir.provisions import Context
from fhirmsg.guidance.provisions import CodeTerm, Direction, Provision
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.record import ConsentFacts
from fhirmsg.guidance.terms import Channel, Period, ResourceVersion

SMS_OPT_OUT = "SMSOPTOUT"
_OPT_OUT = "/communication-opt-out"
# Parts that narrow an opt-out to messages nobody here can tell from others.
_NARROWING = ("communication-product", "conversation-type", "communication-care-gap")


def covering(*channels: Channel) -> CodeTerm:
    """Give a term that covers exactly these channels."""
    return CodeTerm(covers=frozenset(channels), understood=True)


def perhaps(*channels: Channel) -> CodeTerm:
    """Give a term that may cover these channels."""
    return CodeTerm(may_cover=frozenset(channels), understood=True)


_MODES = {
    "phone": CodeTerm(
        covers=frozenset({Channel.VOICE}), may_cover=frozenset({Channel.SMS}), understood=True
    ),
    "sms": covering(Channel.SMS),
    "email": covering(Channel.EMAIL),
    "mail": covering(Channel.LETTER),
    "chat": perhaps(Channel.NHS_APP, Channel.SMS),
}
# What a telecom entry of each system is used for, and what a permission on it is about.
_CHANNELS_OF_ENTRY = {
    "phone": (Channel.SMS, Channel.VOICE),
    "sms": (Channel.SMS,),
    "email": (Channel.EMAIL,),
    "fax": (Channel.FAX,),
}
_MESSAGES_TO_ENTRY = {**_CHANNELS_OF_ENTRY, "phone": (Channel.SMS,)}

_PERMISSIONS = ("contactpoint-message-permission", "patient-consent-extension")
_PERMITTING = ("permission", "consent", "opt-in", "optin", "allow")
_FORBIDDING = ("opt-out", "optout", "do-not-contact", "donotcontact")
# Of a "no" to one of these nobody would say that it is an objection.
_HARMLESS = ("primary", "preferred", "default", "main", "verified", "validated", "confirmed")


def denial(
    version: ResourceVersion,
    part: str,
    *terms: CodeTerm,
    period: Period | None = None,
    narrowed: bool = False,
    **fields: Any,
) -> ConsentFacts:
    """Give the Consent that an objection held elsewhere amounts to; no terms: every channel.

    narrowed: to some messages, and nobody can tell to which.
    """
    root = Provision(type=Direction.DENY, period=period, codes=terms, data=narrowed)
    return ConsentFacts(
        **{"version": version, "part": part, "message_marker": True, "root": root, **fields}
    )


def objections_on_person(person: Element, context: Context) -> tuple[ConsentFacts, ...]:
    """Give what a Patient or RelatedPerson resource itself says against messages."""
    version = version_of(person)
    found = [
        _opt_out(version, f"extension-{place}", extension, None, context)
        for place, extension in enumerate(extensions(person, _OPT_OUT), 1)
    ]
    if any(code.upper() == SMS_OPT_OUT for _, code in labels(person)):
        found.append(denial(version, "label", covering(Channel.SMS)))
    for place, entry in enumerate(elements(person.get("telecom")), 1):
        found += _on_entry(version, f"telecom-{place}", entry, context)
    return tuple(found)


def _on_entry(
    version: ResourceVersion, part: str, entry: Element, context: Context
) -> Iterator[ConsentFacts]:
    system = text_of(entry.get("system"))
    for place, extension in enumerate(elements(entry.get("extension")), 1):
        url = text_of(extension.get("url")).rstrip("/").lower()
        own_part = f"{part}.{place}"
        if url.endswith(_OPT_OUT):
            yield _opt_out(version, own_part, extension, system, context)
            continue
        answer = _answer(url, extension)
        if answer is not None:
            yield denial(version, own_part, _term(_MESSAGES_TO_ENTRY, system, sure=answer))


def _answer(url: str, extension: Element) -> bool | None:
    """Tell whether an extension of a telecom entry objects: surely, perhaps (false), or not."""
    value = extension.get("valueBoolean")
    if url.endswith(_PERMISSIONS):
        if value is True:
            return None
        # A value of another type may say anything.
        return value is False
    if not isinstance(value, bool):
        return None
    name = url.rpartition("/")[2]
    if any(word in name for word in _FORBIDDING):
        return True if value else None
    if value or any(word in name for word in _HARMLESS):
        return None
    return any(word in name for word in _PERMITTING)


def _term(table: dict[str, tuple[Channel, ...]], system: str, *, sure: bool) -> CodeTerm:
    if system not in table:
        # It may be a way into anything.
        return CodeTerm()
    return covering(*table[system]) if sure else perhaps(*table[system])


def _opt_out(
    version: ResourceVersion,
    part: str,
    extension: Element,
    system: str | None,
    context: Context,
) -> ConsentFacts:
    """Translate an opt-out; `system` is that of the telecom entry on which it stands."""
    modes = [
        mode
        for mode in elements(extension.get("extension"))
        if text_of(mode.get("url")).rstrip("/").lower().endswith("communication-mode")
    ]
    terms = tuple(_mode(mode) for mode in modes)
    if not terms and system is not None:
        terms = (_term(_CHANNELS_OF_ENTRY, system, sure=True),)
    reason = element(_named(extension, "stated-reason").get("valueCodeableConcept"))
    reasons = {code for _, code in codings(reason)}
    effective = _named(extension, "effective-period")
    return denial(
        version,
        part,
        *terms,
        # A part without a readable Period still says that there is one.
        period=period_of(effective.get("valuePeriod", ""), context.zone) if effective else None,
        narrowed=any(_named(extension, name) for name in _NARROWING),
        safety=bool(reasons & codes.SAFETY_REASONS),
        reason_recorded=bool(reasons) or says_something(text_of(reason.get("text"))),
    )


def _named(extension: Element, name: str) -> Element:
    """Give a part by its name, written with hyphens or in one word."""
    return part_of(extension, name) or part_of(extension, name.replace("-", ""))


def _mode(part: Element) -> CodeTerm:
    concept = element(part.get("valueCodeableConcept"))
    said = {code for _, code in codings(concept)}
    said |= {text_of(concept.get("text")), text_of(part.get("valueCode"))}
    for word in sorted(said):
        if word.lower() in _MODES:
            return _MODES[word.lower()]
    return CodeTerm()
