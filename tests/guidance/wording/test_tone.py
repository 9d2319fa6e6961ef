"""What makes a message look like a scam, and letters that are not what they seem."""

from __future__ import annotations

import pytest

from fhirmsg.guidance.wording import Kind, WordingSettings
from fhirmsg.guidance.wording.reading import LOOKALIKES, folded
from tests.guidance.wording.parts import EMPTY, SETTINGS, kinds


@pytest.mark.parametrize(
    "text",
    [
        "YOU MUST BOOK TODAY",
        "PLEASE BRING YOUR LETTER to us",
        "CALL RECEPTION TODAY!",
        "RING SIÂN TODAY AT HOME",
    ],
)
def test_shouting_is_seen(text: str) -> None:
    assert Kind.CAPITALS in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "NHS GP MRI CT ECG COPD ADHD NHS",
        "Please DO NOT reply",
        "IMPORTANT: call us",
        "Reply YES or NO or STOP",
        "Dear SIÂN OKAFOR-HUGHES of OAK LANE SURGERY",
        "LS1 4AP, B12, M25",
        "I A O",
        "YES",
        "",
    ],
)
def test_abbreviations_and_names_in_capitals_are_no_shouting(text: str) -> None:
    assert Kind.CAPITALS not in kinds(text, settings=SETTINGS)


@pytest.mark.parametrize(
    "text", ["call us!!", "why??", "what?!", "call  us", "call us , now", "a,,b"]
)
def test_untidy_marks_are_seen(text: str) -> None:
    assert Kind.PUNCTUATION in kinds(text)


@pytest.mark.parametrize(
    "text", ["Call us.  We are open.", "Hi!\n\n  - one", "well...", "a, b; c", "Hi?"]
)
def test_ordinary_marks_are_left_alone(text: str) -> None:
    assert Kind.PUNCTUATION not in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "((firstName))",
        "{{ name }}",
        "<<date>>",
        "${x}",
        "[insert date]",
        "[Patient Name]",
        "{first_name}",
        "<NAME>",
        "%FIRSTNAME%",
    ],
)
def test_a_placeholder_is_seen(text: str) -> None:
    assert Kind.PLACEHOLDER in kinds(f"Dear {text},")


@pytest.mark.parametrize("text", ["(or call)", "[1]", "5 < 6 > 4", "50% name", "{", "(see (b))"])
def test_brackets_are_no_placeholder(text: str) -> None:
    assert Kind.PLACEHOLDER not in kinds(text)


@pytest.mark.parametrize("text", ["Dear siân,", "Hi SIÂN", "Annwyl SIÂN"])
def test_a_name_in_wrong_capitals_is_seen(text: str) -> None:
    assert Kind.NAME_CASE in kinds(text)


@pytest.mark.parametrize("text", ["Dear Siân,", "dear patient", "Dear MR X", "we like siân"])
def test_a_name_as_it_is_written_is_left_alone(text: str) -> None:
    assert Kind.NAME_CASE not in kinds(text)


@pytest.mark.parametrize(
    "text", ["From Oak Lane Surgery.", "OAK LANE SURGERY", "Oak-Lane surgery's"]
)
def test_a_sender_that_is_named_is_found(text: str) -> None:
    assert Kind.SENDER_NOT_NAMED not in kinds(text, settings=SETTINGS)


@pytest.mark.parametrize(
    "text", ["From the surgery.", "Oak Lane", "https://oak-lane-surgery.nhs.uk"]
)
def test_a_sender_that_is_not_named_is_missed(text: str) -> None:
    assert Kind.SENDER_NOT_NAMED in kinds(text, settings=SETTINGS)


def test_the_subject_may_name_the_sender() -> None:
    found = kinds("Please call.", subject="Oak Lane Surgery", channel="email", settings=SETTINGS)
    assert found == set()


def test_no_sender_is_missed_when_no_name_is_known() -> None:
    assert Kind.SENDER_NOT_NAMED not in kinds("Hello.", settings=WordingSettings())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Act now.", Kind.PRESSURE),
        ("This is your FINAL WARNING", Kind.PRESSURE),
        ("Don’t delay", Kind.PRESSURE),
        ("Pay now", Kind.MONEY),
        ("Send your sort code", Kind.MONEY),
        ("Reply with your date of birth", Kind.PERSONAL_DETAILS),
        ("Confirm your NHS number", Kind.PERSONAL_DETAILS),
        ("Enter your PIN", Kind.PERSONAL_DETAILS),
    ],
)
def test_what_scam_messages_say_is_seen(text: str, kind: Kind) -> None:
    assert kind in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "You may act now as you did before? No: be active now.",
        "We never ask for your bank details, PIN or password.",
        "The pin in your hip is fine to give no trouble.",
        "Have your NHS number to hand when you call.",
        "An urgent appointment is free.",
        "Call 999 immediately if you feel worse.",
    ],
)
def test_what_resembles_a_scam_is_left_alone(text: str) -> None:
    assert not kinds(text) & {Kind.MONEY, Kind.PERSONAL_DETAILS}


@pytest.mark.parametrize(
    "text",
    ["your раtient account", "pаypal", "Νorth", "ｐｌａｉｎ", "𝐛𝐨𝐥𝐝", "Օpen"],
)
def test_look_alike_letters_are_seen(text: str) -> None:
    assert Kind.LOOKALIKE_LETTERS in kinds(text, lexicon=EMPTY)


@pytest.mark.parametrize(
    "text",
    [
        "Siân, tŷ, gŵyl",
        "Łódź, naïve, Ørsted",
        "прийом у лікаря",
        "τεστ",
        "5 μg",
        "β-blocker",
        "你好",
        "café",
    ],
)
def test_letters_of_one_alphabet_are_left_alone(text: str) -> None:
    assert Kind.LOOKALIKE_LETTERS not in kinds(text, lexicon=EMPTY)


@pytest.mark.parametrize(
    "text",
    [
        "a\u200bb",
        "a\u00adb",
        "\u202eabc",
        "\u2066a",
        "a\ufeff",
        "a\u200db",
        "a\x07",
        "a\u200fb",
        "x\U000e0061",
    ],
)
def test_hidden_characters_are_seen(text: str) -> None:
    assert Kind.HIDDEN_CHARACTERS in kinds(text, lexicon=EMPTY)


@pytest.mark.parametrize(
    "text",
    [
        "a\tb\r\nc",
        "👩\u200d⚕️ 🙂 ❤️",
        "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
        "می\u200cخواهم",
        "שלום\u200f!",
        "1️⃣",
    ],
)
def test_characters_that_honest_text_needs_are_left_alone(text: str) -> None:
    assert Kind.HIDDEN_CHARACTERS not in kinds(text, lexicon=EMPTY)


def test_every_look_alike_is_read_as_one_latin_letter() -> None:
    assert all(len(letter) == 1 and letter.isascii() for letter in LOOKALIKES.values())
    assert folded("".join(LOOKALIKES)) == "".join(LOOKALIKES.values())
