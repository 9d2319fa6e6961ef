"""The words that give something away, as data, and how they are found in a text.

A term is a word or a phrase of up to five words, compared in small letters and without accents,
and never found inside another word. Words that are ambiguous come with contexts:

- `unless`: innocent when one of these stands beside the term, at most two words away.
- `unless_in_sentence`: innocent when one of these stands in the same sentence.
- `with`: counts only when one of these stands in the same sentence.
- `exact`: counts only in these very letters (`AIDS`, not hearing aids).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhirmsg.guidance.wording.observation import Kind
from fhirmsg.guidance.wording.reading import Reading
from fhirmsg.guidance.wording.tables import GLUED_TO, NEW_CLAUSE, TOWARDS_A_NUMBER
from fhirmsg.guidance.wording.terms import Phrases, Term, read_categories

# Words at most this far from a term still belong to its sentence: texts without a full stop
# must not make each term look at all of the text.
_SENTENCE_REACH = 25
_BESIDE_REACH = 2
_NUMBER_REACH = 4

_LONGEST_LABEL = 80


class LexiconError(ValueError):
    """A lexicon cannot be used; `faults` names each fault and where it stands."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Keep every fault; the text lists one a line."""
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A term met in a text: where it starts, and what it stands for."""

    start: int
    kind: Kind
    category: str


class Lexicon:
    """Categories of terms, indexed by their first word."""

    def __init__(self, terms: Sequence[Term], labels: Mapping[str, str], version: str) -> None:
        """Index the terms; `labels` says how each category is called."""
        self.version = version
        self.labels = dict(labels)
        self.size = len(terms)
        self._by_first: dict[str, tuple[Term, ...]] = {}
        self._glued: dict[str, Term] = {}
        for term in terms:
            first = term.words[0]
            self._by_first[first] = (*self._by_first.get(first, ()), term)
            if not term.has_context and term.kind.topic == "confidential":
                self._glued.setdefault("".join(term.words), term)

    @classmethod
    def empty(cls) -> Lexicon:
        """Give a lexicon without terms."""
        return cls((), {}, "")

    @classmethod
    def from_mapping(cls, mapping: object) -> Lexicon:
        """Build a lexicon from plain dicts and lists, as a YAML or JSON file gives them.

        `{"version": "1", "categories": {"hiv": {"label": "HIV", "conditions": [...]}}}`, where
        a list holds terms, or `{"terms": [...], "unless": [...], ...}` for terms that share
        their contexts. Raises LexiconError with every fault.
        """
        faults: list[str] = []
        terms, labels, version = read_categories(mapping, faults)
        if faults:
            raise LexiconError(faults)
        return cls(terms, labels, version)

    def find(self, reading: Reading) -> Iterator[Seen]:
        """Give every term that counts, in the order of the text."""
        words, by_first = reading.words, self._by_first
        for at, word in enumerate(words):
            for term in by_first.get(word, ()):
                if _counts(term, at, reading):
                    start = reading.starts[at]
                    yield Seen(start=start, kind=term.kind, category=term.category)
        for word, start in reading.spelt():
            for term in by_first.get(word, ()):
                if len(term.words) == 1 and not term.has_context:
                    yield Seen(start=start, kind=term.kind, category=term.category)

    def find_glued(self, words: Sequence[str]) -> Iterator[Seen]:
        """Give the terms that are run together with others in the labels of a link."""
        for word in words:
            for at in range(3, len(word) + 1) if len(word) <= _LONGEST_LABEL else ():
                for term, rest in (
                    (self._glued.get(word[:at]), word[at:]),
                    (self._glued.get(word[-at:]), word[:-at]),
                ):
                    # A long phrase is unmistakable; a short word must leave a known one.
                    if term and (len(term.words) > 1 or not rest or rest in GLUED_TO):
                        yield Seen(start=0, kind=term.kind, category=term.category)


def _counts(term: Term, at: int, reading: Reading) -> bool:
    length = len(term.words)
    last = at + length - 1
    if length > 1 and (
        tuple(reading.words[at : at + length]) != term.words or not reading.hold_together(at, last)
    ):
        return False
    if term.exact:
        written = reading.shown[reading.starts[at] : reading.ends[last]].removesuffix("'s")
        if written not in term.exact:
            return False
    if term.measured and not _has_a_number(last, reading):
        return False
    if term.unless and _stands_beside(term.unless, at, last, reading):
        return False
    if not (term.unless_in_sentence or term.needs):
        return True
    first, after = _sentence(at, last, reading)
    if term.unless_in_sentence and _holds(term.unless_in_sentence, first, after, reading):
        return False
    return not term.needs or _holds(term.needs, first, after, reading)


def _has_a_number(last: int, reading: Reading) -> bool:
    words = reading.words
    for at in range(last + 1, min(last + 1 + _NUMBER_REACH, len(words))):
        if reading.ends_a_sentence(at - 1):
            return False
        if words[at][0].isdigit():
            return not reading.plain.startswith(":", reading.ends[at])
        if words[at] not in TOWARDS_A_NUMBER:
            return False
    return False


def _sentence(at: int, last: int, reading: Reading) -> tuple[int, int]:
    first, after = at, last + 1
    while first > 0 and at - first < _SENTENCE_REACH and not reading.ends_a_sentence(first - 1):
        first -= 1
    size = len(reading.words)
    while (
        after < size and after - last < _SENTENCE_REACH and not reading.ends_a_sentence(after - 1)
    ):
        after += 1
    return first, after


def _holds(phrases: Phrases, first: int, after: int, reading: Reading) -> bool:
    words = reading.words[first:after]
    return not phrases.words.isdisjoint(words) or any(
        tuple(words[at : at + length]) in phrases.longer
        for length in phrases.lengths
        for at in range(len(words) - length + 1)
    )


def _stands_beside(phrases: Phrases, at: int, last: int, reading: Reading) -> bool:
    words, size = reading.words, len(reading.words)
    for length in (1, *phrases.lengths):
        lowest = max(0, at - length - _BESIDE_REACH)
        highest = min(size - length, last + 1 + _BESIDE_REACH)
        for start in range(lowest, highest + 1):
            if (
                words[start] not in phrases.words
                if length == 1
                else tuple(words[start : start + length]) not in phrases.longer
            ):
                continue
            end = start + length - 1
            if start <= last and at <= end:
                return True
            low, high = (end, at) if end < at else (last, start)
            if _one_clause(low, high, reading):
                return True
    return False


def _one_clause(low: int, high: int, reading: Reading) -> bool:
    between = reading.words[low + 1 : high]
    return NEW_CLAUSE.isdisjoint(between) and not any(
        reading.ends_a_clause(at) for at in range(low, high)
    )
