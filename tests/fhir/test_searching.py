"""A search read to its end: what is missing or doubtful becomes a gap, and never silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.clock import Deadline
from fhirmsg.fhir.client import FhirAnswer, FhirClient, FhirServer
from fhirmsg.fhir.searching import MAX_PAGES, Found, next_link, read_all_pages
from fhirmsg.http import make_session
from tests.fhir.resources import BASE, a_consent_resource, bundle_of
from tests.fhir.strategies import json_values

SELF = f"{BASE}/Consent?_count=100&_total=accurate&patient=Patient%2Famara"


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def a_page(*consents: Any, following: int | None = None, **changes: Any) -> dict[str, Any]:
    """Give a page with these Consents, given by id or whole; `following` numbers the next one."""
    links = [{"relation": "self", "url": SELF}]
    if following is not None:
        links.append({"relation": "next", "url": page_url(following)})
    resources = [
        a_consent_resource(id=each) if isinstance(each, str) else each for each in consents
    ]
    return bundle_of("searchset", *resources, **{"link": links, **changes})


def page_url(number: int) -> str:
    return f"{BASE}?_getpages=1&page={number}"


def read(
    first: object, *, filtered_by: str | None = "patient", kind: str = "Consent", **answer: Any
) -> Found:
    """Read the search that begins with this page."""
    client = FhirClient(FhirServer(base_url=BASE), make_session())
    return read_all_pages(
        client,
        FhirAnswer(**{"status": 200, "resource": first, **answer}),
        kind=kind,
        filtered_by=filtered_by,
        deadline=Deadline(20),
    )


def ids(found: Found) -> list[str]:
    return [consent["id"] for consent in found.resources]


def test_all_pages_are_read(web: responses.RequestsMock) -> None:
    web.get(page_url(2), json=a_page("c", "d", following=3))
    web.get(page_url(3), json=a_page("e", total=5))
    found = read(a_page("a", "b", following=2))
    assert ids(found) == ["a", "b", "c", "d", "e"]
    assert found.gaps == []


def test_no_matches_are_no_gap() -> None:
    empty = a_page(total=0)
    del empty["entry"]
    assert read(empty) == Found()


@pytest.mark.parametrize("status", [400, 403, 404, 410, 500])
def test_a_page_that_cannot_be_read_is_a_gap_and_loses_nothing_else(
    web: responses.RequestsMock, status: int
) -> None:
    web.get(page_url(2), status=status)
    found = read(a_page("a", following=2))
    assert ids(found) == ["a"]
    assert "Page 2" in found.gaps[0].sentence
    assert str(status) in found.gaps[0].sentence


def test_a_page_in_html_is_a_gap(web: responses.RequestsMock) -> None:
    web.get(page_url(2), body="<html>")
    assert len(read(a_page("a", following=2)).gaps) == 1


def test_a_first_page_that_failed_is_a_gap() -> None:
    for status in (0, 400, 500):
        assert len(read(None, status=status).gaps) == 1


@pytest.mark.parametrize("kind", ["collection", "history", None, ["searchset"]])
def test_a_bundle_of_another_kind_is_a_gap(kind: object) -> None:
    assert len(read(a_page("a", type=kind)).gaps) == 1


@pytest.mark.parametrize("total", [0, 1, 3])
def test_another_number_than_the_server_counts_is_a_gap(total: int) -> None:
    assert len(read(a_page("a", "b", total=total)).gaps) == 1


def test_one_that_comes_twice_stands_in_the_place_of_one_that_is_missing(
    web: responses.RequestsMock,
) -> None:
    web.get(page_url(2), json=a_page("b", "c", total=4))
    assert len(read(a_page("a", "b", following=2)).gaps) == 1


def test_pages_that_go_round_in_a_circle_are_a_gap(web: responses.RequestsMock) -> None:
    web.get(page_url(2), json=a_page("b", following=3))
    web.get(page_url(3), json=a_page("c", following=2))
    found = read(a_page("a", following=2))
    assert ids(found) == ["a", "b", "c"]
    assert "circle" in found.gaps[0].sentence


def test_pages_without_an_end_are_a_gap(web: responses.RequestsMock) -> None:
    for number in range(2, MAX_PAGES + 2):
        web.get(page_url(number), json=a_page(str(number), following=number + 1))
    found = read(a_page("1", following=2))
    assert len(found.resources) == MAX_PAGES
    assert len(found.gaps) == 1


@pytest.mark.parametrize(
    "link", ["https://elsewhere.example/fhir?page=2", "http://[", "https://\u2100/", "\x00"]
)
def test_a_next_link_that_leads_elsewhere_is_a_gap_and_not_opened(link: str) -> None:
    page = a_page("a")
    page["link"].append({"relation": "next", "url": link})
    found = read(page)
    assert ids(found) == ["a"]
    assert len(found.gaps) == 1


# --- a filter that was ignored -----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/Consent",
        f"{BASE}/Consent?_count=100",
        f"{BASE}/Consent?patient=&_count=100",
        f"{BASE}/Consent?_has:patient=1",
        "http://[",
    ],
)
def test_a_self_link_without_our_filter_is_a_gap(url: str) -> None:
    found = read(a_page("a", link=[{"relation": "self", "url": url}]))
    assert "filter" in found.gaps[0].sentence


@pytest.mark.parametrize(
    "link",
    [
        [{"relation": "self", "url": f"{BASE}/Consent?patient%3APatient=amara"}],
        [{"relation": "self", "url": f"{BASE}/Consent?patient:Patient=amara"}],
        [{"relation": "self", "url": f"{BASE}?_getpages=1&_getpagesoffset=0"}],
        [],
        None,
    ],
)
def test_a_self_link_that_shows_our_filter_or_cannot_is_no_gap(link: object) -> None:
    assert read(a_page("a", link=link)).gaps == []


def test_the_self_link_of_a_posted_search_is_not_looked_at() -> None:
    page = a_page("a", link=[{"relation": "self", "url": f"{BASE}/Consent/_search"}])
    assert read(page, filtered_by=None).gaps == []


# --- caches ------------------------------------------------------------------------------------


def test_a_page_from_a_cache_is_a_gap(web: responses.RequestsMock) -> None:
    assert len(read(a_page("a"), age=1.0).gaps) == 1
    web.get(page_url(2), json=a_page("b"), headers={"Age": "7"})
    assert len(read(a_page("a", following=2)).gaps) == 1


# --- entries -----------------------------------------------------------------------------------


def an_outcome(severity: str = "information", code: str = "informational") -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}


@pytest.mark.parametrize("resource", [None, 7, [], {}, {"resourceType": "Patient", "id": "1"}])
def test_an_entry_that_is_no_consent_is_a_gap_and_loses_nothing_else(resource: object) -> None:
    found = read(a_page("a", resource, "b", total=3))
    assert ids(found) == ["a", "b"]
    assert len(found.gaps) == 1


@pytest.mark.parametrize("entry", [None, "banana", 7, [], {"resource": "banana"}])
def test_an_entry_that_is_no_entry_is_a_gap(entry: object) -> None:
    page = a_page("a")
    page["entry"].append(entry)
    found = read(page)
    assert ids(found) == ["a"]
    assert len(found.gaps) == 1


def test_entries_that_are_no_list_are_a_gap() -> None:
    assert len(read(a_page(entry={"resource": a_consent_resource()})).gaps) == 1


def test_a_consent_without_an_id_is_kept_and_a_gap() -> None:
    found = read(a_page(a_consent_resource(id=None), total=1))
    assert len(found.resources) == len(found.gaps) == 1


def with_mode(mode: str, resource: dict[str, Any]) -> dict[str, Any]:
    page = a_page("a", total=1)
    page["entry"].append({"resource": resource, "search": {"mode": mode}})
    return page


def test_what_a_server_says_beside_its_matches_is_no_match() -> None:
    found = read(with_mode("outcome", an_outcome()))
    assert ids(found) == ["a"]
    assert found.gaps == []


@pytest.mark.parametrize(
    ("severity", "code"),
    [
        ("error", "processing"),
        ("fatal", "exception"),
        ("warning", "incomplete"),
        ("information", "throttled"),
        ("warning", "timeout"),
    ],
)
def test_a_server_that_says_its_answer_is_not_whole_is_a_gap(severity: str, code: str) -> None:
    found = read(with_mode("outcome", an_outcome(severity, code)))
    assert len(found.gaps) == 1
    assert found.blind == []


@pytest.mark.parametrize("code", ["suppressed", "forbidden", "security"])
def test_a_server_that_keeps_consents_from_us_leaves_us_blind(code: str) -> None:
    found = read(with_mode("outcome", an_outcome("warning", code)))
    assert ids(found) == ["a"]
    assert len(found.blind) == 1
    assert found.gaps == []


def test_a_server_that_failed_to_show_consents_is_a_gap_too() -> None:
    found = read(with_mode("outcome", an_outcome("error", "forbidden")))
    assert len(found.blind) == len(found.gaps) == 1


def test_other_things_that_are_kept_from_us_are_a_gap() -> None:
    entries = [{"resource": an_outcome("warning", "suppressed"), "search": {"mode": "outcome"}}]
    found = read(a_page(entry=entries), kind="Flag")
    assert len(found.gaps) == 1
    assert found.blind == []


def test_an_outcome_that_claims_to_be_a_match_is_a_gap_and_does_not_count() -> None:
    [gap] = read(a_page("a", an_outcome(), total=1)).gaps
    assert "no Consent" in gap.sentence


def test_what_is_only_included_is_no_match() -> None:
    found = read(with_mode("include", {"resourceType": "Patient", "id": "1"}))
    assert ids(found) == ["a"]
    assert found.gaps == []


# --- anything ----------------------------------------------------------------------------------


@given(
    bundle=st.fixed_dictionaries(
        {"type": st.just("searchset")},
        optional={
            "entry": json_values(),
            "total": json_values(),
            "link": st.lists(
                st.fixed_dictionaries(
                    {"relation": st.sampled_from(["self", "next"]), "url": json_values()}
                )
            )
            | json_values(),
        },
    )
    | json_values().filter(lambda value: isinstance(value, dict))
)
def test_whatever_is_answered_reading_it_never_raises(bundle: dict[str, Any]) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False):
        read(bundle)
    next_link(bundle)
