"""The doctor: it finds what will not work, says what to do, and leaves nothing behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from fhirmsg import clock
from fhirmsg.doctor.examining import examined
from fhirmsg.doctor.here import journal_lines, provider_lines
from fhirmsg.doctor.lines import Level, Line
from fhirmsg.doctor.looking import capability_lines, scope_lines
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.capability import Capabilities
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.http import make_session
from fhirmsg.sandbox import Store, serve_in_thread
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.serving import write_settings
from tests.test_cli import run
from tests.world import a_patient_resource, an_objection_resource, put

DEAD = "http://127.0.0.1:9/fhir"
WRITES = [
    *("fictional Patient", "clocks of the server", "fresh search", "fresh search in a batch"),
    *("conditional create", "version-checked update", "writes in a transaction"),
    *("AuditEvent create", "removal"),
]


@pytest.fixture
def base() -> Iterator[str]:
    with serve_in_thread(Store()) as running:
        put(running.base_url, a_patient_resource())
        yield running.base_url


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., list[Line]]:
    """Examine an adapter before this FHIR server."""

    def look(base: str, **options: Any) -> list[Line]:
        return list(examined(write_settings(tmp_path, base), **options))

    return look


def levels(lines: list[Line]) -> dict[str, Level]:
    return {line.about: line.level for line in lines}


def bad(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.level in (Level.FAULT, Level.WARNING)]


def left_on(base: str) -> list[str]:
    """Give what a trial has left on a server."""
    kinds = ("Communication", "Provenance", "AuditEvent", "Patient")
    return [
        f"{kind}/{entry['resource']['id']}"
        for kind in kinds
        for entry in requests.get(
            f"{base}/{kind}?_tag=https://fhirmsg.example/CodeSystem/tag|doctor", timeout=30
        )
        .json()
        .get("entry", [])
    ]


# --- a server that is right -----------------------------------------------------------------------


def test_it_finds_nothing_wrong_with_the_embedded_store_and_writes_nothing(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    asked: list[Request] = []
    with reverse_proxy(base, lambda request: asked.append(request)) as url:
        lines = examine(url)
    assert bad(lines) == []
    assert levels(lines)["writes"] is Level.NOT_TRIED
    writing = [
        each
        for each in asked
        if each.method != "GET" and json.loads(each.body).get("type") != "batch"
    ]
    assert writing == []


def test_with_writes_it_tries_each_and_leaves_nothing(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    lines = examine(base, write=True)
    assert bad(lines) == []
    assert [line.about for line in lines if line.about in WRITES] == WRITES
    assert left_on(base) == []
    # And nothing else was touched.
    assert requests.get(f"{base}/Patient/amara", timeout=10).ok


@pytest.mark.hapi
def test_it_finds_nothing_wrong_with_hapi_and_leaves_nothing(
    hapi: str, examine: Callable[..., list[Line]]
) -> None:
    lines = examine(hapi, write=True)
    assert bad(lines) == []
    assert {levels(lines)[about] for about in WRITES} == {Level.OK}
    assert left_on(hapi) == []


def test_objections_that_no_search_finds_are_counted(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    by_number = {"identifier": {"value": "9990000018"}}
    put(base, an_objection_resource("lost") | {"patient": by_number})
    [line] = bad(examine(base))
    assert line.about == "Consent without a literal patient"
    assert line.level is Level.WARNING
    assert line.text.startswith("1 on the server")
    assert "9990000018" not in line.as_text()


# --- a server that is not -------------------------------------------------------------------------

Hook = Callable[[Request], Reply | None]


def metadata(body: bytes, status: int = 200) -> Hook:
    return lambda request: Reply(status, body) if request.path.endswith("/metadata") else None


def statement(**changes: Any) -> bytes:
    return json.dumps(
        {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", **changes}
    ).encode()


@pytest.mark.parametrize(
    ("hook", "about", "says"),
    [
        (metadata(b"<html>Welcome</html>"), "FHIR server", "not a FHIR resource"),
        (metadata(b"", 500), "FHIR server", "answered 500 to metadata"),
        (metadata(statement(fhirVersion="5.0.0")), "FHIR version", "says 5.0.0"),
    ],
)
@pytest.mark.parametrize("write", [False, True])
def test_a_server_that_is_none_or_of_another_version_is_a_fault(
    base: str, examine: Callable[..., list[Line]], hook: Hook, about: str, says: str, write: bool
) -> None:
    with reverse_proxy(base, hook) as url:
        lines = examine(url, write=write)
    [line] = [each for each in lines if each.level is Level.FAULT]
    assert line.about == about
    assert says in line.text
    assert levels(lines)["writes"] is Level.NOT_TRIED
    assert left_on(base) == []


def test_a_server_that_is_away_is_a_fault(examine: Callable[..., list[Line]]) -> None:
    assert levels(examine(DEAD, write=True))["FHIR server"] is Level.FAULT


def test_a_batch_that_is_refused_is_a_fault(base: str, examine: Callable[..., list[Line]]) -> None:
    with reverse_proxy(base, lambda request: bundle(request, "batch", Reply(405))) as url:
        assert levels(examine(url))["batch of searches"] is Level.FAULT


def bundle(request: Request, kind: str, reply: Reply) -> Reply | None:
    """Answer a Bundle of this type so."""
    is_it = request.method == "POST" and f'"type": "{kind}"'.encode() in request.body
    return reply if is_it else None


def test_a_search_that_is_refused_is_named(base: str, examine: Callable[..., list[Line]]) -> None:
    def refusing(request: Request) -> Reply | None:
        body = request.body.replace(b"Flag?patient=", b"Flag?nonsense=")
        if body == request.body:
            return None
        kept = requests.post(f"{base}", data=body, headers=JSON, timeout=30)
        date = (("Date", kept.headers["Date"]),)
        return Reply(kept.status_code, kept.content, headers=date)

    with reverse_proxy(base, refusing) as url:
        found = bad(examine(url))
    assert [line.about for line in found] == ["search Flag?patient="]


JSON = {"Content-Type": "application/fhir+json"}


def test_without_transactions_it_warns_and_tries_each_write_by_itself(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    with reverse_proxy(base, lambda request: bundle(request, "transaction", Reply(400))) as url:
        lines = examine(url, write=True)
    [line] = bad(lines)
    assert (line.about, line.level) == ("writes in a transaction", Level.WARNING)
    assert levels(lines)["Provenance create"] is Level.OK
    assert left_on(base) == []


def test_without_audit_events_it_names_the_setting(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    def hook(request: Request) -> Reply | None:
        posted = request.method == "POST" and b'"AuditEvent"' in request.body
        return Reply(404) if posted else None

    with reverse_proxy(base, hook) as url:
        found = {line.about: line for line in bad(examine(url, write=True))}
    assert "FHIRMSG_DECISION_LOG" in found["AuditEvent create"].advice
    assert left_on(base) == []


def test_a_second_create_that_makes_another_one_is_a_fault_and_both_are_removed(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    def unconditional(request: Request) -> Reply | None:
        # The proxy passes the condition on; here it is left out.
        if request.method != "POST" or not request.path.endswith("/Communication"):
            return None
        made = requests.post(f"{base}/Communication", data=request.body, headers=JSON, timeout=30)
        return Reply(201, made.content, headers=(("Date", made.headers["Date"]),))

    with reverse_proxy(base, unconditional) as url:
        lines = examine(url, write=True)
    assert levels(lines)["conditional create"] is Level.FAULT
    assert levels(lines)["removal"] is Level.OK
    assert left_on(base) == []


def test_an_update_that_heeds_no_version_is_a_fault(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    def unchecked(request: Request) -> Reply | None:
        if request.method != "PUT":
            return None
        made = requests.put(f"{base}/{tail(request)}", data=request.body, headers=JSON, timeout=30)
        return Reply(200, made.content)

    with reverse_proxy(base, unchecked) as url:
        assert levels(examine(url, write=True))["version-checked update"] is Level.FAULT


def tail(request: Request) -> str:
    return request.path.rpartition("/fhir/")[2]


def test_a_server_that_answers_from_memory_is_a_fault(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    remembered: dict[bytes, Reply] = {}

    def stale(request: Request) -> Reply | None:
        search = request.method == "GET" and "Communication?" in request.path
        asked = request.path.encode() + request.body
        if not search and bundle(request, "batch", Reply(200)) is None:
            return None
        if asked not in remembered:
            answer = requests.request(
                request.method,
                base + request.path.removeprefix("/fhir"),
                data=request.body or None,
                headers=JSON,
                timeout=30,
            )
            date = (("Date", answer.headers["Date"]),)
            remembered[asked] = Reply(answer.status_code, answer.content, headers=date)
        return remembered[asked]

    with reverse_proxy(base, stale) as url:
        found = levels(examine(url, write=True))
    assert found["fresh search"] is Level.FAULT
    assert found["fresh search in a batch"] is Level.FAULT
    # It was removed all the same: what a create had answered is known.
    assert left_on(base) == []


def test_a_server_that_lets_nothing_be_deleted_is_told_by_reference(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    hook: Hook = lambda request: Reply(405) if request.method == "DELETE" else None  # noqa: E731
    with reverse_proxy(base, hook) as url:
        [line] = bad(examine(url, write=True))
    assert line.about == "removal"
    assert sorted(re.findall(r"[A-Z][A-Za-z]+/[^, ]+", line.text)) == sorted(left_on(base))


def test_a_server_that_dies_in_the_middle_is_a_fault_and_no_stack_trace(
    base: str, examine: Callable[..., list[Line]]
) -> None:
    def dying(request: Request) -> Reply | None:
        return Reply(200, b"<html>") if request.method == "PUT" else None

    with reverse_proxy(base, dying) as url:
        lines = examine(url, write=True)
    assert levels(lines)["writes"] is Level.FAULT
    assert left_on(base) == []


def test_clocks_that_are_apart_are_told(base: str, examine: Callable[..., list[Line]]) -> None:
    lines = examine(base, now=lambda: clock.now() + timedelta(seconds=60))
    [line] = bad(lines)
    assert line.about == "clock"
    assert re.search(r"(59|60|61|62) seconds apart", line.text)


# --- what it says of itself, and grants -----------------------------------------------------------


def test_what_a_server_does_not_tell_is_neither_good_nor_bad() -> None:
    assert {line.level for line in capability_lines(Capabilities())} == {Level.NOT_TRIED}


class Tokens:
    """A token source of the tests."""

    def __init__(self, granted: object) -> None:
        self._granted = granted

    def granted(self) -> object:
        if isinstance(self._granted, Exception):
            raise self._granted
        return self._granted


def scopes(granted: object) -> list[Line]:
    client = FhirClient(FhirServer(base_url=DEAD), make_session())
    if granted is not None:
        client.tokens = Tokens(granted)  # type: ignore[attr-defined]
    return list(scope_lines(client))


@pytest.mark.parametrize(
    "granted",
    [
        "system/*.*",
        "system/*.cruds",
        "system/*.read system/*.write",
        ("system/*.cru", "system/*.s"),
    ],
)
def test_scopes_that_grant_all_are_good(granted: object) -> None:
    assert [line.level for line in scopes(granted)] == [Level.OK]


def test_a_scope_that_lacks_is_named_with_what_comes_of_it() -> None:
    most = "Patient RelatedPerson Communication CommunicationRequest Flag Task Provenance"
    granted = [f"system/{kind}.cruds" for kind in (*most.split(), "Organization", "AuditEvent")]
    found = scopes([*granted, "system/Consent.c"])
    assert [(line.level, line.text) for line in found] == [
        (
            Level.FAULT,
            "Consent read, search-type is not granted; objections cannot be seen, so every message "
            "is held",
        )
    ]


@pytest.mark.parametrize("granted", [None, "", []])
def test_scopes_that_are_not_known_are_not_judged(granted: object) -> None:
    assert [line.level for line in scopes(granted)] == [Level.NOT_TRIED]


def test_a_token_that_cannot_be_had_is_a_fault() -> None:
    assert [line.level for line in scopes(RecordUnavailable("no token"))] == [Level.FAULT]


# --- this host ------------------------------------------------------------------------------------


class Checked:
    """A provider or journal of the tests that examines itself."""

    def __init__(self, reason: str | None) -> None:
        self.reason = reason

    def why_unusable(self) -> str | None:
        return self.reason


def test_providers_examine_themselves_as_far_as_they_can() -> None:
    providers: Any = {"a": Checked(None), "b": Checked("The key is refused."), "c": object()}
    assert levels(list(provider_lines(providers))) == {
        "provider a": Level.OK,
        "provider b": Level.FAULT,
        "provider c": Level.NOT_TRIED,
    }


def test_a_journal_that_cannot_be_written_is_a_fault() -> None:
    journals: list[Any] = [None, Checked(None), Checked("no room")]
    found = [line.level for each in journals for line in journal_lines(each)]
    assert found == [Level.NOT_TRIED, Level.OK, Level.FAULT]


def test_decisions_that_nobody_is_told_are_a_warning(
    base: str, examine: Callable[..., list[Line]], tmp_path: Path
) -> None:
    told = requests.get(f"{base}/metadata", timeout=10).json()
    [rest] = told["rest"]
    rest["resource"] = [each for each in rest["resource"] if each["type"] != "AuditEvent"]
    with reverse_proxy(base, metadata(json.dumps(told).encode())) as url:
        assert levels(examine(url))["audit"] is Level.WARNING
        log = tmp_path / "decisions.jsonl"
        environment = write_settings(tmp_path, url, FHIRMSG_DECISION_LOG=str(log))
        found = levels(list(examined(environment)))
    assert "audit" not in found
    assert found["decision log"] is Level.OK
    assert not log.exists()


# --- the command ----------------------------------------------------------------------------------


def test_the_command_tells_every_fault_of_the_settings() -> None:
    found = run("doctor", FHIRMSG_PORT="x")
    assert found.exit_code == 1
    assert "FAULT     FHIRMSG_PORT: " in found.stdout
    assert "FAULT     FHIRMSG_RECORD_KEY: is not set" in found.stdout
    assert "NOT TRIED everything else: " in found.stdout


def test_the_command_gives_data_for_programs(base: str, tmp_path: Path) -> None:
    found = run("doctor", "--json", **write_settings(tmp_path, base))
    assert (found.exit_code, found.stderr) == (0, "")
    told = json.loads(found.stdout)
    assert (told["faults"], told["warnings"]) == (0, 0)
    assert {"level": "ok", "about": "settings", "text": "all are right", "advice": ""} in told[
        "lines"
    ]


def test_the_command_ends_with_1_when_there_is_a_fault(tmp_path: Path) -> None:
    found = run("doctor", **write_settings(tmp_path, DEAD))
    assert found.exit_code == 1
    assert "1 faults, 0 warnings." in found.stdout
    assert "Traceback" not in found.output
