"""HTTP outward: requests with time-outs, and with one deadline for the whole exchange.

requests knows a time-out for each read of the socket, so a server that sends a byte now and then
can hold a call for ever. Here a watch shuts the socket when the deadline passes.
"""

from __future__ import annotations

import contextlib
import heapq
import ipaddress
import itertools
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    ResponseError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from fhirmsg.clock import Deadline, elapsed_clock
from fhirmsg.dns import addresses
from fhirmsg.tracing import outgoing_headers


class DeadlinePassed(requests.exceptions.Timeout):
    """The whole exchange took longer than it may."""


class StartedTooLate(requests.exceptions.Timeout):
    """The connection was up only when the request could no longer start; nothing was written."""


class PeerRefused(requests.exceptions.ConnectionError):
    """The connection led to an address that it may not lead to; nothing was written."""


@dataclass(slots=True, kw_only=True)
class Sending:
    """What one request must fulfil with its connection up, and how far it then came.

    It goes over a new connection: a server that hangs up one that was kept may do so just as the
    request arrives, and nobody could tell that from a request that it has.

    start_by: when it has passed, StartedTooLate. may_reach: asked for the address of the peer (the
    proxy's, where there is one); False ends in PeerRefused. begun: whether any byte of the request
    may have been written; while it is False the server surely has nothing.
    """

    start_by: Deadline | None = None
    may_reach: Callable[[str], bool] | None = None
    begun: bool = False

    def begin(self, sock: socket.socket | None) -> None:
        """Check, then count every byte from now on as one that may arrive."""
        if self.may_reach is not None and not (sock and self.may_reach(sock.getpeername()[0])):
            raise PeerRefused("the address of the peer is not one that may be reached")
        if self.start_by is not None and self.start_by.passed:
            raise StartedTooLate("the time by which the request had to start has passed")
        self.begun = True


class BodyTooLarge(requests.exceptions.RequestException):
    """The body of an answer is larger than it may be; what came of it was thrown away."""


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this one, by its address or as `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class NoToken(requests.exceptions.RequestException):
    """No access token could be had, so the server surely took nothing; the text is ours."""


class _Exchange:
    """One call under the watch: whichever socket it uses is shut when time is up."""

    def __init__(self, until: float, sending: Sending | None) -> None:
        self._until = until
        self._sending = sending
        self.declined: requests.exceptions.RequestException | None = None
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._over = False
        self.expired = False

    @property
    def left(self) -> float:
        """Seconds until it is shut, never below zero."""
        return max(0.0, self._until - elapsed_clock())

    @property
    def sends(self) -> bool:
        """Whether it must be known exactly how far the request came."""
        return self._sending is not None

    def time_to_connect(self, timeout: float | None) -> float:
        """Give how long a new connection may take, for a try after the first one too."""
        left = self.left
        if left <= 0:
            self.expire()
            raise DeadlinePassed("the deadline of the exchange has passed")
        return left if timeout is None else min(timeout, left)

    def uses(self, sock: socket.socket | None) -> None:
        with self._lock:
            self._socket = sock
            expired = self.expired
        if expired:
            raise DeadlinePassed("the deadline of the exchange has passed")

    def begins(self, sock: socket.socket | None) -> None:
        """Let the request be written to this socket, or not at all."""
        if self._sending is None:
            return
        try:
            self._sending.begin(sock)
        except requests.exceptions.RequestException as error:
            # On its way out urllib3 takes it for a fault of the connection.
            self.declined = error
            raise

    def lets_go(self) -> None:
        """Forget its socket, which has gone back to the pool and may serve another call."""
        with self._lock:
            self._socket = None

    def expire(self) -> None:
        with self._lock:
            if self._over:
                return
            self.expired = True
            sock = self._socket
            if sock is not None:
                # Closed already means that the call is on its way out. The TLS layer has a
                # shutdown of its own, which pulls the ground from under a reader.
                with contextlib.suppress(OSError, TypeError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def over(self) -> None:
        with self._lock:
            self._over = True
            self._socket = None


class _Watch:
    """One thread that expires exchanges; started with the first of them."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._due: list[tuple[float, int, _Exchange]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float, sending: Sending | None) -> _Exchange:
        at = elapsed_clock() + seconds
        exchange = _Exchange(at, sending)
        with self._condition:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            heapq.heappush(self._due, (at, next(self._numbers), exchange))
            if self._due[0][2] is exchange:
                self._condition.notify()
        return exchange

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._due or self._due[0][0] > elapsed_clock():
                    wait = self._due[0][0] - elapsed_clock() if self._due else None
                    self._condition.wait(wait)
                _, _, exchange = heapq.heappop(self._due)
            exchange.expire()


_WATCH = _Watch()
_CURRENT = threading.local()


def _report_socket(sock: socket.socket | None) -> None:
    exchange: _Exchange | None = getattr(_CURRENT, "exchange", None)
    if exchange is not None:
        exchange.uses(sock)


def _ready(sock: socket.socket | None) -> None:
    """Say that a connection is up and the request would be written next."""
    exchange: _Exchange | None = getattr(_CURRENT, "exchange", None)
    if exchange is not None:
        exchange.uses(sock)
        exchange.begins(sock)


def _as_needed(connection: Any) -> Any:
    """Close a connection that was kept, where the request must go over a new one."""
    exchange: _Exchange | None = getattr(_CURRENT, "exchange", None)
    if exchange is not None and exchange.sends:
        connection.close()
    return connection


def _time_to_connect(timeout: float | None) -> float | None:
    exchange: _Exchange | None = getattr(_CURRENT, "exchange", None)
    return timeout if exchange is None else exchange.time_to_connect(timeout)


def _look_up(connection: HTTPConnection) -> None:
    """Have the name looked up in time: the look-up that follows finds it known to the system."""
    seconds = connection.timeout
    if not isinstance(seconds, int | float):
        return
    try:
        addresses(connection.host, connection.port, seconds)
    except TimeoutError:
        raise ConnectTimeoutError(connection, "the name was not looked up in time") from None
    except OSError:
        # Not left to the look-up that follows, which could take as long once more.
        gone = socket.gaierror("no address found")
        raise NameResolutionError(connection.host, connection, gone) from None


def time_left() -> float | None:
    """Give the seconds left for the exchange that this thread is in, None outside of one."""
    exchange: _Exchange | None = getattr(_CURRENT, "exchange", None)
    return None if exchange is None else exchange.left


def let_go() -> None:
    """Say that the exchange of this thread has read an answer, and will use another connection."""
    exchange: _Exchange | None = getattr(_CURRENT, "exchange", None)
    if exchange is not None:
        exchange.lets_go()


class _WatchedHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        self.timeout = _time_to_connect(self.timeout)
        _look_up(self)
        sock = super()._new_conn()
        # Reported at once: a proxy is asked for a tunnel before there is a request.
        _report_socket(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        _ready(self.sock)
        super().request(*args, **kwargs)


class _WatchedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        self.timeout = _time_to_connect(self.timeout)
        _look_up(self)
        sock = super()._new_conn()
        _report_socket(sock)
        return sock

    def _tunnel(self) -> None:
        super()._tunnel()
        # A socket shut meanwhile reads like the end of the proxy's answer.
        _report_socket(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        _ready(self.sock)
        super().request(*args, **kwargs)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _as_needed(super()._get_conn(timeout))


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS

    def _get_conn(self, timeout: float | None = None) -> Any:
        return _as_needed(super()._get_conn(timeout))


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _PatientRetry(Retry):
    """Waits as long as an answer asks for, where half of the time left is enough for that."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if response is not None and self._asked_for(response) > (time_left() or 0.0) / 2:
            # Tried sooner it would be turned away again; the answer goes to the caller as it is.
            raise MaxRetryError(_pool, url, ResponseError("asked to wait too long"))
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        seconds = 0.0 if response is None else self._asked_for(response)
        if seconds > 0:
            time.sleep(seconds)
        else:
            super().sleep(response)

    def _asked_for(self, response: BaseHTTPResponse) -> float:
        try:
            return self.get_retry_after(response) or 0.0
        except HTTPError:
            return 0.0


def make_session(
    *,
    pool_size: int = 32,
    get_retries: int = 2,
    proxies: Mapping[str, str] | None = None,
    ca_file: str | None = None,
    client_certificate: tuple[str, str] | None = None,
) -> requests.Session:
    """Give a session that takes nothing from the environment.

    No `.netrc` (it would replace our Authorization header), no proxy variables: proxies are named
    explicitly, and are HTTP ones. GET alone is tried again, on a lost connection and on 429, 502,
    503 and 504, after the answer's Retry-After where the deadline leaves room for it; what may be
    repeated of everything else is known to the caller only. Redirects are never followed by
    `exchange`. client_certificate: PEM files of the certificate that this
    service shows to a server that asks for one, and of its key.
    """
    session = requests.Session()
    session.trust_env = False
    session.proxies = dict(proxies or {})
    if ca_file:
        session.verify = ca_file
    session.cert = client_certificate
    retries = _PatientRetry(
        total=get_retries,
        # A TLS record that breaks in an answer is neither "connect" nor "read" to urllib3, which
        # would repeat a POST for it.
        other=0,
        backoff_factor=0.1,
        status_forcelist=[429, 502, 503, 504],
        allowed_methods=["GET"],
        raise_on_status=False,
        redirect=0,
        raise_on_redirect=False,
        respect_retry_after_header=False,
    )
    adapter = _Adapter(pool_connections=4, pool_maxsize=pool_size, max_retries=retries)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    deadline: Deadline,
    connect_timeout: float,
    read_timeout: float,
    headers: Mapping[str, str] | None = None,
    data: bytes | None = None,
    auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
    sending: Sending | None = None,
    largest: int | None = None,
) -> requests.Response:
    """Make one call, body read whole, by the deadline at the latest.

    largest: the most bytes a body may have. Raises requests.exceptions.RequestException
    (DeadlinePassed and BodyTooLarge among them), and what `auth` raises; no other exception leaves
    here. A redirect is an answer like any other. `sending` is checked with the connection up,
    immediately before the first byte, and tells afterwards whether there was one. The trace that
    this thread takes part in goes along, the same for each try of a GET. Whatever `auth` calls on
    the way has to be done by the deadline too (`time_left`).
    """
    left = deadline.left
    if left <= 0:
        raise DeadlinePassed("the deadline had passed before the exchange began")
    watched = _WATCH.begin(left, sending)
    # `auth` may fetch a token, which is an exchange inside this one.
    around = getattr(_CURRENT, "exchange", None)
    _CURRENT.exchange = watched
    try:
        response = session.request(
            method,
            url,
            headers={**outgoing_headers(), **(headers or {})},
            data=data,
            auth=auth,
            timeout=(min(connect_timeout, left), min(read_timeout, left)),
            allow_redirects=False,
            stream=largest is not None,
        )
        if largest is not None:
            _read_at_most(response, largest)
    except NoToken:
        # However late it is, it says that the server took nothing.
        raise
    except (HTTPError, OSError, ValueError) as error:
        if watched.expired:
            raise DeadlinePassed("the exchange took longer than it may") from error
        if watched.declined is not None:
            raise watched.declined from error
        if isinstance(error, requests.exceptions.RequestException):
            raise
        raise requests.exceptions.ConnectionError(type(error).__name__) from error
    finally:
        _CURRENT.exchange = around
        watched.over()
    if watched.expired:
        # A body without a length looks whole when its socket is shut.
        raise DeadlinePassed("the exchange took longer than it may")
    return response


def _read_at_most(response: requests.Response, largest: int) -> None:
    body = bytearray()
    for chunk in response.iter_content(1 << 14):
        body += chunk
        if len(body) > largest:
            response.close()
            raise BodyTooLarge("the body of the answer is larger than it may be")
    # What `content` gives; nothing public can put it back once it was read in pieces.
    response._content = bytes(body)


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Give scheme, host and port that a URL names, the port of the scheme where it names none.

    Raises ValueError for what is no URL.
    """
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", default if parts.port is None else parts.port
