"""What the sender asks for, and the evidence that comes with it.

The shapes follow `POST /v1/messages` in `openapi.yaml`. Evidence is typed loosely on purpose:
what is missing in it becomes a finding with a reason, not a parse error.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import asdict, dataclass, field
from datetime import datetime

from fhirmsg.guidance.terms import Channel, Declared, Occasion, Person, Purpose

# Letters and a symbol that print as nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def _is_visible(character: str) -> bool:
    # Controls, separators, and marks without a letter to stand on are seen by nobody.
    return unicodedata.category(character)[0] not in "CMZ" and character not in _BLANK


def says_something(text: str | None) -> bool:
    """Tell whether a text has any visible character in it."""
    return text is not None and any(map(_is_visible, text))


def as_read(text: str | None) -> str:
    """Give a text as its reader takes it, to compare names, roles and identifiers.

    Letter case, spacing, width and invisible characters make no difference.
    """
    seen = (
        character if _is_visible(character) else " " * character.isspace()
        for character in unicodedata.normalize("NFKC", text or "")
    )
    return " ".join("".join(seen).split()).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The words of the message, and the summary to file when the record takes a summary."""

    body: str
    subject: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service the message is about; `code` is `system|code` or a bare code."""

    code: str | None = None
    sensitive: Declared = Declared.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedVersion:
    """A resource version that a person says they have seen."""

    reference: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A talk with the patient about the objection."""

    by: Person | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A case-by-case decision to send despite an objection ("Overriding objections")."""

    message_id: str | None = None
    message_digest: str | None = None
    objections: tuple[CitedVersion, ...] = ()
    reason: str | None = None
    circumstances: str | None = None
    approver: Person | None = None
    approved_at: datetime | None = None
    expires_at: datetime | None = None
    conversation: Conversation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the sender brings to lift findings; each part may be absent."""

    override: Override | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRequest:
    """One message to one recipient about one patient.

    `patient`, `recipient` and `about` are relative literal references (`Patient/123`).
    """

    patient: str
    recipient: str
    channel: Channel
    platform: str
    purpose: Purpose
    content: Content
    organization: str
    requester: Person
    summary_only: bool = False
    service: Service = field(default_factory=Service)
    about: tuple[str, ...] = ()
    occasion: Occasion = Occasion.OTHER
    not_after: datetime | None = None
    evidence: Evidence = field(default_factory=Evidence)


def message_digest(request: SendRequest) -> str:
    """Give the SHA-256 (hex) of the request without its evidence, in canonical JSON.

    The same message with more evidence is the same message; any other change makes another one.
    """
    content = {key: value for key, value in asdict(request).items() if key not in ("evidence",)}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
