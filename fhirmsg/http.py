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
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from fhirmsg.clock import Deadline, elapsed_clock


class DeadlinePassed(requests.exceptions.Timeout):
    """The whole exchange took longer than it may."""


class NoToken(requests.exceptions.RequestException):
    """No access token could be had, so the server surely took nothing; the text is ours."""


class _Exchange:
    """One call under the watch: whichever socket it uses is shut when time is up."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._over = False
        self.expired = False

    @property
    def left(self) -> float:
        """Seconds until it is shut, never below zero."""
        return max(0.0, self._until - elapsed_clock())

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

    def begin(self, seconds: float) -> _Exchange:
        at = elapsed_clock() + seconds
        exchange = _Exchange(at)
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


def _time_to_connect(timeout: float | None) -> float | None:
    exchange: _Exchange | None = getattr(_CURRENT, "exchange", None)
    return timeout if exchange is None else exchange.time_to_connect(timeout)


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
        sock = super()._new_conn()
        # Reported at once: a proxy is asked for a tunnel before there is a request.
        _report_socket(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        _report_socket(self.sock)
        super().request(*args, **kwargs)


class _WatchedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        self.timeout = _time_to_connect(self.timeout)
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
        _report_socket(self.sock)
        super().request(*args, **kwargs)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


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
    503 and 504; what may be repeated of everything else is known to the caller only. Redirects are
    never followed by `exchange`. client_certificate: PEM files of the certificate that this
    service shows to a server that asks for one, and of its key.
    """
    session = requests.Session()
    session.trust_env = False
    session.proxies = dict(proxies or {})
    if ca_file:
        session.verify = ca_file
    session.cert = client_certificate
    retries = Retry(
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
) -> requests.Response:
    """Make one call, body read whole, by the deadline at the latest.

    Raises requests.exceptions.RequestException (DeadlinePassed among them); no other exception
    leaves here. A redirect is an answer like any other. Whatever `auth` calls on the way has to
    be done by the deadline too (`time_left`).
    """
    left = deadline.left
    if left <= 0:
        raise DeadlinePassed("the deadline had passed before the exchange began")
    watched = _WATCH.begin(left)
    # `auth` may fetch a token, which is an exchange inside this one.
    around = getattr(_CURRENT, "exchange", None)
    _CURRENT.exchange = watched
    try:
        response = session.request(
            method,
            url,
            headers=dict(headers or {}),
            data=data,
            auth=auth,
            timeout=(min(connect_timeout, left), min(read_timeout, left)),
            allow_redirects=False,
        )
    except (HTTPError, OSError, ValueError) as error:
        if watched.expired:
            raise DeadlinePassed("the exchange took longer than it may") from error
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


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Give scheme, host and port that a URL names, the port of the scheme where it names none.

    Raises ValueError for what is no URL.
    """
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", default if parts.port is None else parts.port
