"""The clients file: who may call, as a YAML list. It holds digests of keys, never a key."""

from __future__ import annotations

import re
from pathlib import Path

from fhirmsg.clients import (
    KEY_PREFIX,
    RATE_LIMIT_FORM,
    ApiScope,
    Client,
    RateLimit,
    rate_limit_in,
)
from fhirmsg.clienttokens import token_terms
from fhirmsg.errors import SettingsError
from fhirmsg.policyfile import ods_codes
from fhirmsg.yamlfile import Section, meant, read_yaml, shown

_KEYS = ("id", "keys", "jwt", "scopes", "organisations", "persons", "roles", "rate_limit")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCOPES = {scope.value: scope for scope in ApiScope}
_WRITE_DIGESTS = "list SHA-256 digests of keys, as `fhirmsg keys new` prints them"


def parse_clients(data: bytes, *, folder: Path | None = None) -> tuple[Client, ...]:
    """Read the bytes of a clients file, in `folder`. Raises SettingsError with every fault."""
    faults: list[str] = []
    document = read_yaml(data, faults)
    clients: list[Client] = []
    if isinstance(document, list) and document:
        clients = [
            _client(Section(value, _path(value, number), faults, keys=_KEYS), folder)
            for number, value in enumerate(document)
        ]
        _check_unique(clients, faults)
        _check_issuers(clients, faults)
    elif not faults:
        faults.append(
            f"the file is {'an empty list' if document == [] else shown(document)}, so nobody "
            "could call; write a list of clients (`fhirmsg keys new` prints one)"
        )
    if faults:
        raise SettingsError(faults)
    return tuple(clients)


def _path(value: object, number: int) -> str:
    """Name a client by its id where it has one; its place in the list says little."""
    identity = value.get("id") if isinstance(value, dict) else None
    return identity if isinstance(identity, str) and _ID.fullmatch(identity) else f"[{number}]"


def _client(section: Section, folder: Path | None) -> Client:
    identity = section.text("id", what="give the client a name of its own")
    if identity and not _ID.fullmatch(identity):
        section.fault("id", "is not a name of letters, digits, full stops and hyphens")
    tokens = token_terms(section, identity, folder)
    if tokens is not None and tokens.person is not None and "keys" in section:
        section.fault(
            "keys",
            "stands beside jwt.person_from_token, and a key names nobody, so it would go round "
            "that; give the key a client of its own",
        )
    return Client(
        id=identity,
        key_sha256=_digests(section),
        tokens=tokens,
        scopes=_scopes(section),
        organisations=ods_codes(section),
        persons=_named(section, "persons"),
        roles=_named(section, "roles"),
        rate_limit=_rate_limit(section),
    )


def _digests(section: Section) -> tuple[str, ...]:
    # What stands here is never shown: it may be a key.
    if isinstance(section.get("keys"), str):
        section.fault("keys", f"is not a list; {_WRITE_DIGESTS}")
        return ()
    # Without tokens, a key is the only way in.
    required = "jwt" not in section
    found = section.texts("keys", what=_WRITE_DIGESTS, required=required, some=True)
    for text in found:
        if text.startswith(KEY_PREFIX):
            section.fault("keys", f"holds a key itself; make a new one and {_WRITE_DIGESTS}")
        elif not _SHA256.fullmatch(text.lower()):
            section.fault("keys", f"holds something else than 64 hex digits; {_WRITE_DIGESTS}")
    return tuple(text.lower() for text in found)


def _scopes(section: Section) -> frozenset[ApiScope]:
    what = f"list some of {', '.join(_SCOPES)}"
    found = section.texts("scopes", what=what, required=True, some=True)
    for name in found:
        if name not in _SCOPES:
            section.fault("scopes", f"{shown(name)} is not a scope{meant(name, _SCOPES)}; {what}")
    return frozenset(_SCOPES[name] for name in found if name in _SCOPES)


def _named(section: Section, key: str) -> frozenset[str]:
    """Read who may be named as requester. An empty list would read as nobody and mean anybody."""
    what = "list those whom the client may name; leave the key out to allow anybody"
    return frozenset(section.texts(key, what=what, required=False, some=True))


def _rate_limit(section: Section) -> RateLimit | None:
    text = section.text("rate_limit", what=RATE_LIMIT_FORM, default="")
    found = rate_limit_in(text)
    if text and found is None:
        section.fault("rate_limit", f"is {shown(text)}; {RATE_LIMIT_FORM}")
    return found


def _check_issuers(clients: list[Client], faults: list[str]) -> None:
    """Check that a token can be of one client only."""
    claims: dict[str, str] = {}
    owners: dict[tuple[str, str], str] = {}
    for client in clients:
        if (terms := client.tokens) is None:
            continue
        claim = claims.setdefault(terms.issuer, terms.subject_claim)
        if claim != terms.subject_claim:
            faults.append(
                f"{client.id}.jwt.subject_claim: is {terms.subject_claim}, and another client of "
                f"the issuer is known by {claim}; use one claim for all clients of an issuer"
            )
        owner = owners.setdefault((terms.issuer, terms.subject), client.id)
        if owner != client.id:
            faults.append(
                f"{client.id}.jwt.subject: is that of {owner} too, at the same issuer; give each "
                "its own"
            )


def _check_unique(clients: list[Client], faults: list[str]) -> None:
    ids: set[str] = set()
    owners: dict[str, str] = {}
    for client in clients:
        if client.id and client.id in ids:
            faults.append(f"{client.id}: is there twice; give each client an id of its own")
        ids.add(client.id)
        for digest in client.key_sha256:
            if owners.setdefault(digest, client.id) != client.id:
                faults.append(
                    f"{client.id}.keys: holds a key of {owners[digest]} too; give each its own"
                )
