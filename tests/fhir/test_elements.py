"""Tolerant access: references however they are written, and dates in any precision."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.fhir.elements import (
    codings,
    days_of,
    element,
    elements,
    extensions,
    identifier_key,
    instant_of,
    labels,
    literal,
    nhs_number,
    own_keys,
    period_of,
    reference_keys,
    version_of,
)
from fhirmsg.guidance.terms import Match, Period
from tests.builders import LONDON
from tests.fhir.resources import AMARA_NUMBER, BASE, NHS_NUMBER, number
from tests.fhir.strategies import json_values

# --- references --------------------------------------------------------------------------------

WAYS_TO_AMARA = [
    "Patient/amara",
    "Patient/amara/_history/7",
    f"{BASE}/Patient/amara",
    f"{BASE}/Patient/amara/_history/7",
    "http://ehr.example/fhir/Patient/amara",
    "https://EHR.example/fhir/Patient/amara",
    " Patient/amara ",
]


@pytest.mark.parametrize("written", WAYS_TO_AMARA)
@pytest.mark.parametrize("base", [BASE, f"{BASE}/", "http://ehr.example/fhir"])
def test_a_literal_reference_is_the_same_however_it_is_written(written: str, base: str) -> None:
    assert literal(written, base) == "Patient/amara"


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        7,
        "#amara",
        "urn:uuid:5b1f2f0a-6a1c-4e0e-9a52-0c6a2f3d7e11",
        "amara",
        "Patient/",
        "/Patient/amara",
        "patient/amara",
        "Patient/amara/Consent/1",
        "https://elsewhere.example/fhir/Patient/amara",
        "https://ehr.example/other/Patient/amara",
        "https://ehr.example/fhirPatient/amara",
        "Patient?identifier=1",
        "Patient/amara?status=active",
        "Patient/amara&_count=0",
        "Patient/amara,Patient/ben",
        "Patient/a b",
        "Patient/..",
        "Patient/%2e",
    ],
)
def test_what_is_no_literal_reference_to_this_server_is_none(written: object) -> None:
    assert literal(written, BASE) is None


def test_a_reference_gives_its_literal_and_its_identifier() -> None:
    both = {"reference": "Patient/amara", **number("999 000 0018")}
    assert reference_keys(both, BASE) == {
        "Patient/amara",
        "http://fhir.nhs.uk/id/nhs-number|9990000018",
    }


def test_a_reference_by_identifier_alone_is_a_key() -> None:
    assert reference_keys(number(AMARA_NUMBER), BASE) == {
        "http://fhir.nhs.uk/id/nhs-number|9990000018"
    }


def test_a_reference_to_another_server_is_nobody_here() -> None:
    there = "https://elsewhere.example/fhir/Patient/amara"
    assert not reference_keys({"reference": there}, BASE) & {"Patient/amara"}


def test_a_contained_reference_is_nobody_here() -> None:
    assert not reference_keys({"reference": "#amara"}, BASE) & {"Patient/amara", "amara"}


@pytest.mark.parametrize("written", [None, "Patient/amara", [], {}, {"reference": 7}])
def test_a_reference_that_is_none_gives_no_key(written: object) -> None:
    assert reference_keys(written, BASE) == frozenset()


# --- identifiers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "system",
    [
        NHS_NUMBER,
        "http://fhir.nhs.uk/Id/nhs-number",
        "https://fhir.nhs.uk/id/nhs-number/",
        "https://FHIR.nhs.uk/Id/nhs-number|1.0",
    ],
)
@pytest.mark.parametrize("value", ["9990000018", "999 000 0018", " 9990000018\n"])
def test_an_nhs_number_is_the_same_however_it_is_written(system: str, value: str) -> None:
    identifier = {"system": system, "value": value}
    assert identifier_key(identifier) == "http://fhir.nhs.uk/id/nhs-number|9990000018"
    assert nhs_number({"identifier": [{"system": "urn:x", "value": "1"}, identifier]}) == (
        "9990000018"
    )


@pytest.mark.parametrize(
    "identifier", [None, {}, {"value": "1"}, {"system": "urn:x"}, {"system": "urn:x", "value": 1}]
)
def test_an_identifier_without_system_or_value_identifies_nobody(identifier: object) -> None:
    assert identifier_key(identifier) is None


def test_a_resource_is_known_by_its_reference_and_its_identifiers() -> None:
    patient = {
        "resourceType": "Patient",
        "id": "amara",
        "identifier": [{"system": NHS_NUMBER, "value": AMARA_NUMBER}, {"value": "1"}],
    }
    assert own_keys(patient) == {
        "Patient/amara",
        f"http://fhir.nhs.uk/id/nhs-number|{AMARA_NUMBER}",
    }


# --- shapes ------------------------------------------------------------------------------------


def test_what_has_the_wrong_shape_is_empty() -> None:
    assert element(["x"]) == {}
    assert elements("x") == []
    assert elements([{"a": 1}, "x", None]) == [{"a": 1}]
    assert elements({"a": 1}) == [{"a": 1}]
    assert list(codings({"coding": [{"system": "s"}, {"code": 7}, {"code": "c"}]})) == [("", "c")]
    assert labels({"meta": []}) == frozenset()


def test_an_extension_is_found_under_any_base() -> None:
    holder = {"extension": [{"url": "https://x/StructureDefinition/Extension-A/"}, {"url": 7}]}
    assert len(list(extensions(holder, "extension-a"))) == 1


def test_a_version_is_cited_as_the_server_wrote_it() -> None:
    resource = {"resourceType": "Consent", "id": "1", "meta": {"versionId": 3, "lastUpdated": "t"}}
    cited = version_of(resource)
    assert (cited.reference, cited.version_id, cited.last_updated) == ("Consent/1", "3", "t")
    assert version_of({"resourceType": "Consent", "id": "1"}).version_id is None


# --- dates -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("2026-02-03", (date(2026, 2, 3), date(2026, 2, 3))),
        ("2024-02", (date(2024, 2, 1), date(2024, 2, 29))),
        ("2026", (date(2026, 1, 1), date(2026, 12, 31))),
        ("2026-02-03T10:00:00Z", (date(2026, 2, 3), date(2026, 2, 3))),
        ("2026-02-03T10:00", (date(2026, 2, 3), date(2026, 2, 3))),
        ("2026-02-30", None),
        ("0000", None),
        ("2026-1-3", None),
        ("3.2.2026", None),
        ("2026-02-03x", None),
        ("", None),
        (2026, None),
        (None, None),
    ],
)
def test_a_date_is_the_days_it_can_mean(written: object, days: object) -> None:
    assert days_of(written) == days


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-02-03T10:00:00Z", datetime(2026, 2, 3, 10, tzinfo=UTC)),
        ("2026-07-03T10:00:00+01:00", datetime(2026, 7, 3, 9, tzinfo=UTC)),
        ("2026-02-03T10:00:00", None),
        ("2026-02-03", None),
        ("2026-02-03T25:00:00Z", None),
        (None, None),
    ],
)
def test_an_instant_has_a_time_and_a_zone(written: object, instant: datetime | None) -> None:
    assert instant_of(written) == instant


def period(start: object = None, end: object = None, **more: Any) -> Period:
    """Read a period in London."""
    found = {"start": start, "end": end}
    read = period_of({name: each for name, each in found.items() if each} | more, LONDON)
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("day", "next_midnight"),
    [
        # The clocks go forward, back, and stay as they are.
        ("2026-03-29", datetime(2026, 3, 29, 23, tzinfo=UTC)),
        ("2026-10-25", datetime(2026, 10, 26, 0, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 7, 1, 23, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 12, 2, 0, tzinfo=UTC)),
    ],
)
def test_a_date_alone_ends_with_its_whole_local_day(day: str, next_midnight: datetime) -> None:
    until = period(end=day)
    last_second = next_midnight.timestamp() - 1
    assert until.contains(datetime.fromtimestamp(last_second, UTC)) is Match.YES
    assert until.contains(next_midnight) is Match.NO


def test_a_date_alone_begins_with_its_local_day() -> None:
    since = period(start="2026-07-01")
    assert since.contains(datetime(2026, 6, 30, 22, 59, 59, tzinfo=UTC)) is Match.NO
    assert since.contains(datetime(2026, 6, 30, 23, tzinfo=UTC)) is Match.YES
    assert not since.timed_start


def test_a_partial_end_is_the_last_day_it_can_mean() -> None:
    assert period(end="2026").contains(datetime(2026, 12, 31, 23, tzinfo=UTC)) is Match.YES
    assert period(end="2026").contains(datetime(2027, 1, 1, tzinfo=UTC)) is Match.NO
    assert period(start="2026-02").contains(datetime(2026, 1, 31, 23, tzinfo=UTC)) is Match.NO


def test_a_time_with_a_zone_is_taken_to_the_second() -> None:
    until = period(end="2026-07-01T10:00:00+01:00")
    assert until.contains(datetime(2026, 7, 1, 9, tzinfo=UTC)) is Match.YES
    assert until.contains(datetime(2026, 7, 1, 9, 0, 1, tzinfo=UTC)) is Match.NO
    assert until.timed_end


@pytest.mark.parametrize(
    "bound",
    ["2026-07-01T10:00:00", "2026-07-01T10:00", "2026-13-01", "soon", 2026, ["2026"], {}, True],
)
@pytest.mark.parametrize("name", ["start", "end"])
def test_a_bound_that_is_not_understood_makes_the_period_unknown(bound: object, name: str) -> None:
    read = period_of({name: bound}, LONDON)
    assert read is not None
    assert read.contains(datetime(2026, 7, 1, tzinfo=UTC)) is Match.UNKNOWN


def test_a_bound_that_is_only_an_extension_is_not_understood() -> None:
    assert period(_end={"extension": []}).malformed


@pytest.mark.parametrize("value", ["2026", [], 7, True])
def test_a_period_that_is_no_object_is_not_understood(value: object) -> None:
    assert period_of(value, LONDON) == Period(malformed=True)


def test_no_period_is_none() -> None:
    assert period_of(None, LONDON) is None


NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Europe/London", "Europe/Berlin", "Pacific/Niue"])
@pytest.mark.parametrize(
    "end", ["9999", "9999-12-31", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"]
)
@pytest.mark.parametrize("start", ["0001", "0001-01-01", "0001-01-01T00:00:00+14:00"])
def test_a_period_from_the_first_to_the_last_day_there_is_never_ends(
    start: str, end: str, zone: str
) -> None:
    read = period_of({"start": start, "end": end}, ZoneInfo(zone))
    assert read is not None
    assert read.contains(NOW, denial=True) is read.contains(NOW) is Match.YES


@given(value=json_values(), start=json_values(), end=json_values(), denial=st.booleans())
def test_whatever_a_period_holds_reading_it_never_raises(
    value: Any, start: Any, end: Any, denial: bool
) -> None:
    for written in (value, {"start": start, "end": end}):
        read = period_of(written, LONDON)
        assert read is None or read.contains(NOW, denial=denial) in Match


@given(json_values())
def test_whatever_stands_there_access_never_raises(value: Any) -> None:
    list(codings(value))
    list(extensions(value, "x"))
    list(extensions({"extension": value}, "x"))
    reference_keys(value, BASE)
    reference_keys({"reference": value, "identifier": value}, BASE)
    for resource in (element(value), {"identifier": value, "id": value, "meta": value}):
        own_keys(resource)
        nhs_number(resource)
        labels(resource)
        version_of(resource)
    days_of(value)
    instant_of(value)
