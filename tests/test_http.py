"""What goes outward: deadlines that hold, nothing taken from the environment, no repeated POST."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fhirmsg.clock import Deadline
from fhirmsg.http import BodyTooLarge, DeadlinePassed, exchange, is_loopback, make_session
from tests.providers.servers import ca_file, server_context
from tests.raw_server import RawServer, Script, answer, drip, hang_up, in_turn, raw_server

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session() as made:
        yield made


def call(session: requests.Session, url: str, method: str = "GET", **changes: Any) -> Any:
    """Make one call that may take half a second."""
    defaults = {"deadline": Deadline(0.5), "connect_timeout": 5.0, "read_timeout": 5.0}
    return exchange(session, method, url, **{**defaults, **changes})


def passes_its_deadline(session: requests.Session, url: str, method: str = "GET") -> None:
    """Check that a call is over soon after its half second."""
    began = time.monotonic()
    with pytest.raises(DeadlinePassed):
        call(session, url, method)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "first",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", HEAD, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"],
    ids=["nothing", "head", "body", "body without a length"],
)
def test_a_server_that_drips_is_left_at_the_deadline(
    session: requests.Session, first: bytes, method: str
) -> None:
    with raw_server(drip(first)) as server:
        passes_its_deadline(session, server.url, method)


def test_a_server_that_drips_under_tls_is_left_at_the_deadline(tmp_path: Path) -> None:
    with (
        make_session(ca_file=ca_file(tmp_path)) as session,
        raw_server(drip(HEAD), tls=server_context()) as server,
    ):
        passes_its_deadline(session, server.url)


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nX-Slow: ", HEAD],
    ids=["head", "body"],
)
def test_a_proxy_that_drips_is_left_at_the_deadline(first: bytes) -> None:
    with (
        raw_server(drip(first)) as proxy,
        make_session(proxies={"http": proxy.url}) as session,
    ):
        passes_its_deadline(session, "http://ehr.invalid/fhir")


def test_a_proxy_that_drips_before_the_tunnel_stands_is_left_at_the_deadline() -> None:
    with (
        raw_server(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as proxy,
        make_session(proxies={"https": proxy.url}) as session,
    ):
        passes_its_deadline(session, "https://ehr.invalid/fhir")


def test_a_host_that_takes_no_connection_is_left_at_the_deadline(
    session: requests.Session,
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        # These fill the queue; what comes after them is never answered.
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        time.sleep(0.05)
        try:
            passes_its_deadline(session, f"http://127.0.0.1:{address[1]}")
        finally:
            for each in waiting:
                each.close()


def test_a_name_that_is_looked_up_for_too_long_is_left_at_the_deadline(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def slow(*_: Any, **__: Any) -> list[Any]:
        over.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        passes_its_deadline(session, "http://ehr.invalid/")
    finally:
        over.set()


def test_a_name_that_nobody_knows_is_a_lost_connection(session: requests.Session) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        call(session, "http://ehr.invalid/")


def test_a_deadline_that_has_passed_lets_nothing_out(session: requests.Session) -> None:
    with raw_server(answer()) as server:
        with pytest.raises(DeadlinePassed):
            call(session, server.url, deadline=Deadline(0))
        assert server.requests == []


def test_calls_in_other_threads_keep_their_own_deadlines(session: requests.Session) -> None:
    late: list[float] = []

    def wait(seconds: float) -> None:
        began = time.monotonic()
        with pytest.raises(DeadlinePassed):
            call(session, server.url, deadline=Deadline(seconds))
        late.append(time.monotonic() - began - seconds)

    with raw_server(drip(HEAD)) as server:
        threads = [
            threading.Thread(target=wait, args=(seconds,)) for seconds in (0.9, 0.3, 0.6, 0.3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(late) == 4
    assert all(-0.05 < each < 0.3 for each in late)


def test_a_call_that_is_over_is_not_ended_later(session: requests.Session) -> None:
    keep = answer(b"{}", Connection="keep-alive")

    def twice(peer: socket.socket, request: bytes) -> None:
        keep(peer, request)
        peer.recv(65536)
        time.sleep(0.6)
        keep(peer, request)

    with raw_server(twice) as server:
        call(session, server.url)
        assert call(session, server.url, deadline=Deadline(5)).status_code == 200


# --- nothing from the environment --------------------------------------------------------------


def test_netrc_does_not_replace_our_authorization(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login stranger password guess\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with raw_server(answer()) as server:
        call(session, server.url, headers={"Authorization": "Bearer ours"})
    assert b"Authorization: Bearer ours\r\n" in server.requests[0]


def test_proxies_of_the_environment_are_not_used(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(answer()) as server, raw_server(answer()) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        call(session, server.url)
    assert len(server.requests) == 1
    assert proxy.requests == []


# --- what is made again ------------------------------------------------------------------------

BUSY = answer(status="503 Service Unavailable")


def made(script: Script, method: str, session: requests.Session) -> RawServer:
    """Make a call, however it ends."""
    with raw_server(script) as server:
        with contextlib.suppress(requests.exceptions.RequestException):
            call(session, server.url, method, deadline=Deadline(5), data=b"once")
        return server


@pytest.mark.parametrize("first", [BUSY, hang_up], ids=["503", "lost answer"])
@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)])
def test_only_a_get_is_made_again(
    session: requests.Session, first: Script, method: str, times: int
) -> None:
    assert len(made(in_turn(first, answer()), method, session).requests) == times


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_get_waits_as_long_as_it_is_asked_to(session: requests.Session, status: str) -> None:
    busy = answer(status=status, Retry_After="1")
    began = time.monotonic()
    with raw_server(in_turn(busy, answer())) as server:
        assert call(session, server.url, deadline=Deadline(5)).status_code == 200
    assert 1 <= time.monotonic() - began < 3


@pytest.mark.parametrize("asked", ["3", "3600", "Fri, 31 Dec 2199 23:59:59 GMT"])
def test_where_it_would_be_too_late_then_the_answer_stands(
    session: requests.Session, asked: str
) -> None:
    busy = answer(status="429 Too Many Requests", Retry_After=asked)
    began = time.monotonic()
    with raw_server(in_turn(busy, answer())) as server:
        assert call(session, server.url, deadline=Deadline(5)).status_code == 429
        assert len(server.requests) == 1
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("asked", ["soon", "-5", "0", "", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_a_wait_that_is_none_is_not_waited(session: requests.Session, asked: str) -> None:
    busy = answer(status="429 Too Many Requests", Retry_After=asked)
    with raw_server(in_turn(busy, answer())) as server:
        assert call(session, server.url, deadline=Deadline(5)).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_breaks_under_tls_is_not_made_again(tmp_path: Path, method: str) -> None:
    def garble(peer: socket.socket, _: bytes) -> None:
        # Bytes that are no TLS record make the client fail while it reads the answer.
        with socket.socket(fileno=peer.detach()) as raw:
            raw.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            time.sleep(0.1)

    with (
        make_session(ca_file=ca_file(tmp_path)) as session,
        raw_server(garble, tls=server_context()) as server,
    ):
        with pytest.raises(requests.exceptions.RequestException):
            call(session, server.url, method, deadline=Deadline(5), data=b"once")
        assert len(server.requests) == 1


def test_a_redirect_is_an_answer_and_not_followed(session: requests.Session) -> None:
    with raw_server(answer()) as elsewhere:
        moved = answer(status="307 Temporary Redirect", Location=elsewhere.url)
        with raw_server(moved) as server:
            assert call(session, server.url, "POST", data=b"private").status_code == 307
        assert elsewhere.requests == []


def test_an_answer_that_ends_early_is_no_answer(session: requests.Session) -> None:
    cut_off = answer(b'{"resourceType": "Bundle"}', Content_Length="1000")
    with raw_server(cut_off) as server, pytest.raises(requests.exceptions.RequestException):
        call(session, server.url, "POST")


@pytest.mark.parametrize(
    "location", ["http://[", "http://\xff", "//", "http:///x", "\x00"], ids=repr
)
def test_a_redirect_to_nonsense_is_an_answer_or_a_lost_one(
    session: requests.Session, location: str
) -> None:
    script = answer(status="302 Found", Location=location)
    lost = contextlib.suppress(requests.exceptions.RequestException)
    with raw_server(script) as server, lost:
        assert call(session, server.url).status_code == 302


def test_a_certificate_of_an_unknown_authority_is_refused(session: requests.Session) -> None:
    with raw_server(answer(), tls=server_context()) as server:
        with pytest.raises(requests.exceptions.SSLError):
            call(session, server.url, deadline=Deadline(5))
        assert server.requests == []


@pytest.mark.parametrize("length", ["Content-Length: 100\r\n", ""])
def test_a_body_larger_than_it_may_be_is_thrown_away(
    session: requests.Session, length: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n".encode()

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head + b"x" * 100)

    with raw_server(script) as server:
        with pytest.raises(BodyTooLarge):
            call(session, server.url, largest=99)
        assert call(session, server.url, largest=100).content == b"x" * 100


def test_a_server_that_drips_a_body_of_limited_size_is_left_at_the_deadline(
    session: requests.Session,
) -> None:
    with raw_server(drip(HEAD)) as server, pytest.raises(DeadlinePassed):
        call(session, server.url, deadline=Deadline(0.5), largest=1 << 20)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        *((host, True) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1")),
        *((host, False) for host in ("localhost.example", "10.0.0.1", "::2", "", "127.0.0.1.a")),
    ],
)
def test_only_this_host_is_this_host(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours
