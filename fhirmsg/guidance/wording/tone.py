"""What makes an honest message look like a scam: capitals, marks, templates, no sender."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from fhirmsg.guidance.wording.facts import WordingSettings
from fhirmsg.guidance.wording.identifiers import Wanted
from fhirmsg.guidance.wording.observation import Kind
from fhirmsg.guidance.wording.reading import Reading, parts_of

Sight = tuple[Kind, int]

_PLACEHOLDER = re.compile(
    r"\(\([^()\n]{1,60}\)\)|\{\{[^{}\n]{1,60}\}\}|<<[^<>\n]{1,60}>>|\$\{[^{}\n]{1,60}\}"
    r"|\[[ ]?(?:insert|enter|add|your|patient|first|last|given|family|date|time|name|surname"
    r"|clinic|practice|surgery|organi[sz]ation|phone|telephone|link|x+)\b[^\[\]\n]{0,40}\]"
    r"|%(?:first|last|sur|fore|patient)_?name%|\{[a-z][a-z_.]{1,40}\}"
    r"|<(?:(?:first|last|sur|fore|patient|given|family|clinic)[_ ]?)?(?:name|date|time)>",
    re.IGNORECASE,
)
_UNTIDY = re.compile(r"(?<=\w) {2,}(?=\w)|[!?]{2,}|(?<=\w) [,;](?=\s|$)|(?<!,),,(?!,)")
_GREETING = re.compile(
    r"(?:\A|(?<=[\n.!,]))\s{0,3}(?:dear|hello|hi|annwyl|helo) ((?:[^\W\d_]|['\u2019\-]){2,40})",
    re.IGNORECASE,
)
# No shouting without such a word, and most messages have none.
_CAPITALS = re.compile(r"[A-Z\u00c0-\u00d6\u00d8-\u00de]{4}")
_LETTERS = re.compile(r"[^\W\d_]+")

# This many words in capitals one after another are shouting, as is this share of a text.
_RUN = 3
_LONG_WORD = 4
_SHARE = 0.6


def tone(reading: Reading, wanted: Wanted, settings: WordingSettings) -> Iterator[Sight]:
    """Give what strikes the eye, whatever the words mean."""
    text, start = reading.shown, None
    if _CAPITALS.search(text):
        start = shouting(text, _quiet_words(wanted, settings))
    if start is not None:
        yield Kind.CAPITALS, start
    if match := _UNTIDY.search(text):
        yield Kind.PUNCTUATION, match.start()
    if match := _PLACEHOLDER.search(text):
        yield Kind.PLACEHOLDER, match.start()
    if (start := _miscased_name(text, wanted)) is not None:
        yield Kind.NAME_CASE, start


def _quiet_words(wanted: Wanted, settings: WordingSettings) -> frozenset[str]:
    """Give the words that may stand in capitals: abbreviations, and names as systems keep them."""
    names = (*settings.organisation_names, *(" ".join(name) for name in wanted.family))
    return settings.abbreviations.union(
        (part.upper() for name in names for part in parts_of(name)),
        (part.upper() for part in wanted.given_parts),
    )


def shouting(text: str, quiet: frozenset[str]) -> int | None:
    """Give where a text begins to shout, None when it does not."""
    if text.islower() or not text:
        return None
    place = 0
    run = long = capitals = letters = 0
    began = first = -1
    for chunk in text.split():
        place = text.index(chunk, place)
        word = "".join(_LETTERS.findall(chunk)) if not chunk.isalpha() else chunk
        letters += len(word)
        if word.isupper() and not any(map(str.isdecimal, chunk)):
            if run == 0:
                began = place
            run += 1
            if len(word) >= _LONG_WORD and word not in quiet:
                long += 1
                capitals += len(word)
                first = place if first < 0 else first
            if run >= _RUN and long > 1:
                return began
        elif word:
            run = long = 0
        place += len(chunk)
    return first if letters > 2 * _LONG_WORD and capitals >= _SHARE * letters else None


def _miscased_name(text: str, wanted: Wanted) -> int | None:
    for match in _GREETING.finditer(text):
        name = match.group(1)
        if name.istitle() or not (name.islower() or name.isupper()):
            continue
        if parts_of(name) in wanted.given:
            return match.start(1)
    return None


def names_the_sender(readings: list[Reading], settings: WordingSettings) -> bool:
    """Tell whether any name of the organisation stands in the message; true when none is known."""
    names = _sought(settings.organisation_names)
    return not names or any(name in reading.line for reading in readings for name in names)


@lru_cache(maxsize=64)
def _sought(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f" {' '.join(parts)} " for parts in map(parts_of, names) if parts)
