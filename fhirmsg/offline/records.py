"""Record files: FHIR resources as JSON, in any of the forms in which people keep them.

A file holds one resource, a Bundle, a JSON array of resources, Parameters, or one resource a line
(NDJSON). What of it cannot be read is told and never passed over: it may have been an objection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirmsg.fhir.codes import RESOURCES
from fhirmsg.fhir.elements import element, elements, instant_of, text_of, version_of
from fhirmsg.fhir.searching import says_something_is_missing
from fhirmsg.guidance.record import Gap
from fhirmsg.offline.references import Bases, resolved

# What may speak for or against a message, and is not looked for inside other resources.
_BEARING = frozenset({"Consent", "Flag", "CommunicationRequest", "RelatedPerson", "Patient"})
_PEOPLE = frozenset({"RelatedPerson", "Patient"})


@dataclass(kw_only=True)
class RecordFiles:
    """What the files hold: each resource once, in its newest version.

    gaps: what could not be read. faults: files of no use. bases: what absolute references in them
    begin with.
    """

    resources: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    bases: Bases = field(default_factory=Bases)

    def miss(self, sentence: str) -> None:
        """Note that something could not be read."""
        self.gaps.append(Gap(sentence=sentence))


class _Twice(ValueError):
    pass


_UNREADABLE = object()


def read_records(paths: Iterable[str]) -> RecordFiles:
    """Read record files. Raises nothing: what is wrong stands in the result."""
    found = RecordFiles()
    for path in paths:
        try:
            text = Path(path).read_bytes().decode("utf-8-sig")
        except OSError as error:
            found.faults.append(f"{path}: cannot be read ({error.strerror})")
        except UnicodeDecodeError as error:
            found.faults.append(f"{path}: is not UTF-8 (at byte {error.start})")
        else:
            _read_text(path, text, found)
    found.resources = _newest(found)
    return found


def _read_text(path: str, text: str, found: RecordFiles) -> None:
    try:
        values: list[tuple[str, Any]] = [("", _json(text))]
    except _Twice:
        found.faults.append(f"{path}: has an object in which a name stands twice")
        return
    except (ValueError, RecursionError):
        values = list(_lines(text))
    if not any(_is_record(value) for _, value in values):
        found.faults.append(
            f"{path}: holds no FHIR resource; give a resource, a Bundle, an array of resources, or "
            "one resource a line, as JSON"
        )
        return
    for place, value in values:
        _take(f"{Path(path).name}{place}", value, found)


def _is_record(value: Any) -> bool:
    return isinstance(value, list) or bool(text_of(element(value).get("resourceType")))


def _lines(text: str) -> Iterator[tuple[str, Any]]:
    # A line ends at a line feed alone: other separators may stand inside of JSON's texts.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f" line {number}", _json(line)
            except (ValueError, RecursionError):
                yield f" line {number}", _UNREADABLE


def _json(text: str) -> Any:
    value = json.loads(text, object_pairs_hook=_no_name_twice)
    # Half of a character that takes two can be written in JSON, and in nothing else.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _take(place: str, value: Any, found: RecordFiles) -> None:
    """Take the resources of one value; what holds others is opened."""
    if isinstance(value, list):
        for number, each in enumerate(value, start=1):
            _take(f"{place} entry {number}", each, found)
        return
    kind = text_of(element(value).get("resourceType"))
    if kind == "Bundle":
        _take_bundle(place, value, found)
    elif kind == "Parameters":
        _take_parameters(f"{place} parameter", value.get("parameter"), found)
    elif kind == "OperationOutcome":
        if says_something_is_missing(value):
            found.miss(f"{place} says that something is missing or was kept back.")
    elif kind not in RESOURCES or value.get("resourceType") != kind or not text_of(value.get("id")):
        found.miss(
            f"{place} could not be read as a FHIR resource with a type and an id, so what it says "
            "is missing."
        )
    else:
        # Those whom a Consent names may stand inside it.
        inside = {text_of(each.get("resourceType")) for each in elements(value.get("contained"))}
        if inside & (_BEARING - _PEOPLE if kind == "Consent" else _BEARING):
            found.miss(f"{place} holds resources inside it, which are not opened.")
        found.resources.append(resolved(value, {}))


def _take_parameters(place: str, parameters: Any, found: RecordFiles) -> None:
    """Take the resources of a list of parameters, and of the parts they are made of."""
    if parameters is None:
        return
    if not isinstance(parameters, list):
        found.miss(f"{place} could not be read as a list.")
        return
    for each in parameters:
        if not isinstance(each, dict):
            found.miss(f"{place} holds something that could not be read.")
            continue
        if "resource" in each:
            _take(place, each["resource"], found)
        _take_parameters(f"{place} part", each.get("part"), found)


def _take_bundle(place: str, bundle: dict[str, Any], found: RecordFiles) -> None:
    entries = bundle.get("entry")
    if entries is not None and not isinstance(entries, list):
        found.miss(f"{place} is a Bundle whose entries could not be read.")
        return
    names: dict[str, str] = {}
    for entry in elements(entries):
        _name_entry(entry, names, found.bases)
    matches = 0
    for number, entry in enumerate(entries or (), start=1):
        resource = element(entry).get("resource")
        if text_of(element(element(entry).get("search")).get("mode")) in ("", "match"):
            matches += 1
        _take(f"{place} entry {number}", resolved(resource, names), found)
    if any(text_of(link.get("relation")) == "next" for link in elements(bundle.get("link"))):
        found.miss(f"{place} is one page of a search that has further pages.")
    total = bundle.get("total")
    if text_of(bundle.get("type")) == "searchset" and total is not None and total != matches:
        found.miss(f"{place} is a search that counts other entries than it holds.")


def _name_entry(entry: dict[str, Any], names: dict[str, str], bases: Bases) -> None:
    """Note under which full URL others in the Bundle refer to an entry."""
    url, resource = text_of(entry.get("fullUrl")), element(entry.get("resource"))
    kind = text_of(resource.get("resourceType"))
    if not url or not kind:
        return
    if url.startswith("urn:") and not text_of(resource.get("id")):
        # In a transaction it gets its id from the server; here it keeps what it is called by.
        resource["id"] = url.rpartition(":")[2]
    reference = f"{kind}/{text_of(resource.get('id'))}"
    names[url] = reference
    if url.endswith(f"/{reference}"):
        bases.add(url[: -len(reference) - 1])


def _newest(found: RecordFiles) -> list[dict[str, Any]]:
    """Give each resource once: of several versions the newest, whatever their order."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for each in found.resources:
        versions.setdefault(version_of(each).reference, []).append(each)
    newest = {reference: max(given, key=_age) for reference, given in versions.items()}
    for reference, given in sorted(versions.items()):
        last = newest[reference]
        if any(each != last and not _is_surely_older(each, last) for each in given):
            kind = reference.partition("/")[0]
            found.miss(f"A {kind} is there twice, and nothing tells which is the newer one.")
    return list(newest.values())


def _is_surely_older(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether both say, in the same way, which of them is the newer one: the other."""
    (number, changed), (other_number, other_changed) = _age(one), _age(other)
    if number >= 0 and other_number >= 0 and number != other_number:
        return number < other_number
    alike = (number >= 0) == (other_number >= 0)
    return alike and _NEVER < changed < other_changed


_NEVER = float("-inf")


def _age(resource: dict[str, Any]) -> tuple[int, float]:
    version = version_of(resource)
    number = version.version_id or ""
    changed = instant_of(version.last_updated)
    return (
        int(number) if number.isdecimal() else -1,
        changed.timestamp() if changed is not None else _NEVER,
    )
