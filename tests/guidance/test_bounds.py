"""Edges that plain cases do not reach: fallbacks, answers about others, what binds what."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Denied
from fhirmsg.guidance.evidence import is_of_another
from fhirmsg.guidance.policy import Fallback, Window
from fhirmsg.guidance.provisions import Actor, ActorKind, Provision
from fhirmsg.guidance.record import (
    Basis,
    ConsentStatus,
    ContactPoint,
    Preferences,
    Scope,
    StandingReview,
)
from fhirmsg.guidance.request import (
    Acknowledgement,
    BroughtContactPoint,
    Content,
    Service,
    message_digest,
)
from fhirmsg.guidance.reviews import faults_of_review, reviewer_of, was_seen
from fhirmsg.guidance.terms import BirthInterval, Channel, Declared, ResourceVersion
from tests.builders import (
    AMARA,
    BEN,
    BEN_KEYS,
    GUARDIAN,
    THEIRS,
    TODAY,
    a_case,
    a_check,
    a_consent,
    a_grant,
    a_mobile,
    a_neighbour,
    a_patient,
    a_person,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    a_review,
    an_email,
    an_objection,
    an_organisation,
    bens_own_record,
    codes_of,
    days,
    deny,
    finding_of,
    in_emergency,
    permit,
)
from tests.guidance.wording.parts import LEXICON

SMS, EMAIL, APP = Channel.SMS, Channel.EMAIL, Channel.NHS_APP
HERS, HER_EMAIL = "+447700900101", "amara@example.org"
OVER = days(end=date(2026, 1, 1))


# --- where the words may arrive ----------------------------------------------------------------


def falling_back(*points: ContactPoint, at: str = HER_EMAIL) -> Case:
    """Give a text whose supplier may turn to email, and a lodger at one of the addresses."""
    return a_case(
        patient=a_patient(contact_points=points),
        policy=a_policy(a_platform(fallbacks=[EMAIL])),
        neighbours=(a_neighbour(at),),
    )


def people_there(case: Case) -> list[str]:
    return [each.version.reference for each in case.reach.others_there]


def test_people_at_a_contact_point_the_supplier_may_turn_to_are_there() -> None:
    assert people_there(falling_back(a_mobile(), an_email())) == ["RelatedPerson/lodger"]
    assert people_there(falling_back(a_mobile(), an_email(period=OVER))) == []
    other = falling_back(a_mobile(), an_email("elsewhere@example.org"))
    assert people_there(other) == []


def test_a_platform_that_turns_nowhere_reaches_nobody_else() -> None:
    case = a_case(neighbours=(a_neighbour(HER_EMAIL),))
    assert people_there(case) == []


def test_people_are_there_once_and_in_one_order() -> None:
    lodger = a_neighbour(HERS)
    unversioned = replace(lodger, version=ResourceVersion(reference="RelatedPerson/lodger"))
    other = a_neighbour(HERS, id="RelatedPerson/aunt")
    for order in ((lodger, unversioned, other, lodger), (other, unversioned, lodger)):
        there = a_case(neighbours=order).reach.others_there
        assert [(each.version.reference, each.version.version_id) for each in there] == [
            ("RelatedPerson/aunt", "1"),
            ("RelatedPerson/lodger", None),
            ("RelatedPerson/lodger", "1"),
        ]


def test_the_name_that_is_authorised_is_one_of_the_same_human() -> None:
    authorised = a_neighbour("+447700900777", id="RelatedPerson/aunt")
    case = a_case(
        neighbours=(a_neighbour(HERS), authorised),
        consents=(a_grant(to=["RelatedPerson/aunt"]),),
    )
    assert [each.version.reference for each in case.reach.unauthorised_there] == [
        "RelatedPerson/lodger"
    ]
    number = "https://fhir.nhs.uk/Id/nhs-number|9990000034"
    both = [replace(each, keys=each.keys | {number}) for each in (a_neighbour(HERS), authorised)]
    same = replace(case, record=replace(case.record, neighbours=tuple(both)))
    assert same.reach.unauthorised_there == ()


def test_a_proxy_at_the_patients_own_number_is_told_from_one_at_their_own() -> None:
    case = a_proxy_case(a_grant())
    assert not case.reach.is_the_patients_own
    shared = a_patient(contact_points=(a_mobile("+447700900202"),))
    assert a_proxy_case(a_grant(), patient=shared).reach.is_the_patients_own
    assert not a_case().reach.is_the_patients_own
    nowhere = a_proxy_case(a_grant(), request=a_request(channel=Channel.LETTER, recipient=BEN))
    assert nowhere.contact_point is None
    assert not nowhere.reach.is_the_patients_own


# --- channels that are asked about -------------------------------------------------------------


def test_the_patients_word_on_a_channel_is_asked_of_that_channel() -> None:
    by_proxy = an_objection(EMAIL, performers=BEN_KEYS)
    case = a_proxy_case(a_grant(), by_proxy)
    assert case.objects_to(EMAIL)
    assert not case.objects_to(SMS)
    assert not case.objects_to(APP)


def test_a_preferred_channel_is_usable_where_no_way_of_its_platform_is_objected_to() -> None:
    patient = a_patient(preferences=Preferences(channels=frozenset({EMAIL, APP})))
    assert a_case(patient=patient).wishes.usable == (EMAIL, APP)
    objected = a_case(patient=patient, consents=(an_objection(EMAIL),))
    assert objected.wishes.usable == (APP,)
    turning = a_policy(
        a_platform(),
        a_platform(name="app", channels=frozenset({APP}), fallbacks=[EMAIL]),
    )
    assert (
        a_case(patient=patient, consents=(an_objection(EMAIL),), policy=turning).wishes.usable == ()
    )


def test_the_next_secure_platform_is_offered_where_the_first_is_not_approved() -> None:
    secure = {"confidential": True, "requires_login": True, "channels": frozenset({APP})}
    policy = a_policy(
        a_platform(),
        a_platform(name="a", approval=None, **secure),
        a_platform(name="b", **secure),
    )
    assert a_case(policy=policy).content.secure_way == ("b", APP)


def test_a_way_that_turns_through_a_named_platform_is_as_secure_as_that_one() -> None:
    secure = {"confidential": True, "requires_login": True}
    turn = (Fallback(channel=EMAIL, platform="portal"),)
    first = a_platform(name="app", channels=frozenset({APP}), falls_back=turn, **secure)
    portal = a_platform(name="portal", channels=frozenset({EMAIL}), **secure)
    policy = a_policy(first, portal)
    assert policy.ways_of(first, APP).secure
    assert policy.ways_of(first, APP).content == {APP, EMAIL}
    insecure = a_policy(first, replace(portal, requires_login=False))
    assert not insecure.ways_of(first, APP).secure
    assert not a_policy(first).ways_of(first, APP).secure


def test_a_platform_reaches_its_channel_its_fallbacks_and_its_notices() -> None:
    platform = a_platform(fallbacks=[EMAIL], notifies_by=frozenset({APP}))
    assert platform.reaches(SMS) == {SMS, EMAIL, APP}
    assert replace(platform, channels=frozenset()).reaches(SMS) == frozenset(Channel)


# --- answers about others ----------------------------------------------------------------------


def test_a_no_about_another_proxy_or_another_service_is_of_another() -> None:
    service = Service(code="urn:service|sexual-health", sensitive=Declared.YES)
    case = a_proxy_case(a_grant(), request=a_request(recipient=BEN, service=service))
    assert not is_of_another(case, a_check(case))
    assert not is_of_another(case, a_check(case, proxy=None))
    assert not is_of_another(case, a_check(case, service=None))
    assert is_of_another(case, a_check(case, proxy="RelatedPerson/other"))
    assert is_of_another(case, a_check(case, service="urn:service|physio"))
    unnamed = a_proxy_case(a_grant(), request=a_request(recipient=BEN, service=Service()))
    assert not is_of_another(unnamed, a_check(unnamed, service="urn:service|physio"))


# --- what was seen -----------------------------------------------------------------------------

SEEN = ResourceVersion(reference="Consent/1", version_id="1")


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (Acknowledgement(code="proxy.unclear"), True),
        (Acknowledgement(code="proxy.unclear", reference="Consent/1", version_id="1"), True),
        (Acknowledgement(code="proxy.unclear", reference="Consent/1"), False),
        (Acknowledgement(code="proxy.unclear", version_id="1"), False),
        (Acknowledgement(code="proxy.unclear", reference="Consent/1", version_id="2"), False),
        (Acknowledgement(code="objection.active"), False),
        (Acknowledgement(code="objection.active", reference="Consent/1", version_id="1"), True),
    ],
)
def test_what_names_a_resource_names_it_in_its_version(given: Acknowledgement, seen: bool) -> None:
    assert was_seen(given, (SEEN,)) is seen


def test_what_the_server_gave_no_version_was_not_seen() -> None:
    unversioned = ResourceVersion(reference="Consent/1")
    given = Acknowledgement(code="objection.active", reference="Consent/1")
    assert not was_seen(given, (unversioned,))


# --- words and labels --------------------------------------------------------------------------


def test_plain_words_that_are_declared_plain_are_not_remarked_on() -> None:
    remarked = a_request(content=Content(body="EXAMPLE SURGERY: PLEASE CALL US TODAY AT ONCE!!!"))
    case = a_case(request=remarked)
    assert case.words_are_remarked_on
    assert "confidential.undeclared" not in codes_of(case)


def test_a_label_on_the_patient_is_cited_for_a_sensitive_service() -> None:
    labelled = a_patient(sensitive_labels=frozenset({"HIV"}), contact_points=())
    case = a_proxy_case(a_grant(), patient=labelled)
    assert labelled.version in finding_of(case, "sensitive.proxy").evidence


def test_a_denial_of_somebody_else_at_no_number_of_ours_rules_nothing_out() -> None:
    denial = a_consent(root=deny(actors=(a_person(["RelatedPerson/lodger"]),)))
    case = a_case(neighbours=(a_neighbour("+447700900777"),), consents=(denial,))
    assert case.reach.point is not None
    assert case.reach.point.value == HERS


# --- denials of somebody who is not understood -------------------------------------------------

NOBODY_KNOWN = Actor(kind=ActorKind.OTHER)


def denials(root: Provision, **fields: Any) -> list[Denied]:
    """Tell whether a Consent on Amara's record bars Ben."""
    consent = a_consent(root=root, **fields)
    return [each.denied for each in a_proxy_case(a_grant(), consent).denials]


@pytest.mark.parametrize("actor", [NOBODY_KNOWN, Actor(kind=ActorKind.PERSON)])
def test_a_denial_of_somebody_who_is_not_understood_may_be_one_of_the_proxy(actor: Actor) -> None:
    assert denials(deny(actors=(actor,), data=True)) == [Denied.PERHAPS]


@pytest.mark.parametrize(
    ("root", "fields"),
    [
        (deny(actors=(NOBODY_KNOWN,), data=True), {"scope": Scope.OTHER}),
        (deny(actors=(NOBODY_KNOWN,), data=True), {"other_category": True}),
        (permit(actors=(NOBODY_KNOWN,), data=True), {}),
        (deny(actors=(NOBODY_KNOWN, an_organisation(THEIRS)), data=True), {}),
        (deny(actors=(a_person(["RelatedPerson/eve"]), a_person([AMARA])), data=True), {}),
    ],
    ids=["another scope", "another category", "a permission", "an organisation", "others"],
)
def test_what_is_plainly_about_something_else_denies_the_proxy_nothing(
    root: Provision, fields: dict[str, Any]
) -> None:
    assert denials(root, **fields) == []


# --- whose word counts -------------------------------------------------------------------------


def test_nobody_reviews_a_message_to_themselves() -> None:
    case = a_proxy_case(a_grant())
    for identifier in (BEN, "9990000026", " relatedperson/BEN "):
        own = a_review(case, "proxy.scope", reviewer=replace(GUARDIAN, identifier=identifier))
        assert faults_of_review(case, own) == (
            "the reviewer is the person who would receive the message",
        )
    assert faults_of_review(case, a_review(case, "proxy.scope")) == ()
    to_amara = a_case()
    hers = a_review(to_amara, "proxy.scope", reviewer=replace(GUARDIAN, identifier=AMARA))
    assert faults_of_review(to_amara, hers) == ()


def test_a_standing_review_counts_for_the_consent_it_stands_on() -> None:
    standing = StandingReview(
        code="proxy.scope", by="Practitioner/guardian", role="Caldicott Guardian", at=TODAY
    )
    reviewed_one = a_grant(id="1", standing_reviews=(standing,))
    other = a_grant(id="2")
    case = a_proxy_case(reviewed_one, other)
    assert reviewer_of(case, "proxy.scope", (reviewed_one.version,)) == "Practitioner/guardian"
    assert reviewer_of(case, "proxy.scope", (other.version,)) is None
    assert reviewer_of(case, "proxy.unclear", (reviewed_one.version,)) is None


def test_the_grants_that_count_stand_on_the_patients_own_record() -> None:
    linked = a_proxy_case(linked_consents=(a_grant(),))
    assert linked.candidates == {}
    both = a_proxy_case(a_grant(id="own"), linked_consents=(a_grant(id="linked"),))
    assert set(both.candidates) == {"Consent/own"}
    assert (
        a_proxy_case(a_consent(id="no-grant", grantees=BEN_KEYS, scope=Scope.OTHER)).candidates
        == {}
    )


def test_a_denial_or_a_refusal_that_was_taken_back_conflicts_with_no_grant() -> None:
    taken_back = a_grant(id="other", status=ConsentStatus.INACTIVE)
    for other in (
        replace(taken_back, declines=True),
        replace(taken_back, root=deny(actors=(a_person(BEN_KEYS),))),
    ):
        grant = a_proxy_case(a_grant(), other).grant
        assert grant is not None
        assert "proxy.conflict" not in [flaw.code for flaw in grant.flaws]


def test_the_youngest_reading_of_a_birth_date_makes_no_adult() -> None:
    policy = a_policy(accept_unlisted_bases=frozenset({"POWATT"}))
    power = a_grant(basis=Basis.UNLISTED, unlisted=frozenset({"POWATT"}))

    def flaws(earliest: date | None, latest: date | None) -> list[str]:
        patient = a_patient(born=BirthInterval(earliest=earliest, latest=latest), contact_points=())
        grant = a_proxy_case(power, patient=patient, policy=policy).grant
        assert grant is not None
        return [flaw.code for flaw in grant.flaws]

    eighteen, younger = TODAY.replace(year=TODAY.year - 18), TODAY.replace(year=TODAY.year - 17)
    assert flaws(eighteen, eighteen) == []
    assert flaws(eighteen, younger) == ["proxy.capacity"]
    assert flaws(None, eighteen) == []
    assert flaws(eighteen, None) == ["proxy.capacity"]


def test_a_platform_delivers_by_the_local_time_of_the_organisation() -> None:
    office = Window(weekdays=frozenset(range(7)), start=time(9), end=time(17))
    policy = a_policy(a_platform(windows=(office,)))
    # In summer nine o'clock in London is eight o'clock by universal time.
    for hour, late in ((8, False), (7, True), (15, False), (16, True)):
        at = datetime(2026, 7, 1, hour, 30, tzinfo=UTC)
        case = in_emergency(a_case(policy=policy, as_of=at))
        assert ("emergency.latency" in codes_of(case)) is late


def test_an_objection_that_is_pending_tells_who_entered_it() -> None:
    entered = an_objection(status=ConsentStatus.PROPOSED, performer_related=True)
    assert "objection.by-proxy" in codes_of(a_case(consents=(entered,)))


def test_several_restrictions_rule_out_all_that_they_name() -> None:
    def restricting(id: str, digest: str) -> Any:
        return an_objection(
            id=id, safety=True, root=deny(on=[Channel.FAX]), restricted_digests=frozenset({digest})
        )

    case = a_case(
        consents=(restricting("1", "d1"), restricting("2", "d2")),
        digests={HERS: "d1", HER_EMAIL: "d2", "+447700900777": "d3"},
    )
    assert case.reach.excluded == {HERS, HER_EMAIL}


# --- contact points that are ruled out, brought or in doubt ------------------------------------


def test_a_contact_point_that_is_brought_and_ruled_out_is_not_used() -> None:
    request = a_request(
        contact_point=BroughtContactPoint(system="sms", value="07700 900777", source="the ward")
    )
    denial = a_consent(root=deny(actors=(a_person(["RelatedPerson/lodger"]),)))
    theirs = a_neighbour("+447700900777")
    case = in_emergency(
        a_case(
            request=request,
            brought=a_mobile("+447700900777"),
            neighbours=(theirs,),
            consents=(denial,),
        ),
        "contact.unrecorded",
    )
    assert case.contact_point is None
    assert case.reach.all_are_excluded
    assert "contact.excluded" in codes_of(case)


def test_a_contact_point_that_is_brought_is_used_in_its_period() -> None:
    request = a_request(
        contact_point=BroughtContactPoint(system="sms", value="07700 900777", source="the ward")
    )
    for period, used in ((OVER, False), (days(start=date(2026, 1, 1)), True)):
        point = a_mobile("+447700900777", period=period)
        case = in_emergency(a_case(request=request, brought=point), "contact.unrecorded")
        assert (case.contact_point is not None) is used


@pytest.mark.parametrize(
    ("fields", "digests", "in_doubt"),
    [
        ({"performer_related": True}, {HERS: "d1"}, True),
        ({"performer_related": True}, {HERS: "d2"}, False),
        ({"performer_related": True}, {HER_EMAIL: "d1"}, False),
        ({"performer_related": True}, {}, False),
        ({"performer_related": True, "confirmed_with_patient": True}, {HER_EMAIL: "d1"}, False),
        ({"performer_related": False}, {HER_EMAIL: "d1"}, False),
    ],
)
def test_a_restriction_by_a_relative_is_in_doubt_for_the_value_it_names(
    fields: dict[str, Any], digests: dict[str, str], in_doubt: bool
) -> None:
    restriction = an_objection(
        safety=True,
        root=deny(on=[Channel.FAX]),
        restricted_digests=frozenset({"d1"}),
        **fields,
    )
    case = a_case(consents=(restriction,), digests=digests)
    assert case.reach.unconfirmed_restrictions == ((restriction,) if in_doubt else ())
    if in_doubt:
        assert finding_of(case, "objection.safety-by-proxy").evidence == (restriction.version,)


# --- wishes of a proxy -------------------------------------------------------------------------


def wishes(relation: Preferences, own: Preferences) -> Preferences:
    return a_proxy_case(
        a_grant(),
        related=a_related_person(preferences=relation),
        own_patient=bens_own_record(preferences=own),
    ).wishes.preferences


def test_the_ways_of_the_relation_come_before_those_of_the_proxys_own_record() -> None:
    own = Preferences(channels=frozenset({EMAIL}))
    for relation in (
        Preferences(channels=frozenset({SMS})),
        Preferences(other=("a visit",)),
        Preferences(unknown=True),
    ):
        assert wishes(relation, own) == relation
    assert wishes(Preferences(), own) == own


def test_a_prohibition_and_times_count_wherever_they_stand() -> None:
    relation = Preferences(channels=frozenset({SMS}), times=("mornings",))
    own = Preferences(no_telephone=True, times=("evenings", "mornings"))
    for one, other in ((relation, own), (own, relation)):
        assert wishes(one, other).no_telephone
        assert set(wishes(one, other).times) == {"mornings", "evenings"}
    assert wishes(relation, own).times == ("mornings", "evenings")
    assert not wishes(relation, replace(own, no_telephone=False)).no_telephone


# --- what is looked at -------------------------------------------------------------------------


def test_the_subject_of_an_email_is_looked_at_too() -> None:
    plain = Content(body="Example Surgery: please call us.", subject="HIV clinic")
    policy = a_policy(lexicon=LEXICON)
    request = a_request(channel=EMAIL, content=plain)
    assert a_case(request=request, policy=policy).content.confidential
    without = replace(request, content=replace(plain, subject=None))
    assert not a_case(request=without, policy=policy).content.confidential


def test_the_digest_of_a_message_is_that_of_its_canonical_json() -> None:
    request = a_request(not_after=datetime(2026, 12, 1, 9, tzinfo=UTC))
    content = {key: value for key, value in asdict(request).items() if key != "evidence"}
    content["not_after"] = "2026-12-01T09:00:00+00:00"
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert message_digest(request) == hashlib.sha256(canonical.encode()).hexdigest()
