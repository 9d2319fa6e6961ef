"""inspect(): where things are seen, what is said of them, and that no text breaks it."""

from __future__ import annotations

from datetime import date
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhirmsg.guidance.terms import Channel, Purpose
from fhirmsg.guidance.wording import (
    Kind,
    KnownIdentifiers,
    Lexicon,
    MessageText,
    Place,
    Topic,
    WordingSettings,
    inspect,
    safer_wording,
)
from fhirmsg.guidance.wording.observation import observed
from tests.bench.wording import LONGEST, SLOW
from tests.guidance.wording.parts import EMPTY, LEXICON, PATIENT, SETTINGS, kinds, seen


def places(body: str, kind: Kind, **message: object) -> set[Place]:
    return {each.place for each in seen(body, **message) if each.kind is kind}  # type: ignore[arg-type]


def test_what_stands_at_the_beginning_shows_on_a_locked_screen() -> None:
    assert places("Your HIV review", Kind.CONDITION) == {Place.BODY, Place.PREVIEW}
    assert places("-" * 99 + " HIV", Kind.CONDITION) == {Place.BODY}
    assert places("-" * 98 + " HIV", Kind.CONDITION) == {Place.BODY, Place.PREVIEW}


def test_the_subject_of_an_email_shows_first() -> None:
    shown = {Place.SUBJECT, Place.PREVIEW}
    assert places("Dear", Kind.CONDITION, subject="HIV", channel=Channel.EMAIL) == shown
    long = "-" * 97
    assert places("HIV", Kind.CONDITION, subject=long, channel=Channel.EMAIL) == {
        Place.BODY,
        Place.PREVIEW,
    }
    longer = "-" * 99
    assert places("HIV", Kind.CONDITION, subject=longer, channel=Channel.EMAIL) == {Place.BODY}


@pytest.mark.parametrize("channel", [Channel.NHS_APP, Channel.LETTER, Channel.VOICE])
def test_other_channels_show_nothing_on_a_locked_screen(channel: Channel) -> None:
    assert places("HIV", Kind.CONDITION, channel=channel) == {Place.BODY}


def test_a_platform_may_say_what_a_locked_screen_shows() -> None:
    assert places("HIV", Kind.CONDITION, preview="You have a message") == {Place.BODY}
    assert places("Hello", Kind.CONDITION, preview="HIV", channel=Channel.NHS_APP) == {
        Place.PREVIEW
    }


def test_a_word_in_a_link_is_seen_in_the_link() -> None:
    assert places("https://x.nhs.uk/hiv", Kind.CONDITION) == {Place.LINK, Place.PREVIEW}


def test_only_what_is_confidential_counts_on_a_locked_screen() -> None:
    for each in seen("Act now!! Pay now http://bit.ly/x HIV"):
        assert each.place is not Place.PREVIEW or each.topic is Topic.CONFIDENTIAL


@pytest.mark.parametrize(
    "text",
    [
        "HbA1c 48 mmol/mol",
        "48mmol/mol",
        "BP 140/90",
        "blood pressure 140 over 90",
        "2.5 mg",
        "TSH 4.1",
        "all clear",
        "The test was positive.",
        "positive",
    ],
)
def test_results_and_values_are_seen(text: str) -> None:
    assert Kind.RESULT in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "positive feedback",
        "HbA1c test on 12 May",
        "open 24/7",
        "12/5 at 9",
        "500 ml of water",
        "10.30am, room 5",
        "as normal",
        "normal opening hours",
        "the way is clear",
        "PSA",
    ],
)
def test_what_resembles_a_result_is_left_alone(text: str) -> None:
    assert Kind.RESULT not in kinds(text)


def test_each_thing_is_said_once_for_each_place() -> None:
    found = seen("HIV HIV https://x.nhs.uk/hiv https://x.nhs.uk/hiv", subject="HIV HIV")
    assert len(found) == len(set(found))


def test_every_kind_has_a_topic_and_a_sentence_for_a_clinician() -> None:
    for kind in Kind:
        for place in Place:
            sentence = observed(kind, place, label="HIV").sentence
            assert sentence.endswith(".")
            assert sentence[0].isupper()
            assert "{" not in sentence
        assert kind.topic in Topic


SENTENCES = {
    observed(kind, place, category=name, label=label).sentence
    for kind in Kind
    for place in Place
    for name, label in (*LEXICON.labels.items(), (None, None))
}

fragments = st.sampled_from(
    [
        *("HIV", "positive", "feedback", "943 476 5919", "Siân ", "Okafor-Hughes", "14/05/1962"),
        *("https://", "www.", "nhs.uk", "/", "?dob=", "@", "%41", "%", "%FF", "[", "\\", "xn--"),
        *("\u200b", "\u202e", "\u200d", "🏴", "\U000e0067", "\U000e007f", "\u0301", "ﷺ", "İ", "ß"),
        *("а", "ŵ", "\ud800", "\x00", "\n\n", "  ", ".", "!", "((", "{{", "Dear ", "ABCD EFGH "),
        *("27 Larkspur Avenue", "ZZ9 4QX", "BP 140/90", "date of birth ", "never ", "INR 2"),
    ]
)
texts = st.lists(fragments | st.text(max_size=6), max_size=14).map("".join)


@given(texts, st.none() | texts, st.none() | texts, st.sampled_from(Channel))
@example("\ud800\udfff", None, "\x00", Channel.SMS)
def test_no_text_breaks_it_and_no_sentence_quotes_it(
    body: str, subject: str | None, preview: str | None, channel: Channel
) -> None:
    text = MessageText(body=body, subject=subject, preview=preview, channel=channel)
    found = inspect(text, PATIENT, LEXICON, SETTINGS)
    assert {each.sentence for each in found} <= SENTENCES
    assert found == inspect(text, PATIENT, LEXICON, SETTINGS)


@given(st.text("qxzjkvw", min_size=4, max_size=12), fragments)
def test_a_word_of_the_text_is_in_no_sentence(word: str, fragment: str) -> None:
    for each in seen(f"{word} {fragment} {word} act now https://{word}.example/{word}"):
        assert word not in each.sentence
        assert word not in repr(each)


@given(
    st.lists(st.text(max_size=6), max_size=2).map(tuple),
    st.lists(st.text(max_size=6), max_size=2).map(tuple),
    st.none() | st.dates(),
    st.none() | st.text(max_size=12),
    st.lists(st.text(max_size=9), max_size=3).map(tuple),
    texts,
)
def test_no_patient_breaks_it(
    given_names: tuple[str, ...],
    family: tuple[str, ...],
    born: date | None,
    written: str | None,
    lines: tuple[str, ...],
    body: str,
) -> None:
    about = KnownIdentifiers(
        given=given_names,
        family=family,
        born=born,
        nhs_number=written,
        address_lines=lines,
        postcode=written,
    )
    seen(body + " ".join((*given_names, *family, *lines)) + str(born), about=about)


def test_the_text_is_not_printed() -> None:
    assert "HIV" not in repr(MessageText(body="HIV", subject="HIV", channel=Channel.SMS))


@pytest.mark.parametrize("piece", SLOW.values(), ids=SLOW)
def test_the_longest_text_stays_quick(piece: str) -> None:
    began = process_time()
    seen((piece * LONGEST)[:LONGEST])
    assert process_time() - began < 2


PURPOSES = (
    Purpose.TEST_RESULT,
    Purpose.APPOINTMENT,
    Purpose.PRESCRIPTION,
    Purpose.INVITATION,
    Purpose.INDIVIDUAL_CARE,
)


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("telephone", [None, "0113 496 0101"])
@pytest.mark.parametrize("portal", [None, "the NHS App"])
def test_a_safer_wording_names_the_organisation_and_nothing_else(
    purpose: Purpose, telephone: str | None, portal: str | None
) -> None:
    text = safer_wording(purpose, LEXICON, SETTINGS, telephone=telephone, portal=portal)
    assert text is not None
    assert text.startswith("Oak Lane Surgery: ")
    assert (telephone or "number") in text
    assert seen(text, settings=SETTINGS) == ()


def test_an_organisation_whose_name_says_too_much_is_called_by_another() -> None:
    names = ("Riverside Sexual Health", "Riverside NHS Trust")
    settings = WordingSettings(organisation_names=names)
    text = safer_wording(Purpose.TEST_RESULT, LEXICON, settings)
    assert text is not None
    assert text.startswith("Riverside NHS Trust: ")
    alone = WordingSettings(organisation_names=names[:1])
    assert safer_wording(Purpose.TEST_RESULT, LEXICON, alone) is None


def test_there_is_no_safer_wording_for_what_is_not_care() -> None:
    for purpose in set(Purpose) - set(PURPOSES):
        assert safer_wording(purpose, LEXICON, SETTINGS) is None
    assert safer_wording(Purpose.APPOINTMENT, LEXICON, WordingSettings()) is None


def test_an_empty_lexicon_still_leaves_the_other_checks() -> None:
    assert isinstance(EMPTY, Lexicon)
    assert Kind.NHS_NUMBER in kinds("943 476 5919", lexicon=EMPTY)
