"""The lexicon that a policy file names, and the one it is without."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fhirmsg.errors import SettingsError
from fhirmsg.policyfile import parse_policy, read_policy
from tests.policies import HEAD, PLATFORMS, policy

LEXICON = """
version: "7"
categories:
  feet: {label: feet, conditions: [bunions, {terms: [Chilblain], exact: true}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy that names a lexicon of its own."""
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "feet.yaml").write_text(LEXICON)
    (tmp_path / "policy.yaml").write_text(f"{HEAD}{PLATFORMS}lexicon: words/feet.yaml\n")
    return tmp_path


def lexicon_faults(folder: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_policy(folder / "policy.yaml")
    return caught.value.faults


def test_the_packaged_lexicon_is_taken_and_read_once() -> None:
    assert policy().lexicon.size > 100
    assert policy().lexicon is policy("lexicon: null").lexicon


def test_a_lexicon_is_looked_for_in_the_folder_of_the_policy(folder: Path) -> None:
    found = read_policy(folder / "policy.yaml").lexicon
    assert (found.version, found.size, found.labels) == ("7", 2, {"feet": "feet"})
    data = (folder / "policy.yaml").read_bytes()
    assert parse_policy(data, folder=folder).lexicon.version == "7"
    with pytest.raises(SettingsError, match="cannot be read"):
        parse_policy(data, folder=folder / "words")


def test_a_change_to_the_lexicon_is_a_change_to_the_policy(folder: Path) -> None:
    file = folder / "policy.yaml"
    before = read_policy(file).sha256
    digests = [hashlib.sha256(each).hexdigest() for each in (file.read_bytes(), LEXICON.encode())]
    assert before == hashlib.sha256("".join(digests).encode()).hexdigest()
    (folder / "words" / "feet.yaml").write_text(LEXICON + "# reviewed\n")
    assert read_policy(file).sha256 != before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "The lexicon is not a mapping"),
        ("version: '1'", "categories: is missing"),
        (LEXICON + "  feet: {label: f, drugs: [x]}\n", "line 5: 'feet' is there twice"),
        (LEXICON.replace("label: feet, ", ""), "categories.feet"),
        (LEXICON.replace("bunions", "no"), "categories.feet.conditions[0]"),
        (LEXICON.replace("bunions", "2026-02-30"), "holds a value that YAML cannot make out"),
        (LEXICON.replace("bunions", "!!python/name:os.system"), "line 4: a tag (!) is not under"),
        (LEXICON + "bad: [", "line 5: this is not YAML"),
        ("[" * 3000, "the file is nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_lexicon_is_told_with_the_name_of_its_file(
    folder: Path, text: str, says: str
) -> None:
    (folder / "words" / "feet.yaml").write_text(text)
    assert any(
        fault.startswith(f"lexicon: words/feet.yaml: {says}") for fault in lexicon_faults(folder)
    )


def test_all_that_is_wrong_with_a_lexicon_is_told_beside_all_that_is_with_the_policy(
    folder: Path,
) -> None:
    (folder / "words" / "feet.yaml").write_text(LEXICON.replace("label", "lable"))
    with (folder / "policy.yaml").open("a") as file:
        file.write("typo: 1\n")
    told = lexicon_faults(folder)
    assert any(fault.startswith("typo: is not a key") for fault in told)
    assert len([fault for fault in told if fault.startswith("lexicon: words/feet.yaml: ")]) >= 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("words/hands.yaml", "lexicon: 'words/hands.yaml' cannot be read (no such file or dir"),
        ("words", "lexicon: 'words' cannot be read (is a directory)"),
        ("[words/feet.yaml]", "lexicon: is a list; name a YAML file"),
        ("''", "lexicon: is ''; name a YAML file"),
    ],
)
def test_a_lexicon_that_cannot_be_read_is_told(folder: Path, name: str, says: str) -> None:
    (folder / "policy.yaml").write_text(f"{HEAD}{PLATFORMS}lexicon: {name}\n")
    (fault,) = lexicon_faults(folder)
    assert fault.startswith(says)
