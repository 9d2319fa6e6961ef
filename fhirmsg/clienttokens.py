"""The `jwt` of a client in the clients file: whose signed tokens it may bring."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from fhirmsg.clients import PersonClaims, TokenTerms
from fhirmsg.http import is_loopback
from fhirmsg.publickeys import ALGORITHMS, KeySet, NotAKeySet, keys_in
from fhirmsg.yamlfile import Section, meant, shown

_KEYS = (
    *("issuer", "audience", "algorithms", "jwks_url", "jwks_file", "jwks", "subject"),
    *("subject_claim", "scopes_claim", "person_from_token", "longest_minutes"),
)
_SUBJECT_CLAIMS = {name: name for name in ("sub", "client_id", "azp")}
_PERSON_KEYS = ("identifier", "name", "role")
_SOURCES = ("jwks_url", "jwks_file", "jwks")
_LARGEST_FILE = 1 << 20


def token_terms(client: Section, identity: str, folder: Path | None) -> TokenTerms | None:
    """Read what a client's tokens have to be, None when it brings none.

    identity: the client's id, which is the subject where none is given. folder: where a file that
    is named without one is looked for.
    """
    if "jwt" not in client:
        return None
    section = client.section("jwt", _KEYS, required=True)
    if not section.readable:
        return None
    algorithms = _algorithms(section)
    keys, url = _source(section, folder)
    if keys is not None and algorithms and not any(keys.fitting(None, name) for name in algorithms):
        section.fault("algorithms", "fits none of the keys; name the algorithm the issuer uses")
    claim = section.choice("subject_claim", _SUBJECT_CLAIMS, default="sub")
    return TokenTerms(
        issuer=section.text("issuer", what="write the `iss` of its tokens, letter by letter"),
        audience=section.text("audience", what="write the `aud` that stands for this service"),
        algorithms=algorithms,
        subject=section.text(
            "subject", what=f"write what stands in `{claim}` of its tokens", default=identity
        ),
        subject_claim=claim,
        keys=keys,
        jwks_url=url,
        scopes_claim=section.text(
            "scopes_claim", what="name the claim with the token's scopes", default=""
        )
        or None,
        person=_person(section),
        longest=timedelta(minutes=section.whole("longest_minutes", 1, 1440, default=60)),
    )


def _algorithms(section: Section) -> frozenset[str]:
    what = f"list those of {', '.join(ALGORITHMS)} that the issuer uses"
    found = section.texts("algorithms", what=what, required=True, some=True)
    for name in found:
        if name.upper().startswith("HS") or name.lower() == "none":
            section.fault(
                "algorithms",
                f"{shown(name)} is never accepted: whoever can check such a token can make one; "
                f"{what}",
            )
        elif name not in ALGORITHMS:
            section.fault(
                "algorithms", f"{shown(name)} is not accepted{meant(name, ALGORITHMS)}; {what}"
            )
    return frozenset(name for name in found if name in ALGORITHMS)


def _source(section: Section, folder: Path | None) -> tuple[KeySet | None, str | None]:
    """Give the issuer's keys, or the address where they are."""
    given = [name for name in _SOURCES if name in section]
    if len(given) != 1:
        what = f"write one of {', '.join(_SOURCES)}"
        section.fault(
            given[1] if given else "jwks_url",
            f"is there beside {given[0]}; keep one of them" if given else f"is missing; {what}",
        )
        return None, None
    if given == ["jwks_url"]:
        return None, _url(section)
    if given == ["jwks"]:
        return _key_set(section, "jwks", section.get("jwks")), None
    return _file(section, folder), None


def _url(section: Section) -> str:
    what = "write the address of the issuer's keys, as https://login.example/keys"
    text = section.text("jwks_url", what=what)
    if not text:
        return text
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or " " in text or parts.fragment:
        section.fault("jwks_url", f"is not such an address; {what}")
    elif parts.username is not None or parts.password is not None:
        section.fault("jwks_url", "holds a user name or password; keys are public, leave it out")
    elif parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        section.fault(
            "jwks_url",
            "is plain http, so somebody on the way could put in keys of their own; use https",
        )
    return text


def _file(section: Section, folder: Path | None) -> KeySet | None:
    what = "name a JSON file with the issuer's keys (a JSON Web Key Set)"
    name = section.text("jwks_file", what=what)
    if not name:
        return None
    try:
        with ((folder or Path()) / name).open("rb") as file:
            document = json.loads(file.read(_LARGEST_FILE))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or "it is not JSON"
        section.fault("jwks_file", f"cannot be read ({why.lower()}); {what}")
        return None
    return _key_set(section, "jwks_file", document)


def _key_set(section: Section, key: str, document: object) -> KeySet | None:
    try:
        found = keys_in(document)
    except NotAKeySet as error:
        section.fault(key, f"is no JSON Web Key Set: {error}; copy the issuer's")
        return None
    for text in found.set_aside:
        section.fault(key, f"{text}; leave such keys out")
    if not found.keys and not found.set_aside:
        section.fault(key, "holds no key, so no token could be believed; copy the issuer's")
    return found if found.keys else None


def _person(section: Section) -> PersonClaims | None:
    if "person_from_token" not in section:
        return None
    claims = section.section("person_from_token", _PERSON_KEYS, required=True)
    if not claims.readable:
        return None
    what = "name the claim"
    return PersonClaims(
        identifier=claims.text("identifier", what=what),
        name=claims.text("name", what=what, default="") or None,
        role=claims.text("role", what=what, default="") or None,
    )
