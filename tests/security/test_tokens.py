"""Signed tokens: who gets in by one, and every way in which one is refused."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from fhirmsg.clients import ApiScope, PersonClaims
from fhirmsg.web.tokens import TokenRefused, Tokens
from tests.security.issuer import (
    AUDIENCE,
    ISSUER,
    NOW,
    a_face,
    claims,
    jwk,
    portal,
    private_key,
    published,
    terms,
    token,
    with_person,
    written,
)
from tests.web.app_under_test import Face, a_body

AT = int(NOW.timestamp())


def tokens_of(*clients: Any) -> Tokens:
    return Tokens(clients, None, clock=lambda: NOW)  # type: ignore[arg-type]


def reason_of(presented: str, *clients: Any) -> str:
    """Say why a token is refused, '' when it is not."""
    try:
        tokens_of(*(clients or (portal(),))).client_of(presented)
    except TokenRefused as error:
        return error.reason
    return ""


# --- who gets in -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
)
def test_a_good_token_of_each_algorithm_tells_the_client(algorithm: str) -> None:
    client = portal(
        tokens=terms(algorithms=frozenset({algorithm}), keys=published(jwk(algorithm, algorithm)))
    )
    assert tokens_of(client).client_of(token(algorithm, algorithm)).id == "portal"


def test_a_token_opens_the_door_that_a_key_opens() -> None:
    face = a_face(portal())
    answer = face.post(a_body(), Authorization=f"Bearer {token()}")
    assert answer.status_code == 200
    assert len(face.messenger.calls) == 1


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_a_token_may_say_that_it_is_an_access_token(kind: str | None) -> None:
    assert reason_of(token(header={"typ": kind})) == ""


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["https://else.example", AUDIENCE]])
def test_a_token_may_be_for_several_audiences(audience: Any) -> None:
    assert reason_of(token(aud=audience)) == ""


def test_clients_of_one_issuer_are_told_apart_by_the_claim_agreed() -> None:
    by_azp = (
        terms(subject_claim="azp", subject="app-1"),
        terms(subject_claim="azp", subject="app-2"),
    )
    one, two = portal(id="one", tokens=by_azp[0]), portal(id="two", tokens=by_azp[1])
    known = tokens_of(one, two)
    assert known.client_of(token(azp="app-2", sub="user-7")).id == "two"
    assert reason_of(token(azp="app-3", sub="app-1"), one, two) == "client"


def test_without_a_key_id_the_only_key_that_fits_is_taken() -> None:
    nameless = token(header={"kid": None})
    only = portal(tokens=terms(keys=published(jwk("one"), jwk("rsa", "RS256"))))
    assert reason_of(nameless, only) == ""
    several = portal(tokens=terms(keys=published(jwk("one"), jwk("two"))))
    assert reason_of(nameless, several) == "key"


# --- what is refused -------------------------------------------------------------------------


def signed(header: dict[str, Any], payload: dict[str, Any] | bytes | None = None) -> str:
    """Give a token with just this header, signed by the right key."""
    text = written(header, claims() if payload is None else payload, b"")
    signing = text.rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("ES256").sign(signing.encode(), private_key("one"))
    return signing + "." + written(b"", b"", signature).rpartition(".")[2]


def test_what_is_put_together_by_hand_here_is_a_good_token_to_start_with() -> None:
    assert reason_of(signed({"alg": "ES256", "kid": "one"})) == ""


def as_hmac(secret: bytes, header: dict[str, Any]) -> str:
    signing = written(header, claims(), b"").rpartition(".")[0]
    signature = hmac.new(secret, signing.encode(), hashlib.sha256).digest()
    return signing + "." + written(b"", b"", signature).rpartition(".")[2]


def public_bytes(form: PublicFormat, coding: Encoding) -> bytes:
    return private_key("rsa", "RS256").public_key().public_bytes(coding, form)


RSA_CLIENT = portal(
    tokens=terms(algorithms=frozenset({"RS256", "ES256"}), keys=published(jwk("rsa", "RS256")))
)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "none", "None", "NONE", "", "RS256 "])
@pytest.mark.parametrize(
    "secret",
    [
        public_bytes(PublicFormat.SubjectPublicKeyInfo, Encoding.PEM),
        public_bytes(PublicFormat.SubjectPublicKeyInfo, Encoding.DER),
        json.dumps(jwk("rsa", "RS256")).encode(),
        b"",
    ],
)
def test_a_public_key_is_never_taken_for_a_secret(algorithm: str, secret: bytes) -> None:
    assert reason_of(as_hmac(secret, {"alg": algorithm, "kid": "rsa"}), RSA_CLIENT) == "algorithm"


def test_a_token_without_a_signature_is_none() -> None:
    unsigned = written({"alg": "none"}, claims(), b"")
    assert reason_of(unsigned) == "form"
    assert reason_of(unsigned + "AA") == "algorithm"
    assert reason_of(written({"alg": "ES256", "kid": "one"}, claims(), b"")) == "form"


def test_an_algorithm_counts_only_with_a_key_of_its_type() -> None:
    both = portal(tokens=terms(keys=published(jwk("one"), jwk("rsa", "RS256"))))
    assert reason_of(token("rsa", "RS256"), both) == ""
    assert reason_of(token("rsa", "RS256", header={"kid": "one"}), both) == "kid"
    assert reason_of(token("one", "ES256", header={"kid": "rsa"}), both) == "kid"


def test_an_algorithm_that_is_not_the_clients_is_refused_even_if_the_key_fits() -> None:
    narrow = portal(
        tokens=terms(algorithms=frozenset({"RS256"}), keys=published(jwk("rsa", "RS512", alg=None)))
    )
    assert reason_of(token("rsa", "RS512"), narrow) == "algorithm"


def test_a_key_that_names_its_algorithm_is_good_for_no_other() -> None:
    both = terms(algorithms=frozenset({"RS256", "PS256"}), keys=published(jwk("rsa", "RS256")))
    key = private_key("rsa", "RS256")
    probability = jwt.encode(claims(), key, "PS256", headers={"kid": "rsa"})
    assert reason_of(probability, portal(tokens=both)) == "kid"
    unnamed = replace(both, keys=published(jwk("rsa", "RS256", alg=None)))
    assert reason_of(probability, portal(tokens=unnamed)) == ""


def test_a_signature_by_another_key_is_refused() -> None:
    assert reason_of(token("another", header={"kid": "one"})) == "signature"
    head, payload, signature = token().split(".")
    for changed in (claims(sub="portal", scope="send"), claims(exp=AT + 301)):
        body = written(b"", changed, b"").split(".")[1]
        assert reason_of(f"{head}.{body}.{signature}") == "signature"
    assert payload


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": jwk("attacker")},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/chain"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
)
def test_a_token_that_brings_its_own_key_or_meaning_is_refused(header: dict[str, Any]) -> None:
    assert reason_of(signed({"alg": "ES256", "kid": "one", **header})) in ("header", "form")


def test_a_key_that_a_token_brings_is_not_used() -> None:
    own = jwt.encode(
        claims(), private_key("attacker"), "ES256", headers={"kid": "one", "jwk": jwk("attacker")}
    )
    assert reason_of(own) == "header"


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", ""])
def test_a_token_of_another_type_is_refused(kind: str) -> None:
    assert reason_of(signed({"alg": "ES256", "kid": "one", "typ": kind})) == "type"


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../etc/passwd",
        "one' OR '1'='1",
        "https://attacker.example/keys",
        "one\n",
        "one\x00",
        "ｏｎｅ",
        "ONE",
        "",
        "x" * 257,
    ],
)
def test_a_key_id_is_a_name_and_nothing_else(kid: str) -> None:
    assert reason_of(signed({"alg": "ES256", "kid": kid})) == "kid"


def test_a_key_id_is_a_text() -> None:
    for kid in (1, ["one"], {"one": 1}):
        assert reason_of(signed({"alg": "ES256", "kid": kid})) == "form"


def test_two_keys_of_one_name_and_type_are_no_key() -> None:
    twice = portal(tokens=terms(keys=published(jwk("one"), jwk("two", kid="one"))))
    assert reason_of(token(), twice) == "keys"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "https://else.example"}, "audience"),
        ({"aud": [AUDIENCE + "/"]}, "audience"),
        ({"aud": None}, "claims"),
        ({"aud": 7}, "audience"),
        ({"iss": ISSUER + "/"}, "client"),
        ({"iss": None}, "client"),
        ({"sub": "another"}, "client"),
        ({"sub": None}, "client"),
        ({"exp": None}, "claims"),
        ({"iat": None}, "claims"),
        ({"exp": str(AT + 300)}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": float("inf")}, "claims"),
        ({"exp": float("nan")}, "claims"),
        ({"exp": 10**400}, "claims"),
        ({"nbf": "soon"}, "claims"),
        ({"nbf": None, "jti": 7}, "claims"),
        ({"exp": AT - 60}, "expired"),
        ({"iat": AT + 61, "exp": AT + 300}, "issued-later"),
        ({"nbf": AT + 61}, "not-yet"),
        ({"iat": AT - 10, "exp": AT + 3591}, "lifetime"),
        ({"iat": AT + 30, "exp": AT + 30}, "lifetime"),
        ({"iat": AT + 50, "exp": AT + 20}, "lifetime"),
        ({"cnf": {"jkt": "x"}}, "bound"),
    ],
)
def test_a_claim_that_is_not_right_refuses_the_token(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(token(**changes)) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": AT - 59, "iat": AT - 100},
        {"iat": AT + 60, "exp": AT + 61},
        {"nbf": AT + 60},
        {"iat": AT, "exp": AT + 3600},
        {"iat": AT - 1.5, "exp": AT + 0.5},
    ],
)
def test_what_is_just_right_is_right(changes: dict[str, Any]) -> None:
    assert reason_of(token(**changes)) == ""


def test_a_token_that_is_too_long_is_refused_before_anything_is_read() -> None:
    assert reason_of(token(padding="x" * 5000)) == ""
    assert reason_of(token(padding="x" * 7000)) == "form"


@pytest.mark.parametrize("issuer", [["https://login.example"], {"a": 1}, 7])
def test_an_issuer_that_is_no_text_is_nobody(issuer: Any) -> None:
    assert reason_of(signed({"alg": "ES256", "kid": "one"}, claims(iss=issuer))) == "client"


def test_a_token_of_one_client_is_not_another_client() -> None:
    other = portal(
        id="other",
        tokens=terms(subject="other", keys=published(jwk("theirs"))),
    )
    assert reason_of(token("theirs", sub="portal"), portal(), other) == "kid"
    assert reason_of(token("theirs", sub="portal", header={"kid": "one"}), portal(), other) == (
        "signature"
    )


@pytest.mark.parametrize(
    "presented",
    [
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "." * 8000,
        "a." * 4000,
        "e30.e30.e30",
        "W10.e30.AA",
        "!!.e30.AA",
        written(b"[" * 3000, b"{}", b"x"),
        written({"alg": "ES256"}, b'{"a":' * 1000, b"x"),
        written({"alg": "ES256"}, b"[]", b"x"),
        written({"alg": "ES256"}, b"\xff\xfe", b"x"),
        written({"alg": "ES256"}, b'{"iss": ' + b"9" * 5000 + b"}", b"x"),
        written({"alg": "ES256"}, b"x" * 9000, b"x"),
    ],
)
def test_what_is_no_token_is_refused_at_once(presented: str) -> None:
    assert reason_of(presented) in ("form", "client")


# --- what the answer says --------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"exp": AT - 61, "iat": AT - 100}, {"iat": AT + 61}, {"nbf": AT + 99}]
)
def test_what_hangs_on_the_time_names_the_time_of_this_server(changes: dict[str, int]) -> None:
    face = a_face(portal())
    answer = face.post(a_body(), Authorization=f"Bearer {token(**changes)}")
    assert answer.status_code == 401
    detail = answer.get_json(force=True)["detail"]
    assert "This server's clock says 2026-11-24T10:30:00Z" in detail
    assert "60 seconds" in detail
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith(
        'Bearer realm="fhirmsg", error="invalid_token", error_description="'
    )
    assert challenge.count('"') == 6


def test_a_refusal_says_which_check_failed_and_shows_nothing_of_the_token() -> None:
    face = a_face(portal())
    presented = token(aud="https://secret-audience.example", header={"kid": "one"})
    answer = face.post(a_body(), Authorization=f"Bearer {presented}")
    assert answer.status_code == 401
    assert "another audience" in answer.get_json(force=True)["detail"]
    told = answer.text + str(answer.headers)
    assert not any(part in told for part in (*presented.split("."), "secret-audience"))
    assert "Retry-After" not in answer.headers


def test_without_anything_presented_no_error_is_named() -> None:
    answer = a_face().client.get("/v1/rules")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fhirmsg"'


def test_a_key_does_not_open_what_is_agreed_for_tokens_alone() -> None:
    face = a_face(portal())
    for presented in ("portal", "fm_portal", hashlib.sha256(b"portal").hexdigest()):
        assert face.get("/v1/rules", presented).status_code == 401


def test_a_service_without_issuers_takes_no_token() -> None:
    assert Face().get("/v1/rules", token()).status_code == 401


# --- scopes and the person -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        ("send read", {ApiScope.SEND, ApiScope.READ}),
        (["send", "override"], {ApiScope.SEND}),
        ("", set()),
        ("openid SEND send.all", set()),
        ([], set()),
    ],
)
def test_a_tokens_scopes_narrow_those_of_the_client(given: Any, scopes: set[ApiScope]) -> None:
    client = portal(
        scopes=frozenset({ApiScope.SEND, ApiScope.READ}), tokens=terms(scopes_claim="scope")
    )
    assert tokens_of(client).client_of(token(scope=given)).scopes == scopes


@pytest.mark.parametrize("given", [None, 7, {"send": 1}, ["send", 1]])
def test_scopes_that_are_not_told_are_not_guessed(given: Any) -> None:
    assert reason_of(token(scope=given), portal(tokens=terms(scopes_claim="scope"))) == "scopes"


def test_a_token_without_the_scope_for_emergencies_declares_none() -> None:
    face = a_face(portal(tokens=terms(scopes_claim="scope")))
    body = a_body(evidence={"emergency": {}})
    answer = face.post(body, Authorization=f"Bearer {token(scope='send')}")
    assert answer.status_code == 403
    assert face.messenger.calls == []


CASEY = {"user": "clerk-1", "name": "Casey Clerk", "role": "receptionist"}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (CASEY, 200),
        ({**CASEY, "role": ["nurse", "receptionist"]}, 200),
        ({**CASEY, "user": "clerk-2"}, 403),
        ({**CASEY, "user": "CLERK-1"}, 403),
        ({**CASEY, "name": "Somebody Else"}, 403),
        ({**CASEY, "role": "practice nurse"}, 403),
        ({**CASEY, "role": []}, 403),
        ({**CASEY, "user": " "}, 401),
        ({**CASEY, "user": None}, 401),
        ({**CASEY, "user": ["clerk-1"]}, 401),
        ({**CASEY, "name": None}, 401),
        ({**CASEY, "role": None}, 401),
        ({**CASEY, "role": [7]}, 401),
    ],
)
def test_the_requester_is_the_person_the_token_was_issued_to(
    said: dict[str, Any], status: int
) -> None:
    face = a_face(with_person())
    answer = face.post(a_body(), Authorization=f"Bearer {token(**said)}")
    assert answer.status_code == status
    assert len(face.messenger.calls) == (status == 200)


def test_the_person_of_a_token_has_to_be_one_the_client_may_name_too() -> None:
    face = a_face(with_person(persons=frozenset({"clerk-9"})))
    assert face.post(a_body(), Authorization=f"Bearer {token(**CASEY)}").status_code == 403


def test_where_only_the_identifier_is_agreed_name_and_role_are_free() -> None:
    client = portal(tokens=terms(person=PersonClaims(identifier="user")))
    face = a_face(client)
    assert face.post(a_body(), Authorization=f"Bearer {token(user='clerk-1')}").status_code == 200


# --- what is logged --------------------------------------------------------------------------


def failures(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        record.__dict__
        for record in caplog.records
        if record.getMessage() in ("authentication failed", "access refused")
    ]


def test_a_refused_token_is_one_line_with_a_code_and_nothing_of_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    presented = token(exp=AT - 100, iat=AT - 200, email="pat@example.com")
    a_face(portal()).get("/v1/rules", presented)
    [line] = failures(caplog)
    assert (line["reason"], line["client"], line["kid"]) == ("token expired", "portal", "one")
    assert not any(part in str(line) for part in (*presented.split("."), "pat@example.com"))


@pytest.mark.parametrize("kid", ['x\n{"message": "forged"}', "x" * 200, "../../keys", "\x1b[2J"])
def test_a_key_id_cannot_write_into_the_log(kid: str, caplog: pytest.LogCaptureFixture) -> None:
    a_face(portal()).get("/v1/rules", signed({"alg": "ES256", "kid": kid}))
    [line] = failures(caplog)
    assert line["kid"] in (None, "(not shown)")
    assert kid not in str(line)


def test_naming_somebody_else_is_logged_without_the_name(caplog: pytest.LogCaptureFixture) -> None:
    said = {**CASEY, "user": "clerk-2"}
    a_face(with_person()).post(a_body(), Authorization=f"Bearer {token(**said)}")
    [line] = failures(caplog)
    assert (line["reason"], line["client"]) == ("person", "portal")
    assert "clerk" not in str({key: line[key] for key in ("msg", "reason", "client")})


def test_a_wrong_key_is_logged_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    a_face(portal()).get("/v1/rules", "fm_somebody-guesses")
    [line] = failures(caplog)
    assert (line["reason"], line["levelno"]) == ("key", logging.WARNING)
    assert "guesses" not in str(line)


# --- properties ------------------------------------------------------------------------------

KNOWN = tokens_of(portal())


def outcome(presented: str) -> str:
    try:
        return KNOWN.client_of(presented).id
    except TokenRefused as error:
        return error.reason


@given(
    age=st.integers(-4000, 4000),
    life=st.integers(-10, 4000),
    early=st.integers(-4000, 4000) | st.none(),
)
def test_a_token_counts_exactly_while_it_is_valid_give_or_take_a_minute(
    age: int, life: int, early: int | None
) -> None:
    issued = AT - age
    expires = issued + life
    nbf = None if early is None else AT + early
    good = (
        expires + 60 > AT
        and issued <= AT + 60
        and (nbf is None or nbf <= AT + 60)
        and 0 < life <= 3600
    )
    assert (outcome(token(iat=issued, exp=expires, nbf=nbf)) == "portal") == good


@given(audience=st.text(max_size=40) | st.lists(st.text(max_size=10) | st.just(AUDIENCE)))
def test_no_other_audience_counts(audience: Any) -> None:
    good = audience == AUDIENCE or (isinstance(audience, list) and AUDIENCE in audience)
    assert (outcome(token(aud=audience)) == "portal") == good


@example(kid="one")
@given(kid=st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_other_key_id_counts(kid: str) -> None:
    assert (outcome(signed({"alg": "ES256", "kid": kid})) == "portal") == (kid == "one")


@given(
    algorithm=st.sampled_from(["HS256", "none", "RS256", "PS256", "ES384", "EdDSA", "ES256K"])
    | st.text(max_size=10).filter(lambda text: text != "ES256")
)
def test_no_other_algorithm_counts(algorithm: str) -> None:
    assert outcome(signed({"alg": algorithm, "kid": "one"})) in ("algorithm", "kid")


GOOD = token()


@given(place=st.integers(0, 10_000), to=st.sampled_from("AQgw0-_."))
def test_a_token_changed_in_one_place_is_no_token(place: int, to: str) -> None:
    good = GOOD
    place %= len(good)
    if good[place] != to:
        assert outcome(good[:place] + to + good[place + 1 :]) != "portal"


@given(presented=st.text(st.characters(codec="ascii"), max_size=200))
def test_nothing_made_up_is_a_token(presented: str) -> None:
    assert outcome(presented) != "portal"
