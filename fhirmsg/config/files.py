"""Settings that are files: the policies of organisations, and the clients who may call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from fhirmsg.clients import Client
from fhirmsg.clientsfile import parse_clients
from fhirmsg.environment import Variables
from fhirmsg.errors import SettingsError
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.policyfile import parse_policy


def policies(
    variables: Variables,
) -> tuple[dict[str, LocalPolicy], dict[str, LocalPolicy]]:
    """Read the policy files; gives the policies by ODS code and by file."""
    name = "POLICY_FILES"
    what = f"name policy files, with {os.pathsep!r} between them"
    paths = [each for each in variables.text(name, what=what).split(os.pathsep) if each.strip()]
    found: dict[str, LocalPolicy] = {}
    sources: dict[str, LocalPolicy] = {}
    owners: dict[str, str] = {}
    for path in paths:
        content = variables.content(name, path)
        if content is None:
            continue
        try:
            policy = sources[path] = parse_policy(content, folder=Path(path).parent)
        except SettingsError as error:
            variables.faults += [f"{path}: {fault}" for fault in error.faults]
            continue
        for code in sorted(policy.organisations):
            if code in owners:
                variables.faults.append(
                    f"{path}: organisations: {code} has a policy in {owners[code]} too; "
                    "keep it in one file"
                )
            owners[code] = path
            found[code] = policy
    return found, sources


def clients(variables: Variables, policies: Mapping[str, LocalPolicy]) -> tuple[Client, ...]:
    what = "name the clients file (`fhirmsg keys new` prints what goes in)"
    path = variables.text("CLIENTS_FILE", what=what)
    content = variables.content("CLIENTS_FILE", path) if path else None
    if content is None:
        return ()
    try:
        clients = parse_clients(content, folder=Path(path).parent)
    except SettingsError as error:
        variables.faults += [f"{path}: {fault}" for fault in error.faults]
        return ()
    for client in clients:
        for code in sorted(client.organisations - policies.keys()):
            variables.faults.append(
                f"{path}: {client.id}.organisations: {code} is in no policy file that could be "
                "read; add its policy or remove it"
            )
    return clients
