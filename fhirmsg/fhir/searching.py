"""A search read to its last page, with every reason to distrust it written down.

https://hl7.org/fhir/R4/search.html. What fails here becomes a `Gap`, never silence: a missing
page or an ignored filter can hide an objection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.elements import element, elements, text_of
from fhirmsg.fhir.source import FhirSource
from fhirmsg.guidance.record import Gap

MAX_PAGES = 200

# What a server says beside its matches when some of them are kept back (OperationOutcome).
_SEVERE = frozenset({"error", "fatal"})
_KEPT_FROM_US = frozenset({"suppressed", "forbidden", "security"})
_NOT_WHOLE = frozenset({"incomplete", "throttled", "timeout"})


@dataclass(kw_only=True)
class Found:
    """What a search gave: resources of the kind asked for, and the gaps in it.

    blind: signs that Consents are kept from us; of other kinds that is a gap like any other.
    """

    resources: list[Resource] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    blind: list[Gap] = field(default_factory=list)


def read_all_pages(
    client: FhirSource, first: FhirAnswer, *, kind: str, filtered_by: str | None, deadline: Deadline
) -> Found:
    """Take a search answer and follow it to the end.

    kind: resource type searched. filtered_by: the parameter that must not have been ignored; None
    for a posted search, whose self link says nothing of it.
    Never raises; every failure is a gap.
    """
    found = Found()
    answer, matches, total, seen = first, set[str](), None, set[str]()
    for page in range(1, MAX_PAGES + 1):
        bundle = answer.resource or {}
        if answer.status != 200 or bundle.get("type") != "searchset":
            found.gaps.append(
                _gap(f"Page {page} of the {kind} search answered {answer.status or 'nothing'}")
            )
            return found
        if answer.age > 0:
            found.gaps.append(_gap(f"The {kind} search was answered from a cache"))
        if page == 1 and filtered_by is not None and _filter_was_ignored(bundle, filtered_by):
            found.gaps.append(_gap(f"The {kind} search ignored its {filtered_by} filter"))
        _take_page(bundle, kind, found, matches)
        stated = bundle.get("total")
        total = stated if isinstance(stated, int) else total
        link = next_link(bundle)
        if link is None:
            if total is not None and total != len(matches):
                found.gaps.append(
                    _gap(f"The {kind} search gave {len(matches)} of the {total} entries it counts")
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
        if kind in answer.hidden:
            found.blind.append(hidden_sign(kind))
    found.gaps.append(_gap(f"The {kind} search has more than {MAX_PAGES} pages"))
    return found


def hidden_sign(kind: str) -> Gap:
    """Give the sign that the access token does not open everything of a kind."""
    return Gap(
        sentence=f"The access token does not open every {kind} to this service, so what says no "
        f"may be hidden. Have system/{kind}.rs granted to it."
    )


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
        try:
            asked = parse_qs(urlsplit(text_of(link.get("url"))).query)
        except ValueError:
            return True
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


def _take_page(bundle: Resource, kind: str, found: Found, matches: set[str]) -> None:
    """Take the matches of one page, and name in `matches` each entry that claims to be one.

    One that comes twice counts once: where pages shift while they are read, it stands in the place
    of one that is then missing.
    """
    entries = bundle.get("entry")
    if entries is None:
        return
    if not isinstance(entries, list):
        found.gaps.append(_gap(f"A page of the {kind} search has no readable entries"))
        return
    for entry in entries:
        mode = text_of(element(element(entry).get("search")).get("mode"))
        resource = element(entry).get("resource")
        outcome = element(resource).get("resourceType") == "OperationOutcome"
        if outcome:
            _take_outcome(element(resource), kind, found)
        if mode in ("outcome", "include"):
            continue
        if not isinstance(resource, dict) or resource.get("resourceType") != kind:
            found.gaps.append(_gap(f"An entry of the {kind} search is no {kind}"))
            if not outcome:
                matches.add(f"entry {len(matches)}")
            continue
        id_ = text_of(resource.get("id"))
        if not id_:
            found.gaps.append(_gap(f"An entry of the {kind} search has no id"))
        matches.add(f"{kind}/{id_}" if id_ else f"entry {len(matches)}")
        found.resources.append(resource)


def says_something_is_missing(outcome: Resource) -> bool:
    """Tell whether an OperationOutcome says that something failed, is cut short or kept back."""
    return any(
        text_of(issue.get("severity")) in _SEVERE
        or text_of(issue.get("code")) in _KEPT_FROM_US | _NOT_WHOLE
        for issue in elements(outcome.get("issue"))
    )


def _take_outcome(outcome: Resource, kind: str, found: Found) -> None:
    issues = elements(outcome.get("issue"))
    stated = {text_of(issue.get("code")) for issue in issues}
    kept = bool(stated & _KEPT_FROM_US)
    severe = any(text_of(issue.get("severity")) in _SEVERE for issue in issues)
    if kept and kind == "Consent":
        found.blind.append(
            Gap(
                sentence="The server says that it keeps Consents from this service, so an "
                "objection may be hidden. Have the service's access checked."
            )
        )
    if severe or stated & _NOT_WHOLE or (kept and kind != "Consent"):
        found.gaps.append(_gap(f"The {kind} search says that it is not complete"))
