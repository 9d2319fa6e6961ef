"""References between resources: which must lead somewhere, and how they are rewritten.

Source: https://hl7.org/fhir/R4/references.html; which are checked is HAPI's behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import BadRequest, WrongTarget
from .indexing import values_at
from .parameters import Kind
from .r4 import RELATIVE_REFERENCE, RESOURCE_TYPES, Resource
from .search import OF_TYPE, parameters_of


@dataclass(frozen=True, slots=True)
class Link:
    """A literal reference that must lead to a resource: where it stands, and to what."""

    path: str
    type: str
    id: str


def links_of(resource: Resource) -> set[Link]:
    """The literal references of a resource that the store checks.

    As on HAPI these are the ones that a search parameter covers; other references (`about` of
    a Communication, any in an extension) are taken as they are. For a type that the table does
    not name, every reference outside extensions is checked.

    Raises BadRequest for an absolute reference or one that is none, WrongTarget for a type that
    may not stand there.
    """
    resource_type = resource["resourceType"]
    found = (
        _link(f"{resource_type}.{path}", targets, value)
        for path, targets, value in _checked_references(resource)
        if not value.startswith("#")
    )
    return set(found)


def with_references(resource: Resource, addresses: Mapping[str, str]) -> Resource:
    """A copy with the placeholders of a transaction replaced by the addresses they stand for.

    Raises BadRequest for a `urn:uuid:` that no entry of the transaction has.
    """

    def address(reference: str) -> str:
        if reference.startswith("urn:uuid:") and reference not in addresses:
            raise BadRequest(f"A reference of a {resource['resourceType']} is to no entry here.")
        return addresses.get(reference, reference)

    replaced: Resource = _rewritten(resource, address)
    return replaced


def without_versions(resource: Resource) -> Resource:
    """A copy whose relative references no longer name a version.

    HAPI stores them so everywhere but in `AuditEvent.entity.what`.
    """
    rewritten: Resource = _rewritten(resource, _without_version)
    if resource["resourceType"] == "AuditEvent" and "entity" in resource:
        rewritten["entity"] = resource["entity"]
    return rewritten


def _without_version(reference: str) -> str:
    found = RELATIVE_REFERENCE.fullmatch(reference)
    return f"{found['type']}/{found['id']}" if found else reference


def _rewritten(node: Any, change: Callable[[str], str]) -> Any:
    if isinstance(node, list):
        return [_rewritten(item, change) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: change(value)
        if name == "reference" and isinstance(value, str)
        else _rewritten(value, change)
        for name, value in node.items()
    }


def _checked_references(resource: Resource) -> Iterator[tuple[str, frozenset[str], str]]:
    """(path, allowed types, reference) of each reference that is checked."""
    if resource["resourceType"] not in OF_TYPE:
        for written_at, value in _every_reference(resource, ""):
            yield written_at, frozenset(), value
        return
    for parameter in parameters_of(resource["resourceType"]).values():
        # One that keeps a single type covers a path that another covers in full.
        if parameter.kind is Kind.REFERENCE and parameter.only is None:
            for path in parameter.paths:
                for value in values_at(resource, (*path, "reference")):
                    if isinstance(value, str) and value:
                        yield ".".join(path), parameter.targets, value


def _every_reference(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _every_reference(item, path)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "reference" and isinstance(value, str):
                yield path, value
            elif name not in ("contained", "extension"):
                yield from _every_reference(value, f"{path}.{name}".lstrip("."))


def _link(path: str, targets: frozenset[str], value: str) -> Link:
    if value.startswith(("http://", "https://")):
        raise BadRequest(
            f"{path} is an absolute reference, and this store keeps relative ones only:"
            " write Type/id."
        )
    found = RELATIVE_REFERENCE.fullmatch(value)
    if not found or found["type"] not in RESOURCE_TYPES:
        raise BadRequest(f"{path} is not a reference to a resource: write Type/id.")
    if targets and found["type"] not in targets:
        raise WrongTarget(f"{path} may not refer to a {found['type']}.")
    return Link(path, found["type"], found["id"])
