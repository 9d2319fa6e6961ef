"""From the body of a send to a `SendRequest`, with every fault at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhirmsg.guidance.coding import service_code
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.request import (
    CitedVersion,
    Content,
    Conversation,
    Evidence,
    Override,
    SendRequest,
    Service,
)
from fhirmsg.guidance.terms import Channel, Declared, Person, Purpose
from fhirmsg.web.contract import Fault, faults_of
from fhirmsg.web.texts import faults_of_wording, holds_control, texts_in

_REFERENCE = re.compile(
    r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_TOKEN = re.compile(r"[^\s|]+\|[^\s|][^|]*")
_NOT_BUILT = "is not supported by this version"
_SMS_CHARACTERS = 918


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A request and the policy of the organisation it is sent for."""

    request: SendRequest
    policy: LocalPolicy


class Refused(Exception):
    """The body is not a request; `faults` holds all that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        """Keep every fault."""
        super().__init__("the body has faults")
        self.faults = faults


class NoSuchOrganisation(Exception):
    """There is no policy for the organisation that is named."""


def parse(
    body: Mapping[str, Any], policies: Mapping[str, LocalPolicy], fhir_base_url: str
) -> Parsed:
    """Give the request in a body. Raises Refused or NoSuchOrganisation."""
    faults = faults_of(body, "Message")
    faults += _not_built(body)
    if faults:
        # The shape has to be right before anything can be said of what stands in it.
        raise Refused(_once(faults))
    policy = policies.get(body["organization"].strip().upper())
    if policy is None:
        raise NoSuchOrganisation
    reading = _Reading(body, policy, fhir_base_url)
    request = reading.request()
    if reading.faults:
        raise Refused(_once(reading.faults))
    return Parsed(request=request, policy=policy)


def _once(faults: list[Fault]) -> list[Fault]:
    return sorted(dict.fromkeys(faults), key=lambda fault: (fault.pointer, fault.detail))


# Fields of the contract whose rule does not exist yet, with the values that ask for nothing.
_ASKING_FOR_NOTHING: dict[str, tuple[Any, ...]] = {
    "occasion": (None, "other"),
    "device": (None, "organisation"),
    "contact_point": (None,),
}
_EVIDENCE_NOT_BUILT = (
    "emergency",
    "acknowledged",
    "individual_check",
    "reviews",
    "necessity",
    "practical_reason",
    "accessible_alternative",
)


def _not_built(body: Mapping[str, Any]) -> list[Fault]:
    """Name what this version has no rule for: it is refused, never ignored."""
    faults = [
        Fault(pointer=f"/{name}", detail=f"this value {_NOT_BUILT}")
        for name, allowed in _ASKING_FOR_NOTHING.items()
        if body.get(name) not in allowed
    ]
    if body.get("confidential") in ("yes", "unknown"):
        faults.append(
            Fault(
                pointer="/confidential",
                detail=f"this value {_NOT_BUILT}: only content declared to hold nothing "
                "confidential can be sent",
            )
        )
    evidence = body.get("evidence")
    if isinstance(evidence, dict):
        faults += [
            Fault(pointer=f"/evidence/{name}", detail=_NOT_BUILT)
            for name in _EVIDENCE_NOT_BUILT
            if evidence.get(name) not in (None, [])
        ]
    return faults


class _Reading:
    """One body of the right shape, read; `faults` gathers what stands wrongly in it."""

    def __init__(self, body: Mapping[str, Any], policy: LocalPolicy, base: str) -> None:
        self.body, self.policy, self.base = body, policy, base.rstrip("/")
        self.faults: list[Fault] = []

    def fault(self, pointer: str, detail: str) -> None:
        self.faults.append(Fault(pointer=pointer, detail=detail))

    def request(self) -> SendRequest:
        body = self.body
        for pointer, text in texts_in(body):
            if holds_control(text):
                self.fault(pointer, "holds a control character that no message may hold")
        patient = self._patient()
        recipient = self._recipient(patient)
        channel = Channel(body["channel"])
        service = self._service(recipient)
        summary_only = body.get("record", "copy") == "summary"
        return SendRequest(
            patient=patient,
            recipient=recipient,
            channel=channel,
            platform=self._platform(channel),
            purpose=Purpose(body["purpose"]),
            content=self._content(channel, summary_only=summary_only),
            organization=body["organization"].strip().upper(),
            requester=self._requester(),
            confidential=Declared(body["confidential"]),
            summary_only=summary_only,
            service=service,
            about=self._about(),
            not_after=self._time(body.get("not_after"), "/not_after"),
            evidence=self._evidence(),
        )

    # --- who ---------------------------------------------------------------------------------

    def _patient(self) -> str:
        written = self.body["patient"].strip()
        if "|" in written:
            if not _TOKEN.fullmatch(written):
                self.fault("/patient", "is not an identifier as system|value")
            return str(written)
        return self._literal(written, "/patient", ("Patient",))

    def _recipient(self, patient: str) -> str:
        written = self.body.get("recipient")
        if written is None:
            return patient
        if written.strip() == self.body["patient"].strip():
            return patient
        return self._literal(written.strip(), "/recipient", None)

    def _literal(self, written: str, pointer: str, kinds: tuple[str, ...] | None) -> str:
        """Reduce a reference to `Type/id`: an absolute one has to lie below our FHIR server."""
        text = written
        if "://" in text:
            ours = re.sub(r"^https?://", "", self.base, flags=re.IGNORECASE) + "/"
            theirs = re.sub(r"^https?://", "", text, flags=re.IGNORECASE)
            if not re.match(r"https?://", text, re.IGNORECASE) or not theirs.startswith(ours):
                self.fault(pointer, "is a reference to another server than the one in the settings")
                return ""
            text = theirs[len(ours) :]
        found = _REFERENCE.fullmatch(text)
        if not found or found[2] in (".", "..") or (kinds and found[1] not in kinds):
            wanted = f"{kinds[0]}/id" if kinds else "Type/id"
            self.fault(pointer, f"is not a reference of the form {wanted}")
            return ""
        return f"{found[1]}/{found[2]}"

    def _requester(self) -> Person:
        given = self.body["requester"]
        for name in ("identifier", "name", "role"):
            if not says_something(given[name]):
                self.fault(f"/requester/{name}", "is blank")
        return Person(identifier=given["identifier"], name=given["name"], role=given["role"])

    # --- what --------------------------------------------------------------------------------

    def _content(self, channel: Channel, *, summary_only: bool) -> Content:
        given = self.body["content"]
        body, subject, summary = given["body"], given.get("subject"), given.get("summary")
        for name, text in (("body", body), ("subject", subject), ("summary", summary)):
            if text is not None:
                for detail in faults_of_wording(text):
                    self.fault(f"/content/{name}", detail)
        if channel is Channel.SMS and len(body) > _SMS_CHARACTERS:
            self.fault("/content/body", f"is longer than {_SMS_CHARACTERS} characters for a text")
        if channel is Channel.EMAIL and subject is None:
            self.fault("/content/subject", "is missing: an email needs one")
        if channel is not Channel.EMAIL and subject is not None:
            self.fault("/content/subject", "is for emails only")
        if subject is not None and re.search(r"[\r\n\u2028\u2029]", subject):
            self.fault("/content/subject", "has a line break")
        if summary is None and (summary_only or not self.policy.record_copy):
            self.fault("/content/summary", "is missing: the record is to hold a summary")
        return Content(body=body, subject=subject, summary=summary)

    def _platform(self, channel: Channel) -> str:
        named = self.body.get("platform")
        if named is None:
            named = self.policy.default_platform.get(channel)
            if named is None:
                self.fault("/platform", "is missing, and the policy has no default for the channel")
                return ""
        if named not in self.policy.platforms:
            self.fault("/platform", "is not on the organisation's register")
        return str(named)

    def _service(self, recipient: str) -> Service:
        given = self.body.get("service") or {}
        declared = given.get("sensitive")
        if declared is None and recipient.startswith("RelatedPerson/"):
            self.fault(
                "/service/sensitive",
                "is missing: a message to somebody else has to say yes, no or unknown",
            )
        code = given.get("code")
        if code is not None and not says_something(code):
            self.fault("/service/code", "is blank")
        return Service(
            code=None if code is None else service_code(code),
            sensitive=Declared(declared or "unknown"),
        )

    def _about(self) -> tuple[str, ...]:
        given = self.body.get("about") or []
        read = (
            self._literal(each.strip(), f"/about/{place}", None) for place, each in enumerate(given)
        )
        return tuple(dict.fromkeys(read))

    # --- evidence ----------------------------------------------------------------------------

    def _evidence(self) -> Evidence:
        given = (self.body.get("evidence") or {}).get("override")
        if given is None:
            return Evidence()
        at = "/evidence/override"
        talk = given.get("conversation")
        return Evidence(
            override=Override(
                message_id=given.get("message_id"),
                message_digest=given.get("message_digest"),
                objections=tuple(
                    CitedVersion(reference=each.get("reference"), version_id=each.get("versionId"))
                    for each in given.get("objections") or []
                ),
                reason=given.get("reason"),
                circumstances=given.get("circumstances"),
                approver=_person(given.get("approver")),
                approved_at=self._time(given.get("approved_at"), f"{at}/approved_at"),
                expires_at=self._time(given.get("expires_at"), f"{at}/expires_at"),
                conversation=None
                if talk is None
                else Conversation(
                    by=_person(talk.get("by")),
                    at=self._time(talk.get("at"), f"{at}/conversation/at"),
                ),
            )
        )

    def _time(self, written: str | None, pointer: str) -> datetime | None:
        if written is None:
            return None
        try:
            moment = datetime.fromisoformat(written)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fault(pointer, "is not a date and time with a zone, as in RFC 3339")
            return None
        return moment


def _person(given: Mapping[str, Any] | None) -> Person | None:
    if given is None:
        return None
    return Person(
        identifier=given.get("identifier"), name=given.get("name"), role=given.get("role")
    )
