"""The policy file: one organisation's decisions in YAML, read into a LocalPolicy.

A key that is not acted on is a fault: a rule that somebody wrote down and nobody applies would be
worse than none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fhirmsg.errors import SettingsError
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.policyfile import keys
from fhirmsg.policyfile.decisions import (
    acceptable_bases,
    devices,
    forbidden_content,
    link_hosts,
    review_ages,
    review_by_code,
    sensitive_services,
)
from fhirmsg.policyfile.lexicons import lexicon_named, packaged_lexicon
from fhirmsg.policyfile.platforms import default_platforms, register
from fhirmsg.policyfile.values import channels_in_order, ods_codes, zone
from fhirmsg.yamlfile import Section, read_yaml

__all__ = ["ods_codes", "parse_policy", "read_policy"]


def read_policy(path: str | Path) -> LocalPolicy:
    """Read a policy file. Raises OSError, or SettingsError with every fault in it."""
    return parse_policy(Path(path).read_bytes(), folder=Path(path).parent)


def parse_policy(data: bytes, *, folder: str | Path = ".") -> LocalPolicy:
    """Read the bytes of a policy file. Raises SettingsError with every fault in them.

    `folder` is where the file stands: a lexicon that it names is looked for from there. The
    policy's sha256 is that of these bytes. With a lexicon of its own it is the SHA-256 of two
    digests in hex, one behind the other: that of these bytes and that of the lexicon's.
    """
    faults: list[str] = []
    document = read_yaml(data, faults)
    if document is None and faults:
        raise SettingsError(faults)
    top = Section(document, "", faults, keys=keys.TOP)
    roles = top.section("roles", keys.ROLES, required=True)
    platforms = register(top)
    default_platform = default_platforms(top, platforms)
    order = channels_in_order(
        top, "fallback_order", "list the channels that may be tried next, or []"
    )
    forbidden = forbidden_content(top)
    proxies = top.section("proxies", keys.PROXIES, required=False)
    objections = top.section("objections", keys.OBJECTIONS, required=False)
    record = top.section("record", keys.RECORD, required=False)
    own_lexicon = lexicon_named(top, Path(folder))
    policy = LocalPolicy(
        version=top.text("version", what="name this version of the policy, a date for instance"),
        sha256=_digest(data, None if own_lexicon is None else own_lexicon.data),
        organisations=ods_codes(top),
        name=top.text("name", what="write the organisation's name as patients know it"),
        zone=zone(top),
        approve_overrides=frozenset(
            roles.texts(
                "approve_overrides",
                what="list the roles that may approve an override",
                required=True,
                some=True,
            )
        ),
        review=frozenset(
            roles.texts("review", what="list the roles that may review", required=False)
        ),
        review_by_code=review_by_code(roles),
        platforms=platforms,
        default_platform=default_platform,
        fallback_order=order,
        forbidden=forbidden,
        accept_unlisted_bases=acceptable_bases(proxies),
        accept_access_roles=proxies.flag("accept_access_roles", default=False),
        parental_review_ages=review_ages(proxies),
        require_capacity_record=proxies.flag("require_capacity_record", default=False),
        individual_check_days=proxies.whole("individual_check_days", 1, 3650, default=180),
        read_flags=objections.flag("read_flags", default=True),
        read_communication_requests=objections.flag("read_communication_requests", default=True),
        record_copy=record.choice("content", {"copy": True, "summary": False}, default=True),
        record_refusals=record.flag("record_refusals", default=False),
        hold_tasks=record.flag("hold_tasks", default=True),
        devices=devices(top),
        freshness_seconds=top.number("freshness_seconds", 1, 300, default=30.0),
        repeat_window_hours=top.number("repeat_window_hours", 0, 720, default=24.0),
        link_hosts=link_hosts(top),
        sensitive_services=sensitive_services(top),
        lexicon=packaged_lexicon() if own_lexicon is None else own_lexicon.lexicon,
    )
    if faults:
        raise SettingsError(faults)
    return policy


def _digest(data: bytes, lexicon: bytes | None) -> str:
    own = hashlib.sha256(data).hexdigest()
    if lexicon is None:
        return own
    return hashlib.sha256(f"{own}{hashlib.sha256(lexicon).hexdigest()}".encode()).hexdigest()
