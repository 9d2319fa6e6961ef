"""What comes in wrongly gets a clear problem over real HTTP; nothing is opened, nothing sent."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fhirmsg.sandbox import Store, serve_in_thread
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.serving import CHECK_ONLY_KEY, KEY, Serving, a_message, serving, write_settings
from tests.world import a_patient_resource, communications, put


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The embedded store with one patient."""
    with serve_in_thread(Store()) as running:
        put(running.base_url, a_patient_resource())
        yield running.base_url


@pytest.fixture(scope="module")
def adapter(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A serving process before the embedded store."""
    with serving(write_settings(tmp_path_factory.mktemp("adapter"), store)) as running:
        yield running


def problem(answer: requests.Response, status: int) -> dict[str, Any]:
    """Give the problem of an answer, checked to be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["retry"] in ("never", "after", "now")
    return body


def raw(adapter: Serving, body: bytes, **headers: str) -> requests.Response:
    """POST bytes as they are."""
    sent = {
        "Authorization": f"Bearer {KEY}",
        "Idempotency-Key": "raw",
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return requests.post(f"{adapter.url}/v1/messages", data=body, headers=sent, timeout=60)


@pytest.fixture(autouse=True)
def nothing_is_sent(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each of these tests the outbox and the record are as empty as before."""
    yield
    if "adapter" in request.fixturenames:
        adapter: Serving = request.getfixturevalue("adapter")
        assert adapter.outbox() == []
        assert communications(request.getfixturevalue("store")) == []


def test_bad_json_says_where_it_ends(adapter: Serving) -> None:
    body = problem(raw(adapter, b'{"patient": "Patient/amara",'), 400)
    assert "line 1" in json.dumps(body)


def test_unknown_fields_are_named_all_at_once(adapter: Serving) -> None:
    message = a_message(colour="blue")
    message["content"]["footer"] = "x"
    body = problem(adapter.send("k", **message), 400)
    assert {error["pointer"] for error in body["errors"]} >= {"/colour", "/content/footer"}


def test_a_body_of_two_megabytes_is_too_large(adapter: Serving) -> None:
    message = a_message(content={"body": "x" * 2_000_000})
    problem(raw(adapter, json.dumps(message).encode()), 413)


def test_another_media_type_is_not_read(adapter: Serving) -> None:
    problem(raw(adapter, b"<message/>", Content_Type="application/xml"), 415)


def test_an_answer_in_an_unknown_type_cannot_be_given(adapter: Serving) -> None:
    problem(raw(adapter, json.dumps(a_message()).encode(), Accept="text/html"), 406)


def test_a_missing_api_key_is_not_let_in(adapter: Serving) -> None:
    answer = requests.post(f"{adapter.url}/v1/messages", json=a_message(), timeout=60)
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_that_may_only_check_cannot_send(adapter: Serving) -> None:
    answer = adapter.post("/v1/messages", a_message(), key=CHECK_ONLY_KEY, Idempotency_Key="k")
    problem(answer, 403)


def test_a_missing_idempotency_key_is_named(adapter: Serving) -> None:
    body = problem(adapter.post("/v1/messages", a_message()), 400)
    assert "Idempotency-Key" in json.dumps(body)


def test_an_unknown_patient_is_not_found(adapter: Serving) -> None:
    problem(adapter.send("k", patient="Patient/nobody"), 404)


def test_an_unknown_related_person_is_not_found(adapter: Serving) -> None:
    problem(adapter.send("k", recipient="RelatedPerson/nobody"), 404)


def test_an_organisation_the_client_does_not_hold_is_forbidden(adapter: Serving) -> None:
    problem(adapter.send("k", organization="Z99999"), 403)


def test_a_device_the_organisation_does_not_allow_is_refused(adapter: Serving) -> None:
    body = adapter.send("k", device="personal").json()
    assert body["status"] == "refused"
    assert body["decision"]["findings"][0]["code"] == "platform.device"


@pytest.fixture
def before(tmp_path: Path) -> Any:
    """Start a serving process before some FHIR server."""

    def start(base: str) -> Any:
        return serving(
            write_settings(
                tmp_path, base, FHIRMSG_FHIR_CONNECT_TIMEOUT="1", FHIRMSG_FHIR_DEADLINE="3"
            )
        )

    return start


def test_a_dead_fhir_server_is_said_and_nothing_is_sent(before: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with before(f"http://127.0.0.1:{port}/fhir") as adapter:
        answer = adapter.send("k")
        assert problem(answer, 503)["retry"] == "after"
        assert int(answer.headers["Retry-After"]) > 0
        assert adapter.outbox() == []


def html(_: Request) -> Reply:
    """Answer as a portal that wants a log-in."""
    return Reply(200, b"<html><body>Please log in</body></html>", "text/html")


def test_a_fhir_server_that_answers_html_is_said_and_nothing_is_sent(
    before: Any, store: str
) -> None:
    with reverse_proxy(store, html) as base, before(base) as adapter:
        answer = adapter.send("k")
        assert "FHIR" in problem(answer, 503)["detail"]
        assert adapter.outbox() == []


def with_an_entry_that_is_no_resource(request: Request) -> Reply | None:
    """Answer the batch with a Consent search in which one entry is a word."""
    if b'"batch"' not in request.body:
        return None
    patient = {**a_patient_resource(), "meta": {"versionId": "1"}}
    empty = {"resourceType": "Bundle", "type": "searchset", "total": 0}
    broken = {**empty, "total": 1, "entry": [{"resource": "banana"}]}
    answers = {"Patient/": patient, "Consent?": broken}
    entries = [
        {
            "response": {"status": "200"},
            "resource": next(
                (given for path, given in answers.items() if asked.startswith(path)), empty
            ),
        }
        for entry in json.loads(request.body)["entry"]
        for asked in (entry["request"]["url"],)
    ]
    bundle = {"resourceType": "Bundle", "type": "batch-response", "entry": entries}
    return Reply(200, json.dumps(bundle).encode())


def test_a_bundle_with_an_entry_that_is_no_resource_holds_the_message(
    before: Any, store: str
) -> None:
    with reverse_proxy(store, with_an_entry_that_is_no_resource) as base, before(base) as adapter:
        answer = adapter.send("k")
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "held"
        assert [f["code"] for f in answer.json()["decision"]["findings"]] == ["read.incomplete"]
        assert adapter.outbox() == []
