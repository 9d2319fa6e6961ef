"""Case: one request, the record as read, the policy, and the instant at which they are judged.

What several rules need is derived here once and kept for the life of the case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from fhirmsg.guidance import flaws, grants
from fhirmsg.guidance.coding import any_system, is_same_service
from fhirmsg.guidance.consents import (
    Denied,
    Kind,
    Reading,
    Says,
    belongs_elsewhere,
    denies_every_channel,
    kinds_of,
    read_denial_of_proxy,
    read_objection,
)
from fhirmsg.guidance.content import ContentSeen
from fhirmsg.guidance.declarations import emergency_faults
from fhirmsg.guidance.derived import derived
from fhirmsg.guidance.policy import LocalPolicy, Platform, Ways
from fhirmsg.guidance.provisions import Answer, Query
from fhirmsg.guidance.reach import Reach
from fhirmsg.guidance.record import (
    ConsentFacts,
    ConsentStatus,
    ContactPoint,
    PatientRecord,
    Recipient,
    RecipientKind,
)
from fhirmsg.guidance.request import NO_EVIDENCE, SendRequest
from fhirmsg.guidance.reviews import is_acknowledged, reviewer_of
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import (
    ONE_FOR_DENIALS,
    PURPOSE_OF_USE,
    Channel,
    Declared,
    Purpose,
    ResourceVersion,
)
from fhirmsg.guidance.wishes import Wishes

_ABOUT_MESSAGES = frozenset({Kind.OBJECTION, Kind.UNCLEAR})
_NO_TOPICS: frozenset[str] = frozenset()
# Purposes of use for permits and for denials. A denial always counts for emergencies as well.
_PURPOSES = {
    purpose: (
        frozenset({code}),
        (ONE_FOR_DENIALS if code in ONE_FOR_DENIALS else frozenset({code})) | {"ETREAT"},
    )
    for purpose, code in PURPOSE_OF_USE.items()
}


def newest_versions(consents: Iterable[ConsentFacts]) -> tuple[ConsentFacts, ...]:
    """Give each Consent once, in its newest version, ordered by reference.

    Entered-in-error Consents were never meant, so they are left out altogether.
    """
    newest: dict[str, ConsentFacts] = {}
    for consent in consents:
        held = newest.get(consent.key)
        if held is None or _age_key(held.version) < _age_key(consent.version):
            newest[consent.key] = consent
    return tuple(
        newest[key]
        for key in sorted(newest)
        if newest[key].status is not ConsentStatus.ENTERED_IN_ERROR
    )


def _age_key(version: ResourceVersion) -> tuple[int, float]:
    number = version.version_id or ""
    try:
        changed = datetime.fromisoformat(version.last_updated or "").timestamp()
    except (ValueError, OverflowError):
        changed = float("-inf")
    return int(number) if number.isdecimal() else -1, changed


@dataclass(frozen=True, kw_only=True)
class Denial:
    """A Consent that bars the proxy, surely, perhaps, or once it is confirmed."""

    consent: ConsentFacts
    denied: Denied


@dataclass(frozen=True, kw_only=True)
class Case:
    """All that a decision depends on. `as_of` is an aware instant; ids are strings.

    content_digest: keyed digest of the words, to recognise them on earlier messages; None where
    there is no key. language: faults of spelling and grammar found in the words, in words.
    """

    request: SendRequest
    record: PatientRecord
    policy: LocalPolicy
    as_of: datetime
    message_id: str
    message_digest: str
    content_digest: str | None = None
    language: tuple[str, ...] = ()

    @derived
    def emergency(self) -> bool:
        """Whether a complete emergency declaration stands."""
        return self.request.evidence.emergency is not None and not emergency_faults(
            self.request, self.as_of
        )

    @derived
    def day(self) -> date:
        """The local day of the organisation."""
        return self.as_of.astimezone(self.policy.zone).date()

    @property
    def recipient(self) -> Recipient:
        """Who would receive the message."""
        return self.record.recipient

    @derived
    def to_proxy(self) -> bool:
        """Whether the message goes to somebody related to the patient."""
        return self.recipient.kind is RecipientKind.RELATED_PERSON

    @property
    def platform(self) -> Platform:
        """The register's entry for the platform asked for."""
        return self.policy.platforms[self.request.platform]

    @derived
    def reachable(self) -> tuple[Channel, ...]:
        """Every channel the message can come out of, the requested one first."""
        platform, channel = self.platform, self.request.channel
        if platform.channels and not platform.falls_back and not platform.notifies_by:
            return (channel,)
        return (channel, *sorted(self.ways.channels - {channel}))

    @derived
    def ways(self) -> Ways:
        """Every way the message can take from here."""
        return self.policy.ways_of(self.platform, self.request.channel)

    @derived
    def organisations(self) -> frozenset[str]:
        """ODS codes that are ours."""
        return self.policy.organisations | {self.request.organization}

    @derived
    def consents(self) -> tuple[ConsentFacts, ...]:
        """Consents on the patient's record."""
        return newest_versions(self.record.consents)

    @derived
    def consents_with_linked(self) -> tuple[ConsentFacts, ...]:
        """Consents on the patient's record and on the records linked to it."""
        if not self.record.linked_consents:
            return self.consents
        return newest_versions((*self.record.consents, *self.record.linked_consents))

    @derived
    def patient_keys(self) -> frozenset[str]:
        """Identity keys of the patient, those of linked records among them."""
        return self.record.patient.keys | self.record.linked_keys

    @derived
    def kinds(self) -> dict[str, frozenset[Kind]]:
        """What each Consent on the patient's and linked records is, by key."""
        return {consent.key: kinds for consent, kinds in self.classified}

    @derived
    def classified(self) -> tuple[tuple[ConsentFacts, frozenset[Kind]], ...]:
        """Each Consent on the patient's and linked records, and what it is."""
        keys = self.patient_keys
        return tuple([(each, kinds_of(each, keys)) for each in self.consents_with_linked])

    def queries(
        self,
        recipient: frozenset[str],
        channels: Iterable[Channel | None] | None = None,
        *,
        emergency: bool = False,
    ) -> tuple[Query, ...]:
        """Ask about a recipient on each of these channels, on each reachable one by default.

        None stands for a channel that nobody has named. With `emergency`, what is permitted in
        emergencies counts as permitted.
        """
        permits, denials = _PURPOSES[self.request.purpose]
        if emergency:
            permits |= {"ETREAT"}
        code = self.request.service.code
        topics = (
            _NO_TOPICS if code is None else frozenset((code, any_system(code.rpartition("|")[2])))
        )
        about_result = self.request.purpose is Purpose.TEST_RESULT
        return tuple(
            [
                Query(
                    now=self.as_of,
                    channel=channel,
                    recipient=recipient,
                    organisations=self.organisations,
                    purposes_permit=permits,
                    purposes_deny=denials,
                    topics=topics,
                    about_result=about_result,
                )
                for channel in (self.reachable if channels is None else channels)
            ]
        )

    @derived
    def queries_to_recipient(self) -> tuple[Query, ...]:
        """Ask about the recipient under every name the record gives."""
        return self.queries(self.recipient.closure)

    @derived
    def _queries_to_patient(self) -> tuple[Query, ...]:
        if self.recipient.closure == self.patient_keys:
            return self.queries_to_recipient
        return self.queries(self.patient_keys)

    @derived
    def readings(self) -> tuple[Reading, ...]:
        """What every objection says about this message."""
        if self.to_proxy:
            return (*self._readings_of_own_record(), *self._of_the_patients[0])
        return self._readings_of(self._bearing_on_patient, self._queries_to_patient)

    def _readings_of(
        self,
        consents: Iterable[tuple[ConsentFacts, frozenset[Kind]]],
        queries: tuple[Query, ...],
    ) -> tuple[Reading, ...]:
        found = (self._counting(consent, kinds, queries) for consent, kinds in consents)
        return tuple(reading for reading in found if reading is not None)

    @derived
    def _bearing_on_patient(self) -> tuple[tuple[ConsentFacts, frozenset[Kind]], ...]:
        """Consents that may say something about messages, on the patient's and linked records."""
        return tuple([each for each in self.classified if each[1] & _ABOUT_MESSAGES])

    @derived
    def bearing_on_recipient(self) -> tuple[tuple[ConsentFacts, frozenset[Kind]], ...]:
        """Consents of the recipient that may say something about messages."""
        if self.to_proxy:
            return tuple(each for each in self.own_kinds if each[1] & _ABOUT_MESSAGES)
        return self._bearing_on_patient

    @derived
    def own_kinds(self) -> tuple[tuple[ConsentFacts, frozenset[Kind]], ...]:
        """Consents on the proxy's own record, and what each of them is."""
        if not self.recipient.own_consents:
            return ()
        own = self.recipient.closure
        # What the proxies enter on their own record they say for themselves.
        consents = (
            replace(each, performer_related=False) if each.performers & own else each
            for each in newest_versions(self.recipient.own_consents)
        )
        return tuple((consent, kinds_of(consent, own)) for consent in consents)

    def _readings_of_own_record(self) -> tuple[Reading, ...]:
        return self._readings_of(self.own_kinds, self.queries_to_recipient)

    @derived
    def _of_the_patients(self) -> tuple[tuple[Reading, ...], tuple[Reading, ...]]:
        """The patient's own objections: those that bind a message to a proxy, and the others.

        One about a channel alone is about the patient's own phone and does not bind the proxy's;
        one entered by the proxy, one about every channel and one for safety do, and any where the
        number used is the patient's.
        """
        return self._patients_readings(self.reachable)

    def _patients_readings(
        self, channels: Iterable[Channel]
    ) -> tuple[tuple[Reading, ...], tuple[Reading, ...]]:
        closure = self.recipient.closure
        keys = self.patient_keys | closure
        queries = self.queries(keys, channels) if self._bearing_on_patient else ()
        binding: list[Reading] = []
        others: list[Reading] = []
        for consent, kinds in self._bearing_on_patient:
            reading = self._counting(consent, kinds, queries)
            if reading is None:
                continue
            binds = (
                consent.safety
                or self.reach.is_the_patients_own
                or consent.performers & closure
                or denies_every_channel(consent, kinds, queries[0])
            )
            (binding if binds else others).append(reading)
        return tuple(binding), tuple(others)

    @property
    def not_binding_the_proxy(self) -> tuple[Reading, ...]:
        """The patient's objections to a channel alone, when the message goes to a proxy."""
        return self._of_the_patients[1] if self.to_proxy else ()

    def objects_to(self, channel: Channel) -> bool:
        """Tell whether an objection, or what may be one, covers a channel for the recipient."""
        keys = self.recipient.closure if self.to_proxy else self.patient_keys
        found = self._readings_of(self.bearing_on_recipient, self.queries(keys, (channel,)))
        if self.to_proxy:
            found = (*found, *self._patients_readings((channel,))[0])
        # Permitting one channel says nothing against a preferred other one.
        return any(
            reading.says is not Says.OTHER_ORGANISATION and not reading.by_omission
            for reading in found
        )

    def _counting(
        self, consent: ConsentFacts, kinds: frozenset[Kind], queries: tuple[Query, ...]
    ) -> Reading | None:
        """Read an objection; one made to another organisation binds only when it is for safety.

        An exception for emergencies counts in one, but for what is dangerous to the patient.
        """
        reading = read_objection(consent, kinds, queries)
        if self.emergency and reading is not None and not consent.safety:
            channels = [query.channel for query in queries]
            relaxed = self.queries(queries[0].recipient, channels, emergency=True)
            milder = read_objection(consent, kinds, relaxed)
            if milder is None or milder.says.value > reading.says.value:
                reading = None if milder is None else replace(milder, by_omission=False)
        if reading is None or consent.safety or not belongs_elsewhere(consent, self.organisations):
            return reading
        shown = replace(reading, says=Says.OTHER_ORGANISATION)
        return shown if Kind.OBJECTION in kinds else None

    # --- what there is at all: the `where` of rules ------------------------------------------

    @property
    def is_objected_to(self) -> bool:
        """Whether any Consent speaks against the message."""
        return bool(self.readings)

    @property
    def grant_has_flaws(self) -> bool:
        """Whether something speaks against the grant on which a proxy would receive."""
        return self.to_proxy and self.grant is not None and bool(self.grant.flaws)

    @property
    def has_wishes(self) -> bool:
        """Whether the recipient has preferences or needs on record."""
        return self.wishes.are_recorded

    @property
    def is_shared(self) -> bool:
        """Whether somebody else is at the contact point."""
        return bool(self.record.neighbours) and bool(
            self.reach.others_there or self.reach.perhaps_denied_there
        )

    @property
    def has_evidence(self) -> bool:
        """Whether the sender brings any evidence."""
        return self.request.evidence != NO_EVIDENCE

    @property
    def words_are_remarked_on(self) -> bool:
        """Whether the checker saw anything in the words."""
        return bool(self.content.observations)

    # --- what objections say -----------------------------------------------------------------

    def readings_that(self, *says: Says) -> tuple[Reading, ...]:
        """Give the readings of these sorts."""
        if not self.readings:
            return ()
        return tuple(reading for reading in self.readings if reading.says in says)

    @derived
    def denials(self) -> tuple[Denial, ...]:
        """Consents on the patient's and linked records that bar the proxy."""
        return self.denials_of(self.queries_to_recipient, self._grants_that_deny)

    def denials_of(self, queries: tuple[Query, ...], denying: frozenset[str]) -> tuple[Denial, ...]:
        """Give the Consents that bar a person; `denying` are grants to them that deny this."""
        found = []
        for consent, kinds in self.classified:
            denied = (
                Denied.YES
                if consent.key in denying
                else read_denial_of_proxy(consent, kinds, queries)
            )
            if denied is None and Kind.GRANT in kinds:
                denied = grants.exception_of(consent, queries)
            if denied is not None:
                found.append(Denial(consent=consent, denied=denied))
        return tuple(found)

    def _candidates_of(self, keys: frozenset[str], queries: tuple[Query, ...]) -> dict[str, Answer]:
        own = {consent.key for consent in self.consents} if self.record.linked_consents else None
        strict: Query | None = None
        found: dict[str, Answer] = {}
        for consent, kinds in self.classified:
            if Kind.GRANT not in kinds or (own is not None and consent.key not in own):
                continue
            if strict is None:
                same = queries[0].recipient == keys
                strict = queries[0] if same else self.queries(keys, (self.request.channel,))[0]
            if grants.is_candidate(consent, kinds, strict):
                found[consent.key] = grants.answer_of_candidate(consent, queries)
        return found

    @derived
    def candidates(self) -> dict[str, Answer]:
        """Answer of each Consent that could be a grant to the proxy, by key."""
        return self._candidates_of(self.recipient.keys, self._queries_for_grants)

    @derived
    def _queries_for_grants(self) -> tuple[Query, ...]:
        if not self.emergency:
            return self.queries_to_recipient
        return self.queries(self.recipient.closure, emergency=True)

    @derived
    def _grants_that_deny(self) -> frozenset[str]:
        """Keys of grants that deny this message; an exception for emergencies is no help there."""
        if self.emergency:
            return self.grants_that_deny(self.recipient.keys, self.queries_to_recipient)
        return frozenset(key for key, answer in self.candidates.items() if answer is Answer.DENY)

    def grants_that_deny(self, keys: frozenset[str], queries: tuple[Query, ...]) -> frozenset[str]:
        """Give the keys of grants to a person that deny them this message."""
        found = self._candidates_of(keys, queries)
        return frozenset(key for key, answer in found.items() if answer is Answer.DENY)

    @derived
    def candidates_denied(self) -> bool:
        """Whether the only thing wrong with the proxy's grants is that they deny this message."""
        return bool(self.candidates) and all(
            answer is Answer.DENY for answer in self.candidates.values()
        )

    @derived
    def grant(self) -> grants.Grant | None:
        """The grant on which the proxy would receive, None when there is none."""
        return self._best_of(self.candidates, self._queries_for_grants, self.recipient.closure)

    def grant_to(self, keys: frozenset[str], closure: frozenset[str]) -> grants.Grant | None:
        """Give the grant on which somebody else could receive this message, None without one."""
        queries = self.queries(closure, emergency=self.emergency)
        return self._best_of(self._candidates_of(keys, queries), queries, closure)

    def _best_of(
        self, candidates: dict[str, Answer], queries: tuple[Query, ...], proxy: frozenset[str]
    ) -> grants.Grant | None:
        if not candidates:
            return None
        born = self.record.patient.born
        oldest = born.oldest_age(self.day)
        known = born.earliest is not None and born.earliest == born.latest
        setting = flaws.Setting(
            policy=self.policy,
            patient=self.record.patient,
            oldest=oldest,
            youngest=oldest if known else born.youngest_age(self.day),
            organisations=self.organisations,
            as_of=self.as_of,
            day=self.day,
            proxy=proxy,
            at_odds=tuple(each for each in self.consents_with_linked if not each.status.is_active),
        )
        judged = (
            grants.judge_candidate(
                consent, queries, answer=candidates[consent.key], setting=setting
            )
            for consent in self.consents
            if consent.key in candidates
        )
        passing = [grant for grant in judged if grant is not None]
        return grants.best_of(passing, self._weight_of)

    def _weight_of(self, grant: grants.Grant) -> Effect:
        """Give the strongest effect that the flaws of a grant have after what lifts them."""
        found = Effect.NOTE
        for flaw in grant.flaws:
            effect = flaw.weight(emergency=self.emergency)
            if effect > Effect.WARN and self._is_lifted(grant, flaw):
                effect = Effect.WARN
            found = max(found, effect)
        return found

    def _is_lifted(self, grant: grants.Grant, flaw: flaws.Flaw) -> bool:
        evidence = (grant.consent.version, *flaw.others)
        if reviewer_of(self, flaw.code, evidence) is not None:
            return True
        return flaw.code in flaws.ACKNOWLEDGEABLE and is_acknowledged(self, flaw.code, evidence)

    @derived
    def reach(self) -> Reach:
        """The recipient's contact points, who else is at them, and which one is used."""
        return Reach(self)

    @property
    def contact_point(self) -> ContactPoint | None:
        """The contact point that would be used, None when there is none."""
        return self.reach.point

    @derived
    def wishes(self) -> Wishes:
        """The recipient's contact preferences and accessible-information needs."""
        return Wishes(self)

    @derived
    def content(self) -> ContentSeen:
        """What the words of the message give away."""
        return ContentSeen(self)

    @derived
    def service_is_known_sensitive(self) -> bool:
        """Whether the request, the policy or a label says that the service is a sensitive one."""
        code = self.request.service.code
        return (
            self.request.service.sensitive is Declared.YES
            or bool(self.record.patient.sensitive_labels)
            or any(about.sensitive_labels for about in self.record.about)
            or (
                code is not None
                and any(is_same_service(code, each) for each in self.policy.sensitive_services)
            )
        )

    @property
    def service_is_plain(self) -> bool:
        """Whether nothing says or suggests that the service is a sensitive one."""
        return self.request.service.sensitive is Declared.NO and not self.service_is_known_sensitive
