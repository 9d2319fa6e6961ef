"""An issuer's keys, fetched from a real server: rotation, floods, and what happens without it."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fhirmsg.http import make_session
from fhirmsg.publickeys import NotAKeySet, keys_in
from fhirmsg.web import jwks
from fhirmsg.web.jwks import KeysUnavailable, RemoteKeys
from tests.security.issuer import Issuer, a_face, an_issuer, jwk, portal, terms, token
from tests.web.app_under_test import KEY, a_body


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        """Start somewhere."""
        self.at = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.at


def keys_of(issuer: Issuer, clock: Clock | None = None) -> RemoteKeys:
    return RemoteKeys(issuer.url, make_session(get_retries=0), clock=clock or Clock())


def knows(keys: RemoteKeys, kid: str) -> bool:
    return len(keys.fitting(kid, "ES256")) == 1


def test_keys_are_fetched_once_and_kept() -> None:
    with an_issuer(jwk("one")) as issuer:
        keys = keys_of(issuer)
        assert issuer.asked == 0
        assert all(knows(keys, "one") for _ in range(5))
        assert issuer.asked == 1


def test_an_old_and_a_new_key_live_together() -> None:
    with an_issuer(jwk("old"), jwk("new")) as issuer:
        keys = keys_of(issuer)
        assert knows(keys, "old")
        assert knows(keys, "new")
        assert issuer.asked == 1


def test_a_new_key_is_found_when_it_is_first_used() -> None:
    clock = Clock()
    with an_issuer(jwk("old")) as issuer:
        keys = keys_of(issuer, clock)
        assert knows(keys, "old")
        clock.at += jwks.COOLDOWN_SECONDS
        issuer.publish(jwk("old"), jwk("new"))
        assert knows(keys, "new")
        assert issuer.asked == 2


def test_a_removed_key_stops_working_when_what_is_kept_has_had_its_time() -> None:
    clock = Clock()
    with an_issuer(jwk("old"), jwk("new")) as issuer:
        keys = keys_of(issuer, clock)
        assert knows(keys, "old")
        issuer.publish(jwk("new"))
        clock.at += jwks.FRESH_SECONDS - 1
        assert knows(keys, "old")
        clock.at += 1
        assert not knows(keys, "old")
        assert knows(keys, "new")


def test_an_issuer_that_publishes_no_key_any_more_has_none() -> None:
    clock = Clock()
    with an_issuer(jwk("one")) as issuer:
        keys = keys_of(issuer, clock)
        assert knows(keys, "one")
        issuer.publish()
        clock.at += jwks.FRESH_SECONDS
        assert not knows(keys, "one")


def test_a_flood_of_unknown_names_asks_the_issuer_once_in_a_while() -> None:
    clock = Clock()
    with an_issuer(jwk("one")) as issuer:
        keys = keys_of(issuer, clock)
        assert knows(keys, "one")
        for second in range(90):
            clock.at += 1
            assert not any(knows(keys, f"made-up-{second}-{number}") for number in range(5))
            assert knows(keys, "one")
        assert issuer.asked == 1 + 90 // jwks.COOLDOWN_SECONDS


def test_many_at_once_make_one_fetch() -> None:
    with an_issuer(jwk("one")) as issuer, ThreadPoolExecutor(16) as pool:
        issuer.delay = 0.3
        keys = keys_of(issuer)
        assert all(pool.map(lambda _: knows(keys, "one"), range(16)))
        assert issuer.asked == 1


def test_a_known_key_waits_for_nobody_who_asks_for_an_unknown_one() -> None:
    clock = Clock()
    with an_issuer(jwk("one")) as issuer, ThreadPoolExecutor(1) as pool:
        keys = keys_of(issuer, clock)
        assert knows(keys, "one")
        clock.at += jwks.COOLDOWN_SECONDS
        issuer.delay = 1.0
        slow = pool.submit(knows, keys, "made-up")
        while issuer.asked < 2:
            time.sleep(0.01)
        began = time.perf_counter()
        assert knows(keys, "one")
        assert time.perf_counter() - began < 0.5
        assert not slow.result()


def broken(issuer: Issuer, how: str) -> None:
    """Break an issuer."""
    if how == "down":
        issuer.status = 503
    elif how == "redirect":
        issuer.status, issuer.headers = 302, {"Location": issuer.url.replace("keys", "others")}
    elif how == "too large":
        issuer.body = b" " * (256 * 1024) + issuer.body
    elif how == "deep":
        issuer.body = b"[" * 100_000
    elif how == "too many":
        issuer.body = json.dumps({"keys": [jwk("one")] * 101}).encode()
    else:
        issuer.body = {
            "not json": b"<html>",
            "no keys": b"{}",
            "a list": b"[]",
            "keys of another kind": b'{"keys": {"one": {}}}',
            "not text": b"\xff\xfe\xfa",
            "a huge number": b'{"keys": ' + b"9" * 5000 + b"}",
        }[how]


BROKEN = (
    *("down", "redirect", "too large", "deep", "too many", "not json", "no keys", "a list"),
    *("keys of another kind", "not text", "a huge number"),
)


@pytest.mark.parametrize("how", BROKEN)
def test_an_issuer_that_is_broken_gives_no_key_and_takes_none_away(how: str) -> None:
    clock = Clock()
    with an_issuer(jwk("one")) as issuer:
        fresh = keys_of(issuer, clock)
        assert knows(fresh, "one")
        broken(issuer, how)
        with pytest.raises(KeysUnavailable):
            knows(keys_of(issuer), "one")
        clock.at += jwks.FRESH_SECONDS
        assert knows(fresh, "one")
        with pytest.raises(KeysUnavailable):
            knows(fresh, "two")
        clock.at += jwks.STALE_SECONDS - 1
        assert knows(fresh, "one")
        clock.at += 1
        with pytest.raises(KeysUnavailable):
            knows(fresh, "one")


def test_an_issuer_that_is_away_is_asked_now_and_then_and_believed_again() -> None:
    clock = Clock()
    with an_issuer(jwk("one")) as issuer:
        issuer.status = 500
        keys = keys_of(issuer, clock)
        for _ in range(20):
            with pytest.raises(KeysUnavailable):
                knows(keys, "one")
        assert issuer.asked == 1
        issuer.status = 200
        clock.at += jwks.AGAIN_SECONDS
        assert knows(keys, "one")


def test_an_issuer_that_does_not_answer_holds_nobody_for_long() -> None:
    with an_issuer(jwk("one")) as issuer, ThreadPoolExecutor(4) as pool:
        issuer.delay = 10.0
        keys = keys_of(issuer)
        began = time.perf_counter()

        def ask(_: int) -> float:
            with pytest.raises(KeysUnavailable):
                knows(keys, "one")
            return time.perf_counter() - began

        times = sorted(pool.map(ask, range(4)))
        assert times[2] < 2
        assert times[3] < 5
        issuer.delay = 0.0


def test_nobody_listening_is_no_key() -> None:
    with an_issuer(jwk("one")) as issuer:
        url = issuer.url
    with pytest.raises(KeysUnavailable):
        RemoteKeys(url, make_session(get_retries=0)).fitting("one", "ES256")


def test_a_waiting_thread_is_freed_when_a_fetch_fails_in_a_way_nobody_foresaw() -> None:
    class Session:
        def request(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("nobody foresaw this")

    clock = Clock()
    keys = RemoteKeys("http://127.0.0.1:9/keys", Session(), clock=clock)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        keys.fitting("one", "ES256")
    with pytest.raises(KeysUnavailable):
        keys.fitting("one", "ES256")
    assert threading.active_count() < 50


# --- through the door ------------------------------------------------------------------------


def test_a_token_whose_keys_cannot_be_fetched_is_a_503_and_a_key_works_meanwhile() -> None:
    with an_issuer() as issuer:
        issuer.status = 500
        face = a_face(portal(tokens=terms(jwks_url=issuer.url)))
        answer = face.post(a_body(), Authorization=f"Bearer {token()}")
        assert answer.status_code == 503
        assert answer.get_json(force=True)["retry"] == "after"
        assert answer.headers["Retry-After"] == "10"
        assert "WWW-Authenticate" not in answer.headers
        assert face.messenger.calls == []
        assert face.post(a_body(), Authorization=f"Bearer {KEY}").status_code == 200


def test_tokens_are_checked_against_the_keys_that_the_issuer_publishes() -> None:
    with an_issuer(jwk("old"), jwk("new")) as issuer:
        face = a_face(portal(tokens=terms(jwks_url=issuer.url)))
        for kid, status in (("old", 200), ("new", 200), ("stolen", 401)):
            answer = face.post(a_body(), Authorization=f"Bearer {token(kid)}")
            assert answer.status_code == status
        assert issuer.asked == 1


def test_clients_of_one_issuer_share_its_keys() -> None:
    with an_issuer(jwk("one")) as issuer:
        first = portal(tokens=terms(jwks_url=issuer.url))
        second = portal(id="b", tokens=terms(jwks_url=issuer.url, subject="b"))
        face = a_face(first, second)
        for subject in ("portal", "b"):
            assert face.get("/v1/rules", token(sub=subject)).status_code == 200
        assert issuer.asked == 1


def test_a_token_of_nobody_known_does_not_make_us_ask_anybody() -> None:
    with an_issuer(jwk("one")) as issuer:
        face = a_face(portal(tokens=terms(jwks_url=issuer.url)))
        assert face.get("/v1/rules", token(iss=issuer.url)).status_code == 401
        assert face.get("/v1/rules", token(sub="nobody")).status_code == 401
        assert face.get("/v1/rules", token("two", algorithm="EdDSA")).status_code == 401
        assert issuer.asked == 0


# --- documents -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "holds a secret"),
        (jwk("one", d="AAAA"), "holds a secret"),
        (jwk("one", kty="oct"), "is of a type"),
        (jwk("one", crv="secp256k1"), "is of a type"),
        (jwk("one", crv=["P-256"]), "is of a type"),
        (jwk("rsa", "RS256", crv="P-256"), "is of a type"),
        (jwk("one", use="enc"), "is not for signatures"),
        (jwk("one", key_ops=["sign"]), "is not for verifying"),
        (jwk("one", key_ops="verify"), "is not for verifying"),
        (jwk("one", alg="HS256"), "names an algorithm"),
        (jwk("one", alg="ES384"), "names an algorithm"),
        (jwk("one", alg=["ES256"]), "names an algorithm"),
        (jwk("one", kid=7), "has a kid"),
        (jwk("one", kid=""), "has a kid"),
        (jwk("one", x="AAAA"), "cannot be read"),
        (jwk("one", x=None), "cannot be read"),
        (jwk("one", y="!!"), "cannot be read"),
        (jwk("short", "RS256-short", alg="RS256"), "between 2048 and 8192 bits"),
        (jwk("rsa", "RS256", e=7), "cannot be read"),
        (7, "is not a key"),
    ],
)
def test_a_key_that_is_not_right_is_set_aside_and_the_others_are_kept(
    member: Any, says: str
) -> None:
    found = keys_in({"keys": [member, jwk("good")]})
    assert [key.kid for key in found.keys] == ["good"]
    [text] = found.set_aside
    assert text.startswith("keys[0] ")
    assert says in text


@pytest.mark.parametrize("document", [None, [], "keys", {"keys": "x"}, {"keys": None}])
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(NotAKeySet):
        keys_in(document)


def test_a_key_says_nothing_of_itself_when_printed() -> None:
    [key] = keys_in({"keys": [jwk("one")]}).keys
    assert "object at" not in repr(key)
