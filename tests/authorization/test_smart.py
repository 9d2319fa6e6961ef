"""SMART Backend Services with a real authorization server, through the whole service."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from fhirmsg.fhir.scopes import DEFAULT_SCOPES
from tests.authorization.guarded import Guarded, a_key, guarded_store, pem
from tests.serving import Serving, serving, write_settings
from tests.world import a_patient_resource, communications, put

pytestmark = pytest.mark.usefixtures("authorization_servers")


def settings(guarded: Guarded, folder: Path, **more: Any) -> dict[str, str]:
    return write_settings(folder, guarded.base, **guarded.settings(folder, **more))


def codes(answer: requests.Response) -> list[str]:
    return [finding["code"] for finding in answer.json()["decision"]["findings"]]


def request_ids(requests_seen: list[Any]) -> list[str]:
    return [each.headers["x-request-id"] for each in requests_seen]


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_one_token_serves_many_calls(tmp_path: Path, algorithm: str) -> None:
    with guarded_store(algorithm) as guarded:
        put(guarded.behind, a_patient_resource())
        with serving(settings(guarded, tmp_path)) as adapter:
            assert adapter.send("one").status_code == 201
            assert adapter.send("two", content={"body": "Another word."}).status_code == 201
            assert len(adapter.outbox()) == 2
        entries = communications(guarded.behind)
        assert [entry["status"] for entry in entries] == ["completed", "completed"]
        assert guarded.authorization.granted == [DEFAULT_SCOPES]
        assert len(guarded.let_in) > 6
        assert guarded.turned_away == []
        # One id for each call, each its own.
        assert len(set(request_ids(guarded.let_in))) == len(guarded.let_in)


def test_a_revoked_token_is_replaced_and_the_same_request_made_once_more(tmp_path: Path) -> None:
    with guarded_store() as guarded:
        put(guarded.behind, a_patient_resource())
        with serving(settings(guarded, tmp_path)) as adapter:
            assert adapter.send("one").status_code == 201
            before = len(guarded.let_in)
            guarded.authorization.revoke()
            assert adapter.send("two", content={"body": "Another word."}).status_code == 201
        assert len(guarded.authorization.granted) == 2
        [refused] = guarded.turned_away
        again = guarded.let_in[before]
        assert (again.method, again.path, again.body) == (
            refused.method,
            refused.path,
            refused.body,
        )
        assert again.headers["x-request-id"] == refused.headers["x-request-id"]


def test_a_token_that_is_about_to_expire_is_replaced_before_it_does(tmp_path: Path) -> None:
    with guarded_store(seconds=3) as guarded:
        put(guarded.behind, a_patient_resource())
        with serving(settings(guarded, tmp_path)) as adapter:
            assert adapter.send("one").status_code == 201
            first = len(guarded.authorization.granted)
            time.sleep(3.1)
            assert adapter.send("two", content={"body": "Another word."}).status_code == 201
        assert len(guarded.authorization.granted) > first
        assert guarded.turned_away == []


def test_another_key_opens_nothing_and_nothing_is_sent(tmp_path: Path) -> None:
    stranger = a_key()
    with guarded_store() as guarded:
        put(guarded.behind, a_patient_resource())
        with serving(settings(guarded, tmp_path, key=stranger)) as adapter:
            answer = adapter.send("one")
            ready = requests.get(f"{adapter.url}/readyz", timeout=30)
            assert adapter.outbox() == []
        assert (answer.status_code, ready.status_code) == (503, 503)
        assert "invalid_client" in answer.json()["detail"]
        assert "invalid_client" in ready.text
        assert communications(guarded.behind) == []
        assert guarded.let_in == guarded.turned_away == []
        assert guarded.authorization.granted == []
        assert guarded.authorization.refused
    told = [json.loads(line) for line in adapter.stderr]
    assert any(
        line["message"] == "no access token" and line.get("code") == "invalid_client"
        for line in told
    )
    assert pem(stranger)[40:80] not in "".join(adapter.stderr)


@pytest.mark.parametrize("kind", ["Consent", "Communication", "Flag", "RelatedPerson"])
def test_scopes_that_do_not_open_every_entry_hold_every_message(tmp_path: Path, kind: str) -> None:
    narrowed = " ".join(each for each in DEFAULT_SCOPES.split() if f"/{kind}." not in each)
    with guarded_store(scopes=narrowed) as guarded:
        put(guarded.behind, a_patient_resource())
        with serving(settings(guarded, tmp_path)) as adapter:
            answer = adapter.send("one")
            assert adapter.outbox() == []
        assert (answer.status_code, answer.json()["status"]) == (200, "held")
        assert "read.blind" in codes(answer)
        assert f"every {kind} to this service" in answer.text


def test_scopes_that_are_widened_open_the_way_with_the_next_token(tmp_path: Path) -> None:
    with guarded_store(scopes="system/Patient.rs") as guarded:
        put(guarded.behind, a_patient_resource())
        with serving(settings(guarded, tmp_path)) as adapter:
            assert adapter.send("one").json()["status"] == "held"
            guarded.authorization.tell(scopes=DEFAULT_SCOPES)
            guarded.authorization.revoke()
            assert adapter.send("one").status_code == 201


def test_no_token_and_no_assertion_stands_in_a_log_line(tmp_path: Path) -> None:
    with guarded_store() as guarded:
        put(guarded.behind, a_patient_resource())
        environment = settings(guarded, tmp_path) | {"FHIRMSG_LOG_LEVEL": "DEBUG"}
        with serving(environment) as adapter:
            assert went_and_was_refused(adapter, guarded)
        tokens = {each.headers["authorization"].split()[1] for each in guarded.let_in}
        assert len(tokens) == 2
    said = "".join(adapter.stderr)
    assert said
    assert not [token for token in tokens if token in said]
    assert "eyJ" not in said


def went_and_was_refused(adapter: Serving, guarded: Guarded) -> bool:
    first = adapter.send("one")
    guarded.authorization.revoke()
    second = adapter.send("two", content={"body": "Another word."})
    return (first.status_code, second.status_code) == (201, 201)
