"""Patients and related persons, however they are represented."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given

from fhirmsg.fhir.occasions import about_facts
from fhirmsg.fhir.people import (
    exit_codes,
    linked_patients,
    links_not_followed,
    patient_facts,
    related_person_facts,
)
from fhirmsg.guidance.record import Assessment, PatientFacts
from fhirmsg.guidance.terms import BirthInterval
from tests.builders import NOW
from tests.fhir.deciding import to_amara, to_ben
from tests.fhir.resources import (
    AMARA_NUMBER,
    BASE,
    TERMINOLOGY,
    a_context,
    a_related_resource,
    concept,
    number,
)
from tests.fhir.strategies import damaged, json_values
from tests.world import a_patient_resource


def facts(**changes: Any) -> PatientFacts:
    """Read Amara, changed."""
    return patient_facts(a_patient_resource(**changes), "Patient/amara", a_context(), NOW)


def with_extension(url: str, *parts: dict[str, Any], **value: Any) -> dict[str, Any]:
    """Give the elements of a Patient with one extension."""
    return {"extension": [{"url": url, **({"extension": list(parts)} if parts else {}), **value}]}


# --- death -------------------------------------------------------------------------------------

DEATH = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DeathNotificationStatus"
PDS_DEATH = "https://fhir.nhs.uk/StructureDefinition/Extension-PDS-DeathNotificationStatus"
EXIT = "https://fhir.nhs.uk/StructureDefinition/Extension-PDS-RemovalFromRegistration"


def death_status(code: str, url: str = DEATH) -> dict[str, Any]:
    status = concept(("https://fhir.hl7.org.uk/CodeSystem/UKCore-DeathNotificationStatus", code))
    part = {"url": "deathNotificationStatus", "valueCodeableConcept": status}
    when = {"url": "systemEffectiveDate", "valueDateTime": "2026-01-01"}
    return with_extension(url, part, when)


def exit_code(code: str, **period: str) -> dict[str, Any]:
    parts = [{"url": "removalFromRegistrationCode", "valueCodeableConcept": concept(("x", code))}]
    if period:
        parts.append({"url": "effectiveTime", "valuePeriod": period})
    return with_extension(EXIT, *parts)


@pytest.mark.parametrize(
    "changes",
    [
        {"deceasedBoolean": True},
        {"deceasedBoolean": "true"},
        {"deceasedDateTime": "2026-01-01T10:00:00Z"},
        {"deceasedDateTime": "2026-01-01T10:00:00"},
        {"deceasedDateTime": "2026-01"},
        {"deceasedDateTime": "2026"},
        {"deceasedDateTime": "unknown"},
        {"deceasedDateTime": "2026", "deceasedBoolean": False},
        {"_deceasedDateTime": {"extension": []}},
        death_status("1"),
        death_status("2"),
        death_status("2", PDS_DEATH),
        with_extension(DEATH, valueCodeableConcept=concept(("x", "2"))),
        exit_code("DEA"),
        exit_code("DEA", start="2020-01-01"),
    ],
)
def test_a_patient_who_has_died_gets_no_message(changes: dict[str, Any]) -> None:
    assert facts(**changes).died
    assert "person.deceased" in to_amara(patient=a_patient_resource(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"deceasedBoolean": False},
        {"deceasedBoolean": None},
        death_status("U"),
        {**death_status("U"), "deceasedBoolean": False},
        exit_code("DEA", start="2020-01-01", end="2021-01-01"),
    ],
)
def test_a_patient_who_is_alive_gets_it(changes: dict[str, Any]) -> None:
    assert facts(**changes).died is None
    assert to_amara(patient=a_patient_resource(**changes)) == set()


@pytest.mark.parametrize(
    ("period", "in_force"),
    [
        ({}, True),
        ({"start": "2026-11-24"}, True),
        ({"start": "2026-11-25"}, False),
        ({"end": "2026-11-24"}, True),
        ({"end": "2026-11-23"}, False),
        ({"start": "soon"}, True),
        ({"start": "2027-01-01", "end": "2026-01-01"}, True),
    ],
)
def test_an_exit_code_is_in_force_in_its_period_and_in_doubt(
    period: dict[str, str], in_force: bool
) -> None:
    patient = a_patient_resource(**exit_code("EMB", **period))
    assert exit_codes(patient, NOW) == ({"EMB"} if in_force else set())


# --- one person, several records ---------------------------------------------------------------


def link(kind: Any, other: Any = "Patient/old") -> dict[str, Any]:
    reference = {"reference": other} if isinstance(other, str) else other
    return {"type": kind, "other": reference}


def test_a_record_that_was_replaced_names_the_surviving_one() -> None:
    assert facts(link=[link("replaced-by", f"{BASE}/Patient/new")]).replaced_by == "Patient/new"
    assert facts(link=[link("replaced-by", "https://elsewhere.example/Patient/9")]).replaced_by == (
        ""
    )
    assert facts(link=[link("replaced-by", number())]).replaced_by == ""
    assert facts(link=link("replaced-by", "Patient/new")).replaced_by == "Patient/new"


def test_another_record_than_the_one_asked_for_has_replaced_it() -> None:
    assert facts(id="new").replaced_by == "Patient/new"


@pytest.mark.parametrize("kind", ["replaces", "seealso", "refer"])
def test_a_record_that_is_linked_is_not_replaced(kind: str) -> None:
    assert facts(link=[link(kind)]).replaced_by is None


def test_records_on_which_an_objection_may_hang_are_followed_once() -> None:
    patient = a_patient_resource(
        link=[
            link("replaces", "Patient/b"),
            link("seealso", f"{BASE}/Patient/a/_history/2"),
            link("replaces", "Patient/b"),
            link("replaced-by", "Patient/new"),
        ]
    )
    assert linked_patients(patient, BASE) == ["Patient/a", "Patient/b"]
    assert not links_not_followed(patient, BASE)


@pytest.mark.parametrize(
    "unclear",
    [
        link("replaces", "https://elsewhere.example/fhir/Patient/old"),
        link("seealso", number()),
        link("seealso", {}),
        link("replaces", "Patient/old?status=active"),
        link(None),
        link("", "Patient/old"),
        link("banana", "Patient/old"),
        link(["replaces"], "Patient/old"),
        {"other": {"reference": "Patient/old"}},
    ],
)
def test_a_link_that_cannot_be_followed_is_noticed(unclear: dict[str, Any]) -> None:
    assert links_not_followed(a_patient_resource(link=[unclear]), BASE)


def test_a_link_to_a_related_person_leads_to_no_record_of_the_patient() -> None:
    patient = a_patient_resource(link=[link("seealso", "RelatedPerson/amara-as-mother")])
    assert linked_patients(patient, BASE) == []
    assert not links_not_followed(patient, BASE)


# --- labels and birth --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "code", "restricted", "sensitive"),
    [
        (f"{TERMINOLOGY}/v3-Confidentiality", "R", True, True),
        (f"{TERMINOLOGY}/v3-Confidentiality", "V", True, True),
        ("https://terminology.hl7.org/CodeSystem/v3-Confidentiality/", "R", True, True),
        ("http://hl7.org/fhir/v3/Confidentiality", "R", True, True),
        (f"{TERMINOLOGY}/v3-Confidentiality", "U", False, False),
        (f"{TERMINOLOGY}/v3-Confidentiality", "N", False, False),
        (f"{TERMINOLOGY}/v3-ActCode", "HIV", False, True),
        (f"{TERMINOLOGY}/v3-ActCode", "PDS", False, True),
        ("http://hl7.org/fhir/v3/ActCode", "SDV", False, True),
        # The same letters under another system are another thing.
        ("https://www.nhs.uk/labels", "R", False, False),
        (f"{TERMINOLOGY}/v3-ActCode", "R", False, False),
        (f"{TERMINOLOGY}/v3-Confidentiality", "HIV", False, False),
        (None, "R", False, False),
    ],
)
def test_a_label_counts_under_its_own_system(
    system: str | None, code: str, restricted: bool, sensitive: bool
) -> None:
    read = facts(meta={"security": [{"system": system, "code": code}]})
    assert read.restricted is restricted
    assert bool(read.sensitive_labels) is sensitive


@pytest.mark.parametrize(
    ("written", "born"),
    [
        ("2010-02-03", BirthInterval(earliest=date(2010, 2, 3), latest=date(2010, 2, 3))),
        ("2010-02", BirthInterval(earliest=date(2010, 2, 1), latest=date(2010, 2, 28))),
        ("2010", BirthInterval(earliest=date(2010, 1, 1), latest=date(2010, 12, 31))),
        ("2010-1-3", BirthInterval()),
        ("", BirthInterval()),
        (None, BirthInterval()),
    ],
)
def test_a_birth_date_is_as_exact_as_it_is_written(written: Any, born: BirthInterval) -> None:
    assert facts(birthDate=written).born == born


@pytest.mark.parametrize("active", [False, None, "true", 1])
def test_whatever_is_not_surely_in_use_is_not(active: Any) -> None:
    assert not facts(active=active).active
    assert not related_person_facts(a_related_resource(active=active), a_context()).active


def test_what_does_not_say_whether_it_is_in_use_is() -> None:
    assert facts().active
    assert related_person_facts(a_related_resource(), a_context()).active


# --- related persons ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "patient",
    [
        {"reference": "Patient/amara"},
        {"reference": f"{BASE}/Patient/amara/_history/3"},
        number(AMARA_NUMBER),
        {"reference": "Patient/amara", **number(AMARA_NUMBER)},
    ],
)
def test_a_related_person_belongs_to_the_patient_however_written(patient: dict[str, Any]) -> None:
    assert "proxy.link" not in to_ben(related=a_related_resource(patient=patient))


@pytest.mark.parametrize("patient", [None, {}, {"reference": "Patient/other"}, number()])
def test_a_related_person_of_somebody_else_is_not_linked(patient: Any) -> None:
    # The national service gives the related person's own number here.
    assert "proxy.link" in to_ben(related=a_related_resource(patient=patient))


# --- anything ----------------------------------------------------------------------------------

FULL = {
    **a_patient_resource(link=[link("seealso")], meta={"security": [{"code": "R"}]}),
    "telecom": [{"system": "phone", "value": "1", "rank": 1, "period": {"end": "9999-12-31"}}],
    "extension": death_status("U")["extension"] + exit_code("X", start="2020")["extension"],
}


@given(damaged(FULL) | json_values(20).filter(lambda value: isinstance(value, dict)))
def test_whatever_it_is_a_patient_is_read(patient: dict[str, Any]) -> None:
    patient_facts(patient, "Patient/amara", a_context(), NOW)
    linked_patients(patient, BASE)
    links_not_followed(patient, BASE)
    about_facts(patient, a_context())


@given(damaged(a_related_resource(period={"start": "2020", "end": "2030-01-01T00:00:00Z"})))
def test_whatever_it_is_a_related_person_is_read(related: dict[str, Any]) -> None:
    related_person_facts(related, a_context())
    about_facts(related, a_context())


# --- what else is known of them ----------------------------------------------------------------


@pytest.mark.parametrize("code", ["EMB", "SCT", "NIT", "TRA", "ORR", "NEW"])
def test_somebody_who_left_registration_left_under_a_code(code: str) -> None:
    assert facts(**exit_code(code)).left == code
    assert to_amara(patient=a_patient_resource(**exit_code(code))) == {"person.left"}


def test_somebody_who_died_or_came_back_did_not_leave() -> None:
    assert facts(**exit_code("DEA")).left is None
    assert facts(**exit_code("SCT", end="2026-01-01")).left is None
    assert facts().left is None


def test_a_childs_competence_may_stand_on_the_patient() -> None:
    url = "https://fhirmsg.example/StructureDefinition/competence-assessment"
    outcome = {"url": "outcome", "valueCode": "competent"}
    assert facts(**with_extension(url, outcome)).competence == Assessment(able=True)


def test_a_related_person_is_identified_by_an_nhs_number_alone() -> None:
    other = [{"system": "urn:hospital", "value": "7"}]
    assert related_person_facts(a_related_resource(), a_context()).identified
    for identifier in ([], other):
        ben = a_related_resource(identifier=identifier)
        assert not related_person_facts(ben, a_context()).identified
