"""Contact points: one number is one value however written, and what cannot be used is not."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.fhir.contacts import (
    brought_point,
    contact_points,
    digests_of,
    is_uk_mobile,
    normal_email,
    normal_telephone,
    restricted_digest,
    written_forms,
)
from fhirmsg.guidance.contact import select, tail
from fhirmsg.guidance.record import ContactPoint
from fhirmsg.guidance.request import BroughtContactPoint
from fhirmsg.guidance.terms import Channel
from tests.builders import LONDON, NOW
from tests.fhir.resources import AMARA_NUMBER, NHS_NUMBER, concept
from tests.fhir.strategies import json_values


def points(*telecom: Any, **patient: Any) -> tuple[ContactPoint, ...]:
    """Read a Patient's contact points."""
    resource = {"resourceType": "Patient", "telecom": list(telecom), **patient}
    return contact_points(resource, LONDON)


def chosen(channel: Channel, *telecom: Any) -> str | None:
    """Give the value that a message on this channel would go to."""
    point = select(points(*telecom), channel, NOW)
    return None if point is None else point.value


def mobile(value: str = "07700 900123", **changes: Any) -> dict[str, Any]:
    return {"system": "phone", "use": "mobile", "value": value, **changes}


WAYS_TO_WRITE_A_NUMBER = [
    "07700900123",
    "07700 900123",
    "07700 900 123",
    "(07700) 900123",
    "07700-900-123",
    "07700.900.123",
    "07700/900123",
    "+447700900123",
    "+44 7700 900123",
    "+44 (0)7700 900123",
    "+44 (0) 7700 900 123",
    "+4407700900123",
    "00447700900123",
    "0044 7700 900123",
    "tel:+447700900123",
    "tel:+44-7700-900123",
    " 07700 900123 ",
    "07700\u00a0900123",
    "07700\u2011900\u2011123",
    "\u202a+44 7700 900123\u202c",
    "+44\u200b7700900123",
]


@pytest.mark.parametrize("written", WAYS_TO_WRITE_A_NUMBER)
def test_one_number_is_one_value_however_it_is_written(written: str) -> None:
    assert chosen(Channel.SMS, mobile(written)) == "+447700900123"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "07700 900123 (daughter)",
        "ring 07700 900123",
        "07700 900123 or 07700 900124",
        "07700900123;ext=5",
        "unknown",
        "-",
        "+",
        "0",
        "999",
        "123456",
        "900123",
        "0770090012",
        "077009001234567",
        "+440000000000000000000",
        "0" * 50,
    ],
)
def test_what_is_no_telephone_number_is_never_used(written: str) -> None:
    assert chosen(Channel.SMS, mobile(written)) is None
    assert chosen(Channel.SMS, mobile(written, system="sms")) is None


@pytest.mark.parametrize("value", [None, 7700900123, ["07700900123"], {"x": 1}, True])
def test_a_value_that_is_no_text_is_never_used(value: Any) -> None:
    assert chosen(Channel.SMS, mobile(value)) is None


@pytest.mark.parametrize(
    ("entry", "texted"),
    [
        (mobile(), True),
        (mobile(system="sms", use=None), True),
        (mobile(use="home"), True),
        (mobile("020 7946 0123", use="home"), False),
        (mobile("020 7946 0123"), True),
        (mobile("070 1234 5678", use="home"), False),
        (mobile("076 1234 5678", use="home"), False),
        (mobile("07624 123456", use="home"), True),
        (mobile("+33 6 12 34 56 78", use="home"), False),
        (mobile("+33 6 12 34 56 78"), True),
        (mobile(system="fax"), False),
        (mobile(system="pager"), False),
        (mobile(system=None), False),
        (mobile(system="other"), False),
        (mobile(use="old"), False),
        (mobile(period={"end": "2026-11-23"}), False),
        (mobile(period={"end": "2026-11-24"}), True),
        (mobile(period={"start": "2026-11-25"}), False),
        (mobile(period={"end": "2026-12-01T10:00:00"}), False),
        (mobile(period="2026"), False),
    ],
)
def test_what_can_take_a_text(entry: dict[str, Any], texted: bool) -> None:
    assert (chosen(Channel.SMS, entry) is not None) is texted


def test_a_textphone_is_never_texted() -> None:
    coding = {"system": "urn:x", "code": "textphone"}
    url = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-OtherContactSystem"
    on_the_point = mobile(system="other", extension=[{"url": url, "valueCoding": coding}])
    on_its_system = mobile(system="other", _system={"extension": [{"url": url}]})
    assert points(on_the_point, on_its_system) == ()


def test_a_landline_can_be_called() -> None:
    assert chosen(Channel.VOICE, mobile("020 7946 0123", use="home")) == "+442079460123"


def test_a_uk_mobile_is_one_by_its_range() -> None:
    assert is_uk_mobile("+447700900123")
    assert not is_uk_mobile("+442079460123")
    assert not is_uk_mobile("+447012345678")


# --- order -------------------------------------------------------------------------------------


def test_the_lowest_rank_is_used_first_and_no_rank_last() -> None:
    assert chosen(
        Channel.SMS,
        mobile("07700 900001"),
        mobile("07700 900002", rank=2),
        mobile("07700 900003", rank=1),
    ) == ("+447700900003")


@pytest.mark.parametrize("rank", [0, -1, True, "1", 1.5, 10**400, None, [1]])
def test_a_rank_that_is_none_comes_last(rank: Any) -> None:
    assert chosen(
        Channel.SMS, mobile("07700 900001", rank=rank), mobile("07700 900009", rank=9)
    ) == ("+447700900009")


def test_a_mobile_comes_before_one_at_home_and_that_before_one_at_work() -> None:
    home, work = mobile("07700 900002", use="home"), mobile("07700 900001", use="work")
    assert chosen(Channel.SMS, work, home, mobile("07700 900009")) == "+447700900009"
    assert chosen(Channel.SMS, work, home) == "+447700900002"


# --- email -------------------------------------------------------------------------------------


def email(value: Any) -> dict[str, Any]:
    return {"system": "email", "value": value}


@pytest.mark.parametrize(
    "written",
    [
        "Amara@example.com",
        "mailto:Amara@EXAMPLE.com",
        " Amara@Example.COM ",
        "MAILTO:Amara@example.com",
    ],
)
def test_one_address_is_one_value_however_its_domain_is_written(written: str) -> None:
    assert chosen(Channel.EMAIL, email(written)) == "Amara@example.com"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "amara",
        "amara@",
        "@example.com",
        "amara@localhost",
        "amara@example..com",
        "a@b.example, c@d.example",
        "a@b.example;c@d.example",
        "Amara <amara@example.com>",
        "amara@example.com\nBcc: all@example.com",
        "am ara@example.com",
        "amara@@example.com",
        "amara@example.com?bcc=all@example.com",
        "mailto:mailto:amara@example.com",
        "amara\x00@example.com",
        "amara\u2028@example.com",
        "amara@-example.com",
        "a" * 250 + "@example.com",
        None,
        7,
    ],
)
def test_what_is_no_single_address_is_never_used(written: Any) -> None:
    assert chosen(Channel.EMAIL, email(written)) is None


# --- the NHS App -------------------------------------------------------------------------------


def an_nhs_number(status: str | None = "01", **changes: Any) -> dict[str, Any]:
    """Give a Patient's identifier with this verification status."""
    system = "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatus"
    url = system.replace("CodeSystem/", "StructureDefinition/Extension-")
    status_extension = [{"url": url, "valueCodeableConcept": concept((system, status or ""))}]
    return {
        "system": NHS_NUMBER,
        "value": AMARA_NUMBER,
        "extension": status_extension if status else [],
        **changes,
    }


def app(identifier: dict[str, Any], kind: str = "Patient") -> str | None:
    resource = {"resourceType": kind, "identifier": [identifier]}
    point = select(contact_points(resource, LONDON), Channel.NHS_APP, NOW)
    return None if point is None else point.value


def test_a_verified_nhs_number_is_the_way_into_the_app() -> None:
    assert app(an_nhs_number()) == AMARA_NUMBER
    assert app(an_nhs_number(value="999 000 0018")) == AMARA_NUMBER


@pytest.mark.parametrize("status", ["02", "03", "1", "001", None])
def test_a_number_that_is_not_verified_is_no_way_into_the_app(status: str | None) -> None:
    assert app(an_nhs_number(status)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "old"},
        {"period": {"end": "2026-11-23"}},
        {"value": "99900000"},
        {"value": None},
        {"system": "urn:other"},
    ],
)
def test_a_number_that_is_not_the_patients_now_is_no_way_into_the_app(changes: Any) -> None:
    assert app(an_nhs_number(**changes)) is None


def test_the_number_on_a_related_person_is_no_way_into_the_app() -> None:
    assert app(an_nhs_number(), "RelatedPerson") is None


# --- always ------------------------------------------------------------------------------------


@given(
    st.text() | st.text("0123456789+-() .", max_size=16) | st.sampled_from(WAYS_TO_WRITE_A_NUMBER)
)
def test_a_normal_number_stays_as_it_is(text: str) -> None:
    once = normal_telephone(text)
    assert once is None or normal_telephone(once) == once


@given(st.text() | st.emails())
def test_a_normal_address_stays_as_it_is(text: str) -> None:
    once = normal_email(text)
    assert once is None or normal_email(once) == once
    assert once is None or not any(unicodedata.category(each) == "Cc" for each in once)


@given(json_values(), json_values(), json_values())
def test_whatever_a_telecom_holds_it_is_read_and_chosen_from(
    one: Any, two: Any, three: Any
) -> None:
    entries = [mobile(rank=one, period=two, use=three), one, email(two), {"system": one}]
    read = contact_points(
        {"resourceType": "Patient", "telecom": entries, "identifier": [one, {"value": two}]}, LONDON
    ) + points(one, two, three)
    for channel in Channel:
        select(read, channel, NOW)


def test_a_mask_shows_the_last_three_characters() -> None:
    assert tail("+447700900123") == "123"
    assert tail(None) == ""


# --- whether somebody confirmed it -------------------------------------------------------------


def confirming(*names: str) -> dict[str, Any]:
    parts = {"at": {"valueDateTime": "2026-01-01T09:00:00Z"}, "by": {"valueString": "Nia Nurse"}}
    url = "https://fhirmsg.example/StructureDefinition/confirmed"
    return {"url": url, "extension": [{"url": name, **parts[name]} for name in names]}


@pytest.mark.parametrize(
    ("changes", "confirmed"),
    [
        ({"period": {"start": "2025-01-01"}}, True),
        ({"period": {"start": "2025"}}, True),
        ({"period": {"start": "long ago"}}, False),
        ({"period": {"end": "2027-01-01"}}, False),
        ({"extension": [confirming("at", "by")]}, True),
        ({"extension": [confirming("at")]}, False),
        ({"extension": [confirming("by")]}, False),
        ({}, False),
    ],
)
def test_a_contact_point_is_confirmed_by_a_start_or_by_somebody(
    changes: dict[str, Any], confirmed: bool
) -> None:
    [point] = points(mobile(**changes))
    assert point.confirmed is confirmed


# --- one that is brought -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "written", "value", "channels"),
    [
        ("phone", "07700 900123", "+447700900123", {Channel.SMS, Channel.VOICE}),
        ("phone", "020 7946 0000", "+442079460000", {Channel.SMS, Channel.VOICE}),
        ("sms", "+44 7700 900123", "+447700900123", {Channel.SMS, Channel.VOICE}),
        ("email", "Amara@Example.COM", "Amara@example.com", {Channel.EMAIL}),
        ("email", "not an address", None, {Channel.EMAIL}),
        ("phone", "my mother's", None, set()),
        ("pigeon", "07700 900123", None, set()),
    ],
)
def test_a_contact_point_that_is_brought_is_read_like_one_on_the_record(
    system: str, written: str, value: str | None, channels: set[Channel]
) -> None:
    brought = BroughtContactPoint(system=system, value=written, source="the caller")
    point = brought_point(brought, LONDON)
    assert (point.value, point.channels) == (value, channels)
    assert not point.confirmed


# --- digests of restricted ones ----------------------------------------------------------------

KEY = b"a key of the tests, not a secret"


def test_a_digest_is_the_same_however_a_value_is_written() -> None:
    written = [mobile("07700900123"), mobile("+44 7700 900123"), mobile("0044 7700 900 123")]
    assert len({restricted_digest(point.value or "", KEY) for point in points(*written)}) == 1
    assert restricted_digest("Amara@example.com", KEY) == restricted_digest(
        "amara@example.com", KEY
    )


def test_a_digest_depends_on_the_key_and_hides_the_value() -> None:
    digest = restricted_digest("+447700900123", KEY)
    assert digest != restricted_digest("+447700900123", b"another key")
    assert digest != restricted_digest("+447700900124", KEY)
    assert len(digest) == 64
    assert "900123" not in digest


def test_digests_are_given_by_value_and_those_without_one_left_out() -> None:
    read = points(mobile(), mobile("my mother's"), email("not an address"))
    assert digests_of(read, KEY) == {"+447700900123": restricted_digest("+447700900123", KEY)}


# --- written forms -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["+447700900123", "+442079460000", "+33612345678", "+12025550123"]
)
def test_every_written_form_means_the_same_number(value: str) -> None:
    forms = written_forms(value)
    assert value in forms
    assert "00" + value[1:] in forms
    british = [form for form in forms if form.startswith(("0", "+"))]
    if value.startswith("+44"):
        assert {normal_telephone(form) for form in british} == {value}


@given(st.text() | st.emails())
def test_whatever_the_value_it_is_one_of_its_forms(value: str) -> None:
    assert value in written_forms(value)
