"""The HTTP face over fakes at its ports, and answers checked against the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fhirmsg.answers import Answer, for_decision
from fhirmsg.calls import Call
from fhirmsg.clients import ApiScope, Client, ClientBook, digest_of
from fhirmsg.clock import now
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import Need, Preferences
from fhirmsg.guidance.terms import Channel, ResourceVersion
from fhirmsg.overview import ObjectionSeen, OpenChannel, Overview, ProxyOverview
from fhirmsg.ports import Callback, Entry, HistoryPage
from fhirmsg.web import WebServices, create_web
from fhirmsg.web.contract import contract, validator_of
from fhirmsg.web.health import Readiness
from fhirmsg.web.limits import RateLimits
from fhirmsg.web.tokens import Tokens
from tests import builders

KEY, READER_KEY = "fm_key-of-a-sender", "fm_key-of-a-reader"
OVERRIDER_KEY, DECLARER_KEY = "fm_key-of-an-overrider", "fm_key-of-a-declarer"
KNOWING_KEY = "fm_key-of-one-who-may-know-reasons"
POLICY = builders.a_policy()
PLATFORM = next(iter(POLICY.platforms))


def a_body(**changes: Any) -> dict[str, Any]:
    """Give the body of a plain reminder."""
    return {
        "patient": "Patient/amara",
        "channel": "sms",
        "platform": PLATFORM,
        "purpose": "appointment",
        "content": {"body": "Example Surgery: see you on Tuesday at 10:30."},
        "confidential": "no",
        "service": {"code": "general-practice", "sensitive": "no"},
        "organization": "A12345",
        "requester": {"identifier": "clerk-1", "name": "Casey Clerk", "role": "receptionist"},
        **changes,
    }


@dataclass
class FakeMessenger:
    """Answers what a test wants, or a decision on a plain case; keeps the calls."""

    answer: Answer | Exception | None = None
    calls: list[Call] = field(default_factory=list)

    def send(self, call: Call) -> Answer:
        """Give the answer, or raise it."""
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or for_decision(call, decide(builders.a_case()))

    check = send


@dataclass
class FakeHistory:
    """Holds these entries."""

    entries: tuple[Entry, ...] = ()
    following: str | None = None

    def find(self, message_id: str) -> tuple[Entry, ...]:
        """Give those with this id."""
        return tuple(entry for entry in self.entries if entry.message_id == message_id)

    def legs(self, entry: Entry) -> tuple[Entry, ...]:
        """Give those that say that they follow it."""
        return tuple(each for each in self.entries if each.part_of == entry.reference)

    def page(self, patient: str, *, count: int, cursor: str | None = None) -> HistoryPage:
        """Give all of them."""
        return HistoryPage(entries=self.entries, next=self.following)


@dataclass
class FakeReceiving:
    """Takes callbacks, or fails as the test says."""

    taken: list[tuple[str, str, Callback]] = field(default_factory=list)
    failure: Exception | None = None

    def receipts(self, name: str, callback: Callback) -> int:
        """Take receipts."""
        return self._take("receipts", name, callback)

    def replies(self, name: str, callback: Callback) -> int:
        """Take replies."""
        return self._take("replies", name, callback)

    def _take(self, what: str, name: str, callback: Callback) -> int:
        if self.failure is not None:
            raise self.failure
        self.taken.append((what, name, callback))
        return 1


@dataclass
class FakeOverview:
    """Gives an overview of a plain patient, and keeps what was asked."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    found: Overview | Exception | None = None

    def of(self, patient: str, policy: LocalPolicy, organization: str) -> Overview:
        """Give the overview, or raise it."""
        self.asked.append((patient, organization))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found or an_overview()


def an_overview(**fields: Any) -> Overview:
    """Give an overview with one open channel, one proxy, an objection, a preference and a need."""
    evidence = ResourceVersion(reference="Consent/1", version_id="2")
    channel = OpenChannel(
        channel=Channel.SMS, open=True, platform="texts", ends_in="123", findings=()
    )
    defaults = {
        "patient": "Patient/amara",
        "as_of": builders.NOW,
        "channels": (channel,),
        "proxies": (
            ProxyOverview(
                reference="RelatedPerson/ben",
                basis="explicit consent",
                consent=evidence,
                until=builders.NOW,
                held=(),
                channels=(channel,),
            ),
        ),
        "objections": (
            ObjectionSeen(
                evidence=evidence, says="active", channel=Channel.EMAIL, reason="Others read it"
            ),
        ),
        "preferences": Preferences(channels=frozenset({Channel.SMS}), times=("mornings",)),
        "needs": (Need(name="braille", version=evidence),),
        "incomplete": False,
    }
    return Overview(**{**defaults, **fields})


@dataclass
class Face:
    """The application, its fakes and a client of it."""

    messenger: FakeMessenger = field(default_factory=FakeMessenger)
    history: FakeHistory = field(default_factory=FakeHistory)
    overview: FakeOverview = field(default_factory=FakeOverview)
    receiving: FakeReceiving = field(default_factory=FakeReceiving)
    readiness: Readiness = field(default_factory=lambda: Readiness(ready=True))
    others: tuple[Client, ...] = ()
    tokens: Tokens | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    clock: Callable[[], datetime] = now

    def __post_init__(self) -> None:
        """Build it."""
        sender = Client(
            id="sender",
            key_sha256=(digest_of(KEY),),
            scopes=frozenset({ApiScope.CHECK, ApiScope.SEND, ApiScope.READ}),
            organisations=frozenset({"A12345"}),
            roles=frozenset({"receptionist"}),
        )
        reader = Client(
            id="reader",
            key_sha256=(digest_of(READER_KEY),),
            scopes=frozenset({ApiScope.READ}),
            organisations=frozenset({"B67890"}),
        )
        knowing = replace(
            sender,
            id="knowing",
            key_sha256=(digest_of(KNOWING_KEY),),
            scopes=frozenset({ApiScope.READ, ApiScope.REASONS}),
            organisations=frozenset({"A12345", "B67890"}),
        )
        overrider, declarer = (
            replace(
                sender,
                id=str(scope),
                key_sha256=(digest_of(key),),
                scopes=sender.scopes | {scope},
            )
            for key, scope in (
                (OVERRIDER_KEY, ApiScope.OVERRIDE),
                (DECLARER_KEY, ApiScope.EMERGENCY),
            )
        )
        self.app = create_web(
            WebServices(
                messenger=self.messenger,
                history=self.history,
                overview=self.overview,
                receiving=self.receiving,
                policies={"A12345": POLICY},
                clients=ClientBook([sender, reader, overrider, declarer, knowing, *self.others]),
                readiness=lambda: self.readiness,
                fhir_base_url="https://ehr.example/fhir",
                tokens=self.tokens,
                limits=self.limits,
                clock=self.clock,
            )
        )
        self.client: FlaskClient = self.app.test_client()

    def post(self, body: Any, path: str = "/v1/messages", **headers: str) -> TestResponse:
        """POST JSON as the sender."""
        sent = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "key-1"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return as_promised(self.client.post(path, json=body, headers=sent), "post", path)

    def get(self, path: str, key: str = KEY) -> TestResponse:
        """GET with a key."""
        answer = self.client.get(path, headers={"Authorization": f"Bearer {key}"})
        return as_promised(answer, "get", path)


def as_promised(answer: TestResponse, method: str, path: str) -> TestResponse:
    """Check an answer against the contract: its status, its media type, its body."""
    operation = contract()["paths"][template_of(path)][method]
    response = operation["responses"].get(str(answer.status_code))
    response = response or operation["responses"]["default"]
    if "$ref" in response:
        response = contract()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    assert answer.mimetype in response["content"], (answer.status_code, answer.mimetype)
    schema = response["content"][answer.mimetype]["schema"]
    if "$ref" in schema:
        errors = validator_of(schema["$ref"].rpartition("/")[2]).iter_errors(
            answer.get_json(force=True)
        )
        assert [str(error) for error in errors] == []
    assert answer.headers["X-Correlation-ID"]
    return answer


def template_of(path: str) -> str:
    """Give the path of the contract that a path belongs to."""
    parts = path.partition("?")[0].split("/")
    for template in contract()["paths"]:
        wanted = template.split("/")
        if len(wanted) == len(parts) and all(
            one.startswith("{") or one == other for one, other in zip(wanted, parts, strict=True)
        ):
            return str(template)
    raise AssertionError(path)
