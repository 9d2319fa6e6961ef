"""How often each client may call."""

from __future__ import annotations

from fhirmsg.clients import DEFAULT_RATE, RATE_LIMIT_FORM, RateLimit, rate_limit_in
from fhirmsg.environment import Variables


def rate_limit(variables: Variables) -> RateLimit:
    """Read the limit of each client that has none of its own."""
    text = variables.text("RATE_LIMIT", default="", what=RATE_LIMIT_FORM)
    found = rate_limit_in(text)
    if text and found is None:
        variables.fault("RATE_LIMIT", f"is not right; {RATE_LIMIT_FORM}")
    return found or DEFAULT_RATE
