"""One adapter of fakes around the real Messenger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fhirmsg import clock
from fhirmsg.answers import Answer
from fhirmsg.calls import Call, Times
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.judging import draft_entry
from fhirmsg.messenger import Messenger
from fhirmsg.ports import Entry, EntryStatus, ProviderKind
from tests import builders
from tests.fakes import FakeLog, FakeProvider, FakeReader, an_entry

KEY = b"a key of the tests"


@dataclass
class Desk:
    """A Messenger with a fake at each port, and the one call it is asked for."""

    case: Case = field(default_factory=builders.a_case)
    times: Times = field(default_factory=Times)
    log: FakeLog = field(default_factory=FakeLog)
    provider: FakeProvider = field(default_factory=FakeProvider)
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the parts together."""
        self.reader = FakeReader(case=self.case, log=self.log)
        self.call = call_of(self.case)
        self.messenger = Messenger(
            reader=self.reader,
            log=self.log,
            providers={"outbox": self.provider},
            record_key=KEY,
            times=self.times,
            pause=self.waits.append,
        )

    def send(self) -> Answer:
        """Send the call."""
        return self.messenger.send(self.call)

    def check(self) -> Answer:
        """Check the call."""
        return self.messenger.check(self.call)

    def holding(
        self, status: EntryStatus | None, *, age: float | None = 0.0, **changes: Any
    ) -> Desk:
        """Put an entry of this message on the record, that old by the server's clock."""
        draft = draft_entry(self.call, self.case, decide(self.case), KEY)
        self.log.entries = [an_entry(draft, **{"status": status, "attempt": "earlier", **changes})]
        self.log.age = age
        return self

    def beside(self, status: EntryStatus, number: int = 2) -> Desk:
        """Put another entry of this message, with this id, beside what there is."""
        draft = draft_entry(self.call, self.case, decide(self.case), KEY)
        reference = f"Communication/{number}"
        other = an_entry(draft, reference=reference, status=status, attempt="theirs")
        self.log.entries = [*self.log.entries, other]
        return self

    @property
    def sent(self) -> int:
        """How often a provider was given the message."""
        return len(self.provider.messages)

    @property
    def entry(self) -> Entry:
        """The one entry there is."""
        [entry] = self.log.entries
        return entry


def call_of(case: Case) -> Call:
    """Give the call that a case answers."""
    return Call(request=case.request, policy=case.policy, message_id=case.message_id)


def a_desk(case: Case | None = None, *, kind: ProviderKind | None = None, **more: Any) -> Desk:
    """Give a desk, with a provider of this kind."""
    provider = FakeProvider(kind=kind or ProviderKind.SEARCHABLE)
    return Desk(**{"case": case or builders.a_case(), "provider": provider, **more})


def refused() -> Case:
    """Give a case in which the patient has objected."""
    return builders.a_case(consents=(builders.an_objection(builders.Channel.SMS),))


def overridden() -> Case:
    """Give a case in which an objection is set aside by an override that is valid now."""
    objected = builders.a_case(
        consents=(builders.an_objection(builders.Channel.SMS),), as_of=clock.now()
    )
    return builders.with_override(objected)


def moved() -> Case:
    """Give a case in which the patient has another number."""
    mobile = builders.a_mobile("+447700900999")
    return builders.a_case(patient=builders.a_patient(contact_points=(mobile,)))
