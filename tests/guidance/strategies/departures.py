"""One thing at a time that differs from a plain case: each a part of it, a field and a value.

Drawing a few of them from one list is much cheaper than drawing every field, and a failure shows
what mattered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import time, timedelta
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.policy import Approval, Fallback, Window
from fhirmsg.guidance.record import AboutFacts, ContactPoint, Gap, Recipient, RecipientKind
from fhirmsg.guidance.request import BroughtContactPoint, Content, Service, message_digest
from fhirmsg.guidance.terms import (
    Channel,
    Declared,
    Device,
    Occasion,
    Purpose,
    ResourceVersion,
)
from fhirmsg.guidance.wording import KnownIdentifiers, Lexicon
from tests.builders import AMARA, AMARA_KEYS, NOW, TODAY, a_mobile, an_app_platform, days
from tests.guidance.strategies.consents import SERVICE
from tests.guidance.strategies.draws import named
from tests.guidance.strategies.people import (
    BENS,
    COMPETENCE,
    EARLIER,
    NEEDS,
    NEIGHBOURS,
    OTHER,
    PREFERENCES,
    SEVERAL_NEIGHBOURS,
)


@dataclass(frozen=True, slots=True)
class Departure:
    """A field of a part of the case: case, record, patient, related, own, request, policy,
    platform."""

    part: str
    name: str
    value: Any


LEXICON = Lexicon.from_mapping(
    {
        "version": "1",
        "categories": {
            "hiv": {"label": "sexual health", "conditions": ["hiv"], "services": ["gum clinic"]},
            "scam": {"label": "pressure", "pressure": ["act now"], "money": ["pay"]},
        },
    }
)
_NAMED = "Example Surgery: "
PLAIN_TEXTS = [
    "Example Surgery: you have an appointment at 10:30 on 1 December.",
    "Example Surgery: please call us on the number you usually use.",
    "Example Surgery: book at https://www.nhs.uk/book when it suits you.",
]
CONFIDENTIAL_TEXTS = [
    _NAMED + "your HIV test was positive.",
    _NAMED + "NHS number 999 000 0018.",
    _NAMED + "come to the GUM clinic, " + "please " * 20,
    "please " * 20 + _NAMED + "your HIV test came back.",
]
SUSPICIOUS_TEXTS = [
    "You have an appointment at 10:30.",
    _NAMED + "ACT NOW AND CALL US BACK",
    _NAMED + "pay at https://bit.ly/x",
    _NAMED + "see http://www.nhs.uk/book",
    _NAMED + "see https://www.nhs.uk/book?nhs=9990000018",
    _NAMED + "see https://scam.example/hiv",
    _NAMED + "please  call !!",
]
TEXTS = [
    *(Content(body=body) for body in PLAIN_TEXTS + CONFIDENTIAL_TEXTS + SUSPICIOUS_TEXTS),
    Content(body=PLAIN_TEXTS[0], subject="Your HIV test"),
    Content(body=PLAIN_TEXTS[0], subject="Your appointment", summary="A reminder."),
]


def _about(id: str = "Appointment/1", **fields: Any) -> AboutFacts:
    version = ResourceVersion(reference=id, version_id="1")
    return AboutFacts(**{"version": version, "subject_keys": frozenset({AMARA}), **fields})


_ABOUT = [
    (_about(),),
    (_about(subject_keys=frozenset({"Patient/x"})),),
    (_about(sensitive_labels=frozenset({"SEX"})),),
    (_about(off="cancelled"),),
    (_about(starts=NOW - timedelta(hours=1)),),
    (_about(starts=NOW + timedelta(hours=1)),),
    (_about(), _about("Task/2", off="rejected")),
]
_GAP = Gap(sentence="A page is missing.")
_CITED = Gap(
    sentence="An entry is not understood.", evidence=ResourceVersion(reference="Consent/x")
)
_SEVEN = a_mobile("+447700900707")

_VALUES: dict[str, dict[str, list[Any]]] = {
    "case": {"content_digest": ["these words"] * 3, "language": [("its for it's",)]},
    "record": {
        "gaps": [(_GAP,), (_CITED, _GAP)],
        "blind": [(Gap(sentence="The scope granted leaves Consents out."),)],
        "openable": [False],
        "about": _ABOUT,
        "neighbours": [(each,) for each in NEIGHBOURS] + SEVERAL_NEIGHBOURS,
        "earlier": [(each,) for each in EARLIER] + [tuple(EARLIER)],
        "recipient": [
            Recipient(
                kind=RecipientKind.OTHER,
                reference="Organization/1",
                keys=frozenset({"Organization/1"}),
                closure=frozenset({"Organization/1"}),
            )
        ],
        # Brought with the request, see `depart`.
        "brought": [_SEVEN, a_mobile(), a_mobile(BENS), ContactPoint()],
    },
    "patient": {
        "active": [False],
        "died": ["a date of death"],
        "replaced_by": ["Patient/after", ""],
        "restricted": [True] * 2,
        "left": ["EMB"],
        "sensitive_labels": [frozenset({"HIV"})],
        "preferences": PREFERENCES,
        "needs": NEEDS,
        "competence": COMPETENCE,
        "contact_points": [
            (),
            (a_mobile(), a_mobile(OTHER)),
            (a_mobile(use="work"),),
            (a_mobile(use="home"), a_mobile(OTHER, use="work")),
            (a_mobile(confirmed=False),),
        ],
        "known": [KnownIdentifiers(given=("Amara",), family=("Example",), nhs_number="9990000018")],
    },
    "related": {
        "active": [False],
        "period": [days(end=TODAY - timedelta(days=1)), days(end=TODAY)],
        "patient_keys": [frozenset(), frozenset({"Patient/x"}), AMARA_KEYS],
        "identified": [False],
        "preferences": PREFERENCES,
        "needs": NEEDS,
        "contact_points": [(), (a_mobile(BENS, use="home"), a_mobile(OTHER))],
    },
    "own": {
        "died": ["a date of death"],
        "preferences": PREFERENCES,
        "needs": NEEDS,
    },
    "request": {
        "channel": [Channel.EMAIL, Channel.EMAIL, Channel.NHS_APP, Channel.LETTER],
        "purpose": [*Purpose, Purpose.TEST_RESULT],
        "service": [
            Service(code=code, sensitive=sensitive)
            for code in (None, SERVICE, "7", "urn:other|7")
            for sensitive in Declared
        ],
        "confidential": [Declared.YES, Declared.UNKNOWN] * 2,
        "device": [Device.PERSONAL, Device.SHARED],
        "occasion": list(Occasion),
        "not_after": [NOW, NOW - timedelta(seconds=1)],
        "content": TEXTS,
    },
    "policy": {
        "parental_review_ages": [(11, 13), ()],
        "accept_access_roles": [True],
        "accept_unlisted_bases": [frozenset({"POWATT"})],
        "sensitive_services": [frozenset({SERVICE})],
        "forbidden": [
            frozenset({(Purpose.APPOINTMENT, Channel.SMS)}),
            frozenset({(Purpose.TEST_RESULT, Channel.EMAIL), (Purpose.FEEDBACK, Channel.SMS)}),
        ],
        "devices": [frozenset(Device)],
        "review": [frozenset()],
        "review_by_code": [{"proxy.unclear": frozenset({"Data Protection Officer"})}],
        "require_capacity_record": [True],
        "individual_check_days": [1],
        "repeat_window_hours": [0.0, 48.0],
        "link_hosts": [frozenset({"nhs.uk", "bit.ly"})],
    },
    "platform": {
        "channels": [frozenset({Channel.EMAIL}), frozenset()],
        "approval": [None, Approval(start=TODAY, end=TODAY), Approval(start=TODAY, end=TODAY)],
        "falls_back": [
            (Fallback(channel=Channel.SMS),),
            (Fallback(channel=Channel.EMAIL, platform="app"),),
            (Fallback(channel=Channel.NHS_APP, platform="app"),),
        ],
        "notifies_by": [frozenset({Channel.EMAIL}), frozenset({Channel.VOICE})],
        "requires_login": [True],
        "confidential": [True],
        "lock_screen": [False],
        "windows": [
            (Window(weekdays=frozenset(range(5)), start=time(8), end=time(9)),),
            (Window(weekdays=frozenset(range(5)), start=time(8), end=time(18)),),
        ],
        "sender_names": [("The Example Practice",)],
    },
}
DEPARTURES = [
    Departure(part, name, value)
    for part, fields in _VALUES.items()
    for name, values in fields.items()
    for value in values
]
# What means little alone: the same words again, something called off, a shared contact point.
BUNDLES: list[tuple[Departure, ...]] = [
    *(
        (Departure("case", "content_digest", "these words"), Departure("record", "earlier", each))
        for each in [(one,) for one in EARLIER] + [tuple(EARLIER)]
    ),
    *(
        (Departure("request", "occasion", occasion), Departure("record", "about", about))
        for occasion in (Occasion.REMINDER, Occasion.INVITATION, Occasion.CANCELLATION)
        for about in _ABOUT[3:]
    ),
    *(
        (Departure("request", name, value), Departure("record", "neighbours", neighbours))
        for name, value in (
            ("confidential", Declared.UNKNOWN),
            ("service", Service(code=SERVICE, sensitive=Declared.YES)),
        )
        for neighbours in [(NEIGHBOURS[0],), *SEVERAL_NEIGHBOURS]
    ),
    (
        Departure("platform", "confidential", True),
        Departure("platform", "requires_login", True),
        Departure("request", "confidential", Declared.YES),
    ),
]
_GROUPS = [*((each,) for each in DEPARTURES), *BUNDLES]
# The NHS App on a platform for confidential content.
SECURE_APP = an_app_platform(confidential=True, requires_login=True, lock_screen=False)


def departures(most: int = 4) -> st.SearchStrategy[list[Departure]]:
    """Draw a few."""
    groups = st.lists(st.sampled_from(_GROUPS), max_size=most)
    return named("departures", groups.map(lambda drawn: list(chain.from_iterable(drawn))))


def depart(case: Case, chosen: Iterable[Departure]) -> Case:
    """Give the case with what was drawn; what has no place in it is left out."""
    for each in chosen:
        case = _departed(case, each)
    request = replace(case.request, recipient=case.record.recipient.reference)
    return replace(case, request=request, message_digest=message_digest(request))


def _departed(case: Case, departure: Departure) -> Case:
    record, fields = case.record, {departure.name: departure.value}
    recipient = record.recipient
    match departure.part:
        case "case":
            return replace(case, **fields)
        case "record" if departure.name == "recipient" and case.to_proxy:
            return case
        case "record":
            if departure.name == "brought":
                brought = BroughtContactPoint(system="phone", value="07700 900707", source="999")
                case = replace(case, request=replace(case.request, contact_point=brought))
            return replace(case, record=replace(record, **fields))
        case "patient":
            patient = replace(record.patient, **fields)
            return replace(case, record=replace(record, patient=patient))
        case "related" if recipient.related is not None:
            recipient = replace(recipient, related=replace(recipient.related, **fields))
        case "own" if recipient.own_patient is not None:
            recipient = replace(recipient, own_patient=replace(recipient.own_patient, **fields))
        case "request":
            return replace(case, request=replace(case.request, **fields))
        case "policy":
            return replace(case, policy=replace(case.policy, **fields))
        case "platform":
            platform = replace(case.platform, **fields)
            platforms = {**case.policy.platforms, platform.name: platform}
            return replace(case, policy=replace(case.policy, platforms=platforms))
    return replace(case, record=replace(record, recipient=recipient))
