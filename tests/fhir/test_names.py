"""The patient's own details, to be looked for in a message."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fhirmsg.fhir.names import known_identifiers
from fhirmsg.guidance.wording import KnownIdentifiers
from tests.world import a_patient_resource


def known(**changes: Any) -> KnownIdentifiers:
    return known_identifiers(a_patient_resource(**changes))


def test_every_name_is_known() -> None:
    found = known(
        name=[
            {"use": "official", "family": "Example", "given": ["Amara", "Joy"]},
            {"use": "nickname", "given": ["Mari"]},
            {"use": "old", "family": "Sample", "given": ["Amara"]},
            {"text": "Amara Mae Test"},
        ]
    )
    assert found.given == ("Amara", "Joy", "Mari", "Mae")
    assert found.family == ("Example", "Sample", "Test")


@pytest.mark.parametrize("name", [[{"given": "Amara", "family": ["Example"]}], [{"text": " "}], 7])
def test_a_name_in_another_shape_is_read_as_far_as_it_goes(name: Any) -> None:
    assert known(name=name).given in ((), ("Amara",))


@pytest.mark.parametrize(
    ("written", "born"),
    [("1984-03-02", date(1984, 3, 2)), ("1984-03", None), ("1984", None), (None, None)],
)
def test_only_a_full_birth_date_is_known(written: Any, born: date | None) -> None:
    assert known(birthDate=written).born == born


def test_the_number_is_known_without_spaces() -> None:
    system = "https://fhir.nhs.uk/Id/nhs-number"
    assert known(identifier=[{"system": system, "value": "999 000 0018"}]).nhs_number == (
        "9990000018"
    )


def test_the_town_is_no_line_of_the_street() -> None:
    found = known(
        address=[
            {
                "line": ["Flat 2", "14 Made Up Road", "Little Town"],
                "city": "Little Town",
                "postalCode": "ZZ99 3AA",
            }
        ]
    )
    assert found.address_lines == ("Flat 2", "14 Made Up Road")
    assert found.postcode == "ZZ99 3AA"


def test_of_five_lines_without_a_town_the_last_two_are_town_and_county() -> None:
    lines = ["", "14 Made Up Road", "Nowhere End", "Little Town", "Invented Shire"]
    found = known(address=[{"line": lines}])
    assert found.address_lines == ("14 Made Up Road", "Nowhere End")


def test_the_present_address_comes_before_an_old_one() -> None:
    old = {"use": "old", "line": ["1 Before Lane"], "postalCode": "ZZ99 1AA"}
    present = {"use": "home", "line": ["2 Now Lane"], "postalCode": "ZZ99 2AA"}
    found = known(address=[old, present])
    assert found.address_lines == ("2 Now Lane", "1 Before Lane")
    assert found.postcode == "ZZ99 2AA"


def test_nothing_of_it_is_printed() -> None:
    found = known(name=[{"family": "Example"}])
    assert "Example" not in repr(found)
    assert "9990000018" not in repr(found)
