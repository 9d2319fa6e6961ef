"""Contact preferences and accessible-information needs: respected wherever that is possible."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import Need, Preferences
from fhirmsg.guidance.request import Asserted, PracticalReason
from fhirmsg.guidance.rule import Effect, Lift
from fhirmsg.guidance.terms import Channel, ResourceVersion
from tests.builders import (
    AMARA,
    NURSE,
    a_case,
    a_grant,
    a_mobile,
    a_patient,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    an_app_platform,
    an_email,
    an_objection,
    bens_own_record,
    codes_of,
    finding_of,
    in_emergency,
    reviewed,
    verdict_of,
    with_evidence,
)

SMS, EMAIL, APP, LETTER, VOICE = (
    Channel.SMS,
    Channel.EMAIL,
    Channel.NHS_APP,
    Channel.LETTER,
    Channel.VOICE,
)
BRAILLE = Need(name="braille", version=ResourceVersion(reference=AMARA, version_id="7"))


def prefers(*channels: Channel, **fields: Any) -> Preferences:
    return Preferences(channels=frozenset(channels), **fields)


def a_wishing_case(preferences: Preferences, **case: Any) -> Case:
    """Give a text to a patient with these preferences."""
    points = case.pop("points", (a_mobile(), an_email()))
    return a_case(patient=a_patient(preferences=preferences, contact_points=points), **case)


def a_reason(**fields: Any) -> PracticalReason:
    defaults = {
        "important_for_care": True,
        "only_practical_way": True,
        "reason": "Letters take too long before Thursday.",
        "by": NURSE,
    }
    return PracticalReason(**{**defaults, **fields})


# --- preference.ignored ------------------------------------------------------------------------


def test_the_preferred_channel_is_nothing_to_speak_of() -> None:
    assert codes_of(a_wishing_case(prefers(SMS))) == set()
    assert codes_of(a_wishing_case(prefers(SMS, EMAIL))) == set()


def test_a_text_to_somebody_who_prefers_email_and_has_it_is_held() -> None:
    case = a_wishing_case(prefers(EMAIL))
    found = finding_of(case, "preference.ignored")
    assert (found.effect, found.lifted_by) == (Effect.HOLD, (Lift.PRACTICAL_REASON,))
    assert "email" in found.sentence
    assert found.evidence[0].reference == AMARA
    assert verdict_of(case) == "hold"


def test_a_practical_reason_with_both_limbs_lets_the_text_go() -> None:
    case = with_evidence(a_wishing_case(prefers(EMAIL)), practical_reason=a_reason())
    found = finding_of(case, "preference.ignored")
    assert found.effect is Effect.WARN
    assert found.lifted is not None
    assert (found.lifted.by, found.lifted.who) == (Lift.PRACTICAL_REASON, NURSE.identifier)
    assert codes_of(case) == {"preference.ignored"}
    assert verdict_of(case) == "send"


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"important_for_care": None}, "important for care"),
        ({"important_for_care": False}, "important for care"),
        ({"only_practical_way": None}, "only practical way"),
        ({"only_practical_way": False}, "only practical way"),
        ({"reason": " \u200b"}, "no reason"),
        ({"by": None}, "who stands for it"),
        ({"by": replace(NURSE, role=" ")}, "who stands for it"),
    ],
)
def test_half_a_practical_reason_lifts_nothing_and_is_told(flaw: Any, words: str) -> None:
    case = with_evidence(a_wishing_case(prefers(EMAIL)), practical_reason=a_reason(**flaw))
    assert verdict_of(case) == "hold"
    assert codes_of(case) == {"preference.ignored", "evidence.invalid"}
    assert words in finding_of(case, "evidence.invalid").sentence


def test_a_practical_reason_sets_no_objection_aside() -> None:
    case = with_evidence(
        a_wishing_case(prefers(EMAIL), consents=(an_objection(SMS),)), practical_reason=a_reason()
    )
    assert verdict_of(case) == "refuse"


def test_in_an_emergency_a_preference_is_a_note() -> None:
    found = finding_of(in_emergency(a_wishing_case(prefers(EMAIL))), "preference.ignored")
    assert found.effect is Effect.NOTE


# --- preference.unavailable --------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        a_wishing_case(prefers(EMAIL), points=(a_mobile(),)),
        a_wishing_case(prefers(EMAIL), consents=(an_objection(EMAIL),)),
        a_wishing_case(prefers(APP)),
        a_wishing_case(prefers(EMAIL), policy=a_policy(a_platform(channels=frozenset({SMS})))),
        a_wishing_case(prefers(LETTER)),
        a_wishing_case(prefers(VOICE)),
        a_wishing_case(Preferences(other=("a visit",))),
        a_wishing_case(Preferences(unknown=True)),
    ],
    ids=["no-address", "objected", "no-app", "no-platform", "letter", "call", "visit", "unknown"],
)
def test_a_preferred_way_that_cannot_be_used_is_told_and_no_bar(case: Case) -> None:
    assert codes_of(case) == {"preference.unavailable"}
    assert finding_of(case, "preference.unavailable").effect is Effect.WARN
    assert verdict_of(case) == "send"


def test_a_platform_that_is_not_approved_makes_no_channel_usable() -> None:
    policy = a_policy(a_platform(), an_app_platform(approval=None))
    case = a_case(patient=a_patient(preferences=prefers(APP)), policy=policy)
    assert codes_of(case) == {"preference.unavailable"}


def test_an_objected_channel_is_refused_though_it_is_the_preferred_one() -> None:
    case = a_wishing_case(prefers(SMS), consents=(an_objection(SMS),))
    assert codes_of(case) == {"objection.active"}


def test_without_a_preference_nothing_is_said() -> None:
    assert codes_of(a_wishing_case(Preferences())) == set()


# --- preference.no-telephone, preference.times -------------------------------------------------


def test_no_telephone_contact_holds_a_text_and_not_an_email() -> None:
    by_text = a_wishing_case(Preferences(no_telephone=True))
    by_email = a_wishing_case(
        Preferences(no_telephone=True),
        request=replace(by_text.request, channel=EMAIL),
    )
    assert codes_of(by_text) == {"preference.no-telephone"}
    assert verdict_of(by_text) == "hold"
    assert codes_of(by_email) == set()
    assert verdict_of(reviewed(by_text, "preference.no-telephone")) == "send"


def test_no_telephone_contact_holds_what_may_end_as_a_text() -> None:
    case = a_wishing_case(
        Preferences(no_telephone=True),
        request=replace(a_case().request, channel=EMAIL),
        policy=a_policy(a_platform(notifies_by=frozenset({SMS}))),
    )
    assert codes_of(case) == {"preference.no-telephone"}


def test_preferred_times_are_shown_in_words() -> None:
    case = a_wishing_case(Preferences(times=("mornings only", "not on Fridays")))
    assert codes_of(case) == {"preference.times"}
    assert "mornings only; not on Fridays" in finding_of(case, "preference.times").sentence
    assert verdict_of(case) == "send"


# --- accessible.unmet --------------------------------------------------------------------------


def test_a_need_that_the_channel_does_not_meet_holds_the_message() -> None:
    case = a_case(patient=a_patient(needs=(BRAILLE,)))
    assert codes_of(case) == {"accessible.unmet"}
    assert "braille" in finding_of(case, "accessible.unmet").sentence
    assert verdict_of(case) == "hold"
    assert verdict_of(reviewed(case, "accessible.unmet")) == "send"


def test_a_need_that_the_channel_meets_is_nothing_to_speak_of() -> None:
    by_text = replace(BRAILLE, name="contact by text", met_by=frozenset({SMS}))
    assert codes_of(a_case(patient=a_patient(needs=(by_text,)))) == set()


def test_an_accessible_alternative_lets_the_message_go() -> None:
    case = a_case(patient=a_patient(needs=(BRAILLE,)))
    helped = Asserted(reason="The ward reads it out on Monday.", by=NURSE)
    assert verdict_of(with_evidence(case, accessible_alternative=helped)) == "send"
    blank = with_evidence(case, accessible_alternative=Asserted(reason="\u00a0", by=NURSE))
    assert verdict_of(blank) == "hold"
    assert "evidence.invalid" in codes_of(blank)


# --- of a proxy --------------------------------------------------------------------------------


def test_a_proxys_wishes_count_when_the_proxy_is_written_to() -> None:
    own = bens_own_record(preferences=prefers(EMAIL), needs=(BRAILLE,))
    related = a_related_person()
    case = a_proxy_case(a_grant(), related=related, own_patient=own)
    assert codes_of(case) == {"preference.ignored", "accessible.unmet"}


def test_what_the_related_persons_entry_says_comes_before_their_own_record() -> None:
    own = bens_own_record(preferences=prefers(EMAIL))
    case = a_proxy_case(
        a_grant(), related=a_related_person(preferences=prefers(SMS)), own_patient=own
    )
    assert codes_of(case) == set()


def test_the_patients_wishes_are_no_matter_when_a_proxy_is_written_to() -> None:
    patient = a_patient(preferences=prefers(EMAIL), needs=(BRAILLE,), contact_points=(an_email(),))
    assert codes_of(a_proxy_case(a_grant(), patient=patient)) == set()
