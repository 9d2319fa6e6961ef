"""Access tokens: fetched by one, kept for as long as they are good, and shown to one server."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
import requests
import responses

from fhirmsg.clock import Deadline
from fhirmsg.http import DeadlinePassed, NoToken, exchange, make_session
from fhirmsg.tokens import ClientCredentials, Token, TokenAuth, TokenSource
from tests.authorization.guarded import a_key
from tests.raw_server import answer, drip, hang_up, in_turn, raw_server

KEY = a_key()
BASE = "https://ehr.example/fhir"
TOKEN_URL = "https://auth.example/token"
DISCOVERY = f"{BASE}/.well-known/smart-configuration"
SCOPE = "system/Consent.rs system/Patient.rs"
SECRET = "a-token-that-nobody-may-see"


class Clock:
    """An elapsed clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def credentials(**changes: Any) -> ClientCredentials:
    """Give the credentials of a client, with a fixed token URL."""
    return ClientCredentials(
        **{
            "client_id": "fhirmsg",
            "key": KEY,
            "key_id": "key-1",
            "algorithm": "ES384",
            "token_url": TOKEN_URL,
            "base_url": BASE,
            "scope": SCOPE,
            **changes,
        }
    )


def a_source(clock: Callable[[], float] | None = None, **changes: Any) -> TokenSource:
    return TokenSource(
        credentials(**changes), make_session(), **({"clock": clock} if clock else {})
    )


def given(**changes: Any) -> dict[str, Any]:
    """Give the body of a good answer; a change to None leaves the member out."""
    body = {"access_token": SECRET, "token_type": "Bearer", "expires_in": 300, **changes}
    return {name: value for name, value in body.items() if value is not None}


def token_of(source: TokenSource, **more: Any) -> Token:
    return source.token(deadline=Deadline(5), **more)


# --- what is asked -----------------------------------------------------------------------------


@responses.activate
def test_the_assertion_names_this_client_this_url_and_is_short_lived_and_new_each_time() -> None:
    responses.post(TOKEN_URL, json=given(expires_in=0))
    source = a_source()
    token_of(source)
    token_of(source)
    seen = set()
    for call in responses.calls:
        form = parse_qs(call.request.body.decode())
        assert form["scope"] == [SCOPE]
        [assertion] = form["client_assertion"]
        claims = jwt.decode(assertion, KEY.public_key(), algorithms=["ES384"], audience=TOKEN_URL)
        assert claims["iss"] == claims["sub"] == "fhirmsg"
        assert 60 < claims["exp"] - time.time() <= 300
        assert jwt.get_unverified_header(assertion)["kid"] == "key-1"
        assert "Authorization" not in call.request.headers
        seen.add(claims["jti"])
    assert len(seen) == 2


# --- how long it is kept -----------------------------------------------------------------------


@responses.activate
@pytest.mark.parametrize(
    ("expires_in", "good_for"),
    [
        (300, 270),
        ("300", 270),
        (300.5, 270),
        (10, 8),
        (1_000_000, 3570),
        (None, 60),
        ("soon", 60),
        ([300], 60),
        (True, 60),
        ("inf", 60),
        ("nan", 60),
    ],
    ids=str,
)
def test_a_token_is_kept_until_shortly_before_it_expires(expires_in: Any, good_for: int) -> None:
    responses.post(TOKEN_URL, json=given(expires_in=expires_in))
    clock = Clock()
    source = a_source(clock)
    token_of(source)
    clock.at += good_for - 1
    token_of(source)
    assert len(responses.calls) == 1
    clock.at += 2
    token_of(source)
    assert len(responses.calls) == 2


@responses.activate
@pytest.mark.parametrize("expires_in", [0, -1, "-300"])
def test_a_token_that_has_no_life_is_used_once(expires_in: Any) -> None:
    responses.post(TOKEN_URL, json=given(expires_in=expires_in))
    source = a_source()
    token_of(source)
    token_of(source)
    assert len(responses.calls) == 2


@responses.activate
def test_a_token_that_was_refused_is_replaced_once_for_all() -> None:
    responses.post(TOKEN_URL, json=given())
    responses.post(TOKEN_URL, json=given(access_token="second"))
    source = a_source()
    first = token_of(source)
    assert token_of(source, refused=first.value).value == "second"
    # Whoever learns of it later finds it done.
    assert token_of(source, refused=first.value).value == "second"
    assert len(responses.calls) == 2


# --- many who need one -------------------------------------------------------------------------


def at_once(source: TokenSource, number: int, seconds: float = 5.0) -> list[Any]:
    """Ask from many threads; gives tokens and failures."""
    found: list[Any] = []
    start = threading.Barrier(number)

    def ask() -> None:
        start.wait()
        try:
            found.append(source.token(deadline=Deadline(seconds)))
        except NoToken as error:
            found.append(error)

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def slowly(body: bytes, status: str = "200 OK") -> Any:
    good = answer(body, status=status)

    def script(peer: Any, request: bytes) -> None:
        time.sleep(0.3)
        good(peer, request)

    return script


def test_one_fetches_and_the_others_wait_for_it() -> None:
    with raw_server(slowly(json.dumps(given()).encode())) as server:
        found = at_once(a_source(token_url=server.url), 16)
    assert [each.value for each in found] == [SECRET] * 16
    assert len(server.requests) == 1


def test_a_failure_is_everybodys_who_waited_and_nobodys_afterwards() -> None:
    refused = slowly(b'{"error": "invalid_client"}', "401 Unauthorized")
    good = answer(json.dumps(given()).encode())
    with raw_server(in_turn(refused, good)) as server:
        source = a_source(token_url=server.url)
        found = at_once(source, 16)
        assert all("invalid_client" in str(each) for each in found)
        assert len(server.requests) == 1
        assert token_of(source).value == SECRET


def test_who_waits_waits_no_longer_than_they_may() -> None:
    with raw_server(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as server:
        began = time.monotonic()
        found = at_once(a_source(token_url=server.url), 4, seconds=0.4)
        assert all(isinstance(each, NoToken) for each in found)
        assert time.monotonic() - began < 1.5


def test_one_in_a_hurry_does_not_spoil_it_for_the_patient() -> None:
    with raw_server(slowly(json.dumps(given()).encode())) as server:
        source = a_source(token_url=server.url)
        hurried: list[Exception] = []

        def hurry() -> None:
            with pytest.raises(NoToken) as raised:
                source.token(deadline=Deadline(0.1))
            hurried.append(raised.value)

        thread = threading.Thread(target=hurry)
        thread.start()
        time.sleep(0.05)
        assert token_of(source).value == SECRET
        thread.join()
    assert len(hurried) == 1
    assert len(server.requests) == 2


# --- what comes back ---------------------------------------------------------------------------


@responses.activate
@pytest.mark.parametrize(
    "body",
    [
        given(access_token=None),
        given(access_token=""),
        given(access_token=7),
        given(access_token="two words"),
        given(access_token="line\r\nX-More: 1"),
        given(access_token="t\u00f6ken"),
        given(token_type=None),
        given(token_type="mac"),
        given(token_type=7),
        [],
        "token",
    ],
    ids=str,
)
def test_what_is_no_bearer_token_is_none(body: Any) -> None:
    responses.post(TOKEN_URL, json=body)
    with pytest.raises(NoToken, match="not a bearer token"):
        token_of(a_source())


@responses.activate
@pytest.mark.parametrize(
    ("body", "scope"),
    [
        (given(), SCOPE),
        (given(scope="system/Patient.rs"), "system/Patient.rs"),
        (given(scope=""), ""),
        (given(scope=["system/Consent.rs"]), ""),
        ({**given(), "scope": None}, ""),
    ],
)
def test_the_scope_is_the_one_granted_or_without_a_word_the_one_asked_for(
    body: Any, scope: str
) -> None:
    responses.post(TOKEN_URL, json=body)
    assert a_source().granted() == scope


@responses.activate
def test_who_asks_for_no_scope_is_limited_by_none() -> None:
    responses.post(TOKEN_URL, json=given(scope="whatever"))
    assert a_source(scope=None).granted() is None
    assert "scope" not in parse_qs(responses.calls[0].request.body.decode())


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, '{"error": "invalid_scope", "error_description": "Amara"}', "400, invalid_scope"),
        (401, '{"error": "Amara"}', "401, no reason"),
        (403, "<html>Amara</html>", "403, no reason"),
        (302, "", "302, no reason"),
        (500, "Amara", "answered 500"),
    ],
)
def test_a_refusal_is_told_without_the_servers_own_words(
    status: int, body: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    responses.post(TOKEN_URL, status=status, body=body)
    with pytest.raises(NoToken, match=says) as raised:
        token_of(a_source())
    assert "Amara" not in f"{raised.value}{caplog.text}"


@responses.activate
@pytest.mark.parametrize("first", ["lost", "busy"])
def test_a_lost_or_busy_answer_is_asked_for_once_more_with_another_assertion(first: str) -> None:
    if first == "lost":
        responses.post(TOKEN_URL, body=requests.exceptions.ConnectionError("Amara"))
    else:
        responses.post(TOKEN_URL, status=503)
    responses.post(TOKEN_URL, json=given())
    assert token_of(a_source()).value == SECRET
    one, two = (parse_qs(call.request.body.decode()) for call in responses.calls)
    assert one["client_assertion"] != two["client_assertion"]


def test_a_server_that_is_away_is_told_as_such() -> None:
    with raw_server(hang_up) as server, pytest.raises(NoToken, match="did not answer") as raised:
        token_of(a_source(token_url=server.url))
    assert len(server.requests) == 2
    assert "127.0.0.1" not in str(raised.value)


def test_an_answer_that_is_far_too_large_is_not_read_to_its_end() -> None:
    endless = answer(b'{"access_token": "' + b"x" * (2 << 20))
    with raw_server(endless) as server, pytest.raises(NoToken, match="BodyTooLarge"):
        token_of(a_source(token_url=server.url))


def test_neither_key_nor_token_shows_when_printed() -> None:
    token = Token(value=SECRET, stale_at=0, scope=None)
    assert SECRET not in repr(token)
    assert "key=" not in repr(credentials())


# --- discovery ---------------------------------------------------------------------------------


def configuration(**changes: Any) -> dict[str, Any]:
    return {"token_endpoint": TOKEN_URL, **changes}


@responses.activate
def test_the_token_url_is_found_once_and_looked_for_again_after_a_failure() -> None:
    responses.get(DISCOVERY, json=configuration())
    responses.post(TOKEN_URL, json=given(expires_in=0))
    source = a_source(token_url=None)
    token_of(source)
    token_of(source)
    assert [call.request.method for call in responses.calls] == ["GET", "POST", "POST"]
    responses.replace("POST", TOKEN_URL, status=404)
    with pytest.raises(NoToken):
        token_of(source)
    responses.replace(
        "GET", DISCOVERY, json=configuration(token_endpoint="https://auth.example/new")
    )
    responses.post("https://auth.example/new", json=given())
    assert token_of(source).value == SECRET


@responses.activate
@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "token",
        "//auth.example/token",
        "http://auth.example/token",
        "http://127.0.0.1:8080/token",
        "http://localhost/token",
        "ftp://auth.example/token",
        "https://user:word@auth.example/token",
        "https://@auth.example/token",
        "https:///token",
        "https://auth.example/token#here",
        "https://auth.example\\@elsewhere.example/token",
        "https://auth.example/to ken",
        "https://auth.example/to\nken",
        "https://\u2100.example/token",
        "https://auth.example:port/token",
        "https://[",
    ],
    ids=repr,
)
def test_a_token_url_that_is_not_safe_is_not_used(url: Any) -> None:
    responses.get(DISCOVERY, json=configuration(token_endpoint=url))
    with pytest.raises(NoToken, match="names no token endpoint"):
        token_of(a_source(token_url=None))
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}, "private_key_jwt"),
        ({"token_endpoint_auth_methods_supported": "private_key_jwt"}, "private_key_jwt"),
        ({"token_endpoint_auth_signing_alg_values_supported": ["RS384"]}, "ES384"),
    ],
)
def test_a_server_that_does_not_offer_what_is_set_is_not_asked(changes: Any, says: str) -> None:
    responses.get(DISCOVERY, json=configuration(**changes))
    with pytest.raises(NoToken, match=says):
        token_of(a_source(token_url=None))
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("status", "body"), [(404, "{}"), (302, "{}"), (200, "[]"), (200, "<html>"), (200, "[" * 9999)]
)
def test_without_a_configuration_there_is_no_token(status: int, body: str) -> None:
    responses.get(DISCOVERY, status=status, body=body)
    with pytest.raises(NoToken, match="FHIRMSG_FHIR_TOKEN_URL"):
        token_of(a_source(token_url=None))


# --- on a request ------------------------------------------------------------------------------

GOOD = answer(b'{"resourceType":"Bundle"}')
NOT_LET_IN = answer(status="401 Unauthorized")


def call(auth: TokenAuth, url: str, method: str = "POST", seconds: float = 5) -> Any:
    with make_session() as session:
        return exchange(
            session,
            method,
            url,
            deadline=Deadline(seconds),
            connect_timeout=5,
            read_timeout=5,
            headers={"X-Request-ID": "one"},
            data=b"once",
            auth=auth,
        )


def tokens_from(*values: str) -> Any:
    return in_turn(*(answer(json.dumps(given(access_token=each)).encode()) for each in values))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_request_that_was_answered_401_is_made_once_more_with_a_fresh_token(method: str) -> None:
    with raw_server(tokens_from("first", "second")) as auth_server:
        source = a_source(token_url=auth_server.url)
        with raw_server(in_turn(NOT_LET_IN, GOOD)) as server:
            found = call(TokenAuth(source, server.url), server.url, method)
    assert found.status_code == 200
    one, two = server.requests
    assert b"Authorization: Bearer first\r\n" in one
    assert two == one.replace(b"Bearer first", b"Bearer second")


def test_a_second_401_stands() -> None:
    with raw_server(tokens_from("first", "second")) as auth_server:
        source = a_source(token_url=auth_server.url)
        with raw_server(NOT_LET_IN) as server:
            assert call(TokenAuth(source, server.url), server.url).status_code == 401
    assert len(server.requests) == 2
    assert len(auth_server.requests) == 2


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
def test_another_refusal_is_not_made_again(status: str) -> None:
    with raw_server(tokens_from("first")) as auth_server:
        source = a_source(token_url=auth_server.url)
        with raw_server(answer(status=status)) as server:
            call(TokenAuth(source, server.url), server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("lost", [hang_up, answer(b"{", Content_Length="99")])
def test_a_post_whose_answer_was_lost_is_never_made_again(lost: Any) -> None:
    with raw_server(tokens_from("first")) as auth_server:
        source = a_source(token_url=auth_server.url)
        with raw_server(lost) as server, pytest.raises(requests.exceptions.RequestException):
            call(TokenAuth(source, server.url), server.url)
    assert len(server.requests) == 1


def test_no_fresh_token_after_a_401_is_no_token() -> None:
    given_once = tokens_from("first")
    refusing = answer(b'{"error":"invalid_client"}', status="400 Bad Request")
    with raw_server(in_turn(given_once, refusing)) as auth_server:
        source = a_source(token_url=auth_server.url)
        with raw_server(NOT_LET_IN) as server, pytest.raises(NoToken, match="invalid_client"):
            call(TokenAuth(source, server.url), server.url)
    assert len(server.requests) == 1


def test_the_deadline_covers_the_token_and_the_second_try() -> None:
    slow = drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    with raw_server(slow) as auth_server, raw_server(GOOD) as server:
        auth = TokenAuth(a_source(token_url=auth_server.url), server.url)
        began = time.monotonic()
        with pytest.raises((NoToken, DeadlinePassed)):
            call(auth, server.url, seconds=0.5)
        assert time.monotonic() - began < 1.0
        assert server.requests == []
    with (
        raw_server(tokens_from("first", "second")) as auth_server,
        raw_server(in_turn(NOT_LET_IN, slow)) as server,
    ):
        auth = TokenAuth(a_source(token_url=auth_server.url), server.url)
        began = time.monotonic()
        with pytest.raises(DeadlinePassed):
            call(auth, server.url, seconds=0.5)
        assert time.monotonic() - began < 1.0


def test_a_deadline_in_the_token_fetch_ends_no_other_call_on_the_connection() -> None:
    keep = answer(b"{}", status="401 Unauthorized", Connection="keep-alive")
    late = answer(b'{"resourceType":"Bundle"}')

    def twice(peer: Any, request: bytes) -> None:
        keep(peer, request)
        peer.recv(65536)
        time.sleep(0.8)
        late(peer, request)

    slow = drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    with (
        raw_server(in_turn(tokens_from("first"), slow)) as auth_server,
        raw_server(twice) as server,
        make_session() as session,
    ):
        auth = TokenAuth(a_source(token_url=auth_server.url), server.url)
        settings = {"connect_timeout": 5, "read_timeout": 5, "data": b"x"}
        other: list[int] = []

        def call_meanwhile() -> None:
            time.sleep(0.2)
            found = exchange(session, "POST", server.url, deadline=Deadline(5), **settings)
            other.append(found.status_code)

        thread = threading.Thread(target=call_meanwhile)
        thread.start()
        with pytest.raises((NoToken, DeadlinePassed)):
            exchange(session, "POST", server.url, deadline=Deadline(0.5), auth=auth, **settings)
        thread.join(10)
    assert other == [200]


@responses.activate
@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/fhir",
        "http://ehr.example/fhir",
        "https://ehr.example:8443/fhir",
        "https://ehr.example.elsewhere.example/fhir",
        "https://ehr.example@elsewhere.example/fhir",
    ],
)
def test_a_token_is_shown_to_no_other_server(url: str) -> None:
    responses.post(TOKEN_URL, json=given())
    with pytest.raises(NoToken, match="another server"):
        call(TokenAuth(a_source(), BASE), url)
    assert len(responses.calls) == 0


def test_each_thread_knows_the_scope_of_its_own_call() -> None:
    narrow, wide = given(scope="system/Patient.rs", expires_in=0), given(expires_in=0)
    in_order = in_turn(*(answer(json.dumps(each).encode()) for each in (narrow, wide)))
    with raw_server(in_order) as auth_server, raw_server(GOOD) as server:
        auth = TokenAuth(a_source(token_url=auth_server.url), server.url)
        call(auth, server.url)
        thread = threading.Thread(target=call, args=(auth, server.url))
        thread.start()
        thread.join()
        assert auth.scope_used() == "system/Patient.rs"


@responses.activate
def test_secrets_stand_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="fhirmsg")
    responses.post(TOKEN_URL, json=given())
    responses.post(BASE, status=401)
    call(TokenAuth(a_source(), BASE), BASE)
    assertion = parse_qs(responses.calls[0].request.body.decode())["client_assertion"][0]
    assert caplog.text
    assert SECRET not in caplog.text
    assert assertion not in caplog.text
