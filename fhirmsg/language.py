"""Spelling and plain grammar of a message, where the extra `language` is installed.

A thin face to Harper (harper-py), with British spelling. Matters of style are left alone: what a
clinician writes is not for us to improve.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from fhirmsg.errors import SettingsError
from fhirmsg.guidance.record import PatientFacts
from fhirmsg.guidance.request import SendRequest

# Harper's kinds of lint that say that something is wrong, and the word we use for each.
_KINDS = {
    "Spelling": "spelling",
    "Typo": "spelling",
    "Grammar": "grammar",
    "Agreement": "grammar",
    "BoundaryError": "grammar",
    "Eggcorn": "grammar",
    "Malapropism": "grammar",
    "Repetition": "grammar",
}

# It takes "reply YES to keep it or NO to change it" for a mistyped "not to".
_OFF = ("NotTo",)

# Right in a message from the NHS, and not in its dictionary.
_KNOWN = ("rebook", "rebooked", "rebooking", "ordinator", "ordinators", "fête", "phlebotomy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """How many faults of one kind there are: `spelling` or `grammar`; never the words."""

    kind: str
    count: int


def is_installed() -> bool:
    """Tell whether spelling can be checked here."""
    return _harper() is not None


class LanguageChecker:
    """Checks one text after another; building it takes about a second and 145 MiB."""

    def __init__(self, known_words: Iterable[str] = ()) -> None:
        """Load the dictionary; `known_words` are names and terms that are spelt as they are.

        Raises SettingsError when the extra is not installed.
        """
        harper = _harper()
        if harper is None:
            raise SettingsError(
                [
                    "Spelling is to be checked, but harper-py is not installed, so no message "
                    "would be. Install fhirmsg[language], or turn the check off."
                ]
            )
        self._linter: Any = harper.Linter(harper.Dialect.BRITISH)
        known = set(self._linter.get_default_lint_config())
        self._linter.set_lint_config({name: False for name in _OFF if name in known})
        self._linter.import_words(sorted({*_KNOWN, *known_words}))
        # A linter answers one caller at a time and fails the others.
        self._lock = Lock()

    def remarks(self, text: str, names: Iterable[str] = ()) -> tuple[Remark, ...]:
        """Count faults by kind, none for a text that is not English.

        `names` are words of this message alone, the patient's names above all.
        """
        known = {word.casefold() for name in names for word in (name, *name.split())}
        with self._lock:
            if not self._linter.is_likely_english(text):
                return ()
            lints = self._linter.lint(text, language="plaintext")
        counts: dict[str, int] = {}
        for lint in lints:
            kind = _KINDS.get(lint.lint_kind)
            if kind and not _is_a_name(text, lint, known):
                counts[kind] = counts.get(kind, 0) + 1
        return tuple(Remark(kind=kind, count=count) for kind, count in sorted(counts.items()))


def faults_in(checker: LanguageChecker) -> Callable[[SendRequest, PatientFacts], tuple[str, ...]]:
    """Give a function that names the faults in a request's words, knowing the patient's names."""

    def faults(request: SendRequest, patient: PatientFacts) -> tuple[str, ...]:
        content = request.content
        text = content.body if content.subject is None else f"{content.subject}\n{content.body}"
        names = (*patient.known.given, *patient.known.family)
        return tuple(f"{each.count} of {each.kind}" for each in checker.remarks(text, names))

    return faults


def _is_a_name(text: str, lint: Any, known: set[str]) -> bool:
    """Tell whether a word taken for a fault is a name, as capitals within a sentence say."""
    word = lint.problem_text
    if lint.lint_kind != "Spelling":
        return False
    before = text[: lint.span.start].rstrip()
    begins = not before or before[-1] in ".!?:\n" or "\n" in text[len(before) : lint.span.start]
    return word.casefold() in known or (word[:1].isupper() and not begins) or word.isupper()


def _harper() -> Any:
    try:
        return importlib.import_module("harper")
    except ImportError:
        return None
