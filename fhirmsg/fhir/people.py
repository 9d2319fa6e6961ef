"""Patient and RelatedPerson as raw JSON, translated to facts.

Sources: https://hl7.org/fhir/R4/patient.html, relatedperson.html; NHS PDS for death and
registration; UK Core for the extensions, which are met under several bases.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fhirmsg.fhir import codes
from fhirmsg.fhir.assessments import competence_on
from fhirmsg.fhir.contacts import contact_points
from fhirmsg.fhir.elements import (
    Element,
    coded_value,
    days_of,
    element,
    elements,
    extensions,
    labels,
    literal,
    nhs_number,
    own_keys,
    period_of,
    reference_keys,
    text_of,
    version_of,
)
from fhirmsg.fhir.names import known_identifiers
from fhirmsg.fhir.needs import needs_of
from fhirmsg.fhir.preferences import preferences_of
from fhirmsg.fhir.provisions import Context
from fhirmsg.guidance.record import PatientFacts, RelatedPersonFacts
from fhirmsg.guidance.terms import BirthInterval, Match


def patient_facts(patient: Element, asked: str, context: Context, now: datetime) -> PatientFacts:
    """Translate a Patient; `asked` is the reference that was read, to notice another answer."""
    marks = labels(patient)
    return PatientFacts(
        version=version_of(patient),
        keys=own_keys(patient) | {asked},
        active=patient.get("active", True) is True,
        died=_death(patient, now),
        replaced_by=_replacement(patient, asked, context),
        restricted=any(
            system == codes.CONFIDENTIALITY and code in codes.RESTRICTED_LABELS
            for system, code in marks
        ),
        sensitive_labels=sensitive(marks),
        born=_born(patient),
        contact_points=contact_points(patient, context.zone),
        left=min(exit_codes(patient, now) - {codes.EXIT_CODE_DIED}, default=None),
        preferences=preferences_of(patient),
        needs=needs_of(patient),
        competence=competence_on(patient, context.zone),
        known=known_identifiers(patient),
    )


def sensitive(marks: frozenset[tuple[str, str]]) -> frozenset[str]:
    """Give the labels that make something one the patient may feel sensitive about."""
    return frozenset(
        code
        for system, code in marks
        if (system == codes.ACT_CODE and code in codes.SENSITIVITY_LABELS)
        or (system == codes.CONFIDENTIALITY and code in codes.RESTRICTED_LABELS)
    )


def _death(patient: Element, now: datetime) -> str | None:
    if any(patient.get(name) is not None for name in ("deceasedDateTime", "_deceasedDateTime")):
        return "a date of death"
    stated = patient.get("deceasedBoolean")
    if stated is not None and stated is not False:
        return "marked as deceased"
    for extension in extensions(patient, "DeathNotificationStatus"):
        for part in [extension, *elements(extension.get("extension"))]:
            for code in sorted(coded_value(part)):
                if code in codes.DEATH_STATUS_DIED:
                    return codes.DEATH_STATUS_DIED[code]
    if codes.EXIT_CODE_DIED in exit_codes(patient, now):
        return "removed from registration by death"
    return None


def exit_codes(patient: Element, now: datetime) -> frozenset[str]:
    """Give the PDS removal-from-registration codes in force at the instant."""
    found = set()
    for extension in extensions(patient, "RemovalFromRegistration"):
        in_force, named = True, set[str]()
        for part in elements(extension.get("extension")):
            named |= coded_value(part)
            if "valuePeriod" in part:
                period = period_of(part["valuePeriod"], UTC)
                in_force = period is None or period.contains(now) is not Match.NO
        if in_force:
            found |= named
    return frozenset(found)


def _replacement(patient: Element, asked: str, context: Context) -> str | None:
    answered = version_of(patient).reference
    if answered != asked:
        return answered
    for link in elements(patient.get("link")):
        if text_of(link.get("type")) == "replaced-by":
            other = element(link.get("other"))
            return literal(other.get("reference"), context.base) or ""
    return None


# Kinds of link (https://hl7.org/fhir/R4/valueset-link-type.html): where objections may still hang,
# and what is judged elsewhere or says nothing of them.
_FOLLOWED = frozenset({"replaces", "seealso"})
_LEFT_ALONE = frozenset({"replaced-by", "refer"})


def linked_patients(patient: Element, base: str) -> list[str]:
    """Give the literal references of records an objection may still hang on."""
    found = (
        literal(element(link.get("other")).get("reference"), base)
        for link in elements(patient.get("link"))
        if text_of(link.get("type")) in _FOLLOWED
    )
    return sorted({each for each in found if each is not None and each.startswith("Patient/")})


def links_not_followed(patient: Element, base: str) -> bool:
    """Tell whether a link to another record of this patient cannot be followed from here.

    One to a RelatedPerson leads to no record of the patient's own, so there is nothing to follow.
    """
    for link in elements(patient.get("link")):
        kind = text_of(link.get("type"))
        target = literal(element(link.get("other")).get("reference"), base) or ""
        if kind in _LEFT_ALONE:
            continue
        if kind not in _FOLLOWED or not target.startswith(("Patient/", "RelatedPerson/")):
            return True
    return False


def _born(patient: Element) -> BirthInterval:
    days = days_of(patient.get("birthDate"))
    return BirthInterval() if days is None else BirthInterval(earliest=days[0], latest=days[1])


def related_person_facts(related: Element, context: Context) -> RelatedPersonFacts:
    """Translate a RelatedPerson; absent `active` counts as in use, anything but true does not."""
    return RelatedPersonFacts(
        version=version_of(related),
        keys=own_keys(related),
        patient_keys=reference_keys(related.get("patient"), context.base),
        active=related.get("active", True) is True,
        period=period_of(related.get("period"), context.zone),
        contact_points=contact_points(related, context.zone),
        identified=nhs_number(related) is not None,
        preferences=preferences_of(related),
        needs=needs_of(related),
    )
