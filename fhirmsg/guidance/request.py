"""What the sender asks for, and the evidence that comes with it.

The shapes follow `POST /v1/messages` in `openapi.yaml`. Evidence is typed loosely on purpose:
what is missing in it becomes a finding with a reason, not a parse error.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

from fhirmsg.guidance.terms import Channel, Declared, Device, Occasion, Person, Protects, Purpose


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
class Emergency:
    """A declaration that safety needs this one message now ("Emergencies").

    `consulted` is the senior person or advice service it was discussed with; only name and role
    are asked for. Without one, `none_available_reason` says why nobody could be asked.
    """

    declared_by: Person | None = None
    declared_at: datetime | None = None
    reason: str | None = None
    protects: Protects | None = None
    consulted: Person | None = None
    none_available_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A finding that the declarer of an emergency has seen and decides to go on in spite of.

    `reference` and `version_id` copy those of the finding's evidence. `confirmed_by` is who
    confirmed the contact point of a restricted record.
    """

    code: str | None = None
    reference: str | None = None
    version_id: str | None = None
    confirmed_by: Person | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndividualCheck:
    """The individual was asked whether this proxy may hear of this service."""

    proxy: str | None = None
    service: str | None = None
    answer: Declared | None = None
    by: Person | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Somebody with a role for it looked at one finding of this message and lets it go."""

    code: str | None = None
    reviewer: Person | None = None
    note: str | None = None
    at: datetime | None = None
    message_id: str | None = None
    message_digest: str | None = None
    resources: tuple[CitedVersion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asserted:
    """A reason and the person who stands for it: why confidential words are necessary, or how an
    accessible-information need is met in another way."""

    reason: str | None = None
    by: Person | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticalReason:
    """Why a preference is not followed; the page asks for both limbs ("Contact preferences")."""

    important_for_care: bool | None = None
    only_practical_way: bool | None = None
    reason: str | None = None
    by: Person | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the sender brings to lift findings; each part may be absent."""

    override: Override | None = None
    emergency: Emergency | None = None
    acknowledged: tuple[Acknowledgement, ...] = ()
    individual_check: IndividualCheck | None = None
    reviews: tuple[Review, ...] = ()
    necessity: Asserted | None = None
    practical_reason: PracticalReason | None = None
    accessible_alternative: Asserted | None = None


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtContactPoint:
    """A contact point that is brought beside an emergency declaration, as it was written.

    `system` is that of FHIR's ContactPoint, `source` says where it comes from.
    """

    system: str
    value: str = field(repr=False)
    source: str


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
    confidential: Declared = Declared.UNKNOWN
    device: Device = Device.ORGANISATION
    contact_point: BroughtContactPoint | None = None
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
