"""The command line. Each command imports what it needs, so that `--help` answers at once."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import NoReturn

import click

from fhirmsg import __version__

# Commands that live elsewhere: the module with a click command of that name, and what it is for,
# told here so that `--help` need not import it.
_ELSEWHERE = {
    "audit": ("fhirmsg.audit_cli", "The decision log: verify that nothing in it was changed."),
    "doctor": ("fhirmsg.doctor.cli", "Examine settings, FHIR server and providers; sends nothing."),
    "demo": ("fhirmsg.demo.cli", "Try it all on this machine, with fictional patients."),
    "decide": ("fhirmsg.offline.cli", "Decide from files: offline, for audit and what-if."),
    "recover": ("fhirmsg.upkeep_cli", "Write what is owed, and end what was abandoned."),
    "reconcile": ("fhirmsg.upkeep_cli", "Prove that nothing was lost, doubled or unexplained."),
    "personas": ("fhirmsg.demo.cli", "The fictional patients of the demo."),
}

# What `fhirmsg rules` prints, and the module that makes it.
_TABLES = {
    "rules": "fhirmsg.guidance.rule_table",
    "evidence": "fhirmsg.guidance.evidence_table",
    "cover": "fhirmsg.fhir.cover_table",
}


class _Commands(click.Group):
    """The commands here, and those elsewhere as far as their module is there."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        there = (name for name, (module, _) in _ELSEWHERE.items() if _is_there(module))
        return sorted({*super().list_commands(ctx), *there})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _ = _ELSEWHERE[cmd_name]
        try:
            found = getattr(import_module(module), cmd_name, None)
        except ImportError:
            return None
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = {name: command.get_short_help_str(70) for name, command in self.commands.items()}
        rows.update(
            (name, _ELSEWHERE[name][1]) for name in self.list_commands(ctx) if name in _ELSEWHERE
        )
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows.items()))


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="fhirmsg", message="%(prog)s %(version)s")
def main() -> None:
    """Decide whether a message to a patient may go, send it, and write the record entry."""


@main.command()
def serve() -> None:
    """Serve the HTTP interface, with the settings in the FHIRMSG_* environment variables."""
    from fhirmsg import logs
    from fhirmsg.config import Settings
    from fhirmsg.errors import SettingsError

    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_level)
        from fhirmsg import app

        built = app.build(settings)
    except SettingsError as error:
        _fail("fhirmsg cannot start; correct this first:", error.faults)
    try:
        sys.exit(app.serve(built, settings))
    except OSError as error:
        reason = error.strerror or "no such address"
        _fail(
            f"fhirmsg cannot listen on {settings.host}:{settings.port} ({reason}). "
            "Set FHIRMSG_HOST and FHIRMSG_PORT to an address of this machine that is free."
        )


@main.group()
def keys() -> None:
    """Keys of API clients."""


@keys.command("new")
@click.option("--client", metavar="ID", default="new-client", help="The client's id.")
def new_key(client: str) -> None:
    """Make a key: shown once for the caller, and as a digest for the clients file."""
    from fhirmsg import clients

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", client):
        _fail("An id is made of letters, digits, full stops and hyphens.", status=2)

    key, digest = clients.new_key()
    click.echo(f"# The key. It is shown this once; give it to the caller over a safe way:\n{key}\n")
    click.echo("# For the clients file, which holds the digest alone. Set what it may do:")
    click.echo(f"- id: {client}\n  keys: [{digest}]\n  scopes: [check]\n  organisations: [A12345]")


@main.group()
def policy() -> None:
    """Policy files of organisations."""


@policy.command("check")
@click.argument("file", type=click.Path())
def check_policy(file: str) -> None:
    """Check a policy FILE: exit 0 when it is right, 1 with every fault, 2 when unreadable."""
    from fhirmsg.errors import SettingsError
    from fhirmsg.policyfile import read_policy

    try:
        found = read_policy(file)
    except OSError as error:
        _fail(f"{file} cannot be read ({error.strerror}).", status=2)
    except SettingsError as error:
        count = len(error.faults)
        _fail(f"{file} has {count} fault{'s' * (count > 1)}:", error.faults)
    organisations = ", ".join(sorted(found.organisations))
    click.echo(f"OK {file}: version {found.version}, sha256 {found.sha256}, for {organisations}")


@main.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "json"]),
    default="markdown",
    show_default=True,
    help="A table for people, or data for programs.",
)
@click.option("--table", type=click.Choice([*_TABLES]), default="rules")
def rules(form: str, table: str) -> None:
    """Print every rule: what it says, what happens otherwise, and what lifts that.

    The table `evidence` says what each piece of evidence has to hold, and `cover` which code on
    an objection covers which channel.
    """
    chosen = import_module(_TABLES[table])
    if form == "json":
        click.echo(json.dumps(chosen.as_json(), indent=2, ensure_ascii=False))
    else:
        click.echo(chosen.as_markdown(), nl=False)


def _fail(text: str, faults: list[str] | None = None, *, status: int = 1) -> NoReturn:
    """Say why on stderr and end."""
    click.echo(text, err=True)
    for fault in faults or ():
        click.echo(f"  {fault}", err=True)
    sys.exit(status)
