"""What the providers over HTTP share: one POST with an exact word about it, and careful reading."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from fhirmsg.clock import Deadline
from fhirmsg.errors import CallbackUnreadable, FhirmsgError, ProviderSilent
from fhirmsg.http import NoToken, PeerRefused, Sending, StartedTooLate, exchange
from fhirmsg.ports import Callback, Outcome, Receipt

CONNECT_SECONDS = 5.0
LOOK_UP_SECONDS = 10.0

# A word of ours or of a provider's documentation; nothing with digits enough to be a person's.
_CODE = re.compile(r"(?!.*\d{5})[A-Za-z][A-Za-z0-9_.-]{0,39}", re.ASCII)
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)

# What a status means where the provider's own table is silent. Moved for good or for now, and to
# be asked again with the same method (RFC 9110 sections 15.4.2, 15.4.8, 15.4.9): not taken here.
# After 302 and 303 the request may have been carried out.
_ANYWHERE = {301: Outcome.RETRYABLE, 307: Outcome.RETRYABLE, 308: Outcome.RETRYABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An answer that came whole. payload: of its JSON object, empty when it is none.

    is_page: it is for people to look at, as a log-in page that stands before a service.
    """

    status: int
    payload: Mapping[str, Any] = field(repr=False)
    retry_after: int | None = None
    is_page: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status <= 299


# Outcome by status and error code; None stands for every other code, and for none.
ErrorTable = Mapping[tuple[int, str | None], Outcome]


def declined(answer: HttpAnswer, code: str | None, table: ErrorTable) -> Receipt:
    """Give the receipt for an answer that is not a success.

    A 4xx that no table knows was refused; anything else may have been carried out.
    """
    known = (answer.status, code) in table
    outcome = table.get((answer.status, code)) or table.get((answer.status, None))
    if outcome is None:
        refused = 400 <= answer.status <= 499
        outcome = _ANYWHERE.get(
            answer.status, Outcome.REFUSED if refused else Outcome.MAY_HAVE_LEFT
        )
    retryable = outcome is Outcome.RETRYABLE
    return Receipt(
        outcome=outcome,
        # A code is repeated only where the table names it: anything else could quote a person.
        reason=f"{answer.status} {code}" if known and code else str(answer.status),
        retry_after=answer.retry_after if retryable else None,
        silent=answer.status >= 500,
    )


def post(
    session: requests.Session,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    sending: Sending,
    deadline: Deadline,
    auth: requests.auth.AuthBase | None = None,
) -> HttpAnswer | Receipt:
    """Post once; a Receipt says that there was no answer, and whether the message may have left."""
    try:
        response = exchange(
            session,
            "POST",
            url,
            deadline=deadline,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=deadline.left,
            # No other POST is to use this connection, so that the server need not keep it.
            headers={**headers, "Connection": "close"},
            data=body,
            auth=auth,
            sending=sending,
        )
    except StartedTooLate:
        return Receipt(outcome=Outcome.RETRYABLE, reason="started-too-late")
    except PeerRefused:
        return Receipt(outcome=Outcome.RETRYABLE, reason="address-refused")
    except NoToken:
        # What was written was answered 401; and it is another server that gave no token.
        return Receipt(outcome=Outcome.RETRYABLE, reason="no-token")
    except (requests.exceptions.RequestException, FhirmsgError) as error:
        outcome = Outcome.MAY_HAVE_LEFT if sending.begun else Outcome.RETRYABLE
        return Receipt(outcome=outcome, reason=_word(error, sending), silent=True)
    return _read(response)


def get(
    session: requests.Session,
    url: str,
    headers: Mapping[str, str],
    *,
    who: str,
    params: Mapping[str, str] | None = None,
    auth: requests.auth.AuthBase | None = None,
) -> HttpAnswer:
    """Ask a question, tried again by the session. Raises ProviderSilent when nobody answers."""
    address = requests.Request("GET", url, params=dict(params or {})).prepare().url or url
    try:
        response = exchange(
            session,
            "GET",
            address,
            deadline=Deadline(LOOK_UP_SECONDS),
            connect_timeout=CONNECT_SECONDS,
            read_timeout=LOOK_UP_SECONDS,
            headers=headers,
            auth=auth,
        )
    except (requests.exceptions.RequestException, FhirmsgError) as error:
        raise silent(who, f"did not answer a look-up ({type(error).__name__})") from error
    return _read(response)


def silent(who: str, what: str) -> ProviderSilent:
    """Give the failure for a look-up without a usable answer."""
    return ProviderSilent(
        f"{who} {what}, so nobody knows what it has. Ask again later; until then nothing is sent "
        "again."
    )


def read_callback(callback: Callback, who: str) -> dict[str, Any]:
    """Give the JSON object of a callback that is authentic. Raises CallbackUnreadable."""
    try:
        payload = json.loads(callback.body)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise unreadable(who, "is not a JSON object")
    return payload


def unreadable(who: str, what: str) -> CallbackUnreadable:
    """Give the failure for a callback that is authentic and is not what is documented."""
    return CallbackUnreadable(
        f"A callback of {who} {what}, so nothing of it was taken. Compare it with the "
        "documentation of the provider, and tell whoever looks after this service."
    )


def text_of(payload: Mapping[str, Any], key: str) -> str:
    """Give a text, empty when it is absent or something else."""
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def code_of(text: object) -> str:
    """Give a short code as it is, empty when it may be anything else than a code."""
    return text if isinstance(text, str) and _CODE.fullmatch(text) else ""


def id_of(value: object) -> str | None:
    """Give an id as a provider gave it, None when it is not one that can be kept."""
    return (
        value if isinstance(value, str) and re.fullmatch(r"[\w.:-]{1,128}", value, re.A) else None
    )


def time_of(value: object) -> datetime | None:
    """Give a time, taken for UTC when it names no zone; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        # Far beyond any calendar it cannot be brought to UTC.
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def body_of(content: object) -> bytes | None:
    """Give JSON as UTF-8, None when a text in it is not Unicode."""
    try:
        return json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None


def _read(response: requests.Response) -> HttpAnswer:
    try:
        payload = json.loads(response.content)
    except (ValueError, RecursionError):
        payload = None
    after = response.headers.get("Retry-After", "")
    return HttpAnswer(
        status=response.status_code,
        payload=payload if isinstance(payload, dict) else {},
        retry_after=int(after) if re.fullmatch(r"\d{1,5}", after, re.A) else None,
        is_page=response.content.lstrip()[:1] == b"<",
    )


def _word(error: Exception, sending: Sending) -> str:
    stage = "answer" if sending.begun else "connect"
    for kind, word in _WORDS:
        if isinstance(error, kind):
            return f"{stage} {word}"
    return f"{stage} failed"


# The first that fits; the text of an error is left out, it may quote an address.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (FhirmsgError, "no-token"),
    (requests.exceptions.SSLError, "tls"),
    (requests.exceptions.ProxyError, "proxy"),
    (requests.exceptions.Timeout, "timed-out"),
    (requests.exceptions.ConnectionError, "connection-lost"),
    (requests.exceptions.RequestException, "garbled"),
)
