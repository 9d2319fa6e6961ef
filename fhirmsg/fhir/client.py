"""A FHIR R4 server over HTTP: batches, reads past every cache, writes that say how they ended."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import unquote, urljoin, urlsplit
from uuid import uuid4

import requests

from fhirmsg.breaker import Breaker, BreakerOpen, BreakerSettings, PassedCall
from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable, RecordUnreachable
from fhirmsg.fhir.scopes import DECIDING, hidden_kinds, kinds_in
from fhirmsg.http import NoToken, exchange, origin_of
from fhirmsg.ports import NO_METER, Meter

JSON_TYPE = "application/fhir+json"
log = logging.getLogger("fhirmsg.fhir")

# HAPI reuses the matches of a search for a minute; exactly this header makes it look again, on
# the search itself and, set on a batch, on every search inside (measured against 8.8.0).
_HTTP_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
_FRESH = {"Cache-Control": "no-cache"}

# Kinds of calls that only read.
_READS = frozenset({"read", "page", "batch", "search"})
# Statuses to a read that say the server cannot work now. To a write, it may be what was written.
_AWAY = frozenset({500, 502, 503, 504, 507, 508})

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirAnswer:
    """One answer: HTTP status, the resource in it (None when it is not one), server's date.

    date: `Date` header as a POSIX time, None when missing. age: `Age` header in seconds.
    hidden: kinds among those asked for of which the access token does not open everything, so that
    entries may be missing without a word.
    """

    status: int
    resource: Resource | None
    etag: str | None = None
    location: str | None = None
    date: float | None = None
    age: float = 0.0
    hidden: frozenset[str] = frozenset()

    @property
    def good(self) -> bool:
        """Whether the server said it succeeded."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirServer:
    """Where the record is and how long to wait for it; times in seconds.

    end_user_organisation: ODS code of the organisation on whose behalf an NHS API is called.
    """

    base_url: str
    connect_timeout: float = 3.0
    read_timeout: float = 10.0
    call_deadline: float = 15.0
    page_size: int = 100
    authorization: str | None = None
    end_user_organisation: str | None = None


class Authorization(Protocol):
    """Puts an access token on each request, as `requests` asks it to."""

    def __call__(self, r: requests.PreparedRequest, /) -> requests.PreparedRequest:
        """Sign a request. Raises NoToken."""
        ...

    def scope_used(self) -> str | None:
        """Give what the token of this thread's latest call opens, None where nothing limits it."""
        ...


class FhirClient:
    """Calls one server. Thread-safe; nothing read through it is ever kept."""

    def __init__(
        self,
        server: FhirServer,
        session: requests.Session,
        *,
        authorization: Authorization | None = None,
        breaker: Breaker | None = None,
        meter: Meter = NO_METER,
    ) -> None:
        """Use a session made by `fhirmsg.http.make_session`.

        breaker: while it is open, every read raises RecordUnavailable without asking the server.
        Writes go through: each of them follows a read that was answered, and may be what a
        message that has left is recorded by.
        """
        self.server = server
        self.base = server.base_url.rstrip("/")
        self._session = session
        self._breaker = breaker or Breaker("fhir", BreakerSettings(failures=0))
        self._meter = meter
        self._authorization = authorization

    def read(self, path: str, *, deadline: Deadline | None = None) -> FhirAnswer:
        """GET a path below the base, fresh. Raises RecordUnavailable."""
        return self._call("read", "GET", f"{self.base}/{path}", deadline=deadline, headers=_FRESH)

    def follow(self, link: str, *, deadline: Deadline) -> FhirAnswer:
        """GET a `next` link, which has to lie on the server's own origin.

        Raises RecordUnavailable, also for a link that leads elsewhere: it is never opened.
        """
        if not self.is_own(link):
            raise RecordUnavailable("A page link leads to another server; it was not followed.")
        url = urljoin(f"{self.base}/", link)
        return self._call("page", "GET", url, deadline=deadline, headers=_FRESH, reads=DECIDING)

    def is_own(self, link: str) -> bool:
        """Tell whether a link stays on the server's origin and below its base path.

        It is judged as it is written and as `requests` will send it, since they may differ.
        """
        # Readers of addresses disagree on these: some drop them, some take one for a slash.
        if not link.isascii() or not link.isprintable() or " " in link or "\\" in link:
            return False
        try:
            written = urljoin(f"{self.base}/", link)
            sent = requests.Request("GET", written).prepare().url or ""
            return self._is_below(written) and self._is_below(sent)
        except ValueError:
            return False

    def _is_below(self, url: str) -> bool:
        target, own = urlsplit(url), urlsplit(self.base)
        return (
            origin_of(url) == origin_of(self.base)
            and target.username is None
            and (target.path == own.path or target.path.startswith(f"{own.path}/"))
            and not _climbs(target.path)
        )

    def batch(self, paths: list[str], *, deadline: Deadline) -> tuple[FhirAnswer, list[FhirAnswer]]:
        """Read several paths in one round trip.

        Gives the outer answer and one answer a path, in order. Raises RecordUnavailable when the
        outer call fails or does not answer entry by entry.
        """
        bundle = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "GET", "url": path}} for path in paths],
        }
        outer = self._call(
            "batch",
            "POST",
            self.base,
            bundle,
            deadline=deadline,
            headers=_FRESH,
            reads=kinds_in(paths),
        )
        if not outer.good:
            raise failed_with(outer.status)(
                f"The FHIR server answered {outer.status} to the read of the record. "
                "This call sent nothing; try again."
            )
        return outer, inner_answers(outer, len(paths))

    def search_by_post(self, kind: str, body: str, *, deadline: Deadline) -> FhirAnswer:
        """Search with the parameters in the body, for what must not stand in a URL."""
        return self._call(
            "search",
            "POST",
            f"{self.base}/{kind}/_search",
            body,
            deadline=deadline,
            headers={**_FRESH, "Content-Type": "application/x-www-form-urlencoded"},
            reads=frozenset({kind}),
        )

    def create(
        self,
        resource: Resource,
        *,
        if_none_exist: str | None = None,
        request_id: str | None = None,
    ) -> FhirAnswer:
        """POST a resource, conditionally on a search finding none. Raises RecordUnavailable.

        request_id: the same for each try of one and the same create; a new one without it.
        """
        headers = {"Prefer": "return=representation"}
        if request_id is not None:
            headers["X-Request-ID"] = request_id
        if if_none_exist is not None:
            headers["If-None-Exist"] = if_none_exist
        url = f"{self.base}/{resource['resourceType']}"
        return self._call("create", "POST", url, resource, headers=headers)

    def update(self, resource: Resource, *, version_id: str) -> FhirAnswer:
        """PUT a resource over exactly that version. Raises RecordUnavailable."""
        headers = {"If-Match": f'W/"{version_id}"', "Prefer": "return=representation"}
        url = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        return self._call("update", "PUT", url, resource, headers=headers)

    def transaction(self, entries: list[Resource]) -> tuple[FhirAnswer, list[FhirAnswer]]:
        """POST a transaction Bundle; gives no inner answers when it failed as a whole."""
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        headers = {**_FRESH, "Prefer": "return=representation"}
        outer = self._call("transaction", "POST", self.base, bundle, headers=headers)
        return outer, inner_answers(outer, len(entries)) if outer.good else []

    def batch_writes(self, entries: list[Resource], *, deadline: Deadline) -> list[FhirAnswer]:
        """POST writes as a batch Bundle: each stands or fails alone; one answer each, in order.

        Raises RecordUnavailable when the outer call fails: then nobody knows which were written.
        """
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        headers = {**_FRESH, "Prefer": "return=minimal"}
        outer = self._call(
            "batch-write", "POST", self.base, bundle, deadline=deadline, headers=headers
        )
        if not outer.good:
            raise RecordUnavailable(
                f"The FHIR server answered {outer.status} to a batch of writes. They stay owed."
            )
        return inner_answers(outer, len(entries))

    def write_together(
        self, entries: list[Resource], *, deadline: Deadline
    ) -> list[FhirAnswer] | None:
        """POST writes as a transaction Bundle: all stand or none; one answer each, in order.

        None when the server took none of them. Raises RecordUnavailable when it did not answer:
        then nobody knows whether they were written.
        """
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        headers = {**_FRESH, "Prefer": "return=minimal"}
        outer = self._call(
            "transaction", "POST", self.base, bundle, deadline=deadline, headers=headers
        )
        return inner_answers(outer, len(entries)) if outer.good else None

    def delete(self, path: str) -> FhirAnswer:
        """DELETE a path below the base. Raises RecordUnavailable."""
        return self._call("delete", "DELETE", f"{self.base}/{path}")

    def _call(
        self,
        kind: str,
        method: str,
        url: str,
        body: Resource | str | None = None,
        *,
        deadline: Deadline | None = None,
        headers: dict[str, str] | None = None,
        reads: frozenset[str] = frozenset(),
    ) -> FhirAnswer:
        # One id for the call: a GET that is tried again within it carries the same.
        sent = {"Accept": JSON_TYPE, "X-Request-ID": str(uuid4())}
        if kind in _READS:
            sent["Prefer"] = "handling=strict"
        if isinstance(body, dict):
            sent["Content-Type"] = JSON_TYPE
        if self.server.authorization:
            sent["Authorization"] = self.server.authorization
        if self.server.end_user_organisation:
            sent["NHSD-End-User-Organisation-ODS"] = self.server.end_user_organisation
        sent.update(headers or {})
        data = json.dumps(body).encode() if isinstance(body, dict) else (body or "").encode()
        began, result = time.monotonic(), "circuit-open"
        try:
            with self._breaker.call(regardless=kind not in _READS) as passed:
                result = "unanswered"
                response = self._exchange(
                    passed, method, url, deadline, sent, data if body is not None else None
                )
                result = f"{response.status_code // 100}xx"
                passed.answered = not (kind in _READS and response.status_code in _AWAY)
            try:
                scope = None if self._authorization is None else self._authorization.scope_used()
                return _answer(response, hidden_kinds(scope, reads))
            except RecordUnavailable:
                result = "not-fhir"
                raise
        except BreakerOpen:
            raise RecordUnreachable(
                "The FHIR server has not answered for some time and was not asked now. This call "
                "sent nothing; try again later."
            ) from None
        finally:
            self._meter.fhir_call(kind, result, time.monotonic() - began)

    def _exchange(
        self,
        passed: PassedCall,
        method: str,
        url: str,
        deadline: Deadline | None,
        headers: dict[str, str],
        data: bytes | None,
    ) -> requests.Response:
        deadline = deadline or Deadline(self.server.call_deadline)
        # Without any time left the server is not asked, which says nothing of it.
        asked = not deadline.passed
        try:
            return exchange(
                self._session,
                method,
                url,
                deadline=deadline,
                connect_timeout=self.server.connect_timeout,
                read_timeout=self.server.read_timeout,
                headers=headers,
                data=data,
                auth=self._authorization,
            )
        except NoToken as error:
            # Another server gave none: that says nothing of this one.
            passed.answered = None
            log.warning("fhir call not authorised", extra={"method": method})
            raise RecordUnreachable(
                f"The FHIR server could not be asked without an access token. {error}"
            ) from None
        except requests.exceptions.RequestException as error:
            passed.answered = False if asked else None
            # The error's text can hold the URL; its kind is enough.
            log.warning("fhir call failed", extra={"kind": type(error).__name__, "method": method})
            raise RecordUnreachable(
                f"The FHIR server did not answer ({type(error).__name__}). Try again later."
            ) from None


def failed_with(status: int) -> type[RecordUnavailable]:
    """Give the failure that an answer to a whole call is; a 5xx says that the server is away."""
    return RecordUnreachable if status >= 500 else RecordUnavailable


def _climbs(path: str) -> bool:
    """Tell whether a path has a `..`, however often its dots are encoded, with parameters or not.

    requests decodes the dots before it sends the path.
    """
    while (decoded := unquote(path)) != path:
        path = decoded
    steps = path.replace("\\", "/").split("/")
    return any(step.partition(";")[0] == ".." for step in steps)


def _answer(response: requests.Response, hidden: frozenset[str]) -> FhirAnswer:
    resource: Resource | None = None
    if response.content and response.status_code != 304:
        try:
            parsed = json.loads(response.content)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict) and isinstance(parsed.get("resourceType"), str):
            resource = parsed
        elif 200 <= response.status_code < 300:
            raise RecordUnreachable(
                "The FHIR server answered something that is not a FHIR resource. Check its "
                "address; nothing can be decided without the record."
            )
    return FhirAnswer(
        status=response.status_code,
        resource=resource,
        etag=response.headers.get("ETag"),
        location=response.headers.get("Location"),
        date=posix_date(response.headers.get("Date")),
        age=_seconds(response.headers.get("Age")),
        hidden=hidden,
    )


def posix_date(text: str | None) -> float | None:
    """Read an HTTP date; None when it is missing or no date.

    Some servers send the header twice, and the two arrive joined: the first one counts.
    """
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text[: len(_HTTP_DATE)])
    except (ValueError, TypeError):
        return None
    return None if parsed.tzinfo is None else parsed.timestamp()


def _seconds(text: str | None) -> float:
    """Read an `Age`; one that is no number says that there was a cache, and not how old it is."""
    written = (text or "").strip()
    if not written:
        return 0.0
    return float(written) if written.isdecimal() else float("inf")


def inner_answers(outer: FhirAnswer, expected: int) -> list[FhirAnswer]:
    """Take a batch or transaction answer apart. Raises RecordUnavailable when entries lack."""
    bundle = outer.resource or {}
    entries = bundle.get("entry")
    if (
        bundle.get("resourceType") != "Bundle"
        or not isinstance(entries, list)
        or len(entries) != expected
    ):
        raise RecordUnavailable(
            "The FHIR server did not answer a Bundle entry by entry. This call sent nothing; try "
            "again."
        )
    return [_inner(entry, outer.date) for entry in entries]


def _inner(entry: object, date: float | None) -> FhirAnswer:
    if not isinstance(entry, dict):
        return FhirAnswer(status=0, resource=None)
    response = entry.get("response")
    response = response if isinstance(response, dict) else {}
    status = str(response.get("status") or "").strip()[:3]
    resource = entry.get("resource")
    if not (isinstance(resource, dict) and isinstance(resource.get("resourceType"), str)):
        resource = None
    etag, location = response.get("etag"), response.get("location")
    return FhirAnswer(
        status=int(status) if status.isdecimal() else 0,
        resource=resource,
        etag=etag if isinstance(etag, str) else None,
        location=location if isinstance(location, str) else None,
        date=date,
    )
