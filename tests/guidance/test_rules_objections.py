"""Objections and overrides: each finding, the near misses, and the scenarios of a text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.decision import Decision, decide
from fhirmsg.guidance.provisions import CodeTerm
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, Scope
from fhirmsg.guidance.request import Service
from fhirmsg.guidance.rule import Effect, Lift
from fhirmsg.guidance.terms import Channel, Declared, Purpose
from tests import builders
from tests.builders import (
    AMARA,
    GUARDIAN,
    NOW,
    THEIRS,
    TODAY,
    a_case,
    a_consent,
    a_grant,
    a_mobile,
    a_person,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_app_platform,
    an_app_request,
    an_objection,
    bens_own_record,
    codes_of,
    days,
    deny,
    instants,
    made_to,
    permit,
    untyped,
    verdict_of,
    with_override,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
BY_EMAIL = a_request(channel=EMAIL)


def found(*consents: ConsentFacts) -> set[str]:
    """Give what is found in a text to the patient with these Consents on the record."""
    return codes_of(a_case(consents=consents))


def effects(decision: Decision) -> dict[str, Effect]:
    return {finding.code: finding.effect for finding in decision.findings}


# --- objection.active --------------------------------------------------------------------------


def test_an_objection_to_texts_refuses_a_text() -> None:
    case = a_case(consents=(an_objection(SMS),))
    assert codes_of(case) == {"objection.active"}
    assert verdict_of(case) == "refuse"


def test_an_objection_to_texts_lets_an_email_go() -> None:
    assert codes_of(a_case(request=BY_EMAIL, consents=(an_objection(SMS),))) == set()


def test_an_exception_for_email_lets_an_email_go_and_no_text() -> None:
    but_email = an_objection(root=deny(permit(on=[EMAIL])))
    assert codes_of(a_case(request=BY_EMAIL, consents=(but_email,))) == set()
    assert found(but_email) == {"objection.active"}


@pytest.mark.parametrize("purpose", [Purpose.INDIVIDUAL_CARE, Purpose.APPOINTMENT])
def test_an_objection_for_treatment_covers_its_administration(purpose: Purpose) -> None:
    objection = an_objection(root=deny(purposes=("TREAT",)))
    case = a_case(request=a_request(purpose=purpose), consents=(objection,))
    assert codes_of(case) == {"objection.active"}


def test_an_objection_to_approaches_about_research_lets_care_go() -> None:
    assert found(an_objection(root=deny(purposes=("HRESCH",)))) == set()


@pytest.mark.parametrize("status", [ConsentStatus.INACTIVE, ConsentStatus.ENTERED_IN_ERROR])
def test_a_withdrawn_objection_lets_a_text_go(status: ConsentStatus) -> None:
    assert found(an_objection(SMS, status=status)) == set()


def test_an_objection_binds_to_the_end_of_its_last_day() -> None:
    assert found(an_objection(root=deny(period=days(end=TODAY)))) == {"objection.active"}
    ended = days(end=TODAY - timedelta(days=1))
    assert found(an_objection(root=deny(period=ended))) == {"objection.expired"}


@pytest.mark.parametrize("reach", ["fallbacks", "notifies_by"])
def test_a_platform_that_may_end_in_a_text_is_stopped_by_an_objection_to_texts(
    reach: str,
) -> None:
    objection = (an_objection(SMS),)
    ends_in_app = a_case(request=an_app_request(), consents=objection)
    ends_in_text = a_case(
        request=an_app_request(),
        consents=objection,
        policy=a_policy(an_app_platform(**{reach: frozenset({SMS})})),
    )
    assert codes_of(ends_in_app) == set()
    assert codes_of(ends_in_text) == {"objection.active"}


def test_any_denial_wins_over_any_permission() -> None:
    assert "objection.active" in found(an_objection(id="1"), an_objection(id="2", root=permit()))


def test_research_and_advance_decisions_do_not_stop_a_reminder() -> None:
    assert found(a_consent(scope=Scope.OTHER, root=deny())) == set()


def test_a_grant_to_a_proxy_says_nothing_about_the_patient() -> None:
    assert found(a_grant(deny())) == set()


# --- objection.safety --------------------------------------------------------------------------


def test_a_safety_restriction_refuses_for_good() -> None:
    case = a_case(consents=(an_objection(SMS, safety=True),))
    assert codes_of(case) == {"objection.safety"}
    assert verdict_of(with_override(case)) == "refuse"


def test_a_safety_restriction_on_texts_lets_an_email_go() -> None:
    restricted = (an_objection(SMS, safety=True),)
    assert codes_of(a_case(request=BY_EMAIL, consents=restricted)) == set()


def test_a_safety_restriction_on_texts_stops_an_app_message_that_may_end_in_one() -> None:
    case = a_case(
        request=an_app_request(),
        consents=(an_objection(SMS, safety=True),),
        policy=a_policy(an_app_platform(notifies_by=frozenset({SMS}))),
    )
    assert codes_of(case) == {"objection.safety"}


def test_a_safety_restriction_names_no_reason() -> None:
    (finding,) = decide(a_case(consents=(an_objection(SMS, safety=True),))).findings
    assert "sms" in finding.sentence
    assert finding.evidence[0].reference == "Consent/objection"


def test_a_safety_restriction_by_a_relative_is_held_for_the_caldicott_guardian() -> None:
    case = a_case(consents=(an_objection(SMS, safety=True, performer_related=True),))
    assert effects(decide(case)) == {"objection.safety-by-proxy": Effect.HOLD}


# --- objection.pending, unclear, other-organisation --------------------------------------------


def test_a_proposed_objection_holds_the_message() -> None:
    case = a_case(consents=(an_objection(SMS, status=ConsentStatus.PROPOSED),))
    assert effects(decide(case)) == {"objection.pending": Effect.HOLD}


def test_a_proposed_refusal_of_the_proxy_holds_the_message() -> None:
    refusal = a_consent(
        status=ConsentStatus.PROPOSED,
        root=deny(actors=(a_person(a_related_person().keys),)),
    )
    assert codes_of(a_proxy_case(a_grant(), refusal)) == {"objection.pending"}
    assert codes_of(a_case(consents=(refusal,))) == set()


def test_a_consent_nobody_can_read_holds_the_message() -> None:
    case = a_case(consents=(a_consent(root=untyped()),))
    assert effects(decide(case)) == {"objection.unclear": Effect.HOLD}


def test_an_objection_to_others_is_shown_and_the_message_goes() -> None:
    case = a_case(consents=(an_objection(organisations=made_to(THEIRS)),))
    assert effects(decide(case)) == {"objection.other-organisation": Effect.NOTE}
    assert verdict_of(case) == "send"


# --- to a proxy --------------------------------------------------------------------------------


def test_the_proxys_own_objection_to_texts_refuses_a_text_to_the_proxy() -> None:
    case = a_proxy_case(a_grant(), own_patient=bens_own_record(), own_consents=(an_objection(SMS),))
    assert codes_of(case) == {"objection.active"}


def test_the_patients_objection_to_texts_does_not_refuse_one_to_the_proxy() -> None:
    case = a_proxy_case(a_grant(), an_objection(SMS))
    assert codes_of(case) == {"objection.patient-on-proxy"}
    assert verdict_of(case) == "send"


def test_the_patients_objection_to_every_message_refuses_one_to_the_proxy() -> None:
    assert codes_of(a_proxy_case(a_grant(), an_objection())) == {"objection.active"}


def test_a_code_of_another_system_opens_no_exception() -> None:
    exception = permit(codes=(CodeTerm(tokens=frozenset({"urn:theirs|7", "7"})),))
    service = Service(code="urn:ours|7", sensitive=Declared.NO)
    case = a_case(
        request=a_request(service=service), consents=(an_objection(root=deny(exception)),)
    )
    assert codes_of(case) == {"objection.active"}


# --- overrides ---------------------------------------------------------------------------------


def test_a_complete_override_lets_the_message_go_with_a_warning() -> None:
    decision = decide(with_override(a_case(consents=(an_objection(SMS),))))
    (finding,) = decision.findings
    assert (finding.code, finding.effect) == ("objection.active", Effect.WARN)
    assert finding.lifted is not None
    assert (finding.lifted.by, finding.lifted.who) == (Lift.OVERRIDE, GUARDIAN.identifier)
    assert decision.verdict == "send"


def test_an_override_without_an_approver_changes_nothing_and_says_why() -> None:
    case = with_override(a_case(consents=(an_objection(SMS),)), approver=None)
    assert effects(decide(case)) == {
        "objection.active": Effect.REFUSE,
        "override.invalid": Effect.NOTE,
    }


def test_an_override_without_an_objection_is_shown_as_invalid_and_stops_nothing() -> None:
    case = with_override(a_case())
    assert codes_of(case) == {"override.invalid"}
    assert verdict_of(case) == "send"


@pytest.mark.parametrize(
    "other",
    [
        an_objection(id="other", status=ConsentStatus.PROPOSED),
        a_consent(id="other", root=untyped()),
        an_objection(id="other", safety=True),
        an_objection(id="other", safety=True, performer_related=True),
    ],
)
def test_an_override_lifts_an_objection_in_force_and_nothing_else(other: ConsentFacts) -> None:
    case = a_case(consents=(an_objection(SMS), other))
    lifted = {finding.code for finding in decide(with_override(case)).findings if finding.lifted}
    assert lifted == {"objection.active"}
    assert verdict_of(with_override(case)) != "send"


def test_an_override_gives_a_proxy_no_basis() -> None:
    case = with_override(a_proxy_case(an_objection()))
    assert verdict_of(case) == "refuse"
    assert "proxy.no-basis" in codes_of(case)


def test_the_findings_cite_the_version_they_rest_on() -> None:
    (finding,) = decide(a_case(consents=(an_objection(version="3"),))).findings
    assert [(v.reference, v.version_id) for v in finding.evidence] == [("Consent/objection", "3")]
    assert AMARA not in finding.sentence
    assert a_mobile().value not in finding.sentence
    assert NOW.isoformat() not in finding.sentence


def test_an_objection_that_names_its_recorder_as_an_actor_never_lets_a_text_go() -> None:
    recorder = builders.Actor(kind=builders.ActorKind.STAFF, keys=frozenset({"Practitioner/gp"}))
    root = builders.deny(on=[builders.Channel.SMS], actors=(recorder,))
    objection = builders.an_objection(root=root)
    case = builders.a_case(consents=[objection])
    assert builders.codes_of(case) == {"objection.unclear"}


@pytest.mark.parametrize("safety", [False, True])
def test_an_objection_that_begins_at_the_end_of_the_calendar_is_one_to_come(safety: bool) -> None:
    last = datetime.max.replace(tzinfo=UTC)
    objection = an_objection(root=deny(period=instants(start=last)), safety=safety)
    assert found(objection) == {"objection.future"}


# --- objection.conflict ------------------------------------------------------------------------


def conflict(objection: Any = None, permission: Any = None) -> bool:
    said_no = objection or an_objection(SMS, signed=NOW - timedelta(days=2))
    permitted = permission or a_permission_to_text()
    return "objection.conflict" in found(said_no, permitted)


def a_permission_to_text(**fields: Any) -> ConsentFacts:
    defaults = {
        "id": "permission",
        "message_marker": True,
        "root": permit(on=[SMS]),
        "signed": NOW - timedelta(days=1),
    }
    return a_consent(**{**defaults, **fields})


def test_a_permission_signed_later_is_shown_beside_the_objection() -> None:
    assert conflict()
    assert conflict(permission=a_permission_to_text(signed=None))
    assert conflict(objection=an_objection(SMS))


@pytest.mark.parametrize(
    "permission",
    [
        a_permission_to_text(signed=NOW - timedelta(days=2)),
        a_permission_to_text(signed=NOW - timedelta(days=3)),
        a_permission_to_text(status=ConsentStatus.INACTIVE),
        a_permission_to_text(status=ConsentStatus.DRAFT),
        a_permission_to_text(message_marker=False, other_category=True),
        a_permission_to_text(root=permit(on=[Channel.EMAIL])),
        a_permission_to_text(root=permit(deny(on=[SMS]))),
    ],
    ids=["same-time", "earlier", "inactive", "draft", "of-another-kind", "by-email", "denying"],
)
def test_what_was_not_permitted_later_is_no_conflict(permission: ConsentFacts) -> None:
    assert not conflict(permission=permission)


# --- objection.expired, objection.future -------------------------------------------------------


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(minutes=9), False),
        (timedelta(minutes=11), True),
        (timedelta(days=366), True),
        (timedelta(days=366, seconds=1), False),
    ],
)
def test_an_objection_that_ended_is_shown_for_a_year(ago: timedelta, shown: bool) -> None:
    ended = an_objection(root=deny(period=instants(end=NOW - ago)))
    assert ("objection.expired" in found(ended)) is shown


@pytest.mark.parametrize(
    ("ahead", "shown"), [(timedelta(minutes=9), False), (timedelta(minutes=11), True)]
)
def test_an_objection_to_come_is_shown_until_it_counts(ahead: timedelta, shown: bool) -> None:
    coming = an_objection(root=deny(period=instants(start=NOW + ahead)))
    assert ("objection.future" in found(coming)) is shown
    assert ("objection.active" in found(coming)) is not shown


@pytest.mark.parametrize(
    "fields",
    [
        {"on": [Channel.EMAIL]},
        {"organisations": made_to(THEIRS)},
        {"status": ConsentStatus.INACTIVE},
        {"message_marker": False, "other_category": True},
    ],
    ids=["another-channel", "to-others", "withdrawn", "no-objection"],
)
def test_what_would_not_bear_on_this_message_is_not_shown(fields: Any) -> None:
    given = dict(fields)
    on = given.pop("on", ())
    ended = deny(on=on, period=days(end=TODAY - timedelta(days=3)))
    coming = deny(on=on, period=days(start=TODAY + timedelta(days=3)))
    for root in (ended, coming):
        assert found(an_objection(root=root, **given)) - {"objection.other-organisation"} == set()
