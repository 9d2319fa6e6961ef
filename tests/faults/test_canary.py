"""Nothing of a person and no secret stands where it does not belong, whatever goes wrong.

Every value that must not leak is a canary: words found nowhere else. A real process at DEBUG goes
through sends by every provider, refusals, emergencies, callbacks and faults on every side, and all
that it says and writes is searched: log, error answers, decisions, figures, AuditEvents, Tasks,
journal, decision log, addresses, and what the doctor, reconcile and recover print.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from fhirmsg.calls import message_id_for
from fhirmsg.clients import digest_of
from tests.authorization.guarded import a_key, pem
from tests.faults.lanes import amara
from tests.providers import fake_gateway, fake_nhs_notify, fake_notify
from tests.providers.fakes import Fault
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.rigs import faults
from tests.rigs.faultproxy import FaultProxy
from tests.security.whole import Whole, whole
from tests.serving import KEY, Serving, a_message, serving
from tests.world import an_objection_resource, put

PERSONAL = {
    "mobile": "07700900987",
    "mobile, spaced": "07700 900987",
    "mobile, international": "7700900987",
    "email": "canary.kestrel@example.org",
    "name": "Xanthippe-Canary",
    "NHS number": "9990000018",
    "address": "Zephyr-Cottage",
    "proxy's name": "Ptolemy-Canary",
    "proxy's mobile": "7700900654",
    "proxy's email": "proxy.kestrel@example.org",
    "brought number": "7700900321",
    "objection's reason": "ptarmigan-sandwich",
    "body": "zanzibar-lighthouse",
    "subject": "quetzal-umbrella",
    "reply": "marzipan-answer",
}
# On the record where they belong, and nowhere else.
SAID = {
    "emergency's reason": "axolotl-potassium",
    "override's reason": "narwhal-override",
    "review's note": "ocelot-note",
    "source of a number": "toucan-ward",
}
ACTING = {"requester's name": "Quillon-Clerk"}
# What a caller puts into a path is an id to us, and is asked for at the record; no more than that.
PATHS = {"id": "pangolin-path", "number as id": "07700900777"}
SECRETS = {
    "API key": KEY,
    "idempotency key": "marmalade-key",
    "gateway's secret": fake_gateway.SECRET,
    "Notify's key": fake_notify.SECRET,
    "token for receipts": "a-token-for-receipts",
    "token for replies": "a-token-for-replies",
    "NHS callback key": fake_nhs_notify.API_KEY,
    "NHS access token": fake_nhs_notify.TOKEN,
    "NHS client id": "canary-client-of-the-platform",
    "record key": "a key of the tests that keys nothing else",
    "wrong API key": "fm_wren-key-that-nobody-has",
}
CANARIES = {**PERSONAL, **SAID, **ACTING, **PATHS, **SECRETS}
CLERK = {"identifier": "clerk-1", "name": ACTING["requester's name"], "role": "clerk"}


@dataclass
class Said:
    """Every place that is searched, with what stands there."""

    places: dict[str, str] = field(default_factory=dict)

    def hear(self, where: str, what: str | bytes) -> None:
        """Add to a place."""
        text = what if isinstance(what, str) else what.decode("latin-1")
        self.places[where] = self.places.get(where, "") + "\n" + text

    def leaks(self, canaries: dict[str, str], *, but: tuple[str, ...] = ()) -> set[tuple[str, str]]:
        """Give what was found where."""
        return {
            (name, where)
            for name, canary in canaries.items()
            for where, text in self.places.items()
            if where not in but
            and (canary in text or json.dumps(canary)[1:-1] in text or canary[::-1] in text)
        }


@contextmanager
def a_world(folder: Path) -> Iterator[tuple[Whole, FaultProxy, dict[str, str]]]:
    """Everything of `whole`, the fault proxy before the FHIR server, and tokens of the platform."""
    given = {"access_token": fake_nhs_notify.TOKEN, "expires_in": "599", "token_type": "Bearer"}

    def token(_: Request) -> Reply:
        return Reply(200, json.dumps(given).encode(), "application/json")

    with (
        reverse_proxy("http://127.0.0.1:9", token) as platform,
        whole(
            folder,
            FHIRMSG_NHS_NOTIFY_CLIENT_ID=SECRETS["NHS client id"],
            FHIRMSG_NHS_NOTIFY_KEY_ID="test-1",
            FHIRMSG_NHS_NOTIFY_PRIVATE_KEY=pem(a_key("RS512")),
            FHIRMSG_NHS_NOTIFY_TOKEN_URL=f"{platform}/oauth2/token",
            FHIRMSG_LOG_LEVEL="DEBUG",
            FHIRMSG_METRICS_PORT=str(_free_port()),
            FHIRMSG_DECISION_LOG=str(folder / "decisions.log"),
            FHIRMSG_FHIR_READ_TIMEOUT="1",
            FHIRMSG_FHIR_DEADLINE="1.5",
            FHIRMSG_HANDOFF_SECONDS="2",
            FHIRMSG_BREAKER_FAILURES="0",
            FHIRMSG_RATE_LIMIT="9000/minute",
        ) as there,
        FaultProxy.before(there.base) as proxy,
    ):
        put_people(there.base)
        yield there, proxy, {**there.environment, "FHIRMSG_FHIR_BASE_URL": proxy.url_of(there.base)}


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def put_people(base: str) -> None:
    since = {"start": "2025-01-01"}
    patient = amara() | {
        "name": [{"family": PERSONAL["name"]}],
        "address": [{"line": [PERSONAL["address"]]}],
        "telecom": [
            {"system": "phone", "use": "mobile", "value": PERSONAL["mobile"], "period": since},
            {"system": "email", "value": PERSONAL["email"], "period": since},
        ],
    }
    proxy = {
        "resourceType": "RelatedPerson",
        "id": "proxy",
        "patient": {"reference": "Patient/amara"},
        "name": [{"text": PERSONAL["proxy's name"]}],
        "telecom": [
            {"system": "phone", "use": "mobile", "value": "0" + PERSONAL["proxy's mobile"]},
            {"system": "email", "value": PERSONAL["proxy's email"]},
        ],
    }
    put(base, patient, proxy)


def a_text(number: int, **changes: Any) -> dict[str, Any]:
    body = f"Hello {PERSONAL['name']}, {PERSONAL['body']} {number}"
    return a_message(
        **{"requester": CLERK, "platform": "texts", "content": {"body": body}, **changes}
    )


def a_letter(number: int) -> dict[str, Any]:
    content = {"body": f"{PERSONAL['body']} {number}", "subject": PERSONAL["subject"]}
    return a_text(number, channel="email", platform="letters", content=content)


def by_each_way(number: int) -> list[dict[str, Any]]:
    return [
        a_text(number),
        a_text(number + 1, platform="notify"),
        a_text(number + 2, platform="nhs", channel="nhs-app"),
        a_letter(number + 3),
    ]


def an_emergency(number: int) -> dict[str, Any]:
    declared = {
        "declared_by": CLERK,
        "declared_at": datetime.now(UTC).isoformat(),
        "reason": SAID["emergency's reason"],
        "protects": "patient",
        "none_available_reason": SAID["emergency's reason"],
    }
    number_brought = {
        "system": "sms",
        "value": f"0{PERSONAL['brought number']}",
        "source": SAID["source of a number"],
    }
    seen = [{"code": code} for code in ("read.incomplete", "contact.unrecorded")]
    evidence = {"emergency": declared, "acknowledged": seen}
    return a_text(number, contact_point=number_brought, evidence=evidence)


@dataclass
class Walk:
    """Goes through everything, and keeps what was said."""

    adapter: Serving
    there: Whole
    proxy: FaultProxy
    said: Said
    statuses: list[int] = field(default_factory=list)
    calls: int = 0

    def send(self, body: dict[str, Any], path: str = "/v1/messages") -> requests.Response:
        """Send under a key of its own."""
        self.calls += 1
        key = f"{SECRETS['idempotency key']}-{self.calls}"
        return self.keep(self.adapter.post(path, body, **{"Idempotency_Key": key}))

    def keep(self, answer: requests.Response) -> requests.Response:
        """Keep an answer with its headers."""
        self.statuses.append(answer.status_code)
        where = "errors" if answer.status_code >= 400 else "answers"
        self.said.hear(where, answer.text)
        self.said.hear("headers", "\n".join(f"{k}: {v}" for k, v in answer.headers.items()))
        return answer

    def through_every_provider(self) -> None:
        """Once well, and once in each of the ways that a provider fails."""
        for body in by_each_way(0):
            assert self.send(body).status_code == 201, body
        told = {"errors": [{"error": "ValidationError", "message": " ".join(CANARIES.values())}]}
        ways = [
            Fault(status=400, payload=told),
            Fault(status=429, payload=told, headers={"Retry-After": "3"}),
            Fault(status=500, payload=told),
            Fault(takes=True, then="drop"),
            Fault(takes=True, then="garble"),
            Fault(takes=True, then="truncate"),
        ]
        for number, fault in enumerate(ways, 1):
            for service in (self.there.gateway, self.there.notify, self.there.nhs):
                service.faults.append(fault)
            for body in by_each_way(number * 10)[:3]:
                self.send(body)

    def through_bad_input(self) -> None:
        """Refusals, wrong fields, a wrong key, an unknown person, a proxy without a grant."""
        objection = an_objection_resource()
        objection["extension"][0]["valueCodeableConcept"]["text"] = PERSONAL["objection's reason"]
        put(self.there.base, objection)
        override = {"override": {"reason": SAID["override's reason"], "objections": []}}
        review = {"reviews": [{"code": "proxy.scope", "note": SAID["review's note"]}]}
        for body in (
            a_text(100),
            a_text(101, evidence=override),
            a_text(102, evidence=review),
            a_text(103, recipient="RelatedPerson/proxy"),
            a_text(104, patient=f"https://fhir.nhs.uk/Id/nhs-number|{PERSONAL['NHS number']}"),
            a_text(105, patient="https://fhir.nhs.uk/Id/nhs-number|9990000026"),
            *(
                a_text(110, **{name: PERSONAL["body"]})
                for name in ("patient", "channel", "purpose")
            ),
            a_text(111) | {PERSONAL["body"]: PERSONAL["email"]},
        ):
            self.send(body)
            self.send(body, "/v1/messages/check")
        wrong = {"Authorization": f"Bearer {SECRETS['wrong API key']}"}
        self.keep(requests.get(f"{self.adapter.url}/v1/rules", headers=wrong, timeout=60))
        for path in (*PATHS.values(), PERSONAL["email"]):
            self.keep(self.adapter.get(f"/v1/messages/{path}"))
            self.keep(self.adapter.get(f"/v1/patients/{path}/messages?cursor={path}"))
            self.keep(self.adapter.get(f"/v1/patients/amara/contact?organization={path}"))
        requests.delete(f"{self.there.base}/Consent/objection", timeout=30)

    def through_callbacks(self) -> None:
        """Receipts and replies, forged ones and those that are not understood."""
        reference = message_id_for("tests", f"{SECRETS['idempotency key']}-2")
        reply = fake_notify.reply(PERSONAL["reply"], source_number=f"44{PERSONAL['mobile'][1:]}")
        for path, token, callback in (
            ("receipts/govuk-notify", "receipts", fake_notify.receipt(reference)),
            ("receipts/govuk-notify", "receipts", fake_notify.receipt(PERSONAL["email"])),
            ("receipts/govuk-notify", "nobody", fake_notify.receipt(reference)),
            ("receipts/govuk-notify", "receipts", fake_notify.signed(PERSONAL["body"], "")),
            ("inbound/govuk-notify", "replies", reply),
            ("inbound/govuk-notify", "nobody", reply),
        ):
            self._call_back(path, f"a-token-for-{token}", callback.body)

    def _call_back(self, path: str, token: str, body: bytes) -> None:
        self.keep(
            requests.post(
                f"{self.adapter.url}/v1/{path}",
                data=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=60,
            )
        )

    def through_faults_of_the_record(self) -> None:
        """A server that quotes what it was asked, breaks off, and is away in emergencies."""
        quoting = " ".join(CANARIES.values()).encode()
        outcome = {
            "resourceType": "OperationOutcome",
            "issue": [
                {"severity": "error", "code": "invalid", "diagnostics": " ".join(CANARIES.values())}
            ],
        }
        quoted = json.dumps(outcome).encode()
        for number, fault in enumerate(
            [
                faults.status(500, body=quoting),
                faults.status(200, body=quoting),
                faults.status(422, body=quoted, content_type="application/fhir+json"),
                faults.RESET_BEFORE_ANSWER,
                faults.TRUNCATED_RIGHT_LENGTH,
            ]
        ):
            for matching in (b'"batch"', b"/Communication HTTP", b'"transaction"', b"AuditEvent"):
                # An AuditEvent that is refused again and again goes to the decision log.
                times = None if matching == b"AuditEvent" else 1
                self.proxy.on(
                    fault, matching=lambda each, m=matching: m in each.request, times=times
                )
                self.send(a_text(200 + number * 10 + len(matching)))
                self.proxy.clear()
        self.proxy.refuse()
        self.send(a_text(300))
        emergency = self.send(an_emergency(301))
        assert (emergency.status_code, emergency.json()["record"]) == (201, "pending")
        self.through_callbacks()


def search(walk: Walk, environment: dict[str, str], folder: Path) -> None:
    """Keep what stands in files, on the server, in addresses, and what programs print."""
    said, there = walk.said, walk.there
    walk.keep(requests.get(f"{walk.adapter.url}/readyz", timeout=60))
    port = environment["FHIRMSG_METRICS_PORT"]
    figures = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    assert "fhirmsg" in figures
    said.hear("figures", figures)
    # While the server is away the emergency and the callbacks are owed.
    kept = b"".join(file.read_bytes() for file in folder.glob("journal.sqlite3*"))
    assert message_id_for("tests", f"{SECRETS['idempotency key']}-{walk.calls}").encode() in kept
    said.hear("journal", kept)
    walk.proxy.accept()
    for command in (["recover"], ["reconcile", "--since", "1h"], ["doctor"], ["doctor", "--write"]):
        printed = subprocess.run(
            [sys.executable, "-m", "fhirmsg", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert printed.stdout, (command, printed.stderr)
        said.hear(command[0], printed.stdout + printed.stderr)
    for kind in ("AuditEvent", "Task"):
        found = requests.get(f"{there.base}/{kind}?_count=200", timeout=60).json()["entry"]
        assert found
        for each in found:
            said.hear(kind, json.dumps(each["resource"]))
    lines = (folder / "decisions.log").read_text()
    assert lines
    said.hear("decision log", lines)
    for service in (there.gateway, there.notify, there.nhs):
        for heard in service.requests:
            said.hear("addresses of providers", f"{heard.path}?{heard.query}")
    for record in walk.proxy.records:
        said.hear("addresses of the record", record.first_line)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    folder = tmp_path_factory.mktemp("whole")
    said = Said()
    with a_world(folder) as (there, proxy, environment):
        with serving(environment) as adapter:
            walk = Walk(adapter, there, proxy, said)
            walk.through_every_provider()
            walk.through_bad_input()
            walk.through_callbacks()
            walk.through_faults_of_the_record()
            search(walk, environment, folder)
        said.hear("log", "".join(adapter.stderr))
        assert {200, 201, 202, 204, 400, 401, 404, 503} <= set(walk.statuses)
        assert len(adapter.stderr) > 150
    return said


def test_nothing_of_a_person_and_no_secret_stands_where_it_does_not_belong(said: Said) -> None:
    assert said.leaks({**PERSONAL, **SECRETS}) == set()


def test_what_was_said_in_confidence_stands_on_the_record_alone(said: Said) -> None:
    assert said.leaks(SAID) == set()
    # Who acted is told to those who audit and to those who are asked.
    assert said.leaks(ACTING, but=("AuditEvent", "Task", "decision log")) == set()
    assert said.leaks(PATHS, but=("addresses of the record",)) == set()


def test_what_is_searched_for_is_found_where_it_stands(said: Said) -> None:
    """A search that finds nothing anywhere proves nothing."""
    there = Said({"x": f"a {PERSONAL['body']} b"})
    assert there.leaks(CANARIES) == {("body", "x")}
    places = {"log", "errors", "answers", "headers", "figures", "journal", "AuditEvent", "Task"}
    programs = {"recover", "reconcile", "doctor", "decision log"}
    addresses = {"addresses of providers", "addresses of the record"}
    assert set(said.places) == places | programs | addresses
    assert digest_of(KEY) not in said.places["log"]
