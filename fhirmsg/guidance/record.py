"""What the record says, as frozen facts: people, contact points, Consents, gaps.

Identity is a set of keys: literal references (`Patient/123`) and identifiers (`system|value`),
so that a literal, absolute, versioned or identifier-only reference to one person compares equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, StrEnum

from fhirmsg.guidance.provisions import Direction, Provision
from fhirmsg.guidance.terms import BirthInterval, Channel, Period, ResourceVersion
from fhirmsg.guidance.wording import KnownIdentifiers, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that could not be read or understood; the sentence holds no patient data."""

    sentence: str
    evidence: ResourceVersion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPoint:
    """One telecom entry, normalised by the reader.

    `value` is E.164 for telephones, an address with lower-case domain for email, the NHS number
    for the NHS App; None when it is blank or cannot be normalised. `channels` are the channels
    its kind of entry can carry.
    """

    value: str | None = field(default=None, repr=False)
    channels: frozenset[Channel] = frozenset()
    use: str | None = None
    rank: int | None = None
    period: Period | None = None
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a person would like to be contacted ("Contact preferences").

    channels: preferred channels that a message can be sent on, or could be. other: preferred
    ways that are no channel here, in words ("a visit"); unknown: a preference nobody understands.
    no_telephone: code 8, a prohibition that stands among the preferences. times: preferred times,
    as short as they are recorded.
    """

    channels: frozenset[Channel] = frozenset()
    other: tuple[str, ...] = ()
    unknown: bool = False
    no_telephone: bool = False
    times: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """An accessible-information need: what it is, and the channels on which it is met.

    `version` is the resource that records it.
    """

    name: str
    met_by: frozenset[Channel] = frozenset()
    version: ResourceVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A recorded assessment of capacity or of a child's competence.

    able: has capacity or is competent; None when the outcome is not understood. on: its day.
    until: the last day on which it counts.
    """

    able: bool | None = None
    on: date | None = None
    until: date | None = None

    def counts_on(self, day: date) -> bool:
        """Tell whether it was made by that day, and its end has not passed."""
        return (self.on is None or self.on <= day) and (self.until is None or day <= self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFacts:
    """A Patient, as far as the guidance cares.

    `died` says what states the death (an element's name), None when nothing does. `replaced_by`
    is the surviving reference, or an empty string when the server gave none. `left` names the
    exit code under which the patient left registration. `known` are the patient's own details,
    to be looked for in the words of a message.
    """

    version: ResourceVersion
    keys: frozenset[str]
    active: bool = True
    died: str | None = None
    replaced_by: str | None = None
    restricted: bool = False
    sensitive_labels: frozenset[str] = frozenset()
    born: BirthInterval = field(default_factory=BirthInterval)
    contact_points: tuple[ContactPoint, ...] = ()
    left: str | None = None
    preferences: Preferences = field(default_factory=Preferences)
    needs: tuple[Need, ...] = ()
    competence: Assessment | None = None
    known: KnownIdentifiers = field(default_factory=KnownIdentifiers, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedPersonFacts:
    """A RelatedPerson; `patient_keys` is empty when it does not say whose relation it is.

    `identified`: it carries an NHS number, by which the person's own record can be found.
    """

    version: ResourceVersion
    keys: frozenset[str]
    patient_keys: frozenset[str]
    active: bool = True
    period: Period | None = None
    contact_points: tuple[ContactPoint, ...] = ()
    identified: bool = True
    preferences: Preferences = field(default_factory=Preferences)
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Somebody else whose record holds contact points: a person related to the patient, or
    anybody found at the same number or address.

    values: normalised values in use. former: values that were in use before. in_use: the entry
    itself is active, and its period is not over. related_to: identity
    keys of the patient whose relation it is, empty for a patient.
    """

    version: ResourceVersion
    keys: frozenset[str]
    values: frozenset[str] = field(default=frozenset(), repr=False)
    former: frozenset[str] = field(default=frozenset(), repr=False)
    in_use: bool = True
    related_to: frozenset[str] = frozenset()


class ConsentStatus(Enum):
    """FHIR R4 Consent.status, and `UNKNOWN` for everything else."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    ACTIVE = "active"
    REJECTED = "rejected"
    INACTIVE = "inactive"
    ENTERED_IN_ERROR = "entered-in-error"
    UNKNOWN = "?"

    @property
    def is_active(self) -> bool:
        """Whether it is in force, as far as the status says."""
        return self is ConsentStatus.ACTIVE


class Scope(Enum):
    """FHIR R4 Consent.scope: privacy (or none), a purpose of its own, or not understood."""

    PRIVACY = "patient-privacy"
    ABSENT = ""
    OTHER = "research, treatment or adr"
    UNKNOWN = "?"


class Basis(StrEnum):
    """Ground on which a proxy acts; the first three are the guidance's."""

    PARENTAL_RESPONSIBILITY = "parental responsibility"
    BEST_INTERESTS = "best-interests decision"
    EXPLICIT_CONSENT = "explicit consent"
    UNLISTED = "a basis the guidance does not list"
    UNKNOWN = "unknown"
    RELATIONSHIP = "relationship only"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationRef:
    """An organisation a Consent names; `ods` is empty when it could not be resolved."""

    ods: frozenset[str] = frozenset()


class Ending(Enum):
    """Why a proxy's role ended, from the latest status reason recorded (NHS England's codes)."""

    AGAINST = "safeguarding, misuse, or at the patient's request"
    HARMLESS = "its end date was reached, or it was not used"
    OTHER = "deactivated, suspended, rejected or withdrawn for another reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingReview:
    """A review that lifts one finding about a grant for more than one message.

    It is written on the Consent itself. `void` when the Consent was changed after it.
    """

    code: str
    by: str
    role: str
    at: date | None = None
    until: date | None = None
    void: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentFacts:
    """One Consent, translated; an objection held elsewhere is told as the Consent it amounts to.

    root: the provision tree, None when there is none.
    policy_direction: what `policyRule` gives to an untyped root (OPTIN permit, OPTOUT deny).
    policy_rule: true when any OPTIN, OPTOUT or similar rule is named.
    message_marker: our category, a SNOMED or LOINC code about messages, on the Consent itself.
    text_permission: LOINC 89057-4 is among the codes.
    declines: a code that says a channel was declined, whatever the type of the root says.
    disclosure: category IDSCL, IRDSCL, INFA or INFAO; access_only: INFA among them.
    other_category: a category known to be about something else than messages.
    flag_record: a reasonable-adjustment or flag record, which never makes a proxy.
    grantees: identity keys of every person the grant is given to, the patient left out.
    bases: recognised grounds, wherever they were found; unlisted: codes of those that are real
      but not among the guidance's three.
    performers: identity keys of `Consent.performer`; performer_related: one is a
      RelatedPerson or somebody else than the patient, and none is the patient.
    refusal_purposes: purposes such as RADISSENT that say the opposite of a grant.
    reviewed: the latest date on which somebody confirmed it.
    unverified: the latest verification says that it was not verified.
    altered: a modifierExtension or implicitRules whose meaning is not known.
    part: which part of the resource says it, for an objection held outside Consent.
    identifiers: business identifiers, as `system|value`.
    signed: Consent.dateTime; one without a time counts from the start of its local day, None when
      it is absent or cannot be read.
    grantors: ODS codes of those who granted it; an organisation that could not be resolved is
      left out, since it counts as ours.
    ended: why a role was ended, by the latest status reason.
    capacity, competence: assessments recorded on it.
    standing_reviews: reviews that stand on it.
    restricted_digests: keyed digests of contact points that are not to be used.
    reason: why the patient objects, in words or a code; only for those who may know it.
    """

    version: ResourceVersion
    part: str = ""
    identifiers: frozenset[str] = frozenset()
    signed: datetime | None = None
    grantors: frozenset[str] = frozenset()
    ended: Ending | None = None
    capacity: Assessment | None = None
    competence: Assessment | None = None
    standing_reviews: tuple[StandingReview, ...] = ()
    restricted_digests: frozenset[str] = frozenset()
    reason: str | None = field(default=None, repr=False)
    status: ConsentStatus = ConsentStatus.ACTIVE
    scope: Scope = Scope.PRIVACY
    root: Provision | None = None
    policy_direction: Direction | None = None
    policy_rule: bool = False
    message_marker: bool = False
    text_permission: bool = False
    declines: bool = False
    disclosure: bool = False
    access_only: bool = False
    other_category: bool = False
    flag_record: bool = False
    organisations: tuple[OrganisationRef, ...] = ()
    grantees: frozenset[str] = frozenset()
    bases: frozenset[Basis] = frozenset()
    unlisted: frozenset[str] = frozenset()
    performers: frozenset[str] = frozenset()
    performer_related: bool = False
    refusal_purposes: bool = False
    safety: bool = False
    confirmed_with_patient: bool = False
    reason_recorded: bool = False
    reviewed: date | None = None
    unverified: bool = False
    altered: bool = False

    @property
    def key(self) -> str:
        """What tells it from every other one: its reference, and the part that says it."""
        return f"{self.version.reference}#{self.part}" if self.part else self.version.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutFacts:
    """Something the message is about; `subject_keys` is everybody it says it concerns.

    `off` says why it will not take place or is not wanted any more ("cancelled"); `starts` is
    when an appointment begins.
    """

    version: ResourceVersion
    subject_keys: frozenset[str]
    sensitive_labels: frozenset[str] = frozenset()
    off: str | None = None
    starts: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierMessage:
    """A message on the patient's record within the policy's window.

    at: when it was sent, else when its entry last changed. left: it went out, or may have.
    unreachable: it failed because the contact point is not valid. tail: the masked hint of its
    contact point, empty when there is none.
    """

    version: ResourceVersion
    message_id: str
    recipient: str
    channel: str
    at: datetime
    content_digest: str | None = None
    left: bool = True
    unreachable: bool = False
    tail: str = ""


class RecipientKind(Enum):
    """What the recipient reference points at."""

    PATIENT = "Patient"
    RELATED_PERSON = "RelatedPerson"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Who would receive the message.

    keys: the recipient's own identity. closure: the same human under every other name the record
    gives (a second RelatedPerson with the same NHS number, the proxy's own Patient): a denial of
    one is a denial of all, while a grant must name the recipient itself.
    own_patient: the proxy's own Patient, own_consents the Consents on it.
    """

    kind: RecipientKind
    reference: str
    keys: frozenset[str]
    closure: frozenset[str]
    related: RelatedPersonFacts | None = None
    own_patient: PatientFacts | None = None
    own_consents: tuple[ConsentFacts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRecord:
    """Everything read for one decision.

    `linked_consents` are those on records linked to the patient's (replaces, seealso), and
    `linked_keys` the identities of those records.
    `openable` is false when the record entry could not be opened. `versions` lists every
    resource relied on. `read_at` is the instant the read began, RFC 3339.
    `blind` are signs that Consents may be hidden from us. `neighbours` are other people with
    contact points. `earlier` are recent messages. `brought` is the contact point of the request,
    normalised; its value is None when it could not be. `digests` gives the keyed digest of each
    contact point's value, when any restriction asks for it. `observations` are what the checker
    saw in the words when the read asked for it, None where nobody has looked through them.
    """

    patient: PatientFacts
    recipient: Recipient
    consents: tuple[ConsentFacts, ...] = ()
    linked_consents: tuple[ConsentFacts, ...] = ()
    linked_keys: frozenset[str] = frozenset()
    about: tuple[AboutFacts, ...] = ()
    gaps: tuple[Gap, ...] = ()
    blind: tuple[Gap, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    earlier: tuple[EarlierMessage, ...] = ()
    brought: ContactPoint | None = None
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)
    versions: tuple[ResourceVersion, ...] = ()
    observations: tuple[Observation, ...] | None = field(default=None, repr=False)
    openable: bool = True
    read_at: str = ""
