"""What a real HAPI server does, where the product relies on it or has to guard against it.

HAPI 8.8.0. When a newer one fails here, read what the product does about the behaviour before
changing the test: most of these decide whether an objection is seen or a message is sent twice.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

Resource = dict[str, Any]

FRESH = {"Cache-Control": "no-cache"}
LOST = {409, 412}
"""Somebody else was first. HAPI says 409 for a stale If-Match too; other servers say 412."""
SYSTEM = "urn:fhirmsg:test"
SECONDS = 60

pytestmark = pytest.mark.hapi


class Fhir:
    """The server, one method for each HTTP verb; `read` and `create` insist on success."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, headers: dict[str, str] | None = None) -> requests.Response:
        url = path if path.startswith("http") else f"{self.base}/{path}"
        return self.session.get(url, headers=headers, timeout=SECONDS)

    def post(
        self, path: str, body: Resource, headers: dict[str, str] | None = None
    ) -> requests.Response:
        url = f"{self.base}/{path}".rstrip("/")
        return self.session.post(url, json=body, headers=_typed(headers), timeout=SECONDS)

    def put(self, body: Resource, headers: dict[str, str] | None = None) -> requests.Response:
        url = f"{self.base}/{_reference(body)}"
        return self.session.put(url, json=body, headers=_typed(headers), timeout=SECONDS)

    def read(self, path: str, headers: dict[str, str] | None = None) -> Resource:
        return _body(self.get(path, headers), 200)

    def create(self, body: Resource) -> Resource:
        return _body(self.post(body["resourceType"], body), 201)

    def bundle(self, kind: str, *entries: Resource, **headers: str) -> Resource:
        return _body(self.post("", _bundle(kind, *entries), headers), 200)

    def matches(self, path: str) -> list[Resource]:
        return _matches(self.read(path, FRESH))


@pytest.fixture
def fhir(hapi: str) -> Iterator[Fhir]:
    fhir = Fhir(hapi)
    with fhir.session:
        yield fhir


@pytest.fixture
def patient(fhir: Fhir) -> str:
    """The literal reference of a new Patient."""
    return _reference(fhir.create({"resourceType": "Patient", "active": True}))


# Search results are remembered for 60 s ---------------------------------------------------------


def test_a_repeated_search_misses_a_consent_that_was_created_in_between(fhir, patient):
    fhir.read(f"Consent?patient={patient}")
    fhir.create(a_consent(patient))

    assert _matches(fhir.read(f"Consent?patient={patient}")) == []


def test_no_cache_finds_it_and_leaves_the_next_plain_search_stale(fhir, patient):
    fhir.read(f"Consent?patient={patient}")
    consent = fhir.create(a_consent(patient))

    fresh = _matches(fhir.read(f"Consent?patient={patient}", FRESH))
    plain = _matches(fhir.read(f"Consent?patient={patient}"))

    assert ([found["id"] for found in fresh], plain) == ([consent["id"]], [])


@pytest.mark.parametrize(
    "headers", [{"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"}], ids=str
)
def test_no_other_header_makes_a_search_fresh(fhir, patient, headers):
    fhir.read(f"Consent?patient={patient}")
    fhir.create(a_consent(patient))

    assert _matches(fhir.read(f"Consent?patient={patient}", headers)) == []


def test_a_remembered_result_still_carries_the_time_of_the_first_search(fhir, patient):
    first = fhir.read(f"Consent?patient={patient}")
    again = fhir.read(f"Consent?patient={patient}")
    fresh = fhir.read(f"Consent?patient={patient}", FRESH)

    assert again["meta"]["lastUpdated"] == first["meta"]["lastUpdated"]
    assert fresh["meta"]["lastUpdated"] > first["meta"]["lastUpdated"]


@pytest.mark.parametrize(("headers", "found"), [({}, 0), (FRESH, 1)], ids=["plain", "no-cache"])
def test_inside_a_batch_the_header_on_the_outer_post_decides(fhir, patient, headers, found):
    search = a_get(f"Consent?patient={patient}")
    fhir.bundle("batch", search)
    fhir.create(a_consent(patient))

    answer = fhir.bundle("batch", search, **headers)

    assert len(_matches(answer["entry"][0]["resource"])) == found


def test_a_communication_is_found_by_its_identifier_straight_after_its_creation(fhir, patient):
    for identifier in (an_identifier() for _ in range(20)):
        search = f"Communication?identifier={SYSTEM}|{identifier}"
        assert fhir.matches(search) == []
        created = fhir.create(a_communication(patient, identifier))
        assert [found["id"] for found in fhir.matches(search)] == [created["id"]]


# Creating once ----------------------------------------------------------------------------------


def test_a_conditional_create_answers_201_and_then_200_with_the_same_resource(fhir, patient):
    identifier = an_identifier()

    answers = [open_plainly(fhir, patient, identifier) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["Location"] == answers[1].headers["Location"]


def open_plainly(fhir: Fhir, patient: str, identifier: str) -> requests.Response:
    once = {"If-None-Exist": f"identifier={SYSTEM}|{identifier}"}
    return fhir.post("Communication", a_communication(patient, identifier), once)


def open_in_a_transaction(fhir: Fhir, patient: str, identifier: str) -> requests.Response:
    return fhir.post(
        "",
        _bundle(
            "transaction",
            a_conditional_post(patient, identifier),
            a_get(f"Consent?patient={patient}"),
        ),
        FRESH,
    )


@pytest.mark.parametrize("open_once", [open_plainly, open_in_a_transaction])
def test_eight_conditional_creates_at_once_make_one_resource_and_one_201(fhir, patient, open_once):
    for identifier in (an_identifier() for _ in range(10)):
        answers = at_once(lambda _, it=identifier: open_once(fhir, patient, it))

        statuses = Counter(_status_of_the_create(answer) for answer in answers)
        assert statuses[201] == 1
        assert set(statuses) <= {200, 201, 409}
        assert len(fhir.matches(f"Communication?identifier={SYSTEM}|{identifier}")) == 1
        assert _status_of_the_create(open_once(fhir, patient, identifier)) == 200


# Updating as one of many ------------------------------------------------------------------------


def test_a_put_with_a_stale_if_match_loses(fhir, patient):
    first = fhir.create(a_communication(patient))
    second = _body(fhir.put({**first, "status": "completed"}), 200)

    answer = fhir.put({**first, "status": "not-done"}, {"If-Match": 'W/"1"'})

    assert answer.status_code in LOST
    assert fhir.read(_reference(first)) == second


def test_of_eight_puts_with_the_same_if_match_exactly_one_wins(fhir, patient):
    for _ in range(10):
        communication = fhir.create(a_communication(patient))
        answers = at_once(
            lambda n, it=communication: fhir.put(
                {**it, "statusReason": {"text": f"caller {n}"}}, {"If-Match": 'W/"1"'}
            )
        )
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses[200] == 1
        assert set(statuses) - {200} <= LOST
        assert fhir.read(_reference(communication))["meta"]["versionId"] == "2"


def test_a_stale_if_match_inside_a_transaction_undoes_all_of_it(fhir, patient):
    communication = fhir.create(a_communication(patient))
    fhir.put({**communication, "status": "completed"})
    identifier = an_identifier()

    answer = fhir.post(
        "",
        _bundle(
            "transaction",
            a_conditional_post(patient, identifier),
            a_put({**communication, "status": "not-done"}, if_match='W/"1"'),
        ),
    )

    assert answer.status_code in LOST
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert fhir.matches(f"Communication?identifier={SYSTEM}|{identifier}") == []


def test_a_stale_if_match_inside_a_batch_fails_alone(fhir, patient):
    communication = fhir.create(a_communication(patient))
    fhir.put({**communication, "status": "completed"})

    answer = fhir.bundle(
        "batch",
        a_put({**communication, "status": "not-done"}, if_match='W/"1"'),
        a_get(patient),
    )

    assert _entry_statuses(answer) == [409, 200]


# A write and reads in one transaction -----------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "status"),
    [("Patient/not-there", 404), ("Consent?no-such-parameter=1", 400)],
    ids=["unknown-id", "unknown-parameter"],
)
def test_a_transaction_keeps_its_write_when_a_read_in_it_fails(fhir, patient, read, status):
    identifier = an_identifier()

    answer = fhir.bundle("transaction", a_conditional_post(patient, identifier), a_get(read))

    assert _entry_statuses(answer) == [201, status]
    assert len(fhir.matches(f"Communication?identifier={SYSTEM}|{identifier}")) == 1


def test_a_transaction_loses_every_write_when_one_of_them_fails(fhir, patient):
    identifier = an_identifier()

    answer = fhir.post(
        "",
        _bundle(
            "transaction",
            a_conditional_post(patient, identifier),
            a_post(a_communication("Patient/not-there")),
        ),
    )

    assert answer.status_code == 400
    assert fhir.matches(f"Communication?identifier={SYSTEM}|{identifier}") == []


def test_with_no_cache_the_searches_of_a_transaction_are_fresh_and_see_its_own_write(fhir, patient):
    sought = [a_get(f"Consent?patient={patient}"), a_get(f"Communication?subject={patient}")]

    for n in range(3):
        answer = fhir.bundle(
            "transaction", a_conditional_post(patient, an_identifier()), *sought, **FRESH
        )
        found = [len(_matches(entry["resource"])) for entry in answer["entry"][1:]]
        assert found == [n, n + 1]
        fhir.create(a_consent(patient))


def test_without_no_cache_a_transaction_misses_even_its_own_write(fhir, patient):
    sought = a_get(f"Communication?subject={patient}")
    fhir.bundle("batch", sought)

    answer = fhir.bundle("transaction", a_conditional_post(patient, an_identifier()), sought)

    assert _matches(answer["entry"][1]["resource"]) == []


def test_an_entry_of_a_transaction_answer_has_a_status_a_location_and_a_bare_etag(fhir, patient):
    post = a_conditional_post(patient, an_identifier())

    first, second = (fhir.bundle("transaction", post)["entry"][0] for _ in range(2))

    assert first["response"]["status"] == "201 Created"
    assert second["response"]["status"] == "200 OK"
    for entry in (first, second):
        assert entry["response"]["etag"] == "1"
        assert entry["response"]["location"].startswith("Communication/")
        assert entry["response"]["location"].endswith("/_history/1")
        assert "resource" not in entry


def test_prefer_on_the_outer_post_brings_the_resources_of_a_transaction(fhir, patient):
    post = a_conditional_post(patient, an_identifier())
    prefer = {"Prefer": "return=representation"}

    first, second = (fhir.bundle("transaction", post, **prefer)["entry"][0] for _ in range(2))

    assert first["resource"]["identifier"] == post["resource"]["identifier"]
    assert first["resource"]["meta"]["versionId"] == "1"
    assert second["resource"] == first["resource"]


# Searching --------------------------------------------------------------------------------------


def test_an_empty_patient_brings_everybodys_consents_and_the_self_link_hides_it(fhir, patient):
    other = _reference(fhir.create({"resourceType": "Patient"}))
    for somebody in (patient, other):
        fhir.create(a_consent(somebody))

    answer = fhir.read("Consent?patient=", FRESH)

    assert {found["patient"]["reference"] for found in _matches(answer)} >= {patient, other}
    assert _link(answer, "self").endswith("Consent?patient=")


def test_250_consents_come_on_three_pages_with_the_total_on_each(fhir, patient):
    fhir.bundle("transaction", *(a_post(a_consent(patient)) for _ in range(250)))

    pages = list(pages_of(fhir, f"Consent?patient={patient}&_count=100&_total=accurate"))

    assert [len(_matches(page)) for page in pages] == [100, 100, 50]
    assert {page["total"] for page in pages} == {250}
    assert len({found["id"] for page in pages for found in _matches(page)}) == 250


@pytest.mark.parametrize(
    ("asked", "given"), [("", [20] * 10 + [1]), ("&_count=500", [200, 1])], ids=["default", "500"]
)
def test_the_server_has_its_own_default_and_largest_page(fhir, patient, asked, given):
    fhir.bundle("transaction", *(a_post(a_consent(patient)) for _ in range(201)))

    pages = pages_of(fhir, f"Consent?patient={patient}{asked}")

    assert [len(_matches(page)) for page in pages] == given


@pytest.mark.parametrize("prefer", ["handling=strict", "handling=lenient"])
def test_an_unknown_search_parameter_is_a_400_whatever_is_preferred(fhir, prefer):
    answer = fhir.get("Consent?no-such-parameter=1", {"Prefer": prefer})

    assert answer.status_code == 400
    assert "HAPI-0524" in answer.text


def test_a_patient_named_by_identifier_only_is_not_found_by_patient(fhir):
    nhs_number = {"system": SYSTEM, "value": an_identifier()}
    patient = fhir.create({"resourceType": "Patient", "identifier": [nhs_number]})
    consent = fhir.create({**a_consent(""), "patient": {"identifier": nhs_number}})

    assert fhir.matches(f"Consent?patient={_reference(patient)}") == []
    missing = fhir.matches("Consent?patient:missing=true")
    assert consent["id"] in [found["id"] for found in missing]


# Writing ----------------------------------------------------------------------------------------


def test_a_reference_to_a_missing_resource_is_refused(fhir):
    answer = fhir.post("Consent", a_consent("Patient/not-there"))

    assert answer.status_code == 400
    assert "HAPI-1094" in answer.text


def test_a_communication_status_outside_fhir_is_refused(fhir, patient):
    answer = fhir.post("Communication", {**a_communication(patient), "status": "banana"})

    assert answer.status_code == 400
    assert "HAPI-0450" in answer.text


@pytest.mark.parametrize("meta", [{}, {"security": []}], ids=["left-out", "emptied"])
def test_a_security_label_stays_after_a_put_without_it(fhir, patient, meta):
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    labelled = fhir.create({**a_communication(patient), "meta": {"security": [label]}})

    fhir.put({**labelled, "meta": meta, "status": "completed"})

    after = fhir.read(_reference(labelled))
    assert after["status"] == "completed"
    assert after["meta"]["security"] == [label]


# Time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["{patient}", "Consent?patient={patient}"], ids=["read", "search"])
def test_every_answer_says_when_it_was_given_and_when_its_content_was_last_changed(
    fhir, patient, path
):
    answer = fhir.get(path.format(patient=patient), FRESH)

    given = email.utils.parsedate_to_datetime(answer.headers["Date"])
    changed = dt.datetime.fromisoformat(answer.json()["meta"]["lastUpdated"])
    # Date has whole seconds, so it may seem to precede what was changed in that second.
    assert dt.timedelta(seconds=-2) < given - changed < dt.timedelta(seconds=SECONDS)


def test_a_refusal_has_its_date_once_or_under_jetty_twice(fhir):
    answer = fhir.get("Consent?no-such-parameter=1")

    # requests joins the two with a comma, and email.utils reads that as a time without a zone.
    assert answer.headers["Date"].count("GMT") in {1, 2}


# Builders and readers ---------------------------------------------------------------------------


def an_identifier() -> str:
    return str(uuid.uuid4())


def a_consent(patient: str) -> Resource:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"text": "privacy"},
        "category": [{"text": "messages"}],
        "patient": {"reference": patient},
    }


def a_communication(patient: str, identifier: str | None = None) -> Resource:
    return {
        "resourceType": "Communication",
        "identifier": [{"system": SYSTEM, "value": identifier or an_identifier()}],
        "status": "in-progress",
        "subject": {"reference": patient},
    }


def a_get(url: str) -> Resource:
    return {"request": {"method": "GET", "url": url}}


def a_post(resource: Resource) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"resource": resource, "request": request}


def a_conditional_post(patient: str, identifier: str) -> Resource:
    entry = a_post(a_communication(patient, identifier))
    entry["request"]["ifNoneExist"] = f"identifier={SYSTEM}|{identifier}"
    return entry


def a_put(resource: Resource, *, if_match: str) -> Resource:
    request = {"method": "PUT", "url": _reference(resource), "ifMatch": if_match}
    return {"resource": resource, "request": request}


def at_once(call: Callable[[int], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(8) as callers:
        return list(callers.map(call, range(8)))


def pages_of(fhir: Fhir, path: str) -> Iterator[Resource]:
    next_page: str | None = path
    while next_page:
        page = fhir.read(next_page, FRESH)
        yield page
        next_page = _link(page, "next")


def _typed(headers: dict[str, str] | None) -> dict[str, str]:
    return {"Content-Type": "application/fhir+json", **(headers or {})}


def _body(answer: requests.Response, status: int) -> Resource:
    assert answer.status_code == status, answer.text
    body: Resource = answer.json()
    return body


def _bundle(kind: str, *entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def _reference(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _matches(bundle: Resource) -> list[Resource]:
    return [entry["resource"] for entry in bundle.get("entry", [])]


def _link(bundle: Resource, relation: str) -> str:
    return next((it["url"] for it in bundle["link"] if it["relation"] == relation), "")


def _entry_statuses(bundle: Resource) -> list[int]:
    return [int(entry["response"]["status"].split()[0]) for entry in bundle["entry"]]


def _status_of_the_create(answer: requests.Response) -> int:
    """The status of a create, be it the answer itself or the first entry of a transaction."""
    if answer.status_code == 200 and answer.json()["resourceType"] == "Bundle":
        return _entry_statuses(answer.json())[0]
    return answer.status_code
