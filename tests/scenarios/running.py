"""A scenario run: its resources on a FHIR server, its message through the app, what came of it."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
import yaml
from flask.testing import FlaskClient

from fhirmsg import clock
from fhirmsg.app import build
from fhirmsg.calls import message_id_for
from fhirmsg.clients import ApiScope, new_key
from fhirmsg.config import Settings
from fhirmsg.providers.outbox import KeptMessage, Outbox
from tests.reverse_proxy import reverse_proxy
from tests.scenarios.blocks import FOLDER, Library
from tests.scenarios.faults import FAULTS
from tests.scenarios.loading import Scenario
from tests.scenarios.words import Words, filled_by, merged

_FHIR_JSON = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
_FRESH = {"Cache-Control": "no-cache"}
_RECORD_KEY = "a key of the scenarios that keys nothing else"
_CLIENT = "scenarios"


@dataclass(frozen=True, kw_only=True)
class Service:
    """One running app under one policy before one server, and where its messages end up."""

    client: FlaskClient
    key: str
    outbox: Outbox

    def post(self, path: str, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        """POST JSON; gives the HTTP status and the answer."""
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key}
        answer = self.client.post(path, json=body, headers=headers)
        return answer.status_code, answer.get_json()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one scenario.

    entries: Communications with the message id. kept: messages in the outbox with it. tasks:
    Tasks about the patient.
    """

    http: int
    answer: dict[str, Any]
    request: dict[str, Any]
    entries: list[dict[str, Any]]
    kept: list[KeptMessage]
    tasks: list[dict[str, Any]]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings of the decision."""
        found: list[dict[str, Any]] = (self.answer.get("decision") or {}).get("findings") or []
        return found


@dataclass(kw_only=True)
class Stage:
    """One FHIR server with every app that scenarios need before it, started when first needed."""

    base: str
    library: Library
    stack: ExitStack
    services: dict[tuple[str | None, str | None], Service] = field(default_factory=dict)

    def play(self, scenario: Scenario) -> Outcome:
        """Run one scenario on the server, which has to be empty."""
        service = self._service(scenario.policy, scenario.fault)
        words = Words(now=clock.now(), record_key=_RECORD_KEY.encode(), names=self.library.names)
        self._put(words.filled(list(scenario.given)))
        if scenario.later:
            time.sleep(0.02)
            self._put(words.filled(list(scenario.later)))
        for earlier in words.filled(list(scenario.earlier)):
            status, answer = service.post("/v1/messages", earlier, str(uuid4()))
            assert status in (200, 201), f"an earlier message was answered {status}: {answer}"
        request, key = words.filled(scenario.request), str(uuid4())
        evidence = words.filled(scenario.evidence)
        body = request
        if evidence:
            body = {**request, "evidence": self._completed(service, request, evidence, key)}
        if scenario.meanwhile:
            self._put(words.filled(list(scenario.meanwhile)))
        http, answer = service.post("/v1/messages", body, key)
        message_id = message_id_for(_CLIENT, key)
        return Outcome(
            http=http,
            answer=answer,
            request=body,
            entries=self._found(f"Communication?identifier=|{message_id}", message_id),
            kept=[each for each in service.outbox.messages() if each.reference == message_id],
            tasks=self._found(f"Task?patient=Patient/{scenario.given[0]['id']}"),
        )

    def _completed(
        self, service: Service, request: dict[str, Any], evidence: dict[str, Any], key: str
    ) -> dict[str, Any]:
        """Have the message checked, and copy from the answer what evidence has to name."""
        # A contact point is taken beside an emergency declaration only, so that goes along.
        first = {name: evidence[name] for name in ("emergency",) if name in evidence}
        checked = {**request, "evidence": first} if first else request
        status, answer = service.post("/v1/messages/check", checked, key)
        assert status == 200, f"the check was answered {status}: {answer}"
        return Copied(answer).into(evidence)

    def _service(self, policy: str | None, fault: str | None) -> Service:
        if (policy, fault) not in self.services:
            base = self.base
            if fault is not None:
                base = self.stack.enter_context(reverse_proxy(base, FAULTS[fault](base)))
            self.services[policy, fault] = self._started(policy, base)
        return self.services[policy, fault]

    def _started(self, policy: str | None, base: str) -> Service:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="scenarios-")))
        content = yaml.safe_load((FOLDER / "policy.yaml").read_text(encoding="utf-8"))
        if policy is not None:
            content = merged(content, self.library.policies[policy])
        content = Words(now=clock.now(), names=self.library.names).filled(content)
        (folder / "policy.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        key, digest = new_key()
        scopes = ", ".join(ApiScope)
        (folder / "clients.yaml").write_text(
            f"- id: {_CLIENT}\n  keys: ['{digest}']\n  scopes: [{scopes}]\n"
            "  organisations: [A12345]\n"
        )
        settings = Settings.from_environment(
            {
                "FHIRMSG_FHIR_BASE_URL": base,
                "FHIRMSG_POLICY_FILES": str(folder / "policy.yaml"),
                "FHIRMSG_CLIENTS_FILE": str(folder / "clients.yaml"),
                "FHIRMSG_RECORD_KEY": _RECORD_KEY,
                "FHIRMSG_JOURNAL_FILE": str(folder / "journal.sqlite3"),
                "FHIRMSG_OUTBOX_FILE": str(folder / "outbox.sqlite3"),
            }
        )
        outbox = Outbox(None)
        app = build(settings, providers={"outbox": outbox})
        return Service(client=app.test_client(), key=key, outbox=outbox)

    def _put(self, resources: list[dict[str, Any]]) -> None:
        """Put resources on the server in one transaction, in whatever order they name another."""
        entries = [
            {
                "resource": resource,
                "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
            }
            for resource in resources
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = requests.post(self.base, json=bundle, headers=_FHIR_JSON, timeout=60)
        assert answer.ok, answer.text

    def _found(self, search: str, message_id: str | None = None) -> list[dict[str, Any]]:
        answer = requests.get(
            f"{self.base}/{search.replace('identifier=|', f'identifier={_system()}|')}",
            headers=_FRESH,
            timeout=60,
        )
        found = [entry["resource"] for entry in answer.json().get("entry", [])]
        if message_id is None:
            return found
        return [each for each in found if message_id in str(each.get("identifier"))]


def _system() -> str:
    return "https://fhirmsg.example/Id/message"


class Copied:
    """What a caller copies from the answer to a check into the evidence for the same message."""

    def __init__(self, answer: dict[str, Any]) -> None:
        """Read the answer of `POST /v1/messages/check`."""
        self._answer = answer
        decision = answer["decision"]
        self._findings: list[dict[str, Any]] = decision["findings"]
        seen = [each for finding in self._findings for each in finding["evidence"]]
        self._versions = {
            each["reference"]: each["versionId"] for each in (*decision["resources"], *seen)
        }

    def into(self, evidence: dict[str, Any]) -> dict[str, Any]:
        """Complete evidence: cited versions first, then the words left for the answer."""
        found = dict(evidence)
        if "override" in found:
            found["override"] = self._citing(found["override"], "objections", "objection.active")
        if "reviews" in found:
            found["reviews"] = [
                self._citing(review, "resources", review.get("code")) for review in found["reviews"]
            ]
        if "acknowledged" in found:
            found["acknowledged"] = [
                each for given in found["acknowledged"] for each in self._acknowledging(given)
            ]
        filled: dict[str, Any] = filled_by(found, self._word)
        return filled

    def _citing(self, piece: dict[str, Any], name: str, code: str | None) -> dict[str, Any]:
        """Cite what `of` names, else what the finding cites; a list that is written stays."""
        rest = {key: value for key, value in piece.items() if key != "of"}
        if "of" in piece:
            return {**rest, name: [self._cited(reference) for reference in piece["of"]]}
        return rest if name in rest else {**rest, name: self._cited_by(code)}

    def _acknowledging(self, piece: dict[str, Any]) -> list[dict[str, Any]]:
        rest = {key: value for key, value in piece.items() if key != "of"}
        if "of" in piece:
            return [{**rest, **self._cited(piece["of"])}]
        if "reference" in rest:
            return [rest]
        return [{**rest, **each} for each in self._cited_by(piece.get("code"))] or [rest]

    def _cited_by(self, code: str | None) -> list[dict[str, Any]]:
        cited = {
            each["reference"]: {"reference": each["reference"], "versionId": each["versionId"]}
            for finding in self._findings
            if finding["code"] == code
            for each in finding["evidence"]
        }
        return list(cited.values())

    def _cited(self, reference: str) -> dict[str, Any]:
        return {"reference": reference, "versionId": self._version(reference)}

    def _version(self, reference: str) -> str:
        assert reference in self._versions, f"the check relied on no {reference}"
        return str(self._versions[reference])

    def _word(self, word: str) -> str:
        if word == "id":
            return str(self._answer["id"])
        if word == "digest":
            return str(self._answer["message_digest"])
        return self._version(word.removeprefix("version of "))
