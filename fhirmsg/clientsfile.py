"""The clients file: who may call, as a YAML list. It holds digests of keys, never a key."""

from __future__ import annotations

import re

from fhirmsg.clients import KEY_PREFIX, ApiScope, Client
from fhirmsg.errors import SettingsError
from fhirmsg.policyfile import ods_codes
from fhirmsg.yamlfile import Section, meant, read_yaml, shown

_KEYS = ("id", "keys", "scopes", "organisations", "persons", "roles")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCOPES = {scope.value: scope for scope in ApiScope}
_WRITE_DIGESTS = "list SHA-256 digests of keys, as `fhirmsg keys new` prints them"


def parse_clients(data: bytes) -> tuple[Client, ...]:
    """Read the bytes of a clients file. Raises SettingsError with every fault in them."""
    faults: list[str] = []
    document = read_yaml(data, faults)
    clients: list[Client] = []
    if isinstance(document, list) and document:
        clients = [
            _client(Section(value, _path(value, number), faults, keys=_KEYS))
            for number, value in enumerate(document)
        ]
        _check_unique(clients, faults)
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


def _client(section: Section) -> Client:
    identity = section.text("id", what="give the client a name of its own")
    if identity and not _ID.fullmatch(identity):
        section.fault("id", "is not a name of letters, digits, full stops and hyphens")
    return Client(
        id=identity,
        key_sha256=_digests(section),
        scopes=_scopes(section),
        organisations=ods_codes(section),
        persons=_named(section, "persons"),
        roles=_named(section, "roles"),
    )


def _digests(section: Section) -> tuple[str, ...]:
    # What stands here is never shown: it may be a key.
    if isinstance(section.get("keys"), str):
        section.fault("keys", f"is not a list; {_WRITE_DIGESTS}")
        return ()
    found = section.texts("keys", what=_WRITE_DIGESTS, required=True, some=True)
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
