"""`GET /v1/patients/{id}/contact`: who may ask, and what they are told."""

from __future__ import annotations

import pytest

from fhirmsg.errors import PatientNotFound
from tests.web.app_under_test import (
    KEY,
    KNOWING_KEY,
    OVERRIDER_KEY,
    READER_KEY,
    Face,
    FakeOverview,
)

PATH = "/v1/patients/amara/contact"


def test_a_reader_is_told_who_may_be_told_and_how() -> None:
    face = Face()
    answer = face.get(PATH)
    assert answer.status_code == 200
    assert face.overview.asked == [("Patient/amara", "A12345")]
    body = answer.get_json()
    assert body["channels"][0]["contact_point_ends_in"] == "123"
    assert body["proxies"][0]["basis"] == "explicit consent"
    assert body["preferences"]["times"] == ["mornings"]
    assert body["needs"][0]["name"] == "braille"


def test_the_reason_of_an_objection_is_for_those_with_a_scope_for_it() -> None:
    without = Face().get(PATH, OVERRIDER_KEY).get_json()["objections"]
    assert without == [
        {
            "evidence": {"reference": "Consent/1", "versionId": "2", "lastUpdated": None},
            "says": "active",
            "channel": "email",
        }
    ]
    knowing = Face().get(f"{PATH}?organization=a12345", KNOWING_KEY).get_json()["objections"]
    assert knowing[0]["reason"] == "Others read it"


def test_a_client_of_several_organisations_says_for_which_it_asks() -> None:
    assert Face().get(PATH, KNOWING_KEY).status_code == 400


@pytest.mark.parametrize(
    ("query", "key", "status"),
    [
        ("?organization=C00001", KEY, 403),
        ("", READER_KEY, 403),
        ("?organization=B67890", KEY, 403),
        ("?colour=red", KEY, 400),
        ("", "fm_nobodys", 401),
    ],
)
def test_who_may_not_ask_is_told_so(query: str, key: str, status: int) -> None:
    face = Face()
    assert face.get(PATH + query, key).status_code == status
    assert face.overview.asked == []


def test_an_id_that_is_none_is_a_bad_request() -> None:
    assert Face().get("/v1/patients/a%7Cb/contact").status_code == 400


def test_a_patient_nobody_knows_is_not_found() -> None:
    face = Face(overview=FakeOverview(found=PatientNotFound("No such patient.")))
    assert face.get(PATH).status_code == 404
