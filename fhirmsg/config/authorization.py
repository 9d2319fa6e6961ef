"""Settings by which this service proves to other servers who it is."""

from __future__ import annotations

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fhirmsg.config.addresses import checked_url, is_plain_allowed
from fhirmsg.environment import PREFIX, Variables
from fhirmsg.fhir.scopes import DEFAULT_SCOPES
from fhirmsg.tokens import ClientCredentials, PrivateKey

_FEWEST_RSA_BITS = 2048
_KEY_FOR = {"RS384": "RSA", "RS512": "RSA", "ES384": "P-384"}
_NHS_ALGORITHM = "RS512"

# What an authorization server calls a client and a key, and its scopes (RFC 6749, appendix A).
_NAME = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?")
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
_ODS_CODE = re.compile(r"[A-Z0-9]{3,12}")

# Each kind of authorization towards the FHIR server, with the algorithm that it begins with.
_KINDS = {"none": "", "smart": "RS384", "nhs": _NHS_ALGORITHM}


def fhir_authorization(variables: Variables, base_url: str) -> ClientCredentials | None:
    """Read who this service is to the FHIR server at `base_url`, None when it proves nothing."""
    kind = variables.choice("FHIR_AUTH", {each: each for each in _KINDS}, "none")
    algorithm = variables.choice(
        "FHIR_ALGORITHM", {each: each for each in _KEY_FOR}, _KINDS[kind], str.upper
    )
    scopes = variables.text("FHIR_SCOPES", default="", what="write scopes with blanks between")
    found = _credentials(variables, "FHIR_", algorithm or "RS384", needed=kind != "none")
    token_url = _token_url(variables, "FHIR_", needed=kind == "nhs")
    if kind == "none":
        names = ("ALGORITHM", "SCOPES", "CLIENT_ID", "PRIVATE_KEY", "PRIVATE_KEY_FILE")
        for name in (*names, "KEY_ID", "TOKEN_URL"):
            if f"FHIR_{name}" in variables:
                variables.fault(
                    f"FHIR_{name}", f"is set without {PREFIX}FHIR_AUTH; write smart or nhs there"
                )
                break
        return None
    if kind == "nhs" and algorithm != _NHS_ALGORITHM:
        variables.fault("FHIR_ALGORITHM", f"does not go with nhs; write {_NHS_ALGORITHM}")
    if kind == "nhs" and scopes:
        variables.fault("FHIR_SCOPES", "does not go with nhs, which is asked for none; remove it")
    if scopes and not _SCOPES.fullmatch(scopes):
        variables.fault("FHIR_SCOPES", "is not right; write scopes with one blank between them")
    if found is None:
        return None
    client_id, key, key_id = found
    return ClientCredentials(
        client_id=client_id,
        key=key,
        key_id=key_id,
        algorithm=algorithm,
        token_url=token_url,
        base_url=base_url,
        scope=(scopes or DEFAULT_SCOPES) if kind == "smart" else None,
        plain_allowed=is_plain_allowed(variables),
    )


def end_user_organisation(variables: Variables) -> str | None:
    """Read the ODS code that NHS APIs want to be told."""
    name, what = "FHIR_END_USER_ORGANISATION", "write an ODS code, as A12345"
    code = variables.text(name, default="", what=what).upper()
    if code and not _ODS_CODE.fullmatch(code):
        variables.fault(name, f"is not right; {what}")
    return code or None


def nhs_token_source(variables: Variables, prefix: str) -> ClientCredentials | None:
    """Read who this service is to an API of the NHS platform, None when nothing of it is set.

    prefix: of the variables, as `NHS_NOTIFY_`.
    """
    names = ("CLIENT_ID", "PRIVATE_KEY", "PRIVATE_KEY_FILE", "KEY_ID", "TOKEN_URL")
    wanted = any(f"{prefix}{name}" in variables for name in names)
    found = _credentials(variables, prefix, _NHS_ALGORITHM, needed=wanted)
    token_url = _token_url(variables, prefix, needed=wanted)
    if found is None:
        return None
    client_id, key, key_id = found
    return ClientCredentials(
        client_id=client_id,
        key=key,
        key_id=key_id,
        algorithm=_NHS_ALGORITHM,
        token_url=token_url,
    )


def _credentials(
    variables: Variables, prefix: str, algorithm: str, *, needed: bool
) -> tuple[str, PrivateKey, str] | None:
    """Read id, key and key id; None when any of them is wrong or nothing is needed."""
    wants = "write it as it is registered"
    names = {}
    for name in ("CLIENT_ID", "KEY_ID"):
        names[name] = variables.text(f"{prefix}{name}", default=None if needed else "", what=wants)
        if names[name] and not _NAME.fullmatch(names[name]):
            variables.fault(f"{prefix}{name}", f"is not right; {wants}")
    key = _private_key(variables, f"{prefix}PRIVATE_KEY", algorithm, needed=needed)
    if not needed or key is None:
        return None
    return names["CLIENT_ID"], key, names["KEY_ID"]


def _token_url(variables: Variables, prefix: str, *, needed: bool) -> str | None:
    name, what = f"{prefix}TOKEN_URL", "write the token URL, as https://auth.example/oauth2/token"
    text = variables.text(name, default=None if needed else "", what=what)
    return checked_url(variables, name, text, what) or None


def _private_key(
    variables: Variables, name: str, algorithm: str, *, needed: bool
) -> PrivateKey | None:
    kind = _KEY_FOR[algorithm]
    size = f"RSA of {_FEWEST_RSA_BITS} bits or more" if kind == "RSA" else f"EC {kind}"
    what = f"give a private key in PEM, without a password ({size} for {algorithm})"
    text = variables.secret(name, what=what)
    if text is None:
        if needed and name not in variables and f"{name}_FILE" not in variables:
            variables.fault(name, f"is not set; {what}")
        return None
    shown = name if name in variables else f"{name}_FILE"
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        variables.fault(shown, f"is not a private key that can be read; {what}")
        return None
    if kind == "RSA" and isinstance(key, RSAPrivateKey):
        if key.key_size >= _FEWEST_RSA_BITS:
            return key
        variables.fault(shown, f"is an RSA key of {key.key_size} bits, which is weak; {what}")
        return None
    if kind == "P-384" and isinstance(key, EllipticCurvePrivateKey):
        if isinstance(key.curve, SECP384R1):
            return key
        variables.fault(shown, f"is an EC key on another curve; {what}")
        return None
    variables.fault(shown, f"is a key of another kind than {algorithm} signs with; {what}")
    return None
