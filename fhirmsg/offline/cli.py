"""`fhirmsg decide`."""

from __future__ import annotations

import json
import sys

import click


@click.command()
@click.option(
    "--record",
    "records",
    metavar="FILE",
    multiple=True,
    required=True,
    help=(
        "A FHIR resource, a Bundle, an array of resources, or NDJSON. Give it as often as needed."
    ),
)
@click.option("--request", metavar="FILE", required=True, help="The body of POST /v1/messages.")
@click.option("--policy", metavar="FILE", help="A policy file; the packaged example by default.")
@click.option("--as-of", metavar="TIME", help="The instant to judge at, RFC 3339; now by default.")
@click.option("--message-id", metavar="ID", help="The id that evidence has to name.")
@click.option(
    "--record-key-file",
    metavar="FILE",
    help=("The record key, to recognise repeats and restricted contact points."),
)
@click.option("--format", "form", type=click.Choice(["json", "text"]), default="json")
def decide(
    records: tuple[str, ...],
    request: str,
    policy: str | None,
    as_of: str | None,
    message_id: str | None,
    record_key_file: str | None,
    form: str,
) -> None:
    """Decide from files: exit 0 when a decision was made, 2 when the input is wrong."""
    from fhirmsg import clock
    from fhirmsg.offline.deciding import NotDecidable, Question, answer
    from fhirmsg.offline.report import as_text

    question = Question(
        records=records,
        request=request,
        policy=policy,
        as_of=as_of,
        message_id=message_id,
        record_key_file=record_key_file,
    )
    try:
        outcome = answer(question, clock.now())
    except NotDecidable as error:
        click.echo("No decision could be made; correct this first:", err=True)
        for fault in error.faults:
            click.echo(f"  {fault}", err=True)
        sys.exit(2)
    if form == "text":
        click.echo(as_text(outcome), nl=False)
        return
    for remark in outcome.remarks:
        click.echo(remark, err=True)
    decision = outcome.decision
    body = {"decision": {**decision.as_json(), "receipt_digest": decision.receipt_digest()}}
    click.echo(json.dumps(body, indent=2, ensure_ascii=False))
