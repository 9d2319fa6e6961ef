"""Proxies and sensitive services: each finding, and the near misses.

Unless said otherwise the grant is for messages, has an end, is ours, and the service is plain.
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.provisions import CodeTerm, Direction, Provision
from fhirmsg.guidance.record import AboutFacts, Basis, ConsentFacts, ConsentStatus, Scope
from fhirmsg.guidance.request import Content, Service
from fhirmsg.guidance.terms import (
    BirthInterval,
    Channel,
    Declared,
    Match,
    Period,
    ResourceVersion,
)
from tests.builders import (
    AMARA,
    BEN_KEYS,
    TODAY,
    a_case,
    a_child,
    a_consent,
    a_grant,
    a_patient,
    a_permission,
    a_person,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_objection,
    an_organisation,
    bens_own_record,
    born,
    codes_of,
    days,
    deny,
    permit,
    unknown_code,
    untyped,
    verdict_of,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
PARENTAL = Basis.PARENTAL_RESPONSIBILITY
EVE_KEYS = frozenset({"RelatedPerson/eve"})
YESTERDAY = TODAY - timedelta(days=1)


# What is said besides of a grant that is written in few words.
BESIDE = {"proxy.no-end", "proxy.capacity-unrecorded"}


def found(*consents: ConsentFacts, **case: object) -> set[str]:
    """Give what is found in a message to Ben with these Consents on Amara's record."""
    return codes_of(a_proxy_case(*consents, **case)) - BESIDE


# --- the plain way -----------------------------------------------------------------------------


def test_a_proxy_with_a_full_grant_receives() -> None:
    case = a_proxy_case(a_grant())
    assert codes_of(case) == set()
    assert verdict_of(case) == "send"


def test_a_parent_of_a_child_of_nine_receives() -> None:
    assert found(a_grant(basis=PARENTAL), patient=a_child(9)) == set()


# --- proxy.link, proxy.inactive ----------------------------------------------------------------


@pytest.mark.parametrize("keys", [frozenset(), frozenset({"Patient/other"}), BEN_KEYS])
def test_a_relation_of_nobody_or_of_somebody_else_is_refused(keys: frozenset[str]) -> None:
    assert found(a_grant(), related=a_related_person(patient_keys=keys)) == {"proxy.link"}


@pytest.mark.parametrize(
    "fields",
    [
        {"active": False},
        {"period": days(end=YESTERDAY)},
        {"period": days(start=TODAY + timedelta(days=1))},
        {"period": Period(malformed=True)},
    ],
)
def test_an_entry_not_in_use_is_refused(fields: dict[str, object]) -> None:
    assert found(a_grant(), related=a_related_person(**fields)) == {"proxy.inactive"}


def test_an_entry_on_its_last_day_is_in_use() -> None:
    assert found(a_grant(), related=a_related_person(period=days(end=TODAY))) == set()


def test_a_proxy_who_has_died_is_refused() -> None:
    died = bens_own_record(died="a date of death")
    assert found(a_grant(), own_patient=died) == {"proxy.inactive"}


# --- proxy.denied ------------------------------------------------------------------------------


def refusing(*keys: str, id: str = "refusal", **fields: object) -> ConsentFacts:
    root = deny(actors=(a_person(keys or BEN_KEYS),))
    return a_consent(**{"id": id, "root": root, **fields})


@pytest.mark.parametrize(
    "consent",
    [
        refusing(),
        refusing(other_category=True),
        refusing(scope=Scope.OTHER),
        a_consent(id="disclosure", root=deny(), disclosure=True),
        an_objection(SMS, id="both", root=deny(), disclosure=True),
        an_objection(EMAIL, id="inside", root=deny(deny(actors=(a_person(BEN_KEYS),)), on=[SMS])),
        a_grant(permit(deny(actors=(a_person(BEN_KEYS),))), id="eves", to=EVE_KEYS),
        a_grant(deny(), id="second"),
    ],
)
def test_a_consent_that_denies_this_person_refuses(consent: ConsentFacts) -> None:
    case = a_proxy_case(a_grant(), consent)
    assert "proxy.denied" in codes_of(case)
    assert verdict_of(case) == "refuse"


@pytest.mark.parametrize(
    "consent",
    [
        refusing(*EVE_KEYS),
        refusing(status=ConsentStatus.INACTIVE),
        refusing(status=ConsentStatus.REJECTED),
        refusing(status=ConsentStatus.ENTERED_IN_ERROR),
        refusing(root=deny(actors=(a_person(BEN_KEYS),), period=days(end=YESTERDAY))),
        refusing(root=deny(actors=(a_person(BEN_KEYS),), on=[EMAIL])),
        a_consent(id="research", root=deny(), scope=Scope.OTHER),
        a_consent(id="other", root=deny(), other_category=True),
        a_grant(deny(), id="eves", to=EVE_KEYS),
        a_grant(deny(on=[EMAIL]), id="second"),
    ],
)
def test_a_consent_that_denies_others_or_something_else_does_not_refuse(
    consent: ConsentFacts,
) -> None:
    assert found(a_grant(), consent) == set()


def test_a_vague_exception_does_not_weaken_a_definite_one() -> None:
    vague = deny(actors=(a_person(BEN_KEYS),), codes=(unknown_code(),))
    assert found(a_grant(deny(on=[SMS]))) == {"proxy.denied"}
    assert found(a_grant(deny(on=[SMS]), vague)) == {"proxy.denied"}


def test_a_denial_of_the_same_human_under_another_name_counts() -> None:
    by_patient_id = refusing("Patient/ben")
    assert "proxy.denied" in found(a_grant(), by_patient_id, own_patient=bens_own_record())


def test_a_denial_on_a_linked_record_counts() -> None:
    assert "proxy.denied" in found(a_grant(), linked_consents=(refusing(),))


def test_a_denial_of_the_proxy_says_nothing_about_messages_to_the_patient() -> None:
    assert codes_of(a_case(consents=(refusing(),))) == set()


def test_a_grant_that_denies_just_this_is_denied_and_not_without_a_basis() -> None:
    service = Service(code="urn:s|7", sensitive=Declared.NO)
    but_this = deny(codes=(CodeTerm(tokens=frozenset({"urn:s|7", "7"})),))
    case = a_proxy_case(a_grant(but_this), request=a_request(service=service))
    assert codes_of(case) == {"proxy.denied"}


# --- proxy.no-basis ----------------------------------------------------------------------------


def test_without_any_consent_a_proxy_has_no_basis() -> None:
    case = a_proxy_case()
    assert codes_of(case) == {"proxy.no-basis"}
    assert verdict_of(case) == "refuse"


@pytest.mark.parametrize(
    "consent",
    [
        a_grant(status=ConsentStatus.PROPOSED),
        a_grant(to=EVE_KEYS),
        a_grant(basis=Basis.RELATIONSHIP),
        a_grant(basis=PARENTAL),
        a_grant(root=a_permission(period=days(end=YESTERDAY))),
    ],
)
def test_what_is_no_grant_to_this_proxy_now_is_no_basis(consent: ConsentFacts) -> None:
    assert found(consent) == {"proxy.no-basis"}


def test_a_grant_on_its_last_day_is_a_basis() -> None:
    assert found(a_grant(root=a_permission(period=days(end=TODAY)))) == {"proxy.ends-soon"}


def test_parental_responsibility_ends_on_the_sixteenth_birthday() -> None:
    grant = a_grant(basis=PARENTAL, reviewed=YESTERDAY)
    eve_of_birthday = born(date(TODAY.year - 16, TODAY.month, TODAY.day + 1))
    assert found(grant, patient=a_patient(born=eve_of_birthday)) == set()
    assert found(grant, patient=a_child(16)) == {"proxy.no-basis"}


def test_a_birth_date_that_is_not_known_gives_a_parent_no_basis() -> None:
    assert found(a_grant(basis=PARENTAL), patient=a_patient(born=BirthInterval())) == {
        "proxy.no-basis"
    }


def test_the_patient_needs_no_basis() -> None:
    assert codes_of(a_case(consents=(a_grant(status=ConsentStatus.REJECTED),))) == set()


# --- proxy.unclear -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "consent",
    [
        a_grant(root=untyped(actors=(a_person(BEN_KEYS),))),
        a_grant(root=Provision(unknown_type=True, actors=(a_person(BEN_KEYS),))),
        a_grant(bases=frozenset({Basis.EXPLICIT_CONSENT, Basis.BEST_INTERESTS})),
        a_grant(unverified=True),
    ],
)
def test_a_grant_that_is_not_plain_is_held(consent: ConsentFacts) -> None:
    case = a_proxy_case(consent)
    assert found(consent) == {"proxy.unclear"}
    assert verdict_of(case) == "hold"


@pytest.mark.parametrize(
    "consent",
    [
        refusing(status=ConsentStatus.UNKNOWN),
        refusing(root=deny(actors=(a_person(BEN_KEYS),), codes=(unknown_code(),))),
        refusing(root=deny(actors=(a_person([]),))),
        refusing(root=deny(actors=(a_person(BEN_KEYS),), period=Period(malformed=True))),
        a_consent(id="disclosure", root=deny(classes=(Match.UNKNOWN,)), disclosure=True),
        a_consent(id="disclosure", root=deny(data=True), disclosure=True),
    ],
)
def test_a_denial_that_cannot_be_excluded_is_held(consent: ConsentFacts) -> None:
    assert found(a_grant(), consent) == {"proxy.unclear"}


def test_a_refusal_inside_a_provision_that_may_not_apply_is_held() -> None:
    inside = permit(deny(actors=(a_person(BEN_KEYS),)), codes=(unknown_code(),))
    assert "proxy.unclear" in found(a_grant(), a_grant(inside, id="eves", to=EVE_KEYS))


def test_a_bare_denial_is_unclear_to_the_patient_and_denies_the_proxy() -> None:
    bare = a_consent(root=deny())
    assert found(a_grant(), bare) == {"proxy.denied", "objection.unclear"}
    assert codes_of(a_case(consents=(bare,))) == {"objection.unclear"}


def test_a_bare_denial_to_another_organisation_denies_nobody_of_ours() -> None:
    theirs = a_consent(root=deny(actors=(an_organisation("B67890"),)))
    assert found(a_grant(), theirs) == set()


# --- proxy.unknown-basis, unlisted-basis, age-review, scope ------------------------------------


@pytest.mark.parametrize("bases", [frozenset(), frozenset({Basis.UNKNOWN})])
def test_a_basis_that_is_not_understood_is_held(bases: frozenset[Basis]) -> None:
    case = a_proxy_case(a_grant(bases=bases))
    assert codes_of(case) == {"proxy.unknown-basis"}
    assert verdict_of(case) == "hold"


def test_a_lasting_power_of_attorney_is_held_unless_the_policy_accepts_it() -> None:
    grant = a_grant(basis=Basis.UNLISTED, unlisted=frozenset({"lpa"}))
    assert found(grant) == {"proxy.unlisted-basis"}
    accepting = a_policy(accept_unlisted_bases=frozenset({"lpa"}))
    assert found(grant, policy=accepting) == set()


def test_a_child_of_thirteen_without_a_review_is_held() -> None:
    case = a_proxy_case(a_grant(basis=PARENTAL), patient=a_child(13))
    assert codes_of(case) == {"proxy.age-review"}
    assert verdict_of(case) == "hold"
    assert found(a_grant(basis=PARENTAL, reviewed=TODAY), patient=a_child(13)) == set()


def test_explicit_consent_asks_for_no_review() -> None:
    assert "proxy.age-review" not in found(a_grant(), patient=a_child(14))


def test_an_access_role_is_held_unless_the_policy_accepts_it() -> None:
    access = a_grant(access_only=True, root=a_permission(classes=()))
    assert found(access) == {"proxy.scope"}
    assert found(access, policy=a_policy(accept_access_roles=True)) == set()


def test_a_grant_for_email_is_held_for_a_text() -> None:
    by_email = a_grant(root=permit(on=[EMAIL], actors=(a_person(BEN_KEYS),)))
    assert found(by_email) == {"proxy.scope"}
    assert found(by_email, request=a_request(channel=EMAIL)) == {"proxy.unnecessary"}


def test_the_best_of_several_grants_decides() -> None:
    assert found(a_grant(unverified=True, id="1"), a_grant(id="2")) == set()


# --- sensitive.proxy ---------------------------------------------------------------------------


@pytest.mark.parametrize("sensitive", [Declared.YES, Declared.UNKNOWN])
def test_a_service_that_may_be_sensitive_is_held_for_a_proxy(sensitive: Declared) -> None:
    case = a_proxy_case(a_grant(), request=a_request(sensitive=sensitive))
    assert codes_of(case) == {"sensitive.proxy"}
    assert verdict_of(case) == "hold"


def test_a_sensitive_service_is_no_matter_between_the_patient_and_us() -> None:
    assert codes_of(a_case(request=a_request(sensitive=Declared.YES))) == set()


def test_plain_words_do_not_make_a_service_plain() -> None:
    words = Content(body="Example Surgery: 10:30 tomorrow.")
    short = a_request(sensitive=Declared.YES, content=words)
    assert found(a_grant(), request=short) == {"sensitive.proxy"}


def test_a_label_outweighs_what_the_sender_says_and_is_cited() -> None:
    version = ResourceVersion(reference="Appointment/1", version_id="5")
    about = AboutFacts(
        version=version, subject_keys=frozenset({AMARA}), sensitive_labels=frozenset({"HIV"})
    )
    (finding,) = decide(a_proxy_case(a_grant(), about=(about, about))).findings
    assert (finding.code, finding.evidence) == ("sensitive.proxy", (version,))


def test_a_policy_rule_gives_a_direction_to_a_denial_of_a_person() -> None:
    opted_out = refusing(
        root=untyped(actors=(a_person(BEN_KEYS),)), policy_direction=Direction.DENY
    )
    assert "proxy.denied" in found(a_grant(), opted_out)
