"""The FHIR client: past every cache, within its deadline, to its own server, and no surprises."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
import responses
from responses.matchers import header_matcher

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirClient, FhirServer, posix_date
from fhirmsg.http import make_session
from tests.fhir.resources import bundle_of
from tests.raw_server import answer, drip, in_turn, raw_server

BASE = "https://ehr.example/fhir"
LINK = f"{BASE}?_getpages=1&_getpagesoffset=100"
EMPTY = {"resourceType": "Bundle", "type": "searchset", "total": 0}
NHS_NUMBER = "9990000018"


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """Every answer is registered by the test; a call without one fails."""
    with responses.RequestsMock() as mock:
        yield mock


def a_client(base: str = BASE, **settings: Any) -> FhirClient:
    """Give a client with short times."""
    return FhirClient(FhirServer(base_url=base, **settings), make_session())


def soon() -> Deadline:
    return Deadline(5)


# --- deadlines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"],
    ids=["head", "body"],
)
def test_a_server_that_drips_its_answer_is_unavailable_at_the_deadline(first: bytes) -> None:
    with raw_server(drip(first)) as server:
        client = a_client(server.url, call_deadline=0.4)
        began = time.monotonic()
        with pytest.raises(RecordUnavailable):
            client.create({"resourceType": "Task"})
        with pytest.raises(RecordUnavailable):
            client.read("Patient/1")
    assert time.monotonic() - began < 1.5


def test_a_read_is_tried_again_and_a_write_never() -> None:
    busy = answer(status="503 Service Unavailable")
    for write in (
        lambda client: client.create({"resourceType": "Task"}),
        lambda client: client.update({"resourceType": "Task", "id": "1"}, version_id="1"),
        lambda client: client.transaction([]),
        lambda client: client.delete("Task/1"),
    ):
        with raw_server(in_turn(busy, answer(b'{"resourceType":"Bundle"}'))) as server:
            assert write(a_client(server.url))  # type: ignore[no-untyped-call]
            assert len(server.requests) == 1
    with raw_server(in_turn(busy, answer(b'{"resourceType":"Patient"}'))) as server:
        assert a_client(server.url).read("Patient/1").status == 200


# --- past every cache --------------------------------------------------------------------------


def test_every_deciding_read_goes_past_every_cache(web: responses.RequestsMock) -> None:
    fresh = [header_matcher({"Cache-Control": "no-cache"})]
    web.get(f"{BASE}/Patient/1", json={"resourceType": "Patient"}, match=fresh)
    web.get(LINK, json=EMPTY, match=fresh)
    web.post(BASE, json=bundle_of("batch-response", EMPTY), match=fresh)
    web.post(f"{BASE}/Patient/_search", json=EMPTY, match=fresh)
    client = a_client()
    client.read("Patient/1")
    client.follow(LINK, deadline=soon())
    client.batch(["Consent?patient=Patient/1"], deadline=soon())
    client.search_by_post("Patient", "identifier=x", deadline=soon())


def test_every_deciding_read_asks_that_no_parameter_be_ignored(
    web: responses.RequestsMock,
) -> None:
    strict = [header_matcher({"Prefer": "handling=strict"})]
    web.get(LINK, json=EMPTY, match=strict)
    web.post(BASE, json=bundle_of("batch-response", EMPTY), match=strict)
    web.post(f"{BASE}/Patient/_search", json=EMPTY, match=strict)
    client = a_client()
    client.follow(LINK, deadline=soon())
    client.batch(["Consent?patient=Patient/1"], deadline=soon())
    client.search_by_post("Patient", "identifier=x", deadline=soon())


# --- to its own server only --------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/fhir?_getpages=1",
        "http://ehr.example/fhir?_getpages=1",
        "https://ehr.example:8443/fhir?_getpages=1",
        "https://ehr.example.elsewhere.example/fhir?_getpages=1",
        "https://ehr.example@elsewhere.example/fhir?_getpages=1",
        "https://user:word@ehr.example/fhir?_getpages=1",
        "//elsewhere.example/fhir?_getpages=1",
        "https://ehr.example/other?_getpages=1",
        "https://ehr.example/fhirother?_getpages=1",
        "https://ehr.example/fhir/../other?_getpages=1",
        "https://ehr.example/fhir/%2e%2E/other?_getpages=1",
        "https://ehr.example/fhir/..%2fother?_getpages=1",
        "ftp://ehr.example/fhir",
        "file:///etc/passwd",
        "https://ehr.example:port/fhir",
        "http://[",
        "https://\u2100.example/fhir",
        # However it is written: readers of addresses disagree about these.
        "https://@ehr.example/fhir?_getpages=1",
        "https://ehr.example:0/fhir?_getpages=1",
        "https://ehr.example./fhir?_getpages=1",
        "https://ehr.example%2eelsewhere.example/fhir",
        "https://ehr%2eexample/fhir",
        "https://ehr\u3002example/fhir",
        "https://ehr.e\u212aample/fhir",
        "https://ehr.\uff45xample/fhir",
        "https://xn--ehr-5cd.example/fhir",
        "https://ehr.example\\@elsewhere.example/fhir",
        "https://elsewhere.example\\@ehr.example/fhir",
        "https://elsewhere.example#@ehr.example/fhir",
        "https://elsewhere.example?@ehr.example/fhir",
        "https:\\\\elsewhere.example/fhir",
        "\\\\elsewhere.example/fhir",
        "/\\elsewhere.example/fhir",
        "\t//elsewhere.example/fhir",
        "/\t/elsewhere.example/fhir",
        "https://ehr.example\t.elsewhere.example/fhir",
        "https://ehr.exam\tple/fhir?_getpages=1",
        "https://ehr.example/fh\nir?_getpages=1",
        " https://ehr.example/fhir?_getpages=1",
        "https://ehr.example /fhir",
        "https://ehr.example\x00.elsewhere.example/fhir",
        "https://ehr.example/fhir?a=1\r\nX-More: 1",
        "https://ehr.example/fhir\x7f",
        "///elsewhere.example/fhir",
        "////elsewhere.example/fhir",
        "https:////elsewhere.example/fhir",
        "https://ehr.example/fhir/%252e%252e/other",
        "https://ehr.example/fhir/%25252e./other",
        "https://ehr.example/fhir/..;x=1/other",
        "https://ehr.example/fhir/..%3bx/other",
        "https://ehr.example/fhir/..%5cother",
        "https://ehr.example/fhir/..%255cother",
        "https://ehr.example/fhir/..\\other",
        "https://ehr.example/%66hir/../other",
        "../other",
        "..",
        "/",
        "javascript:alert(1)",
        "https://[::1]/fhir",
        "https://[ehr.example]/fhir",
        "https://[fe80::1%25eth0]/fhir",
    ],
)
def test_a_page_link_that_leads_elsewhere_is_never_opened(
    web: responses.RequestsMock, link: str
) -> None:
    with pytest.raises(RecordUnavailable):
        a_client().follow(link, deadline=soon())
    assert len(web.calls) == 0


@pytest.mark.parametrize(
    "link",
    [
        LINK,
        "?_getpages=1&_getpagesoffset=100",
        "/fhir?_getpages=1&_getpagesoffset=100",
        "https://ehr.example:443/fhir?_getpages=1&_getpagesoffset=100",
        "https://EHR.example/fhir?_getpages=1&_getpagesoffset=100",
        "HTTPS://ehr.example/fhir?_getpages=1&_getpagesoffset=100",
        "//ehr.example/fhir?_getpages=1",
        "https://ehr.example:0443/fhir?_getpages=1",
        "https://ehr.example/fhir/Consent?patient=Patient/1&page=..%2f2",
        "https://ehr.example/fhir/Consent/a..b?x=1",
    ],
)
def test_a_page_link_to_the_same_server_is_opened_however_it_is_written(link: str) -> None:
    assert a_client().is_own(link)


def test_a_redirect_is_not_followed(web: responses.RequestsMock) -> None:
    web.get(f"{BASE}/Patient/1", status=302, headers={"Location": "https://elsewhere.example/"})
    web.post(BASE, status=307, headers={"Location": "https://elsewhere.example/"})
    assert a_client().read("Patient/1").status == 302
    with pytest.raises(RecordUnavailable):
        a_client().batch(["Patient/1"], deadline=soon())
    assert len(web.calls) == 2


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    ["<html>Please log in</html>", "[]", '"word"', "{}", '{"resourceType": 3}', "[" * 100_000],
    ids=["html", "list", "word", "no type", "number as type", "deep"],
)
def test_a_success_that_is_no_resource_is_no_success(
    web: responses.RequestsMock, body: str
) -> None:
    web.get(f"{BASE}/Patient/1", body=body)
    web.post(BASE, body=body)
    with pytest.raises(RecordUnavailable):
        a_client().read("Patient/1")
    with pytest.raises(RecordUnavailable):
        a_client().batch(["Patient/1"], deadline=soon())


def test_an_error_in_html_keeps_its_status(web: responses.RequestsMock) -> None:
    web.get(f"{BASE}/Patient/1", status=500, body="<html>Oops</html>")
    web.post(f"{BASE}/Task", status=409, body="<html>Conflict</html>")
    assert (a_client().read("Patient/1").status, a_client().read("Patient/1").resource) == (
        500,
        None,
    )
    assert a_client().create({"resourceType": "Task"}).status == 409


def test_a_success_without_a_body_is_a_success_without_a_resource(
    web: responses.RequestsMock,
) -> None:
    web.post(f"{BASE}/Task", status=201)
    created = a_client().create({"resourceType": "Task"})
    assert (created.good, created.resource) == (True, None)


@pytest.mark.parametrize(
    "answered",
    [
        bundle_of("batch-response"),
        bundle_of("batch-response", EMPTY, EMPTY, EMPTY),
        {"resourceType": "Bundle", "type": "batch-response", "entry": {}},
        {"resourceType": "OperationOutcome"},
    ],
)
def test_a_batch_that_is_not_answered_entry_by_entry_is_unavailable(
    web: responses.RequestsMock, answered: dict[str, Any]
) -> None:
    web.post(BASE, json=answered)
    with pytest.raises(RecordUnavailable):
        a_client().batch(["Patient/1", "Patient/2"], deadline=soon())


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "banana",
        {},
        {"response": "200"},
        {"response": {"status": None}},
        {"response": {"status": "fine"}},
        {"response": {"status": {"code": 200}}},
        {"resource": {"resourceType": "Patient"}},
    ],
)
def test_an_entry_that_does_not_say_it_went_well_did_not(
    web: responses.RequestsMock, entry: object
) -> None:
    web.post(BASE, json={"resourceType": "Bundle", "type": "batch-response", "entry": [entry]})
    _, [inner] = a_client().batch(["Patient/1"], deadline=soon())
    assert not inner.good


def test_an_update_names_exactly_the_version_it_was_made_from(
    web: responses.RequestsMock,
) -> None:
    guard = [header_matcher({"If-Match": 'W/"7"'})]
    web.put(f"{BASE}/Task/1", json={"resourceType": "Task"}, match=guard)
    a_client().update({"resourceType": "Task", "id": "1"}, version_id="7")


# --- the server's clock, and age ---------------------------------------------------------------

ONE = "Tue, 24 Nov 2026 10:00:00 GMT"
AT = parsedate_to_datetime(ONE).timestamp()


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        (ONE, AT),
        (f"{ONE}, {ONE}", AT),
        (None, None),
        ("", None),
        ("yesterday", None),
        # Without a zone it is anybody's time.
        ("Tue, 24 Nov 2026 10:00:00", None),
        ("Tue Nov 24 10:00:00 2026", None),
        ("Tuesday, 24-Nov-26 10:00:00 GMT", None),
    ],
)
def test_the_servers_date_is_read_or_missing(written: str | None, understood: float | None) -> None:
    assert posix_date(written) == understood


def test_a_date_sent_twice_is_read_once() -> None:
    body = b'{"resourceType":"Patient"}'
    twice = answer(body, Date=f"{ONE}\r\nDate: {ONE}")
    with raw_server(twice) as server:
        assert a_client(server.url).read("Patient/1").date == AT


@pytest.mark.parametrize("age", ["1", "3600", "5, 5", "5.5", "old", "-1"])
def test_an_answer_with_an_age_has_one(web: responses.RequestsMock, age: str) -> None:
    web.get(f"{BASE}/Patient/1", json={"resourceType": "Patient"}, headers={"Age": age})
    assert a_client().read("Patient/1").age > 0


@pytest.mark.parametrize("age", ["0", " 0 ", ""])
def test_an_age_of_nothing_is_none(web: responses.RequestsMock, age: str) -> None:
    web.get(f"{BASE}/Patient/1", json={"resourceType": "Patient"}, headers={"Age": age})
    assert a_client().read("Patient/1").age == 0


# --- nothing about a patient leaves ------------------------------------------------------------


def test_a_number_that_is_searched_for_stands_in_no_url_log_line_or_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with raw_server(answer(status="503 Service Unavailable")) as server:
        client = a_client(server.url)
        client.search_by_post("Patient", f"identifier={NHS_NUMBER}", deadline=soon())
        with pytest.raises(RecordUnavailable) as raised:
            client.batch([f"Patient?identifier={NHS_NUMBER}"], deadline=soon())
    client = a_client(server.url)
    with pytest.raises(RecordUnavailable) as dead:
        client.search_by_post("Patient", f"identifier={NHS_NUMBER}", deadline=soon())
    lines = [request.split(b"\r\n")[0] for request in server.requests]
    said = f"{lines}{caplog.text}{raised.value}{dead.value}{dead.value.__cause__}"
    assert NHS_NUMBER not in said


def test_what_is_sent_is_json_and_says_so(web: responses.RequestsMock) -> None:
    web.post(f"{BASE}/Task", json={"resourceType": "Task"}, status=201)
    a_client(authorization="Bearer token").create({"resourceType": "Task", "note": "é"})
    sent = web.calls[0].request
    assert sent.headers["Content-Type"] == sent.headers["Accept"] == "application/fhir+json"
    assert sent.headers["Authorization"] == "Bearer token"
    assert sent.headers["X-Request-ID"]
    assert json.loads(sent.body or b"")["note"] == "é"


# --- with access tokens ------------------------------------------------------------------------


class Tokens:
    """Puts a token on everything that it is asked about, and says what it opens."""

    def __init__(self, scope: str | None = None) -> None:
        self.scope = scope
        self.asked: list[str | None] = []

    def __call__(self, r: requests.PreparedRequest, /) -> requests.PreparedRequest:
        self.asked.append(r.url)
        r.headers["Authorization"] = "Bearer token"
        return r

    def scope_used(self) -> str | None:
        return self.scope


def with_tokens(tokens: Tokens, base: str = BASE) -> FhirClient:
    return FhirClient(FhirServer(base_url=base), make_session(), authorization=tokens)


def test_no_token_goes_along_with_a_link_or_redirect_to_another_server(
    web: responses.RequestsMock,
) -> None:
    web.get(f"{BASE}/Patient/1", status=302, headers={"Location": "https://elsewhere.example/"})
    tokens = Tokens()
    client = with_tokens(tokens)
    with pytest.raises(RecordUnavailable):
        client.follow("https://elsewhere.example/fhir?_getpages=1", deadline=soon())
    assert tokens.asked == []
    assert client.read("Patient/1").status == 302
    assert tokens.asked == [f"{BASE}/Patient/1"]
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("scope", "hidden"),
    [
        (None, set()),
        ("system/*.rs", set()),
        ("system/Patient.rs system/Flag.rs", {"Consent"}),
        ("", {"Consent", "Patient"}),
    ],
)
def test_an_answer_says_which_kinds_its_token_may_have_hidden(
    web: responses.RequestsMock, scope: str | None, hidden: set[str]
) -> None:
    batch = bundle_of("batch-response", EMPTY, EMPTY, EMPTY)
    web.post(BASE, json=batch)
    web.post(f"{BASE}/Consent/_search", json=EMPTY)
    web.get(LINK, json=EMPTY)
    client = with_tokens(Tokens(scope))
    paths = ["Patient/1", "Consent?patient=Patient/1", "Organization/1"]
    outer, _ = client.batch(paths, deadline=soon())
    assert outer.hidden == hidden
    posted = client.search_by_post("Consent", "patient=Patient/1", deadline=soon())
    assert posted.hidden == hidden & {"Consent"}
    assert client.follow(LINK, deadline=soon()).hidden >= hidden


def test_every_call_has_an_id_of_its_own_and_a_read_that_is_made_again_keeps_it() -> None:
    busy = answer(status="503 Service Unavailable")
    with raw_server(in_turn(busy, busy, answer(b'{"resourceType":"Patient"}'))) as server:
        client = a_client(server.url)
        client.read("Patient/1")
        client.read("Patient/1")
    ids = [
        line.split(b": ")[1]
        for request in server.requests
        for line in request.split(b"\r\n")
        if line.startswith(b"X-Request-ID")
    ]
    assert len(ids) == 4
    assert ids[0] == ids[1] == ids[2] != ids[3]


def test_the_organisation_on_whose_behalf_an_nhs_api_is_called_is_named(
    web: responses.RequestsMock,
) -> None:
    named = [header_matcher({"NHSD-End-User-Organisation-ODS": "A12345"})]
    web.get(f"{BASE}/Patient/1", json={"resourceType": "Patient"}, match=named)
    a_client(end_user_organisation="A12345").read("Patient/1")
