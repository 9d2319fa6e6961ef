"""From a read to a decision: who may see the entry, and by what its words are known again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.terms import Declared
from fhirmsg.judging import content_digest, draft_entry, judge, needs_restricted_label, outbound
from tests import builders, emergencies
from tests.messaging import KEY, a_desk, call_of


def labelled(case: Case) -> bool:
    return needs_restricted_label(case, decide(case))


def test_what_tells_a_proxy_nothing_is_not_labelled() -> None:
    assert not labelled(builders.a_case())
    assert not labelled(builders.a_case(request=builders.a_request(confidential=Declared.YES)))


def test_an_emergency_is_labelled_whatever_it_is_about() -> None:
    assert labelled(emergencies.in_emergency(builders.a_case()))


def with_finding(code: str) -> bool:
    case = builders.a_case()
    decision = decide(case)
    [finding, *_] = decide(builders.a_case(patient=builders.a_patient(active=False))).findings
    return needs_restricted_label(case, replace(decision, findings=(replace(finding, code=code),)))


@pytest.mark.parametrize(
    "code",
    [
        "contact.excluded",
        "contact.shared",
        "objection.pending",
        "override.invalid",
        "person.restricted",
        "proxy.conflict",
        "proxy.denied",
        "sensitive.shared",
    ],
)
def test_a_finding_that_could_tell_a_proxy_something_is_labelled(code: str) -> None:
    assert with_finding(code)


@pytest.mark.parametrize(
    "code", ["contact.shared-plain", "evidence.invalid", "preference.ignored", "proxy.scope"]
)
def test_a_finding_that_tells_nobody_anything_is_not(code: str) -> None:
    assert not with_finding(code)


def test_the_words_are_recognised_by_the_digest_that_stands_on_the_entry() -> None:
    desk = a_desk()
    read = desk.reader.read(desk.call.request, desk.call.policy, desk.call.message_id)
    case, decision = judge(desk.call, read, record_key=KEY, language=("a fault",))
    assert case.content_digest == content_digest(desk.call, KEY)
    assert draft_entry(desk.call, case, decision, KEY).content_digest == case.content_digest
    assert case.language == ("a fault",)
    assert judge(desk.call, read)[0].content_digest is None


def number_of(case: Case) -> str | None:
    return outbound(call_of(case), case).nhs_number


def test_a_message_brings_the_recipients_own_verified_nhs_number() -> None:
    assert number_of(builders.a_case()) == "9990000018"
    two = (builders.an_app_login(), builders.an_app_login("9990000026"))
    for points in ((), two, (builders.an_app_login(use="old"),)):
        patient = builders.a_patient(contact_points=(builders.a_mobile(), *points))
        assert number_of(builders.a_case(patient=patient)) is None


def test_a_message_to_a_proxy_never_brings_the_patients_nhs_number() -> None:
    assert number_of(builders.a_proxy_case()) is None
    login = builders.an_app_login("9990000026")
    own = builders.bens_own_record(contact_points=(login,))
    assert number_of(builders.a_proxy_case(own_patient=own)) == "9990000026"
