"""Receipts that a serving process takes a second, and puts on the record. Run by hand:

    python -m tests.bench.receipts [COUNT]     # 3,000 receipts unless told otherwise

A real `fhirmsg serve` takes callbacks of GOV.UK Notify with their bearer token from eight clients
that keep their connections; each is answered 204 once it is synced to the journal. First with no
FHIR server to write to, then a process that finds them in the journal and puts them on a real
HAPI, then both at once.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import requests

from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Owed
from fhirmsg.providers.outbox import Outbox
from tests import world
from tests.hapi.server import HapiServer
from tests.providers.fake_notify import API_KEY, EMAIL_TEMPLATE, RECEIPTS_TOKEN, SMS_TEMPLATE
from tests.serving import Serving, serving, write_settings

AIM = 300
CLIENTS = 8
NOBODY = "http://127.0.0.1:9/fhir"
NOTIFY = {
    "FHIRMSG_GOVUK_NOTIFY_API_KEY": API_KEY,
    "FHIRMSG_GOVUK_NOTIFY_SMS_TEMPLATE": SMS_TEMPLATE,
    "FHIRMSG_GOVUK_NOTIFY_EMAIL_TEMPLATE": EMAIL_TEMPLATE,
    "FHIRMSG_GOVUK_NOTIFY_RECEIPTS_TOKEN": RECEIPTS_TOKEN,
    "FHIRMSG_GOVUK_NOTIFY_BASE_URL": "https://127.0.0.1:9",
}


def main() -> None:
    """Print the three figures."""
    count = int(sys.argv[1]) if sys.argv[1:] else 3000
    server = HapiServer(None)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as name:
            measure(server.url, Path(name), count)
    finally:
        server.stop()


def measure(base: str, folder: Path, count: int) -> None:
    """Take with nobody to write to, put on the record, then do both at once."""
    entry = an_entry(base)
    references = put_entries(base, entry, count)
    with service(folder, NOBODY) as (running, journal):
        show("taken, no FHIR server", count, taken(running, references))
        assert owed(journal) == count
    with service(folder, base) as (_, journal):
        begin = time.perf_counter()
        until_empty(journal)
        show("put on HAPI, nothing else to do", count, time.perf_counter() - begin)
    check(base, references)
    references = put_entries(base, entry, count)
    with service(folder, base) as (running, journal):
        begin = time.perf_counter()
        show("taken while others are put on HAPI", count, taken(running, references))
        until_empty(journal)
        show("taken and put on HAPI", count, time.perf_counter() - begin)
    check(base, references)


def show(what: str, count: int, seconds: float) -> None:
    """Print a rate."""
    print(f"{what:36} {count / seconds:6.0f} a second ({count} in {seconds:.1f} s; aim: {AIM})")


@contextmanager
def service(folder: Path, base: str) -> Iterator[tuple[Serving, SqliteJournal]]:
    """Run a serving process, with a view into its journal."""
    settings = write_settings(folder, base, provider="govuk-notify", **NOTIFY)
    with serving(settings) as running:
        journal = SqliteJournal(
            settings["FHIRMSG_JOURNAL_FILE"], [settings["FHIRMSG_RECORD_KEY"].encode()]
        )
        yield running, journal
        journal.close()


def an_entry(base: str) -> dict[str, Any]:
    """Send a message, and give its entry without what the server put on it."""
    world.put(base, world.a_patient_resource())
    world.World(base=base, provider=Outbox(None)).send()
    [entry] = world.communications(base)
    return {name: value for name, value in entry.items() if name not in ("id", "meta")}


def put_entries(base: str, entry: dict[str, Any], count: int) -> list[str]:
    """Put copies of it on the server; gives their message ids."""
    references = [str(uuid4()) for _ in range(count)]
    [identifier] = entry["identifier"]
    for start in range(0, count, 250):
        entries = [
            {
                "resource": {**entry, "identifier": [{**identifier, "value": reference}]},
                "request": {"method": "POST", "url": "Communication"},
            }
            for reference in references[start : start + 250]
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = requests.post(base, json=bundle, headers=world.FHIR_JSON, timeout=120)
        answer.raise_for_status()
    return references


def taken(running: Serving, references: list[str]) -> float:
    """Call back about all of them; gives the seconds until the last was answered."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = [references[number::CLIENTS] for number in range(CLIENTS)]
        list(pool.map(lambda share: call_back(running.url, share), shares))
    return time.perf_counter() - begin


def call_back(url: str, references: list[str]) -> None:
    """Tell of deliveries over one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {RECEIPTS_TOKEN}", "Content-Type": "application/json"}
    for reference in references:
        body = json.dumps(
            {
                "id": str(uuid4()),
                "reference": reference,
                "to": "07700900123",
                "status": "delivered",
                "created_at": "2026-11-24T08:30:00.000000Z",
                "sent_at": "2026-11-24T08:30:01.000000Z",
                "completed_at": "2026-11-24T08:30:02.000000Z",
                "notification_type": "sms",
                "template_id": SMS_TEMPLATE,
                "template_version": 1,
            }
        )
        connection.request("POST", "/v1/receipts/govuk-notify", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204, answer.status
    connection.close()


def owed(journal: SqliteJournal) -> int:
    """Give how many receipts are still to be put on the record."""
    return journal.lengths().get(Owed.RECEIPT, 0)


def until_empty(journal: SqliteJournal) -> None:
    """Wait until nothing is owed."""
    end = time.monotonic() + 600
    while owed(journal):
        assert time.monotonic() < end, "the journal does not empty"
        time.sleep(0.05)


def check(base: str, references: list[str]) -> None:
    """See that a receipt stands on entries from all over."""
    for reference in references[:: max(1, len(references) // 20)]:
        answer = requests.get(
            f"{base}/Communication?identifier={reference}",
            headers={"Cache-Control": "no-cache"},
            timeout=30,
        )
        [found] = answer.json()["entry"]
        assert "received" in found["resource"], reference


if __name__ == "__main__":
    main()
