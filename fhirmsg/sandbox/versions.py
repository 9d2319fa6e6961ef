"""What is kept of a resource each time it changes: its JSON text, number and moment.

Sources: https://hl7.org/fhir/R4/resource.html#Meta; that an update without a label or a tag
keeps those there were, and that a repeated update makes no version, is HAPI's behaviour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .dates import instant
from .errors import BadRequest, Gone
from .r4 import STATUS_CODES, Resource
from .references import without_versions

LABELS = ("security", "tag")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource: its JSON text, or None for the version that deleted it.

    `updated` is in milliseconds since 1970; `method` is the verb that made the version.
    """

    type: str
    id: str
    number: int
    updated: int
    method: str
    body: str | None

    @property
    def address(self) -> str:
        """`Type/id/_history/number`, below the base of the server."""
        return f"{self.type}/{self.id}/_history/{self.number}"

    def text(self) -> str:
        """The resource as JSON. Raises Gone for the version that deleted it."""
        if self.body is None:
            raise Gone(
                f"{self.type}/{self.id} was deleted at {instant(self.updated)}.", self.address
            )
        return self.body


@dataclass(frozen=True, slots=True)
class Written:
    """What a write led to: the version that stands now, and whether the resource is new."""

    version: Version
    created: bool


def content_of(resource: Resource, resource_type: str, id_: str) -> Resource:
    """What of a posted resource is kept: all but the parts of `meta` that the server sets.

    Raises BadRequest for another type, a `meta` that is no object, or an unknown `status` where
    that is checked; any other fault is kept as it came.
    """
    if resource.get("resourceType") != resource_type:
        raise BadRequest(f"The body must be a {resource_type}: see its resourceType.")
    meta = resource.get("meta") or {}
    if not isinstance(meta, dict):
        raise BadRequest(f"{resource_type}.meta is not an object.")
    codes = STATUS_CODES.get(resource_type)
    # As on HAPI an empty status counts as none.
    status = resource.get("status")
    if codes and status and not (isinstance(status, str) and status in codes):
        raise BadRequest(
            f"{resource_type}.status is not one of its codes: {', '.join(sorted(codes))}."
        )
    kept = {name: value for name, value in meta.items() if name not in ("versionId", "lastUpdated")}
    content = {**resource, "resourceType": resource_type, "id": id_, "meta": kept}
    return without_versions(content)


def with_labels_of(content: Resource, before: Resource) -> Resource:
    """The new content with the labels and tags of the old one, which an update only adds to."""
    meta = dict(content["meta"])
    for name in LABELS:
        if labels := _united(before["meta"].get(name), meta.get(name)):
            meta[name] = labels
        else:
            meta.pop(name, None)
    return {**content, "meta": meta}


def _united(before: Any, now: Any) -> list[Any]:
    # The old ones first: an update that repeats them in another order must change nothing.
    labels = list(before) if isinstance(before, list) else []
    for label in now if isinstance(now, list) else []:
        if label not in labels:
            labels.append(label)
    return labels


def body_of(content: Resource, number: int, updated: int) -> str:
    """The JSON text of one version of this content."""
    meta = {"versionId": str(number), "lastUpdated": instant(updated), **content["meta"]}
    head = {"resourceType": content["resourceType"], "id": content["id"], "meta": meta}
    return json.dumps({**head, **content, "meta": meta}, ensure_ascii=False, separators=(",", ":"))


def content_in(body: str) -> Resource:
    """The content that the JSON text of a version was made of."""
    content: Resource = json.loads(body)
    del content["meta"]["versionId"], content["meta"]["lastUpdated"]
    return content
