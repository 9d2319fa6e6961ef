"""A provider behind a breaker: what is not asked, and that nothing unclear becomes clear."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from fhirmsg.breaker import Breaker, BreakerSettings, regardless_of_breakers
from fhirmsg.clock import Deadline
from fhirmsg.errors import ProviderSilent
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome, ProviderKind, Receipt
from fhirmsg.providers.guarded import GuardedProvider
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests.providers.servers import drop, scripted

MESSAGE = OutboundMessage(
    reference="m-1", channel=Channel.EMAIL, to="mary.jones@example.org", body="Hello"
)
SILENT = Receipt(outcome=Outcome.RETRYABLE, reason="connect timed-out", silent=True)
BUSY = Receipt(outcome=Outcome.RETRYABLE, reason="451 rcpt")
UNCLEAR = Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason="answer timed-out", silent=True)
REFUSED = Receipt(outcome=Outcome.REFUSED, reason="550 rcpt")


@dataclass
class Fake:
    """Gives these receipts in turn, the last one for ever; raises ProviderSilent for None."""

    receipts: list[Receipt | None]
    asked: int = 0
    name: str = "fake"
    kind: ProviderKind = ProviderKind.SEARCHABLE
    settle_seconds: float = 5.0
    retention_seconds: float | None = None
    found: Receipt | None = field(default=None)

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        found = self.find("")
        assert found is not None
        return found

    def find(self, reference: str) -> Receipt | None:
        self.asked += 1
        receipt = self.receipts.pop(0) if len(self.receipts) > 1 else self.receipts[0]
        if receipt is None:
            raise ProviderSilent("silent")
        return receipt


def guarded(*receipts: Receipt | None, failures: int = 2) -> tuple[GuardedProvider, Fake]:
    fake = Fake(list(receipts))
    breaker = Breaker("fake", BreakerSettings(failures=failures, pause_seconds=60))
    return GuardedProvider(fake, breaker), fake


def send(provider: GuardedProvider) -> Receipt:
    return provider.send(MESSAGE, start_by=Deadline(9), deadline=Deadline(9))


def test_one_that_does_not_answer_is_asked_no_more() -> None:
    provider, fake = guarded(SILENT)
    assert [send(provider) for _ in range(2)] == [SILENT] * 2
    third = send(provider)
    assert (third.outcome, third.reason) == (Outcome.RETRYABLE, "circuit-open")
    assert fake.asked == 2


def test_what_may_have_left_is_told_as_such_and_counts_as_no_answer() -> None:
    provider, _ = guarded(UNCLEAR)
    assert [send(provider).outcome for _ in range(3)] == [
        Outcome.MAY_HAVE_LEFT,
        Outcome.MAY_HAVE_LEFT,
        Outcome.RETRYABLE,
    ]


@pytest.mark.parametrize("receipt", [BUSY, REFUSED])
def test_one_that_answers_no_goes_on_being_asked(receipt: Receipt) -> None:
    provider, fake = guarded(receipt)
    assert [send(provider) for _ in range(5)] == [receipt] * 5
    assert fake.asked == 5


def test_what_says_nothing_of_it_neither_opens_nor_closes() -> None:
    provider, fake = guarded(SILENT, BUSY, SILENT)
    for _ in range(4):
        send(provider)
    assert fake.asked == 3


def test_an_emergency_is_handed_over_all_the_same() -> None:
    provider, fake = guarded(SILENT, SILENT, Receipt(outcome=Outcome.ACCEPTED))
    for _ in range(3):
        send(provider)
    with regardless_of_breakers():
        assert send(provider).outcome is Outcome.ACCEPTED
    assert fake.asked == 3
    assert send(provider).outcome is Outcome.ACCEPTED


def test_a_look_up_that_is_not_made_is_never_a_no() -> None:
    provider, fake = guarded(None)
    for _ in range(4):
        with pytest.raises(ProviderSilent):
            provider.find("m-1")
    assert fake.asked == 2


def test_it_is_of_the_kind_of_what_is_behind_it() -> None:
    provider, fake = guarded(SILENT)
    assert (provider.name, provider.kind, provider.settle_seconds, provider.bare) == (
        "fake",
        ProviderKind.SEARCHABLE,
        5.0,
        fake,
    )


@pytest.mark.parametrize(
    ("stage", "answer", "opens"),
    [
        ("greeting", drop, True),
        ("greeting", b"421 too busy\r\n", True),
        ("AUTH", b"535 no\r\n", False),
        ("RCPT", b"451 later\r\n", False),
        ("content", drop, True),
    ],
)
def test_a_mail_server_that_hangs_up_is_left_alone_and_one_that_says_no_is_not(
    stage: str, answer: bytes, opens: bool
) -> None:
    settings = {"security": "none", "from_address": "noreply@surgery.example"}
    log_in = {"username": "surgery", "password": "correct horse"}
    with scripted(**{stage: answer}) as server:
        bare = SmtpProvider(SmtpSettings(host="127.0.0.1", port=server.port, **settings, **log_in))
        provider = GuardedProvider(bare, Breaker("smtp", BreakerSettings(failures=1)))
        send(provider)
        assert (send(provider).reason == "circuit-open") is opens
        bare.close()
