"""The fault proxy does what it is told: seen from the caller's side and from the target's."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from fhirmsg.clock import Deadline
from fhirmsg.ports import Outcome
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests.providers.servers import mail_server
from tests.providers.test_smtp import MESSAGE
from tests.rigs import faults
from tests.rigs.faultproxy import FaultProxy
from tests.rigs.faults import Fault, Where

BODY = {"answer": "x" * 400}
BROKEN_OFF = (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)


@dataclass
class Target:
    """A server that keeps connections open: its port, and the requests it has read whole."""

    port: int
    requests: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def a_target() -> Iterator[Target]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if (body := self.whole_body()) is None:
                return
            target.requests.append((self.path, body))
            self.answer()

        def whole_body(self) -> bytes | None:
            """Give the body, None when the caller went away in the midst of it."""
            if self.headers["Content-Length"]:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                return body if len(body) == length else None
            body = b""
            while length := int(self.rfile.readline() or b"0", 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def do_GET(self) -> None:
            target.requests.append((self.path, b""))
            self.answer()

        def answer(self) -> None:
            content = json.dumps(BODY).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if self.path == "/chunked":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in (content[:7], content[7:]):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    target = Target(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield target
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def target() -> Iterator[Target]:
    with a_target() as found:
        yield found


@pytest.fixture
def proxy(target: Target) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", target.port)) as found:
        yield found


def post(proxy: FaultProxy, path: str = "/x", timeout: float = 10) -> requests.Response:
    return requests.post(f"http://127.0.0.1:{proxy.port}{path}", b"y" * 300, timeout=timeout)


@pytest.mark.parametrize("path", ["/x", "/chunked"])
def test_without_a_plan_everything_passes_on_one_connection(
    target: Target, proxy: FaultProxy, path: str
) -> None:
    with requests.Session() as session:
        for _ in range(3):
            answer = session.post(f"http://127.0.0.1:{proxy.port}{path}", b"y", timeout=10)
            assert answer.json() == BODY
        session.post(f"http://127.0.0.1:{proxy.port}{path}", iter([b"a", b"b"]), timeout=10)
    assert target.requests == [(path, b"y")] * 3 + [(path, b"ab")]
    assert proxy.connections == 1


RESETS = [
    (faults.RESET_BEFORE_REQUEST, 0),
    (faults.RESET_MID_REQUEST, 0),
    (faults.RESET_BEFORE_ANSWER, 1),
    (faults.RESET_MID_ANSWER, 1),
]


@pytest.mark.parametrize(("fault", "arrived"), RESETS, ids=lambda each: getattr(each, "name", ""))
def test_a_reset_leaves_the_target_with_as_much_as_was_said(
    target: Target, proxy: FaultProxy, fault: Fault, arrived: int
) -> None:
    proxy.on(fault)
    with pytest.raises(BROKEN_OFF):
        post(proxy)
    assert len(target.requests) == arrived
    [record] = proxy.records
    assert (record.fault, record.forwarded_whole) == (fault.name, bool(arrived))
    assert (record.passed > 0) == (fault.where is Where.MID_ANSWER)
    assert post(proxy).json() == BODY


def test_faults_strike_what_they_were_planned_for(target: Target, proxy: FaultProxy) -> None:
    proxy.on(faults.status(503), matching=b"POST /b", skip=1, times=2)
    proxy.on(faults.status(500), exchange=7)
    proxy.on(faults.status(429), matching=lambda each: b"/c" in each.request, times=None)
    codes = [post(proxy, path).status_code for path in ("/a", "/b", "/b", "/b", "/b", "/a", "/a")]
    assert codes == [200, 200, 503, 503, 200, 200, 500]
    assert [post(proxy, "/c").status_code for _ in range(3)] == [429] * 3
    proxy.clear()
    assert post(proxy, "/c").status_code == 200
    assert [each.number for each in proxy.records] == list(range(1, 12))
    proxy.on(faults.status(500), connection=proxy.connections + 2)
    assert [post(proxy).status_code for _ in range(3)] == [200, 500, 200]


@pytest.mark.parametrize("forwarded", [False, True])
def test_an_answer_is_given_in_the_targets_place(
    target: Target, proxy: FaultProxy, forwarded: bool
) -> None:
    proxy.on(faults.status(429, retry_after=7, forwarded=forwarded))
    proxy.on(faults.html_200(forwarded=forwarded))
    with requests.Session() as session:
        url = f"http://127.0.0.1:{proxy.port}/x"
        first, second, third = (session.post(url, b"y", timeout=10) for _ in range(3))
    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert (second.status_code, second.headers["Content-Type"]) == (200, "text/html")
    assert second.text.startswith("<html>")
    assert third.json() == BODY
    assert len(target.requests) == (3 if forwarded else 1)
    assert [each.forwarded_whole for each in proxy.records] == [forwarded, forwarded, True]


@pytest.mark.parametrize("path", ["/x", "/chunked"])
def test_json_is_cut_short(target: Target, proxy: FaultProxy, path: str) -> None:
    proxy.on(faults.TRUNCATED_RIGHT_LENGTH)
    answer = post(proxy, path)
    assert answer.status_code == 200
    assert json.dumps(BODY).startswith(answer.text)
    assert len(answer.text) == len(json.dumps(BODY)) // 2
    proxy.on(faults.TRUNCATED_WRONG_LENGTH)
    with pytest.raises(BROKEN_OFF):
        post(proxy, path)
    assert len(target.requests) == 2


@pytest.mark.parametrize("where", [Where.BEFORE_ANSWER, Where.MID_ANSWER, Where.BEFORE_REQUEST])
def test_a_stall_ends_by_its_time_or_when_it_is_cleared(
    target: Target, proxy: FaultProxy, where: Where
) -> None:
    proxy.on(faults.stall(30, where))
    with pytest.raises((requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError)):
        post(proxy, timeout=0.3)
    assert len(target.requests) == (where is not Where.BEFORE_REQUEST)
    proxy.on(faults.stall(30, where))
    began = time.monotonic()
    threading.Timer(0.3, proxy.clear).start()
    assert post(proxy).json() == BODY
    proxy.on(faults.stall(0.3, where))
    assert post(proxy).json() == BODY
    assert 0.5 < time.monotonic() - began < 10


def test_a_drip_gives_a_byte_at_a_time(target: Target, proxy: FaultProxy) -> None:
    proxy.on(faults.DRIP)
    with pytest.raises((requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError)):
        post(proxy, timeout=0.2)
    proxy.on(Fault(drip=0.001))
    assert post(proxy).json() == BODY
    proxy.clear()
    assert 1 <= proxy.records[0].passed < 10


def test_a_closed_port_refuses_and_opens_again_as_the_same(
    target: Target, proxy: FaultProxy
) -> None:
    for _ in range(3):
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(requests.exceptions.ConnectionError) as refused:
            post(proxy)
        assert "refused" in str(refused.value)
        proxy.accept()
        proxy.accept()
        assert post(proxy).json() == BODY


def test_closing_the_port_resets_what_is_open(target: Target, proxy: FaultProxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    connection.request("GET", "/x")
    assert json.loads(connection.getresponse().read()) == BODY
    proxy.refuse()
    time.sleep(0.1)
    assert connection.sock is not None
    with pytest.raises(ConnectionResetError):
        connection.sock.recv(1)
    connection.close()


def test_a_target_that_is_away_resets_the_caller() -> None:
    with a_target() as gone:
        pass
    with FaultProxy(("127.0.0.1", gone.port)) as proxy:
        with pytest.raises(requests.exceptions.ConnectionError):
            post(proxy)
        assert proxy.records[0].forwarded == 0


@pytest.mark.parametrize("name", faults.CATALOGUE)
def test_every_fault_of_the_catalogue_strikes_and_passes(
    target: Target, proxy: FaultProxy, name: str
) -> None:
    proxy.on(faults.CATALOGUE[name])
    try:
        went_well = post(proxy, timeout=0.4).json() == BODY
    except (requests.exceptions.RequestException, ValueError):
        went_well = False
    assert not went_well
    assert proxy.records[0].fault == name
    proxy.clear()
    assert post(proxy).json() == BODY


# --- by lines ------------------------------------------------------------------------------------

BY_MAIL = {
    "nothing": (None, Outcome.ACCEPTED, 1),
    "reset before the address": (
        (b"RCPT", Fault(reset=True, where=Where.BEFORE_REQUEST)),
        Outcome.RETRYABLE,
        0,
    ),
    "reset before the dot": (
        (b".\r\n", Fault(reset=True, where=Where.BEFORE_REQUEST)),
        Outcome.MAY_HAVE_LEFT,
        0,
    ),
    "reset before the answer to the dot": (
        (b".\r\n", faults.RESET_BEFORE_ANSWER),
        Outcome.MAY_HAVE_LEFT,
        1,
    ),
    "answered in its place": (
        (b"RCPT", Fault(answer=b"451 later\r\n", where=Where.BEFORE_REQUEST)),
        Outcome.RETRYABLE,
        0,
    ),
    "the answer to the dot replaced": (
        (b".\r\n", Fault(answer=b"451 later\r\n")),
        Outcome.RETRYABLE,
        1,
    ),
    "silence after the dot": ((b".\r\n", faults.stall(30)), Outcome.MAY_HAVE_LEFT, 1),
}


@pytest.mark.parametrize("case", BY_MAIL)
def test_a_mail_server_fails_at_a_line(case: str) -> None:
    plan, outcome, letters = BY_MAIL[case]
    with mail_server() as (port, mailbox), FaultProxy(("127.0.0.1", port), lines=True) as proxy:
        if plan is not None:
            proxy.on(plan[1], matching=plan[0])
        provider = SmtpProvider(
            SmtpSettings(
                host="127.0.0.1",
                port=proxy.port,
                security="none",
                from_address="surgery@example.com",
            )
        )
        receipt = provider.send(MESSAGE, start_by=Deadline(5), deadline=Deadline(2))
        until = time.monotonic() + 2
        while len(mailbox.letters) < letters and time.monotonic() < until:
            time.sleep(0.02)
        assert receipt.outcome is outcome
        assert len(mailbox.letters) == letters
