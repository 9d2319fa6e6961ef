"""No contact detail, message text or objection reason stands in any log line or error answer.

Every value that must not leak is a canary: a string found nowhere else. A serving process is taken
through sends, refusals, bad input and failures, and everything it says is searched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from fhirmsg.sandbox import Store, serve_in_thread
from tests.builders import NHS_NUMBER
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.serving import KEY, Serving, a_message, serving, write_settings
from tests.world import a_patient_resource, an_objection_resource, put

CANARIES = {
    "mobile": "07700900987",
    "mobile, normalised": "+447700900987",
    "mobile, national part": "7700900987",
    "email": "canary.kestrel@example.org",
    "body": "zanzibar-lighthouse",
    "subject": "quetzal-umbrella",
    "objection reason": "ptarmigan-sandwich",
    "name": "Xanthippe-Canary",
    "NHS number": "9990000034",
    "API key": KEY,
    "idempotency key": "marmalade-key",
    "override reason": "axolotl-reason",
}


def a_patient_with_canaries() -> dict[str, Any]:
    """Give a Patient all of whose details are canaries."""
    return a_patient_resource(
        identifier=[{"system": NHS_NUMBER, "value": CANARIES["NHS number"]}],
        name=[{"family": CANARIES["name"]}],
        telecom=[
            {"system": "phone", "use": "mobile", "value": CANARIES["mobile"]},
            {"system": "email", "value": CANARIES["email"]},
        ],
    )


def an_objection_with_a_canary() -> dict[str, Any]:
    """Give an objection whose reason is a canary."""
    objection = an_objection_resource()
    objection["extension"][0]["valueCodeableConcept"]["text"] = CANARIES["objection reason"]
    return objection


def a_letter(**changes: Any) -> dict[str, Any]:
    """Give an email whose words are canaries."""
    return a_message(
        channel="email",
        content={"body": f"Hello {CANARIES['body']}", "subject": CANARIES["subject"]},
        **changes,
    )


def go_through_everything(adapter: Serving, base: str, broken: dict[str, bool]) -> list[str]:
    """Make each kind of call once; gives the bodies of every answer that is an error."""
    text = a_message(content={"body": f"Hello {CANARIES['body']}"})
    answers = [adapter.send(CANARIES["idempotency key"], **a_letter())]
    answers += [adapter.send(CANARIES["idempotency key"], **a_letter())]
    answers += [adapter.send(CANARIES["idempotency key"], **text)]
    put(base, an_objection_with_a_canary())
    override = {"override": {"reason": CANARIES["override reason"], "objections": []}}
    answers += [
        adapter.send("refused", **text),
        adapter.send("o", **{**text, "evidence": override}),
    ]
    for field in ("patient", "recipient", "channel", "platform", "purpose", "organization"):
        answers.append(adapter.send("bad", **{**text, field: CANARIES["body"]}))
    answers.append(adapter.send("bad", **{**text, CANARIES["body"]: CANARIES["email"]}))
    answers.append(adapter.send("bad", patient=f"{NHS_NUMBER}|{CANARIES['NHS number']}0"))
    answers.append(adapter.get(f"/v1/messages/{CANARIES['body']}"))
    answers.append(adapter.get("/v1/patients/nobody/messages"))
    answers.append(
        requests.post(
            f"{adapter.url}/v1/messages",
            data=f'{{"content": "{CANARIES["body"]}',
            headers={
                "Authorization": f"Bearer {KEY}",
                "Content-Type": "application/json",
                "Idempotency-Key": "bad",
            },
            timeout=60,
        )
    )
    broken["now"] = True
    answers += [adapter.send("dead", **a_letter())]
    assert {answer.status_code for answer in answers} >= {200, 201, 400, 404, 422, 503}
    return [answer.text for answer in answers if answer.status_code >= 400] + [
        json.dumps(answer.json()["decision"]) for answer in answers if answer.status_code < 300
    ]


def test_nothing_of_a_patient_stands_in_a_log_line_or_an_error(tmp_path: Path) -> None:
    broken = {"now": False}

    def fail_when_told(request: Request) -> Reply | None:
        # A server's own error text can quote what it was asked for.
        told = CANARIES["mobile"].encode() + request.body
        return Reply(500, told) if broken["now"] else None

    with serve_in_thread(Store()) as store:
        put(store.base_url, a_patient_with_canaries())
        with reverse_proxy(store.base_url, fail_when_told) as base:
            settings = write_settings(tmp_path, base, FHIRMSG_LOG_LEVEL="DEBUG")
            with serving(settings) as adapter:
                said = go_through_everything(adapter, store.base_url, broken)
                assert len(adapter.outbox()) == 1
            logged = adapter.stderr

    assert len(logged) > 10
    found = {
        (name, where)
        for name, canary in CANARIES.items()
        for where, lines in (("log", logged), ("answer", said))
        if any(canary in line for line in lines)
    }
    assert not found
