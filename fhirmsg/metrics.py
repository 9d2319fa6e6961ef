"""Figures for Prometheus. Nothing in them is about anybody: every label is from a closed set.

What is in no set becomes "other", so that nobody outside can add a series.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from http import HTTPStatus
from itertools import pairwise
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fhirmsg.breaker import Breaker, State
from fhirmsg.errors import JournalUnavailable
from fhirmsg.guidance.decision import Verdict
from fhirmsg.guidance.rules import RULES
from fhirmsg.ports import Journal, Outcome, Owed

OTHER: Final = "other"

FHIR_KINDS = frozenset(
    {"read", "page", "batch", "search", "create", "update", "transaction", "delete"}
)
FHIR_RESULTS = frozenset(
    {*(f"{each}xx" for each in range(1, 6)), "unanswered", "not-fhir", "circuit-open"}
)
RATE_LIMITS = frozenset({"client", "patient", "callback", "sign-in"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATUSES = frozenset(str(each.value) for each in HTTPStatus)
_CODES = frozenset(each.card.code for each in RULES)
_VERDICTS = frozenset(map(str, Verdict))

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0)
# Ages of open entries in seconds: from, and the word for it.
_AGES = (
    *((0.0, "under-1m"), (60.0, "1m-2m"), (120.0, "2m-10m"), (600.0, "10m-1h")),
    *((3600.0, "1h-1d"), (86400.0, "over-1d"), (float("inf"), "")),
)


class Metrics:
    """Takes figures as a `ports.Meter`, and gives them as text. Thread-safe.

    Has a registry of its own: two of them in one process know nothing of each other.
    """

    def __init__(self, *, providers: Collection[str]) -> None:
        """Count for these providers by name, for any other as "other"."""
        self._providers = frozenset(providers)
        self._routes: frozenset[str] = frozenset()
        self._registry = CollectorRegistry()
        self._decisions = self._counter("decisions", "Decisions, checks among them.", "verdict")
        self._findings = self._counter("findings", "Findings of decisions.", "verdict", "code")
        self._handed_off = self._histogram(
            "hand_off_seconds", "Hand-offs to a provider.", "provider", "outcome"
        )
        self._fhir = self._histogram(
            "fhir_call_seconds", "Calls to the FHIR server.", "kind", "result"
        )
        self._requests = self._histogram(
            "http_request_seconds", "Requests to this service.", "route", "method", "status"
        )
        self._limited = self._counter(
            "rate_limited", "Requests refused by a limit on their number.", "limit"
        )

    def decided(self, verdict: str, codes: Collection[str]) -> None:
        """See `ports.Meter`."""
        word = _known(verdict, _VERDICTS)
        self._decisions.labels(word).inc()
        for code in {_known(each, _CODES) for each in codes}:
            self._findings.labels(word, code).inc()

    def handed_off(self, provider: str, outcome: Outcome, seconds: float) -> None:
        """See `ports.Meter`."""
        self._handed_off.labels(_known(provider, self._providers), outcome.word).observe(seconds)

    def fhir_call(self, kind: str, result: str, seconds: float) -> None:
        """See `ports.Meter`."""
        labels = _known(kind, FHIR_KINDS), _known(result, FHIR_RESULTS)
        self._fhir.labels(*labels).observe(seconds)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """See `ports.Meter`."""
        self._requests.labels(
            _known(route, self._routes),
            _known(method, _METHODS),
            _known(str(status), _STATUSES),
        ).observe(seconds)

    def rate_limited(self, limit: str) -> None:
        """See `ports.Meter`."""
        self._limited.labels(_known(limit, RATE_LIMITS)).inc()

    def know_routes(self, templates: Iterable[str]) -> None:
        """Count requests to these by their template; to any other as "other"."""
        self._routes = frozenset(templates)

    def watch_breakers(self, breakers: Collection[Breaker]) -> None:
        """Show the state of these."""
        self._registry.register(_Watched(lambda: _of_breakers(breakers)))

    def watch_journal(self, journal: Journal) -> None:
        """Show how much the journal holds; it is asked at each look."""
        self._registry.register(_Watched(lambda: _of_journal(journal)))

    def watch_open_entries(self, ages: Callable[[], Collection[float] | None]) -> None:
        """Show how many entries are open by their age.

        ages: seconds of each, None while they are not known. It is called at each look, so it
        gives what somebody has found out before, and asks nobody.
        """
        self._registry.register(_Watched(lambda: _of_open_entries(ages())))

    def text(self) -> bytes:
        """Give all of it in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"fhirmsg_{name}", what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"fhirmsg_{name}", what, labels, buckets=_SECONDS, registry=self._registry)


class _Watched(Collector):
    """What is asked for at each look."""

    def __init__(self, look: Callable[[], Iterator[GaugeMetricFamily]]) -> None:
        self._look = look

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return self._look()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Say nothing before the first look: registering is not to ask anybody."""
        return iter(())


def _of_breakers(breakers: Collection[Breaker]) -> Iterator[GaugeMetricFamily]:
    found = GaugeMetricFamily(
        "fhirmsg_circuit_breaker_state", "1 for the state it is in.", labels=["name", "state"]
    )
    for breaker in breakers:
        now = breaker.state
        for state in State:
            found.add_metric([breaker.name, str(state)], float(state is now))
    yield found


def _of_journal(journal: Journal) -> Iterator[GaugeMetricFamily]:
    usable = GaugeMetricFamily("fhirmsg_journal_usable", "1 when the journal can be read.")
    try:
        lengths, oldest = journal.lengths(), journal.oldest_seconds()
    except JournalUnavailable:
        usable.add_metric([], 0.0)
        yield usable
        return
    usable.add_metric([], 1.0)
    yield usable
    held = GaugeMetricFamily(
        "fhirmsg_journal_items", "What the journal owes to the record.", labels=["owed"]
    )
    for owed in (each for each in Owed if each is not Owed.MARK):
        held.add_metric([str(owed)], float(lengths.get(owed, 0)))
    yield held
    age = GaugeMetricFamily(
        "fhirmsg_journal_oldest_seconds", "Age of the oldest item, 0 without any."
    )
    age.add_metric([], oldest or 0.0)
    yield age


def _of_open_entries(ages: Collection[float] | None) -> Iterator[GaugeMetricFamily]:
    if ages is None:
        return
    found = GaugeMetricFamily(
        "fhirmsg_open_entries", "Entries that nobody has ended yet.", labels=["age"]
    )
    for (low, word), (high, _) in pairwise(_AGES):
        count = sum(low <= max(0.0, age) < high for age in ages)
        found.add_metric([word], float(count))
    yield found


def _known(word: str, known: frozenset[str]) -> str:
    return word if word in known else OTHER
