"""`fhirmsg recover` and `fhirmsg reconcile`: one round over what is owed, and the proof."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhirmsg.app import Service

_ROUNDS = 100


@contextmanager
def _service() -> Iterator[Service]:
    """Compose the service from the environment; what goes wrong ends the program in words."""
    from fhirmsg import logs
    from fhirmsg.config import Settings
    from fhirmsg.errors import FhirmsgError, SettingsError

    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_level)
        from fhirmsg.app import compose

        # The serving process beside this one has the port of the figures.
        yield compose(replace(settings, metrics=None))
    except SettingsError as error:
        click.echo("The settings are not right; correct this first:", err=True)
        for fault in error.faults:
            click.echo(f"  {fault}", err=True)
        sys.exit(2)
    except FhirmsgError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


@click.command()
def recover() -> None:
    """Write what the journal owes, and bring abandoned messages to a truthful end. Never sends.

    `fhirmsg serve` does the same all the time. Exit 0 when nothing is owed any more, 1 when
    something is left, 2 when it could not be done.
    """
    with _service() as service:
        service.journal.hurry()
        gone = 0
        for _ in range(_ROUNDS):
            written = service.catch_up.drain(sending=False)
            gone += written
            if not written:
                break
        ends = service.catch_up.recover()
        gone += service.catch_up.drain(sending=False)
        left = service.journal.lengths()
    click.echo(f"written from the journal: {gone}")
    for end, number in sorted(ends.items()):
        click.echo(f"open entries, {end}: {number}")
    for owed, number in sorted(left.items()):
        click.echo(f"left in the journal, {owed}: {number}")
    sys.exit(1 if left else 0)


@click.command()
@click.option(
    "--since",
    metavar="TIME",
    required=True,
    help="RFC 3339 with a zone, or a span back from now as 90m, 24h or 7d.",
)
@click.option("--json", "as_json", is_flag=True, help="Data for programs.")
def reconcile(since: str, as_json: bool) -> None:
    """Compare providers, record and journal since TIME: nothing lost, doubled or unexplained.

    Exit 0 when everything is explained, 1 when something is not, 2 when it could not be compared.
    """
    instant = _instant(since)
    with _service() as service:
        found = service.reconciliation.run(instant)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "since": found.since.isoformat(),
                    "counts": dict(sorted(found.counts.items())),
                    "unexplained": [
                        {"code": each.code, "id": each.message_id, "sentence": each.sentence}
                        for each in found.unexplained
                    ],
                },
                indent=2,
            )
        )
    else:
        click.echo(f"since {found.since.isoformat()}")
        for name, number in sorted(found.counts.items()):
            click.echo(f"  {name}: {number}")
        click.echo(f"unexplained: {len(found.unexplained)}")
        for each in found.unexplained:
            click.echo(f"  {each.code} {each.message_id or '-'}: {each.sentence}")
    sys.exit(1 if found.unexplained else 0)


def _instant(text: str) -> datetime:
    """Read the option; ends the program with what is right."""
    spans = {"m": "minutes", "h": "hours", "d": "days"}
    unit = spans.get(text[-1:])
    if unit is not None and text[:-1].isdecimal() and len(text) <= 6:
        return datetime.now(UTC) - timedelta(**{unit: int(text[:-1])})
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found
    raise click.BadParameter(
        "write an instant with its zone, as 2026-11-24T10:00:00Z, or a span as 24h",
        param_hint="--since",
    )
