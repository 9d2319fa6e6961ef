"""Nothing makes the service ask another server than its own: page links, redirects, webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests

from fhirmsg.config import Settings
from fhirmsg.errors import RecordUnavailable, SettingsError
from fhirmsg.http import make_session
from fhirmsg.providers.webhook import WebhookProvider
from fhirmsg.sandbox import Store, serve_in_thread
from tests.delivery.desk import Office
from tests.providers.fake_gateway import SECRET, FakeGateway
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.serving import KEY, a_message, write_settings
from tests.world import a_patient_resource, an_objection_resource, put

TOKEN = "Bearer a-token-of-the-record-that-nobody-else-may-see"
LINKS = [
    "http://{evil}/fhir/Consent?page=2",
    "//{evil}/fhir/Consent?page=2",
    "http://{own}@{evil}/fhir/Consent?page=2",
    "http://{evil}/fhir/../fhir/Consent?page=2",
    "http://{evil}\\@{own}/fhir/Consent?page=2",
    "http://{own}:80@{evil}/fhir?page=2",
    "\thttp://{evil}/fhir?page=2",
    "http://{own}/fhir/../../{evil}/x",
    "http://{own}/elsewhere?page=2",
    "http://{own}/fhir/%2e%2e/admin",
    "http://{own}/fhir/..;/admin",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
]


@dataclass
class Evil:
    """Another server, which keeps all that it is asked."""

    address: str = ""
    asked: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply(200, b'{"resourceType": "Bundle", "type": "searchset"}')


@dataclass
class Tampered:
    """A FHIR server of which every searchset has a further page, at `link`."""

    upstream: str
    link: str = ""
    own: str = ""
    redirect: str = ""
    tokens: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Reply | None:
        self.paths.append(request.path)
        self.tokens.append(request.headers.get("authorization", ""))
        if self.redirect:
            return Reply(307, headers=(("Location", self.redirect),))
        parts = urlsplit(self.upstream)
        kept = {
            name: value
            for name, value in request.headers.items()
            if name not in ("host", "connection", "content-length", "accept-encoding")
        }
        answer = requests.request(
            request.method,
            f"{parts.scheme}://{parts.netloc}{request.path}",
            data=request.body,
            headers=kept,
            timeout=30,
        )
        try:
            content = answer.json()
        except ValueError:
            return None
        self._tamper(content)
        return Reply(answer.status_code, json.dumps(content).encode())

    def _tamper(self, resource: Any) -> None:
        if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
            for entry in resource.get("entry", []):
                self._tamper(entry.get("resource"))
            if resource.get("type") == "searchset":
                resource["link"] = [{"relation": "next", "url": self.link}]


@contextmanager
def tampered() -> Iterator[tuple[Tampered, Evil, Office]]:
    """Give the server, the other one, and the service before it."""
    evil = Evil()
    with serve_in_thread(Store()) as store, reverse_proxy("http://127.0.0.1:9", evil.answer) as url:
        evil.address = urlsplit(url).netloc
        put(store.base_url, a_patient_resource(), an_objection_resource("old", "email"))
        there = Tampered(store.base_url)
        with reverse_proxy(store.base_url, there.answer) as base:
            there.own = urlsplit(base).netloc
            yield there, evil, Office(base=base, direct=store.base_url, authorization=TOKEN)


def ask_everything(office: Office) -> list[int]:
    """Make every call that reads from the record; gives the statuses."""
    headers = {"Authorization": f"Bearer {KEY}"}
    paths = ["/v1/patients/amara/messages", "/v1/patients/amara/contact", "/v1/messages/an-id"]
    answers = [office.client.get(path, headers=headers).status_code for path in paths]
    with_key = {**headers, "Idempotency-Key": "check"}
    answers.append(office.client.post("/v1/messages/check", json=SMS, headers=with_key).status_code)
    office.reply("STOP")
    office.receipt("delivered")
    office.catch_up()
    with suppress(RecordUnavailable):
        office.service.catch_up.recover()
    return answers


SMS = a_message(platform="texts")


@pytest.mark.parametrize("link", LINKS)
def test_a_page_link_leads_nowhere_else(link: str) -> None:
    with tampered() as (there, evil, office):
        there.link = link.format(evil=evil.address, own=there.own)
        answer = office.send()
        assert (answer["http"], office.first.taken) in ((200, []), (503, []))
        assert answer["http"] == 503 or answer["status"] == "held"
        assert all(status < 500 or status == 503 for status in ask_everything(office))
        assert evil.asked == []
        assert all(path == "/fhir" or path.startswith("/fhir/") for path in there.paths)
        assert not any(".." in unquote(path) or "page=2" in path for path in there.paths)


@pytest.mark.parametrize("to", ["http://{evil}/fhir", "//{evil}/fhir", "http://{own}@{evil}/"])
def test_a_redirect_leads_nowhere_else(to: str) -> None:
    with tampered() as (there, evil, office):
        there.redirect = to.format(evil=evil.address, own=there.own)
        answer = office.send()
        assert (answer["http"], office.first.taken) == (503, [])
        ask_everything(office)
        assert evil.asked == []


def test_the_token_goes_to_the_servers_own_pages() -> None:
    with tampered() as (there, evil, office):
        there.link = f"http://{there.own}/fhir/Consent?patient=Patient/amara&page=2"
        office.send()
        assert any("page=2" in path for path in there.paths)
        assert set(there.tokens) == {TOKEN}
        assert evil.asked == []


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "169.254.0.1:8080"]
)
def test_a_webhook_to_an_address_of_the_link_is_refused_before_anything_starts(
    tmp_path: Path, host: str
) -> None:
    environment = write_settings(
        tmp_path,
        "http://127.0.0.1:9/fhir",
        provider="webhook",
        FHIRMSG_WEBHOOK_URL=f"https://{host}/latest/meta-data",
        FHIRMSG_WEBHOOK_SECRETS=SECRET,
    )
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environment)
    assert any("WEBHOOK_URL" in fault for fault in refused.value.faults)


def test_a_name_that_leads_to_an_address_of_the_link_gets_nothing() -> None:
    with (
        serve_in_thread(Store()) as store,
        FakeGateway() as gateway,
        make_session() as session,
    ):
        put(store.base_url, a_patient_resource())
        provider = WebhookProvider(
            gateway.settings(), session, may_reach=lambda address: address != "127.0.0.1"
        )
        office = Office(base=store.base_url, direct=store.base_url, first=provider)
        answer = office.send()
        assert (answer["http"], answer["retry"]) == (503, "after")
        assert gateway.requests == []
        [entry] = office.record()
        assert entry["status"] == "not-done"
