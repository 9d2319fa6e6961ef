"""Terms of the lexicon, and how they are read from plain data with every fault named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fhirmsg.guidance.wording.observation import Kind
from fhirmsg.guidance.wording.reading import words_of

# The lists a category may have, and what a term of each stands for.
GROUPS: dict[str, Kind] = {
    "conditions": Kind.CONDITION,
    "drugs": Kind.DRUG,
    "services": Kind.SERVICE,
    "results": Kind.RESULT,
    "measures": Kind.RESULT,
    "pressure": Kind.PRESSURE,
    "money": Kind.MONEY,
    "personal_details": Kind.PERSONAL_DETAILS,
}
_CONTEXTS = ("unless", "unless_in_sentence", "with")
_TERM_KEYS = frozenset({"terms", "exact", *_CONTEXTS})
_CATEGORY_KEYS = frozenset({"label", *GROUPS, *_CONTEXTS})

LONGEST_TERM = 5
MOST_TERMS = 20_000
LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class Phrases:
    """Contexts: single words, and longer phrases by their lengths."""

    words: frozenset[str] = frozenset()
    longer: frozenset[tuple[str, ...]] = frozenset()
    lengths: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.words or self.longer)

    def __or__(self, other: Phrases) -> Phrases:
        """Give these and the others."""
        longer = self.longer | other.longer
        return Phrases(
            words=self.words | other.words,
            longer=longer,
            lengths=tuple(sorted({len(phrase) for phrase in longer})),
        )

    @classmethod
    def of(cls, phrases: list[tuple[str, ...]]) -> Phrases:
        """Sort phrases by their lengths."""
        return cls() | cls(
            words=frozenset(phrase[0] for phrase in phrases if len(phrase) == 1),
            longer=frozenset(phrase for phrase in phrases if len(phrase) > 1),
        )


_NONE = Phrases()


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One word or phrase; `measured` means that it counts with a number after it.

    exact: the spellings that count, none when any letter case does.
    """

    words: tuple[str, ...]
    kind: Kind
    category: str
    measured: bool = False
    exact: frozenset[str] = frozenset()
    unless: Phrases = _NONE
    unless_in_sentence: Phrases = _NONE
    needs: Phrases = _NONE

    @property
    def has_context(self) -> bool:
        """Tell whether more than the words themselves decides."""
        return bool(
            self.measured or self.exact or self.unless or self.unless_in_sentence or self.needs
        )


def read_categories(mapping: object, faults: list[str]) -> tuple[list[Term], dict[str, str], str]:
    """Give terms, labels and version; what cannot be read is told in `faults`."""
    terms: list[Term] = []
    labels: dict[str, str] = {}
    if not isinstance(mapping, Mapping):
        faults.append("The lexicon is not a mapping with the keys version and categories.")
        return terms, labels, ""
    _name_strangers(mapping, frozenset({"version", "categories"}), "the lexicon", faults)
    version = _text(mapping.get("version"), "version", faults)
    categories = mapping.get("categories")
    if not isinstance(categories, Mapping) or not categories:
        faults.append("categories: is missing, empty or not a mapping of names to categories.")
        return terms, labels, version
    for name, content in categories.items():
        if not isinstance(name, str) or not name.strip():
            faults.append("categories: a name is not text; write it in quotation marks.")
        elif not isinstance(content, Mapping):
            faults.append(f"categories.{name}: is not a mapping.")
        else:
            labels[name] = _label(content, name, faults)
            terms += _terms_of_category(content, name, faults)
    _name_repeated(terms, faults)
    if len(terms) > MOST_TERMS:
        faults.append(f"The lexicon has {len(terms)} terms; {MOST_TERMS} is the most.")
    return terms, labels, version


def _terms_of_category(
    content: Mapping[object, object], name: str, faults: list[str]
) -> Iterator[Term]:
    path = f"categories.{name}"
    _name_strangers(content, _CATEGORY_KEYS, path, faults)
    if not any(content.get(group) for group in GROUPS):
        faults.append(f"{path}: has no terms.")
    shared = {key: _phrases(content.get(key), f"{path}.{key}", faults) for key in _CONTEXTS}
    for group in GROUPS:
        entries = content.get(group)
        if entries is None:
            continue
        if not isinstance(entries, list | tuple):
            faults.append(f"{path}.{group}: is not a list.")
            continue
        for position, entry in enumerate(entries):
            yield from _terms_of_entry(
                entry, f"{path}.{group}[{position}]", (name, group), shared, faults
            )


def _terms_of_entry(
    entry: object,
    path: str,
    owner: tuple[str, str],
    shared: dict[str, Phrases],
    faults: list[str],
) -> Iterator[Term]:
    own: Mapping[object, object] = {}
    written: object = [entry]
    if isinstance(entry, Mapping):
        own = entry
        _name_strangers(own, _TERM_KEYS, path, faults)
        written = own.get("terms")
        path += ".terms"
    if not isinstance(written, list | tuple) or not written:
        faults.append(f"{path}: is missing, empty or not a list.")
        return
    exact = _flag(own.get("exact"), f"{path}: exact", faults)
    contexts = {
        key: shared[key] | _phrases(own.get(key), f"{path}: {key}", faults) for key in _CONTEXTS
    }
    name, group = owner
    for text in written:
        words = _words(text, path, faults)
        if words:
            yield Term(
                words=words,
                kind=GROUPS[group],
                category=name,
                measured=group == "measures",
                exact=frozenset({str(text)}) if exact else frozenset(),
                unless=contexts["unless"],
                unless_in_sentence=contexts["unless_in_sentence"],
                needs=contexts["with"],
            )


def _words(text: object, path: str, faults: list[str]) -> tuple[str, ...]:
    if not isinstance(text, str):
        faults.append(f"{path}: a term is not text; write it in quotation marks.")
        return ()
    words = words_of(text)
    if not words:
        faults.append(f"{path}: a term has no letter and no digit.")
    elif len(words) > LONGEST_TERM:
        faults.append(f"{path}: {text!r} has more than {LONGEST_TERM} words.")
        return ()
    return words


def _phrases(written: object, path: str, faults: list[str]) -> Phrases:
    if written is None:
        return _NONE
    if not isinstance(written, list | tuple):
        faults.append(f"{path}: is not a list.")
        return _NONE
    return Phrases.of([words for text in written if (words := _words(text, path, faults))])


def _label(content: Mapping[object, object], name: str, faults: list[str]) -> str:
    label = _text(content.get("label"), f"categories.{name}.label", faults)
    if len(label) > LONGEST_LABEL:
        faults.append(f"categories.{name}.label: is longer than {LONGEST_LABEL} characters.")
    return label


def _text(value: object, path: str, faults: list[str]) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    faults.append(f"{path}: is missing or not text.")
    return ""


def _flag(value: object, path: str, faults: list[str]) -> bool:
    # Some readers of YAML leave every scalar the text that it is.
    if value in (None, True, False, "true", "false"):
        return value in (True, "true")
    faults.append(f"{path}: is neither true nor false.")
    return False


def _name_strangers(
    mapping: Mapping[object, object], known: frozenset[str], path: str, faults: list[str]
) -> None:
    faults.extend(
        f"{path}: the key {key!r} is not known; one of {', '.join(sorted(known))}."
        for key in mapping
        if key not in known
    )


def _name_repeated(terms: list[Term], faults: list[str]) -> None:
    met: set[Term] = set()
    for term in terms:
        if term in met:
            faults.append(
                f"categories.{term.category}: {' '.join(term.words)!r} stands twice as "
                f"{term.kind.value}."
            )
        met.add(term)
