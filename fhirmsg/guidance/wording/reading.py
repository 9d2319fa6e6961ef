"""A text as its reader takes it: words in one letter case, without accents, with their places."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import cached_property

# Letters of other alphabets that print like Latin ones, so that a disguised word is still read.
LOOKALIKES = dict(
    zip(
        "аеорсухіјѕһԁԛԝкмтнвгпАВЕКМНОРСТУХІЈЅҺαορνικτυχγεηωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
        "aeopcyxijshdqwkmthbrnabekmhopctyxijshaopviktuxyenwabezhikmnoptyx",
        strict=True,
    )
)

# Seen by nobody: soft hyphen, zero widths, direction marks, tags, and blanks that are letters.
HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f"
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
)
_HIDDEN = re.compile(f"[{HIDDEN}]+")
# Marks that stand on Latin letters, where no composed letter exists.
_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_NOT_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
PART = re.compile(r"\d+|[^\W\d_]+")
_SPELT = re.compile(r"(?<![^\W_])[^\W\d_](?:[ .\-*_]{1,2}[^\W\d_](?![^\W_])){2,}")

_INSIDE_PHRASES = frozenset(" \t\r\n-\u2010/'_*&\"")
_SENTENCE_END = re.compile(r"[.!?](?!\S)|\n\s*\n|[.!?]$")
_CLAUSE_END = re.compile(r"[.!?,;:()\n\u2013\u2014]")


class _Fold(dict[int, str]):
    """Maps any character to the one letter it is read as."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character.isdecimal():
            return str(int(character))
        base = unicodedata.normalize("NFD", character)[0]
        plain = LOOKALIKES.get(base) or LOOKALIKES.get(base.lower()) or base.lower()[:1]
        folded = "'" if plain in "’ʼ‘`" else plain
        # Not kept for every character there is: the mapping lives as long as the process.
        if len(self) < 4096:
            self[code] = folded
        return folded


_FOLD = _Fold()


def shown(text: str) -> str:
    """Give the text without what cannot be seen, in the usual form of each character."""
    if text.isascii():
        return _NOT_LINES.sub("", text)
    composed = unicodedata.normalize("NFKC", _HIDDEN.sub("", text))
    if composed.isascii():
        return composed
    return _MARKS.sub("", composed)


def folded(text: str) -> str:
    """Give a shown text in small letters without accents, character for character."""
    if text.isascii():
        return text.lower()
    return _NOT_ASCII.sub(lambda match: _FOLD[ord(match.group())], text).lower()


def words_of(text: str) -> tuple[str, ...]:
    """Give the words of a term or a name as they are compared."""
    return tuple(map(_bare, WORD.findall(folded(shown(text)))))


def parts_of(text: str) -> tuple[str, ...]:
    """Give the runs of letters and of digits of a text."""
    return tuple(PART.findall(folded(shown(text))))


def _bare(word: str) -> str:
    return word[:-2] if word.endswith("'s") else word


class Reading:
    """One text, read once.

    shown: what a reader sees. plain: the same length, small letters, no accents.
    loose: anything may stand between the words of a phrase, as in a link.
    """

    def __init__(self, text: str, *, loose: bool = False) -> None:
        """Read a text that `shown` has been applied to."""
        self.shown = text
        self.plain = folded(text)
        self.loose = loose
        self.words: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        for match in WORD.finditer(self.plain):
            start, end = match.span()
            word = self.plain[start:end]
            self.words.append(_bare(word) if "'" in word else word)
            self.starts.append(start)
            self.ends.append(end)

    @cached_property
    def parts(self) -> list[str]:
        """Runs of letters and of digits, in order."""
        return PART.findall(self.plain)

    @cached_property
    def line(self) -> str:
        """The parts with one space around each, to look for sequences of them."""
        return f" {' '.join(self.parts)} "

    @cached_property
    def part_spans(self) -> list[tuple[int, int]]:
        """Where each part stands."""
        return [match.span() for match in PART.finditer(self.plain)]

    def spelt(self) -> list[tuple[str, int]]:
        """Words spelt letter by letter, as `H.I.V.`, and where they start."""
        return [
            ("".join(filter(str.isalpha, match.group())), match.start())
            for match in _SPELT.finditer(self.plain)
        ]

    def hold_together(self, first: int, last: int) -> bool:
        """Tell whether the words from first to last read as one phrase."""
        if self.loose:
            return True
        for at in range(first, last):
            gap = self.plain[self.ends[at] : self.starts[at + 1]]
            if gap != " " and (len(gap) > 8 or not _INSIDE_PHRASES.issuperset(gap)):
                return False
            if gap.count("\n") > 1:
                return False
        return True

    def ends_a_sentence(self, at: int) -> bool:
        """Tell whether a sentence ends between this word and the next."""
        return bool(_SENTENCE_END.search(self.plain[self.ends[at] : self.starts[at + 1] + 1]))

    def ends_a_clause(self, at: int) -> bool:
        """Tell whether a mark that separates stands between this word and the next."""
        gap = self.plain[self.ends[at] : self.starts[at + 1]]
        return gap != " " and bool(_CLAUSE_END.search(gap))

    def indices(self, sequence: tuple[str, ...]) -> list[int]:
        """Where a sequence of parts begins, counted in parts."""
        wanted = f" {' '.join(sequence)} "
        found: list[int] = []
        if not sequence:
            return found
        spaces: list[int] | None = None
        at = self.line.find(wanted)
        while at >= 0:
            if spaces is None:
                spaces = [place for place, each in enumerate(self.line) if each == " "]
            found.append(bisect_right(spaces, at) - 1)
            at = self.line.find(wanted, at + 1)
        return found
