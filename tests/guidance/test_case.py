"""What a case derives from its facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fhirmsg.guidance.case import newest_versions
from fhirmsg.guidance.record import ConsentStatus
from fhirmsg.guidance.request import Service
from fhirmsg.guidance.terms import Channel, Declared, Purpose
from tests.builders import (
    AMARA_KEYS,
    OURS,
    a_case,
    a_consent,
    a_mobile,
    a_patient,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_email,
    an_objection,
    bens_own_record,
)

SMS, EMAIL, APP = Channel.SMS, Channel.EMAIL, Channel.NHS_APP


# --- versions ----------------------------------------------------------------------------------


def test_the_newest_version_of_a_consent_counts_whatever_the_order() -> None:
    old, new = an_objection(version="9"), a_consent(id="objection", version="10")
    assert newest_versions([old, new]) == newest_versions([new, old]) == (new,)


def test_without_version_numbers_the_later_change_counts() -> None:
    old = a_consent(version=None)
    new = replace(old, version=replace(old.version, last_updated="2026-11-02T09:00:00Z"))
    assert newest_versions([new, old]) == (new,)


def test_the_same_version_twice_counts_once() -> None:
    assert len(newest_versions([an_objection(), an_objection()])) == 1


def test_a_consent_entered_in_error_takes_its_earlier_versions_with_it() -> None:
    withdrawn = an_objection(version="2", status=ConsentStatus.ENTERED_IN_ERROR)
    assert newest_versions([an_objection(version="1"), withdrawn]) == ()


def test_consents_come_in_a_fixed_order() -> None:
    one, two = a_consent(id="1"), a_consent(id="2")
    assert newest_versions([two, one]) == (one, two)


# --- reach -------------------------------------------------------------------------------------


def test_a_message_reaches_its_channel_its_fallbacks_and_its_notices() -> None:
    platform = a_platform(fallbacks=frozenset({SMS}), notifies_by=frozenset({EMAIL}))
    case = a_case(request=a_request(channel=APP), policy=a_policy(platform))
    assert case.reachable == (APP, EMAIL, SMS)


def test_a_platform_that_names_no_channels_reaches_all() -> None:
    case = a_case(policy=a_policy(a_platform(channels=frozenset())))
    assert set(case.reachable) == set(Channel)
    assert case.reachable[0] is SMS


# --- questions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [Purpose.APPOINTMENT, Purpose.INDIVIDUAL_CARE])
def test_denials_are_asked_for_care_as_a_whole_and_for_emergencies(purpose: Purpose) -> None:
    (query,) = a_case(request=a_request(purpose=purpose)).queries(AMARA_KEYS)
    assert query.purposes_deny == {"TREAT", "CAREMGT", "PATADMIN", "ETREAT"}
    assert len(query.purposes_permit) == 1


def test_denials_of_research_are_asked_apart_from_care() -> None:
    (query,) = a_case(request=a_request(purpose=Purpose.RESEARCH)).queries(AMARA_KEYS)
    assert query.purposes_deny == {"HRESCH", "ETREAT"}


def test_a_service_code_is_compared_with_its_system() -> None:
    (query,) = a_case(request=a_request(service=Service(code="urn:s|7"))).queries(AMARA_KEYS)
    assert query.topics == {"urn:s|7", "*|7"}


def test_a_service_code_without_a_system_is_compared_as_it_stands() -> None:
    (query,) = a_case(request=a_request(service=Service(code="7"))).queries(AMARA_KEYS)
    assert query.topics == {"7", "*|7"}


def test_the_sending_organisation_is_ours() -> None:
    case = a_case(request=a_request(organization="C11111"))
    assert case.organisations == {OURS, "C11111"}


def test_the_day_is_the_local_one() -> None:
    late = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert str(a_case(as_of=late).day) == "2026-07-02"


# --- contact point -----------------------------------------------------------------------------


def test_the_patients_own_contact_point_is_used_for_the_patient() -> None:
    assert a_case().contact_point == a_mobile()


def test_the_proxys_entry_comes_before_the_proxys_own_record() -> None:
    on_entry = a_mobile("+447700900203")
    related = a_related_person(contact_points=(on_entry,))
    case = a_proxy_case(related=related, own_patient=bens_own_record())
    assert case.contact_point == on_entry


def test_the_proxys_own_record_is_used_when_the_entry_has_no_contact_point() -> None:
    case = a_proxy_case(related=a_related_person(contact_points=()), own_patient=bens_own_record())
    assert case.contact_point == a_mobile("+447700900202")


def test_the_patients_contact_point_is_never_used_for_the_proxy() -> None:
    case = a_proxy_case(related=a_related_person(contact_points=()))
    assert case.contact_point is None


# --- sensitivity -------------------------------------------------------------------------------


def is_plain(service: Service, *sensitive: str, **case: object) -> bool:
    policy = a_policy(sensitive_services=frozenset(sensitive))
    return a_case(request=a_request(service=service), policy=policy, **case).service_is_plain


def test_a_service_is_plain_only_when_the_sender_says_so() -> None:
    assert is_plain(Service(sensitive=Declared.NO))
    assert not is_plain(Service(sensitive=Declared.YES))
    assert not is_plain(Service(sensitive=Declared.UNKNOWN))


def test_a_service_on_the_organisations_list_is_not_plain_whatever_the_sender_says() -> None:
    assert not is_plain(Service(code="urn:s|7", sensitive=Declared.NO), "urn:s|7")
    assert not is_plain(Service(code="7", sensitive=Declared.NO), "urn:s|7")
    assert is_plain(Service(code="urn:s|8", sensitive=Declared.NO), "urn:s|7")


def test_a_service_listed_without_a_system_is_not_plain_under_any() -> None:
    assert not is_plain(Service(code="urn:s|7", sensitive=Declared.NO), "7")


def test_a_label_makes_a_service_not_plain_whatever_the_sender_says() -> None:
    labelled = a_patient(sensitive_labels=frozenset({"HIV"}))
    assert not is_plain(Service(sensitive=Declared.NO), patient=labelled)


def test_email_and_telephone_are_not_mixed_up() -> None:
    case = a_case(request=a_request(channel=EMAIL))
    assert case.contact_point == an_email()


# --- what a case asks of its Consents ------------------------------------------------------------


def test_a_result_is_asked_for_as_one() -> None:
    result = a_case(request=a_request(purpose=Purpose.TEST_RESULT))
    assert [query.about_result for query in result.queries(AMARA_KEYS)] == [True]
    assert [query.about_result for query in a_case().queries(AMARA_KEYS)] == [False]


def test_emergencies_are_asked_for_only_where_they_count() -> None:
    case = a_case()
    assert case.queries(AMARA_KEYS)[0].purposes_permit == {"PATADMIN"}
    assert case.queries(AMARA_KEYS, emergency=True)[0].purposes_permit == {"PATADMIN", "ETREAT"}


def test_channels_are_asked_for_one_by_one_and_none_stands_for_any() -> None:
    platform = a_platform(fallbacks=frozenset({EMAIL}))
    case = a_case(policy=a_policy(platform))
    assert [query.channel for query in case.queries(AMARA_KEYS)] == [SMS, EMAIL]
    assert [query.channel for query in case.queries(AMARA_KEYS, (None,))] == [None]


def test_a_grant_on_a_linked_record_lets_nobody_receive_here() -> None:
    from tests.builders import a_grant

    on_linked = a_proxy_case(linked_consents=(a_grant(),))
    assert on_linked.grant is None
    both = a_proxy_case(a_grant(id="own"), linked_consents=(a_grant(id="linked"),))
    assert both.grant is not None
    assert both.grant.consent.key == "Consent/own"


@pytest.mark.parametrize(
    ("versions", "kept"),
    [
        (("9", "10"), "10"),
        (("10", "9"), "10"),
        (("a", "1"), "1"),
        ((None, "0"), "0"),
        (("2", "2"), "2"),
    ],
)
def test_the_highest_number_is_the_newest_version(versions: tuple[str, str], kept: str) -> None:
    found = newest_versions(a_consent(version=each) for each in versions)
    assert [each.version.version_id for each in found] == [kept]


def test_without_a_number_the_later_change_is_the_newest() -> None:
    early, late = (
        replace(
            a_consent(version=None),
            version=replace(a_consent(version=None).version, last_updated=stamp),
        )
        for stamp in ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    )
    undated = replace(early, version=replace(early.version, last_updated=None))
    for order in ((early, late, undated), (late, undated, early), (undated, late, early)):
        assert newest_versions(order) == (late,)
