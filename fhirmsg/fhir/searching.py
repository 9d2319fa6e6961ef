"""A search read to its last page, with every reason to distrust it written down.

https://hl7.org/fhir/R4/search.html. What fails here becomes a `Gap`, never silence: a missing
page or an ignored filter can hide an objection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.elements import element, elements, text_of
from fhirmsg.guidance.record import Gap

MAX_PAGES = 200


@dataclass(kw_only=True)
class Found:
    """What a search gave: resources of the kind asked for, and the gaps in it."""

    resources: list[Resource] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def read_all_pages(
    client: FhirClient, first: FhirAnswer, *, kind: str, filtered_by: str, deadline: Deadline
) -> Found:
    """Take a search answer and follow it to the end.

    kind: resource type searched. filtered_by: the parameter that must not have been ignored.
    Never raises; every failure is a gap.
    """
    found = Found()
    answer, matches, total, seen = first, 0, None, set[str]()
    for page in range(1, MAX_PAGES + 1):
        bundle = answer.resource or {}
        if answer.status != 200 or bundle.get("type") != "searchset":
            found.gaps.append(
                _gap(f"Page {page} of the {kind} search answered {answer.status or 'nothing'}")
            )
            return found
        if answer.age > 0:
            found.gaps.append(_gap(f"The {kind} search was answered from a cache"))
        if page == 1 and _filter_was_ignored(bundle, filtered_by):
            found.gaps.append(_gap(f"The {kind} search ignored its {filtered_by} filter"))
        matches += _take_page(bundle, kind, found)
        stated = bundle.get("total")
        total = stated if isinstance(stated, int) else total
        link = next_link(bundle)
        if link is None:
            if total is not None and total != matches:
                found.gaps.append(
                    _gap(f"The {kind} search gave {matches} of the {total} entries it counts")
                )
            return found
        if link in seen:
            found.gaps.append(_gap(f"The pages of the {kind} search go round in a circle"))
            return found
        seen.add(link)
        try:
            answer = client.follow(link, deadline=deadline)
        except RecordUnavailable:
            found.gaps.append(_gap(f"Page {page + 1} of the {kind} search could not be read"))
            return found
    found.gaps.append(_gap(f"The {kind} search has more than {MAX_PAGES} pages"))
    return found


def _gap(what: str) -> Gap:
    return Gap(
        sentence=f"{what}, so what the record says may be missing. Nothing is decided on part "
        "of a record; try again."
    )


def _filter_was_ignored(bundle: Resource, parameter: str) -> bool:
    """Tell whether the self link shows a search without our filter; a paged one is opaque."""
    for link in elements(bundle.get("link")):
        if link.get("relation") != "self" or not text_of(link.get("url")):
            continue
        asked = parse_qs(urlsplit(text_of(link.get("url"))).query)
        if "_getpages" in asked:
            return False
        # An empty value is left out by parse_qs: a filter on nothing is no filter.
        return not any(name.partition(":")[0] == parameter for name in asked)
    return False


def next_link(bundle: Resource) -> str | None:
    """Give the link to the next page of a searchset, None on the last one."""
    for link in elements(bundle.get("link")):
        if link.get("relation") == "next" and text_of(link.get("url")):
            return text_of(link.get("url"))
    return None


def _take_page(bundle: Resource, kind: str, found: Found) -> int:
    """Take the matches of one page; gives how many entries claim to be matches."""
    entries = bundle.get("entry")
    if entries is None:
        return 0
    if not isinstance(entries, list):
        found.gaps.append(_gap(f"A page of the {kind} search has no readable entries"))
        return 0
    matches = 0
    for entry in entries:
        mode = text_of(element(element(entry).get("search")).get("mode"))
        if mode in ("outcome", "include"):
            continue
        matches += 1
        resource = element(entry).get("resource")
        if not isinstance(resource, dict) or resource.get("resourceType") != kind:
            if element(resource).get("resourceType") == "OperationOutcome" and not mode:
                matches -= 1
            found.gaps.append(_gap(f"An entry of the {kind} search is no {kind}"))
            continue
        if not text_of(resource.get("id")):
            found.gaps.append(_gap(f"An entry of the {kind} search has no id"))
        found.resources.append(resource)
    return matches
