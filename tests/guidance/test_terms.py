"""Ages, birthdays and citations."""

from __future__ import annotations

from datetime import date

import pytest

from fhirmsg.guidance.terms import (
    PURPOSE_OF_USE,
    PURPOSE_PARENT,
    BirthInterval,
    Purpose,
    ResourceVersion,
    age_on,
    purpose_covers,
)


@pytest.mark.parametrize(
    ("day", "age"),
    [
        (date(2026, 3, 9), 15),
        (date(2026, 3, 10), 16),
        (date(2026, 3, 11), 16),
        (date(2010, 3, 10), 0),
        (date(2010, 3, 9), -1),
    ],
)
def test_an_age_changes_on_the_birthday(day: date, age: int) -> None:
    assert age_on(date(2010, 3, 10), day) == age


def test_a_leap_day_birthday_falls_on_the_first_of_march_in_a_common_year() -> None:
    assert age_on(date(2012, 2, 29), date(2026, 2, 28)) == 13
    assert age_on(date(2012, 2, 29), date(2026, 3, 1)) == 14
    assert age_on(date(2012, 2, 29), date(2028, 2, 29)) == 16


def test_a_birth_year_has_an_oldest_and_a_youngest_age() -> None:
    year = BirthInterval(earliest=date(2010, 1, 1), latest=date(2010, 12, 31))
    assert (year.oldest_age(date(2026, 6, 1)), year.youngest_age(date(2026, 6, 1))) == (16, 15)


def test_an_unknown_birth_date_has_no_age() -> None:
    day = date(2026, 6, 1)
    assert BirthInterval().oldest_age(day) is BirthInterval().youngest_age(day) is None


def test_every_purpose_has_a_purpose_of_use_that_is_known() -> None:
    assert set(PURPOSE_OF_USE) == set(Purpose)
    assert set(PURPOSE_OF_USE.values()) <= set(PURPOSE_PARENT)


def test_every_purpose_of_use_leads_to_the_root() -> None:
    assert all(purpose_covers("PurposeOfUse", code) for code in PURPOSE_PARENT)


def test_a_version_is_cited_as_it_stands() -> None:
    version = ResourceVersion(reference="Consent/1", version_id="3")
    assert version.as_json() == {
        "reference": "Consent/1",
        "versionId": "3",
        "lastUpdated": None,
    }
