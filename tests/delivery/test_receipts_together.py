"""Many receipts go onto the record in few round trips, and none holds the others up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from fhirmsg.calls import message_id_for
from tests.delivery.conftest import Line
from tests.delivery.desk import Office
from tests.reverse_proxy import Hook, Reply, Request, reverse_proxy
from tests.world import FHIR_JSON


def together(request: Request) -> bool:
    """Tell whether it writes entries in a transaction."""
    return b'"transaction"' in request.body[:60] and b'"PUT"' in request.body


def each_for_itself(request: Request) -> bool:
    """Tell whether it writes entries in a batch."""
    return b'"batch"' in request.body[:60] and b'"PUT"' in request.body


@contextmanager
def with_receipts(line: Line, count: int, hook: Hook) -> Iterator[tuple[Office, list[Request]]]:
    """Have so many messages on record and a receipt about each in the journal.

    Gives the writes that follow too; the hook stands between them and the server.
    """
    writes: list[Request] = []

    def hear(request: Request) -> Reply | None:
        if not ready or not (together(request) or each_for_itself(request)):
            return None
        writes.append(request)
        return hook(request)

    ready: list[bool] = []
    with reverse_proxy(line.direct, hear) as base:
        office = Office(base=base, direct=line.direct)
        office.send("key-0")
        [entry] = office.record()
        for number in range(1, count):
            put_copy(line.direct, entry, message_id_for("tests", f"key-{number}"))
        for number in range(count):
            office.receipt("delivered", f"key-{number}")
        ready.append(True)
        yield office, writes


def put_copy(base: str, entry: dict[str, Any], message_id: str) -> None:
    """Put the entry of another message on the server."""
    copy = {name: value for name, value in entry.items() if name not in ("id", "meta")}
    copy["identifier"] = [{**entry["identifier"][0], "value": message_id}]
    requests.post(f"{base}/Communication", json=copy, headers=FHIR_JSON, timeout=30)


def delivered(office: Office) -> list[str]:
    """Give the ids of the messages that are on record as delivered."""
    found = office.record()
    return [each["identifier"][0]["value"] for each in found if "received" in each]


def test_receipts_about_several_messages_are_written_together(line: Line) -> None:
    with with_receipts(line, 5, lambda request: None) as (office, writes):
        office.service.catch_up.drain()
        assert len(delivered(office)) == 5
        assert office.owed() == 0
        assert list(map(together, writes)) == [True]


def test_an_entry_that_was_changed_meanwhile_holds_up_none_of_the_others(line: Line) -> None:
    def change_one(request: Request) -> None:
        if together(request):
            entry = office.record()[0]
            changed = {**entry, "note": [{"text": "Rang to confirm."}]}
            url = f"{line.direct}/Communication/{entry['id']}"
            requests.put(url, json=changed, headers=FHIR_JSON, timeout=30).raise_for_status()

    with with_receipts(line, 3, change_one) as (office, writes):
        office.service.catch_up.drain()
        assert len(delivered(office)) == 2
        assert office.owed() == 1
        assert list(map(together, writes)) == [True, False]
        office.catch_up()
        assert len(delivered(office)) == 3
        assert any("note" in each for each in office.record())


def test_what_was_written_before_the_server_went_away_is_not_forgotten(line: Line) -> None:
    taken: list[Request] = []

    def only_once(request: Request) -> Reply | None:
        taken.append(request)
        return None if len(taken) == 1 else Reply(503, b"away", "text/plain")

    with with_receipts(line, 60, only_once) as (office, _):
        office.service.catch_up.drain()
        assert 0 < len(delivered(office)) < 60
        assert office.owed() == 60 - len(delivered(office))
        taken.clear()
        office.catch_up()
        assert office.owed() == 0
