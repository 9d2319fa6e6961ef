"""Every finding once: what it rests on, under which card it comes, in words that are whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.policy import Window
from fhirmsg.guidance.record import (
    AboutFacts,
    Assessment,
    Basis,
    ConsentStatus,
    EarlierMessage,
    Ending,
    Gap,
    Need,
    Preferences,
    Recipient,
    RecipientKind,
)
from fhirmsg.guidance.request import BroughtContactPoint, Content, Service
from fhirmsg.guidance.rules import RULES
from fhirmsg.guidance.terms import (
    BirthInterval,
    Channel,
    Declared,
    Device,
    Occasion,
    Purpose,
    ResourceVersion,
)
from fhirmsg.guidance.wording import KnownIdentifiers, Lexicon
from tests.builders import (
    AMARA_KEYS,
    BEN_KEYS,
    NOW,
    TODAY,
    a_case,
    a_check,
    a_child,
    a_consent,
    a_grant,
    a_mobile,
    a_neighbour,
    a_patient,
    a_permission,
    a_person,
    a_platform,
    a_policy,
    a_proxy_case,
    a_related_person,
    a_request,
    an_objection,
    bens_own_record,
    codes_of,
    days,
    deny,
    in_emergency,
    made_to,
    permit,
    with_evidence,
    with_override,
)

CARDS = {each.card.code: each.card for each in RULES}
SMS, EMAIL = Channel.SMS, Channel.EMAIL
HERS = "+447700900101"
PATIENT, BEN, GRANT = "Patient/amara", "RelatedPerson/ben", "Consent/grant"
LEXICON = Lexicon.from_mapping(
    {"version": "t", "categories": {"hiv": {"label": "HIV", "conditions": ["hiv"]}}}
)
CITED = ResourceVersion(reference="Observation/1", version_id="3")
WINDOW = Window(weekdays=frozenset(), start=NOW.time(), end=NOW.time())
DENIED = a_consent(id="no", root=deny(actors=(a_person(BEN_KEYS),)))
LPA = "health-and-welfare-lasting-power-of-attorney"


def about(**fields: Any) -> AboutFacts:
    return AboutFacts(**{"version": CITED, "subject_keys": AMARA_KEYS, **fields})


def saying(body: str, **case: Any) -> Case:
    return a_case(
        **{
            "request": a_request(content=Content(body=body)),
            "policy": a_policy(lexicon=LEXICON),
            **case,
        }
    )


def earlier(**fields: Any) -> EarlierMessage:
    defaults = {
        "version": CITED,
        "message_id": "another",
        "recipient": PATIENT,
        "channel": "sms",
        "at": NOW - timedelta(hours=1),
        "content_digest": "words",
        "tail": "101",
    }
    return EarlierMessage(**{**defaults, **fields})


def granted(**grant: Any) -> Case:
    return a_proxy_case(a_grant(**grant))


def parental(age: int, **case: Any) -> Case:
    return a_proxy_case(
        a_grant(basis=Basis.PARENTAL_RESPONSIBILITY),
        patient=a_child(age, contact_points=()),
        **case,
    )


def sensitive(**request: Any) -> Case:
    service = Service(code="urn:s|7", sensitive=Declared.YES)
    return a_proxy_case(
        a_grant(),
        request=a_request(service=service, **request),
        about=(about(sensitive_labels=frozenset({"HIV"})),),
    )


def to_ben(**related: Any) -> Case:
    return a_proxy_case(a_grant(), related=a_related_person(**related))


def patient(**fields: Any) -> Case:
    return a_case(patient=a_patient(**fields))


STRANGER = Recipient(
    kind=RecipientKind.PATIENT,
    reference="Patient/x",
    keys=frozenset({"Patient/x"}),
    closure=frozenset({"Patient/x"}),
)
COLLEAGUE = Recipient(
    kind=RecipientKind.OTHER,
    reference="Practitioner/x",
    keys=frozenset({"Practitioner/x"}),
    closure=frozenset({"Practitioner/x"}),
)
BY_EMAIL = Preferences(channels=frozenset({EMAIL}))
BY_RELATIVE = {"performer_related": True}
IDENTIFIED = {"known": KnownIdentifiers(nhs_number="9990000018")}

# code, the case, and what the finding rests on.
FINDINGS: list[tuple[str, Case, list[str]]] = [
    ("person.mismatch", a_case(recipient=STRANGER), [PATIENT]),
    ("person.mismatch", a_case(about=(about(subject_keys=frozenset({"x"})),)), ["Observation/1"]),
    ("person.deceased", patient(died="a date of death"), [PATIENT]),
    ("person.replaced", patient(replaced_by="Patient/2"), [PATIENT]),
    ("person.inactive", patient(active=False), [PATIENT]),
    ("person.restricted", patient(restricted=True), [PATIENT]),
    ("person.left", patient(left="TRA"), [PATIENT]),
    ("read.incomplete", a_case(gaps=(Gap(sentence="Gone.", evidence=CITED),)), ["Observation/1"]),
    ("read.incomplete", a_case(gaps=(Gap(sentence="Gone."),)), []),
    (
        "read.incomplete",
        a_case(consents=(an_objection(EMAIL, altered=True, root=deny(on=[EMAIL])),)),
        ["Consent/objection"],
    ),
    ("read.blind", a_case(blind=(Gap(sentence="Hidden.", evidence=CITED),)), ["Observation/1"]),
    ("read.blind", a_case(blind=(Gap(sentence="Hidden."),)), []),
    (
        "about.cancelled",
        a_case(request=a_request(occasion=Occasion.REMINDER), about=(about(off="cancelled"),)),
        ["Observation/1"],
    ),
    ("request.stale", a_case(request=a_request(not_after=NOW - timedelta(seconds=1))), []),
    (
        "request.repeated",
        replace(a_case(earlier=(earlier(),)), content_digest="words"),
        ["Observation/1"],
    ),
    (
        "read.proxy-unknown",
        a_proxy_case(a_grant(), related=a_related_person(identified=False)),
        [BEN],
    ),
    ("scope.recipient", a_case(recipient=COLLEAGUE), []),
    ("scope.not-care", a_case(request=a_request(purpose=Purpose.MARKETING)), []),
    ("scope.research", a_case(request=a_request(purpose=Purpose.RESEARCH)), []),
    ("record.unavailable", a_case(openable=False), []),
    (
        "proxy.link",
        a_proxy_case(a_grant(), related=a_related_person(patient_keys=frozenset())),
        [BEN],
    ),
    ("proxy.inactive", a_proxy_case(a_grant(), related=a_related_person(active=False)), [BEN]),
    (
        "proxy.inactive",
        a_proxy_case(a_grant(), related=a_related_person(period=days(end=TODAY - timedelta(1)))),
        [BEN],
    ),
    (
        "proxy.inactive",
        a_proxy_case(a_grant(), own_patient=bens_own_record(died="a date of death")),
        ["Patient/ben"],
    ),
    ("proxy.denied", a_proxy_case(a_grant(), DENIED), ["Consent/no"]),
    ("proxy.no-basis", a_proxy_case(), [BEN]),
    ("proxy.unclear", granted(unverified=True), [GRANT]),
    (
        "proxy.unclear",
        a_proxy_case(a_grant(), replace(DENIED, status=ConsentStatus.UNKNOWN)),
        ["Consent/no"],
    ),
    ("proxy.unknown-basis", granted(bases=frozenset({Basis.UNKNOWN})), [GRANT]),
    ("proxy.unlisted-basis", granted(basis=Basis.UNLISTED), [GRANT]),
    ("proxy.age-review", parental(14), [GRANT]),
    (
        "proxy.capacity",
        granted(basis=Basis.BEST_INTERESTS, capacity=Assessment(able=True, on=TODAY)),
        [GRANT],
    ),
    (
        "proxy.capacity",
        a_proxy_case(
            a_grant(basis=Basis.UNLISTED, unlisted=frozenset({LPA})),
            patient=a_patient(born=BirthInterval(), contact_points=()),
        ),
        [GRANT],
    ),
    ("proxy.capacity-unrecorded", granted(basis=Basis.BEST_INTERESTS), [GRANT]),
    ("proxy.competence", a_proxy_case(a_grant(), patient=a_child(14, contact_points=())), [GRANT]),
    ("proxy.scope", granted(access_only=True, root=a_permission(classes=())), [GRANT]),
    ("proxy.other-organisation", granted(grantors=frozenset({"B67890"})), [GRANT]),
    ("proxy.conflict", granted(ended=Ending.OTHER), [GRANT]),
    (
        "proxy.conflict",
        a_proxy_case(a_grant(), a_grant(id="old", status=ConsentStatus.REJECTED)),
        [GRANT, "Consent/old"],
    ),
    ("proxy.no-end", granted(root=a_permission(period=None)), [GRANT]),
    ("proxy.ends-soon", granted(root=a_permission(period=days(end=TODAY))), [GRANT]),
    ("proxy.unnecessary", a_proxy_case(a_grant(), patient=a_patient()), [PATIENT]),
    ("sensitive.proxy", sensitive(), ["Observation/1"]),
    (
        "sensitive.declined",
        with_evidence(sensitive(), individual_check=a_check(sensitive(), answer=Declared.NO)),
        [],
    ),
    (
        "sensitive.shared",
        a_case(request=a_request(sensitive=Declared.YES), neighbours=(a_neighbour(HERS),)),
        ["RelatedPerson/lodger"],
    ),
    (
        "preference.ignored",
        patient(preferences=Preferences(channels=frozenset({EMAIL}))),
        [PATIENT],
    ),
    (
        "preference.ignored",
        a_proxy_case(
            a_grant(),
            own_patient=bens_own_record(preferences=Preferences(channels=frozenset({EMAIL}))),
        ),
        [BEN, "Patient/ben"],
    ),
    ("preference.unavailable", patient(preferences=Preferences(other=("a visit",))), [PATIENT]),
    ("preference.no-telephone", patient(preferences=Preferences(no_telephone=True)), [PATIENT]),
    ("preference.times", patient(preferences=Preferences(times=("mornings",))), [PATIENT]),
    ("accessible.unmet", patient(needs=(Need(name="braille", version=CITED),)), ["Observation/1"]),
    ("contact.unconfirmed", patient(contact_points=(a_mobile(confirmed=False),)), [PATIENT]),
    ("contact.failed", a_case(earlier=(earlier(unreachable=True),)), ["Observation/1"]),
    ("contact.work", patient(contact_points=(a_mobile(use="work"),)), [PATIENT]),
    ("contact.several", patient(contact_points=(a_mobile(), a_mobile("+447700900102"))), [PATIENT]),
    ("contact.home", patient(contact_points=(a_mobile(use="home"),)), [PATIENT]),
    ("contact.none", patient(contact_points=()), [PATIENT]),
    ("contact.none", a_proxy_case(a_grant(), related=a_related_person(contact_points=())), [BEN]),
    (
        "contact.unrecorded",
        in_emergency(
            a_case(
                request=a_request(
                    contact_point=BroughtContactPoint(
                        system="sms", value="07700 900777", source="x"
                    )
                ),
                brought=a_mobile("+447700900777"),
            )
        ),
        [PATIENT],
    ),
    (
        "contact.excluded",
        a_case(
            neighbours=(a_neighbour(HERS),),
            consents=(a_consent(root=deny(actors=(a_person({"RelatedPerson/lodger"}),))),),
        ),
        [PATIENT],
    ),
    (
        "contact.shared",
        a_case(request=a_request(confidential=Declared.YES), neighbours=(a_neighbour(HERS),)),
        ["RelatedPerson/lodger"],
    ),
    ("contact.shared-plain", a_case(neighbours=(a_neighbour(HERS),)), ["RelatedPerson/lodger"]),
    ("objection.safety", a_case(consents=(an_objection(safety=True),)), ["Consent/objection"]),
    (
        "objection.safety-by-proxy",
        a_case(consents=(an_objection(safety=True, **BY_RELATIVE),)),
        ["Consent/objection"],
    ),
    ("objection.active", a_case(consents=(an_objection(),)), ["Consent/objection"]),
    (
        "objection.pending",
        a_case(consents=(an_objection(status=ConsentStatus.DRAFT),)),
        ["Consent/objection"],
    ),
    (
        "objection.pending",
        a_proxy_case(a_grant(), replace(DENIED, status=ConsentStatus.DRAFT)),
        ["Consent/no"],
    ),
    (
        "objection.unclear",
        a_case(consents=(an_objection(status=ConsentStatus.UNKNOWN),)),
        ["Consent/objection"],
    ),
    (
        "objection.no-reason",
        a_case(consents=(an_objection(reason_recorded=False),)),
        ["Consent/objection"],
    ),
    (
        "objection.other-organisation",
        a_case(consents=(an_objection(organisations=made_to("B67890")),)),
        ["Consent/objection"],
    ),
    ("objection.by-proxy", a_case(consents=(an_objection(**BY_RELATIVE),)), ["Consent/objection"]),
    (
        "objection.by-proxy",
        a_case(consents=(an_objection(safety=True, confirmed_with_patient=True, **BY_RELATIVE),)),
        ["Consent/objection"],
    ),
    (
        "objection.conflict",
        a_case(
            consents=(
                an_objection(),
                a_consent(id="later", message_marker=True, root=permit(on=[SMS])),
            )
        ),
        ["Consent/objection", "Consent/later"],
    ),
    (
        "objection.expired",
        a_case(consents=(an_objection(root=deny(period=days(end=TODAY - timedelta(1)))),)),
        ["Consent/objection"],
    ),
    (
        "objection.future",
        a_case(consents=(an_objection(root=deny(period=days(start=TODAY + timedelta(1)))),)),
        ["Consent/objection"],
    ),
    (
        "objection.patient-on-proxy",
        a_proxy_case(a_grant(), an_objection(SMS)),
        ["Consent/objection"],
    ),
    ("override.invalid", with_override(a_case(), reason=""), []),
    ("evidence.invalid", with_evidence(a_case(), individual_check=a_check(a_case())), []),
    ("confidential.necessity", a_case(request=a_request(confidential=Declared.YES)), []),
    ("confidential.undeclared", saying("Example Surgery: about hiv."), []),
    ("confidential.preview", saying("Example Surgery: about hiv."), []),
    ("confidential.safer-wording", saying("Example Surgery: about hiv."), []),
    (
        "suspicious.link-personal-data",
        saying(
            "Example Surgery: https://www.nhs.uk/x?n=9990000018", patient=a_patient(**IDENTIFIED)
        ),
        [],
    ),
    ("suspicious.link", saying("Example Surgery: https://bit.ly/abc"), []),
    ("suspicious.wording", saying("Example Surgery: ACT NOW OR LOSE YOUR PLACE"), []),
    ("suspicious.sender", saying("See you at ten."), []),
    ("platform.unapproved", a_case(policy=a_policy(a_platform(approval=None))), []),
    ("platform.device", a_case(request=a_request(device=Device.PERSONAL)), []),
    (
        "platform.data-class",
        a_case(policy=a_policy(forbidden=frozenset({(Purpose.APPOINTMENT, SMS)}))),
        [],
    ),
    ("emergency.invalid", in_emergency(a_case(), reason=None), []),
    ("emergency.latency", in_emergency(a_case(policy=a_policy(a_platform(windows=(WINDOW,))))), []),
]


@pytest.mark.parametrize(
    ("code", "case", "rests_on"), FINDINGS, ids=[f"{row[0]}-{n}" for n, row in enumerate(FINDINGS)]
)
def test_a_finding_comes_under_its_card_and_says_what_it_rests_on(
    code: str, case: Case, rests_on: list[str]
) -> None:
    found = [finding for finding in decide(case).findings if finding.code == code]
    assert len(found) >= 1, codes_of(case)
    card = CARDS[code]
    for finding in found:
        assert finding.section == card.section
        assert finding.lifted_by == card.lifted_by
        assert finding.ask == card.ask
        assert finding.ask
        assert finding.lifted is None
        expected = card.in_emergency if case.emergency else card.effect
        assert finding.effect is expected
        assert finding.normally is (expected if card.effect is None else card.effect)
        assert finding.sentence[0].isalpha()
        assert finding.sentence.rstrip()[-1] in ".:!"
        assert "None" not in finding.sentence
    assert [each.reference for each in found[0].evidence] == rests_on


def test_every_code_has_its_row() -> None:
    assert {code for code, _, _ in FINDINGS} == CARDS.keys()


def test_there_is_nothing_to_say_of_a_plain_message() -> None:
    assert decide(a_case()).findings == ()
    assert decide(a_proxy_case(a_grant())).findings == ()
    assert decide(in_emergency(a_case())).findings == ()
