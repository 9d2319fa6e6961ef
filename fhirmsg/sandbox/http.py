"""The store over HTTP: a Flask application that hands every request to `rest.Rest`.

Source: https://hl7.org/fhir/R4/http.html; headers as HAPI sends them.
"""

from __future__ import annotations

import logging
from email.utils import format_datetime

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from .dates import EPOCH, MILLISECOND
from .errors import outcome
from .exchange import Answer, Call, preference_of
from .rest import Rest
from .store import Store

_log = logging.getLogger(__name__)

_MEDIA_TYPE = "application/fhir+json;charset=utf-8"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_store_app(store: Store, *, base_path: str = "/fhir") -> Flask:
    """A Flask application that serves the store below `base_path`.

    Every answer is FHIR JSON; every error is an OperationOutcome. Links are built from the Host
    header of the request, as HAPI does.
    """
    app = Flask("fhirmsg.sandbox", static_folder=None)
    rest = Rest(store)
    base_path = base_path.rstrip("/")

    def fhir(path: str = "") -> Response:
        base = request.host_url.rstrip("/") + base_path
        call = Call(
            method="GET" if request.method == "HEAD" else request.method,
            path=path,
            query=request.query_string.decode("ascii", "replace"),
            base=base,
            headers=request.headers,
            body=request.get_data(cache=False),
        )
        return _response(rest.answer(call), call)

    for number, rule in enumerate((base_path or "/", f"{base_path}/", f"{base_path}/<path:path>")):
        app.add_url_rule(
            rule,
            f"fhir-{number}",
            fhir,
            methods=_METHODS,
            provide_automatic_options=False,
            strict_slashes=True,
        )
    app.register_error_handler(Exception, _unexpected)
    return app


def _response(answer: Answer, call: Call) -> Response:
    body = answer.body(preference_of(call))
    response = Response(body, status=answer.status, content_type=_MEDIA_TYPE)
    headers = response.headers
    if version := answer.version:
        headers["ETag"] = f'W/"{version.number}"'
        headers["Last-Modified"] = _http_date(version.updated)
        headers["Content-Location"] = f"{call.base}/{version.address}"
    if answer.location:
        headers["Location"] = f"{call.base}/{answer.location}"
    if sent := call.headers.get("X-Request-ID", ""):
        headers["X-Request-ID"] = sent
    return response


def _http_date(since_epoch: int) -> str:
    return format_datetime(EPOCH + since_epoch * MILLISECOND, usegmt=True)


def _unexpected(error: Exception) -> Response:
    """An OperationOutcome for what never reached the store, or failed inside it."""
    if isinstance(error, HTTPException) and error.code:
        status, code, text = error.code, "not-supported", f"{error.name}: see the address."
    else:
        status, code, text = 500, "exception", "The store failed; its log says why."
        _log.exception("request failed")
    return Response(outcome("error", code, text), status=status, content_type=_MEDIA_TYPE)
