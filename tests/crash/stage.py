"""One FHIR store, one provider and one host, on which serving processes come and go."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import requests

from fhirmsg.calls import message_id_for
from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Callback
from fhirmsg.providers.outbox import Outbox
from tests.builders import NHS_NUMBER
from tests.crash.serve import forked
from tests.providers import fake_gateway, fake_nhs_notify, fake_notify
from tests.providers.fake_gateway import FakeGateway
from tests.providers.fake_nhs_notify import FakeNhsNotify
from tests.providers.fake_notify import FakeNotify
from tests.providers.servers import mail_server
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.serving import KEY, a_message, write_settings
from tests.world import a_patient_resource, communications, put

# The lease is 4.5 seconds; the server's Date has whole seconds, so that it looks a second longer.
START, HANDOFF, MARGIN = 2.0, 1.5, 1.0
LEASE = START + HANDOFF + MARGIN
TIMES = {
    "FHIRMSG_START_WITHIN_SECONDS": str(START),
    "FHIRMSG_HANDOFF_SECONDS": str(HANDOFF),
    "FHIRMSG_LEASE_MARGIN_SECONDS": str(MARGIN),
    "FHIRMSG_BREAKER_FAILURES": "0",
    "FHIRMSG_RECOVER_SECONDS": "3600",
    "FHIRMSG_THREADS": "4",
}
# Each provider by the word of its sort: what a lost answer lets us find out.
SORTS = {
    "govuk-notify": "searchable",
    "outbox": "searchable",
    "nhs-notify": "idempotent",
    "smtp": "neither",
    "webhook": "neither",
    "webhook-dedup": "idempotent",
}
_STATUS = "https://fhir.hl7.org.uk/{}UKCore-NHSNumberVerificationStatus"
_VERIFIED = {
    "system": NHS_NUMBER,
    "value": "9990548609",
    "extension": [
        {
            "url": _STATUS.format("StructureDefinition/Extension-"),
            "valueCodeableConcept": {
                "coding": [{"system": _STATUS.format("CodeSystem/"), "code": "01"}]
            },
        }
    ],
}
# Items are counted without being opened.
_ANY_KEY = b"a key of the tests that opens nothing"
_PATIENCE = 60.0
# A process that is asked after by two threads at once tells its status to one of them alone, and
# starting one asks after all.
_ONE_AT_A_TIME = threading.Lock()
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.crash.serve", "fhirmsg.sandbox.__main__", "pytest"])


class Died(Exception):
    """The process went before it answered."""


@dataclass
class Running:
    """One process of the service. `url` is where it answers once `wait_until_up` was called."""

    process: ForkServerProcess
    output: Path
    effects_file: Path
    url: str = ""

    @property
    def effects(self) -> list[str]:
        """The kinds of what it did, in order."""
        if not self.effects_file.exists():
            return []
        return [line.partition(" ")[2] for line in self.effects_file.read_text().splitlines()]

    @property
    def status(self) -> int | None:
        """How it ended, None while it has not."""
        with _ONE_AT_A_TIME:
            return self.process.exitcode

    @property
    def stopped(self) -> bool:
        """Whether it sleeps by SIGSTOP."""
        with suppress(OSError):
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2][1] == "T"
        return False

    @property
    def killed(self) -> bool:
        """Whether it went by SIGKILL."""
        return self.status == -signal.SIGKILL

    def wait_until_up(self) -> Running:
        """Wait until it listens. Raises Died."""
        self._wait(lambda: "listening on" in self.output.read_text())
        for line in self.output.read_text().splitlines():
            if line.startswith("listening on"):
                self.url = line.split()[-1]
        return self

    def wait_until_stopped(self) -> None:
        """Wait until it sleeps."""
        self._wait(lambda: self.stopped)

    def wait_until_gone(self, seconds: float) -> bool:
        """Wait for its end; tells whether it came."""
        until = time.monotonic() + seconds
        while self.status is None and time.monotonic() < until:
            time.sleep(0.02)
        return self.status is not None

    def wake(self) -> None:
        """Have it go on."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """End it in order, and for certain."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.status is None and self.process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self.process.pid, number)
                self.wait_until_gone(20)

    def post(self, path: str, **request: Any) -> requests.Response:
        """POST to it. Raises Died when it went."""
        try:
            return requests.post(f"{self.url}{path}", timeout=60, **request)
        except requests.exceptions.ConnectionError:
            raise Died from None

    def send(self, key: str, body: dict[str, Any]) -> requests.Response:
        """Send a message under a key. Raises Died."""
        headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": key}
        return self.post("/v1/messages", json=body, headers=headers)

    def call_back(self, provider: str, callback: Callback) -> requests.Response:
        """Have the provider call back with receipts. Raises Died."""
        headers = dict(callback.headers)
        return self.post(f"/v1/receipts/{provider}", data=callback.body, headers=headers)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + _PATIENCE
        while not is_so():
            if self.status is not None:
                raise Died(self.output.read_text())
            assert time.monotonic() < until, self.output.read_text()
            time.sleep(0.02)


@dataclass
class Stage:
    """The scene: `direct` always leads to the store, the service's way to it while not `away`."""

    folder: Path
    provider: str
    direct: str
    base: str
    environment: dict[str, str]
    service: Any
    away: bool = False
    store: Running | None = None
    started: list[Running] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the service calls the provider."""
        return self.provider.removesuffix("-dedup")

    def start(self, command: str = "serve", *more: str, **changes: str) -> Running:
        """Start a command in a process of its own; `changes` are variables."""
        number = len(self.started) + 1
        output, effects = self.folder / f"output-{number}", self.folder / f"effects-{number}"
        output.touch(0o600)
        environment = {**self.environment, **changes, "CRASH_EFFECTS": str(effects)}
        process = _FORKS.Process(target=forked, args=([command, *more], environment, str(output)))
        with _ONE_AT_A_TIME:
            process.start()
        running = Running(process=process, output=output, effects_file=effects)
        self.started.append(running)
        return running

    def run(self, command: str, *more: str) -> tuple[int, str]:
        """Run a command to its end; gives its exit status and what it said."""
        running = self.start(command, *more)
        assert running.wait_until_gone(_PATIENCE), running.output.read_text()
        assert running.status is not None
        return running.status, running.output.read_text()

    def message(self, number: int = 0) -> dict[str, Any]:
        """Give the body of a message; each number has words of its own."""
        text = f"Example Surgery: your appointment is in room {number}."
        channel = "email" if self.provider == "smtp" else "sms"
        subject = {"subject": "Your appointment"} if channel == "email" else {}
        return a_message(channel=channel, content={"body": text, **subject})

    def emergency(self, number: int = 0) -> dict[str, Any]:
        """Give the body of a message in a declared emergency, that can go while nothing is read."""
        body = self.message(number)
        person = {"identifier": "gp-1", "name": "Gwen Practitioner", "role": "GP"}
        values = {"sms": "07700 900123", "email": "amara@example.com"}
        channel = body["channel"]
        return {
            **body,
            "requester": person,
            "contact_point": {"system": channel, "value": values[channel], "source": "the ward"},
            "evidence": {
                "emergency": {
                    "declared_by": person,
                    "declared_at": datetime.now(UTC).isoformat(),
                    "reason": "critical potassium",
                    "protects": "patient",
                    "none_available_reason": "on call alone",
                },
                "acknowledged": [{"code": "read.incomplete"}, {"code": "contact.unrecorded"}],
            },
        }

    def callback(self, delivery: str, key: str, leg: str = "") -> Callback:
        """Give what the provider calls back with about a message; delivered or failed."""
        reference = message_id_for("tests", key) + leg
        known = [each.id for each in self.service.with_reference(reference)]
        number = known[0] if known else "none"
        match self.provider:
            case "govuk-notify":
                status = "delivered" if delivery == "delivered" else "permanent-failure"
                return fake_notify.receipt(reference, status, id=number)
            case "nhs-notify":
                told = fake_nhs_notify.message_status(reference, delivery, messageId=number)
                return fake_nhs_notify.callback(told)
        return fake_gateway.callback(f"message.{delivery}", {"reference": reference, "id": number})

    def references(self) -> Counter[str]:
        """Tell how often each message arrived at the provider, by our message id."""
        match self.provider:
            case "outbox":
                kept = Outbox(self.environment["FHIRMSG_OUTBOX_FILE"]).messages()
                return Counter(each.reference for each in kept)
            case "smtp":
                return Counter(
                    str(letter["Message-ID"]).strip("<>").partition("@")[0]
                    for letter in self.service.letters
                )
        return Counter(each.reference for each in self.service.taken)

    def owed(self) -> int:
        """Tell how many items the journal has."""
        with closing(SqliteJournal(self.environment["FHIRMSG_JOURNAL_FILE"], [_ANY_KEY])) as kept:
            return sum(kept.lengths().values())

    def record(self) -> list[dict[str, Any]]:
        """Give every Communication."""
        return communications(self.direct)

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """Give every resource of a type."""
        answer = requests.get(
            f"{self.direct}/{kind}?_count=200", headers={"Cache-Control": "no-cache"}, timeout=30
        )
        return [each["resource"] for each in answer.json().get("entry", [])]

    def tasks(self) -> list[str]:
        """Give the codes of the open Tasks."""
        return sorted(
            task["code"]["coding"][0]["code"]
            for task in self.resources("Task")
            if task["status"] == "requested"
        )

    def end_services(self) -> None:
        """End every process of the service; the store goes on."""
        for running in self.started:
            if running is not self.store:
                running.end()

    def end(self) -> None:
        """End what still runs."""
        for running in self.started:
            if running.stopped:
                running.wake()
            running.end()


@contextmanager
def a_stage(
    folder: Path, provider: str, *, store: str | None = None, fallback: bool = False
) -> Iterator[Stage]:
    """Set the scene. `store`: the base URL of a FHIR server in place of an embedded one."""
    folder.mkdir(parents=True)
    with _behind(provider) as (service, settings):
        stage = Stage(
            folder=folder,
            provider=provider,
            direct=store or "",
            base="",
            environment={"CRASH_EFFECTS": ""},
            service=service,
        )
        try:
            if store is None:
                stage.store = stage.start("sandbox").wait_until_up()
                stage.direct = stage.store.url
            put(stage.direct, a_patient_resource(identifier=[_VERIFIED]))
            away = Reply(503, b"away", "text/plain")

            def hook(_: Request) -> Reply | None:
                return away if stage.away else None

            with reverse_proxy(stage.direct, hook) as base:
                channel = "email" if provider == "smtp" else "sms"
                stage.environment = write_settings(
                    folder, base, provider=stage.name, channel=channel, **TIMES, **settings
                )
                if fallback:
                    policy = folder / "policy.yaml"
                    policy.write_text(policy.read_text() + "\nfallback_order: [email]\n")
                try:
                    yield stage
                finally:
                    stage.end()
        finally:
            stage.end()


@contextmanager
def _behind(provider: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """Run what is behind a provider; gives it, and the settings that lead there."""
    match provider:
        case "outbox":
            yield None, {}
        case "smtp":
            with mail_server() as (port, mailbox):
                yield (
                    mailbox,
                    {
                        "FHIRMSG_SMTP_HOST": "127.0.0.1",
                        "FHIRMSG_SMTP_PORT": str(port),
                        "FHIRMSG_SMTP_SECURITY": "none",
                        "FHIRMSG_SMTP_FROM": "surgery@example.com",
                        "FHIRMSG_SMTP_IDLE_SECONDS": "0",
                    },
                )
        case "govuk-notify":
            with FakeNotify() as notify:
                yield (
                    notify,
                    {
                        "FHIRMSG_GOVUK_NOTIFY_API_KEY": fake_notify.API_KEY,
                        "FHIRMSG_GOVUK_NOTIFY_SMS_TEMPLATE": fake_notify.SMS_TEMPLATE,
                        "FHIRMSG_GOVUK_NOTIFY_EMAIL_TEMPLATE": fake_notify.EMAIL_TEMPLATE,
                        "FHIRMSG_GOVUK_NOTIFY_RECEIPTS_TOKEN": fake_notify.RECEIPTS_TOKEN,
                        "FHIRMSG_GOVUK_NOTIFY_BASE_URL": notify.url,
                    },
                )
        case "nhs-notify":
            with FakeNhsNotify() as nhs:
                yield (
                    nhs,
                    {
                        "FHIRMSG_NHS_NOTIFY_BASE_URL": f"{nhs.url}/comms",
                        "FHIRMSG_NHS_NOTIFY_CALLBACK_APPLICATION_ID": (
                            fake_nhs_notify.APPLICATION_ID
                        ),
                        "FHIRMSG_NHS_NOTIFY_CALLBACK_API_KEY": fake_nhs_notify.API_KEY,
                    },
                )
        case "webhook" | "webhook-dedup":
            drops = provider == "webhook-dedup"
            with FakeGateway(deduplicates=drops) as gateway:
                yield (
                    gateway,
                    {
                        "FHIRMSG_WEBHOOK_URL": f"{gateway.url}/messages",
                        "FHIRMSG_WEBHOOK_SECRETS": fake_gateway.SECRET,
                        "FHIRMSG_WEBHOOK_DEDUPLICATES": str(drops).lower(),
                    },
                )
        case _:
            raise AssertionError(provider)
