"""Other people's contact points: who is related to the patient, and who is found at a value.

A number that two people share reaches either of them, so whoever holds it is a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.contacts import contact_points, written_forms
from fhirmsg.fhir.elements import (
    Element,
    elements,
    labels,
    own_keys,
    period_of,
    reference_keys,
    text_of,
    version_of,
)
from fhirmsg.fhir.people import sensitive
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.guidance.coding import is_same_service
from fhirmsg.guidance.contact import is_usable
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import ContactPoint, Neighbour
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.terms import Channel, Declared, Match
from fhirmsg.guidance.wording import Observation, Topic

_KINDS = ("Patient", "RelatedPerson")


def are_looked_for(
    request: SendRequest,
    policy: LocalPolicy,
    labelled: Iterable[Resource],
    observations: Iterable[Observation],
) -> bool:
    """Tell whether others at the contact point matter: the content may be private.

    It may be where the sender, the policy or a label says so, and where the words look it.
    labelled: the patient, and what the message is about. observations: what was seen in the words.
    """
    code = request.service.code
    return (
        request.confidential is not Declared.NO
        or request.service.sensitive is Declared.YES
        or any(sensitive(labels(each)) for each in labelled)
        or (code is not None and any(is_same_service(code, s) for s in policy.sensitive_services))
        or any(each.topic is Topic.CONFIDENTIAL for each in observations)
    )


def usable_values(
    points: Iterable[ContactPoint], channels: Iterable[Channel], at: datetime
) -> frozenset[str]:
    """Give the values that a message on these channels could go to, the NHS App's left out.

    An NHS number is one person's own.
    """
    on = [channel for channel in channels if channel is not Channel.NHS_APP]
    return frozenset(
        point.value
        for point in points
        if point.value is not None and any(is_usable(point, channel, at) for channel in on)
    )


def searches_at(
    values: Iterable[str], holders: Iterable[Resource], page_size: int
) -> dict[str, str]:
    """Give the searches for everybody found at these values, by name, for a batch.

    holders: whose own spelling of the values is asked for too. The values must stand in no URL
    of ours, so these searches are for the entries of a batch alone.
    """
    wanted = frozenset(values)
    if not wanted:
        return {}
    forms = {form: None for value in sorted(wanted) for form in written_forms(value)}
    forms |= {text: None for holder in holders for text in _own_spellings(holder, wanted)}
    asked = ",".join(quote(_escaped(form), safe="") for form in forms)
    return {
        f"{kind} at": f"{kind}?telecom={asked}&_count={page_size}&_total=accurate"
        for kind in _KINDS
    }


def _escaped(form: str) -> str:
    """Escape what separates values in a search (https://hl7.org/fhir/R4/search.html#escaping)."""
    for character in "\\,|$":
        form = form.replace(character, f"\\{character}")
    return form


def _own_spellings(holder: Resource, wanted: frozenset[str]) -> Iterator[str]:
    for entry in elements(holder.get("telecom")):
        if values_of(entry) & wanted:
            yield text_of(entry.get("value"))


def values_of(entry: Element) -> frozenset[str]:
    """Give the normalised value of one telecom entry, as a set of at most one."""
    return frozenset(
        point.value
        for point in contact_points({"telecom": [entry]}, UTC)
        if point.value is not None
    )


def found_at(reading: Reading, answers: Mapping[str, FhirAnswer]) -> list[Resource]:
    """Read the answers to those searches to their end; failures become gaps."""
    return [
        resource
        for kind in _KINDS
        if f"{kind} at" in answers
        for resource in reading.pages(answers[f"{kind} at"], kind, "telecom").resources
    ]


def neighbour_of(holder: Resource, context: Context, at: datetime, own: Iterable[str]) -> Neighbour:
    """Translate somebody else's resource.

    own: values of the patient and the recipient. One of them that differs only in letter case is
    given in both spellings, since nobody's mailbox does.
    """
    spelt: dict[str, set[str]] = {}
    for value in own:
        spelt.setdefault(value.casefold(), set()).add(value)
    values: set[str] = set()
    former: set[str] = set()
    for point in contact_points(holder, context.zone):
        if point.value is None or Channel.NHS_APP in point.channels:
            continue
        same = {point.value} | spelt.get(point.value.casefold(), set())
        (values if _is_in_use(point, at) else former).update(same)
    return Neighbour(
        version=version_of(holder),
        keys=own_keys(holder),
        values=frozenset(values),
        former=frozenset(former - values),
        in_use=holder.get("active", True) is True and _is_now(holder, context, at),
        related_to=reference_keys(holder.get("patient"), context.base),
    )


def _is_now(holder: Resource, context: Context, at: datetime) -> bool:
    period = period_of(holder.get("period"), context.zone)
    return period is None or period.contains(at) is Match.YES


def _is_in_use(point: ContactPoint, at: datetime) -> bool:
    end = point.period.end if point.period is not None else None
    return point.use != "old" and (end is None or at <= end)
