"""Contact points: which one is used, which one never, and who else is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import ConsentStatus, ContactPoint, EarlierMessage
from fhirmsg.guidance.request import Acknowledgement, BroughtContactPoint
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Channel, Declared, ResourceVersion
from tests.builders import (
    AMARA,
    NOW,
    TODAY,
    a_case,
    a_consent,
    a_grant,
    a_mobile,
    a_neighbour,
    a_patient,
    a_permission,
    a_person,
    a_proxy_case,
    a_request,
    an_app_platform,
    an_app_request,
    an_email,
    an_objection,
    codes_of,
    days,
    deny,
    finding_of,
    in_emergency,
    reviewed,
    verdict_of,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
HERS, HIS = "+447700900101", "+447700900202"
LODGER = frozenset({"RelatedPerson/lodger"})


def at(*points: ContactPoint, **case: Any) -> Case:
    """Give a text to a patient with these contact points."""
    return a_case(patient=a_patient(contact_points=points), **case)


# --- how good it is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "code"),
    [
        ((a_mobile(confirmed=False),), "contact.unconfirmed"),
        ((a_mobile(use="work"),), "contact.work"),
        ((a_mobile(use="home"),), "contact.home"),
        ((a_mobile(), a_mobile("+447700900102")), "contact.several"),
    ],
)
def test_what_is_to_be_said_of_a_contact_point_is_said_and_no_bar(
    points: tuple[ContactPoint, ...], code: str
) -> None:
    case = at(*points)
    assert codes_of(case) == {code}
    assert finding_of(case, code).evidence[0].reference == AMARA
    assert verdict_of(case) == "send"


def test_a_login_to_the_app_is_confirmed_by_being_verified() -> None:
    point = ContactPoint(value="9990000018", channels=frozenset({Channel.NHS_APP}))
    case = at(point, request=an_app_request(), policy=replace_platforms(an_app_platform()))
    assert codes_of(case) == set()


def replace_platforms(*platforms: Any) -> Any:
    from tests.builders import a_policy

    return a_policy(*platforms)


def test_one_that_is_ranked_first_leaves_no_choice() -> None:
    assert codes_of(at(a_mobile(rank=1), a_mobile("+447700900102", rank=2))) == set()
    assert codes_of(at(a_mobile(), a_mobile(HERS))) == set()


# --- contact.failed ----------------------------------------------------------------------------


def an_earlier(**fields: Any) -> EarlierMessage:
    defaults = {
        "version": ResourceVersion(reference="Communication/earlier", version_id="2"),
        "message_id": "another",
        "recipient": AMARA,
        "channel": "sms",
        "at": NOW - timedelta(hours=2),
        "tail": "101",
    }
    return EarlierMessage(**{**defaults, **fields})


def test_a_contact_point_that_failed_last_time_is_told() -> None:
    case = a_case(earlier=(an_earlier(unreachable=True),))
    assert codes_of(case) == {"contact.failed"}
    assert finding_of(case, "contact.failed").effect is Effect.WARN
    assert finding_of(case, "contact.failed").evidence[0].reference == "Communication/earlier"


@pytest.mark.parametrize(
    "earlier",
    [
        (an_earlier(unreachable=False),),
        (an_earlier(unreachable=True, tail="999"),),
        (an_earlier(unreachable=True, channel="email"),),
        (an_earlier(unreachable=True, recipient="RelatedPerson/ben"),),
        (
            an_earlier(unreachable=True),
            an_earlier(message_id="later", at=NOW - timedelta(hours=1)),
        ),
    ],
    ids=["arrived", "another-number", "another-channel", "another-person", "worked-since"],
)
def test_a_failure_elsewhere_or_before_a_success_is_no_failure(earlier: Any) -> None:
    assert codes_of(a_case(earlier=earlier)) == set()


# --- contact.unrecorded, contact.none, brought -------------------------------------------------


def brought(value: str | None = "+447700900777", *acknowledged: Any, **case: Any) -> Case:
    """Give a text in an emergency to a number that comes with the request."""
    request = a_request(
        contact_point=BroughtContactPoint(system="sms", value="07700 900777", source="the ward")
    )
    point = None if value is None else a_mobile(value)
    return in_emergency(
        a_case(request=request, brought=point or ContactPoint(), **case), *acknowledged
    )


def test_a_number_that_is_not_on_record_is_held_until_it_is_acknowledged() -> None:
    held = brought()
    assert codes_of(held) == {"contact.unrecorded"}
    assert verdict_of(held) == "hold"
    sent = brought("+447700900777", "contact.unrecorded")
    assert verdict_of(sent) == "send"
    assert sent.contact_point is not None
    assert sent.contact_point.value == "+447700900777"


def test_a_number_that_is_on_record_needs_no_acknowledgement() -> None:
    case = brought(HERS)
    assert codes_of(case) == set()
    assert verdict_of(case) == "send"


def test_a_number_that_is_on_record_as_old_is_not_on_record_for_use() -> None:
    patient = a_patient(contact_points=(a_mobile("+447700900777", use="old"), an_email()))
    assert "contact.unrecorded" in codes_of(brought("+447700900777", patient=patient))


def test_a_number_that_is_not_understood_reaches_nobody() -> None:
    case = brought(None, "contact.unrecorded")
    assert codes_of(case) == {"contact.none", "contact.unrecorded"}
    assert verdict_of(case) == "refuse"


def test_an_address_for_another_channel_reaches_nobody() -> None:
    request = a_request(
        contact_point=BroughtContactPoint(system="email", value="a@example.org", source="desk")
    )
    case = in_emergency(
        a_case(request=request, brought=an_email("a@example.org")), "contact.unrecorded"
    )
    assert verdict_of(case) == "refuse"
    assert "contact.none" in codes_of(case)


def test_a_number_beside_an_invalid_declaration_is_refused_and_not_used() -> None:
    case = brought()
    emergency = case.request.evidence.emergency
    assert emergency is not None
    evidence = replace(case.request.evidence, emergency=replace(emergency, reason=None))
    stale = replace(case, request=replace(case.request, evidence=evidence))
    assert codes_of(stale) == {"contact.unrecorded", "emergency.invalid"}
    assert verdict_of(stale) == "refuse"
    assert stale.contact_point is not None
    assert stale.contact_point.value == HERS


def test_a_number_brought_to_a_record_without_one_is_enough_in_an_emergency() -> None:
    patient = a_patient(contact_points=())
    case = brought("+447700900777", "contact.unrecorded", patient=patient)
    assert codes_of(case) == {"contact.unrecorded"}
    assert verdict_of(case) == "send"


# --- contact.excluded --------------------------------------------------------------------------


def a_denial(*keys: str, **fields: Any) -> Any:
    return a_consent(id="denial", root=deny(actors=(a_person(keys),)), **fields)


def test_a_number_of_a_person_who_is_denied_is_never_used() -> None:
    case = a_case(neighbours=(a_neighbour(HERS),), consents=(a_denial(*LODGER),))
    assert codes_of(case) == {"contact.excluded"}
    assert verdict_of(case) == "refuse"
    assert finding_of(case, "contact.excluded").lifted_by == ()


def test_a_former_number_of_a_person_who_is_denied_is_held() -> None:
    former = a_neighbour(former=frozenset({HERS}))
    case = a_case(neighbours=(former,), consents=(a_denial(*LODGER),))
    assert codes_of(case) == {"contact.shared"}
    assert verdict_of(reviewed(case, "contact.shared")) == "send"


def test_the_next_number_is_used_in_place_of_one_that_is_excluded() -> None:
    case = at(
        a_mobile(rank=1),
        a_mobile(HIS, rank=2),
        neighbours=(a_neighbour(HERS),),
        consents=(a_denial(*LODGER),),
    )
    assert codes_of(case) == set()
    assert case.contact_point is not None
    assert case.contact_point.value == HIS


def test_a_denial_is_of_the_person_under_every_name() -> None:
    number = "https://fhir.nhs.uk/id/nhs-number|9990000034"
    one = a_neighbour(HERS, keys=LODGER | {number})
    other = a_neighbour(id="RelatedPerson/again", keys=frozenset({"RelatedPerson/again", number}))
    denial = a_denial("RelatedPerson/again")
    assert codes_of(a_case(neighbours=(one, other), consents=(denial,))) == {"contact.excluded"}


@pytest.mark.parametrize(
    "consent",
    [
        a_denial("RelatedPerson/somebody"),
        a_denial(*LODGER, status=ConsentStatus.INACTIVE),
        a_consent(
            id="over",
            root=deny(actors=(a_person(LODGER),), period=days(end=TODAY - timedelta(days=1))),
        ),
    ],
    ids=["of-another", "withdrawn", "ended"],
)
def test_a_number_of_a_person_who_is_not_denied_is_shared_and_no_more(consent: Any) -> None:
    case = a_case(neighbours=(a_neighbour(HERS),), consents=(consent,))
    assert codes_of(case) == {"contact.shared-plain"}


def a_restriction(**fields: Any) -> Any:
    defaults = {
        "id": "danger",
        "safety": True,
        "root": deny(on=[EMAIL]),
        "restricted_digests": frozenset({"d1"}),
    }
    return an_objection(**{**defaults, **fields})


def test_a_restricted_number_is_used_for_nobody() -> None:
    digests = {HERS: "d1", HIS: "d2"}
    to_patient = a_case(digests=digests, consents=(a_restriction(),))
    assert codes_of(to_patient) == {"contact.excluded"}
    assert codes_of(in_emergency(to_patient)) == {"contact.excluded"}
    to_proxy = a_proxy_case(
        a_grant(),
        a_restriction(restricted_digests=frozenset({"d2"})),
        digests=digests,
    )
    assert "contact.excluded" in codes_of(to_proxy)


@pytest.mark.parametrize(
    "restriction",
    [
        a_restriction(status=ConsentStatus.INACTIVE),
        a_restriction(root=deny(on=[EMAIL], period=days(end=TODAY - timedelta(days=1)))),
        a_restriction(restricted_digests=frozenset({"other"})),
    ],
)
def test_a_restriction_out_of_force_or_of_another_number_is_none(restriction: Any) -> None:
    codes = codes_of(a_case(digests={HERS: "d1"}, consents=(restriction,)))
    assert "contact.excluded" not in codes


def test_a_restricted_number_that_is_brought_is_refused() -> None:
    case = brought(
        "+447700900777",
        "contact.unrecorded",
        digests={"+447700900777": "d1"},
        consents=(a_restriction(),),
    )
    assert codes_of(case) == {"contact.excluded", "contact.unrecorded"}
    assert verdict_of(case) == "refuse"


# --- contact.shared ----------------------------------------------------------------------------


def test_plain_words_to_a_shared_number_are_told() -> None:
    case = a_case(neighbours=(a_neighbour(HERS),))
    assert codes_of(case) == {"contact.shared-plain"}
    assert verdict_of(case) == "send"


@pytest.mark.parametrize("declared", [Declared.YES, Declared.UNKNOWN])
def test_confidential_words_to_a_shared_number_are_held(declared: Declared) -> None:
    case = a_case(
        request=a_request(confidential=declared), neighbours=(a_neighbour(HERS, related=False),)
    )
    assert "contact.shared" in codes_of(case)
    assert "contact.shared-plain" not in codes_of(case)
    lifted = finding_of(reviewed(case, "contact.shared"), "contact.shared")
    assert lifted.effect is Effect.WARN


def test_a_number_shared_with_an_authorised_proxy_is_no_matter() -> None:
    lodger = a_grant(to=LODGER, root=a_permission(to=LODGER), id="lodgers")
    assert codes_of(a_case(neighbours=(a_neighbour(HERS),), consents=(lodger,))) == set()


def test_a_grant_that_would_be_held_authorises_nobody() -> None:
    lodger = a_grant(to=LODGER, root=a_permission(to=LODGER), id="lodgers", unverified=True)
    codes = codes_of(a_case(neighbours=(a_neighbour(HERS),), consents=(lodger,)))
    assert codes == {"contact.shared-plain"}


@pytest.mark.parametrize(
    "neighbour",
    [
        a_neighbour(HIS),
        a_neighbour(former=frozenset({HERS})),
        a_neighbour(HERS, keys=frozenset({AMARA})),
    ],
    ids=["elsewhere", "formerly", "the-patient"],
)
def test_a_number_that_nobody_else_has_now_is_not_shared(neighbour: Any) -> None:
    assert codes_of(a_case(neighbours=(neighbour,))) == set()


def test_a_sensitive_service_is_held_even_where_the_other_is_authorised() -> None:
    lodger = a_grant(to=LODGER, root=a_permission(to=LODGER), id="lodgers")
    case = a_case(
        request=a_request(sensitive=Declared.YES),
        neighbours=(a_neighbour(HERS),),
        consents=(lodger,),
    )
    assert codes_of(case) == {"sensitive.shared"}
    assert verdict_of(case) == "hold"
    assert verdict_of(reviewed(case, "sensitive.shared")) == "send"


def test_a_sensitive_service_to_a_number_of_ones_own_is_no_matter() -> None:
    case = a_case(request=a_request(sensitive=Declared.YES), neighbours=(a_neighbour(HIS),))
    assert codes_of(case) == set()


def test_an_unknown_service_to_a_shared_number_is_told_and_not_held() -> None:
    case = a_case(request=a_request(sensitive=Declared.UNKNOWN), neighbours=(a_neighbour(HERS),))
    assert codes_of(case) == {"contact.shared-plain"}


def test_an_acknowledgement_of_another_contact_point_is_none() -> None:
    other = Acknowledgement(code="contact.unrecorded", reference="Patient/other", version_id="1")
    assert verdict_of(brought("+447700900777", other)) == "hold"
