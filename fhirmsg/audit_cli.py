"""`fhirmsg audit`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click


@click.group()
def audit() -> None:
    """What was decided, for those who audit."""


@audit.command("verify")
@click.argument("file", type=click.Path())
@click.option(
    "--holds", metavar="HASH", help="Look for the line with this hash, written down earlier."
)
def verify_log(file: str, holds: str | None) -> None:
    """Verify a decision log FILE: exit 0 when it is whole, 1 when not, 2 when unreadable.

    The key comes from FHIRMSG_RECORD_KEY or FHIRMSG_RECORD_KEY_FILE. Write down what is printed
    for the last line, away from this machine: an older copy of the whole log can be told by that
    alone.
    """
    from fhirmsg.decisionlog_verified import verify
    from fhirmsg.environment import Variables

    faults: list[str] = []
    key = Variables(os.environ, faults).secret("RECORD_KEY", what="give the record key")
    if not key:
        _unreadable("The record key is missing, and nothing can be proved without it.", faults)
    try:
        found = verify(file, key.encode(), holds=holds)
    except OSError as error:
        _unreadable(f"{file} cannot be read ({error.strerror or type(error).__name__}).", [])
    for remark in found.remarks:
        click.echo(f"note: {remark}")
    for broken in found.breaks:
        click.echo(f"BROKEN: {broken}")
    if found.last is None:
        click.echo(f"{file} holds no line of this key.")
    else:
        click.echo(f"{file}: last line number {found.last.n}, hash {found.last.hash}")
    if not found.whole:
        sys.exit(1)
    click.echo("OK: nothing was changed, put in, taken out or cut off.")


def _unreadable(text: str, faults: list[str]) -> NoReturn:
    click.echo(text, err=True)
    for fault in faults:
        click.echo(f"  {fault}", err=True)
    sys.exit(2)
