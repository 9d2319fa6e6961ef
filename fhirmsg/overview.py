"""Who may be told about a patient, and how: the answer before anybody writes a message.

Every line is a decision: a neutral message on each channel is put to the same rules on the same
fresh read, and what they find is what is told. Nothing is opened and nothing is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from fhirmsg import clock
from fhirmsg.calls import Call
from fhirmsg.errors import RecipientNotFound, RecordUnavailable
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.contact import tail
from fhirmsg.guidance.decision import Decision, Verdict
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import Need, Preferences
from fhirmsg.guidance.request import Content, SendRequest, Service
from fhirmsg.guidance.rule import Effect, Finding
from fhirmsg.guidance.terms import Channel, Declared, Person, Purpose, ResourceVersion
from fhirmsg.judging import Judge
from fhirmsg.ports import ReadResult, RecordReader

# Channels on which a message can be asked for (`Message.channel` of the contract).
CHANNELS = (Channel.SMS, Channel.EMAIL, Channel.NHS_APP, Channel.LETTER, Channel.VOICE)
# Such a message is never sent, so no message id is asked about.
_NO_MESSAGE = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, kw_only=True)
class OpenChannel:
    """One channel to one person: whether a plain message may go there now, and what is found.

    platform: the policy's default, None when it names none and the channel is closed for that.
    ends_in: the last characters of the contact point, empty without one.
    """

    channel: Channel
    open: bool
    platform: str | None = None
    ends_in: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProxyOverview:
    """Somebody who may receive on the patient's behalf: on what ground, by which Consent, how long.

    until is None when the grant has no end. held: findings about the grant that stop messages
    until somebody supplies what is missing.
    """

    reference: str
    basis: str
    consent: ResourceVersion
    until: datetime | None
    held: tuple[Finding, ...]
    channels: tuple[OpenChannel, ...]


@dataclass(frozen=True, kw_only=True)
class ObjectionSeen:
    """A Consent or other entry that speaks against messages, as it was read.

    channel is the first channel it was found on. reason is for those who may know it.
    """

    evidence: ResourceVersion
    says: str
    channel: Channel | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Everything that is known of how a patient may be told, at one instant."""

    patient: str
    as_of: datetime
    channels: tuple[OpenChannel, ...]
    proxies: tuple[ProxyOverview, ...]
    objections: tuple[ObjectionSeen, ...]
    preferences: Preferences
    needs: tuple[Need, ...]
    incomplete: bool


class ContactOverview:
    """Gives overviews. Thread-safe; keeps nothing between two of them."""

    def __init__(self, reader: RecordReader, judge: Judge) -> None:
        """Read and judge with these."""
        self._reader = reader
        self._judge = judge

    def of(self, patient: str, policy: LocalPolicy, organization: str) -> Overview:
        """Give the overview of a patient (`Patient/id`) for an organisation.

        Raises PatientNotFound or RecordUnavailable.
        """
        asked = _request(patient, patient, policy, organization)
        read = self._read(asked, policy)
        cases = self._decided(asked, policy, read)
        case = cases[Channel.SMS][0]
        related = sorted(
            {
                neighbour.version.reference
                for neighbour in read.record.neighbours
                if neighbour.related_to & read.record.patient.keys
            }
        )
        proxies: list[ProxyOverview] = []
        incomplete = _is_incomplete(read)
        for person in related:
            try:
                found, whole = self._proxy(patient, person, policy, organization)
            except RecordUnavailable:
                # The patient's own channels are not closed by that.
                incomplete = True
                continue
            incomplete = incomplete or not whole
            proxies += [] if found is None else [found]
        return Overview(
            patient=case.record.patient.version.reference,
            as_of=clock.now(),
            channels=_channels(policy, cases),
            proxies=tuple(proxies),
            objections=_objections(cases),
            preferences=case.wishes.preferences,
            needs=case.wishes.needs,
            incomplete=incomplete,
        )

    def _proxy(
        self, patient: str, person: str, policy: LocalPolicy, organization: str
    ) -> tuple[ProxyOverview | None, bool]:
        """Look at one related person, None when nothing lets them receive, and whether whole."""
        asked = _request(patient, person, policy, organization)
        try:
            read = self._read(asked, policy)
        except RecipientNotFound:
            # Taken off the record between the two reads.
            return None, True
        whole = not _is_incomplete(read)
        cases = self._decided(asked, policy, read)
        case, decision = cases[Channel.SMS]
        grant = case.grant
        barred = any(
            finding.code.startswith("proxy.") and finding.effect is Effect.REFUSE
            for finding in decision.findings
        )
        if grant is None or barred:
            return None, whole
        period = grant.consent.root.period if grant.consent.root is not None else None
        found = ProxyOverview(
            reference=person,
            basis=str(grant.basis),
            consent=grant.consent.version,
            until=period.end if period is not None else None,
            held=tuple(
                finding
                for finding in decision.findings
                if finding.code.startswith("proxy.") and finding.effect >= Effect.HOLD
            ),
            channels=_channels(policy, cases),
        )
        return found, whole

    def _read(self, asked: SendRequest, policy: LocalPolicy) -> ReadResult:
        # There is no message, so whether it was sent before is no matter.
        return replace(self._reader.read(asked, policy, _NO_MESSAGE), entries=())

    def _decided(
        self, asked: SendRequest, policy: LocalPolicy, read: ReadResult
    ) -> dict[Channel, tuple[Case, Decision]]:
        return {
            channel: self._judge(
                Call(
                    request=replace(asked, channel=channel, platform=_platform(policy, channel)),
                    policy=policy,
                    message_id=_NO_MESSAGE,
                ),
                read,
            )
            for channel in CHANNELS
        }


def _is_incomplete(read: ReadResult) -> bool:
    return bool(read.record.gaps or read.record.blind)


def _request(patient: str, recipient: str, policy: LocalPolicy, organization: str) -> SendRequest:
    """Give a message that says nothing but who writes, so that only the way is judged."""
    return SendRequest(
        patient=patient,
        recipient=recipient,
        channel=Channel.SMS,
        platform=_platform(policy, Channel.SMS),
        purpose=Purpose.SERVICE_INFORMATION,
        content=Content(body=f"{policy.name}: please get in touch with us."),
        organization=organization,
        requester=Person(identifier="overview", name="overview", role="overview"),
        confidential=Declared.NO,
        service=Service(sensitive=Declared.NO),
    )


def _platform(policy: LocalPolicy, channel: Channel) -> str:
    """Give the default platform of a channel; any other where there is none, to judge the rest."""
    return policy.default_platform.get(channel) or min(policy.platforms)


def _channels(
    policy: LocalPolicy, cases: dict[Channel, tuple[Case, Decision]]
) -> tuple[OpenChannel, ...]:
    found = []
    for channel, (case, decision) in cases.items():
        platform = policy.default_platform.get(channel)
        point = case.contact_point
        found.append(
            OpenChannel(
                channel=channel,
                open=platform is not None and decision.verdict is Verdict.SEND,
                platform=platform,
                ends_in=tail(point.value if point else None),
                findings=tuple(
                    finding
                    for finding in decision.findings
                    if platform is not None or not finding.code.startswith("platform.")
                ),
            )
        )
    return tuple(found)


def _objections(
    cases: dict[Channel, tuple[Case, Decision]],
) -> tuple[ObjectionSeen, ...]:
    found: dict[str, ObjectionSeen] = {}
    for case, _ in cases.values():
        for reading in case.readings:
            found.setdefault(
                reading.consent.key,
                ObjectionSeen(
                    evidence=reading.consent.version,
                    says=reading.says.name.lower().replace("_", "-"),
                    channel=reading.channel,
                    reason=reading.consent.reason,
                ),
            )
    return tuple(found.values())
