"""How far a request came: nothing is written too late, and nothing said that is not known."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fhirmsg.clock import Deadline
from fhirmsg.http import (
    DeadlinePassed,
    PeerRefused,
    Sending,
    StartedTooLate,
    exchange,
    make_session,
)
from tests.providers.servers import ca_file, server_context
from tests.raw_server import answer, drip, hang_up, raw_server


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session() as made:
        yield made


def post(session: requests.Session, url: str, sending: Sending, **changes: Any) -> Any:
    defaults = {
        "deadline": Deadline(2),
        "connect_timeout": 1.0,
        "read_timeout": 1.0,
        "data": b"once",
        "sending": sending,
    }
    return exchange(session, "POST", url, **{**defaults, **changes})


def fails(session: requests.Session, url: str, **changes: Any) -> Sending:
    """Post what cannot succeed; gives how far it came."""
    sending = Sending()
    with pytest.raises(requests.exceptions.RequestException):
        post(session, url, sending, **changes)
    return sending


@contextlib.contextmanager
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_what_was_answered_had_begun(session: requests.Session) -> None:
    sending = Sending()
    with raw_server(answer()) as server:
        assert post(session, server.url, sending).status_code == 200
    assert sending.begun


def test_a_host_without_a_name_got_nothing(session: requests.Session) -> None:
    assert not fails(session, "http://gateway.invalid/").begun


def test_a_port_that_nobody_listens_on_got_nothing(session: requests.Session) -> None:
    with listener() as listening:
        url = url_of(listening)
    assert not fails(session, url).begun


def test_a_server_with_a_certificate_of_nobody_got_nothing(session: requests.Session) -> None:
    with raw_server(answer(), tls=server_context()) as server:
        assert not fails(session, server.url).begun
        assert server.requests == []


def test_a_server_that_breaks_off_the_handshake_got_nothing(tmp_path: Path) -> None:
    def hang_up_at_once() -> None:
        peer, _ = listening.accept()
        peer.close()

    with listener() as listening, make_session(ca_file=ca_file(tmp_path)) as session:
        thread = threading.Thread(target=hang_up_at_once)
        thread.start()
        assert not fails(session, url_of(listening).replace("http:", "https:")).begun
        thread.join()


def test_a_proxy_that_refuses_the_tunnel_got_nothing_of_the_request() -> None:
    refusal = answer(status="403 Forbidden")
    with raw_server(refusal) as proxy, make_session(proxies={"https": proxy.url}) as session:
        assert not fails(session, "https://gateway.example/").begun
    assert proxy.requests[0].startswith(b"CONNECT ")
    assert b"once" not in b"".join(proxy.requests)


def test_a_deadline_that_passed_before_left_nothing(session: requests.Session) -> None:
    with raw_server(answer()) as server:
        assert not fails(session, server.url, deadline=Deadline(0)).begun
        assert server.requests == []


def test_a_request_without_an_answer_may_have_arrived(session: requests.Session) -> None:
    with raw_server(hang_up) as server:
        assert fails(session, server.url).begun


def test_a_request_that_is_answered_too_slowly_may_have_arrived(session: requests.Session) -> None:
    sending = Sending()
    with raw_server(drip(b"HTTP/1.1 201 Cre")) as server, pytest.raises(DeadlinePassed):
        post(session, server.url, sending, deadline=Deadline(0.3))
    assert sending.begun


def test_a_request_that_is_broken_off_midway_may_have_arrived(session: requests.Session) -> None:
    def reset_after_a_little() -> None:
        peer, _ = listening.accept()
        peer.recv(10)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    with listener() as listening:
        thread = threading.Thread(target=reset_after_a_little)
        thread.start()
        assert fails(session, url_of(listening), data=b"x" * 20_000_000).begun
        thread.join()


def test_an_answer_that_ends_early_says_that_it_may_have_arrived(session: requests.Session) -> None:
    with raw_server(answer(b'{"id": "1"}', Content_Length="1000")) as server:
        assert fails(session, server.url).begun


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_may_no_longer_start_is_not_written(session: requests.Session, method: str) -> None:
    sending = Sending(start_by=Deadline(0))
    with raw_server(answer()) as server:
        with pytest.raises(StartedTooLate):
            exchange(
                session,
                method,
                server.url,
                deadline=Deadline(2),
                connect_timeout=1.0,
                read_timeout=1.0,
                sending=sending,
            )
        assert server.requests == []
    assert not sending.begun


def test_the_latest_start_is_looked_at_once_the_handshake_is_over(tmp_path: Path) -> None:
    # The time passes while the server lets the client wait for the handshake.
    def slow() -> None:
        peer, _ = listening.accept()
        time.sleep(0.4)
        with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as talking:
            heard.append(talking.recv(65536))

    heard: list[bytes] = []
    context = server_context()
    sending = Sending(start_by=Deadline(0.2))
    with listener() as listening, make_session(ca_file=ca_file(tmp_path)) as session:
        thread = threading.Thread(target=slow)
        thread.start()
        with pytest.raises(StartedTooLate):
            post(session, url_of(listening).replace("http:", "https:"), sending)
        thread.join()
    assert heard in ([], [b""])


def test_a_peer_that_may_not_be_reached_hears_nothing(session: requests.Session) -> None:
    asked: list[str] = []
    with raw_server(answer()) as server:
        sending = Sending(may_reach=lambda address: bool(asked.append(address)))
        with pytest.raises(PeerRefused):
            post(session, server.url, sending)
        assert server.requests == []
    assert asked == ["127.0.0.1"]
    assert not sending.begun


def test_each_request_that_sends_goes_over_a_new_connection(session: requests.Session) -> None:
    def keep(peer: socket.socket, request: bytes) -> None:
        answer(b"{}", Connection="keep-alive")(peer, request)
        # The client is the one that hangs up.
        ended.append(peer.recv(65536))

    ended: list[bytes] = []
    with raw_server(keep) as server:
        for _ in range(3):
            assert post(session, server.url, Sending()).status_code == 200
        assert len(server.requests) == 3


def test_a_token_that_is_fetched_meanwhile_takes_no_watch_away(session: requests.Session) -> None:
    class Fetching(requests.auth.AuthBase):
        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            exchange(
                session,
                "GET",
                tokens.url,
                deadline=Deadline(2),
                connect_timeout=1.0,
                read_timeout=1.0,
            )
            request.headers["Authorization"] = "Bearer fetched"
            return request

    with raw_server(answer()) as tokens, raw_server(answer()) as server:
        with pytest.raises(StartedTooLate):
            post(session, server.url, Sending(start_by=Deadline(0)), auth=Fetching())
        assert server.requests == []
        sending = Sending(start_by=Deadline(2))
        assert post(session, server.url, sending, auth=Fetching()).status_code == 200
        assert b"Authorization: Bearer fetched\r\n" in server.requests[0]
    assert sending.begun
