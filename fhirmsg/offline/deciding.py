"""One decision from files: the request parsed, the record read, the rules applied, as at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from fhirmsg.calls import Call, message_id_for
from fhirmsg.errors import FhirmsgError, SettingsError
from fhirmsg.fhir.elements import element, instant_of, reference_keys, text_of, version_of
from fhirmsg.fhir.files import FhirFiles
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, decide
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import Gap
from fhirmsg.guidance.request import Evidence, SendRequest
from fhirmsg.judging import content_digest
from fhirmsg.offline.records import RecordFiles, read_records
from fhirmsg.packaged import packaged
from fhirmsg.policyfile import read_policy
from fhirmsg.web.body import NotReadable, json_object
from fhirmsg.web.parse import NoSuchOrganisation, Refused, parse

_BASE = "https://files.invalid/fhir"
_EARLIEST = datetime(1950, 1, 1, tzinfo=UTC)
_LATEST = datetime(2150, 1, 1, tzinfo=UTC)
_SOME_MESSAGE = message_id_for("fhirmsg decide", "no message id")


class NotDecidable(Exception):
    """Something about the input keeps a decision from being made; `faults` names all of it."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Keep every fault, each with the file it is in."""
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A decision, the request it is about, and remarks on how it came about."""

    decision: Decision
    request: SendRequest
    message_id: str
    remarks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: files, and the options of `fhirmsg decide`."""

    records: Sequence[str]
    request: str
    policy: str | None = None
    as_of: str | None = None
    message_id: str | None = None
    record_key_file: str | None = None


def answer(question: Question, now: datetime) -> Outcome:
    """Decide from files. Raises NotDecidable with every fault in them.

    `now` is the instant it is judged at when the question names none, aware.
    """
    faults: list[str] = []
    as_of = _as_of(question.as_of, now, faults)
    policy_path = question.policy or str(
        packaged("policy", in_the_repository="fixtures/policy") / "example.yaml"
    )
    policy = _policy(policy_path, faults)
    records = read_records(question.records)
    faults += records.faults
    key = _key(question.record_key_file, faults)
    request = _request(question.request, policy, faults)
    message_id, remark = _message_id(question.message_id, request, faults)
    if faults or request is None or policy is None:
        raise NotDecidable(faults)
    remarks = [remark]
    if question.policy is None:
        remarks.append(f"The policy is the packaged example, version {policy.version}.")
    if key is None:
        remarks.append("Without the record key, repeats of earlier messages are not recognised.")
    call = Call(request=request, policy=policy, message_id=message_id)
    decision = _decide(call, records, as_of, key)
    return Outcome(
        decision=decision, request=request, message_id=message_id, remarks=tuple(remarks)
    )


def _decide(call: Call, records: RecordFiles, as_of: datetime, key: bytes | None) -> Decision:
    for each in records.resources:
        for name in _BEARING.get(str(each.get("resourceType")), ()):
            records.bases.add_from(text_of(element(each.get(name)).get("reference")))
    base = records.bases.one
    files = FhirFiles(records.resources, base=base)
    reader = FhirRecordReader(files, contact_key=key, clock=lambda: as_of)
    try:
        read = reader.read(call.request, call.policy, call.message_id)
    except FhirmsgError as error:
        raise NotDecidable([f"the record files: {_of_files(error)}"]) from None
    keys = read.record.patient.keys
    gaps = (*read.record.gaps, *records.gaps, *_of_nobody(records, base, keys))
    case = Case(
        request=call.request,
        record=replace(read.record, gaps=gaps),
        policy=call.policy,
        as_of=as_of,
        message_id=call.message_id,
        message_digest=call.digest,
        content_digest=None if key is None else content_digest(call, key),
    )
    return decide(case)


def _of_files(error: FhirmsgError) -> str:
    """Say of files what an error says of a server."""
    kind = type(error).__name__
    return {
        "PatientNotFound": "the patient of the request is not in them",
        "RecipientNotFound": "the recipient of the request is not in them",
        "PatientAmbiguous": "the identifier of the request matches several patients in them",
    }.get(kind, "the patient or the recipient could not be read from them")


# What speaks for or against messages to a patient, and the elements that say whose it is.
_BEARING = {
    "Consent": ("patient",),
    "CommunicationRequest": ("subject",),
    "Flag": ("subject",),
    "RelatedPerson": ("patient",),
}


def _of_nobody(records: RecordFiles, base: str, patient: frozenset[str]) -> list[Gap]:
    """Name what does not say in a comparable way whose it is: it may be this patient's."""
    return [
        Gap(
            sentence=f"A {each['resourceType']} does not say in a way that can be compared which "
            "patient it is of, so it may be this one's.",
            evidence=version_of(each),
        )
        for each in records.resources
        if each.get("resourceType") in _BEARING
        and each.get("status") != "entered-in-error"
        and not any(
            _can_be_compared(reference_keys(each.get(name), base), patient)
            for name in _BEARING[each["resourceType"]]
        )
    ]


def _can_be_compared(keys: frozenset[str], patient: frozenset[str]) -> bool:
    """Tell whether a reference is a plain one, or by an identifier of a sort the patient has."""
    sorts = {key.rpartition("|")[0] for key in patient if "|" in key}
    return any(
        key.startswith("Patient/") or ("|" in key and key.rpartition("|")[0] in sorts)
        for key in keys
    )


def _as_of(written: str | None, now: datetime, faults: list[str]) -> datetime:
    if written is None:
        return now
    instant = instant_of(written)
    if instant is None or not _EARLIEST <= instant <= _LATEST:
        faults.append(
            "--as-of: is not a date and time with a zone, from 1950 to 2150, as "
            "2026-05-12T08:30:00+01:00"
        )
        return now
    return instant


def _policy(path: str, faults: list[str]) -> LocalPolicy | None:
    try:
        return read_policy(path)
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror})")
    except SettingsError as error:
        faults += [f"{path}: {fault}" for fault in error.faults]
    return None


def _key(path: str | None, faults: list[str]) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes().strip()
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror})")
        return None


def _request(path: str, policy: LocalPolicy | None, faults: list[str]) -> SendRequest | None:
    try:
        body = json_object(Path(path).read_bytes())
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror})")
        return None
    except NotReadable as error:
        faults.append(f"{path}: {error.fault.detail}")
        return None
    policies = {} if policy is None else dict.fromkeys(policy.organisations, policy)
    try:
        return parse(body, policies, _BASE).request
    except Refused as refused:
        faults += [f"{path}: {fault.pointer} {fault.detail}" for fault in refused.faults]
    except NoSuchOrganisation:
        if policy is not None:
            ours = ", ".join(sorted(policy.organisations))
            faults.append(f"{path}: /organization is none of the policy's ({ours})")
    return None


_IS_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def _message_id(
    given: str | None, request: SendRequest | None, faults: list[str]
) -> tuple[str, str]:
    """Give the message id and say where it comes from: given, from the evidence, or made up."""
    if given is not None:
        if not _IS_ID.fullmatch(given):
            faults.append("--message-id: is not an id of letters, digits, hyphens and full stops")
        return given, f"The message id is {given}, as given."
    named = [] if request is None else _named_in(request.evidence)
    if len(named) > 1:
        faults.append("the evidence names several message ids; choose one with --message-id")
    if named:
        return named[0], f"The message id is {named[0]}, as the evidence names it."
    return _SOME_MESSAGE, "No message id is given and none is named, so one was made up."


def _named_in(evidence: Evidence) -> list[str]:
    found = [evidence.override.message_id] if evidence.override is not None else []
    found += [review.message_id for review in evidence.reviews]
    return sorted({each for each in found if each and _is_uuid(each)})


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
