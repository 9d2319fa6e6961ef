"""Letters that are not what they seem: look-alikes within a word, and what nobody can see."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from fhirmsg.guidance.wording.reading import HIDDEN

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNSEEN = re.compile(f"[{HIDDEN}]")
_WORD = re.compile(r"[^\W\d_]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")

# Scripts with letters that print like Latin ones.
_DECEIVING = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "MATHEMATICAL")
# Honest Greek letters of units.
_UNITS = frozenset("\u00b5\u03bc\u03a9\u2126")

_JOINERS = frozenset("\u200c\u200d")
_DIRECTION_MARKS = frozenset("\u200e\u200f\u061c")
_EMOJI_STYLES = frozenset("\ufe0e\ufe0f")
_FLAG, _TAGS_END = "\U0001f3f4", "\U000e007f"


def hidden_characters(text: str) -> Iterator[int]:
    """Give where characters stand that no reader sees and no honest text needs."""
    if text.isascii():
        for match in _CONTROLS.finditer(text):
            yield match.start()
        return
    right_to_left: bool | None = None
    flag_ends = -1
    for match in _UNSEEN.finditer(text):
        at, character = match.start(), match.group()
        if character in _EMOJI_STYLES or at <= flag_ends:
            continue
        if character in _JOINERS and _joins_no_latin(text, at):
            continue
        if character in _DIRECTION_MARKS:
            if right_to_left is None:
                right_to_left = _is_right_to_left(text)
            if right_to_left:
                continue
        # The flags of Wales, Scotland and England are a black flag and unseen tag letters.
        if character >= "\U000e0000" and text[at - 1 : at] == _FLAG:
            flag_ends = text.find(_TAGS_END, at, at + 8)
            if flag_ends >= 0:
                continue
        yield at


def mixed_words(text: str) -> Iterator[int]:
    """Give where words start that mix Latin letters with others that look like them."""
    if text.isascii() or not any(map(_deceives, set(_NOT_ASCII.findall(text)))):
        return
    for match in _WORD.finditer(text):
        word = match.group()
        if not word.isascii() and is_mixed(word):
            yield match.start()


def is_mixed(word: str) -> bool:
    """Tell whether a word mixes Latin letters with look-alikes, or is in a fancy alphabet."""
    foreign = [each for each in word if _deceives(each)]
    return bool(foreign) and (
        any(_script(each) == "MATHEMATICAL" for each in foreign)
        or any(_script(each) == "LATIN" for each in word)
    )


def _deceives(character: str) -> bool:
    return _script(character) in _DECEIVING and character not in _UNITS


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    return "MATHEMATICAL" if name.startswith("FULLWIDTH LATIN") else name.partition(" ")[0]


def _joins_no_latin(text: str, at: int) -> bool:
    around = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    return bool(around) and not any(
        each.isascii() or _script(each) == "LATIN" or unicodedata.category(each) == "Cf"
        for each in around
        if each not in _EMOJI_STYLES
    )


def _is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(each) in ("R", "AL") for each in set(text) - _UNIGNORED)


# Right-to-left themselves, they say nothing of the letters around them.
_UNIGNORED = _DIRECTION_MARKS
