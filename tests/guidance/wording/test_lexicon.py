"""The lexicon: how it is read, with every fault named, and how its terms are found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.guidance.wording import Kind, Lexicon, LexiconError
from fhirmsg.guidance.wording.terms import GROUPS
from tests.guidance.wording.parts import LEXICON, PACKAGED, kinds, seen


def a_lexicon(*terms: Any, group: str = "conditions", **category: Any) -> Lexicon:
    content = {"label": "a category", group: list(terms), **category}
    return Lexicon.from_mapping({"version": "1", "categories": {"it": content}})


def finds(text: str, *terms: Any, **category: Any) -> bool:
    lexicon = a_lexicon(*terms, **category)
    return any(each.category == "it" for each in seen(text, lexicon=lexicon))


def faults(mapping: object) -> tuple[str, ...]:
    with pytest.raises(LexiconError) as caught:
        Lexicon.from_mapping(mapping)
    return caught.value.faults


def test_the_packaged_lexicon_has_every_subject_the_guidance_makes_one_think_of() -> None:
    wanted = {
        "sexual-health", "hiv", "hepatitis", "pregnancy", "termination", "contraception",
        "mental-health", "alcohol-and-drugs", "abuse", "cancer", "genetics", "fertility",
        "safeguarding", "results", "pressure", "money", "personal-details",
    }  # fmt: skip
    assert wanted <= set(LEXICON.labels)
    assert LEXICON.size > 600


def test_a_term_is_found_in_any_letter_case_and_with_or_without_accents() -> None:
    for text in (
        "Iselder",
        "ISELDER",
        "isélder",
        "(iselder)",
        "iselder's",
        "iselder’s",
        "\niselder",
    ):
        assert finds(text, "iselder")
    assert finds("strôc", "stroc")
    assert finds("stroc", "strôc")
    assert finds("w\u0302yr", "ŵyr")


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("ointment", "your appointment"),
        ("hiv", "the archive, shiver, hives"),
        ("rape", "grapes, drapes, therapeutic"),
        ("sti", "still testing"),
        ("abuse", "disabused"),
        ("hep c", "hep cat"),
        ("ms", "terms"),
    ],
)
def test_no_term_is_found_inside_another_word(term: str, text: str) -> None:
    assert not finds(text, term)


def test_a_phrase_may_be_hyphenated_or_run_over_a_line() -> None:
    for text in (
        "sexual health",
        "sexual-health",
        "Sexual\nHealth",
        "sexual  health",
        "sexual/health",
    ):
        assert finds(text, "sexual health")


@pytest.mark.parametrize("text", ["all. Clear", "all, clear", "all\n\nclear", "all (clear)"])
def test_a_phrase_does_not_run_over_the_end_of_a_clause(text: str) -> None:
    assert not finds(text, "all clear")


def test_a_word_spelt_letter_by_letter_or_disguised_is_found() -> None:
    for text in ("H.I.V.", "h i v", "H-I-V", "H\u200bI\u00adV", "ＨＩＶ", "НІV", "𝐇𝐈𝐕"):
        assert finds(text, "hiv")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Your test is positive.", True),
        ("positive feedback", False),
        ("Feedback was positive.", False),
        ("positive patient feedback", False),
        ("positive. Feedback is welcome.", True),
        ("positive, please leave feedback", True),
        ("positive and your feedback is welcome", True),
        ("positive and negative feedback", False),
        ("positive as we said when you left feedback", True),
    ],
)
def test_unless_looks_beside_the_term_in_its_clause(text: str, found: bool) -> None:
    term = {"terms": ["positive"], "unless": ["feedback", "positive and negative feedback"]}
    assert finds(text, term) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("send your PIN", True),
        ("We never ask for your name, PIN or password.", False),
        ("We never write. Send your PIN.", True),
        ("We are at 10.30 never here to ask your PIN", False),
    ],
)
def test_unless_in_sentence_looks_at_the_whole_sentence(text: str, found: bool) -> None:
    assert finds(text, "pin", unless_in_sentence=["never"]) is found


def test_with_needs_another_word_in_the_sentence() -> None:
    term = {"terms": ["normal"], "with": ["your test"]}
    assert finds("Your test was normal.", term)
    assert not finds("Your test is on Monday. We are open as normal.", term)


def test_exact_needs_these_very_letters() -> None:
    term = {"terms": ["AIDS"], "exact": True}
    assert finds("AIDS clinic", term)
    assert not finds("hearing aids, Aids", term)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("INR 2.4", True),
        ("your INR is now 2.4", True),
        ("INR: 3", True),
        ("INR clinic on 12 May", False),
        ("INR at 10.30", False),
        ("INR. 3 of us", False),
        ("INR 10:30", False),
    ],
)
def test_a_measure_needs_its_number(text: str, found: bool) -> None:
    assert finds(text, "inr", group="measures") is found


def test_terms_in_links_are_found_when_run_together() -> None:
    for link in (
        "https://sexualhealth.x.nhs.uk",
        "https://x.nhs.uk/SexualHealth/book",
        "https://x.nhs.uk/book?for=sexual+health",
        "https://hivclinic.nhs.uk",
        "https://x.nhs.uk/%68iv",
    ):
        assert finds(link, "sexual health", "hiv")
    for link in ("https://archive.nhs.uk", "https://x.nhs.uk/shiver", "https://hivex.nhs.uk"):
        assert not finds(link, "sexual health", "hiv")


def test_every_group_has_its_kind() -> None:
    for group, kind in GROUPS.items():
        lexicon = a_lexicon("zzzz", group=group)
        assert {each.kind for each in seen("zzzz 1", lexicon=lexicon)} == {kind}


def test_every_term_of_the_packaged_lexicon_is_found_somehow() -> None:
    for name, category in PACKAGED["categories"].items():
        for group in GROUPS:
            for entry in category.get(group, ()):
                if isinstance(entry, str):
                    number = " 7" if group == "measures" else ""
                    found = {each.category for each in seen(f"{entry}{number}.")}
                    assert name in found, entry


def test_all_faults_are_named_at_once() -> None:
    named = faults(
        {
            "version": 1,
            "colour": "red",
            "categories": {
                "a": {"label": "A", "conditions": [True, "", "one two three four five six"]},
                "b": {"conditions": "hiv", "words": []},
                "c": {"label": "x" * 61, "drugs": [{"term": ["y"]}], "unless": "no"},
                "d": {"label": "D", "drugs": ["same", "Same", {"terms": ["z"], "exact": "maybe"}]},
                "e": [],
                7: {},
            },
        }
    )
    for part in (
        "version",
        "colour",
        "categories.a.conditions[0]",
        "categories.a.conditions[1]",
        "categories.a.conditions[2]",
        "categories.b.label",
        "'words'",
        "categories.b.conditions",
        "categories.c.label",
        "categories.c.drugs[0]",
        "categories.c.unless",
        "'same' stands twice",
        "exact",
        "categories.e",
        "a name is not text",
    ):
        assert any(part in fault for fault in named), part
    assert len(named) == len(set(named))


@pytest.mark.parametrize("mapping", [None, [], "x", {}, {"version": "1", "categories": {}}])
def test_what_is_no_lexicon_is_refused(mapping: object) -> None:
    assert faults(mapping)


def test_contexts_of_a_category_hold_for_all_its_terms() -> None:
    assert not finds("one x", "one", "two", unless=["x"])
    assert not finds("two x", "one", {"terms": ["two"], "unless": ["y"]}, unless=["x"])


def test_observations_name_the_category_by_its_label() -> None:
    (found,) = seen("zzzz", lexicon=a_lexicon("zzzz", label="the label"))[:1]
    assert (found.kind, found.category) == (Kind.CONDITION, "it")
    assert "(the label)" in found.sentence


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "version",
                        "categories",
                        "label",
                        "conditions",
                        "terms",
                        "unless",
                        "with",
                        "exact",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_data_is_a_lexicon_or_has_faults(data: object) -> None:
    try:
        named: tuple[str, ...] = ("none",)
        Lexicon.from_mapping(data)
    except LexiconError as error:
        named = error.faults
    assert named


def test_yes_and_no_of_a_reader_that_keeps_text_are_understood() -> None:
    assert not finds("Aids", {"terms": ["AIDS"], "exact": "true"})
    assert finds("Aids", {"terms": ["AIDS"], "exact": "false"})


@pytest.mark.parametrize(
    "text",
    ["your appointment about the ointment", "hearing aids", "the walking aids desk", "hand gel"],
)
def test_innocent_words_are_left_alone(text: str) -> None:
    assert not kinds(text)


def lexicon_of(**category: Any) -> dict[str, Any]:
    content = {"label": "A", "conditions": ["iselder"], **category}
    return {"version": "1", "categories": {"a": content}}


@pytest.mark.parametrize(
    ("mapping", "fault"),
    [
        (None, "The lexicon is not a mapping with the keys version and categories."),
        (
            {"version": "1", "categories": {}},
            "categories: is missing, empty or not a mapping of names to categories.",
        ),
        ({**lexicon_of(), "version": " "}, "version: is missing or not text."),
        (
            {**lexicon_of(), "colour": "red"},
            "the lexicon: the key 'colour' is not known; one of categories, version.",
        ),
        (lexicon_of(conditions=[]), "categories.a: has no terms."),
        (lexicon_of(label="x" * 61), "categories.a.label: is longer than 60 characters."),
        (
            lexicon_of(conditions=["one two three four five six"]),
            "categories.a.conditions[0]: 'one two three four five six' has more than 5 words.",
        ),
        (
            lexicon_of(conditions=[{"terms": []}]),
            "categories.a.conditions[0].terms: is missing, empty or not a list.",
        ),
        (
            lexicon_of(conditions=[{"terms": "iselder"}]),
            "categories.a.conditions[0].terms: is missing, empty or not a list.",
        ),
        (
            lexicon_of(conditions=[{"terms": ["iselder"], "exact": "maybe"}]),
            "categories.a.conditions[0].terms: exact: is neither true nor false.",
        ),
        (
            lexicon_of(conditions=[{"terms": ["iselder"], "unless": "no"}]),
            "categories.a.conditions[0].terms: unless: is not a list.",
        ),
        (
            lexicon_of(conditions=[{"terms": ["iselder"], "unless": [7]}]),
            "categories.a.conditions[0].terms: unless: a term is not text; write it in quotation "
            "marks.",
        ),
        (
            lexicon_of(conditions=["iselder", "Iselder"]),
            "categories.a: 'iselder' stands twice as condition.",
        ),
    ],
)
def test_a_fault_says_where_it_is_and_what_is_wrong(mapping: object, fault: str) -> None:
    assert faults(mapping) == (fault,)


def test_a_strange_key_is_named_with_those_that_are_known() -> None:
    (fault,) = faults(lexicon_of(conditions=[{"terms": ["iselder"], "colour": "red"}]))
    assert fault == (
        "categories.a.conditions[0]: the key 'colour' is not known; one of exact, terms, unless, "
        "unless_in_sentence, with."
    )
    (fault,) = faults(lexicon_of(colour="red"))
    assert fault.startswith("categories.a: the key 'colour' is not known; one of conditions, ")


def test_the_longest_label_and_the_longest_term_are_allowed() -> None:
    mapping = lexicon_of(label="x" * 60, conditions=["one two three four five"])
    assert Lexicon.from_mapping(mapping).size == 1
    assert Lexicon.from_mapping(mapping).version == "1"


def test_a_group_that_is_no_list_does_not_hide_the_faults_of_the_next() -> None:
    assert faults(lexicon_of(conditions="hiv", drugs=[7])) == (
        "categories.a.conditions: is not a list.",
        "categories.a.drugs[0]: a term is not text; write it in quotation marks.",
    )


def test_a_term_is_not_exact_unless_that_is_said() -> None:
    for exact in (None, False, "false"):
        assert finds("ISELDER", {"terms": ["iselder"], "exact": exact})
    for exact in (True, "true"):
        assert not finds("ISELDER", {"terms": ["iselder"], "exact": exact})


def test_the_faults_of_a_lexicon_stand_one_to_a_line() -> None:
    with pytest.raises(LexiconError) as caught:
        Lexicon.from_mapping(lexicon_of(conditions=[7, ""]))
    assert str(caught.value) == "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 2
