"""What is asked of a FHIR server, and what does not work without it: data, line by line."""

from __future__ import annotations

from dataclasses import dataclass

from fhirmsg.doctor.lines import Level

READ, SEARCH, CREATE, UPDATE = "read", "search-type", "create", "update"
# The letter of each in a SMART scope (https://hl7.org/fhir/smart-app-launch/), version 2.
SCOPE_LETTER = {CREATE: "c", READ: "r", UPDATE: "u", SEARCH: "s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What is done with one resource type, and what comes of it when that is not possible."""

    kind: str
    interactions: tuple[str, ...]
    parameters: tuple[str, ...]
    without: str
    level: Level = Level.FAULT
    conditional: bool = False
    versioned: bool = False


NEEDS = (
    Need(
        kind="Patient",
        interactions=(READ, SEARCH),
        parameters=("identifier", "telecom"),
        without="messages are held, because the record cannot be read whole",
    ),
    Need(
        kind="Consent",
        interactions=(READ, SEARCH),
        parameters=("patient",),
        without="objections cannot be seen, so every message is held",
    ),
    Need(
        kind="Consent",
        interactions=(CREATE,),
        parameters=("identifier", "status"),
        without="a person's answer that a proxy may not be told cannot be put on record",
        level=Level.WARNING,
        conditional=True,
    ),
    Need(
        kind="RelatedPerson",
        interactions=(READ, SEARCH),
        parameters=("patient", "telecom"),
        without="messages are held, because the record cannot be read whole",
    ),
    Need(
        kind="Communication",
        interactions=(READ, SEARCH, CREATE, UPDATE),
        parameters=("identifier", "subject"),
        without="no message can be recorded, so none is sent",
        conditional=True,
        versioned=True,
    ),
    Need(
        kind="CommunicationRequest",
        interactions=(SEARCH,),
        parameters=("subject", "status"),
        without="messages are held, unless the policy says not to read them",
        level=Level.WARNING,
    ),
    Need(
        kind="Flag",
        interactions=(SEARCH,),
        parameters=("patient",),
        without="messages are held, unless the policy says not to read them",
        level=Level.WARNING,
    ),
    Need(
        kind="Task",
        interactions=(READ, SEARCH, CREATE, UPDATE),
        parameters=("identifier",),
        without="people are not told what is left for them to do",
        conditional=True,
        versioned=True,
    ),
    Need(
        kind="Provenance",
        interactions=(SEARCH, CREATE),
        parameters=("target",),
        without="overrides, emergencies and reviews cannot be put on record",
    ),
    Need(
        kind="Organization",
        interactions=(READ,),
        parameters=(),
        without="Consents that name an organisation by reference are not understood",
        level=Level.WARNING,
    ),
    Need(
        kind="AuditEvent",
        interactions=(CREATE,),
        parameters=(),
        without="decisions go to FHIRMSG_DECISION_LOG, or to nobody where that is not set",
        level=Level.WARNING,
    ),
    Need(
        kind="AuditEvent",
        interactions=(SEARCH,),
        parameters=("entity", "entity-name"),
        without="answers to repeated calls have no findings, and an AuditEvent may be there twice",
        level=Level.WARNING,
    ),
)

# What the server as a whole has to do.
SYSTEM = (
    ("batch", Level.FAULT, "the record cannot be read in one round trip, so nothing is decided"),
    (
        "transaction",
        Level.WARNING,
        "an entry and what belongs beside it are written one after the other, and a crash can come "
        "in between",
    ),
)

# Searches as they are made for a decision, about nobody: none may find anything.
NOBODY = "fhirmsg-doctor-nobody"
PROBES = (
    ("Consent", "patient", f"Consent?patient=Patient/{NOBODY}&_count=1&_total=accurate"),
    (
        "RelatedPerson",
        "patient",
        f"RelatedPerson?patient=Patient/{NOBODY}&_count=1&_total=accurate",
    ),
    (
        "Communication",
        "identifier",
        f"Communication?identifier=urn%3Afhirmsg%3Adoctor%7C{NOBODY}",
    ),
    (
        "Communication",
        "subject",
        f"Communication?subject=Patient/{NOBODY}&_sort=-_lastUpdated&_count=1",
    ),
    (
        "Communication",
        "_lastUpdated",
        f"Communication?subject=Patient/{NOBODY}&_lastUpdated=ge2026-01-01T00%3A00%3A00Z&_count=1",
    ),
    (
        "CommunicationRequest",
        "subject",
        f"CommunicationRequest?subject=Patient/{NOBODY}&status=active,on-hold&_count=1",
    ),
    ("Flag", "patient", f"Flag?patient=Patient/{NOBODY}&_count=1"),
    ("Task", "identifier", f"Task?identifier=urn%3Afhirmsg%3Adoctor%7C{NOBODY}"),
    ("Patient", "identifier", f"Patient?identifier=urn%3Afhirmsg%3Adoctor%7C{NOBODY}"),
    ("Patient", "telecom", f"Patient?telecom={NOBODY}&_count=1"),
    ("Provenance", "target", f"Provenance?target=Communication/{NOBODY}"),
)
