"""Paths, headers and bodies made to do harm, at every address of a real serving process.

No answer is a fault of ours, the FHIR server is asked for nothing outside of what an address is
for, and every line of the log stays one line of ours.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.providers import fake_gateway, fake_nhs_notify, fake_notify
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.security.whole import Whole, whole
from tests.serving import KEY, Serving, a_message, serving

ROUTES = [
    ("GET", "/v1/messages/{}"),
    ("GET", "/v1/patients/{}/messages"),
    ("GET", "/v1/patients/{}/contact"),
    ("POST", "/v1/receipts/{}"),
    ("POST", "/v1/inbound/{}"),
]
TRICKS = [
    *("..", ".", "%2e%2e", "%2E", ".%2e", "%252e%252e", "..%2f..%2fmetadata", "..%5c..%5cx"),
    *(
        "amara%2f..%2f..%2fmetadata",
        "amara%00",
        "%00",
        "amara%0d%0aX-Evil:%20yes",
        "%0a",
        "%1b[31m",
    ),
    *("%1b[31m", "amara;x=1", "amara%3fstatus=x", "amara%23x", "amara%26_id=x", "amara%7cx"),
    *("amara,bede", "a%20b", "%c0%ae%c0%ae", "%ff", "%e2%80%ae", "x" * 65, "x" * 4000, "9" * 65),
    *(
        "__proto__",
        "*",
        "%25",
        "%25%32%65",
        "$everything",
        "%24everything",
        "_history",
        "amara%5f",
        "'--",
    ),
    *("'--", "webhook%2f..%2fwebhook", "WEBHOOK", "webhook%00", "webhook%20", "outbox", "smtp"),
]
NO_LINE = 'x"}\r\n{"level": "info", "message": "forged"}\x1b[2J\x1b[31m'


@dataclass
class Process:
    """A serving process, every request that reached the FHIR server, and the providers."""

    adapter: Serving
    there: Whole
    asked: list[Request] = field(default_factory=list)

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> http.client.HTTPResponse:
        """Make a request with the path exactly as it is given."""
        connection = http.client.HTTPConnection(urlsplit(self.adapter.url).netloc, timeout=60)
        connection.putrequest(method, path, skip_accept_encoding=True)
        sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **headers}
        for name, value in sent.items():
            connection._buffer.append(f"{name.replace('_', '-')}: {value}".encode("latin-1"))  # type: ignore[attr-defined]
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.text = answer.read().decode("latin-1")  # type: ignore[attr-defined]
        connection.close()
        return answer


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    asked: list[Request] = []

    def keep(request: Request) -> Reply | None:
        asked.append(request)
        return None

    with whole(tmp_path_factory.mktemp("whole")) as there:
        with reverse_proxy(there.base, keep) as base:
            environment = {
                **there.environment,
                "FHIRMSG_FHIR_BASE_URL": base,
                "FHIRMSG_LOG_LEVEL": "DEBUG",
                "FHIRMSG_RATE_LIMIT": "9000/minute",
                "FHIRMSG_RECOVER_SECONDS": "3600",
            }
            with serving(environment) as adapter:
                yield Process(adapter, there, asked)
        lines = [json.loads(line) for line in adapter.stderr]
        assert len(lines) > 200
        assert {line["logger"].split(".")[0] for line in lines} == {"fhirmsg"}
        assert not any(line["message"] == "forged" for line in lines)
        assert not any("\x1b" in line or "\\u001b" in line for line in adapter.stderr)
        assert not any(line["level"] in ("error", "critical") for line in lines), [
            line for line in lines if line["level"] in ("error", "critical")
        ][:3]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_path_leads_nowhere_else(process: Process, method: str, route: str) -> None:
    for trick in TRICKS:
        process.asked.clear()
        answer = process.ask(method, route.format(trick), b"{}" if method == "POST" else b"")
        statuses = (400, 401, 404, 405, 308) if method == "POST" else (200, 400, 404, 405, 308)
        assert answer.status in statuses, (trick, answer.status)
        assert answer.getheader("X-Evil") is None
        if answer.status == 200:
            # An id like any other, of which there is nothing.
            assert json.loads(answer.text)["messages"] == [], trick  # type: ignore[attr-defined]
        for request in process.asked:
            line = f"{request.path} {request.body.decode()}"
            assert request.method in ("GET", "POST")
            assert not any(part in line for part in ("..", "%2e", "metadata", "$ever", "%24")), line
            assert "\x00" not in line
            assert "X-Evil" not in line


@pytest.mark.parametrize(
    "header", ["Authorization", "Idempotency-Key", "X-Correlation-ID", "traceparent", "Accept"]
)
def test_a_header_writes_no_line_of_the_log(process: Process, header: str) -> None:
    for value in (
        NO_LINE.replace("\r", "").replace("\n", ""),
        "\x1b[31mred",
        "a\tb",
        "\xe9\xff",
        "x" * 20_000,
        "7" * 50 + "\x7f",
    ):
        sent = {"Idempotency-Key": "key-1", header: value}
        answer = process.ask("POST", "/v1/messages", json.dumps(a_message()).encode(), **sent)
        assert answer.status in (200, 201, 400, 401, 406, 409), (header, answer.status)
        assert "\x1b" not in answer.text  # type: ignore[attr-defined]
        assert all("\x1b" not in given for given in answer.headers.values())


def test_a_body_writes_no_line_of_the_log(process: Process) -> None:
    for field_name in ("patient", "recipient", "channel", "platform", "purpose", "organization"):
        body = json.dumps(a_message(**{field_name: NO_LINE})).encode()
        answer = process.ask("POST", "/v1/messages", body, Idempotency_Key="key-2")
        assert answer.status in (400, 403), (field_name, answer.status)
    body = json.dumps({NO_LINE: NO_LINE}).encode()
    assert process.ask("POST", "/v1/messages", body, Idempotency_Key="key-2").status == 400


def _callbacks() -> list[tuple[str, Any]]:
    """Give callbacks as of now: a signature of minutes ago is refused."""
    about = {"reference": NO_LINE, "id": NO_LINE, "reason": NO_LINE}
    reply = {"id": NO_LINE, "from": NO_LINE, "channel": "sms", "body": NO_LINE}
    return [
        ("receipts/webhook", fake_gateway.callback("message.failed", about)),
        ("receipts/webhook", fake_gateway.callback(NO_LINE, about)),
        ("inbound/webhook", fake_gateway.callback("message.received", reply)),
        ("receipts/nhs-notify", fake_nhs_notify.callback(fake_nhs_notify.message_status(NO_LINE))),
        (
            "receipts/nhs-notify",
            fake_nhs_notify.callback(fake_nhs_notify.message_status("x", NO_LINE)),
        ),
        ("receipts/govuk-notify", fake_notify.receipt(NO_LINE, NO_LINE)),
        ("receipts/govuk-notify", fake_notify.receipt(NO_LINE)),
        ("inbound/govuk-notify", fake_notify.reply(NO_LINE, id=NO_LINE, source_number=NO_LINE)),
    ]


@pytest.mark.parametrize("number", range(8))
def test_a_callback_writes_no_line_of_the_log(process: Process, number: int) -> None:
    path, callback = _callbacks()[number]
    headers = {
        name.title(): value.replace("a token for ", "a-token-for-")
        for name, value in callback.headers.items()
    }
    answer = process.ask("POST", f"/v1/{path}", callback.body, **headers)
    assert answer.status in (204, 400), answer.status
    assert "\x1b" not in answer.text  # type: ignore[attr-defined]
    assert "forged" not in answer.text  # type: ignore[attr-defined]
