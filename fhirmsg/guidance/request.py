"""What the sender asks for, and the evidence that comes with it.

The shapes follow `POST /v1/messages` in `openapi.yaml`. Evidence is typed loosely on purpose:
what is missing in it becomes a finding with a reason, not a parse error.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

from fhirmsg.guidance.terms import Channel, Declared, Occasion, Person, Purpose

# Characters that print as nothing: text made of them alone has not been written by anybody.
_INVISIBLE = dict.fromkeys(
    [
        *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E),
        *(0x2800, 0x3164, 0xFEFF, 0xFFA0),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
    ]
)


def says_something(text: str | None) -> bool:
    """Tell whether a text has any visible character in it."""
    return text is not None and bool(text.translate(_INVISIBLE).strip())


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
