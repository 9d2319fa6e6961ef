"""What the checker is told: the text, whom it is about, and what the organisation settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from fhirmsg.guidance.terms import Channel
from fhirmsg.guidance.wording.tables import ABBREVIATIONS, SHORTENERS

# What a telephone shows of a message before anybody has unlocked it.
PREVIEW_LENGTH = 100

# The longest text that the common senders of text messages in Britain take.
LONGEST_SMS = 918


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageText:
    """The words that go out.

    `preview` is what a locked screen shows, where the platform sets it; None means that the
    telephone shows the beginning of the message, an email's subject first.
    """

    body: str = field(repr=False)
    channel: Channel
    subject: str | None = field(default=None, repr=False)
    preview: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIdentifiers:
    """The patient's own details, to be looked for in the text; none of them is printed.

    given, family: every name by which the record knows the patient. born: only a full date.
    address_lines: lines of the street address in their order, the town left out.
    """

    given: tuple[str, ...] = field(default=(), repr=False)
    family: tuple[str, ...] = field(default=(), repr=False)
    born: date | None = field(default=None, repr=False)
    nhs_number: str | None = field(default=None, repr=False)
    address_lines: tuple[str, ...] = field(default=(), repr=False)
    postcode: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordingSettings:
    """What the organisation settled about its messages.

    organisation_names: names any one of which tells a patient who writes; with none given the
    sender is not looked for. link_hosts: hosts that may be linked to, each with its subdomains.
    preview_length, sms_limit: in characters.
    """

    organisation_names: tuple[str, ...] = ()
    link_hosts: frozenset[str] = frozenset({"nhs.uk"})
    shorteners: frozenset[str] = SHORTENERS
    abbreviations: frozenset[str] = ABBREVIATIONS
    preview_length: int = PREVIEW_LENGTH
    sms_limit: int = LONGEST_SMS
