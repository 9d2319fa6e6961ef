"""Minimising confidential information, and not looking like a scam."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.request import Asserted, Content
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Channel, Declared, Purpose
from fhirmsg.guidance.wording import KnownIdentifiers, Lexicon
from tests.builders import (
    NURSE,
    a_case,
    a_patient,
    a_platform,
    a_policy,
    a_request,
    an_app_platform,
    an_app_request,
    an_objection,
    codes_of,
    falls_back_to,
    finding_of,
    in_emergency,
    reviewed,
    verdict_of,
    with_evidence,
)

LEXICON = Lexicon.from_mapping(
    {"version": "t", "categories": {"hiv": {"label": "HIV", "conditions": ["hiv"]}}}
)
REVEALING = "Example Surgery: please come in about your HIV medication."
LATER = "Example Surgery: " + "please read all of this message to its very end. " * 3 + "HIV."


def a_text(body: str, policy: LocalPolicy | None = None, **fields: Any) -> Case:
    return a_case(
        request=a_request(content=Content(body=body), **fields),
        policy=policy or a_policy(lexicon=LEXICON),
    )


def secure_policy(**app: Any) -> LocalPolicy:
    platform = an_app_platform(
        **{"confidential": True, "requires_login": True, "lock_screen": False, **app}
    )
    return a_policy(a_platform(), platform, lexicon=LEXICON)


def by_app(declared: Declared = Declared.YES, body: str = REVEALING, **app: Any) -> Case:
    return a_case(
        request=an_app_request(content=Content(body=body), confidential=declared),
        policy=secure_policy(**app),
    )


# --- confidential.necessity --------------------------------------------------------------------


@pytest.mark.parametrize("declared", [Declared.YES, Declared.UNKNOWN])
def test_confidential_content_by_text_is_held_until_its_necessity_is_stated(
    declared: Declared,
) -> None:
    case = a_text("Example Surgery: we have news.", confidential=declared)
    assert codes_of(case) == {"confidential.necessity", "confidential.safer-wording"}
    assert verdict_of(case) == "hold"
    needed = Asserted(reason="The patient has no other way to hear of it today.", by=NURSE)
    assert verdict_of(with_evidence(case, necessity=needed)) == "send"
    assert verdict_of(reviewed(case, "confidential.necessity")) == "send"
    assert finding_of(in_emergency(case), "confidential.necessity").effect is Effect.WARN


@pytest.mark.parametrize("flaw", [{"reason": ""}, {"by": None}, {"by": replace(NURSE, name="")}])
def test_a_necessity_without_a_reason_or_a_person_lifts_nothing(flaw: Any) -> None:
    given = Asserted(**{"reason": "No other way.", "by": NURSE, **flaw})
    case = with_evidence(
        a_text("Example Surgery: news.", confidential=Declared.YES), necessity=given
    )
    assert verdict_of(case) == "hold"
    assert "evidence.invalid" in codes_of(case)


def test_confidential_content_goes_where_the_reader_logs_in() -> None:
    assert codes_of(by_app()) == set()


@pytest.mark.parametrize(
    "app",
    [
        {"confidential": False},
        {"requires_login": False},
        {"falls_back": (falls_back_to(Channel.SMS),)},
        {"falls_back": (falls_back_to(Channel.SMS, "messenger"),)},
        {"falls_back": (falls_back_to(Channel.SMS, "nowhere"),)},
    ],
)
def test_a_platform_is_secure_only_if_every_way_out_of_it_is(app: Any) -> None:
    assert "confidential.necessity" in codes_of(by_app(**app))


def test_falling_back_to_another_secure_platform_is_secure() -> None:
    assert codes_of(by_app(falls_back=(falls_back_to(Channel.NHS_APP, "app"),))) == set()


def test_a_notice_on_another_channel_carries_no_content() -> None:
    assert codes_of(by_app(notifies_by=frozenset({Channel.SMS}))) == set()


def test_a_secure_way_that_is_open_is_named() -> None:
    case = a_text(REVEALING, secure_policy(), confidential=Declared.YES)
    assert "app by nhs-app" in finding_of(case, "confidential.necessity").sentence


@pytest.mark.parametrize(
    "change",
    [
        {"policy": secure_policy(approval=None)},
        {"policy": secure_policy(confidential=False)},
        {"consents": (an_objection(Channel.NHS_APP),)},
        {"patient": a_patient(contact_points=a_patient().contact_points[:2])},
    ],
    ids=["not-approved", "not-secure", "objected", "no-login"],
)
def test_a_secure_way_that_is_not_open_is_not_named(change: Any) -> None:
    request = a_request(content=Content(body=REVEALING), confidential=Declared.YES)
    case = a_case(**{"policy": secure_policy(), "request": request, **change})
    assert "No secure platform" in finding_of(case, "confidential.necessity").sentence


# --- confidential.undeclared, preview, safer wording -------------------------------------------


def test_what_looks_confidential_is_held_though_it_is_declared_as_plain() -> None:
    case = a_text(LATER)
    assert codes_of(case) == {"confidential.undeclared", "confidential.safer-wording"}
    assert verdict_of(case) == "hold"
    assert "HIV" in finding_of(case, "confidential.undeclared").sentence
    needed = Asserted(reason="It is what the patient asked for.", by=NURSE)
    assert verdict_of(with_evidence(case, necessity=needed)) == "send"
    assert verdict_of(reviewed(case, "confidential.undeclared")) == "send"


def test_the_patients_own_details_are_looked_for() -> None:
    patient = a_patient(known=KnownIdentifiers(nhs_number="9990000018"))
    request = a_request(content=Content(body="Example Surgery: bring 999 000 0018 with you."))
    assert "confidential.undeclared" in codes_of(a_case(request=request, patient=patient))


def test_what_a_locked_screen_shows_is_told() -> None:
    case = a_text(REVEALING)
    assert "confidential.preview" in codes_of(case)
    hidden = a_policy(a_platform(lock_screen=False), lexicon=LEXICON)
    assert "confidential.preview" not in codes_of(a_text(REVEALING, hidden))
    assert "confidential.preview" not in codes_of(a_text(LATER))


def test_nothing_is_offered_where_nothing_is_wrong() -> None:
    assert codes_of(by_app(Declared.NO, "Example Surgery: please log in.")) == set()


def test_for_results_a_neutral_wording_is_offered_that_names_the_app_where_it_is_open() -> None:
    case = a_text(REVEALING, secure_policy(), purpose=Purpose.TEST_RESULT)
    offered = finding_of(case, "confidential.safer-wording").sentence
    assert "your results are ready" in offered
    assert "NHS App" in offered
    assert "NHS App" not in finding_of(a_text(REVEALING), "confidential.safer-wording").sentence


def test_where_there_is_no_neutral_wording_none_is_offered() -> None:
    assert "confidential.safer-wording" not in codes_of(a_text(REVEALING, purpose=Purpose.FEEDBACK))


# --- suspicious.* ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            "Example Surgery: see https://www.nhs.uk/x?nhs=9990000018",
            "suspicious.link-personal-data",
        ),
        ("Example Surgery: see https://bit.ly/abc", "suspicious.link"),
        ("Example Surgery: ACT NOW OR LOSE YOUR PLACE", "suspicious.wording"),
        ("We have moved. Please call.", "suspicious.sender"),
    ],
)
def test_what_looks_like_a_scam_is_told(body: str, code: str) -> None:
    patient = a_patient(known=KnownIdentifiers(nhs_number="9990000018"))
    case = a_case(request=a_request(content=Content(body=body)), patient=patient)
    assert code in codes_of(case)


def test_personal_data_in_a_link_hold_the_message() -> None:
    patient = a_patient(known=KnownIdentifiers(nhs_number="9990000018"))
    body = "Example Surgery: see https://www.nhs.uk/x?nhs=9990000018"
    request = a_request(content=Content(body=body), confidential=Declared.NO)
    case = a_case(request=request, patient=patient)
    assert finding_of(case, "suspicious.link-personal-data").effect is Effect.HOLD
    lifted = finding_of(
        reviewed(case, "suspicious.link-personal-data"), "suspicious.link-personal-data"
    )
    assert lifted.effect is Effect.WARN


def test_hosts_on_the_organisations_list_may_be_linked_to() -> None:
    body = "Example Surgery: see https://surgery.example/hours"
    assert codes_of(a_text(body)) == {"suspicious.link"}
    trusted = a_policy(link_hosts=frozenset({"surgery.example"}))
    assert codes_of(a_text(body, trusted)) == set()


def test_a_sender_name_of_the_platform_names_the_organisation_too() -> None:
    named = a_policy(a_platform(sender_names=("ExSurgery",)))
    assert codes_of(a_text("ExSurgery: we have moved.", named)) == set()


def test_faults_of_language_are_told_by_their_number() -> None:
    case = replace(a_case(), language=("2 of spelling",))
    assert codes_of(case) == {"suspicious.wording"}
    assert "2 of spelling" in finding_of(case, "suspicious.wording").sentence


def test_what_was_seen_is_never_repeated() -> None:
    patient = a_patient(known=KnownIdentifiers(given=("Amara",), family=("Okafor",)))
    body = "Example Surgery: Amara Okafor, come at once about hiv, bit.ly/xyz9"
    case = a_case(
        request=a_request(content=Content(body=body)),
        patient=patient,
        policy=a_policy(lexicon=LEXICON),
    )
    from fhirmsg.guidance.decision import decide

    for finding in decide(case).findings:
        assert "Okafor" not in finding.sentence
        assert "xyz9" not in finding.sentence
