"""The whole service in this process, over a FHIR server, with providers that obey the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from flask.testing import FlaskClient

from fhirmsg.app import Service, compose
from fhirmsg.breaker import BreakerSettings
from fhirmsg.calls import Times, message_id_for
from fhirmsg.clients import ApiScope, Client, digest_of
from fhirmsg.clock import Deadline
from fhirmsg.config import Settings
from fhirmsg.errors import CallbackRefused, ProviderSilent
from fhirmsg.fhir.client import FhirServer
from fhirmsg.guidance.terms import Channel
from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import (
    Callback,
    Delivery,
    DeliveryReceipt,
    KnownMessage,
    OutboundMessage,
    Outcome,
    ProviderKind,
    Receipt,
    Reply,
)
from tests.policies import policy
from tests.serving import KEY, a_message
from tests.world import communications

RECORD_KEY = b"a key of the tests that keys nothing else"
BROUGHT = {"system": "sms", "value": "07700 900123", "source": "told by the ward"}
PLATFORMS = """
platforms:
  texts: {provider: first, channels: [sms], approved: {from: 2025-01-01, until: null},
          fallbacks: [], notifies_by: []}
  letters: {provider: second, channels: [email], approved: {from: 2025-01-01, until: null},
            fallbacks: [], notifies_by: []}
default_platform: {sms: texts, email: letters}
"""


@dataclass
class Taking:
    """A provider that takes messages, answers as told, lists what it has, and calls back."""

    name: str = "first"
    kind: ProviderKind = ProviderKind.SEARCHABLE
    settle_seconds: float = 0.0
    retention_seconds: float | None = None
    outcome: Outcome = Outcome.ACCEPTED
    silent: bool = False
    taken: list[OutboundMessage] = field(default_factory=list)

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Take it, or not."""
        if self.outcome in (Outcome.ACCEPTED, Outcome.MAY_HAVE_LEFT):
            self.taken.append(message)
        number = f"{self.name}-{len(self.taken)}" if self.outcome is Outcome.ACCEPTED else None
        return Receipt(outcome=self.outcome, provider_id=number, reason="as-told")

    def find(self, reference: str) -> Receipt | None:
        """Tell whether it has a message."""
        if self.silent:
            raise ProviderSilent("silent")
        for number, message in enumerate(self.taken, 1):
            if message.reference == reference:
                return Receipt(outcome=Outcome.ACCEPTED, provider_id=f"{self.name}-{number}")
        return None

    def known_since(self, since: datetime) -> Iterator[KnownMessage]:
        """List all of them."""
        if self.silent:
            raise ProviderSilent("silent")
        for number, message in enumerate(self.taken, 1):
            yield KnownMessage(
                reference=message.reference,
                provider_id=f"{self.name}-{number}",
                delivery=Delivery.ACCEPTED,
            )

    def receipts(self, callback: Callback) -> tuple[DeliveryReceipt, ...]:
        """Read what `receipt` wrote."""
        return (DeliveryReceipt.from_json(self._json(callback)),)

    def replies(self, callback: Callback) -> tuple[Reply, ...]:
        """Read a reply."""
        return (Reply.from_json(self._json(callback)),)

    @staticmethod
    def _json(callback: Callback) -> dict[str, Any]:
        import json

        if callback.headers.get("authorization") != "Bearer provider":
            raise CallbackRefused("The callback carries no token of the provider's.")
        content: dict[str, Any] = json.loads(callback.body)
        return content


@dataclass
class Office:
    """One process of the service. `direct` leads to its FHIR server past every fault."""

    base: str
    direct: str
    first: Any = field(default_factory=Taking)
    second: Any = field(default_factory=lambda: Taking(name="second"))
    more_policy: str = ""
    times: Times = field(default_factory=lambda: Times(start_within=5.0, handoff=5.0, margin=0.0))
    journal: SqliteJournal | None = None
    read_timeout: float = 5.0
    authorization: str | None = None

    def __post_init__(self) -> None:
        """Compose it."""
        rules = policy(self.more_policy, platforms=PLATFORMS)
        settings = Settings(
            fhir=FhirServer(
                base_url=self.base,
                connect_timeout=1,
                read_timeout=self.read_timeout,
                call_deadline=self.read_timeout,
                authorization=self.authorization,
            ),
            policies={"A12345": rules},
            clients=(
                Client(
                    id="tests",
                    key_sha256=(digest_of(KEY),),
                    scopes=frozenset(ApiScope),
                    organisations=frozenset({"A12345"}),
                ),
            ),
            record_key=RECORD_KEY,
            times=self.times,
            # Outages here are short: nobody waits for the next trial.
            breaker=BreakerSettings(failures=0),
        )
        self.service: Service = compose(
            settings,
            providers={"first": self.first, "second": self.second},
            journal=self.journal,
        )
        self.client: FlaskClient = self.service.app.test_client()

    def send(self, key: str = "key-1", **changes: Any) -> Any:
        """Send a message; gives the answer's JSON with `http` as the status."""
        answer = self.client.post(
            "/v1/messages",
            json=a_message(**{"platform": "texts", **changes}),
            headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": key},
        )
        return {**(answer.get_json() or {}), "http": answer.status_code}

    def emergency(self, key: str = "key-1", *, seen: bool = True, **changes: Any) -> Any:
        """Send in a declared emergency, what cannot be read acknowledged if it was `seen`."""
        person = {"identifier": "gp-1", "name": "Gwen Practitioner", "role": "GP"}
        declared = datetime.now(UTC).isoformat()
        codes = ("read.incomplete", "contact.unrecorded") if seen else ()
        evidence = {
            "emergency": {
                "declared_by": person,
                "declared_at": declared,
                "reason": "critical potassium",
                "protects": "patient",
                "none_available_reason": "on call alone",
            },
            "acknowledged": [{"code": code} for code in codes],
        }
        body = {"contact_point": BROUGHT, "requester": person, "evidence": evidence, **changes}
        return self.send(key, **body)

    def receipt(self, delivery: str, key: str = "key-1", leg: str = "", **changes: Any) -> int:
        """Have the provider call back about a message; gives the HTTP status."""
        told = DeliveryReceipt(
            reference=message_id_for("tests", key) + leg,
            delivery=Delivery(delivery),
            at=datetime.now(UTC) + timedelta(seconds=1),
            reason="as-told",
        )
        provider = changes.pop("provider", "first")
        answer = self.client.post(
            f"/v1/receipts/{provider}",
            json=replace(told, **changes).as_json(),
            headers={"Authorization": "Bearer provider"},
        )
        return answer.status_code

    def reply(self, text: str, sender: str = "07700900123", id: str = "reply-1") -> int:
        """Have the provider call back with a reply; gives the HTTP status."""
        told = Reply(id=id, channel=Channel.SMS, sender=sender, text=text)
        answer = self.client.post(
            "/v1/inbound/first",
            json=told.as_json(),
            headers={"Authorization": "Bearer provider"},
        )
        return answer.status_code

    def catch_up(self) -> int:
        """Write what is owed, all of it that can be."""
        self.service.journal.hurry()
        gone = 0
        while written := self.service.catch_up.drain():
            gone += written
        return gone

    def owed(self) -> int:
        """Tell how many items the journal has."""
        return sum(self.service.journal.lengths().values())

    def state(self, key: str = "key-1") -> Any:
        """Give the state of a message."""
        answer = self.client.get(
            f"/v1/messages/{message_id_for('tests', key)}",
            headers={"Authorization": f"Bearer {KEY}"},
        )
        return answer.get_json()

    def record(self) -> list[dict[str, Any]]:
        """Give the Communications about Amara, by their ids."""
        return sorted(communications(self.direct), key=lambda each: each["identifier"][0]["value"])

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """Give every resource of a type."""
        answer = requests.get(
            f"{self.direct}/{kind}?_count=100", headers={"Cache-Control": "no-cache"}, timeout=30
        )
        return [each["resource"] for each in answer.json().get("entry", [])]

    def tasks(self) -> list[str]:
        """Give the codes of the open Tasks."""
        return sorted(
            task["code"]["coding"][0]["code"]
            for task in self.resources("Task")
            if task["status"] == "requested"
        )
