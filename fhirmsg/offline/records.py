"""Record files: FHIR resources as JSON, in any of the forms in which people keep them.

A file holds one resource, a Bundle, a JSON array of resources, or one resource a line (NDJSON).
What of it cannot be read is told and never passed over: it may have been an objection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirmsg.fhir.elements import element, text_of
from fhirmsg.guidance.record import Gap


@dataclass(kw_only=True)
class RecordFiles:
    """What the files hold. `gaps` say what could not be read; `faults` name files of no use."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class _Twice(ValueError):
    pass


def read_records(paths: Iterable[str]) -> RecordFiles:
    """Read record files. Raises nothing: what is wrong stands in the result."""
    found = RecordFiles()
    for path in paths:
        try:
            text = Path(path).read_bytes().decode("utf-8-sig")
        except OSError as error:
            found.faults.append(f"{path}: cannot be read ({error.strerror})")
            continue
        except UnicodeDecodeError as error:
            found.faults.append(f"{path}: is not UTF-8 (at byte {error.start})")
            continue
        _read_text(path, text, found)
    return found


def _read_text(path: str, text: str, found: RecordFiles) -> None:
    before = len(found.resources)
    try:
        values: Iterator[tuple[str, Any]] = iter([("", _json(text))])
    except _Twice:
        found.faults.append(f"{path}: has an object in which a name stands twice")
        return
    except (ValueError, RecursionError):
        values = _lines(text)
    for place, value in values:
        _take(f"{Path(path).name}{place}", value, found)
    if len(found.resources) == before:
        found.faults.append(
            f"{path}: holds no FHIR resource; give a resource, a Bundle, an array of resources, or "
            "one resource a line, as JSON"
        )


_UNREADABLE = object()


def _lines(text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield f" line {number}", _json(line)
            except (ValueError, RecursionError):
                yield f" line {number}", _UNREADABLE


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_no_name_twice)


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _take(place: str, value: Any, found: RecordFiles) -> None:
    """Take the resources of one value; a Bundle and an array are opened."""
    if isinstance(value, list):
        for number, each in enumerate(value, start=1):
            _take(f"{place} entry {number}", each, found)
        return
    kind = text_of(element(value).get("resourceType"))
    if kind == "Bundle":
        _take_bundle(place, value, found)
    elif not kind or not text_of(value.get("id")):
        found.gaps.append(
            Gap(
                sentence=f"{place} could not be read as a FHIR resource with a type and an id, so "
                "what it says is missing."
            )
        )
    else:
        found.resources.append(value)


def _take_bundle(place: str, bundle: dict[str, Any], found: RecordFiles) -> None:
    entries = bundle.get("entry")
    if entries is None:
        return
    if not isinstance(entries, list):
        found.gaps.append(Gap(sentence=f"{place} is a Bundle whose entries could not be read."))
        return
    for number, entry in enumerate(entries, start=1):
        resource = element(entry).get("resource")
        if text_of(element(resource).get("resourceType")) != "OperationOutcome":
            _take(f"{place} entry {number}", resource, found)
    following = [
        link
        for link in bundle.get("link") or ()
        if isinstance(link, dict) and link.get("relation") == "next"
    ]
    if following:
        found.gaps.append(Gap(sentence=f"{place} is one page of a search that has further pages."))
