"""People and their contact points, those who share them, and what is known of their wishes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fhirmsg.guidance.record import (
    Assessment,
    ContactPoint,
    EarlierMessage,
    Need,
    Neighbour,
    Preferences,
)
from fhirmsg.guidance.terms import Channel, ResourceVersion
from tests.builders import (
    AMARA,
    BEN,
    BEN_KEYS,
    NOW,
    TODAY,
    a_mobile,
    a_patient,
    an_app_login,
    an_email,
)
from tests.guidance.strategies.consents import EVE_KEYS
from tests.guidance.strategies.draws import mostly, periods

AMARAS, BENS, OTHER = "+447700900101", "+447700900202", "+447700900102"
VALUES = (AMARAS, BENS, OTHER, "amara@example.org", "ben@example.org", "9990000018", "9990000026")


def digest_of(value: str) -> str:
    """Give what stands for the keyed digest of a contact point."""
    return f"digest of {value}"


DIGESTS = {value: digest_of(value) for value in VALUES}

contact_points: SearchStrategy[ContactPoint] = st.builds(
    lambda point, **fields: replace(point, **fields),
    st.sampled_from(
        [a_mobile(), a_mobile(OTHER), a_mobile(value=None), an_email(), an_app_login()]
    ),
    use=mostly("mobile", "home", "work", "temp", "old", None),
    rank=mostly(None, 1, 2),
    period=periods,
    confirmed=st.booleans(),
)
point_lists: SearchStrategy[tuple[ContactPoint, ...]] = st.one_of(
    st.just(a_patient().contact_points), st.lists(contact_points, max_size=4).map(tuple)
)

PREFERENCES = [
    *(Preferences(channels=frozenset({channel})) for channel in Channel),
    Preferences(channels=frozenset({Channel.EMAIL, Channel.NHS_APP})),
    Preferences(other=("a visit",)),
    Preferences(unknown=True),
    Preferences(no_telephone=True),
    Preferences(channels=frozenset({Channel.EMAIL}), no_telephone=True, times=("evenings",)),
    Preferences(times=("evenings",)),
]
_NEEDED = ResourceVersion(reference="Flag/needs", version_id="1")
NEEDS = [
    (Need(name="braille", met_by=frozenset({Channel.LETTER}), version=_NEEDED),),
    (Need(name="information by email", met_by=frozenset({Channel.EMAIL}), version=_NEEDED),),
    (
        Need(name="British Sign Language", met_by=frozenset({Channel.VIDEO}), version=_NEEDED),
        Need(name="large print", met_by=frozenset({Channel.EMAIL}), version=_NEEDED),
    ),
]
COMPETENCE = [Assessment(able=able, on=TODAY - timedelta(days=9)) for able in (True, False, None)]


def a_neighbour(id: str, *values: str, **fields: object) -> Neighbour:
    """Give somebody else who has these contact points, related to Amara if a RelatedPerson."""
    defaults = {
        "version": ResourceVersion(reference=id, version_id="1"),
        "keys": frozenset({id}),
        "values": frozenset(values),
        "related_to": frozenset({AMARA}) if id.startswith("RelatedPerson") else frozenset(),
    }
    return Neighbour(**{**defaults, **fields})


(EVE,) = EVE_KEYS
NEIGHBOURS = [
    a_neighbour(EVE, AMARAS),
    a_neighbour("RelatedPerson/eve-too", AMARAS, "amara@example.org", keys=EVE_KEYS),
    a_neighbour(EVE, BENS, "ben@example.org"),
    a_neighbour(EVE, former=frozenset({AMARAS})),
    a_neighbour(EVE, "+447700900303"),
    a_neighbour("RelatedPerson/eve-again", AMARAS, keys=EVE_KEYS | {"RelatedPerson/eve-again"}),
    a_neighbour(BEN, AMARAS, BENS, keys=BEN_KEYS),
    a_neighbour("Patient/stranger", AMARAS),
    a_neighbour("Patient/stranger", BENS),
    a_neighbour("RelatedPerson/distant", AMARAS, related_to=frozenset({"Patient/x"})),
]
SEVERAL_NEIGHBOURS = [
    tuple(each for each in NEIGHBOURS if AMARAS in each.values),
    tuple(each for each in NEIGHBOURS if BENS in each.values),
    tuple({each.version.reference: each for each in NEIGHBOURS}.values()),
]

_HOUR = timedelta(hours=1)


def earlier(id: str, **fields: object) -> EarlierMessage:
    """Give the same words to Amara by text an hour ago."""
    defaults = {
        "version": ResourceVersion(reference=f"Communication/{id}", version_id="2"),
        "message_id": id,
        "recipient": AMARA,
        "channel": "sms",
        "at": NOW - _HOUR,
        "content_digest": "these words",
        "tail": AMARAS[-3:],
    }
    return EarlierMessage(**{**defaults, **fields})


EARLIER = [
    earlier("one"),
    earlier("two", recipient=BEN, tail=BENS[-3:]),
    earlier("three", left=False, unreachable=True),
    earlier("four", recipient=BEN, tail=BENS[-3:], left=False, unreachable=True),
    earlier("five", at=NOW - 30 * _HOUR),
    earlier("six", at=NOW - 30 * _HOUR, unreachable=True),
    earlier("seven", content_digest="other words"),
]
