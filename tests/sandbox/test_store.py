"""What is our store's alone: it survives a kill, keeps its head in a crowd, and takes junk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import requests

from fhirmsg.sandbox import Serving, Store, serve_in_thread
from fhirmsg.sandbox.dates import span_of
from fhirmsg.sandbox.errors import BadRequest
from fhirmsg.sandbox.query import query_of

CROWD = 16
FHIR_JSON = {"Content-Type": "application/fhir+json"}
MESSAGES = "urn:example:message"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def serving(store: Store) -> Iterator[Serving]:
    with serve_in_thread(store) as serving:
        yield serving


def a_communication(text: str = "") -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "status": "in-progress",
        "identifier": [{"system": MESSAGES, "value": "m-1"}],
        "note": [{"text": text}],
    }


def at_once(task: Callable[[int], requests.Response]) -> Counter[int]:
    """How often each status came, when a crowd does the same in the same moment."""
    barrier = Barrier(CROWD)

    def one(number: int) -> int:
        barrier.wait()
        return task(number).status_code

    with ThreadPoolExecutor(CROWD) as pool:
        return Counter(pool.map(one, range(CROWD)))


@contextmanager
def a_process(file: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`python -m fhirmsg.sandbox` on this file, and the base URL it printed."""
    command = [sys.executable, "-m", "fhirmsg.sandbox", "--port", "0", "--file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said, _, base = process.stdout.readline().strip().rpartition(" ")
            assert said == "listening on"
            yield process, base
        finally:
            process.kill()


def test_a_killed_process_loses_nothing_it_answered(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    with a_process(file) as (process, base):
        for number in range(50):
            patient = {"resourceType": "Patient", "id": f"p-{number}"}
            url = f"{base}/Patient/p-{number}"
            assert requests.put(url, json=patient, headers=FHIR_JSON, timeout=30).ok
        last = requests.post(f"{base}/Patient", json={"resourceType": "Patient"}, timeout=30)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with a_process(file) as (_, base):
        count = requests.get(f"{base}/Patient?_summary=count", timeout=30).json()["total"]
        assert count == 51
        url = f"{base}/Patient/{last.json()['id']}"
        assert requests.get(url, timeout=30).json() == last.json()
        another = requests.post(f"{base}/Patient", json={"resourceType": "Patient"}, timeout=30)
        assert int(another.json()["id"]) > int(last.json()["id"])


def test_a_process_killed_while_it_writes_keeps_whole_transactions(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    pair = [
        {"resource": {"resourceType": kind}, "request": {"method": "POST", "url": kind}}
        for kind in ("Patient", "Flag")
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": pair}
    answered = 0
    with a_process(file) as (process, base), ThreadPoolExecutor(4) as pool:

        def write_until_refused(_: int) -> int:
            count = 0
            while True:
                try:
                    requests.post(base, json=bundle, timeout=30).raise_for_status()
                except requests.RequestException:
                    return count
                count += 1
                if count == 20:
                    process.kill()

        answered = sum(pool.map(write_until_refused, range(4)))
    store = Store(file)
    kept = {kind: len(store.search(query_of(kind, ""))) for kind in ("Patient", "Flag")}
    store.close()
    assert kept["Patient"] == kept["Flag"] >= answered > 0


def test_a_process_that_is_asked_to_end_ends(tmp_path: Path) -> None:
    with a_process(tmp_path / "store.sqlite") as (process, _):
        process.terminate()
        assert process.wait(30) == 0


def test_of_a_crowd_that_creates_one_message_one_succeeds(serving: Serving) -> None:
    headers = {**FHIR_JSON, "If-None-Exist": f"identifier={MESSAGES}|m-1"}
    url = f"{serving.base_url}/Communication"

    def create(number: int) -> requests.Response:
        return requests.post(url, json=a_communication(str(number)), headers=headers, timeout=30)

    assert at_once(create) == {201: 1, 200: CROWD - 1}
    assert requests.get(url, timeout=30).json()["total"] == 1


def test_of_a_crowd_that_creates_one_message_in_transactions_one_succeeds(
    serving: Serving,
) -> None:
    request = {
        "method": "POST",
        "url": "Communication",
        "ifNoneExist": f"identifier={MESSAGES}|m-1",
    }

    def create(number: int) -> requests.Response:
        entry = {"resource": a_communication(str(number)), "request": request}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        answer = requests.post(serving.base_url, json=bundle, headers=FHIR_JSON, timeout=30)
        answer.status_code = int(answer.json()["entry"][0]["response"]["status"][:3])
        return answer

    assert at_once(create) == {201: 1, 200: CROWD - 1}


def test_of_a_crowd_that_claims_one_version_one_succeeds(serving: Serving) -> None:
    url = f"{serving.base_url}/Communication/m"
    requests.put(url, json={**a_communication(), "id": "m"}, headers=FHIR_JSON, timeout=30)
    headers = {**FHIR_JSON, "If-Match": 'W/"1"'}

    def claim(number: int) -> requests.Response:
        body = {**a_communication(f"claimed by {number}"), "id": "m"}
        return requests.put(url, json=body, headers=headers, timeout=30)

    assert at_once(claim) == {200: 1, 409: CROWD - 1}
    assert requests.get(url, timeout=30).headers["ETag"] == 'W/"2"'


def test_two_stores_keep_apart(store: Store) -> None:
    other = Store()
    store.create("Patient", {"resourceType": "Patient"})
    assert other.search(query_of("Patient", "")) == []
    other.close()


def test_the_clock_is_the_stores() -> None:
    store = Store(clock=lambda: datetime(2026, 5, 12, 8, 30, tzinfo=UTC))
    written = store.create("Patient", {"resourceType": "Patient"})
    meta = json.loads(written.version.text())["meta"]
    assert meta["lastUpdated"] == "2026-05-12T08:30:00.000+00:00"
    store.close()


def test_a_change_that_fails_outside_fhir_leaves_nothing(store: Store) -> None:
    def fail_half_way() -> None:
        with store.changes():
            store.create("Patient", {"resourceType": "Patient"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert store.search(query_of("Patient", "")) == []


def test_an_emptied_store_gives_no_id_twice(store: Store) -> None:
    before = store.create("Patient", {"resourceType": "Patient"}).version.id
    store.expunge()
    assert store.create("Patient", {"resourceType": "Patient"}).version.id != before


def test_an_emptied_store_has_no_further_pages(serving: Serving) -> None:
    for _ in range(2):
        requests.post(f"{serving.base_url}/Flag", json={"resourceType": "Flag"}, timeout=30)
    bundle = requests.get(f"{serving.base_url}/Flag?_count=1", timeout=30).json()
    requests.post(f"{serving.base_url}/$expunge", timeout=30)
    following = next(one["url"] for one in bundle["link"] if one["relation"] == "next")
    assert requests.get(following, timeout=30).status_code == 410


def test_the_total_comes_with_the_last_page_unless_it_is_asked_for(serving: Serving) -> None:
    for _ in range(2):
        requests.post(f"{serving.base_url}/Flag", json={"resourceType": "Flag"}, timeout=30)
    first = requests.get(f"{serving.base_url}/Flag?_count=1", timeout=30).json()
    following = next(one["url"] for one in first["link"] if one["relation"] == "next")
    assert "total" not in first
    assert requests.get(following, timeout=30).json()["total"] == 2


@pytest.mark.parametrize(
    "elements",
    [
        {"identifier": "x", "name": 7, "telecom": {"value": 1}, "birthDate": []},
        {"identifier": [None, [], {"system": 1, "value": {}}], "active": "yes"},
        {"name": [{"family": {"a": 1}, "given": "Ann"}, "Ann"], "birthDate": "9999-99-99"},
        {"generalPractitioner": "Dr", "link": [{"other": []}], "managingOrganization": [{}]},
        {"meta": {"tag": "demo", "security": {"code": "R"}, "profile": [1]}},
        {"address": [[{"line": [["1 Road"]]}]], "birthDate": "0000"},
    ],
)
def test_junk_is_kept_as_it_came(store: Store, elements: dict[str, Any]) -> None:
    junk = {"resourceType": "Patient", "id": "junk", **elements}
    store.update("Patient", "junk", junk)
    kept = json.loads(store.update("Patient", "junk", {**junk, "gender": 1}).version.text())
    for name in elements.keys() - {"meta"}:
        assert kept[name] == elements[name]


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceType":"Patient","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"resourceType":"Patient","x":' + b'{"x":' * 20_000 + b"1" + b"}" * 20_001,
        b'{"resourceType":"Patient","x":NaN}',
        b'{"resourceType":"Patient","x":1e999}',
        b'{"resourceType":"Patient","x":"\\ud800"}',
        b'{"resourceType":"Patient","x":"\xff"}',
        b'{"resourceType":"Patient","meta":[]}'.replace(b"[]", b"[1]"),
    ],
)
def test_what_cannot_be_kept_is_400(serving: Serving, body: bytes) -> None:
    url = f"{serving.base_url}/Patient"
    answer = requests.post(url, data=body, headers=FHIR_JSON, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("value", ["' OR 1=1 --", "%", "\x00", "a\\,b", "|||", "💊" * 50])
def test_a_strange_value_finds_nothing_and_breaks_nothing(serving: Serving, value: str) -> None:
    requests.post(f"{serving.base_url}/Flag", json={"resourceType": "Flag"}, timeout=30)
    for name in ("identifier", "_id", "subject"):
        answer = requests.get(f"{serving.base_url}/Flag", params={name: value}, timeout=30)
        assert answer.status_code == 200 or (name, answer.status_code) == ("subject", 400)
        assert answer.json().get("entry") is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/Flag/f/_history/{'9' * 40}", 404),
        (f"/Flag?_count={'9' * 40}", 400),
        ("/Flag?identifier.system=x", 400),
        ("/Flag?_id:not=x", 400),
        ("/Flag/f/g/h/i", 400),
    ],
)
def test_a_strange_address_is_refused(serving: Serving, path: str, status: int) -> None:
    answer = requests.get(serving.base_url + path, timeout=30)
    assert (answer.status_code, answer.json()["resourceType"]) == (status, "OperationOutcome")


def test_an_address_outside_the_base_is_404_with_an_outcome(serving: Serving) -> None:
    answer = requests.get(serving.base_url.removesuffix("/fhir") + "/other", timeout=30)
    assert answer.status_code == 404
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("2024", 366 * 86_400_000),
        ("2026-02", 28 * 86_400_000),
        ("2026-02-03", 86_400_000),
        ("2026-02-03T10:15", 60_000),
        ("2026-02-03T10:15:20+01:00", 1000),
        ("2026-02-03T10:15:20.123Z", 1),
    ],
)
def test_a_partial_date_covers_its_precision(text: str, length: int) -> None:
    span = span_of(text)
    assert span
    assert span[1] - span[0] + 1 == length


@pytest.mark.parametrize("text", ["", "26", "2026-13", "2026-02-30", "2026-2-3", "2026-02-03T10"])
def test_what_is_no_date_covers_nothing(text: str) -> None:
    assert span_of(text) is None


def test_a_search_without_criteria_is_no_condition(store: Store) -> None:
    with pytest.raises(BadRequest):
        store.match("Patient", "_sort=_id")


def test_the_store_is_independent_of_the_rest_of_the_project() -> None:
    code = (
        "import sys, fhirmsg.sandbox;"
        "print(*(n for n in sys.modules if n.startswith('fhirmsg.') and 'sandbox' not in n))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == ""
