"""Builders of facts: a sensible case by default, a keyword for what a test is about.

By default: Tuesday 24 November 2026, 10:00 in London; an adult with a mobile, an email address
and the NHS App; a plain appointment reminder by text on an approved platform; no Consents.
Everybody is invented; NHS numbers begin with 999, telephone numbers with 07700 900.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Says
from fhirmsg.guidance.decision import Decision, decide
from fhirmsg.guidance.policy import Approval, Fallback, LocalPolicy, Platform
from fhirmsg.guidance.provisions import Actor, ActorKind, CodeTerm, Direction, Provision
from fhirmsg.guidance.record import (
    Basis,
    ConsentFacts,
    ContactPoint,
    Neighbour,
    OrganisationRef,
    PatientFacts,
    PatientRecord,
    Recipient,
    RecipientKind,
    RelatedPersonFacts,
)
from fhirmsg.guidance.request import (
    Acknowledgement,
    CitedVersion,
    Content,
    Emergency,
    Evidence,
    IndividualCheck,
    Override,
    Review,
    SendRequest,
    Service,
    message_digest,
)
from fhirmsg.guidance.rule import Finding
from fhirmsg.guidance.terms import (
    BirthInterval,
    Channel,
    Declared,
    Match,
    Period,
    Person,
    Protects,
    Purpose,
    ResourceVersion,
)

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
TODAY = NOW.astimezone(LONDON).date()

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
OURS, THEIRS = "A12345", "B67890"
AMARA, BEN = "Patient/amara", "RelatedPerson/ben"
AMARA_KEYS = frozenset({AMARA, f"{NHS_NUMBER}|9990000018"})
BEN_KEYS = frozenset({BEN, f"{NHS_NUMBER}|9990000026"})
NURSE = Person(identifier="Practitioner/nurse", name="Nia Nurse", role="practice nurse")
GUARDIAN = Person(
    identifier="Practitioner/guardian", name="Gita Guardian", role="Caldicott Guardian"
)

# --- time ------------------------------------------------------------------------------------


def local(day: date, *, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """Give a local time of day as an instant."""
    return datetime.combine(day, time(hour, minute, second), LONDON).astimezone(UTC)


def days(start: date | None = None, end: date | None = None) -> Period:
    """Give a date-only period: both days belong to it whole."""
    last = None if end is None else local(end + timedelta(days=1)) - timedelta(microseconds=1)
    return Period(start=None if start is None else local(start), end=last)


def instants(start: datetime | None = None, end: datetime | None = None) -> Period:
    """Give a period written with times."""
    return Period(start=start, end=end, timed_start=start is not None, timed_end=end is not None)


def born(day: date) -> BirthInterval:
    """Give a birth date that is known to the day."""
    return BirthInterval(earliest=day, latest=day)


# --- provisions --------------------------------------------------------------------------------


def channel_code(*channels: Channel) -> CodeTerm:
    """Give a code that covers exactly these channels."""
    return CodeTerm(covers=frozenset(channels), understood=True)


def unknown_code(token: str = "urn:example|what") -> CodeTerm:
    """Give a code nobody here knows."""
    return CodeTerm(tokens=frozenset({token, token.rpartition("|")[2]}))


def a_person(keys: Iterable[str]) -> Actor:
    """Give an actor that is a person."""
    return Actor(kind=ActorKind.PERSON, keys=frozenset(keys))


def an_organisation(*ods: str) -> Actor:
    """Give an actor that is an organisation; without codes, one that could not be resolved."""
    return Actor(kind=ActorKind.ORGANISATION, ods=frozenset(ods))


def permit(*nested: Provision, on: Iterable[Channel] = (), **fields: Any) -> Provision:
    """Give a permitting node, limited to channels if some are named."""
    return _node(Direction.PERMIT, nested, on, fields)


def deny(*nested: Provision, on: Iterable[Channel] = (), **fields: Any) -> Provision:
    """Give a denying node, limited to channels if some are named."""
    return _node(Direction.DENY, nested, on, fields)


def untyped(*nested: Provision, on: Iterable[Channel] = (), **fields: Any) -> Provision:
    """Give a node that does not say whether it permits or denies."""
    return _node(None, nested, on, fields)


def _node(
    type_: Direction | None,
    nested: tuple[Provision, ...],
    on: Iterable[Channel],
    fields: dict[str, Any],
) -> Provision:
    codes = (channel_code(*on),) if on else ()
    return Provision(**{"type": type_, "nested": nested, "codes": codes, **fields})


# --- Consents ----------------------------------------------------------------------------------


def a_consent(id: str = "consent", version: str | None = "1", **fields: Any) -> ConsentFacts:
    """Give an active Consent that says nothing; `id` and `version` are its reference."""
    cited = ResourceVersion(
        reference=f"Consent/{id}", version_id=version, last_updated="2026-11-01T09:00:00Z"
    )
    return ConsentFacts(**{"version": cited, **fields})


def an_objection(*channels: Channel, id: str = "objection", **fields: Any) -> ConsentFacts:
    """Give an objection in force to these channels, to every message when none is named."""
    defaults = {"message_marker": True, "root": deny(on=channels), "reason_recorded": True}
    return a_consent(**{"id": id, **defaults, **fields})


def a_grant(
    *nested: Provision,
    id: str = "grant",
    to: Iterable[str] = BEN_KEYS,
    basis: Basis = Basis.EXPLICIT_CONSENT,
    root: Provision | None = None,
    **fields: Any,
) -> ConsentFacts:
    """Give a grant of ours for messages, in force until the end of next year."""
    defaults = {
        "grantees": frozenset(to),
        "bases": frozenset({basis}),
        "root": a_permission(*nested, to=to) if root is None else root,
    }
    return a_consent(**{"id": id, **defaults, **fields})


def a_permission(*nested: Provision, to: Iterable[str] = BEN_KEYS, **fields: Any) -> Provision:
    """Give the root of a grant."""
    defaults = {
        "period": days(date(2026, 1, 1), date(2027, 12, 31)),
        "actors": (a_person(to),),
        "classes": (Match.YES,),
    }
    return permit(*nested, **{**defaults, **fields})


def made_to(*ods: str) -> tuple[OrganisationRef, ...]:
    """Give the organisations a Consent names."""
    return tuple(OrganisationRef(ods=frozenset({code})) for code in ods)


# --- people ------------------------------------------------------------------------------------


def a_mobile(value: str = "+447700900101", **fields: Any) -> ContactPoint:
    """Give a mobile number."""
    channels = frozenset({Channel.SMS, Channel.VOICE})
    defaults = {"value": value, "channels": channels, "use": "mobile", "confirmed": True}
    return ContactPoint(**{**defaults, **fields})


def an_email(value: str = "amara@example.org", **fields: Any) -> ContactPoint:
    """Give an email address."""
    defaults = {"value": value, "channels": frozenset({Channel.EMAIL}), "confirmed": True}
    return ContactPoint(**{**defaults, **fields})


def an_app_login(value: str = "9990000018", **fields: Any) -> ContactPoint:
    """Give a way into the NHS App."""
    return ContactPoint(**{"value": value, "channels": frozenset({Channel.NHS_APP}), **fields})


def a_patient(**fields: Any) -> PatientFacts:
    """Give Amara: an adult who can be reached on every channel that is used here."""
    defaults = {
        "version": ResourceVersion(reference=AMARA, version_id="7"),
        "keys": AMARA_KEYS,
        "born": born(date(1988, 2, 3)),
        "contact_points": (a_mobile(), an_email(), an_app_login()),
    }
    return PatientFacts(**{**defaults, **fields})


def a_child(age: int = 9, **fields: Any) -> PatientFacts:
    """Give Amara as a child who turned this age today."""
    return a_patient(**{"born": born(TODAY.replace(year=TODAY.year - age)), **fields})


def a_related_person(**fields: Any) -> RelatedPersonFacts:
    """Give Ben, who is related to Amara."""
    defaults = {
        "version": ResourceVersion(reference=BEN, version_id="2"),
        "keys": BEN_KEYS,
        "patient_keys": frozenset({AMARA}),
        "contact_points": (
            a_mobile("+447700900202"),
            an_email("ben@example.org"),
            an_app_login("9990000026"),
        ),
    }
    return RelatedPersonFacts(**{**defaults, **fields})


def bens_own_record(**fields: Any) -> PatientFacts:
    """Give the Patient that Ben himself is."""
    defaults = {
        "version": ResourceVersion(reference="Patient/ben", version_id="4"),
        "keys": frozenset({"Patient/ben", f"{NHS_NUMBER}|9990000026"}),
        "contact_points": (a_mobile("+447700900202"),),
    }
    return a_patient(**{**defaults, **fields})


def to_patient(patient: PatientFacts) -> Recipient:
    """Address the patient."""
    return Recipient(
        kind=RecipientKind.PATIENT,
        reference=patient.version.reference,
        keys=patient.keys,
        closure=patient.keys,
    )


def to_proxy(
    related: RelatedPersonFacts,
    *,
    own_patient: PatientFacts | None = None,
    own_consents: tuple[ConsentFacts, ...] = (),
) -> Recipient:
    """Address a related person."""
    own_keys = frozenset() if own_patient is None else own_patient.keys
    return Recipient(
        kind=RecipientKind.RELATED_PERSON,
        reference=related.version.reference,
        keys=related.keys,
        closure=related.keys | own_keys,
        related=related,
        own_patient=own_patient,
        own_consents=own_consents,
    )


# --- policy ------------------------------------------------------------------------------------


def falls_back_to(channel: Channel, platform: str | None = None) -> Fallback:
    """Give a fallback of a supplier."""
    return Fallback(channel=channel, platform=platform)


def a_platform(**fields: Any) -> Platform:
    """Give an approved platform for texts and email that ends where it says it ends."""
    if "fallbacks" in fields:
        # Channels alone: where the supplier ends is known, through which platform is not.
        fields["falls_back"] = tuple(map(falls_back_to, sorted(fields.pop("fallbacks"))))
    defaults = {
        "name": "messenger",
        "provider": "outbox",
        "channels": frozenset({Channel.SMS, Channel.EMAIL}),
        "approval": Approval(start=date(2025, 1, 1)),
    }
    return Platform(**{**defaults, **fields})


def an_app_platform(**fields: Any) -> Platform:
    """Give an approved platform for the NHS App."""
    return a_platform(**{"name": "app", "channels": frozenset({Channel.NHS_APP}), **fields})


def a_policy(*platforms: Platform, **fields: Any) -> LocalPolicy:
    """Give the policy of our organisation."""
    registered = platforms or (a_platform(), an_app_platform())
    defaults = {
        "version": "2026-11-01",
        "sha256": "0" * 64,
        "organisations": frozenset({OURS}),
        "name": "Example Surgery",
        "zone": LONDON,
        "approve_overrides": frozenset({"Caldicott Guardian", "Data Protection Officer"}),
        "review": frozenset({"Caldicott Guardian", "IG lead"}),
        "platforms": {platform.name: platform for platform in registered},
    }
    return LocalPolicy(**{**defaults, **fields})


# --- request, case, decision -------------------------------------------------------------------


def a_request(*, sensitive: Declared = Declared.NO, **fields: Any) -> SendRequest:
    """Give a request for a plain appointment reminder by text to Amara."""
    defaults = {
        "patient": AMARA,
        "recipient": AMARA,
        "channel": Channel.SMS,
        "platform": "messenger",
        "purpose": Purpose.APPOINTMENT,
        "content": Content(body="Example Surgery: you have an appointment at 10:30 on 1 December."),
        "organization": OURS,
        "requester": NURSE,
        "confidential": Declared.NO,
        "service": Service(sensitive=sensitive),
    }
    return SendRequest(**{**defaults, **fields})


def an_app_request(**fields: Any) -> SendRequest:
    """Give a request for the same reminder by NHS App message."""
    return a_request(**{"channel": Channel.NHS_APP, "platform": "app", **fields})


def a_case(
    *,
    request: SendRequest | None = None,
    patient: PatientFacts | None = None,
    recipient: Recipient | None = None,
    policy: LocalPolicy | None = None,
    as_of: datetime = NOW,
    message_id: str = "5e0e0001-0000-5000-8000-000000000001",
    **record: Any,
) -> Case:
    """Give a case; other keywords are fields of the PatientRecord, such as `consents`."""
    who = patient or a_patient()
    addressed = recipient or to_patient(who)
    asked = replace(request or a_request(), recipient=addressed.reference)
    defaults = {"patient": who, "recipient": addressed, "read_at": "2026-11-24T09:59:59Z"}
    return Case(
        request=asked,
        record=PatientRecord(**{**defaults, **record}),
        policy=policy or a_policy(),
        as_of=as_of,
        message_id=message_id,
        message_digest=message_digest(asked),
    )


def a_proxy_case(
    *consents: ConsentFacts,
    related: RelatedPersonFacts | None = None,
    own_patient: PatientFacts | None = None,
    own_consents: tuple[ConsentFacts, ...] = (),
    **fields: Any,
) -> Case:
    """Give a case of a message to Ben about Amara, with these Consents on Amara's record.

    Amara has no telephone of her own: that is why Ben gets the text.
    """
    addressed = to_proxy(
        related or a_related_person(), own_patient=own_patient, own_consents=own_consents
    )
    patient = a_patient(contact_points=(an_email(), an_app_login()))
    return a_case(**{"recipient": addressed, "patient": patient, "consents": consents, **fields})


def an_override(case: Case, **fields: Any) -> Override:
    """Give an override that is complete and bound to the case."""
    defaults = {
        "message_id": case.message_id,
        "message_digest": case.message_digest,
        "objections": tuple(
            CitedVersion(
                reference=reading.consent.version.reference,
                version_id=reading.consent.version.version_id,
            )
            for reading in case.readings_that(Says.ACTIVE)
        ),
        "reason": "An urgent result changes the treatment and no call was answered.",
        "circumstances": "The shared telephone has been replaced.",
        "approver": GUARDIAN,
        "approved_at": case.as_of - timedelta(hours=1),
        "expires_at": case.as_of + timedelta(hours=1),
    }
    return Override(**{**defaults, **fields})


def with_override(case: Case, override: Override | None = None, **fields: Any) -> Case:
    """Give the case with an override beside its request, a valid one unless told otherwise."""
    brought = override or an_override(case, **fields)
    return replace(case, request=replace(case.request, evidence=Evidence(override=brought)))


def with_evidence(case: Case, **parts: Any) -> Case:
    """Give the case with these pieces of evidence beside its request."""
    return replace(
        case,
        request=replace(case.request, evidence=replace(case.request.evidence, **parts)),
    )


def an_emergency(case: Case, **fields: Any) -> Emergency:
    """Give a declaration of an emergency that is complete, made just now by the requester."""
    defaults = {
        "declared_by": case.request.requester,
        "declared_at": case.as_of - timedelta(minutes=5),
        "reason": "A wrong dose was given out this morning.",
        "protects": Protects.PATIENT,
        "consulted": Person(name="Sana Senior", role="senior partner"),
    }
    return Emergency(**{**defaults, **fields})


def in_emergency(case: Case, *acknowledged: Acknowledgement | str, **fields: Any) -> Case:
    """Give the case with a declaration, and with acknowledgements: codes, or whole ones."""
    seen = tuple(
        Acknowledgement(code=each) if isinstance(each, str) else each for each in acknowledged
    )
    return with_evidence(case, emergency=an_emergency(case, **fields), acknowledged=seen)


def a_review(case: Case, code: str, /, **fields: Any) -> Review:
    """Give a review by the Caldicott Guardian of one finding of the case as it stands."""
    defaults = {
        "code": code,
        "reviewer": GUARDIAN,
        "note": "Looked at the record and talked with the practice.",
        "at": case.as_of - timedelta(minutes=10),
        "message_id": case.message_id,
        "message_digest": case.message_digest,
        "resources": tuple(
            CitedVersion(reference=version.reference, version_id=version.version_id)
            for finding in decide(case).findings
            if finding.code == code
            for version in finding.evidence
        ),
    }
    return Review(**{**defaults, **fields})


def reviewed(case: Case, code: str, /, **fields: Any) -> Case:
    """Give the case with a review of one finding."""
    return with_evidence(case, reviews=(a_review(case, code, **fields),))


def a_check(case: Case, **fields: Any) -> IndividualCheck:
    """Give the individual's yes to this proxy hearing of the service of the case."""
    defaults = {
        "proxy": case.recipient.reference,
        "service": case.request.service.code,
        "answer": Declared.YES,
        "by": NURSE,
        "at": case.as_of - timedelta(days=3),
    }
    return IndividualCheck(**{**defaults, **fields})


def a_neighbour(
    *values: str, id: str = "RelatedPerson/lodger", related: bool = True, **fields: Any
) -> Neighbour:
    """Give somebody else with these contact points, related to Amara unless told otherwise."""
    defaults = {
        "version": ResourceVersion(reference=id, version_id="1"),
        "keys": frozenset({id}),
        "values": frozenset(values),
        "related_to": frozenset({AMARA}) if related else frozenset(),
    }
    return Neighbour(**{**defaults, **fields})


def finding_of(case: Case, code: str) -> Finding:
    """Give the one finding of a code; fails when there is none or there are several."""
    (found,) = (finding for finding in decide(case).findings if finding.code == code)
    return found


def codes_of(case_or_decision: Case | Decision) -> set[str]:
    """Give the codes found in a case."""
    decision = (
        case_or_decision if isinstance(case_or_decision, Decision) else decide(case_or_decision)
    )
    return {finding.code for finding in decision.findings}


def verdict_of(case: Case) -> str:
    """Decide a case and give the word of its verdict."""
    return str(decide(case).verdict)
