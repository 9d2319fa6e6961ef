"""Parts and alphabet of text messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.guidance.wording import Alphabet, Kind, sms_size
from fhirmsg.guidance.wording.sms import _BASIC, _EXTENSION
from tests.guidance.wording.parts import EMPTY, kinds


@pytest.mark.parametrize(
    ("text", "alphabet", "units", "parts"),
    [
        ("", Alphabet.GSM, 0, 1),
        ("a" * 160, Alphabet.GSM, 160, 1),
        ("a" * 161, Alphabet.GSM, 161, 2),
        ("a" * 306, Alphabet.GSM, 306, 2),
        ("a" * 307, Alphabet.GSM, 307, 3),
        ("a" * 918, Alphabet.GSM, 918, 6),
        ("€" * 80, Alphabet.GSM, 160, 1),
        ("a" * 152 + "€" + "a" * 152, Alphabet.GSM, 306, 3),  # the euro is not cut in half
        ("ŵ" * 70, Alphabet.UCS2, 70, 1),
        ("ŵ" * 71, Alphabet.UCS2, 71, 2),
        ("ŵ" * 134, Alphabet.UCS2, 134, 2),
        ("ŵ" * 135, Alphabet.UCS2, 135, 3),
        ("🙂" * 35, Alphabet.UCS2, 70, 1),
        ("🙂" * 67, Alphabet.UCS2, 134, 3),
        ("àéù", Alphabet.GSM, 3, 1),
        ("â", Alphabet.UCS2, 1, 1),
    ],
)
def test_a_text_message_is_counted(text: str, alphabet: Alphabet, units: int, parts: int) -> None:
    size = sms_size(text)
    assert (size.alphabet, size.units, size.parts) == (alphabet, units, parts)


def test_the_alphabet_of_gsm_has_its_127_characters_and_ten_more() -> None:
    assert (len(_BASIC), len(_EXTENSION)) == (127, 10)


def slowly(text: str) -> tuple[int, int]:
    """Fill parts one character after another."""
    gsm = all(each in _BASIC or each in _EXTENSION for each in text)
    weights = [
        (2 if each in _EXTENSION else 1) if gsm else len(each.encode("utf-16-be")) // 2
        for each in text
    ]
    alone, linked = (160, 153) if gsm else (70, 67)
    if sum(weights) <= alone:
        return sum(weights), 1
    parts: list[list[int]] = [[]]
    for weight in weights:
        if sum(parts[-1]) + weight > linked:
            parts.append([])
        parts[-1].append(weight)
    return sum(weights), len(parts)


@given(
    st.lists(st.tuples(st.sampled_from("aZ €^{é\nŵ🙂’"), st.integers(1, 90)), max_size=12).map(
        lambda runs: "".join(letter * count for letter, count in runs)
    )
)
def test_the_counter_agrees_with_a_slow_one(text: str) -> None:
    size = sms_size(text)
    assert (size.units, size.parts) == slowly(text)


@given(st.text(st.sampled_from("ab€{ "), min_size=150, max_size=320))
def test_the_counter_agrees_with_a_slow_one_in_gsm(text: str) -> None:
    size = sms_size(text)
    assert (size.units, size.parts) == slowly(text)


def test_a_text_longer_than_a_text_message_can_be_is_seen() -> None:
    assert Kind.SMS_TOO_LONG not in kinds("ab " * 306, lexicon=EMPTY)
    assert Kind.SMS_TOO_LONG in kinds("ab " * 307, lexicon=EMPTY)
    assert Kind.SMS_TOO_LONG in kinds("€b " * 230, lexicon=EMPTY)
    assert Kind.SMS_TOO_LONG not in kinds("ab " * 400, lexicon=EMPTY, channel="email")


def test_typographic_marks_are_remarked_on_when_they_cost_a_part() -> None:
    assert Kind.SMS_ALPHABET in kinds("a" * 100 + "’", lexicon=EMPTY)
    assert Kind.SMS_ALPHABET not in kinds("a" * 20 + "’", lexicon=EMPTY)
    assert Kind.SMS_ALPHABET not in kinds("ŵ’" * 50, lexicon=EMPTY)
    assert Kind.SMS_ALPHABET not in kinds("a" * 100 + "’", lexicon=EMPTY, channel="email")
