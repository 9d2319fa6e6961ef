"""What the adapter may rely on from a FHIR server: one suite for our own store and for HAPI.

Every test runs against both. Where the two differ the test says so with `either(own=, hapi=)`,
so that each difference is written down once and nobody is surprised by it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from fhirmsg.sandbox import Store, serve_in_thread

FHIR_JSON = "application/fhir+json"
MESSAGES = "urn:example:message"
NUMBERS = "urn:example:number"
PLACEHOLDER = "urn:uuid:6b0f0f8e-6f0c-4d5e-9a53-0d6f2b0c8f11"

Json = dict[str, Any]


class Server:
    """A FHIR server under test, its searches always fresh (`Cache-Control: no-cache`)."""

    def __init__(self, name: str, base: str) -> None:
        self.name = name
        self.base = base
        self.http = requests.Session()
        self.http.trust_env = False

    def either(self, *, own: Any, hapi: Any) -> Any:
        """What is expected of this server, where the two differ."""
        return own if self.name == "own" else hapi

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        url = path if path.startswith("http") else f"{self.base}{path}"
        sent = {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON, "Cache-Control": "no-cache"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        return self.http.request(method, url, data=data, headers=sent, timeout=30)

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.ask("GET", path, **headers)

    def create(self, resource: Json, **headers: str) -> requests.Response:
        return self.ask("POST", f"/{resource['resourceType']}", resource, **headers)

    def put(self, resource: Json, **headers: str) -> requests.Response:
        path = f"/{resource['resourceType']}/{resource['id']}"
        return self.ask("PUT", path, resource, **headers)

    def delete(self, path: str) -> requests.Response:
        return self.ask("DELETE", path)

    def has(self, *resources: Json) -> None:
        for resource in resources:
            answer = self.put(resource) if "id" in resource else self.create(resource)
            assert answer.status_code in (200, 201), answer.text

    def search(self, path: str) -> Json:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        bundle: Json = answer.json()
        assert bundle["type"] == "searchset"
        return bundle

    def found(self, path: str) -> list[str]:
        return [entry["resource"]["id"] for entry in self.search(path).get("entry", [])]

    def bundle(self, kind: str, *entries: Json, **headers: str) -> requests.Response:
        body = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
        return self.ask("POST", "", body, **headers)


@pytest.fixture(scope="module")
def own_store() -> Iterator[str]:
    store = Store()
    with serve_in_thread(store) as serving:
        yield serving.base_url
    store.close()


@pytest.fixture(params=["own", pytest.param("hapi", marks=pytest.mark.hapi)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "own":
        server = Server("own", request.getfixturevalue("own_store"))
        assert server.ask("POST", "/$expunge").status_code == 200
    else:
        server = Server("hapi", request.getfixturevalue("hapi"))
    yield server
    server.http.close()


def a_patient(id_: str = "ann", **elements: Any) -> Json:
    return {"resourceType": "Patient", "id": id_, "active": True, **elements}


def a_consent(of: str = "Patient/ann", **elements: Any) -> Json:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": "urn:example:scope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "urn:example:category", "code": "objection"}]}],
        "patient": {"reference": of},
        **elements,
    }


def a_communication(message: str = "m-1", **elements: Any) -> Json:
    return {
        "resourceType": "Communication",
        "status": "in-progress",
        "identifier": [{"system": MESSAGES, "value": message}],
        "subject": {"reference": "Patient/ann"},
        "recipient": [{"reference": "Patient/ann"}],
        **elements,
    }


def an_entry(method: str, url: str, resource: Json | None = None, **request: str) -> Json:
    full_url = request.pop("fullUrl", None)
    entry: Json = {"request": {"method": method, "url": url, **request}}
    if resource:
        entry["resource"] = resource
    if full_url:
        entry["fullUrl"] = full_url
    return entry


def a_coding(code: str, system: str = "urn:example:label") -> Json:
    return {"system": system, "code": code}


def codes(labels: list[Json]) -> set[str]:
    return {label["code"] for label in labels}


def is_refused(answer: requests.Response, status: int) -> bool:
    assert answer.status_code == status, answer.text
    body = answer.json()
    return bool(body["resourceType"] == "OperationOutcome" and body["issue"][0]["diagnostics"])


def link(bundle: Json, relation: str) -> str | None:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


def statuses(bundle: Json) -> list[str]:
    return [entry["response"]["status"] for entry in bundle["entry"]]


# One resource


def test_a_created_resource_gets_an_id_a_version_and_a_moment(server: Server) -> None:
    answer = server.create({**a_patient("chosen"), "name": [{"family": "Fox"}]})
    made = answer.json()
    assert answer.status_code == 201
    assert made["id"] != "chosen"
    assert made["id"].isdigit()
    assert made["meta"]["versionId"] == "1"
    assert made["meta"]["lastUpdated"].count(".") == 1
    assert made["name"] == [{"family": "Fox"}]
    assert answer.headers["Location"] == f"{server.base}/Patient/{made['id']}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert parsedate_to_datetime(answer.headers["Last-Modified"])
    assert parsedate_to_datetime(answer.headers["Date"])


def test_a_create_says_no_more_than_was_preferred(server: Server) -> None:
    quiet = server.create(a_patient(), Prefer="return=minimal")
    assert quiet.status_code == 201
    assert quiet.content == b""
    assert quiet.headers["Location"]
    assert server.create(a_patient(), Prefer="return=representation").json()["active"] is True
    outcome = server.create(a_patient(), Prefer="return=OperationOutcome").json()
    assert outcome["resourceType"] == "OperationOutcome"


def test_a_resource_reads_back_as_it_was_put(server: Server) -> None:
    patient = a_patient(name=[{"family": "Östling", "given": ["Ann"]}], birthDate="1980-02")
    made = server.put(patient)
    assert made.status_code == 201
    assert "Location" not in made.headers
    read = server.get("/Patient/ann")
    assert read.status_code == 200
    assert read.headers["Content-Type"].startswith(FHIR_JSON)
    assert read.headers["ETag"] == 'W/"1"'
    assert {name: read.json()[name] for name in patient} == patient
    assert server.get("/Patient/ann", If_None_Match='W/"1"').status_code == 304


def test_extensions_survive(server: Server) -> None:
    extension = [{"url": "urn:example:reason", "valueCodeableConcept": {"text": "shared phone"}}]
    server.has(a_patient(extension=extension))
    assert server.get("/Patient/ann").json()["extension"] == extension


def test_an_update_makes_a_version_and_the_old_one_stays_readable(server: Server) -> None:
    server.has(a_patient(), a_patient(gender="female"))
    assert server.get("/Patient/ann").headers["ETag"] == 'W/"2"'
    assert "gender" not in server.get("/Patient/ann/_history/1").json()
    assert server.get("/Patient/ann/_history/2").json()["gender"] == "female"
    assert is_refused(server.get("/Patient/ann/_history/3"), 404)


def test_an_update_that_changes_nothing_makes_no_version(server: Server) -> None:
    server.has(a_patient())
    again = server.put(a_patient())
    assert again.status_code == 200
    assert again.headers["ETag"] == 'W/"1"'


def test_an_update_of_the_current_version_wins_and_of_an_older_one_is_409(server: Server) -> None:
    server.has(a_patient())
    assert server.put(a_patient(gender="female"), If_Match='W/"1"').status_code == 200
    assert is_refused(server.put(a_patient(gender="male"), If_Match='W/"1"'), 409)
    assert server.get("/Patient/ann").json()["gender"] == "female"


def test_if_match_and_if_none_match_do_not_guard_a_create_by_put(server: Server) -> None:
    assert server.put(a_patient(), If_Match='W/"1"').status_code == 201
    assert server.put(a_patient(gender="male"), If_None_Match="*").status_code == 200


def test_an_if_match_that_names_no_version_is_refused(server: Server) -> None:
    server.has(a_patient())
    answer = server.put(a_patient(gender="male"), If_Match="latest")
    assert is_refused(answer, server.either(own=400, hapi=500))


@pytest.mark.parametrize("id_", ["123", "under_score"])
def test_an_id_chosen_by_a_client_has_a_letter_and_no_other_sign(server: Server, id_: str) -> None:
    assert is_refused(server.put(a_patient(id_)), 400)


def test_the_id_in_the_body_must_be_that_of_the_address(server: Server) -> None:
    assert is_refused(server.ask("PUT", "/Patient/ann", a_patient("bob")), 400)
    assert is_refused(server.ask("PUT", "/Patient/ann", {"resourceType": "Patient"}), 400)


def test_labels_and_tags_stay_when_an_update_leaves_them_out(server: Server) -> None:
    meta = {"security": [a_coding("R")], "tag": [a_coding("demo")], "profile": ["urn:example:p"]}
    server.has(a_patient(meta=meta), a_patient(gender="female"))
    kept = server.get("/Patient/ann").json()["meta"]
    assert codes(kept["security"]) == {"R"}
    assert codes(kept["tag"]) == {"demo"}
    assert "profile" not in kept
    server.has(a_patient(meta={"security": [], "tag": [a_coding("more")]}))
    kept = server.get("/Patient/ann").json()["meta"]
    assert codes(kept["security"]) == {"R"}
    assert codes(kept["tag"]) == {"demo", "more"}


def test_a_deleted_resource_is_gone_and_its_versions_are_not(server: Server) -> None:
    server.has(a_patient())
    assert server.delete("/Patient/ann").status_code == 200
    gone = server.get("/Patient/ann")
    assert is_refused(gone, 410)
    assert gone.headers["Location"] == f"{server.base}/Patient/ann/_history/2"
    assert server.get("/Patient/ann/_history/1").status_code == 200
    assert is_refused(server.get("/Patient/ann/_history/2"), 410)
    assert server.found("/Patient?_id=ann") == []


def test_deleting_twice_or_what_never_was_is_no_error(server: Server) -> None:
    server.has(a_patient())
    assert [server.delete("/Patient/ann").status_code for _ in range(2)] == [200, 200]
    assert server.delete("/Patient/nobody").status_code == 200


def test_a_put_brings_a_deleted_resource_back(server: Server) -> None:
    server.has(a_patient())
    server.delete("/Patient/ann")
    back = server.put(a_patient())
    assert back.status_code == 201
    assert back.headers["ETag"] == 'W/"3"'


def test_a_resource_that_is_referred_to_cannot_be_deleted(server: Server) -> None:
    server.has(a_patient(), a_consent())
    assert is_refused(server.delete("/Patient/ann"), 409)
    consent = server.found("/Consent?patient=ann")[0]
    assert server.delete(f"/Consent/{consent}").status_code == 200
    assert server.delete("/Patient/ann").status_code == 200


def test_the_history_lists_every_version_newest_first(server: Server) -> None:
    made = server.create(a_patient()).json()["id"]
    server.has(a_patient(made, gender="female"))
    server.delete(f"/Patient/{made}")
    history = server.get(f"/Patient/{made}/_history").json()
    assert history["type"] == "history"
    assert history["total"] == 3
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "PUT", "POST"]
    assert history["entry"][0].get("resource") is None
    assert history["entry"][1]["resource"]["gender"] == "female"
    assert history["entry"][2]["response"]["etag"] == 'W/"1"'
    assert is_refused(server.get("/Patient/nobody/_history"), 404)


# What is refused


def test_what_is_not_there_is_404(server: Server) -> None:
    assert is_refused(server.get("/Patient/nobody"), 404)
    assert is_refused(server.get("/Patient/nobody/_history/1"), 404)


def test_a_refusal_has_one_date_here_and_two_on_hapi(server: Server) -> None:
    dates = server.get("/Patient/nobody").raw.headers.getlist("Date")
    assert len(dates) == server.either(own=1, hapi=2)


def test_an_unknown_resource_type_is_404(server: Server) -> None:
    assert is_refused(server.get("/Banana/1"), 404)
    assert is_refused(server.get("/Banana"), 404)
    assert is_refused(server.ask("POST", "/Banana", {"resourceType": "Banana"}), 404)


@pytest.mark.parametrize(
    "body", ["{nope", "[1]", "", '{"active": true}', '{"resourceType": "Flag"}']
)
def test_a_body_that_is_no_patient_is_400(server: Server, body: str) -> None:
    assert is_refused(server.ask("POST", "/Patient", body), 400)


@pytest.mark.parametrize("media_type", ["text/plain", "image/png"])
def test_a_wrong_media_type_is_415_and_400_on_hapi(server: Server, media_type: str) -> None:
    answer = server.ask("POST", "/Patient", a_patient(), Content_Type=media_type)
    assert is_refused(answer, server.either(own=415, hapi=400))


@pytest.mark.parametrize("resource_type", ["Communication", "Consent", "Task"])
def test_an_unknown_status_is_refused_and_a_missing_one_is_not(
    server: Server, resource_type: str
) -> None:
    assert is_refused(server.create({"resourceType": resource_type, "status": "banana"}), 400)
    assert server.create({"resourceType": resource_type}).status_code == 201
    assert server.create({"resourceType": resource_type, "status": ""}).status_code == 201


@pytest.mark.parametrize(
    "resource",
    [
        a_patient(gender="banana"),
        {"resourceType": "Consent", "provision": {"type": "banana"}},
        {"resourceType": "Consent", "dateTime": "1991-1-13"},
    ],
)
def test_other_faulty_codes_and_dates_are_kept_here_and_refused_by_hapi(
    server: Server, resource: Json
) -> None:
    assert server.create(resource).status_code == server.either(own=201, hapi=400)


def test_an_unknown_element_is_kept_here_and_dropped_by_hapi(server: Server) -> None:
    made = server.create(a_patient(shoeSize=44))
    assert made.status_code == 201
    kept = server.get(f"/Patient/{made.json()['id']}").json()
    assert ("shoeSize" in kept) is server.either(own=True, hapi=False)


def test_one_value_written_as_a_list_is_kept_here_and_mended_by_hapi(server: Server) -> None:
    rule = {"coding": [a_coding("consent")]}
    made = server.create({"resourceType": "Consent", "policyRule": [rule]})
    assert made.status_code == 201
    assert made.json()["policyRule"] == server.either(own=[rule], hapi=rule)


# References


@pytest.mark.parametrize("reference", ["Patient/nobody", "junk", "Patient/", PLACEHOLDER])
def test_a_reference_that_leads_nowhere_is_400(server: Server, reference: str) -> None:
    assert is_refused(server.create(a_consent(reference)), 400)


def test_an_absolute_reference_is_400_even_to_the_server_itself(server: Server) -> None:
    server.has(a_patient())
    assert is_refused(server.create(a_consent("http://other.example/fhir/Patient/ann")), 400)
    assert is_refused(server.create(a_consent(f"{server.base}/Patient/ann")), 400)


def test_a_reference_to_the_wrong_type_is_422(server: Server) -> None:
    assert is_refused(server.create(a_consent("Organization/trust")), 422)


def test_contained_and_logical_references_are_taken(server: Server) -> None:
    contained = a_consent("#p", contained=[{"resourceType": "Patient", "id": "p"}])
    logical = a_consent(patient={"identifier": {"system": NUMBERS, "value": "1"}})
    assert server.create(contained).status_code == 201
    assert server.create(logical).status_code == 201


def test_a_reference_without_a_search_parameter_is_not_checked(server: Server) -> None:
    about = {"resourceType": "Communication", "about": [{"reference": "Appointment/nowhere"}]}
    assert server.create(about).status_code == 201


def test_a_reference_loses_its_version_except_in_an_audit_event(server: Server) -> None:
    server.has(a_patient())
    provenance = {
        "resourceType": "Provenance",
        "recorded": "2026-05-12T08:30:00Z",
        "target": [{"reference": "Patient/ann/_history/1"}],
        "entity": [{"role": "source", "what": {"reference": "Patient/ann/_history/1"}}],
    }
    kept = server.create(provenance).json()
    assert kept["target"] == [{"reference": "Patient/ann"}]
    assert kept["entity"][0]["what"] == {"reference": "Patient/ann"}
    audit = {
        "resourceType": "AuditEvent",
        "recorded": "2026-05-12T08:30:00Z",
        "entity": [{"what": {"reference": "Patient/ann/_history/1"}}],
    }
    kept = server.create(audit).json()
    assert kept["entity"][0]["what"] == {"reference": "Patient/ann/_history/1"}


# Conditional create


def test_a_conditional_create_makes_one_and_then_answers_with_it(server: Server) -> None:
    server.has(a_patient())
    condition = f"identifier={MESSAGES}|m-1"
    first = server.create(a_communication(), If_None_Exist=condition)
    assert first.status_code == 201
    again = server.create(a_communication(status="unknown"), If_None_Exist=condition)
    assert again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert server.search(f"/Communication?identifier={MESSAGES}|m-1")["total"] == 1


@pytest.mark.parametrize("prefix", ["", "Communication?"])
def test_the_condition_may_be_encoded_and_name_the_type(server: Server, prefix: str) -> None:
    server.has(a_patient(), a_communication())
    condition = f"{prefix}identifier={MESSAGES}%7Cm-1"
    assert server.create(a_communication(), If_None_Exist=condition).status_code == 200


def test_a_condition_that_finds_several_is_412(server: Server) -> None:
    server.has(a_patient(), a_communication(), a_communication())
    answer = server.create(a_communication(), If_None_Exist=f"identifier={MESSAGES}|m-1")
    assert is_refused(answer, 412)


def test_a_condition_that_does_not_find_what_it_creates_is_400(server: Server) -> None:
    server.has(a_patient())
    answer = server.create(a_communication("m-1"), If_None_Exist=f"identifier={MESSAGES}|m-2")
    assert is_refused(answer, 400)
    assert server.found("/Communication") == []


def test_a_condition_with_an_unknown_parameter_is_400(server: Server) -> None:
    server.has(a_patient())
    assert is_refused(server.create(a_communication(), If_None_Exist="banana=1"), 400)


# Search


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"identifier={NUMBERS}|1", ["ann"]),
        ("identifier=1", ["ann"]),
        (f"identifier={NUMBERS}|", ["ann", "bob"]),
        ("identifier=|1", []),
        (f"identifier={NUMBERS}|1,{NUMBERS}|2", ["ann", "bob"]),
        ("telecom=07700900123", ["ann"]),
        ("telecom=phone|07700900123", ["ann"]),
        ("phone=07700900123", ["ann"]),
        ("email=07700900123", []),
        ("telecom=%2B447700900123", []),
        ("name=OST", ["ann"]),
        ("name=ling", []),
        ("family:exact=Östling", ["ann"]),
        ("family:exact=Ostling", []),
        ("given=Ann", ["ann"]),
        ("birthdate=1980", ["ann"]),
        ("birthdate=1980-02-03", ["ann"]),
        ("birthdate=1980-02-04", []),
        ("birthdate=lt1981", ["ann"]),
        ("gender=female,male", ["ann"]),
        ("gender:not=male", ["ann", "bob"]),
        ("gender:missing=true", ["bob"]),
        ("active=true", ["ann", "bob"]),
        ("_id=ann,bob", ["ann", "bob"]),
        ("_id=Patient/ann", ["ann"]),
        ("_tag=urn:example:label|demo", ["ann"]),
        ("_tag=demo", ["ann"]),
        ("_security=R", ["ann"]),
        ("gender=banana", []),
    ],
)
def test_a_patient_is_found_by(server: Server, query: str, found: list[str]) -> None:
    server.has(
        a_patient(
            identifier=[{"system": NUMBERS, "value": "1"}],
            name=[{"family": "Östling", "given": ["Ann"]}],
            telecom=[{"system": "phone", "value": "07700900123"}],
            gender="female",
            birthDate="1980-02-03",
            meta={"tag": [a_coding("demo")], "security": [a_coding("R")]},
        ),
        a_patient("bob", identifier=[{"system": NUMBERS, "value": "2"}]),
    )
    assert sorted(server.found(f"/Patient?{query}")) == found


@pytest.mark.parametrize(
    "query", ["patient=ann", "patient=Patient/ann", "patient=Patient%2Fann", "patient:Patient=ann"]
)
def test_a_patients_consents_are_found_by_either_form_of_the_id(server: Server, query: str) -> None:
    server.has(a_patient(), a_patient("bob"), a_consent("Patient/ann"), a_consent("Patient/bob"))
    bundle = server.search(f"/Consent?{query}")
    assert bundle["total"] == 1
    assert bundle["entry"][0]["resource"]["patient"] == {"reference": "Patient/ann"}
    assert bundle["entry"][0]["search"] == {"mode": "match"}


@pytest.mark.parametrize(
    "value", ["Patient/nobody", "Organization/ann", "http://other.example/fhir/Patient/ann"]
)
def test_a_patient_that_is_not_here_has_no_consents(server: Server, value: str) -> None:
    server.has(a_patient(), a_consent())
    assert server.search(f"/Consent?patient={value}")["total"] == 0


def test_an_empty_patient_is_no_filter_and_finds_everybodys_consents(server: Server) -> None:
    server.has(a_patient(), a_patient("bob"), a_consent("Patient/ann"), a_consent("Patient/bob"))
    bundle = server.search("/Consent?patient=")
    assert bundle["total"] == 2
    assert link(bundle, "self") == f"{server.base}/Consent?patient="


def test_a_patient_without_an_id_is_400(server: Server) -> None:
    assert is_refused(server.get("/Consent?patient=Patient/"), 400)


def test_a_consent_with_a_logical_patient_is_stored_and_not_found(server: Server) -> None:
    number = {"system": NUMBERS, "value": "1"}
    server.has(a_patient(identifier=[number]), a_consent(patient={"identifier": number}))
    assert server.found("/Consent?patient=ann") == []
    assert len(server.found("/Consent?patient:missing=true")) == 1
    assert is_refused(server.get(f"/Consent?patient:identifier={NUMBERS}|1"), 400)


@pytest.mark.parametrize(
    ("resource_type", "element", "query"),
    [
        ("RelatedPerson", "patient", "patient=ann"),
        ("Consent", "patient", "patient=ann&status=active,inactive&category=objection"),
        ("Communication", "subject", "subject=Patient/ann"),
        ("CommunicationRequest", "subject", "subject=ann&status=active,on-hold"),
        ("Task", "for", "patient=ann&status=requested"),
        ("Flag", "subject", "patient=ann"),
        ("ServiceRequest", "subject", "patient=ann"),
    ],
)
def test_what_is_about_a_patient_is_found(
    server: Server, resource_type: str, element: str, query: str
) -> None:
    one = a_consent() if resource_type == "Consent" else {"resourceType": resource_type}
    status = {"CommunicationRequest": "on-hold", "Task": "requested"}.get(resource_type)
    one |= {element: {"reference": "Patient/ann"}} | ({"status": status} if status else {})
    server.has(a_patient(), a_patient("bob"), one)
    assert len(server.found(f"/{resource_type}?{query}")) == 1
    assert server.found(f"/{resource_type}?{query.replace('ann', 'bob')}") == []


def test_an_appointment_is_found_by_its_participant(server: Server) -> None:
    appointment = {
        "resourceType": "Appointment",
        "status": "booked",
        "start": "2026-05-14T10:30:00Z",
        "participant": [{"actor": {"reference": "Patient/ann"}, "status": "accepted"}],
    }
    server.has(a_patient(), appointment)
    query = "/Appointment?patient=Patient/ann&date=ge2026-05-14&date=lt2026-05-15&status=booked"
    assert len(server.found(query)) == 1


def test_the_trail_is_found_by_what_it_is_about(server: Server) -> None:
    moment = "2026-05-12T08:30:00+01:00"
    server.has(
        a_patient(),
        {
            "resourceType": "AuditEvent",
            "recorded": moment,
            "entity": [{"what": {"reference": "Patient/ann"}}],
        },
        {
            "resourceType": "Provenance",
            "recorded": moment,
            "target": [{"reference": "Patient/ann"}],
        },
    )
    assert len(server.found("/AuditEvent?patient=ann&date=2026-05-12T07:30:00Z")) == 1
    assert len(server.found("/AuditEvent?entity=Patient/ann")) == 1
    assert len(server.found("/Provenance?target=Patient/ann&recorded=ge2026-05-12")) == 1


def test_the_roles_of_staff_are_found(server: Server) -> None:
    server.has(
        {
            "resourceType": "Organization",
            "id": "trust",
            "name": "Trust",
            "identifier": [{"system": NUMBERS, "value": "A1"}],
        },
        {"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Who"}]},
        {
            "resourceType": "PractitionerRole",
            "id": "role",
            "practitioner": {"reference": "Practitioner/doc"},
            "organization": {"reference": "Organization/trust"},
        },
    )
    assert server.found("/PractitionerRole?practitioner=doc&organization=trust") == ["role"]
    assert server.found("/Organization?name=tru") == ["trust"]
    assert server.found(f"/Organization?identifier={NUMBERS}|A1") == ["trust"]
    assert server.found("/Practitioner?name=who") == ["doc"]


def test_what_changed_lately_is_found_newest_first(server: Server) -> None:
    server.has(a_patient("old"))
    server.has(a_patient("new"))
    time.sleep(0.01)  # another millisecond for certain
    server.has(a_patient("old", gender="male"))
    assert server.found("/Patient?_lastUpdated=ge2020-01-01&_sort=-_lastUpdated") == ["old", "new"]
    assert server.found("/Patient?_lastUpdated=gt2020&_sort=_lastUpdated") == ["new", "old"]
    moment = server.get("/Patient/new").json()["meta"]["lastUpdated"].replace("+", "%2B")
    assert server.found(f"/Patient?_lastUpdated=le{moment}") == ["new"]
    assert server.found(f"/Patient?_lastUpdated=gt{moment}") == ["old"]
    assert server.found("/Patient?_lastUpdated=lt2020-01-01") == []


def test_messages_are_sorted_by_when_they_were_sent_the_unsent_last(server: Server) -> None:
    server.has(
        a_patient(),
        a_communication("none"),
        a_communication("late", sent="2026-05-12T09:00:00+01:00"),
        a_communication("early", sent="2026-05-12T07:30:00Z"),
    )

    def order(sort: str) -> list[str]:
        entries = server.search(f"/Communication?patient=ann&_sort={sort}")["entry"]
        return [entry["resource"]["identifier"][0]["value"] for entry in entries]

    assert order("sent") == ["early", "late", "none"]
    assert order("-sent") == ["late", "early", "none"]
    assert is_refused(server.get("/Communication?_sort=banana"), 400)


def test_an_unknown_parameter_is_400_and_one_with_an_underscore_is_ignored(server: Server) -> None:
    server.has(a_patient())
    assert is_refused(server.get("/Patient?banana=1"), 400)
    assert server.found("/Patient?_banana=1") == ["ann"]


@pytest.mark.parametrize("query", ["birthdate=junk", "_lastUpdated=junk", "_count=many"])
def test_a_value_that_makes_no_sense_is_400(server: Server, query: str) -> None:
    assert is_refused(server.get(f"/Patient?{query}"), 400)


def test_an_unknown_modifier_is_400_here_and_ignored_by_hapi(server: Server) -> None:
    answer = server.get("/Patient?identifier:banana=1")
    assert answer.status_code == server.either(own=400, hapi=200)


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Consent", f"patient.identifier={NUMBERS}|1"),
        ("Consent", "_include=Consent:patient"),
        ("Patient", "_revinclude=Consent:patient"),
        ("Patient", "_has:Consent:patient:status=active"),
    ],
)
def test_joins_are_refused_here_and_known_to_hapi(
    server: Server, resource_type: str, query: str
) -> None:
    answer = server.get(f"/{resource_type}?{query}")
    assert answer.status_code == server.either(own=400, hapi=200)


def test_the_self_link_says_what_was_asked(server: Server) -> None:
    bundle = server.search("/Consent?patient=Patient/ann&_count=5&status=active")
    asked = "_count=5&patient=Patient%2Fann&status=active"
    assert link(bundle, "self") == f"{server.base}/Consent?{asked}"


def test_a_posted_search_finds_the_same_and_its_self_link_says_nothing(server: Server) -> None:
    server.has(a_patient(), a_consent(), a_consent(status="inactive"))
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = server.ask("POST", "/Consent/_search?status=active", "patient=Patient%2Fann", **form)
    bundle = answer.json()
    assert answer.status_code == 200
    assert bundle["total"] == 1
    assert link(bundle, "self") == f"{server.base}/Consent/_search"


def test_a_repeated_search_is_fresh_here_and_stale_on_hapi_without_no_cache(
    server: Server,
) -> None:
    server.has(a_patient())
    server.get("/Consent?patient=ann", Cache_Control="max-age=60")
    server.has(a_consent())
    stale = server.get("/Consent?patient=ann", Cache_Control="max-age=60").json()
    assert stale["total"] == server.either(own=1, hapi=0)
    assert server.search("/Consent?patient=ann")["total"] == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_history"),
        ("GET", "/Patient/_history"),
        ("PUT", "/Patient?active=true"),
        ("DELETE", "/Patient?active=true"),
    ],
)
def test_other_interactions_are_refused_here_and_known_to_hapi(
    server: Server, method: str, path: str
) -> None:
    server.has(a_patient())
    answer = server.ask(method, path, a_patient() if method == "PUT" else None)
    assert answer.status_code == server.either(own=400, hapi=200)


# Pages


def test_all_pages_together_are_all_matches_once(server: Server) -> None:
    server.has(*(a_patient(f"p-{number}") for number in range(7)))
    bundle = server.search("/Patient?_count=3&_total=accurate")
    pages = [bundle]
    while url := link(bundle, "next"):
        assert url.startswith(f"{server.base}?_getpages=")
        bundle = server.search(url)
        pages.append(bundle)
    assert [len(page["entry"]) for page in pages] == [3, 3, 1]
    assert [page["total"] for page in pages] == [7, 7, 7]
    ids = {entry["resource"]["id"] for page in pages for entry in page["entry"]}
    assert ids == {f"p-{number}" for number in range(7)}
    assert link(pages[1], "previous")


def test_what_appears_between_two_pages_does_not_shift_them(server: Server) -> None:
    server.has(*(a_patient(f"p-{number}") for number in range(3)))
    first = server.search("/Patient?_count=2&_sort=-_lastUpdated")
    server.has(a_patient("p-late"))
    second = server.search(link(first, "next") or "")
    shown = [entry["resource"]["id"] for page in (first, second) for entry in page["entry"]]
    assert shown == ["p-2", "p-1", "p-0"]


def test_a_page_that_is_no_longer_kept_is_410(server: Server) -> None:
    url = "?_getpages=3f9d6b2a-0f5b-4c4b-8f0e-2d1f6c1d7a42&_getpagesoffset=2&_count=2"
    assert is_refused(server.get(url), 410)


def test_the_default_page_has_twenty_entries(server: Server) -> None:
    entries = [an_entry("PUT", f"Patient/p-{n}", a_patient(f"p-{n}")) for n in range(21)]
    assert server.bundle("batch", *entries).status_code == 200
    first = server.search("/Patient")
    assert len(first["entry"]) == 20
    assert len(server.search(link(first, "next") or "")["entry"]) == 1


@pytest.mark.parametrize("query", ["_count=0", "_summary=count"])
def test_only_the_count_can_be_asked_for(server: Server, query: str) -> None:
    server.has(a_patient(), a_patient("bob"))
    bundle = server.search(f"/Patient?{query}")
    assert bundle["total"] == 2
    assert "entry" not in bundle


def test_links_follow_the_host_that_was_asked(server: Server) -> None:
    bundle = server.get("/Patient?_count=1", Host="other.example").json()
    assert link(bundle, "self") == "http://other.example/fhir/Patient?_count=1"


# Bundles


def test_the_entries_of_a_batch_stand_each_for_itself(server: Server) -> None:
    server.has(a_patient(), a_consent())
    answer = server.bundle(
        "batch",
        an_entry("GET", "Patient/ann"),
        an_entry("GET", "Patient/nobody"),
        an_entry("GET", "Consent?banana=1"),
        an_entry("GET", "Consent?patient=Patient/ann&_count=100&_total=accurate"),
        an_entry("POST", "Consent", a_consent("Patient/nobody")),
        an_entry("POST", "Patient", a_patient("bob")),
        an_entry("PUT", "Patient/ann", a_patient(gender="male"), ifMatch='W/"9"'),
        an_entry("DELETE", "Patient/ann"),
    )
    assert answer.status_code == 200
    bundle = answer.json()
    assert bundle["type"] == "batch-response"
    assert [status[:3] for status in statuses(bundle)] == [
        *("200", "404", "400", "200", "400", "201", "409", "409")
    ]
    assert bundle["entry"][0]["resource"]["id"] == "ann"
    assert bundle["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    inner = bundle["entry"][3]["resource"]
    assert (inner["type"], inner["total"]) == ("searchset", 1)
    assert link(inner, "self") is not None
    made = bundle["entry"][5]
    assert "resource" not in made
    assert made["response"]["location"].endswith("/_history/1")
    assert made["response"]["etag"] == "1"


def test_a_batch_reads_after_it_writes(server: Server) -> None:
    answer = server.bundle(
        "batch", an_entry("GET", "Patient/ann"), an_entry("PUT", "Patient/ann", a_patient())
    )
    assert statuses(answer.json()) == ["200 OK", "201 Created"]


def test_a_batch_writes_in_order(server: Server) -> None:
    server.has(a_patient())
    answer = server.bundle(
        "batch",
        an_entry("PUT", "Patient/ann", a_patient(gender="male")),
        an_entry("DELETE", "Patient/ann"),
    )
    assert answer.status_code == 200
    assert server.get("/Patient/ann").status_code == 410


def test_an_inner_search_has_pages_of_its_own(server: Server) -> None:
    server.has(*(a_patient(f"p-{number}") for number in range(3)))
    bundle = server.bundle("batch", an_entry("GET", "Patient?_count=2")).json()
    url = link(bundle["entry"][0]["resource"], "next")
    assert url
    assert len(server.search(url)["entry"]) == 1


def test_a_bundle_shows_what_it_wrote_only_when_that_is_preferred(server: Server) -> None:
    answer = server.bundle(
        "batch", an_entry("POST", "Patient", a_patient()), Prefer="return=representation"
    )
    assert answer.json()["entry"][0]["resource"]["active"] is True


def test_a_transaction_links_its_resources_and_reads_them_back(server: Server) -> None:
    server.has(a_patient())
    answer = server.bundle(
        "transaction",
        an_entry("GET", f"Communication?identifier={MESSAGES}|m-1"),
        an_entry(
            "POST",
            "Provenance",
            {
                "resourceType": "Provenance",
                "recorded": "2026-05-12T08:30:00Z",
                "target": [{"reference": PLACEHOLDER}],
                "agent": [{"who": {"reference": "Patient/bob"}}],
            },
        ),
        an_entry("POST", "Communication", a_communication(), fullUrl=PLACEHOLDER),
        an_entry("PUT", "Patient/bob", a_patient("bob")),
        an_entry("GET", "Patient/nobody"),
        an_entry("GET", "Patient/bob"),
    )
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert bundle["type"] == "transaction-response"
    assert statuses(bundle) == [
        *("200 OK", "201 Created", "201 Created", "201 Created", "404 Not Found", "200 OK")
    ]
    communication = bundle["entry"][0]["resource"]["entry"][0]["resource"]
    assert bundle["entry"][2]["response"]["location"].startswith(
        f"Communication/{communication['id']}/"
    )
    provenance = server.search("/Provenance")["entry"][0]["resource"]
    assert provenance["target"] == [{"reference": f"Communication/{communication['id']}"}]


def test_a_conditional_create_in_a_transaction_says_whether_it_made_one(server: Server) -> None:
    server.has(a_patient())
    post = an_entry(
        "POST",
        "Communication",
        a_communication(),
        ifNoneExist=f"identifier={MESSAGES}|m-1",
        fullUrl=PLACEHOLDER,
    )
    first = server.bundle("transaction", post).json()
    about = {
        "resourceType": "Provenance",
        "recorded": "2026-05-12T08:30:00Z",
        "target": [{"reference": PLACEHOLDER}],
    }
    again = server.bundle("transaction", post, an_entry("POST", "Provenance", about)).json()
    assert statuses(first) == ["201 Created"]
    assert statuses(again) == ["200 OK", "201 Created"]
    location = first["entry"][0]["response"]["location"]
    assert again["entry"][0]["response"]["location"] == location
    target = server.search("/Provenance")["entry"][0]["resource"]["target"]
    assert target == [{"reference": location.partition("/_history")[0]}]


@pytest.mark.parametrize(
    ("status", "second"),
    [
        (400, an_entry("POST", "Consent", a_consent("Patient/nobody"))),
        (400, an_entry("POST", "Consent", a_consent(PLACEHOLDER))),
        (400, an_entry("POST", "Communication", a_communication(status="banana"))),
        (409, an_entry("PUT", "Patient/ann", a_patient(gender="male"), ifMatch='W/"9"')),
        (409, an_entry("DELETE", "Patient/referred")),
        (
            412,
            an_entry("POST", "Communication", a_communication(), ifNoneExist="identifier=other"),
        ),
        (
            412,
            an_entry("POST", "Patient", a_patient(), ifNoneExist=f"identifier={NUMBERS}|twice"),
        ),
    ],
)
def test_a_transaction_that_fails_leaves_nothing(server: Server, status: int, second: Json) -> None:
    twice = {"identifier": [{"system": NUMBERS, "value": "twice"}]}
    server.has(
        a_patient(),
        a_patient("referred"),
        a_patient("one", **twice),
        a_patient("two", **twice),
        a_consent("Patient/referred"),
    )
    first = an_entry("PUT", "Patient/new", a_patient("new"))
    assert is_refused(server.bundle("transaction", first, second), status)
    assert is_refused(server.get("/Patient/new"), 404)
    assert len(server.found("/Patient")) == 4


def test_a_failing_search_in_a_transaction_undoes_nothing(server: Server) -> None:
    answer = server.bundle(
        "transaction",
        an_entry("PUT", "Patient/ann", a_patient()),
        an_entry("GET", "Consent?banana=1"),
    )
    assert statuses(answer.json()) == ["201 Created", "400 Bad Request"]
    assert server.get("/Patient/ann").status_code == 200


def test_a_transaction_may_delete_what_it_no_longer_refers_to(server: Server) -> None:
    server.has(a_patient(), {**a_consent(), "id": "c"})
    answer = server.bundle(
        "transaction", an_entry("DELETE", "Patient/ann"), an_entry("DELETE", "Consent/c")
    )
    assert statuses(answer.json()) == ["204 No Content", "204 No Content"]


def test_a_transaction_updates_the_version_it_names(server: Server) -> None:
    server.has(a_patient())
    change = an_entry("PUT", "Patient/ann", a_patient(gender="male"), ifMatch='W/"1"')
    bundle = server.bundle("transaction", change).json()
    assert statuses(bundle) == ["200 OK"]
    assert bundle["entry"][0]["response"]["etag"] == "2"


def test_a_transaction_does_not_write_one_resource_twice(server: Server) -> None:
    twice = [an_entry("PUT", "Patient/ann", a_patient())] * 2
    assert is_refused(server.bundle("transaction", *twice), 400)


@pytest.mark.parametrize(
    "body",
    [
        a_patient(),
        {"resourceType": "Bundle", "type": "searchset"},
        {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "BREW", "url": "Patient"}}],
        },
        {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": a_patient()}]},
    ],
)
def test_only_a_batch_or_a_transaction_of_requests_can_be_posted(
    server: Server, body: Json
) -> None:
    assert is_refused(server.ask("POST", "", body), 400)


def test_an_empty_batch_is_answered(server: Server) -> None:
    assert server.bundle("batch").json()["type"] == "batch-response"


# The server


def test_the_server_says_what_it_can(server: Server) -> None:
    statement = server.get("/metadata").json()
    assert statement["resourceType"] == "CapabilityStatement"
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["implementation"]["url"] == server.base
    resources = {one["type"]: one for one in statement["rest"][0]["resource"]}
    communication = resources["Communication"]
    assert communication["conditionalCreate"] is True
    assert communication["versioning"] == "versioned-update"
    names = {one["name"] for one in communication["searchParam"]}
    assert {"_id", "_lastUpdated", "identifier", "patient", "recipient", "sent"} <= names


def test_every_parameter_of_ours_is_one_of_hapi(server: Server, own_store: str) -> None:
    ours = requests.get(f"{own_store}/metadata", timeout=30).json()["rest"][0]["resource"]
    theirs = {
        one["type"]: {(p["name"], p["type"]) for p in one["searchParam"]}
        for one in server.get("/metadata").json()["rest"][0]["resource"]
    }
    canonical = {("instantiates-canonical", "uri")}
    extra = {
        (one["type"], p["name"])
        for one in ours
        if one["type"] in theirs
        for p in one["searchParam"]
        if (p["name"], p["type"]) not in theirs[one["type"]] | canonical
    }
    assert {(t, n) for t, n in extra if n != "identifier"} == set()


@pytest.mark.parametrize("resource_type", ["Encounter", "Location", "Observation", "Slot"])
def test_any_other_type_can_be_kept_and_read(server: Server, resource_type: str) -> None:
    server.has({"resourceType": resource_type, "id": "x"})
    assert server.get(f"/{resource_type}/x").status_code == 200
    assert server.found(f"/{resource_type}?_id=x") == ["x"]


def test_a_request_that_is_no_fhir_interaction_is_400(server: Server) -> None:
    assert is_refused(server.get(""), 400)
    assert is_refused(server.get("/Patient/ann/Consent"), 400)
    assert is_refused(server.ask("POST", "/Patient/ann", a_patient()), 400)


def test_it_can_be_emptied(server: Server) -> None:
    server.has(a_patient())
    everything = {"name": "expungeEverything", "valueBoolean": True}
    body = {"resourceType": "Parameters", "parameter": [everything]}
    assert server.ask("POST", "/$expunge", body).status_code == 200
    assert server.get("/Patient/ann").status_code == 404
