"""Searches and their pages, as searchset Bundles.

The matches of a search are found once; its pages are cut from them, so that what changes
between two pages neither repeats a match nor hides one. The first pages are never reused: a
search that is asked again is searched again (HAPI reuses one for up to 60 s).

Source: https://hl7.org/fhir/R4/http.html#paging, bundle.html#searchset.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from .dates import instant
from .errors import BadRequest, Gone
from .query import LARGEST_PAGE, Query, query_of
from .r4 import natural
from .store import Store
from .versions import Version

KEPT_SEARCHES = 1000


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was carried out: its id in the page links, and the keys it found."""

    id: str
    keys: list[int]
    query: Query


class Searches:
    """Carries out searches and remembers the latest of those that have further pages."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Search] = OrderedDict()

    def first_page(self, base: str, resource_type: str, asked: str, *, posted: bool) -> str:
        """The Bundle that answers a search. Raises as `query_of`."""
        query = query_of(resource_type, asked)
        search = Search(str(uuid.uuid4()), self._store.search(query), query)
        if 0 < query.count < len(search.keys):
            self._keep(search)
        # As on HAPI the self link of a posted search says nothing of what was asked.
        shown = "/_search" if posted else _as_shown(asked)
        return self._page(base, search, 0, query.count, f"{base}/{resource_type}{shown}")

    def further_page(self, base: str, asked: str) -> str:
        """The Bundle behind a `next` link. Raises Gone when the search is not kept any more."""
        parameters = dict(parse_qsl(asked))
        with self._lock:
            search = self._kept.get(parameters.get("_getpages", ""))
        if search is None:
            raise Gone("The search of this page is no longer kept: search again.")
        offset = _number(parameters, "_getpagesoffset")
        count = min(_number(parameters, "_count"), LARGEST_PAGE)
        return self._page(base, search, offset, count, f"{base}?{asked}")

    def forget(self) -> None:
        """Forget every search, so that further pages are gone."""
        with self._lock:
            self._kept.clear()

    def _keep(self, search: Search) -> None:
        with self._lock:
            self._kept[search.id] = search
            if len(self._kept) > KEPT_SEARCHES:
                self._kept.popitem(last=False)

    def _page(self, base: str, search: Search, offset: int, count: int, self_url: str) -> str:
        end = offset + count
        links = [("self", self_url)]
        if count and end < len(search.keys):
            links.append(("next", _page_url(base, search, end, count)))
        if offset:
            links.append(("previous", _page_url(base, search, max(0, offset - count), count)))
        head: dict[str, object] = {
            "resourceType": "Bundle",
            "id": search.id,
            "meta": {"lastUpdated": instant(self._store.now())},
            "type": "searchset",
        }
        # HAPI knows the total early only when asked to count, or when all fits one page.
        if search.query.accurate_total or not count or end >= len(search.keys):
            head["total"] = len(search.keys)
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
        versions = self._store.fetch(search.keys[offset:end]) if count else []
        return bundle_text(head, (_match(base, version) for version in versions))


def bundle_text(head: dict[str, object], entries: Iterable[str]) -> str:
    """A Bundle as JSON text, from its elements and the JSON texts of its entries."""
    text = json.dumps(head, ensure_ascii=False)
    listed = ",".join(entries)
    # No entries, no element: FHIR knows no empty list.
    return f'{text[:-1]},"entry":[{listed}]}}' if listed else text


def _match(base: str, version: Version) -> str:
    address = json.dumps(f"{base}/{version.type}/{version.id}")
    return f'{{"fullUrl":{address},"resource":{version.body},"search":{{"mode":"match"}}}}'


def _as_shown(asked: str) -> str:
    parameters = sorted(parse_qsl(asked, keep_blank_values=True), key=lambda pair: pair[0])
    return f"?{urlencode(parameters)}" if parameters else ""


def _page_url(base: str, search: Search, offset: int, count: int) -> str:
    return (
        f"{base}?_getpages={search.id}&_getpagesoffset={offset}&_count={count}"
        "&_bundletype=searchset"
    )


def _number(parameters: dict[str, str], name: str) -> int:
    if (number := natural(parameters.get(name, ""))) is None:
        raise BadRequest(f"{name} is not a whole number: use the links of the Bundle as they are.")
    return number


def history_bundle(base: str, versions: Sequence[Version], moment: int) -> str:
    """The history of one resource, newest version first, on one page."""
    first = versions[0]
    head: dict[str, object] = {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "meta": {"lastUpdated": instant(moment)},
        "type": "history",
        "total": len(versions),
        "link": [{"relation": "self", "url": f"{base}/{first.type}/{first.id}/_history"}],
    }
    return bundle_text(head, (_past(base, version) for version in versions))


def _past(base: str, version: Version) -> str:
    status = "201 Created" if version.method == "POST" else "200 OK"
    rest = {
        "request": {"method": version.method, "url": version.address},
        "response": {"status": status, "etag": f'W/"{version.number}"'},
    }
    address = json.dumps(f"{base}/{version.type}/{version.id}")
    resource = f'"resource":{version.body},' if version.body else ""
    return f'{{"fullUrl":{address},{resource}{json.dumps(rest)[1:]}'
