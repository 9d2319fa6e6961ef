"""The patient's own details in a text, and NHS numbers, whoever's they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise

from fhirmsg.guidance.wording.facts import KnownIdentifiers
from fhirmsg.guidance.wording.observation import Kind
from fhirmsg.guidance.wording.reading import Reading, parts_of
from fhirmsg.guidance.wording.tables import (
    BEFORE_A_DATE,
    HOUSE_PARTS,
    IN_DATES,
    MONTHS,
    STREETS,
)

Sequences = tuple[tuple[str, ...], ...]
Sight = tuple[Kind, int]

_DIGITS = re.compile(r"\d+")
_BETWEEN_DIGITS = frozenset(" \t\n\r-./_,()\u2010\u2013\u2014\u2212\u00b7")
_WIDEST_GAP = 3

# First digits of numbers given out in England, Wales, the Isle of Man and Northern Ireland, and
# of those kept for tests. Others are Scottish numbers, and telephone or reference numbers.
_FIRST_DIGITS = frozenset("34679")
_WEIGHTS = range(10, 1, -1)

_BORN = ("dob", "date of birth", "d o b", "born on", "dyddiad geni")


class Wanted:
    """A patient's details in the forms in which texts are searched for them."""

    def __init__(self, about: KnownIdentifiers) -> None:
        """Bring every detail into runs of letters and digits."""
        self.given = _names(about.given)
        self.family = _names(about.family)
        self.given_parts = frozenset(part for name in self.given for part in name)
        self.born = about.born
        self.nhs_number = "".join(_DIGITS.findall(about.nhs_number or ""))
        self.postcode = _postcode_forms(about.postcode)
        self.address = _address_forms(about.address_lines)


def personal_details(reading: Reading, wanted: Wanted) -> Iterator[Sight]:
    """Give each detail found and where it starts."""
    for start in nhs_numbers(reading.plain, wanted.nhs_number):
        yield Kind.NHS_NUMBER, start
    for start in full_names(reading, wanted):
        yield Kind.FULL_NAME, start
    for start in birth_dates(reading, wanted.born):
        yield Kind.BIRTH_DATE, start
    for form in wanted.postcode:
        for at in reading.indices(form):
            yield Kind.POSTCODE, reading.part_spans[at][0]
    for start in _addresses(reading, wanted.address):
        yield Kind.ADDRESS, start


def has_valid_check_digit(number: str) -> bool:
    """Tell whether ten digits end in their modulus 11 check digit.

    Source: NHS Data Dictionary, "NHS NUMBER". A remainder that calls for 10 is never given out.
    """
    total = sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False))
    return (11 - total % 11) % 11 == int(number[9])


def nhs_numbers(plain: str, known: str = "") -> Iterator[int]:
    """Give where NHS numbers start: whole groups of digits, ten in all, a little apart."""
    groups = [match.span() for match in _DIGITS.finditer(plain)]
    joined = [
        right[0] - left[1] <= _WIDEST_GAP and _BETWEEN_DIGITS.issuperset(plain[left[1] : right[0]])
        for left, right in pairwise(groups)
    ]
    for first, (start, _) in enumerate(groups):
        digits, at = "", first
        while len(digits) < 10:
            digits += plain[groups[at][0] : groups[at][1]]
            if at >= len(joined) or not joined[at]:
                break
            at += 1
        if len(digits) == 10 and (digits == known or _is_an_nhs_number(digits, plain, start)):
            yield start


def _is_an_nhs_number(digits: str, plain: str, start: int) -> bool:
    # After the country code, ten digits are a telephone number without its zero.
    before = plain[max(0, start - 6) : start].rstrip(" -.()")
    return (
        digits[0] in _FIRST_DIGITS
        and has_valid_check_digit(digits)
        and not before.endswith(("+44", "0044"))
    )


def full_names(reading: Reading, wanted: Wanted) -> Iterator[int]:
    """Give where a given name and a surname stand together, in either order."""
    for family in wanted.family:
        for at in reading.indices(family):
            after = at + len(family)
            if _given_before(reading, at, wanted) or _given_after(reading, after, wanted):
                yield reading.part_spans[at][0]


def _given_before(reading: Reading, at: int, wanted: Wanted) -> bool:
    for back in (1, 2, 3):
        if back > at or _parted(reading, at - back, at - back + 1, ".,;:!?\n()"):
            return False
        if _ends_with_given(reading.parts[max(0, at - back - 2) : at - back + 1], wanted):
            return True
        if len(reading.parts[at - back]) > 1:
            return False
    return False


def _ends_with_given(parts: list[str], wanted: Wanted) -> bool:
    return any(tuple(parts[-len(name) :]) == name for name in wanted.given)


def _given_after(reading: Reading, at: int, wanted: Wanted) -> bool:
    return any(
        tuple(reading.parts[at : at + len(name)]) == name
        and not _parted(reading, at - 1, at, ".;!?\n")
        for name in wanted.given
    )


def _parted(reading: Reading, left: int, right: int, marks: str) -> bool:
    spans = reading.part_spans
    gap = reading.plain[spans[left][1] : spans[right][0]]
    # The point of an initial or a title does not part a name.
    if gap.strip() == "." and spans[left][1] - spans[left][0] == 1:
        return False
    return any(mark in gap for mark in marks)


def birth_dates(reading: Reading, born: date | None) -> Iterator[int]:
    """Give where the patient's birth date stands, or any date that is said to be one."""
    if born is not None:
        years = (str(born.year), f"{born.year % 100:02}")
        if any(f" {year} " in reading.line for year in years):
            for at, part in enumerate(reading.parts):
                if part in years and _is_day_of_birth(reading.parts, at, born):
                    yield reading.part_spans[max(0, at - 3)][0]
        for compact in (f"{born:%d%m%Y}", f"{born:%Y%m%d}"):
            for at in reading.indices((compact,)):
                yield reading.part_spans[at][0]
    for words in _BORN:
        if words in reading.line:
            for at in reading.indices(tuple(words.split())):
                after = at + len(words.split())
                if _is_a_date(reading.parts[after : after + 8]):
                    yield reading.part_spans[at][0]


def _is_day_of_birth(parts: list[str], at: int, born: date) -> bool:
    before = [each for each in parts[max(0, at - 5) : at] if each not in IN_DATES][-2:]
    after = parts[at + 1 : at + 3]
    wanted = sorted((born.day, born.month))
    for pair in (before, after if len(parts[at]) == 4 else []):
        numbers = [_number(each) for each in pair]
        if sorted(numbers) == wanted:
            named = next((each for each in pair if each in MONTHS), None)
            if named is None or MONTHS[named] == born.month:
                return True
    return False


def _number(part: str) -> int:
    if part in MONTHS:
        return MONTHS[part]
    return int(part) if part.isdecimal() and len(part) <= 2 else 0


def _is_a_date(parts: list[str]) -> bool:
    following = [each for each in parts if each not in IN_DATES]
    if following and following[0] in BEFORE_A_DATE:
        following.pop(0)
    if following and following[0].isdecimal() and len(following[0]) in (6, 8):
        return True
    return len(following) > 2 and all(each.isdecimal() or each in MONTHS for each in following[:3])


def _addresses(reading: Reading, forms: Sequences) -> Iterator[int]:
    if not forms:
        return
    parts = [STREETS.get(part, part) for part in reading.parts]
    line = f" {' '.join(parts)} "
    for form in forms:
        at = line.find(f" {' '.join(form)} ")
        if at >= 0:
            yield reading.part_spans[line.count(" ", 0, at + 1) - 1][0]


def _names(written: tuple[str, ...]) -> Sequences:
    found: dict[tuple[str, ...], None] = {}
    for name in written:
        parts = parts_of(name)
        if len("".join(parts)) > 1:
            found[parts] = None
            found[("".join(parts),)] = None
    return tuple(found)


def _postcode_forms(written: str | None) -> Sequences:
    glued = "".join(parts_of(written or ""))
    if not 5 <= len(glued) <= 7:
        return ()
    return tuple(dict.fromkeys((parts_of(glued), parts_of(f"{glued[:-3]} {glued[-3:]}"))))


def _address_forms(lines: tuple[str, ...]) -> Sequences:
    """Give what only this address says: a line with a number, or a house with its street.

    A street without a number is where the surgery may be too, so it does not count alone.
    """
    read = [tuple(STREETS.get(part, part) for part in parts_of(line)) for line in lines]
    read = [line for line in read if line]
    forms: dict[tuple[str, ...], None] = {}
    for place, line in enumerate(read):
        numbered = any(part.isdecimal() for part in line)
        names = [part for part in line if not part.isdecimal() and part not in HOUSE_PARTS]
        if numbered and any(len(name) > 1 for name in names):
            forms[line] = None
        if place == 0 and len(read) > 1:
            forms[line + read[1]] = None
    return tuple(forms)
