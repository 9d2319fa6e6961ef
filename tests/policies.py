"""Policy files to read: a right one, with parts to change."""

from __future__ import annotations

import pytest

from fhirmsg.errors import SettingsError
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.policyfile import parse_policy

HEAD = """
version: v1
organisations: [A12345]
name: Example Surgery
roles: {approve_overrides: [Caldicott Guardian]}
"""
PLATFORMS = """
platforms:
  texts:
    provider: outbox
    channels: [sms, email]
    approved: {from: 2025-01-01, until: null}
    fallbacks: []
    notifies_by: []
"""


def policy(text: str = "", *, head: str = HEAD, platforms: str = PLATFORMS) -> LocalPolicy:
    return parse_policy(f"{head}{platforms}{text}".encode())


def faults(text: str = "", *, head: str = HEAD, platforms: str = PLATFORMS) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        policy(text, head=head, platforms=platforms)
    return caught.value.faults


def platform(**changes: str) -> str:
    """Give the register with one platform; a change to "" leaves the key out."""
    keys = {"provider": "outbox", "channels": "[sms]", "fallbacks": "[]", "notifies_by": "[]"}
    lines = (f"\n    {key}: {value}" for key, value in {**keys, **changes}.items() if value)
    return f"\nplatforms:\n  texts:{''.join(lines)}\n"
