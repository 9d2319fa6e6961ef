"""What stands on a Consent about it: who granted it, reviews, why a role ended, restrictions."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from fhirmsg.fhir.elements import (
    Element,
    coded_value,
    codings,
    days_of,
    element,
    elements,
    extensions,
    instant_of,
    local_day,
    part_of,
    period_of,
    text_of,
    value_of,
)
from fhirmsg.fhir.provisions import Context, actor_of
from fhirmsg.guidance.record import Ending, StandingReview

# Writing a review on a Consent changes it too; this much later still counts as that change.
_SAME_CHANGE = timedelta(minutes=10)

_REASONS = ("-Consent-Status-Reason", "/Extension-statusReason")
# Beginnings of the codes that say a role is not in force, and what in them tells against it.
_ENDINGS = (
    "ROLE_DEACTIVATED",
    "ROLE_SUSPENDED",
    "APPLICATION_REJECTED",
    "APPLICATION_WITHDRAWN",
)
_AGAINST = ("SAFEGUARDING", "MISUSE_OF_SYSTEM", "PATIENT_REQUEST")
_HARMLESS = ("ROLE_DEACTIVATED_END_DATE_REACHED", "ROLE_DEACTIVATED_INACTIVE_ROLE")


def ending_of(consent: Element) -> Ending | None:
    """Tell why a role ended, by the last status reason in the list; None when it did not end.

    Reasons pile up where a service only ever adds to the list.
    """
    reasons = [
        extension
        for extension in extensions(consent, "")
        if any(_ends_with(extension, ending) for ending in _REASONS)
    ]
    if not reasons:
        return None
    found = {_ending(code.upper()) for _, code in codings(reasons[-1].get("valueCodeableConcept"))}
    for ending in (Ending.AGAINST, Ending.OTHER, Ending.HARMLESS):
        if ending in found:
            return ending
    return None


def _ends_with(extension: Element, ending: str) -> bool:
    return text_of(extension.get("url")).rstrip("/").lower().endswith(ending.lower())


def _ending(code: str) -> Ending | None:
    if not code.startswith(_ENDINGS):
        return None
    if code.endswith(_AGAINST):
        return Ending.AGAINST
    return Ending.HARMLESS if code in _HARMLESS else Ending.OTHER


def standing_reviews(consent: Element, zone: tzinfo) -> tuple[StandingReview, ...]:
    """Give the reviews that stand on a Consent; one that names no finding is left out.

    One is void when the Consent was changed after it, and when nobody can tell whether it was.
    """
    changed = instant_of(element(consent.get("meta")).get("lastUpdated"))
    found = (_review(each, changed, zone) for each in extensions(consent, "/standing-review"))
    return tuple(review for review in found if review.code)


def _review(extension: Element, changed: datetime | None, zone: tzinfo) -> StandingReview:
    at = value_of(part_of(extension, "at"), "DateTime", "Date")
    until = part_of(extension, "until")
    last_day = local_day(value_of(until, "Date", "DateTime"), zone)
    latest = _latest_moment(at, zone)
    unreadable = latest is None or (bool(until) and last_day is None)
    return StandingReview(
        code=_word(part_of(extension, "code")),
        by=_person(part_of(extension, "by")),
        role=_word(part_of(extension, "role")),
        at=local_day(at, zone),
        until=last_day,
        void=unreadable or changed is None or latest is None or changed - latest > _SAME_CHANGE,
    )


def _latest_moment(at: object, zone: tzinfo) -> datetime | None:
    """Give the instant of a dateTime, and the end of the local day of a whole date."""
    days = days_of(at)
    if days is None or days[0] != days[1]:
        return None
    period = period_of({"end": at}, zone)
    return None if period is None or period.malformed else period.end


def _word(part: Element) -> str:
    codes = sorted(coded_value(part))
    return codes[0] if codes else text_of(element(part.get("valueCodeableConcept")).get("text"))


def _person(part: Element) -> str:
    reference = element(part.get("valueReference"))
    written = (
        element(reference.get("identifier")).get("value"),
        reference.get("reference"),
        reference.get("display"),
        part.get("valueString"),
    )
    return next((text_of(each) for each in written if text_of(each)), "")


def restricted_digests(consent: Element) -> frozenset[str]:
    """Give the keyed digests of contact points that are not to be used, in lower case.

    One that cannot be read is an empty text: there is a restriction, on nobody knows what.
    """
    return frozenset(
        text_of(extension.get("valueString")).lower()
        for extension in extensions(consent, "/restricted-contact-digest")
    )


def organisations_granting(consent: Element) -> list[Element]:
    """Give the references to organisations by which a Consent says who granted it."""
    extended = extensions(consent, "Consent.grantor")
    return [
        *elements(consent.get("organization")),
        *(element(extension.get("valueReference")) for extension in extended),
    ]


def grantors(consent: Element, context: Context) -> frozenset[str]:
    """Give the ODS codes of the organisations that granted it, as far as they are known."""
    granting = organisations_granting(consent)
    return frozenset[str]().union(
        *(actor_of({}, reference, context, consent).ods for reference in granting)
    )
