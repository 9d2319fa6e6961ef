"""Line breaks in whatever becomes a header or an address of a message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.security.whole import Whole, send, whole
from tests.world import a_patient_resource, put

BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x00", "\r\n\r\n"]
EVIL = "Bcc: somebody.else@example.org"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Whole, FlaskClient]]:
    folder: Path = tmp_path_factory.mktemp("whole")
    with whole(folder) as found:
        yield found, found.service().app.test_client()


@pytest.fixture(autouse=True)
def nothing_taken(service: tuple[Whole, FlaskClient]) -> None:
    found, _ = service
    found.mailbox.envelopes.clear()
    found.gateway.taken.clear()
    found.gateway.requests.clear()
    put(found.base, a_patient_resource())


def a_letter(number: int, **changes: Any) -> dict[str, Any]:
    content = {"subject": "Your appointment", "body": f"Please come on Monday ({number}).\n"}
    return {"channel": "email", "platform": "letters", "content": {**content, **changes}}


@pytest.mark.parametrize("number", range(len(BREAKS)))
def test_a_subject_adds_no_header_and_no_recipient(
    service: tuple[Whole, FlaskClient], number: int
) -> None:
    found, client = service
    letter = a_letter(number, subject=f"Hello{BREAKS[number]}{EVIL}")
    answer = send(client, f"subject-{number}", **letter)
    assert answer.status_code in (200, 400), answer.text
    # Refused by the provider for good, or turned away as a bad request; nothing of it left.
    if answer.status_code == 200:
        assert answer.get_json()["status"] in ("failed", "held", "refused")
    assert found.mailbox.envelopes == []


@pytest.mark.parametrize("number", range(len(BREAKS)))
def test_an_address_on_record_adds_no_header_and_no_recipient(
    service: tuple[Whole, FlaskClient], number: int
) -> None:
    found, client = service
    value = f"amara@example.com{BREAKS[number]}{EVIL}"
    telecom = [{"system": "email", "value": value, "period": {"start": "2025-01-01"}}]
    put(found.base, a_patient_resource(telecom=telecom))
    answer = send(client, f"address-{number}", **a_letter(100 + number))
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["status"] in ("failed", "held", "refused")
    assert found.mailbox.envelopes == []


def test_a_body_stays_a_body(service: tuple[Whole, FlaskClient]) -> None:
    found, client = service
    tricky = f"Please call.\r\n.\r\nMAIL FROM:<x@example.org>\r\n{EVIL}\r\n.\r\nQUIT\r\n"
    assert send(client, "dots", **a_letter(0, body=tricky)).status_code == 201
    [envelope], [letter] = found.mailbox.envelopes, found.mailbox.letters
    assert envelope.rcpt_tos == ["amara@example.com"]
    assert letter.get_all("Bcc") is None
    assert EVIL in letter.get_content()


@pytest.mark.parametrize("number", range(len(BREAKS)))
def test_a_text_adds_no_header_to_a_request(
    service: tuple[Whole, FlaskClient], number: int
) -> None:
    found, client = service
    telecom = [
        {
            "system": "phone",
            "use": "mobile",
            "value": f"07700 900123{BREAKS[number]}X-Evil: yes",
            "period": {"start": "2025-01-01"},
        }
    ]
    body = f"Call us {number}{BREAKS[number]}X-Evil: yes"
    # A character that no text may have is a bad request, a line break is part of the text.
    assert send(client, f"text-{number}", content={"body": body}).status_code in (201, 400)
    put(found.base, a_patient_resource(telecom=telecom))
    answer = send(client, f"number-{number}", content={"body": f"Call us now {number}"})
    assert answer.status_code == 200, answer.text
    for heard in found.gateway.requests:
        assert "x-evil" not in heard.headers
    assert [each.to for each in found.gateway.taken] in ([], ["+447700900123"])


@pytest.mark.parametrize("header", ["X-Correlation-ID", "traceparent", "Idempotency-Key"])
def test_what_a_caller_puts_into_headers_goes_no_further(
    service: tuple[Whole, FlaskClient], header: str
) -> None:
    _, client = service
    name = f"HTTP_{header.upper().replace('-', '_')}"
    answer = client.get(
        "/v1/rules",
        headers={"Authorization": "Bearer nobody"},
        environ_overrides={name: "x\r\nX-Evil: yes"},
    )
    assert answer.status_code == 401
    assert "X-Evil" not in answer.headers
    assert all("\n" not in value and "\r" not in value for value in answer.headers.values())
