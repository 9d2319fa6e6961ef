"""Every fault of the network and of a provider behind it, for each real provider.

What the caller is told, what the record says, what arrived; and how it ends when the fault is over
and the same call comes again. What may have left is never sent again by itself; what surely did
not leave goes with the next call.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fhirmsg.calls import Times, message_id_for
from fhirmsg.sandbox import Store, serve_in_thread
from tests.delivery.desk import Office
from tests.faults.lanes import QUICK, REFUSED, amara, end_of
from tests.faults.ways_out import WAYS, Died, Dying, WayOut
from tests.rigs import faults
from tests.rigs.faults import Fault, Where
from tests.serving import KEY, a_message
from tests.world import put


@dataclass(frozen=True)
class Told:
    """The answer (state, or None for a problem), and the entry's status by then."""

    http: int
    status: str | None
    retry: str
    entry: str
    tasks: tuple[str, ...] = ()


TURNED_AWAY = Told(503, None, "after", "not-done")
MAY_HAVE_LEFT = Told(202, "unknown", "never", "unknown", ("unknown",))
ACCEPTED = Told(201, "accepted-by-provider", "never", "completed")
DECLINED = Told(200, "failed", "never", "stopped")

FAULTS: dict[str, Fault | None] = {
    **faults.CATALOGUE,
    "stall-before-the-answer": faults.stall(3),
    "stall-mid-answer": faults.stall(3, Where.MID_ANSWER),
    REFUSED: None,
}
# What stands for each fault whichever HTTP provider it is, and whether the message arrived.
OVER_HTTP: dict[str, tuple[Told, int]] = {
    REFUSED: (TURNED_AWAY, 0),
    "reset-before-request": (MAY_HAVE_LEFT, 0),
    "reset-mid-request": (MAY_HAVE_LEFT, 0),
    "reset-before-answer": (MAY_HAVE_LEFT, 1),
    "reset-mid-answer": (MAY_HAVE_LEFT, 1),
    "stall-before-the-answer": (MAY_HAVE_LEFT, 1),
    "stall-mid-answer": (MAY_HAVE_LEFT, 1),
    "truncated-right-length": (MAY_HAVE_LEFT, 1),
    "truncated-wrong-length": (MAY_HAVE_LEFT, 1),
    "drip": (MAY_HAVE_LEFT, 1),
    "200": (MAY_HAVE_LEFT, 0),
    "200-after-forwarding": (MAY_HAVE_LEFT, 1),
    "429": (TURNED_AWAY, 0),
    "500": (MAY_HAVE_LEFT, 0),
    "500-after-forwarding": (MAY_HAVE_LEFT, 1),
    "503": (MAY_HAVE_LEFT, 0),
    "503-after-forwarding": (MAY_HAVE_LEFT, 1),
}
# A gateway says yes by any 2xx, whatever comes with it, but for a web page.
ANY_SUCCESS = {"truncated-right-length": (ACCEPTED, 1)}
LONG_ALONE = pytest.mark.skipif(
    os.environ.get("FHIRMSG_TEST_LONG") != "1", reason="set FHIRMSG_TEST_LONG=1: takes minutes"
)
SLOW = frozenset({"stall-mid-answer", "drip"})
HTTP_ROWS = [
    pytest.param(
        way,
        name,
        *{**OVER_HTTP, **(ANY_SUCCESS if "webhook" in way else {})}[name],
        marks=[LONG_ALONE] if name in SLOW and way != "webhook" else [],
    )
    for way in WAYS
    if way != "smtp"
    for name in OVER_HTTP
]

RESET = Fault(reset=True, where=Where.BEFORE_REQUEST)
LATER = Fault(answer=b"451 4.3.0 later\r\n", where=Where.BEFORE_REQUEST)
NEVER = Fault(answer=b"550 5.7.1 no\r\n", where=Where.BEFORE_REQUEST)
HTML = Fault(answer=b"<html>Please log in</html>\r\n", where=Where.BEFORE_REQUEST)
BY_LINE = {
    "reset": RESET,
    "reset before the answer": faults.RESET_BEFORE_ANSWER,
    "stall": faults.stall(3),
    "drip": Fault(drip=0.2),
    "451": LATER,
    "550": NEVER,
    "html": HTML,
}
# Before the dot nothing has left, whatever happens; a "no" for good is one for good.
BEFORE_THE_DOT = {"550": (DECLINED, 0)}
AT_THE_DOT: dict[str, tuple[Told, int]] = {
    "reset": (MAY_HAVE_LEFT, 0),
    "reset before the answer": (MAY_HAVE_LEFT, 1),
    "stall": (MAY_HAVE_LEFT, 1),
    "drip": (MAY_HAVE_LEFT, 1),
    "451": (TURNED_AWAY, 0),
    "550": (DECLINED, 0),
    "html": (MAY_HAVE_LEFT, 0),
}
SMTP_ROWS = [
    *(("ehlo", name, TURNED_AWAY, 0) for name in BY_LINE),
    *(
        (line, name, *BEFORE_THE_DOT.get(name, (TURNED_AWAY, 0)))
        for line in ("MAIL", "RCPT", "DATA")
        for name in BY_LINE
    ),
    *((".\r\n", name, *AT_THE_DOT[name]) for name in BY_LINE),
    # What happens after the yes changes nothing.
    *(("QUIT", name, ACCEPTED, 1) for name in BY_LINE),
]


@pytest.fixture
def base() -> Iterator[str]:
    with serve_in_thread(Store()) as store:
        put(store.base_url, amara())
        yield store.base_url


def check(base: str, way: WayOut, told: Told, arrived: int) -> None:
    """Send while it fails, and again when it does not."""
    office = Office(base=base, direct=base, times=QUICK, first=way.provider, second=way.provider)
    answer = office.send(**way.body)
    [entry] = office.record()
    status = answer["status"] if answer["http"] < 300 else None
    tasks = tuple(office.tasks())
    assert Told(answer["http"], status, answer["retry"], entry["status"], tasks) == told
    assert way.taken() == [message_id_for("tests", "key-1")] * arrived
    if told != DECLINED and told != ACCEPTED:
        # Nothing of a message that is not sent for sure is told to be.
        assert "sent" not in entry
    way.proxy.clear()
    way.proxy.accept()
    again = end_of(office, **way.body)
    [entry] = office.record()
    if told == TURNED_AWAY:
        assert (again["http"], again["status"], entry["status"]) == (
            201,
            "accepted-by-provider",
            "completed",
        )
        arrived = 1
    else:
        assert (again["http"], again["status"], again["replayed"]) == (200, status, True)
        assert entry["status"] == told.entry
    assert way.taken() == [message_id_for("tests", "key-1")] * arrived
    assert (office.owed(), tuple(office.tasks())) == (0, told.tasks)


@pytest.mark.parametrize(("name", "fault", "told", "arrived"), HTTP_ROWS)
def test_a_provider_over_http_fails(
    base: str, name: str, fault: str, told: Told, arrived: int
) -> None:
    with WAYS[name]() as way:
        if (strikes := FAULTS[fault]) is None:
            way.proxy.refuse()
        else:
            way.proxy.on(strikes, matching=b"POST", times=None)
        check(base, way, told, arrived)


@pytest.mark.parametrize(("line", "fault", "told", "arrived"), SMTP_ROWS)
def test_a_mail_server_fails(base: str, line: str, fault: str, told: Told, arrived: int) -> None:
    with WAYS["smtp"]() as way:
        way.proxy.on(BY_LINE[fault], matching=line.encode(), times=None)
        check(base, way, told, arrived)


def test_a_mail_server_that_takes_no_connection_gets_the_letter_later(base: str) -> None:
    with WAYS["smtp"]() as way:
        way.proxy.refuse()
        check(base, way, TURNED_AWAY, 0)


@pytest.mark.parametrize("way", [name for name in WAYS if name != "smtp"])
def test_the_time_that_a_provider_asks_for_is_passed_on(base: str, way: str) -> None:
    with WAYS[way]() as found:
        office = Office(base=base, direct=base, times=QUICK, first=found.provider)
        found.proxy.on(faults.status(429, retry_after=77), matching=b"POST", times=None)
        answer = office.client.post(
            "/v1/messages",
            json=a_message(platform="texts"),
            headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "key-1"},
        )
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "77")
        # Who asks to be left alone is not asked a second time.
        assert len(found.proxy.records) == 1


# Who ends in the midst of a hand-off leaves an open entry. While the provider fails as well, and
# when it answers again: what the next call is told, and what the record says at the end.
ABANDONED = {
    # Nothing is sent before the provider was asked, and it does not answer.
    "govuk-notify": (409, "completed"),
    # Posted again it is taken once, and not posted for sure is no reason to give up.
    "nhs-notify": (503, "completed"),
    "webhook-dedup": (503, "completed"),
    # Nobody can be asked, and a second one is worse than a question.
    "webhook": (200, "unknown"),
    "smtp": (200, "unknown"),
}
ALWAYS = frozenset({("govuk-notify", True), ("nhs-notify", True), ("webhook", False)})
ABANDONED_ROWS = [
    pytest.param(name, after, *row, marks=[] if (name, after) in ALWAYS else [LONG_ALONE])
    for name, row in ABANDONED.items()
    for after in (False, True)
]


@pytest.mark.parametrize(("name", "after", "told", "entry"), ABANDONED_ROWS)
def test_a_process_ends_at_the_hand_off_while_the_provider_goes_away(
    base: str, name: str, after: bool, told: int, entry: str
) -> None:
    brief = Times(start_within=0.6, handoff=0.6, margin=0.0)
    with WAYS[name]() as way:
        dying = Dying(way.provider, after=after)
        office = Office(base=base, direct=base, times=brief, first=dying, second=dying)
        with pytest.raises(Died):
            office.send(**way.body)
        dying.dies = False
        # The lease, in whole seconds of the server's clock.
        time.sleep(2.4)
        way.proxy.refuse()
        office.service.catch_up.recover()
        assert office.send(**way.body)["http"] == told
        assert len(way.taken()) == after
        way.proxy.accept()
        answer = end_of(office, **way.body)
        [resource] = office.record()
        assert resource["status"] == entry
        sent = entry == "completed"
        assert answer["status"] == ("accepted-by-provider" if sent else "unknown")
        assert way.taken() == [message_id_for("tests", "key-1")] * (1 if sent else after)
        assert ("unknown" in office.tasks()) != sent
        assert office.owed() == 0
