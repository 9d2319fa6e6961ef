"""Who is let in, and what each client may do."""

from __future__ import annotations

import pytest

from fhirmsg.clients import ApiScope
from tests import builders
from tests.web.face import Face, a_client, a_message, an_override, key_of

CHECK, SEND, OVERRIDE, READ = (
    ApiScope.CHECK,
    ApiScope.SEND,
    ApiScope.OVERRIDE,
    ApiScope.READ,
)
PROTECTED = ("/v1/rules", "/v1/messages/5e0e0001", "/v1/patients/amara/messages")


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer fm_a-key-that-nobody-has",
        f"Basic {key_of('tests')}",
        key_of("tests"),
        f"Bearer {key_of('tests')}x",
        f"Bearer {key_of('tests')}, {key_of('tests')}",
        "Bearer \xff\xfe",
    ],
)
def test_without_a_valid_key_nobody_is_let_in(path: str, authorization: str | None) -> None:
    face = Face()
    headers = {} if authorization is None else {"Authorization": authorization}
    for answer in (
        face.get(path, client=None, **headers),
        face.send(headers={"Authorization": None, **headers}),
        face.check(b"no json", headers={"Authorization": None, **headers}),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="fhirmsg"')
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == bool(headers)
    assert face.messenger.sent == face.messenger.checked == face.history.asked == []


def test_the_scheme_may_be_written_in_any_letter_case() -> None:
    assert Face().get("/v1/rules", client=None, Authorization=f"bEARER {key_of('tests')}")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.yaml"])
def test_what_is_for_those_who_run_it_needs_no_key(path: str) -> None:
    assert Face().get(path, client=None).status_code == 200


@pytest.mark.parametrize("scope", list(ApiScope))
def test_any_valid_key_reads_the_rules(scope: ApiScope) -> None:
    face = Face(clients=(a_client("tests", scope),))
    assert face.get("/v1/rules").status_code == 200


@pytest.mark.parametrize("scope", list(ApiScope))
def test_each_scope_opens_its_own_operations_and_no_other(scope: ApiScope) -> None:
    face = Face(clients=(a_client("tests", scope),))
    assert face.send().status_code == (201 if scope is SEND else 403)
    assert face.check().status_code == (200 if scope in (SEND, CHECK) else 403)
    read = 200 if scope is READ else 403
    assert face.get("/v1/patients/amara/messages").status_code == read
    assert face.get("/v1/messages/none").status_code == (404 if scope is READ else 403)
    assert len(face.messenger.sent) == (scope is SEND)


def test_an_override_needs_its_scope_beside() -> None:
    body = a_message(evidence={"override": an_override()})
    face = Face(
        clients=(
            a_client("sender", SEND),
            a_client("checker", CHECK),
            a_client("overrider", SEND, OVERRIDE),
            a_client("lone", OVERRIDE),
        )
    )
    assert face.send(body, client="sender").status_code == 403
    assert face.check(body, client="checker").status_code == 403
    assert face.send(body, client="lone").status_code == 403
    assert face.messenger.sent == face.messenger.checked == []
    assert face.send(body, client="overrider").status_code == 201
    assert face.check(body, client="overrider").status_code == 200


def test_an_empty_override_needs_the_scope_too() -> None:
    face = Face(clients=(a_client("tests", SEND),))
    assert face.send(a_message(evidence={"override": {}})).status_code == 403
    assert face.send(a_message(evidence={"override": None})).status_code == 201


@pytest.mark.parametrize("organisation", [builders.THEIRS, "Z99999"])
def test_an_organisation_that_is_not_held_and_one_that_is_not_there_look_the_same(
    organisation: str,
) -> None:
    face = Face()
    answer = face.send(a_message(organization=organisation))
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["detail"] == (
        "The client may not send for this organisation. Nothing was sent."
    )
    assert face.messenger.sent == []


def test_the_register_of_an_organisation_that_is_not_held_is_not_told() -> None:
    body = a_message(organization=builders.THEIRS, platform="carrier-pigeon")
    assert Face().send(body).status_code == 403


def test_an_organisation_that_is_held_and_has_no_policy_is_refused() -> None:
    client = a_client(organisations=frozenset({"Z99999"}))
    assert Face(clients=(client,)).send(a_message(organization="Z99999")).status_code == 403


def test_a_client_speaks_only_for_its_persons_and_roles() -> None:
    requester = {"identifier": "clerk-1", "name": "Casey Clerk", "role": "clerk"}
    face = Face(
        clients=(
            a_client("person", SEND, persons=frozenset({"clerk-1"})),
            a_client("role", SEND, roles=frozenset({"clerk"})),
            a_client("others", SEND, persons=frozenset({"nurse-1"}), roles=frozenset({"nurse"})),
        )
    )
    body = a_message(requester=requester)
    assert face.send(body, client="person").status_code == 201
    assert face.send(body, client="role").status_code == 201
    assert face.send(body, client="others").status_code == 403
    assert len(face.messenger.sent) == 2


def test_two_clients_with_one_idempotency_key_send_two_messages() -> None:
    face = Face(clients=(a_client("one"), a_client("two")))
    ids = {face.send(client=name).json["id"] for name in ("one", "two", "one")}  # type: ignore[index]
    assert len(ids) == 2
