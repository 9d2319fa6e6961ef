"""Code systems compared: one system is written in many ways."""

from __future__ import annotations

import pytest

from fhirmsg.guidance.coding import any_system, normal_system, service_code, service_token


@pytest.mark.parametrize(
    "written",
    [
        "http://Example.org/CodeSystem/Coding-Test",
        "https://example.org/codesystem/coding-test",
        "https://example.org/CodeSystem/coding-test/",
        "  http://example.org/CodeSystem/coding-test|4.0.1 ",
        "HTTPS://EXAMPLE.ORG/CODESYSTEM/CODING-TEST//",
    ],
)
def test_a_system_is_the_same_however_it_is_written(written: str) -> None:
    assert normal_system(written) == "http://example.org/codesystem/coding-test"


@pytest.mark.parametrize("written", [None, 7, ["http://example.org"], {}])
def test_what_is_no_text_is_no_system(written: object) -> None:
    assert normal_system(written) == ""


def test_older_names_are_the_systems_they_became() -> None:
    assert normal_system("HTTP://hl7.org/fhir/v3/RoleCode|x") == (
        "http://terminology.hl7.org/codesystem/v3-rolecode"
    )
    assert normal_system("https://fhir.nhs.uk/STU3/CodeSystem/RARecord-ProxyRole-1") == (
        "http://fhir.nhs.uk/england/codesystem/flagproxyrole"
    )


def test_only_the_scheme_of_the_web_is_taken_for_another() -> None:
    assert normal_system("urn:https://x") == "urn:https://x"
    assert normal_system("ftp://Example.org/A") == "ftp://example.org/a"


def test_a_service_has_a_system_and_a_code_or_a_code_alone() -> None:
    assert service_token("https://Example.org/S/", " 7 ") == "http://example.org/s|7"
    assert service_code(" https://Example.org/S|7 ") == "http://example.org/s|7"
    assert service_code(" 7 ") == "7"
    assert service_code("a|b|C") == "a|C"
    assert any_system("7") == "*|7"
