"""`fhirmsg demo` as somebody runs it, on the embedded store and on a real HAPI."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import requests
import responses

from fhirmsg.demo import cli
from fhirmsg.demo.loading import client_for, load, unload
from fhirmsg.demo.personas import load_personas
from fhirmsg.demo.running import running
from fhirmsg.demo.walk import Walker, faults_of_record, table
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.sandbox import Store, serve_in_thread

PERSONAS = load_personas()
KINDS = ("Patient", "RelatedPerson", "Consent", "Communication", "Task", "Provenance")


def fhirmsg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "fhirmsg", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def assert_all_as_expected(done: subprocess.CompletedProcess[str]) -> None:
    """Check the exit status and that each persona has its row."""
    assert done.returncode == 0, done.stdout + done.stderr
    for persona in PERSONAS:
        assert f"ok  {persona.situation}" in done.stdout
    assert ", 0 not as expected" in done.stdout
    assert done.stderr == ""


def left_on(base: str) -> int:
    """Count what is on a server."""
    fresh = {"Cache-Control": "no-cache"}
    counts = [
        requests.get(f"{base}/{kind}?_summary=count&_total=accurate", headers=fresh, timeout=30)
        for kind in KINDS
    ]
    return sum(int(answer.json().get("total", 0)) for answer in counts)


def test_the_check_walks_every_persona_on_the_embedded_store() -> None:
    assert_all_as_expected(fhirmsg("demo", "--check"))


@pytest.mark.hapi
def test_the_check_walks_every_persona_on_hapi_twice_and_leaves_nothing(hapi: str) -> None:
    assert_all_as_expected(fhirmsg("demo", "--check", "--fhir-base-url", hapi))
    assert_all_as_expected(fhirmsg("demo", "--check", "--fhir-base-url", hapi))
    assert left_on(hapi) == 0


@pytest.mark.hapi
def test_personas_are_loaded_on_hapi_and_taken_off_again(hapi: str) -> None:
    loaded = fhirmsg("personas", "load", "--fhir-base-url", hapi)
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert left_on(hapi) > len(PERSONAS)
    unloaded = fhirmsg("personas", "unload", "--fhir-base-url", hapi)
    assert (unloaded.returncode, unloaded.stderr) == (0, "")
    assert left_on(hapi) == 0


def test_unloading_touches_nothing_that_does_not_carry_the_tag() -> None:
    with serve_in_thread(Store()) as store:
        somebody = {"resourceType": "Patient", "id": "somebody"}
        requests.put(f"{store.base_url}/Patient/somebody", json=somebody, timeout=30)
        client = client_for(store.base_url)
        load(client, PERSONAS)
        unload(client)
        assert requests.get(f"{store.base_url}/Patient/somebody", timeout=30).status_code == 200


def test_a_persona_that_is_not_decided_as_expected_shows() -> None:
    wrong = replace(PERSONAS[0].steps[0], verdict="refuse", code="objection.active")
    with running(PERSONAS[:1]) as demo:
        rows = Walker(demo.url, demo.key).walk([replace(PERSONAS[0], steps=(wrong,))])
    assert [row.as_expected for row in rows] == [False]
    assert table(rows).splitlines()[1].startswith("NO")


def test_the_check_fails_when_one_persona_is_not_decided_as_expected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = replace(PERSONAS[0].steps[0], verdict="refuse", code="objection.active")
    with running(PERSONAS[:2]) as demo:
        assert cli.compare(demo, PERSONAS[:2]) == 0
        assert cli.compare(demo, (replace(PERSONAS[0], steps=(wrong,)),)) == 1
    assert "expected refuse objection.active" in capsys.readouterr().out


@pytest.mark.parametrize("self_link", [None, "echoed", "https://ehr.example/fhir?_getpages=1"])
@responses.activate
def test_unloading_deletes_nothing_on_a_server_that_ignores_filters(self_link: str | None) -> None:
    somebody = {"resourceType": "Patient", "id": "real-person"}

    def every_patient(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        found = [somebody] if "/Patient?" in str(request.url) else []
        bundle = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "entry": [{"resource": each} for each in found],
        }
        if self_link:
            url = str(request.url) if self_link == "echoed" else self_link
            bundle["link"] = [{"relation": "self", "url": url}]
        return 200, {}, json.dumps(bundle)

    responses.add_callback(
        responses.GET, re.compile(r"https://ehr\.example/fhir/.*"), callback=every_patient
    )
    # A DELETE is not registered: making one would fail the test.
    assert unload(client_for("https://ehr.example/fhir")) == 0


def test_a_message_without_its_record_entry_shows() -> None:
    with running(PERSONAS[:1]) as demo:
        rows = Walker(demo.url, demo.key).walk(PERSONAS[:1])
        log = FhirCommunicationLog(demo.fhir)
        assert faults_of_record(rows, demo.outbox.messages(), log) == []
        twice = [*demo.outbox.messages(), *demo.outbox.messages()]
        assert "2 times" in faults_of_record(rows, twice, log)[0]
        [fault] = faults_of_record(rows, [], log)
        assert "not in the outbox" in fault


@contextmanager
def interactive() -> Iterator[subprocess.Popen[str]]:
    """Run the demo as somebody at a terminal does, and end it with Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "fhirmsg", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        # Whoever starts the tests in the background of a script has them ignore Ctrl-C, and so
        # would everything that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            process.kill()
            process.communicate()


def test_the_three_requests_it_prints_do_what_it_says() -> None:
    with interactive() as process:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        requests_printed = printed.replace("\\\n", "").split("curl ")[1:]
        answers = [ask(text.split("\n\n")[0]) for text in requests_printed]
        kept = next(line for line in process.stdout if line.strip())

    statuses = [(answer.status_code, answer.json()["status"]) for answer in answers]
    assert statuses == [(201, "accepted-by-provider"), (200, "refused"), (200, "held")]
    assert kept.startswith("outbox: sms to +44")
    assert process.returncode == 0


def ask(command: str) -> requests.Response:
    """Make the request that a curl command line stands for."""
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("http"))
    headers = dict(
        words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H"
    )
    body = words[words.index("-d") + 1]
    return requests.post(url, data=body.encode(), headers=headers, timeout=60)
