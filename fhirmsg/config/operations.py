"""Settings of operations: figures, and when a server that does not answer is left alone."""

from __future__ import annotations

from dataclasses import dataclass

from fhirmsg.breaker import BreakerSettings
from fhirmsg.environment import PREFIX, Variables


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsAddress:
    """Where the figures are served."""

    host: str
    port: int


def metrics(variables: Variables) -> MetricsAddress | None:
    """Read where the figures are served, None where they are not."""
    host = variables.text("METRICS_HOST", default="127.0.0.1")
    port = variables.whole("METRICS_PORT", 1, 65535, 9464)
    if "METRICS_PORT" in variables:
        return MetricsAddress(host=host, port=port)
    if "METRICS_HOST" in variables:
        variables.fault(
            "METRICS_HOST", f"is set without {PREFIX}METRICS_PORT, so no figures are served; set it"
        )
    return None


def breaker(variables: Variables) -> BreakerSettings:
    """Read when a server is left alone, and for how long."""
    return BreakerSettings(
        failures=variables.whole("BREAKER_FAILURES", 0, 1000, 5),
        pause_seconds=variables.seconds("BREAKER_PAUSE_SECONDS", 0.1, 600, 10.0),
    )
