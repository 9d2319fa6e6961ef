"""`fhirmsg doctor`."""

from __future__ import annotations

import json
import os
import sys

import click


@click.command()
@click.option(
    "--write",
    is_flag=True,
    help="Also try writes on the FHIR server, with fictional resources that are removed again.",
)
@click.option("--json", "as_json", is_flag=True, help="Data for programs.")
def doctor(write: bool, as_json: bool) -> None:
    """Examine settings, FHIR server, providers and logs: exit 0 without faults, 1 with any.

    Nothing is sent, and no patient data is shown. Without --write nothing is written either.
    """
    from fhirmsg import logs
    from fhirmsg.doctor.examining import examined
    from fhirmsg.doctor.lines import Level, count

    logs.configure("ERROR")
    lines = []
    for line in examined(os.environ, write=write):
        lines.append(line)
        if not as_json:
            click.echo(line.as_text())
    faults, warnings = count(lines, Level.FAULT), count(lines, Level.WARNING)
    if as_json:
        body = {
            "lines": [line.as_json() for line in lines],
            "faults": faults,
            "warnings": warnings,
        }
        click.echo(json.dumps(body, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{faults} faults, {warnings} warnings.")
    sys.exit(1 if faults else 0)
