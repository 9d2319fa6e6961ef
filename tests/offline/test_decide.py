"""`fhirmsg decide`: decisions from files, in each of their forms, and every fault named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fhirmsg.cli import main
from tests.world import a_patient_resource, an_objection_resource

AS_OF = "2026-11-24T10:00:00+00:00"
REQUEST = {
    "patient": "Patient/amara",
    "channel": "sms",
    "purpose": "appointment",
    "content": {"body": "Example Surgery: your appointment is on 14 December at 10:30."},
    "confidential": "no",
    "service": {"code": "general-practice", "sensitive": "no"},
    "organization": "A12345",
    "requester": {"identifier": "clerk-1", "name": "Casey Clerk", "role": "receptionist"},
}
MOBILE = {
    "system": "phone",
    "use": "mobile",
    "value": "07700 900123",
    "period": {"start": "2025-01-01"},
}
PATIENT = a_patient_resource(
    telecom=[MOBILE], meta={"versionId": "4", "lastUpdated": "2026-11-01T09:00:00Z"}
)
OBJECTION = an_objection_resource(meta={"versionId": "3", "lastUpdated": "2026-11-02T09:00:00Z"})


def bundle(*resources: Any) -> dict[str, Any]:
    entries = [{"resource": each} for each in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


OFF = {
    **OBJECTION,
    "status": "inactive",
    "meta": {"versionId": "1", "lastUpdated": "2026-01-02T09:00:00Z"},
}


def an_outcome(severity: str, code: str) -> dict[str, Any]:
    issue = {"severity": severity, "code": code}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def about(reference: str) -> dict[str, Any]:
    return {**OBJECTION, "patient": {"reference": reference}}


def in_transaction(patient: Any, consent: Any) -> dict[str, Any]:
    """Give a transaction in which nobody has an id yet."""
    nameless = {name: value for name, value in patient.items() if name != "id"}
    entries = [
        {"fullUrl": "urn:uuid:1111", "resource": nameless},
        {
            "fullUrl": "urn:uuid:2222",
            "resource": {**consent, "patient": {"reference": "urn:uuid:1111"}},
        },
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


class Desk:
    """A folder with a request, and the command run on files in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.request(REQUEST)

    def request(self, body: Any) -> None:
        self.write("request.json", body)

    def write(self, name: str, content: Any) -> str:
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return str(path)

    def run(self, *records: Any, options: tuple[str, ...] = ("--as-of", AS_OF)) -> Result:
        named = [
            argument
            for number, content in enumerate(records)
            for argument in ("--record", self.write(f"record-{number}.json", content))
        ]
        request = str(self.folder / "request.json")
        return CliRunner().invoke(main, ["decide", *named, "--request", request, *options])

    def decision(self, *records: Any, options: tuple[str, ...] = ("--as-of", AS_OF)) -> Any:
        done = self.run(*records, options=options)
        assert done.exit_code == 0, done.output
        body = json.loads(done.stdout)
        assert set(body) == {"decision"}
        return body["decision"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def codes(decision: Any) -> list[str]:
    return [finding["code"] for finding in decision["findings"]]


# --- decisions ---------------------------------------------------------------------------------


def test_a_plain_message_may_go(desk: Desk) -> None:
    decision = desk.decision(PATIENT)
    assert (decision["verdict"], codes(decision)) == ("send", [])
    assert decision["as_of"] == AS_OF
    assert decision["resources"] == [
        {
            "reference": "Patient/amara",
            "versionId": "4",
            "lastUpdated": "2026-11-01T09:00:00Z",
        }
    ]
    assert decision["receipt_digest"]


@pytest.mark.parametrize(
    "records",
    [
        (PATIENT, OBJECTION),
        (bundle(PATIENT, OBJECTION),),
        ([PATIENT, OBJECTION],),
        ("\n".join(map(json.dumps, (PATIENT, OBJECTION))),),
        ([PATIENT, bundle(OBJECTION)],),
        ("\ufeff" + json.dumps(bundle(PATIENT, OBJECTION)),),
    ],
    ids=["two-files", "bundle", "array", "ndjson", "bundle-in-array", "byte-order-mark"],
)
def test_records_are_read_in_every_form_they_are_kept_in(desk: Desk, records: Any) -> None:
    decision = desk.decision(*records)
    assert (decision["verdict"], codes(decision)) == ("refuse", ["objection.active"])
    assert decision["findings"][0]["evidence"][0]["versionId"] == "3"


def test_the_same_files_and_time_give_the_same_bytes(desk: Desk) -> None:
    one, other = desk.run(PATIENT, OBJECTION), desk.run(OBJECTION, PATIENT)
    assert one.stdout == other.stdout


def test_it_is_judged_as_at_the_time_given(desk: Desk) -> None:
    ended = an_objection_resource()
    ended["provision"]["period"] = {"end": "2026-11-20"}
    before = desk.decision(PATIENT, ended, options=("--as-of", "2026-11-20T23:00:00+00:00"))
    assert before["verdict"] == "refuse"
    assert desk.decision(PATIENT, ended)["verdict"] == "send"


# --- what could not be read --------------------------------------------------------------------


@pytest.mark.parametrize(
    "records",
    [
        (f"{json.dumps(PATIENT)}\n{{\n",),
        ([PATIENT, 7],),
        ([PATIENT, {"resourceType": "Consent"}],),
        (bundle(PATIENT, None),),
        ({**bundle(PATIENT), "link": [{"relation": "next", "url": "https://x.example"}]},),
        ({**bundle(PATIENT), "total": 2},),
        (PATIENT, {**OBJECTION, "patient": {}}),
        (PATIENT, {**OBJECTION, "patient": {"reference": "urn:uuid:1"}}),
        (PATIENT, {**OBJECTION, "patient": {"identifier": {"system": "urn:x", "value": "1"}}}),
        (PATIENT, bundle() | {"entry": "none"}),
        ({**PATIENT, "contained": [OBJECTION]},),
        (bundle(PATIENT, an_outcome("error", "exception")),),
        (PATIENT, {**an_outcome("warning", "suppressed"), "id": "o"}),
        (PATIENT, OFF, {**OFF, "status": "active"}),
        (PATIENT, {**OBJECTION, "meta": {}}, OFF),
        (PATIENT, OFF, {**OBJECTION, "meta": {}}),
        (PATIENT, {**OFF, "contained": [{**OBJECTION, "id": "inner"}]}),
        ({"resourceType": "Parameters", "parameter": [{"resource": PATIENT}, {"part": "none"}]},),
        ({"resourceType": "Parameters", "parameter": [{"resource": PATIENT}, 7]},),
        (PATIENT, json.dumps(OFF).replace('"objection"', '"obj\\ud800"')),
        (f"{json.dumps(PATIENT)}\n{json.dumps(OFF)[:-1]}",),
    ],
)
def test_a_partly_unreadable_file_still_gives_a_decision(desk: Desk, records: Any) -> None:
    done = desk.run(*records)
    if done.exit_code == 2:
        # A file of no use at all is named instead.
        assert "holds no FHIR resource" in done.stderr
        return
    decision = json.loads(done.stdout)["decision"]
    assert decision["verdict"] == "hold"
    assert "read.incomplete" in codes(decision)


@pytest.mark.parametrize(
    "records",
    [
        (bundle(PATIENT), bundle()),
        (PATIENT, []),
        (PATIENT, {"resourceType": "Bundle", "type": "searchset", "total": 0}),
        (f"{json.dumps(PATIENT)}\r\n\r\n",),
        (json.dumps({**PATIENT, "language": "a\u2028b\x85c"}, ensure_ascii=False) + "\n",),
        (PATIENT, {**OBJECTION, "patient": {"reference": "Patient/somebody"}}),
        (bundle(PATIENT, an_outcome("information", "informational")),),
    ],
)
def test_what_is_whole_and_says_nothing_against_it_lets_the_message_go(
    desk: Desk, records: Any
) -> None:
    assert desk.decision(*records)["verdict"] == "send"


@pytest.mark.parametrize("order", [(OBJECTION, OFF), (OFF, OBJECTION)])
def test_of_two_versions_the_newest_counts_in_either_order(desk: Desk, order: Any) -> None:
    assert desk.decision(PATIENT, list(order))["verdict"] == "refuse"
    history = {"resourceType": "Bundle", "type": "history"}
    entries = [{"resource": each} for each in (PATIENT, *order)]
    assert desk.decision({**history, "entry": entries})["verdict"] == "refuse"
    died = {**PATIENT, "meta": {"versionId": "5"}, "deceasedBoolean": True}
    before = {**PATIENT, "meta": {"versionId": "4"}}
    assert codes(desk.decision([died, before])) == ["person.deceased"]


@pytest.mark.parametrize(
    "records",
    [
        (PATIENT, about("https://ehr.example/fhir/Patient/amara")),
        (PATIENT, about("https://ehr.example/fhir/Patient/amara/_history/3")),
        (in_transaction(PATIENT, OBJECTION),),
        (
            PATIENT,
            {
                **about("#p"),
                "contained": [
                    {
                        "resourceType": "Patient",
                        "id": "p",
                        "identifier": PATIENT["identifier"],
                    }
                ],
            },
        ),
        ({"resourceType": "Parameters", "parameter": [{"resource": bundle(PATIENT, OBJECTION)}]},),
        (
            {
                "resourceType": "Parameters",
                "parameter": [{"resource": PATIENT}, {"part": [{"resource": OBJECTION}]}],
            },
        ),
    ],
    ids=["absolute", "versioned", "transaction", "contained", "parameters", "parts"],
)
def test_a_consent_is_the_patients_however_it_refers_to_them(desk: Desk, records: Any) -> None:
    if "transaction" in str(records[0].get("type")):
        desk.request({**REQUEST, "patient": "Patient/1111"})
    assert codes(desk.decision(*records)) == ["objection.active"]


# --- message id, evidence ----------------------------------------------------------------------


def an_override(decision: Any, message_id: str) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "message_digest": decision["message_digest"],
        "objections": [{"reference": "Consent/objection", "versionId": "3"}],
        "reason": "An urgent result changes the treatment.",
        "circumstances": "The telephone is the patient's alone now.",
        "approver": {"identifier": "g", "name": "Gita Guardian", "role": "Caldicott Guardian"},
        "approved_at": "2026-11-24T09:00:00Z",
        "expires_at": "2026-11-24T18:00:00Z",
    }


def test_the_message_id_is_the_one_that_the_evidence_names(desk: Desk) -> None:
    message_id = "8519e629-d64b-5978-98a0-37a1f2559459"
    refused = desk.decision(PATIENT, OBJECTION)
    evidence = {"override": an_override(refused, message_id)}
    desk.request({**REQUEST, "evidence": evidence})
    done = desk.run(PATIENT, OBJECTION)
    assert json.loads(done.stdout)["decision"]["verdict"] == "send"
    assert f"The message id is {message_id}, as the evidence names it." in done.stderr
    other = ("--as-of", AS_OF, "--message-id", "another")
    assert desk.decision(PATIENT, OBJECTION, options=other)["verdict"] == "refuse"


# --- policy ------------------------------------------------------------------------------------


def test_without_a_policy_the_packaged_one_is_used_and_named(desk: Desk) -> None:
    assert "packaged example" in desk.run(PATIENT).stderr


def test_a_policy_of_ones_own_decides(desk: Desk) -> None:
    from tests.serving import POLICY

    policy = POLICY.format(provider="outbox", channels="email", defaults="email: texts")
    path = desk.write("policy.yaml", policy)
    desk.request({**REQUEST, "platform": "texts"})
    decision = desk.decision(PATIENT, options=("--as-of", AS_OF, "--policy", path))
    assert codes(decision) == ["platform.unapproved"]


# --- text --------------------------------------------------------------------------------------


def test_text_says_the_verdict_first_then_each_reason_and_whom_to_ask(desk: Desk) -> None:
    done = desk.run(PATIENT, OBJECTION, options=("--as-of", AS_OF, "--format", "text"))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("REFUSE: ")
    text = " ".join(done.stdout.split())
    assert "[refused] objection.active Objections to receiving messages" in text
    assert "Rests on: Consent/objection v3" in text
    assert "What lifts it: override, acknowledgement" in text
    assert "Ask: Data Protection Officer, Caldicott Guardian, IG team" in text
    assert "packaged example" in text
    assert "07700" not in text
    assert "picks up that phone" not in text
    assert all(len(line) <= 100 for line in lines)


def test_text_of_a_plain_message_says_that_nothing_speaks_against_it(desk: Desk) -> None:
    done = desk.run(PATIENT, options=("--as-of", AS_OF, "--format", "text"))
    assert done.stdout.startswith("SEND: ")
    assert "Nothing speaks against it." in done.stdout


# --- faults ------------------------------------------------------------------------------------


def test_every_fault_is_named_at_once(desk: Desk) -> None:
    desk.request({**REQUEST, "purpose": "chat", "content": {}})
    policy = desk.write("policy.yaml", "version: x\n")
    done = desk.run(
        "no json", options=("--as-of", "tomorrow", "--policy", policy, "--message-id", "a b")
    )
    assert done.exit_code == 2
    assert done.stdout == ""
    for part in (
        "--as-of: ",
        "--message-id: ",
        "record-0.json: holds no FHIR resource",
        "/purpose ",
        "/content/body ",
        "policy.yaml: organisations",
    ):
        assert part in done.stderr


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ((OBJECTION,), "the patient of the request is not in them"),
        (('{"resourceType": "Patient", "id": "amara", "id": "other"}',), "stands twice"),
        ((bundle(),), "the patient of the request is not in them"),
        (("7",), "holds no FHIR resource"),
    ],
)
def test_records_that_allow_no_decision_are_named(desk: Desk, records: Any, words: str) -> None:
    done = desk.run(*records)
    assert done.exit_code == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    "as_of", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-05-12T08:30:00", "x"]
)
def test_a_time_that_cannot_be_meant_is_named(desk: Desk, as_of: str) -> None:
    done = desk.run(PATIENT, options=("--as-of", as_of))
    assert done.exit_code == 2
    assert "--as-of: " in done.stderr


@pytest.mark.parametrize("link", [5, True, "x", [7]])
def test_links_of_a_wrong_shape_do_no_harm(desk: Desk, link: Any) -> None:
    assert desk.run({**bundle(PATIENT), "link": link}).exit_code == 0


def test_a_recipient_that_is_not_in_the_files_is_named(desk: Desk) -> None:
    desk.request({**REQUEST, "recipient": "RelatedPerson/ben"})
    assert "the recipient of the request is not in them" in desk.run(PATIENT).stderr


def test_a_file_that_is_not_there_is_named(desk: Desk) -> None:
    missing = str(desk.folder / "none.json")
    done = CliRunner().invoke(main, ["decide", "--record", missing, "--request", missing])
    assert done.exit_code == 2
    assert done.stderr.count("cannot be read") == 2


def test_an_organisation_that_the_policy_is_not_for_is_named(desk: Desk) -> None:
    desk.request({**REQUEST, "organization": "B67890"})
    assert "/organization is none of the policy's (A12345)" in desk.run(PATIENT).stderr


def test_no_fault_repeats_what_was_written(desk: Desk) -> None:
    desk.request({**REQUEST, "patient": "Amara Okafor, 07700 900123"})
    done = desk.run(PATIENT)
    assert done.exit_code == 2
    assert "Okafor" not in done.stderr
