"""The patient's own details, found in any usual writing and not in what merely resembles them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhirmsg.guidance.wording import Kind, KnownIdentifiers
from fhirmsg.guidance.wording.identifiers import has_valid_check_digit, nhs_numbers
from tests.guidance.wording.parts import PATIENT, kinds

NOBODY = KnownIdentifiers()


def test_details_of_the_patient_are_not_printed() -> None:
    assert not re.search("Okafor|Si.n|943|Larkspur|ZZ9|1962|14", repr(PATIENT))


@pytest.mark.parametrize(
    "text",
    [
        "9434765919",
        "943 476 5919",
        "943-476-5919",
        "943.476.5919.",
        "943\u00a0476\u2009 5919",
        "9 4 3 4 7 6 5 9 1 9",
        "NHS9434765919",
        "call 0113 496 0101 9990000018",
        "９４３４７６５９１９",
        "٩٤٣٤٧٦٥٩١٩",
        "943\n476\n5919",
        "94\u200b34765919",
    ],
)
def test_an_nhs_number_is_found_in_any_spacing(text: str) -> None:
    assert Kind.NHS_NUMBER in kinds(text, about=NOBODY)


@pytest.mark.parametrize(
    "text",
    [
        "9434765918",  # check digit
        "94347659190",  # eleven digits
        "99434765919",
        "943 476     5919",  # too far apart
        "943 476 or 5919",
        "0113 496 0101",
        "+44 7700 900123",
        "+44 7123456785",  # a valid number, were it not a telephone's
        "0000000000",
        "",
    ],
)
def test_other_digits_are_no_nhs_number(text: str) -> None:
    assert Kind.NHS_NUMBER not in kinds(text, about=NOBODY)


def test_the_patient_s_own_number_counts_whatever_it_begins_with() -> None:
    scottish = replace(NOBODY, nhs_number="0101011237")
    assert Kind.NHS_NUMBER in kinds("CHI 010101 1237", about=scottish)
    assert Kind.NHS_NUMBER not in kinds("CHI 010101 1237", about=NOBODY)


def oracle(text: str) -> bool:
    """Try every run of whole groups of digits, the slow way and by another formula."""
    for start in range(len(text)):
        if not text[start].isdigit() or (start and text[start - 1].isdigit()):
            continue
        for end in range(start + 10, min(len(text), start + 37) + 1):
            if not text[end - 1].isdigit() or (end < len(text) and text[end].isdigit()):
                continue
            run = text[start:end]
            if re.search(r"[^\d \-./()]|\D{4}", run):
                continue
            digits = re.sub(r"\D", "", run)
            before = re.sub(r"[ \-.()]+$", "", text[max(0, start - 6) : start])
            if len(digits) == 10 and digits[0] in "34679":
                weighted = sum(w * int(d) for w, d in zip(range(10, 0, -1), digits, strict=True))
                if weighted % 11 == 0 and not before.endswith(("+44", "0044")):
                    return True
    return False


VALID = ["9434765919", "999 000 0018", "485-777-3457", "4010232137", "6001234566"]


@given(
    st.lists(
        st.one_of(
            st.sampled_from([*VALID, "+44 ", "(0)", " ", "-", "   ", "x", ".", "0"]),
            st.text("0123456789", min_size=1, max_size=11),
            st.text("34679 -.", min_size=1, max_size=12),
        ),
        max_size=8,
    ).map("".join)
)
@example("+44 7123456785")
def test_the_nhs_number_finder_agrees_with_an_oracle(text: str) -> None:
    assert bool(list(nhs_numbers(text))) == oracle(text)


@given(st.integers(0, 10**9 - 1))
def test_at_most_one_check_digit_is_valid(base: int) -> None:
    valid = [digit for digit in range(10) if has_valid_check_digit(f"{base:09}{digit}")]
    total = sum(int(d) * w for d, w in zip(f"{base:09}", range(10, 1, -1), strict=True))
    wanted = -total % 11
    assert valid == ([wanted] if wanted < 10 else [])


@pytest.mark.parametrize(
    "text",
    [
        "Dear Siân Okafor-Hughes,",
        "Dear Sian Okafor Hughes,",
        "SIÂN OKAFOR-HUGHES",
        "Okafor-Hughes, Siân",
        "Siân M Okafor-Hughes",
        "Siân M. Okafor-Hughes",
        "Siân Mair Okafor-Hughes",
        "Mair Okaforhughes",
        "Sia\u0302n Okafor\u2010Hughes",
        "Okafor-Hughes (Siân)",
    ],
)
def test_given_name_and_surname_together_are_found(text: str) -> None:
    assert Kind.FULL_NAME in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "Dear Siân,",
        "Dear Mrs Okafor-Hughes,",
        "Siân. Okafor-Hughes and Partners",
        "Hi Siân,\nOkafor-Hughes Surgery",
        "Siân and Dr Okafor-Hughes",
        "Siân Okafor",
        "Siânne Okafor-Hughes",
        "Hughes Siân",
    ],
)
def test_one_name_alone_is_a_greeting(text: str) -> None:
    assert Kind.FULL_NAME not in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "14/05/1962",
        "14/5/62",
        "14.05.62",
        "14-05-1962",
        "14 05 1962",
        "14 / 05 / 1962",
        "14051962",
        "1962-05-14",
        "1962/05/14T00:00",
        "14 May 1962",
        "14th May 1962",
        "14th of May, 1962",
        "14 MAY 62",
        "14May1962",
        "May 14, 1962",
        "14 Mai 1962",
        "14eg o Fai 1962",
        "05/14/1962",
    ],
)
def test_the_birth_date_is_found_in_any_british_writing(text: str) -> None:
    assert Kind.BIRTH_DATE in kinds(text)
    assert Kind.BIRTH_DATE in kinds(f"Born {text}.")


@pytest.mark.parametrize(
    "text",
    [
        "14/05/2026",
        "14 May",
        "15/05/1962",
        "1962",
        "14 June 1962",
        "room 14, 5 people, 1963",
        "114/05/1962",
        "date of birth",
        "Is your date of birth right? See you on 12 May at 10.",
    ],
)
def test_other_dates_are_no_birth_date(text: str) -> None:
    assert Kind.BIRTH_DATE not in kinds(text)


def test_any_date_that_is_said_to_be_a_birth_date_counts() -> None:
    for text in ("DOB: 02/11/1987", "date of birth is 2 Nov 1987", "d.o.b. 021187"):
        assert Kind.BIRTH_DATE in kinds(text, about=NOBODY)


@given(st.dates(date(1900, 1, 1), date(2025, 12, 31)))
def test_every_birth_date_is_found_as_british_people_write_it(born: date) -> None:
    about = KnownIdentifiers(born=born)
    for form in ("%d/%m/%Y", "%d.%m.%y", "%d %B %Y", "%Y-%m-%d", "%d%m%Y"):
        assert Kind.BIRTH_DATE in kinds(f"on {born.strftime(form)}.", about=about)


@pytest.mark.parametrize("text", ["ZZ9 4QX", "zz94qx", "ZZ9\u00a04QX", "ZZ9  4QX."])
def test_the_postcode_is_found(text: str) -> None:
    assert Kind.POSTCODE in kinds(text)


@pytest.mark.parametrize("text", ["ZZ9 4QY", "ZZ9", "4QX", "AZZ9 4QX", "ZZ9 4QXA"])
def test_another_postcode_is_not(text: str) -> None:
    assert Kind.POSTCODE not in kinds(text)


@pytest.mark.parametrize(
    "text",
    ["27 Larkspur Avenue", "27, larkspur ave.", "27 LARKSPUR AV", "Flat 3\n27 Larkspur Avenue"],
)
def test_the_address_is_found(text: str) -> None:
    assert Kind.ADDRESS in kinds(text)


@pytest.mark.parametrize("text", ["Larkspur Avenue", "Flat 3", "127 Larkspur Avenue", "27 Lark"])
def test_a_street_alone_is_no_address(text: str) -> None:
    assert Kind.ADDRESS not in kinds(text)


def test_a_house_with_a_name_needs_its_street() -> None:
    about = KnownIdentifiers(address_lines=("Rose Cottage", "Mill Lane"))
    assert Kind.ADDRESS in kinds("at Rose Cottage, Mill Ln.", about=about)
    assert Kind.ADDRESS not in kinds("the surgery in Mill Lane", about=about)
