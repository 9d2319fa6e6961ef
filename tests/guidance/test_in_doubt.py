"""What is doubtful, spelled otherwise or stands elsewhere neither opens a way nor closes one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Says
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.provisions import Actor, ActorKind, CodeTerm
from fhirmsg.guidance.record import (
    Assessment,
    Basis,
    ConsentFacts,
    ConsentStatus,
    Preferences,
    StandingReview,
)
from fhirmsg.guidance.request import Acknowledgement, Service
from fhirmsg.guidance.terms import Channel, Declared, Period, Person, ResourceVersion
from tests.builders import (
    BEN_KEYS,
    GUARDIAN,
    NOW,
    NURSE,
    OURS,
    a_case,
    a_check,
    a_child,
    a_consent,
    a_grant,
    a_mobile,
    a_patient,
    a_permission,
    a_person,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_app_platform,
    an_app_request,
    an_emergency,
    an_objection,
    an_organisation,
    an_override,
    codes_of,
    deny,
    falls_back_to,
    in_emergency,
    permit,
    reviewed,
    verdict_of,
    with_evidence,
    with_override,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
CARL = frozenset({"RelatedPerson/carl"})
SEVENTY_SEVEN = CodeTerm(tokens=frozenset({"urn:s|77", "77"}), understood=True, service=True)
ABOUT_77 = a_request(service=Service(code="urn:s|77", sensitive=Declared.NO))
NOT_77 = deny(codes=(SEVENTY_SEVEN,))


def stops(case: Case, code: str) -> bool:
    return verdict_of(case) != "send" and code in codes_of(case)


# --- denials of one person -----------------------------------------------------------------------


@pytest.mark.parametrize("custodian", [an_organisation(OURS), an_organisation()])
def test_a_denial_of_one_person_denies_nobody_else_for_naming_its_custodian(
    custodian: Actor,
) -> None:
    both = (a_person(CARL), custodian)
    of_carl = a_consent("denial", root=deny(actors=both))
    assert verdict_of(a_proxy_case(a_grant(), of_carl)) == "send"
    assert verdict_of(a_proxy_case(a_grant(deny(actors=both)))) == "send"
    of_ben = a_consent("denial", root=deny(actors=(a_person(BEN_KEYS), custodian)))
    assert stops(a_proxy_case(a_grant(), of_ben), "proxy.denied")


@pytest.mark.parametrize(
    "actor", [Actor(kind=ActorKind.OTHER), Actor(kind=ActorKind.PERSON, keys=frozenset())]
)
@pytest.mark.parametrize("disclosure", [True, False])
def test_a_denial_of_somebody_who_is_not_understood_may_deny_the_proxy(
    actor: Actor, disclosure: bool
) -> None:
    denial = a_consent("denial", root=deny(actors=(actor,)), disclosure=disclosure)
    assert stops(a_proxy_case(a_grant(), denial), "proxy.unclear")


@pytest.mark.parametrize(
    "second",
    [
        a_grant(NOT_77, id="second", altered=True),
        a_grant(id="second", root=a_permission(NOT_77, altered=True)),
        a_grant(id="second", root=a_permission(NOT_77, period=Period(malformed=True))),
        a_grant(id="second", root=a_permission(NOT_77, labels=frozenset({"?"}))),
        a_grant(NOT_77, id="second", status=ConsentStatus.UNKNOWN),
        a_grant(id="second", status=ConsentStatus.UNKNOWN),
    ],
)
def test_what_is_not_understood_of_a_grant_leaves_its_exception_standing(
    second: ConsentFacts,
) -> None:
    assert stops(a_proxy_case(a_grant(), second, request=ABOUT_77), "proxy.unclear")


@pytest.mark.parametrize(
    "second",
    [
        a_grant(id="second", altered=True),
        a_grant(NOT_77, id="second", status=ConsentStatus.INACTIVE),
        a_grant(NOT_77, id="second", to=CARL, altered=True),
        a_grant(NOT_77, id="second", altered=True, flag_record=True),
    ],
)
def test_a_grant_without_an_exception_for_this_proxy_now_bars_nobody(second: ConsentFacts) -> None:
    case = a_proxy_case(a_grant(), second, request=ABOUT_77)
    assert not codes_of(case) & {"proxy.unclear", "proxy.denied"}


def test_an_exception_on_a_linked_record_counts() -> None:
    case = a_proxy_case(
        a_grant(),
        request=ABOUT_77,
        linked_consents=(a_grant(NOT_77, id="older"),),
        linked_keys=frozenset({"Patient/older"}),
    )
    assert stops(case, "proxy.denied")


# --- objections ----------------------------------------------------------------------------------


def test_the_patients_own_telephone_is_protected_on_a_proxys_entry_too() -> None:
    hers = a_mobile()
    case = a_proxy_case(
        a_grant(),
        an_objection(SMS),
        related=a_related_person(contact_points=(hers,)),
        patient=a_patient(contact_points=(hers,)),
    )
    assert stops(case, "objection.active")
    assert "objection.patient-on-proxy" not in codes_of(case)


def test_the_newest_version_is_told_by_its_instant_and_not_by_its_text() -> None:
    def at(changed: str, **fields: Any) -> ConsentFacts:
        version = ResourceVersion(
            reference="Consent/objection", version_id=None, last_updated=changed
        )
        return replace(an_objection(SMS), version=version, **fields)

    old = ConsentStatus.INACTIVE
    for newer, older in (
        ("2026-11-01T09:00:00+00:00", "2026-11-01T09:30:00+01:00"),
        ("2026-11-01T09:00:00.500Z", "2026-11-01T09:00:00Z"),
    ):
        case = a_case(consents=(at(newer), at(older, status=old)))
        assert stops(case, "objection.active")


def test_what_the_patient_enters_with_a_relative_is_the_patients_own() -> None:
    own = an_objection(SMS, id="own", safety=True, performers=BEN_KEYS, performer_related=True)
    case = a_proxy_case(a_grant(), own_consents=(own,))
    seen = Acknowledgement(
        code="objection.safety-by-proxy", reference="Consent/own", version_id="1"
    )
    assert stops(in_emergency(case, seen), "objection.safety")


def test_a_reason_of_safety_makes_an_objection_of_a_bare_denial() -> None:
    case = a_case(consents=(a_consent("danger", root=deny(), safety=True),))
    assert stops(case, "objection.safety")
    assert stops(in_emergency(case), "objection.safety")


def test_permitting_one_channel_does_not_close_the_preferred_one() -> None:
    prefers = a_patient(preferences=Preferences(channels=frozenset({EMAIL})))
    only_sms = a_consent("permit", message_marker=True, root=permit(on=(SMS,)))
    assert stops(a_case(patient=prefers), "preference.ignored")
    assert stops(a_case(patient=prefers, consents=(only_sms,)), "preference.ignored")


@pytest.mark.parametrize("objections", [3, 40])
def test_a_later_permission_is_told_once_for_each_objection(objections: int) -> None:
    against = [
        an_objection(SMS, id=f"against-{n}", signed=NOW - timedelta(days=9))
        for n in range(objections)
    ]
    permits = [
        a_consent(
            f"permit-{n}",
            message_marker=True,
            root=permit(on=(SMS,)),
            signed=NOW - timedelta(days=8 - n),
        )
        for n in range(3)
    ]
    told = [
        each
        for each in decide(a_case(consents=(*against, *permits))).findings
        if each.code == "objection.conflict"
    ]
    assert len(told) == objections
    assert {each.evidence[1].reference for each in told} == {"Consent/permit-2"}


def test_a_restriction_that_nobody_confirmed_can_be_reviewed() -> None:
    mobile = a_mobile()
    entered = an_objection(
        id="danger",
        safety=True,
        performer_related=True,
        root=deny(on=(Channel.FAX,)),
        restricted_digests=frozenset({"d1"}),
    )
    case = a_case(
        patient=a_patient(contact_points=(mobile,)),
        consents=(entered,),
        digests={mobile.value or "": "d1"},
    )
    assert codes_of(case) >= {"objection.safety-by-proxy"}
    assert "contact.excluded" not in codes_of(case)
    assert verdict_of(reviewed(case, "objection.safety-by-proxy")) == "send"


# --- grants --------------------------------------------------------------------------------------


def test_a_review_made_before_a_milestone_says_nothing_of_it() -> None:
    def reviewed_on(day: date) -> Case:
        standing = StandingReview(
            code="proxy.age-review", by="Practitioner/g", role="Caldicott Guardian", at=day
        )
        grant = a_grant(basis=Basis.PARENTAL_RESPONSIBILITY, standing_reviews=(standing,))
        return a_proxy_case(grant, patient=a_child(13, contact_points=()))

    birthday = reviewed_on(date(2026, 1, 1)).day
    assert stops(reviewed_on(birthday - timedelta(days=1)), "proxy.age-review")
    assert verdict_of(reviewed_on(birthday)) == "send"


@pytest.mark.parametrize(
    ("basis", "competence", "stopped"),
    [
        (Basis.PARENTAL_RESPONSIBILITY, Assessment(able=None), True),
        (Basis.PARENTAL_RESPONSIBILITY, Assessment(able=False), False),
        (Basis.EXPLICIT_CONSENT, Assessment(able=True, on=date(2030, 1, 1)), True),
        (Basis.EXPLICIT_CONSENT, Assessment(able=True, until=date(2021, 1, 1)), True),
        (Basis.EXPLICIT_CONSENT, Assessment(able=True, on=date(2026, 1, 1)), False),
    ],
)
def test_competence_counts_when_it_is_plain_and_of_now(
    basis: Basis, competence: Assessment, stopped: bool
) -> None:
    grant = a_grant(basis=basis, competence=competence)
    case = a_proxy_case(grant, patient=a_child(12, contact_points=()))
    assert ("proxy.competence" in codes_of(case)) is stopped


def test_capacity_that_is_not_understood_or_yet_to_come_is_not_read_the_milder_way() -> None:
    def with_capacity(assessed: Assessment) -> set[str]:
        return codes_of(a_proxy_case(a_grant(basis=Basis.BEST_INTERESTS, capacity=assessed)))

    assert "proxy.capacity" in with_capacity(Assessment(able=None, on=date(2026, 1, 1)))
    assert "proxy.capacity-unrecorded" in with_capacity(Assessment(able=False, on=date(2030, 1, 1)))


def test_each_of_several_grounds_is_judged() -> None:
    grant = a_grant(
        bases=frozenset({Basis.EXPLICIT_CONSENT, Basis.BEST_INTERESTS}),
        capacity=Assessment(able=False, on=date(2026, 1, 1)),
    )
    case = a_proxy_case(grant, patient=a_child(12, contact_points=()))
    assert stops(reviewed(case, "proxy.unclear"), "proxy.competence")


def test_a_role_withdrawn_on_a_linked_record_conflicts() -> None:
    case = a_proxy_case(
        a_grant(),
        linked_consents=(a_grant(id="older", status=ConsentStatus.REJECTED),),
        linked_keys=frozenset({"Patient/older"}),
    )
    assert stops(case, "proxy.conflict")


# --- platforms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [{"approval": None}, {"channels": frozenset({Channel.EMAIL})}])
def test_what_a_supplier_falls_back_to_has_to_be_approved_too(fault: dict[str, Any]) -> None:
    app = an_app_platform(falls_back=(falls_back_to(SMS, "messenger"),))
    good = a_case(request=an_app_request(), policy=a_policy(a_platform(), app))
    assert "platform.unapproved" not in codes_of(good)
    case = a_case(request=an_app_request(), policy=a_policy(a_platform(**fault), app))
    assert stops(case, "platform.unapproved")


# --- people and what they sign -------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "https://ehr.example/fhir/Practitioner/guardian",
        "Practitioner/guardian/_history/2",
        "https://ehr.example/fhir/Practitioner/guardian/_history/2",
    ],
)
def test_nobody_approves_their_own_message_under_another_spelling(written: str) -> None:
    asked = a_request(requester=replace(NURSE, identifier=written))
    case = a_case(request=asked, consents=(an_objection(SMS),))
    assert stops(with_override(case), "override.invalid")


def test_a_number_with_its_system_and_without_is_one_person() -> None:
    asked = a_request(requester=replace(NURSE, identifier="urn:staff|4711"))
    case = a_case(request=asked, consents=(an_objection(SMS),))
    same = replace(GUARDIAN, identifier="4711")
    assert stops(with_override(case, approver=same), "override.invalid")
    other = replace(GUARDIAN, identifier="urn:other|4711")
    assert verdict_of(with_override(case, approver=other)) == "send"


def test_a_check_made_by_the_proxy_under_an_absolute_reference_does_not_count() -> None:
    asked = a_request(service=Service(code="urn:s|77", sensitive=Declared.YES))
    case = a_proxy_case(a_grant(), request=asked)
    by = Person(identifier="https://ehr.example/fhir/RelatedPerson/ben", name="B", role="carer")
    assert verdict_of(with_evidence(case, individual_check=a_check(case))) == "send"
    assert verdict_of(with_evidence(case, individual_check=a_check(case, by=by))) == "hold"


def test_one_version_that_objects_twice_may_be_cited_twice() -> None:
    held = [replace(an_objection(SMS), part=part) for part in ("label", "telecom")]
    case = a_case(consents=tuple(held))
    assert len(case.readings_that(Says.ACTIVE)) == 2
    once = an_override(case)
    cited = (*once.objections, *once.objections)
    assert verdict_of(with_override(case, replace(once, objections=cited))) == "send"


def test_an_emergency_is_declared_by_who_asks_however_they_are_written() -> None:
    case = a_case(request=a_request(requester=replace(NURSE, identifier="Practitioner/nurse")))
    absolute = replace(NURSE, identifier="https://ehr.example/fhir/Practitioner/nurse")
    declared = with_evidence(case, emergency=an_emergency(case, declared_by=absolute))
    assert declared.emergency
