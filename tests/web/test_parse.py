"""What a body may hold: every fault has a pointer, all come at once, and none repeats a value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.guidance.request import BroughtContactPoint, Evidence, message_digest
from fhirmsg.guidance.terms import Declared, Device, Occasion
from fhirmsg.web.parse import Refused, parse
from tests import builders
from tests.web.app_under_test import POLICY, Face, a_body

BASE = "https://ehr.example/fhir"
BLANK_PERSON = "/requester/identifier"
EMAIL = {"channel": "email", "content": {"body": "Hello", "subject": "Your visit"}}


def pointers(**changes: Any) -> list[str]:
    """Give the pointers of the faults of a changed body."""
    with pytest.raises(Refused) as refused:
        parse(a_body(**changes), {"A12345": POLICY}, BASE)
    return [fault.pointer for fault in refused.value.faults]


def parsed(**changes: Any) -> Any:
    """Give the request in a changed body."""
    return parse(a_body(**changes), {"A12345": POLICY}, BASE).request


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"purpose": None}, "/purpose"),
        ({"purpose": "banana"}, "/purpose"),
        ({"channel": "pigeon"}, "/channel"),
        ({"patient": "Practitioner/1"}, "/patient"),
        ({"patient": "Patient/with space"}, "/patient"),
        ({"patient": "Patient/../Consent"}, "/patient"),
        ({"patient": "https://elsewhere.example/fhir/Patient/1"}, "/patient"),
        ({"patient": "system|"}, "/patient"),
        ({"recipient": "somebody"}, "/recipient"),
        ({"about": ["Appointment/1", "no"]}, "/about/1"),
        ({"platform": "carrier"}, "/platform"),
        ({"content": {"body": ""}}, "/content/body"),
        ({"content": {"body": " \u200b\n"}}, "/content/body"),
        ({"content": {"body": "a\x00b"}}, "/content/body"),
        ({"content": {"body": "Dear ((name))"}}, "/content/body"),
        ({"content": {"body": "Dear {{name}}"}}, "/content/body"),
        ({"content": {"body": "Dear {first_name}"}}, "/content/body"),
        ({"content": {"body": "Dear [[name]]"}}, "/content/body"),
        ({"content": {"body": "Dear <<name>>"}}, "/content/body"),
        ({"content": {"body": "Dear ${name}"}}, "/content/body"),
        ({"content": {"body": "x" * 919}}, "/content/body"),
        ({"content": {"body": "Hello", "subject": "for a text"}}, "/content/subject"),
        ({"channel": "email"}, "/content/subject"),
        ({**EMAIL, "content": {"body": "Hello", "subject": "a\r\nBcc: b"}}, "/content/subject"),
        ({"record": "summary"}, "/content/summary"),
        ({"confidential": "perhaps"}, "/confidential"),
        ({"recipient": "RelatedPerson/ben", "service": {"code": "x"}}, "/service/sensitive"),
        ({"recipient": "RelatedPerson/ben", "service": None}, "/service/sensitive"),
        ({"not_after": "2026-05-14T10:00:00"}, "/not_after"),
        ({"not_after": "tomorrow"}, "/not_after"),
        ({"not_after": "0001-01-01T00:00:00+14:00"}, "/not_after"),
        ({"occasion": "birthday"}, "/occasion"),
        ({"device": "borrowed"}, "/device"),
        (
            {"requester": {"identifier": "\u200b", "name": "N", "role": "r"}},
            "/requester/identifier",
        ),
        ({"evidence": {"override": {"reason": "x\ud800"}}}, "/evidence/override/reason"),
        ({"confidential": "\ud800"}, "/confidential"),
        ({"content": {"body": "\ud800"}, "colour": "blue"}, "/content/body"),
        ({"about": ["http://[bad/Patient/1"]}, "/about/0"),
        ({"patient": "Patient/.."}, "/patient"),
        ({"evidence": {"override": {"reason": 7}}}, "/evidence/override/reason"),
        ({"evidence": {"override": {"approved": True}}}, "/evidence/override/approved"),
        ({"evidence": {"override": {"expires_at": "2026-01-01"}}}, "/evidence/override/expires_at"),
    ],
)
def test_a_fault_is_named_by_its_pointer(changes: dict[str, Any], pointer: str) -> None:
    assert pointers(**changes) == [pointer]


def test_faults_are_named_all_at_once() -> None:
    found = pointers(channel="pigeon", purpose="banana", colour="blue", requester={})
    assert found == [
        "/channel",
        "/colour",
        "/purpose",
        "/requester/identifier",
        "/requester/name",
        "/requester/role",
    ]


def test_a_policy_that_files_summaries_needs_one() -> None:
    filing = {"A12345": replace(POLICY, record_copy=False)}
    with pytest.raises(Refused) as refused:
        parse(a_body(), filing, BASE)
    assert [fault.pointer for fault in refused.value.faults] == ["/content/summary"]
    parse(a_body(content={"body": "Hello", "summary": "A greeting"}), filing, BASE)


def test_what_asks_for_nothing_may_be_sent_along() -> None:
    nothing = {
        "emergency": None,
        "acknowledged": [],
        "individual_check": None,
        "reviews": [],
        "necessity": None,
        "practical_reason": None,
        "accessible_alternative": None,
        "override": None,
    }
    request = parsed(evidence=nothing, occasion=None, device=None, contact_point=None, about=None)
    assert request == parsed()
    assert request.evidence == Evidence()
    assert (request.occasion, request.device) == (Occasion.OTHER, Device.ORGANISATION)
    assert request.contact_point is None


@pytest.mark.parametrize("declared", list(Declared))
def test_what_a_sender_says_of_the_content_is_taken_as_it_is(declared: Declared) -> None:
    assert parsed(confidential=str(declared)).confidential is declared


def test_occasion_and_device_are_taken_and_are_part_of_the_message() -> None:
    request = parsed(occasion="follow-up", device="shared")
    assert (request.occasion, request.device) == (Occasion.FOLLOW_UP, Device.SHARED)
    assert parsed(device="personal").device is Device.PERSONAL
    digests = {message_digest(each) for each in (request, parsed(), parsed(device="shared"))}
    assert len(digests) == 3


# --- a contact point that is brought -----------------------------------------------------------

NUMBER = {"system": "phone", "value": "07700 900123", "source": "said at the door"}
DECLARED = {"emergency": {}}


def test_a_contact_point_is_taken_beside_an_emergency_declaration_as_it_is_written() -> None:
    found = parsed(contact_point=NUMBER, evidence=DECLARED).contact_point
    assert found == BroughtContactPoint(
        system="phone", value="07700 900123", source="said at the door"
    )
    assert "900123" not in repr(found)


@pytest.mark.parametrize("evidence", [None, {}, {"emergency": None}, {"override": {}}])
def test_in_all_other_cases_the_contact_point_comes_from_the_record(
    evidence: dict[str, Any] | None,
) -> None:
    assert pointers(contact_point=NUMBER, evidence=evidence) == ["/contact_point"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"system": "fax"}, "/contact_point/system"),
        ({"value": ""}, "/contact_point/value"),
        ({"value": " \u200b"}, "/contact_point/value"),
        ({"value": 7700900123}, "/contact_point/value"),
        ({"value": "0" * 321}, "/contact_point/value"),
        ({"value": "07700\x00900123"}, "/contact_point/value"),
        ({"source": "\u2800"}, "/contact_point/source"),
        ({"source": None}, "/contact_point/source"),
        ({"use": "mobile"}, "/contact_point/use"),
    ],
)
def test_a_contact_point_says_its_system_its_value_and_its_source(
    changes: dict[str, Any], pointer: str
) -> None:
    assert pointers(contact_point={**NUMBER, **changes}, evidence=DECLARED) == [pointer]


def test_nothing_of_a_contact_point_may_be_left_out() -> None:
    assert pointers(contact_point={}, evidence=DECLARED) == [
        "/contact_point/source",
        "/contact_point/system",
        "/contact_point/value",
    ]


def test_references_to_our_server_are_reduced_to_what_they_name() -> None:
    for written in (
        "Patient/amara",
        "Patient/amara/_history/3",
        "https://ehr.example/fhir/Patient/amara",
        "http://ehr.example/fhir/Patient/amara/_history/2",
    ):
        assert parsed(patient=written).patient == "Patient/amara"


def test_the_patient_is_the_recipient_unless_somebody_else_is_named() -> None:
    assert parsed(recipient=None).recipient == "Patient/amara"
    assert parsed(recipient="RelatedPerson/ben").recipient == "RelatedPerson/ben"


def test_a_service_code_is_compared_without_regard_to_scheme_and_version() -> None:
    one = parsed(service={"code": "https://Codes.example/services|x", "sensitive": "no"})
    other = parsed(service={"code": "http://codes.example/services/|x", "sensitive": "no"})
    assert one.service == other.service


def test_evidence_does_not_change_the_message_and_everything_else_does() -> None:
    plain = message_digest(parsed())
    assert message_digest(parsed(evidence={"override": {"reason": "x"}})) == plain
    assert message_digest(parsed(record="copy", about=[])) == plain
    assert message_digest(parsed(purpose="prescription")) != plain
    assert message_digest(parsed(content={"body": "Another text"})) != plain


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        *sorted(a_body()),
        *("recipient", "about", "evidence", "record", "occasion", "device", "contact_point"),
    ]
)


@given(st.dictionaries(FIELDS, JSON, max_size=6))
def test_no_body_whatever_is_a_fault_of_ours(changes: dict[str, Any]) -> None:
    answer = Face().post(a_body(**changes))
    assert answer.status_code in (200, 400, 403)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_are_a_fault_of_ours(raw: bytes) -> None:
    face = Face()
    headers = {
        "Authorization": "Bearer fm_key-of-a-sender",
        "Idempotency-Key": "k",
        "Content-Type": "application/json",
    }
    assert face.client.post("/v1/messages", data=raw, headers=headers).status_code == 400


def test_no_error_repeats_what_was_sent() -> None:
    canary = "zanzibar-07700900987"
    face = Face()
    for field in sorted(a_body()):
        answer = face.post(a_body(**{field: canary}))
        assert canary not in answer.text
    nested = face.post(a_body(**{canary: canary}, content={canary: canary, "body": 7}))
    assert canary not in nested.text
    assert nested.status_code == 400


def test_the_builders_make_the_same_kind_of_request() -> None:
    assert type(parsed()) is type(builders.a_request())


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "line 1"),
        (b'{"a": 1,\n "a" 2}', "line 2"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b"[1]", "object"),
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number"),
    ],
)
def test_what_is_no_json_object_is_said_without_quoting_it(raw: bytes, word: str) -> None:
    headers = {
        "Authorization": "Bearer fm_key-of-a-sender",
        "Idempotency-Key": "k",
        "Content-Type": "application/json",
    }
    answer = Face().client.post("/v1/messages", data=raw, headers=headers)
    assert answer.status_code == 400
    assert word in json.loads(answer.text)["errors"][0]["detail"]
