"""The lexicon a policy is applied with: the packaged one, or a file of the organisation's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from fhirmsg.guidance.wording import Lexicon, LexiconError
from fhirmsg.packaged import packaged_bytes
from fhirmsg.yamlfile import Section, read_yaml, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLexicon:
    """A lexicon and the bytes it was read from."""

    lexicon: Lexicon
    data: bytes


@cache
def packaged_lexicon() -> Lexicon:
    """Give the lexicon that comes with the package, read once for all policies of a process."""
    return Lexicon.from_mapping(yaml.safe_load(packaged_bytes("lexicon.yaml")))


def lexicon_named(top: Section, folder: Path) -> OwnLexicon | None:
    """Read the file that `lexicon` names, from the folder of the policy file; None without one.

    Faults of the file are told with its name as the policy writes it.
    """
    if top.get("lexicon") is None:
        return None
    what = "name a YAML file, from the folder of the policy file, or write null"
    name = top.text("lexicon", what=what)
    if not name:
        return None
    try:
        data = (folder / name).read_bytes()
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a path").lower()
        top.fault("lexicon", f"{shown(name)} cannot be read ({reason}); {what}")
        return None
    lexicon, faults = _read(data)
    for fault in faults:
        top.fault("lexicon", f"{name}: {fault}")
    return OwnLexicon(lexicon=lexicon, data=data)


def _read(data: bytes) -> tuple[Lexicon, list[str]]:
    faults: list[str] = []
    # Read for its faults first: the plain loader would drop the first of two categories of one
    # name without a word.
    read_yaml(data, faults)
    if faults:
        return Lexicon.empty(), faults
    try:
        return Lexicon.from_mapping(yaml.safe_load(data)), []
    except LexiconError as error:
        return Lexicon.empty(), list(error.faults)
    except (yaml.YAMLError, ValueError):
        return Lexicon.empty(), ["holds a value that YAML cannot make out; put it in quotes"]
