"""Headers and bodies made to do harm, other people's messages, and what the log makes of it."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg import logs
from fhirmsg.clients import digest_of
from fhirmsg.web.limits import RateLimits
from tests.security.issuer import a_face, portal
from tests.web.app_under_test import KEY, READER_KEY, Face, a_body
from tests.web.test_routes import an_entry


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer  ",
        f"bearer\t{KEY}",
        f"Basic {KEY}",
        KEY,
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY}, Bearer {KEY}",
        f"Bearer {KEY}\x00",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}x",
        f"Bearer {KEY.upper()}",
        f"Bearer {digest_of(KEY)}",
        "Bearer " + " " * 9000 + KEY,
        "Bearer " + "x" * 200_000,
        "Bearer " + "." * 200_000,
        "Bearer \xe9\xff",
        "Bearer \x7f",
        "Bearer \x1b[31m",
    ],
)
def test_no_other_header_opens_the_door(header: str) -> None:
    face = a_face(portal())
    began = time.perf_counter()
    answer = face.client.get("/v1/rules", environ_overrides={"HTTP_AUTHORIZATION": header})
    assert answer.status_code == 401
    assert time.perf_counter() - began < 1
    assert KEY not in answer.text
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@given(given=st.text(st.characters(max_codepoint=255), max_size=80))
def test_whatever_stands_in_the_header_the_answer_is_a_401(given: str) -> None:
    answer = FACE.client.get("/v1/rules", environ_overrides={"HTTP_AUTHORIZATION": given})
    assert answer.status_code in (401, 429)


FACE = a_face(portal(), limits=RateLimits())


def test_a_key_is_not_taken_from_anywhere_else() -> None:
    client = Face().client
    client.set_cookie("Authorization", f"Bearer {KEY}")
    assert client.get(f"/v1/rules?access_token={KEY}").status_code == 401
    assert client.get("/v1/rules", headers={"X-API-Key": KEY}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 250_000,
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"patient": ' + b"9" * 200_000 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b"\xff\xfe{}",
        b"\x00",
        b"",
    ],
)
def test_a_body_that_is_made_to_break_a_reader_is_a_bad_request(body: bytes) -> None:
    face = Face()
    began = time.perf_counter()
    answer = face.client.post(
        "/v1/messages",
        data=body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k"},
    )
    assert answer.status_code == 400
    assert time.perf_counter() - began < 2
    assert face.messenger.calls == []


def test_a_body_that_is_too_large_is_not_read() -> None:
    face = Face()
    answer = face.client.post(
        "/v1/messages",
        data=b" " * (256 * 1024 + 1),
        content_type="application/json",
        headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k"},
    )
    assert answer.status_code == 413


def test_a_body_is_not_read_for_somebody_who_is_not_known() -> None:
    answer = Face().client.post("/v1/messages", data=b"[" * 250_000, content_type="text/plain")
    assert answer.status_code == 401


def test_another_clients_message_looks_like_one_that_never_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    face = Face()
    face.history.entries = (an_entry(),)
    theirs = face.get("/v1/messages/the-id", READER_KEY)
    nobodys = face.get("/v1/messages/another", READER_KEY)
    assert theirs.status_code == nobodys.status_code == 404
    strip = {"correlation_id": None}
    assert theirs.get_json(force=True) | strip == nobodys.get_json(force=True) | strip
    ours = {"X-Correlation-ID", "traceparent"}
    assert {k: v for k, v in theirs.headers.items() if k not in ours} == {
        k: v for k, v in nobodys.headers.items() if k not in ours
    }
    [line] = [each.__dict__ for each in caplog.records if each.getMessage() == "access refused"]
    assert (line["reason"], line["client"]) == ("message of another organisation", "reader")


def test_faults_of_a_message_for_another_organisation_tell_nothing_of_its_policy() -> None:
    known_to_us_alone = a_face(
        portal(key_sha256=(digest_of("fm_b"),), organisations=frozenset({"B67890"}))
    )
    for platform in ("no-such-platform", "texts"):
        body = a_body(platform=platform)
        answer = known_to_us_alone.post(body, Authorization="Bearer fm_b")
        assert answer.status_code == 403


@pytest.fixture
def lines() -> Iterator[Any]:
    """What our loggers write, as it leaves the process."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("fhirmsg")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: stream.getvalue().splitlines()
    logger.removeHandler(handler)
    logger.setLevel(before)


INJECTION = 'x"}\r\n{"level": "info", "message": "sent", "client": "sender"}'


def test_nobody_writes_a_line_of_their_own_into_the_log(lines: Any) -> None:
    face = a_face(portal())
    face.client.get("/v1/rules", environ_overrides={"HTTP_AUTHORIZATION": f"Bearer {INJECTION}"})
    face.client.get(
        "/v1/rules",
        environ_overrides={
            "HTTP_AUTHORIZATION": f"Bearer {KEY}x",
            "REMOTE_ADDR": INJECTION,
            "HTTP_X_CORRELATION_ID": INJECTION,
        },
    )
    written = [json.loads(line) for line in lines()]
    assert [line["message"] for line in written] == ["authentication failed", "request"] * 2
    assert [line.get("client") for line in written] == [None] * 4
    assert not any(KEY in line for line in lines())


def test_no_patient_data_of_a_refused_call_is_logged(lines: Any) -> None:
    face = a_face(portal())
    body = a_body(patient="Patient/nobody-may-know", content={"body": "Call 07700 900123, Amara"})
    face.post(body, Authorization="Bearer fm_wrong")
    face.post(body | {"organization": "Z99999"})
    face.post(body | {"requester": {"identifier": "x", "name": "Xenia", "role": "y"}})
    text = "\n".join(lines())
    reasons = [json.loads(line).get("reason") for line in lines()]
    assert [reason for reason in reasons if reason] == ["key", "organisation", "person"]
    for secret in ("nobody-may-know", "07700", "Amara", "Xenia", "fm_wrong", "Z99999"):
        assert secret not in text
