"""From the body of a send to a `SendRequest`, with every fault at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhirmsg.guidance.coding import service_code
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.request import BroughtContactPoint, Content, SendRequest, Service
from fhirmsg.guidance.terms import Channel, Declared, Device, Occasion, Person, Purpose
from fhirmsg.web.contract import Fault, faults_of
from fhirmsg.web.evidence import EvidenceReading, time_in
from fhirmsg.web.references import NotOurReference, References
from fhirmsg.web.texts import faults_of_wording, holds_control, is_text, texts_in

_TOKEN = re.compile(r"[^\s|]+\|[^\s|][^|]*")
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
    # Half of a character that takes two can be compared with nothing, a schema included.
    faults = [
        Fault(pointer=pointer, detail="holds half a character, so it is no text")
        for pointer, text in texts_in(body)
        if not is_text(text)
    ] or faults_of(body, "Message")
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


class _Reading:
    """One body of the right shape, read; `faults` gathers what stands wrongly in it."""

    def __init__(self, body: Mapping[str, Any], policy: LocalPolicy, base: str) -> None:
        self.body, self.policy, self.references = body, policy, References(base)
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
            device=Device(body.get("device") or Device.ORGANISATION),
            contact_point=self._contact_point(),
            summary_only=summary_only,
            service=service,
            about=self._about(),
            occasion=Occasion(body.get("occasion") or Occasion.OTHER),
            not_after=time_in(body.get("not_after"), "/not_after", self.fault),
            evidence=EvidenceReading(self.references, self.fault).evidence(body.get("evidence")),
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
        return self._literal(written, "/recipient", None)

    def _literal(self, written: str, pointer: str, kinds: tuple[str, ...] | None) -> str:
        try:
            return self.references.literal(written, kinds)
        except NotOurReference as error:
            self.fault(pointer, str(error))
            return ""

    def _contact_point(self) -> BroughtContactPoint | None:
        given = self.body.get("contact_point")
        if given is None:
            return None
        if (self.body.get("evidence") or {}).get("emergency") is None:
            self.fault(
                "/contact_point",
                "is for emergencies only: without evidence.emergency the message goes to a contact "
                "point on the record",
            )
        for name in ("value", "source"):
            if not says_something(given[name]):
                self.fault(f"/contact_point/{name}", "is blank")
        return BroughtContactPoint(
            system=given["system"], value=given["value"], source=given["source"]
        )

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
        read = (self._literal(each, f"/about/{place}", None) for place, each in enumerate(given))
        return tuple(dict.fromkeys(read))
