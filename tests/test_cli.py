"""The command line, as somebody types it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import yaml

from fhirmsg import __version__
from fhirmsg.cli import main
from fhirmsg.clients import ClientBook
from fhirmsg.clientsfile import parse_clients
from fhirmsg.guidance.rule_table import as_json, as_markdown

EXAMPLE = Path(__file__).parent.parent / "fixtures" / "policy" / "example.yaml"


@dataclass
class Ran:
    """What a command wrote, and its exit status."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def run(*arguments: str, **environment: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(list(arguments), prog_name="fhirmsg")
    return Ran(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def test_the_version_is_told() -> None:
    found = run("--version")
    assert (found.exit_code, found.output) == (0, f"fhirmsg {__version__}\n")


def test_help_names_the_commands_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; from fhirmsg.cli import main; main(['--help'], standalone_mode=False); "
        "print({'flask', 'requests', 'yaml', 'fhir', 'waitress'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    *told, heavy = found.stdout.splitlines()
    for command in ("keys", "policy", "rules", "serve"):
        assert any(line.startswith(f"  {command}") for line in told)
    assert heavy == "set()"


def test_a_command_whose_module_is_missing_does_not_break_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "fhirmsg.cli._ELSEWHERE",
        {"absent": ("fhirmsg.not_there.cli", "x"), "odd": ("fhirmsg.clock", "x")},
    )
    assert "serve" in run("--help").output
    assert "absent" not in run("--help").output
    assert "No such command 'absent'" in run("absent").output
    assert "No such command 'odd'" in run("odd").output


def test_a_new_key_is_shown_once_and_opens_what_the_printed_entry_describes() -> None:
    found = run("keys", "new", "--client", "reminders")
    assert found.exit_code == 0
    (key,) = (line for line in found.output.splitlines() if line.startswith("fm_"))
    assert found.output.count(key) == 1
    entry = found.output[found.output.index("- id:") :]
    client = ClientBook(parse_clients(entry.encode())).with_key(key)
    assert client is not None
    assert client.id == "reminders"
    assert yaml.safe_load(entry)[0]["scopes"] == ["check"]


def test_every_key_is_another_one() -> None:
    assert run("keys", "new").output != run("keys", "new").output


def test_a_client_needs_a_usable_id() -> None:
    found = run("keys", "new", "--client", "two words")
    assert found.exit_code == 2
    assert "fm_" not in found.output


def test_a_right_policy_is_told_with_its_version_and_digest() -> None:
    found = run("policy", "check", str(EXAMPLE))
    assert found.exit_code == 0
    assert found.output.startswith(f"OK {EXAMPLE}: version example-1, sha256 ")
    assert found.output.endswith(", for A12345\n")


def test_every_fault_of_a_policy_is_told_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(EXAMPLE.read_text().replace("name: ", "nam: ").replace("[13]", "[99]"))
    found = run("policy", "check", str(file))
    assert found.exit_code == 1
    assert found.stdout == ""
    assert found.stderr.splitlines()[0] == f"{file} has 3 faults:"
    assert "  nam: is not a key that is known here; did you mean name?" in found.stderr
    assert "  name: is missing; " in found.stderr
    assert "  proxies.parental_review_ages: '99' is not such an age; " in found.stderr


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_policy_that_cannot_be_read_is_exit_status_2(tmp_path: Path, name: str) -> None:
    found = run("policy", "check", str(tmp_path / name))
    assert found.exit_code == 2
    assert "cannot be read" in found.stderr


def test_serve_tells_every_fault_of_the_settings_and_does_not_start() -> None:
    found = run("serve", FHIRMSG_PORT="x", FHIRMSG_TYPO="y")
    assert found.exit_code == 1
    assert found.stdout == ""
    for name in (
        *("PORT", "TYPO", "FHIR_BASE_URL", "RECORD_KEY", "POLICY_FILES", "CLIENTS_FILE"),
        "JOURNAL_FILE",
    ):
        assert f"  FHIRMSG_{name}: " in found.stderr


def test_the_rules_are_printed_as_a_table_for_people() -> None:
    found = run("rules")
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout == as_markdown()
    assert run("rules", "--format", "markdown").stdout == found.stdout


def test_the_rules_are_printed_as_data() -> None:
    found = run("rules", "--format", "json")
    assert (found.exit_code, found.stderr) == (0, "")
    assert json.loads(found.stdout) == as_json()


def test_the_rules_are_printed_in_no_other_form() -> None:
    found = run("rules", "--format", "yaml")
    assert found.exit_code == 2
    assert "'markdown', 'json'" in found.stderr


def test_what_is_wrong_with_a_lexicon_is_told_with_the_policy(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(EXAMPLE.read_text().replace("lexicon: null", "lexicon: words.yaml"))
    assert "  lexicon: 'words.yaml' cannot be read" in run("policy", "check", str(file)).stderr
    (tmp_path / "words.yaml").write_text("version: '1'\ncategories: {}\n")
    found = run("policy", "check", str(file))
    assert found.exit_code == 1
    assert "  lexicon: words.yaml: categories: is missing" in found.stderr
    assert len(found.stderr.splitlines()) == 2
