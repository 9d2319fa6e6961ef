"""Spelling and grammar, where harper-py is installed."""

from __future__ import annotations

import pytest

from fhirmsg.errors import SettingsError
from fhirmsg.language import LanguageChecker, Remark, is_installed


def test_a_missing_extra_is_said_so() -> None:
    if is_installed():
        pytest.skip("harper-py is installed")
    with pytest.raises(SettingsError, match=r"fhirmsg\[language\]"):
        LanguageChecker()


@pytest.fixture(scope="module")
def checker() -> LanguageChecker:
    pytest.importorskip("harper")
    return LanguageChecker(["Larkspur"])


def kinds(remarks: tuple[Remark, ...]) -> dict[str, int]:
    return {remark.kind: remark.count for remark in remarks}


def test_faults_are_counted_by_kind(checker: LanguageChecker) -> None:
    text = "Your appoinment is on Monday. Please phone us to resheduled it."
    assert kinds(checker.remarks(text)) == {"spelling": 2}
    assert "grammar" in kinds(checker.remarks("We looks forward to see you. An nurse will call."))


@pytest.mark.parametrize(
    "text",
    [
        "Please organise a visit to the paediatric centre. Your haematology form is ready.",
        "Reply YES to keep it or NO to change it.",
        "Please call Dr Farouk at Larkspur Surgery.",
        "Dear Siân, please call us.",
        "",
    ],
)
def test_british_spelling_and_names_are_right(checker: LanguageChecker, text: str) -> None:
    assert checker.remarks(text, names=["Siân Okafor-Hughes"]) == ()


def test_welsh_is_not_taken_for_bad_english(checker: LanguageChecker) -> None:
    text = "Mae gennych apwyntiad ddydd Mawrth am 10.30. Ffoniwch ni os na allwch ddod."
    assert checker.remarks(text) == ()


def test_style_is_left_alone(checker: LanguageChecker) -> None:
    assert checker.remarks("Please  call us asap, as soon as you possibly can.") == ()
