"""The vocabulary of the guidance: channels, purposes, roles, and time in partial precision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum


class Channel(StrEnum):
    """A way in which a message reaches a person."""

    SMS = "sms"
    EMAIL = "email"
    NHS_APP = "nhs-app"
    LETTER = "letter"
    VOICE = "voice"
    VIDEO = "video"
    FAX = "fax"


class Purpose(StrEnum):
    """Why the message is sent, as the sender declares it."""

    INDIVIDUAL_CARE = "individual-care"
    APPOINTMENT = "appointment"
    TEST_RESULT = "test-result"
    PRESCRIPTION = "prescription"
    INVITATION = "invitation"
    SERVICE_INFORMATION = "service-information"
    FEEDBACK = "feedback"
    RESEARCH = "research"
    FUNDRAISING = "fundraising"
    MARKETING = "marketing"


class Declared(StrEnum):
    """What a sender says of a property; `unknown` is an answer and is never read as no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Occasion(StrEnum):
    """What prompts the message."""

    REMINDER = "reminder"
    INVITATION = "invitation"
    CHANGE = "change"
    CANCELLATION = "cancellation"
    FOLLOW_UP = "follow-up"
    OTHER = "other"


class Device(StrEnum):
    """Whose device the sender uses."""

    ORGANISATION = "organisation"
    PERSONAL = "personal"
    SHARED = "shared"


class Protects(StrEnum):
    """Whom an emergency message is to protect."""

    PATIENT = "patient"
    OTHERS = "others"


class Role(StrEnum):
    """People the guidance tells staff to ask when they are unsure."""

    DPO = "Data Protection Officer"
    CALDICOTT_GUARDIAN = "Caldicott Guardian"
    IG_TEAM = "IG team"
    SENIOR = "senior member of staff"
    RECORDS = "records or registration team"
    SYSTEM = "system administrator"


# HL7 v3 ActReason code under which a purpose is evaluated against Consent provisions.
PURPOSE_OF_USE: dict[Purpose, str] = {
    Purpose.INDIVIDUAL_CARE: "TREAT",
    Purpose.TEST_RESULT: "TREAT",
    Purpose.PRESCRIPTION: "TREAT",
    Purpose.APPOINTMENT: "PATADMIN",
    Purpose.INVITATION: "PATADMIN",
    Purpose.SERVICE_INFORMATION: "PATADMIN",
    Purpose.FEEDBACK: "PATADMIN",
    Purpose.RESEARCH: "HRESCH",
    Purpose.FUNDRAISING: "HMARKT",
    Purpose.MARKETING: "HMARKT",
}

# A denial for one of these is a denial for all three: nobody who asks not to be contacted
# thinks in terms of the difference between treatment and its administration.
ONE_FOR_DENIALS = frozenset({"TREAT", "CAREMGT", "PATADMIN"})

# Parent of each v3 ActReason purpose of use that is understood (HL7 v3 ActReason, R4 4.0.1).
PURPOSE_PARENT: dict[str, str | None] = {
    "PurposeOfUse": None,
    "TREAT": "PurposeOfUse",
    "ETREAT": "TREAT",
    "BTG": "ETREAT",
    "ERTREAT": "ETREAT",
    "CLINTRCH": "HRESCH",
    "POPHLTH": "TREAT",
    "COC": "TREAT",
    "HOPERAT": "PurposeOfUse",
    "CAREMGT": "HOPERAT",
    "PATADMIN": "HOPERAT",
    "PATSFTY": "HOPERAT",
    "DONAT": "HOPERAT",
    "FRAUD": "HOPERAT",
    "GOV": "HOPERAT",
    "HACCRED": "HOPERAT",
    "HCOMPL": "HOPERAT",
    "HDECD": "HOPERAT",
    "HDIRECT": "HOPERAT",
    "HLEGAL": "HOPERAT",
    "HOUTCOMS": "HOPERAT",
    "HPRGRP": "HOPERAT",
    "HQUALIMP": "HOPERAT",
    "HSYSADMIN": "HOPERAT",
    "LABELING": "HOPERAT",
    "METAMGT": "HOPERAT",
    "MEMADMIN": "HOPERAT",
    "MILCDM": "HOPERAT",
    "PERFMSR": "HOPERAT",
    "RECORDMGT": "HOPERAT",
    "SYSDEV": "HOPERAT",
    "TRAIN": "HOPERAT",
    "HPAYMT": "PurposeOfUse",
    "CLMATTCH": "HPAYMT",
    "COVAUTH": "HPAYMT",
    "COVERAGE": "HPAYMT",
    "ELIGDTRM": "HPAYMT",
    "ELIGVER": "HPAYMT",
    "ENROLLM": "HPAYMT",
    "REMITADV": "HPAYMT",
    "HRESCH": "PurposeOfUse",
    "HMARKT": "PurposeOfUse",
    "PATRQT": "PurposeOfUse",
    "FAMRQT": "PATRQT",
    "PWATRNY": "PATRQT",
    "SUPNWK": "PATRQT",
    "PUBHLTH": "PurposeOfUse",
    "DISASTER": "PUBHLTH",
    "THREAT": "PUBHLTH",
}


def purpose_covers(code: str, purpose: str) -> bool:
    """Tell whether a provision's purpose is this purpose of use or an ancestor of it."""
    at: str | None = purpose
    while at is not None:
        if at == code:
            return True
        at = PURPOSE_PARENT.get(at)
    return False


class Match(IntEnum):
    """Three-valued match of a provision; the order makes `min` an and, `max` an or."""

    NO = 0
    UNKNOWN = 1
    YES = 2


# Two clocks differ; a denial that begins or ends at a written time is stretched by this much.
DENIAL_TOLERANCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A FHIR Period as instants, both ends inclusive (https://hl7.org/fhir/R4/datatypes.html#Period).

    `start` and `end` are aware datetimes or None (open). A date-only end has been widened to the
    last instant of that local day, and its `timed_*` is then false. `malformed` is true when an
    end could not be understood.
    """

    start: datetime | None = None
    end: datetime | None = None
    timed_start: bool = False
    timed_end: bool = False
    malformed: bool = False

    def contains(self, instant: datetime, *, denial: bool = False) -> Match:
        """Tell whether the instant lies within; a reversed or malformed period is unknown."""
        start, end = self.start, self.end
        if self.malformed or (start is not None and end is not None and start > end):
            return Match.UNKNOWN
        # Differences are compared and nothing is moved: a bound, and the instant that is asked
        # about, may be the first or the last there is.
        if start is not None and start > instant:
            early = denial and self.timed_start and start - instant <= DENIAL_TOLERANCE
            if not early:
                return Match.NO
        if end is not None and end < instant:
            late = denial and self.timed_end and instant - end <= DENIAL_TOLERANCE
            if not late:
                return Match.NO
        return Match.YES


@dataclass(frozen=True, slots=True, kw_only=True)
class BirthInterval:
    """The days on which a person may have been born; None means the end is not known."""

    earliest: date | None = None
    latest: date | None = None

    def oldest_age(self, day: date) -> int | None:
        """Age in whole years if born as early as possible; None when that has no bound."""
        return None if self.earliest is None else age_on(self.earliest, day)

    def youngest_age(self, day: date) -> int | None:
        """Age in whole years if born as late as possible; None when that has no bound."""
        return None if self.latest is None else age_on(self.latest, day)


def birthday(born: date, age: int) -> date:
    """Day on which somebody turns `age`; 29 February becomes 1 March in a common year."""
    try:
        return born.replace(year=born.year + age)
    except ValueError:
        return date(born.year + age, 3, 1)


def age_on(born: date, day: date) -> int:
    """Age in whole years at the start of a local day."""
    # Who was born on 29 February has not had their birthday on the 28th of a common year.
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceVersion:
    """One version of one resource, cited as evidence: `Consent/42`, `3`, instant as written."""

    reference: str
    version_id: str | None = None
    last_updated: str | None = None

    @property
    def versioned(self) -> str:
        """The reference with its version, or alone where the server gives none."""
        return f"{self.reference}/_history/{self.version_id}" if self.version_id else self.reference

    def as_json(self) -> dict[str, str | None]:
        """Give the shape used in answers and receipts."""
        return {
            "reference": self.reference,
            "versionId": self.version_id,
            "lastUpdated": self.last_updated,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who acts or asserts: `identifier`, `name`, `role`, as the request gives them."""

    identifier: str | None = None
    name: str | None = None
    role: str | None = None
