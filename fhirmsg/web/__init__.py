"""The HTTP face: a Flask application over the use case. `openapi.yaml` is its contract."""

from __future__ import annotations

import logging
import re
import time
from functools import partial
from http import HTTPStatus
from uuid import uuid4

from flask import Flask, Response, g, request

from fhirmsg import tracing
from fhirmsg.ports import Meter
from fhirmsg.web.body import MAX_BYTES
from fhirmsg.web.errors import problem_of, response_of
from fhirmsg.web.routes import routes
from fhirmsg.web.services import WebServices

__all__ = ["WebServices", "create_web"]

access = logging.getLogger("fhirmsg.access")
log = logging.getLogger("fhirmsg.web")

_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,128}")


def create_web(services: WebServices) -> Flask:
    """Give the application; every answer carries a correlation id, and every call a log line."""
    app = Flask("fhirmsg", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.register_blueprint(routes(services))
    app.before_request(_begin)
    app.after_request(partial(_end, services.meter))
    app.teardown_request(_forget)
    app.register_error_handler(Exception, _failed)
    return app


def _begin() -> None:
    given = request.headers.get("X-Correlation-ID", "")
    g.correlation_id = given if _CORRELATION.fullmatch(given) else str(uuid4())
    g.trace = tracing.trace_from(
        request.headers.get("traceparent", ""), correlation_id=g.correlation_id
    )
    tracing.take_part(g.trace)
    g.client_id = None
    g.began = time.perf_counter()


def _failed(error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status >= 500:
        # The kind and the place of a failure; its text could hold anything.
        log.error(
            "failure",
            extra={"kind": type(error).__name__, "correlation_id": g.get("correlation_id")},
            exc_info=error if problem.status == 500 else None,
        )
    return response_of(problem)


def _end(meter: Meter, response: Response) -> Response:
    response.headers["X-Correlation-ID"] = g.correlation_id
    response.headers["traceparent"] = g.trace.traceparent
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path.startswith("/v1/"):
        response.headers["Cache-Control"] = "no-store"
    # The template, never the path itself: it may hold what does not belong in a log.
    route = request.url_rule.rule if request.url_rule is not None else "(none)"
    seconds = time.perf_counter() - g.began
    meter.request(route, request.method, response.status_code, seconds)
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        meter.rate_limited("client" if g.client_id else "sign-in")
    access.info(
        "request",
        extra={
            "route": route,
            "method": request.method if request.method.isalpha() else "?",
            "status": response.status_code,
            "milliseconds": round(seconds * 1000, 1),
            "client": g.client_id,
            "correlation_id": g.correlation_id,
        },
    )
    return response


def _forget(_error: BaseException | None) -> None:
    """Leave the trace: this thread will work for somebody else."""
    tracing.take_part(None)
