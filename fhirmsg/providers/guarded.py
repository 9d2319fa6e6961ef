"""A provider behind a circuit breaker."""

from __future__ import annotations

from fhirmsg.breaker import Breaker, BreakerOpen
from fhirmsg.clock import Deadline
from fhirmsg.errors import ProviderSilent
from fhirmsg.ports import OutboundMessage, Outcome, Provider, Receipt

CIRCUIT_OPEN = "circuit-open"


class GuardedProvider:
    """Hands over to a provider as long as it answers; otherwise says at once that nothing left.

    For `send` and `find` alone. What else a provider can do (callbacks, lists, checks) is asked
    of `bare`.
    """

    def __init__(self, bare: Provider, breaker: Breaker) -> None:
        """Stand before `bare`, and be of its kind."""
        self.bare = bare
        self.name = bare.name
        self.kind = bare.kind
        self.settle_seconds = bare.settle_seconds
        self.retention_seconds = bare.retention_seconds
        self._breaker = breaker

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Hand over; RETRYABLE without a word to the provider while the breaker is open."""
        try:
            with self._breaker.call() as call:
                receipt = self.bare.send(message, start_by=start_by, deadline=deadline)
                call.answered = _answered(receipt)
                return receipt
        except BreakerOpen:
            return Receipt(outcome=Outcome.RETRYABLE, reason=CIRCUIT_OPEN, silent=True)

    def find(self, reference: str) -> Receipt | None:
        """Ask the provider. Raises ProviderSilent also while the breaker is open."""
        try:
            with self._breaker.call() as call:
                try:
                    found = self.bare.find(reference)
                except ProviderSilent:
                    call.answered = False
                    raise
                call.answered = True
                return found
        except BreakerOpen:
            raise ProviderSilent(
                "The provider has not answered for some time and was not asked now, so nobody "
                "knows whether it has the message. Ask again later."
            ) from None


def _answered(receipt: Receipt) -> bool | None:
    """Tell whether the provider did. A no of our own, as one too late to start, tells nothing."""
    if receipt.silent:
        return False
    return True if receipt.outcome in (Outcome.ACCEPTED, Outcome.REFUSED) else None
