"""Statements by people: who is named, and whether an emergency is declared completely.

Merit is never judged here: that is for the people who sign. Blank text is no text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from fhirmsg.guidance.readable import as_read, says_something
from fhirmsg.guidance.request import Emergency, SendRequest
from fhirmsg.guidance.terms import Person

# Clocks of the caller and of this host may differ by this much.
CLOCK_TOLERANCE = timedelta(seconds=120)
# After this long a declaration says nothing about now.
LONGEST_DECLARATION = timedelta(minutes=60)


def is_named(person: Person | None) -> bool:
    """Tell whether a person has an identifier, a name and a role, none of them blank."""
    return person is not None and all(
        map(says_something, (person.identifier, person.name, person.role))
    )


def is_named_by(identifier: str | None, keys: Iterable[str]) -> bool:
    """Tell whether an identifier is one of a person's identity keys, with its system or without."""
    given = _who(identifier)
    return any(_is_one(given, _who(key)) for key in keys)


def is_same_person(one: Person | None, other: Person | None) -> bool:
    """Tell whether two statements are by one person, going by the identifier as it is read."""
    return (
        one is not None
        and other is not None
        and says_something(one.identifier)
        and _is_one(_who(one.identifier), _who(other.identifier))
    )


def _who(identifier: str | None) -> str:
    """Give an identifier without what two spellings of one reference may differ in."""
    text = as_read(identifier)
    if "|" in text:
        return text
    text = text.partition("/_history/")[0]
    return "/".join(text.rsplit("/", 2)[-2:]) if "://" in text else text


def _is_one(one: str, other: str) -> bool:
    """Tell whether two identifiers are one; a system need not be written by both."""
    systems = ("|" in one) + ("|" in other)
    return one == other or (systems == 1 and one.rpartition("|")[2] == other.rpartition("|")[2])


def emergency_faults(request: SendRequest, as_of: datetime) -> tuple[str, ...]:
    """Say what is wrong with the declaration of an emergency; empty when it is complete or absent.

    Source: "Emergencies". The page asks for a discussion with a senior person or an advice
    service where one can be had, and lets the sender decide alone where not.
    """
    declaration = request.evidence.emergency
    if declaration is None:
        return ()
    return (
        *_faults_of_declarer(declaration, request),
        *_faults_of_statement(declaration),
        *_faults_of_time(declaration, as_of),
    )


def _faults_of_declarer(declaration: Emergency, request: SendRequest) -> Iterator[str]:
    if not is_named(declaration.declared_by):
        yield "it does not name who declares it, with identifier, name and role"
    elif not is_same_person(declaration.declared_by, request.requester):
        yield "it is declared by another person than the one who asks for the message"


def _faults_of_statement(declaration: Emergency) -> Iterator[str]:
    if not says_something(declaration.reason):
        yield "it gives no reason"
    if declaration.protects is None:
        yield "it does not say whom the message is to protect"
    consulted = declaration.consulted
    if consulted is None:
        if not says_something(declaration.none_available_reason):
            yield (
                "it says neither who was consulted (name and role) nor why nobody could be asked"
            )
    elif not (says_something(consulted.name) and says_something(consulted.role)):
        yield "it does not give the name and role of the person who was consulted"


def _faults_of_time(declaration: Emergency, as_of: datetime) -> Iterator[str]:
    declared, ours = declaration.declared_at, as_of.isoformat()
    if declared is None:
        yield "it does not say when it was declared"
    elif declared > as_of + CLOCK_TOLERANCE:
        yield f"it is declared for a time that has not come (our time is {ours})"
    elif declared < as_of - LONGEST_DECLARATION - CLOCK_TOLERANCE:
        yield f"it was declared more than an hour ago (our time is {ours}); declare it anew"
