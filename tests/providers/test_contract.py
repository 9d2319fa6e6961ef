"""What every provider promises, whatever is behind it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fhirmsg.clock import Deadline
from fhirmsg.errors import ProviderSilent
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome, Provider, ProviderKind
from fhirmsg.providers.outbox import Outbox
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests.providers.servers import ca_file, mail_server, server_context

MESSAGE = OutboundMessage(
    reference="5b1f2f0a-0000-5000-8000-000000000001",
    channel=Channel.EMAIL,
    to="mary.jones@example.org",
    subject="Your appointment",
    body="Please come on Monday at 9:30.\n",
    platform="practice-email",
    sender_name="Example Surgery",
)


@dataclass
class WayOut:
    """A provider, and a look at the texts that arrived behind it."""

    provider: Provider
    arrived: Callable[[], list[tuple[str, str]]]

    def send(self, message: OutboundMessage, start_by: float = 30, deadline: float = 30):
        return self.provider.send(message, start_by=Deadline(start_by), deadline=Deadline(deadline))


def _outbox(path: str | None) -> WayOut:
    outbox = Outbox(path)
    return WayOut(outbox, lambda: [(kept.to, kept.body) for kept in outbox.messages()])


@pytest.fixture(params=["outbox file", "outbox in memory", "smtp with starttls", "smtp over tls"])
def way_out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WayOut]:
    if request.param.startswith("outbox"):
        yield _outbox(str(tmp_path / "outbox.db") if "file" in request.param else None)
        return
    implicit = "over tls" in request.param
    with mail_server(
        implicit_tls=server_context() if implicit else None,
        tls_context=None if implicit else server_context(),
    ) as (port, mailbox):
        settings = SmtpSettings(
            host="127.0.0.1",
            port=port,
            security="tls" if implicit else "starttls",
            from_address="noreply@surgery.example",
            ca_file=ca_file(tmp_path),
        )
        with contextlib.closing(SmtpProvider(settings)) as provider:
            yield WayOut(
                provider,
                lambda: [
                    (letter["To"], letter.get_content().replace("\r\n", "\n"))
                    for letter in mailbox.letters
                ],
            )


def test_what_is_accepted_has_arrived_once_and_unchanged(way_out: WayOut) -> None:
    receipt = way_out.send(MESSAGE)

    assert receipt.outcome is Outcome.ACCEPTED
    assert receipt.provider_id
    assert way_out.arrived() == [(MESSAGE.to, MESSAGE.body)]


def test_any_text_arrives_as_it_was_written(way_out: WayOut) -> None:
    body = ".\n..\n.hidden\nFrom here: Å… £5 \u2028 你好 \x85 =41 tab\t.\n" + "long " * 400 + "\n"

    assert way_out.send(replace(MESSAGE, body=body)).outcome is Outcome.ACCEPTED
    assert way_out.arrived() == [(MESSAGE.to, body)]


def test_a_message_can_be_found_or_the_kind_says_that_nobody_can_know(way_out: WayOut) -> None:
    accepted = way_out.send(MESSAGE)

    if way_out.provider.kind is ProviderKind.SEARCHABLE:
        assert way_out.provider.find(MESSAGE.reference) == accepted
        assert way_out.provider.find("another") is None
    else:
        assert way_out.provider.kind is ProviderKind.NEITHER
        # None would be read as "not there", and the message sent again.
        with pytest.raises(ProviderSilent):
            way_out.provider.find(MESSAGE.reference)


def test_what_may_no_longer_start_does_not_leave(way_out: WayOut) -> None:
    receipt = way_out.send(MESSAGE, start_by=0)

    assert receipt.outcome is Outcome.RETRYABLE
    assert receipt.reason == "started-too-late"
    assert way_out.arrived() == []


def test_after_the_deadline_nothing_leaves(way_out: WayOut) -> None:
    assert way_out.send(MESSAGE, deadline=0).outcome is Outcome.RETRYABLE
    assert way_out.arrived() == []


def test_half_a_character_is_refused_and_nothing_raised(way_out: WayOut) -> None:
    receipt = way_out.send(replace(MESSAGE, body="cut off: \ud83d"))

    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "not-unicode")
    assert way_out.arrived() == []


def test_nothing_that_can_be_printed_shows_whom_it_went_to_or_what_it_said(
    way_out: WayOut,
) -> None:
    printable = [MESSAGE, way_out.send(MESSAGE), way_out.provider]
    if isinstance(way_out.provider, Outbox):
        printable += way_out.provider.messages()

    for thing in printable:
        assert not any(part in repr(thing) for part in ("mary", "Monday", "appointment"))


def test_sixteen_threads_send_at_once_and_each_message_arrives_once(way_out: WayOut) -> None:
    outcomes: list[Outcome] = []

    def send(number: int) -> None:
        for part in "ab":
            message = replace(MESSAGE, reference=f"m-{number}-{part}", body=f"{number}{part}\n")
            outcomes.append(way_out.send(message).outcome)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [Outcome.ACCEPTED] * 32
    assert sorted(body for _, body in way_out.arrived()) == sorted(
        f"{number}{part}\n" for number in range(16) for part in "ab"
    )
