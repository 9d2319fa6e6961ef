"""The FHIR server goes away under load and comes back: nothing lost, doubled or sent unrecorded.

A real serving process, GOV.UK Notify's fake behind it, and the fault proxy before the FHIR server.
FHIRMSG_TEST_LONG=1 takes a real HAPI away for a whole minute; without it the embedded store goes
for some seconds.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from fhirmsg.calls import message_id_for
from fhirmsg.ports import Callback
from fhirmsg.sandbox import Store, serve_in_thread
from tests.providers import fake_notify
from tests.providers.fake_notify import FakeNotify
from tests.rigs.faultproxy import FaultProxy
from tests.serving import Serving, serving, write_settings
from tests.world import a_patient_resource, put

GP = {"identifier": "gp-1", "name": "Gwen Practitioner", "role": "GP"}
# Calls of each kind in a second.
RATES = {"normal": 4.0, "emergency": 2.0, "unread": 1.0, "receipt": 1.0, "stop": 0.5}
DRAINED_WITHIN = 60.0


@dataclass(frozen=True)
class Told:
    """One call: of which kind, under which key, when on the monotonic clock, what was answered."""

    kind: str
    key: str
    began: float
    ended: float
    status: int
    body: dict[str, Any]


@dataclass
class Load:
    """Calls of every kind at their rates, until it is stopped; what was answered in `told`."""

    adapter: Serving
    sent_before: list[str]
    told: list[Told] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, kind: str) -> None:
        """Make the calls of one kind."""
        with ThreadPoolExecutor(16) as pool:
            for number in itertools.count():
                pool.submit(self._one, kind, number)
                if self.stopped.wait(1 / RATES[kind]):
                    return

    def _one(self, kind: str, number: int) -> None:
        key, began = f"{kind}-{number}", time.monotonic()
        answer = getattr(self, f"_{kind}")(key, number)
        body = answer.json() if answer.content else {}
        self.told.append(Told(kind, key, began, time.monotonic(), answer.status_code, body))

    def _normal(self, key: str, _: int) -> requests.Response:
        return self.adapter.send(key, **a_reminder(key))

    def _emergency(self, key: str, _: int) -> requests.Response:
        seen = ("read.incomplete", "contact.unrecorded")
        return self.adapter.send(key, **a_reminder(key), **an_emergency(*seen))

    def _unread(self, key: str, _: int) -> requests.Response:
        return self.adapter.send(key, **a_reminder(key), **an_emergency())

    def _receipt(self, _: str, number: int) -> requests.Response:
        reference = self.sent_before[number % len(self.sent_before)]
        return self._called_back("receipts", fake_notify.receipt(reference))

    def _stop(self, key: str, _: int) -> requests.Response:
        told = fake_notify.reply("STOP", id=f"reply-{key}", source_number="447700900456")
        return self._called_back("inbound", told)

    def _called_back(self, what: str, callback: Callback) -> requests.Response:
        return requests.post(
            f"{self.adapter.url}/v1/{what}/govuk-notify",
            data=callback.body,
            headers=dict(callback.headers),
            timeout=60,
        )


def a_reminder(key: str) -> dict[str, Any]:
    """Give a content of its own for each key: the same one twice would be held."""
    return {"content": {"body": f"Example Surgery: please call us about {key}."}}


def an_emergency(*acknowledged: str) -> dict[str, Any]:
    declared = {
        "declared_by": GP,
        "declared_at": datetime.now(UTC).isoformat(),
        "reason": "critical potassium",
        "protects": "patient",
        "none_available_reason": "on call alone",
    }
    return {
        "contact_point": {"system": "sms", "value": "07700 900123", "source": "told by the ward"},
        "requester": GP,
        "evidence": {
            "emergency": declared,
            "acknowledged": [{"code": code} for code in acknowledged],
        },
    }


@pytest.fixture
def notify_environment() -> Callable[[FakeNotify], dict[str, str]]:
    return lambda service: {
        "provider": "govuk-notify",
        "FHIRMSG_GOVUK_NOTIFY_API_KEY": fake_notify.API_KEY,
        "FHIRMSG_GOVUK_NOTIFY_SMS_TEMPLATE": fake_notify.SMS_TEMPLATE,
        "FHIRMSG_GOVUK_NOTIFY_EMAIL_TEMPLATE": fake_notify.EMAIL_TEMPLATE,
        "FHIRMSG_GOVUK_NOTIFY_RECEIPTS_TOKEN": fake_notify.RECEIPTS_TOKEN,
        "FHIRMSG_GOVUK_NOTIFY_REPLIES_TOKEN": fake_notify.REPLIES_TOKEN,
        "FHIRMSG_GOVUK_NOTIFY_BASE_URL": service.url,
        "FHIRMSG_RATE_LIMIT": "9000/minute",
        "FHIRMSG_FHIR_READ_TIMEOUT": "5",
        "FHIRMSG_FHIR_DEADLINE": "8",
    }


def owed(file: Path) -> int:
    database = sqlite3.connect(file)
    try:
        # Marks of emergencies owe nothing, and stay a while.
        query = "SELECT count(*) FROM item WHERE owed <> 'mark'"
        [(count,)] = database.execute(query).fetchall()
        return int(count)
    finally:
        database.close()


def all_of(base: str, query: str) -> list[dict[str, Any]]:
    """Give every match of a search, page by page, past every cache."""
    found, url = [], f"{base}/{query}&_count=200"
    while url:
        page = requests.get(url, headers={"Cache-Control": "no-cache"}, timeout=60).json()
        found += [each["resource"] for each in page.get("entry", [])]
        url = next((each["url"] for each in page["link"] if each["relation"] == "next"), "")
    return found


def take_away_and_give_back(
    adapter: Serving, proxy: FaultProxy, journal: Path, seconds: float
) -> tuple[list[Told], tuple[float, float], float]:
    """Give what was told, when the server was away, and how long the journal took afterwards."""
    before = [f"before-{number}" for number in range(8)]
    for key in before:
        answer = adapter.send(key, **a_reminder(key))
        assert answer.status_code == 201, answer.text
    load = Load(adapter, [message_id_for("tests", key) for key in before])
    threads = [threading.Thread(target=load.run, args=(kind,)) for kind in RATES]
    for thread in threads:
        thread.start()
    time.sleep(1)
    proxy.refuse()
    away_from = time.monotonic()
    time.sleep(seconds)
    away_until = time.monotonic()
    proxy.accept()
    time.sleep(1)
    load.stopped.set()
    for thread in threads:
        thread.join()
    while owed(journal) and time.monotonic() < away_until + DRAINED_WITHIN:
        time.sleep(0.2)
    return load.told, (away_from, away_until), time.monotonic() - away_until


def check_what_was_told(told: list[Told], away: tuple[float, float]) -> None:
    within = [each for each in told if away[0] <= each.began and each.ended <= away[1]]
    answers = Counter((each.kind, each.status, each.body.get("status")) for each in within)
    assert set(answers) == {
        ("normal", 503, 503),
        ("emergency", 201, "accepted-by-provider"),
        ("unread", 200, "held"),
        ("receipt", 204, None),
        ("stop", 204, None),
    }, answers
    assert all(each.body["retry"] == "after" for each in within if each.kind == "normal")
    assert all(each.body["record"] == "pending" for each in within if each.kind == "emergency")
    # Who was on the way when it went or came back got one answer or the other.
    assert {each.status for each in told} <= {200, 201, 204, 503}
    assert all(each.status == 204 for each in told if each.kind in ("receipt", "stop"))


def check_what_went(told: list[Told], service: FakeNotify) -> None:
    taken = Counter(each.reference for each in service.taken)
    assert set(taken.values()) == {1}
    for each in told:
        if each.kind in ("receipt", "stop"):
            continue
        went = each.status == 201
        assert taken[message_id_for("tests", each.key)] == went, each


def check_the_record(told: list[Told], base: str) -> None:
    entries = Counter(
        (each["identifier"][0]["value"], each["status"])
        for each in all_of(base, "Communication?subject=Patient/amara")
    )
    reviews = Counter(
        each["focus"]["reference"]
        for each in all_of(base, "Task?status=requested")
        if each["code"]["coding"][0]["code"] == "emergency-review"
    )
    assert set(entries.values()) == {1}
    gone = [each for each in told if each.status == 201]
    for each in gone:
        assert entries[message_id_for("tests", each.key), "completed"] == 1, each
    for each in told:
        if each.kind == "normal" and each.status == 503:
            assert entries[message_id_for("tests", each.key), "completed"] == 0, each
    emergencies = sum(each.kind in ("emergency", "unread") for each in gone)
    assert (len(reviews), sum(reviews.values())) == (emergencies, emergencies)
    objections = all_of(base, "Consent?patient=Patient/bede")
    print(f"objections after STOP: {len(objections)}")
    assert objections
    assert all(each["provision"]["type"] == "deny" for each in objections)


def go_away(
    base: str, folder: Path, environment: Callable[[FakeNotify], dict[str, str]], seconds: float
) -> None:
    stopper = a_patient_resource(
        id="bede", identifier=[], telecom=[{"system": "phone", "value": "07700 900456"}]
    )
    put(base, a_patient_resource(), stopper)
    with FakeNotify() as service, FaultProxy.before(base) as proxy:
        settings = write_settings(folder, proxy.url_of(base), **environment(service))
        with serving(settings) as adapter:
            told, away, drained = take_away_and_give_back(
                adapter, proxy, Path(settings["FHIRMSG_JOURNAL_FILE"]), seconds
            )
            left = owed(Path(settings["FHIRMSG_JOURNAL_FILE"]))
        print(f"away {away[1] - away[0]:.1f} s, journal empty {drained:.1f} s later")
        print(sorted(Counter((each.kind, each.status) for each in told).items()))
        check_what_was_told(told, away)
        check_what_went(told, service)
        assert left == 0
        check_the_record(told, base)
        found = subprocess.run(
            [sys.executable, "-m", "fhirmsg", "reconcile", "--since", "1h", "--json"],
            env=settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        assert json.loads(found.stdout)["unexplained"] == []


def test_nothing_is_lost_or_doubled_while_the_fhir_server_is_away(
    tmp_path: Path, notify_environment: Callable[[FakeNotify], dict[str, str]]
) -> None:
    with serve_in_thread(Store()) as store:
        go_away(store.base_url, tmp_path, notify_environment, 8)


@pytest.mark.hapi
@pytest.mark.skipif(
    os.environ.get("FHIRMSG_TEST_LONG") != "1", reason="set FHIRMSG_TEST_LONG=1: takes two minutes"
)
def test_nothing_is_lost_or_doubled_while_hapi_is_away_for_a_minute(
    tmp_path: Path, hapi: str, notify_environment: Callable[[FakeNotify], dict[str, str]]
) -> None:
    go_away(hapi, tmp_path, notify_environment, 60)
