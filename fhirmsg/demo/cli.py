"""`fhirmsg demo` and `fhirmsg personas`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from typing import Any

import click

from fhirmsg import logs
from fhirmsg.demo.loading import client_for, load, unload
from fhirmsg.demo.personas import Persona, load_personas
from fhirmsg.demo.running import Demo, running
from fhirmsg.demo.walk import Walker, faults_of_record, table
from fhirmsg.errors import FhirmsgError
from fhirmsg.fhir.log import FhirCommunicationLog

_SHOWN = ("plain", "objects-to-texts", "sensitive-service")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the adapter listens.")
@click.option("--port", default=8080, show_default=True, help="0 takes a free one.")
@click.option("--fhir-base-url", help="An R4 server to use in place of the embedded store.")
@click.option("--check", is_flag=True, help="Walk all personas, compare, and exit 0 or 1.")
def demo(host: str, port: int, fhir_base_url: str | None, check: bool) -> None:
    """Run everything on fictional patients: a FHIR store, the adapter, an outbox."""
    logs.configure("WARNING")
    # What was decided about each message is shown by the demo itself.
    logging.getLogger("fhirmsg.audit").setLevel(logging.WARNING)
    personas = load_personas()
    if not personas:
        click.echo("The demo cannot run: its personas were not installed with it.", err=True)
        sys.exit(1)
    try:
        with running(
            personas, host=host, port=0 if check else port, fhir_base_url=fhir_base_url
        ) as started:
            status = compare(started, personas) if check else _serve(started, personas)
    except (FhirmsgError, OSError) as error:
        click.echo(f"The demo cannot run: {_words(error)}", err=True)
        sys.exit(1)
    sys.exit(status)


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}. Choose another address with --host and --port."
    return str(error)


def compare(started: Demo, personas: tuple[Persona, ...]) -> int:
    """Walk the personas and print what came; gives 0 when everything is as expected, else 1."""
    rows = Walker(started.url, started.key).walk(personas)
    kept = started.outbox.messages()
    faults = [f"{row.persona}: expected {row.expected}" for row in rows if not row.as_expected]
    faults += faults_of_record(rows, kept, FhirCommunicationLog(started.fhir))
    click.echo(table(rows))
    click.echo(
        f"\n{len(personas)} personas, {len(rows)} messages asked for, {len(kept)} in the outbox, "
        f"{len(faults)} not as expected"
    )
    for fault in faults:
        click.echo(f"  {fault}")
    return 1 if faults else 0


def _serve(started: Demo, personas: tuple[Persona, ...]) -> int:
    click.echo(f"listening on {started.url}")
    click.echo(f"The record is at {started.fhir.base}; everybody on it is invented.\n")
    click.echo("A reminder that goes, one that is refused, and a check that holds:\n")
    by_name = {persona.name: persona for persona in personas}
    for place, name in enumerate(_SHOWN):
        path = "/v1/messages/check" if name == _SHOWN[-1] else "/v1/messages"
        request = by_name[name].steps[0].request
        click.echo(_curl(started, path, request, f"try-{place + 1}") + "\n")
    click.echo("What leaves is shown here. Ctrl-C ends it.\n")
    # Ended in any other polite way, the demo cleans up after itself just the same.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shown = 0
    try:
        while True:
            for message in started.outbox.messages()[shown:]:
                shown += 1
                click.echo(f"outbox: {message.channel} to {message.to}: {message.body}")
            time.sleep(0.3)
    except KeyboardInterrupt:
        click.echo("ended")
    return 0


def _curl(started: Demo, path: str, body: dict[str, Any], key: str) -> str:
    """Give a request to copy into a shell."""
    text = json.dumps(body).replace("'", "'\\''")
    return (
        f"curl -sS {started.url}{path} \\\n"
        f"  -H 'Authorization: Bearer {started.key}' \\\n"
        f"  -H 'Idempotency-Key: {key}' -H 'Content-Type: application/json' \\\n"
        f"  -d '{text}'"
    )


@click.group()
def personas() -> None:
    """Put the fictional patients on an R4 server, or take them off."""


@personas.command("load")
@click.option("--fhir-base-url", required=True, help="Base of the R4 server.")
def load_command(fhir_base_url: str) -> None:
    """Put every persona on the server; what is there already is written over."""
    _run(lambda: f"{load(client_for(fhir_base_url), load_personas())} resources loaded")


@personas.command("unload")
@click.option("--fhir-base-url", required=True, help="Base of the R4 server.")
def unload_command(fhir_base_url: str) -> None:
    """Take every persona off the server, with what fhirmsg wrote about them."""
    _run(lambda: f"{unload(client_for(fhir_base_url))} resources deleted")


def _run(what: Any) -> None:
    try:
        click.echo(what())
    except FhirmsgError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
