"""Failures, one class for each situation that a caller can act on.

Decisions are returned, failures are raised. Every text says what happened, why it matters and
what to do, and never carries patient data.
"""

from __future__ import annotations


class FhirmsgError(Exception):
    """Base of all failures raised on purpose."""


class SettingsError(FhirmsgError):
    """Faults in the settings or in a policy file, all of them at once (`faults`)."""

    def __init__(self, faults: list[str]) -> None:
        """Keep every fault; the text lists one a line."""
        super().__init__("\n".join(faults))
        self.faults = faults


class RecordUnavailable(FhirmsgError):
    """The FHIR server did not answer, or not in FHIR; nothing was sent by this call."""


class RecordUnreachable(RecordUnavailable):
    """The FHIR server is away: no answer, a 5xx, or one that is not FHIR.

    Only then may an emergency go unread. A server that answers something else may hold a safety
    restriction that could not be read, and no emergency goes past that.
    """


class PatientNotFound(FhirmsgError):
    """The FHIR server does not know the patient, or no longer."""


class RecipientNotFound(FhirmsgError):
    """The FHIR server does not know the related person, or no longer."""


class PatientAmbiguous(FhirmsgError):
    """An identifier matches several patients."""


class MessageNotFound(FhirmsgError):
    """No message with this id was ever opened, or it is not this client's to see."""


class StillRunning(FhirmsgError):
    """Another call is handing the same message off; `retry_after` in seconds."""

    def __init__(self, text: str, retry_after: int) -> None:
        """Keep the time after which asking again makes sense."""
        super().__init__(text)
        self.retry_after = retry_after


class KeyReused(FhirmsgError):
    """The Idempotency-Key is bound to another message."""


class TryLater(FhirmsgError):
    """Nothing was sent, surely, and the same call may succeed later; `retry_after` in seconds."""

    def __init__(self, text: str, retry_after: int) -> None:
        """Keep the time after which asking again makes sense."""
        super().__init__(text)
        self.retry_after = retry_after


class ProviderSilent(FhirmsgError):
    """A provider did not answer a look-up, so nobody knows whether it has the message."""


class CursorRefused(FhirmsgError):
    """A page cursor was not given out by this service, or is too old."""


class CallbackRefused(FhirmsgError):
    """A callback does not prove that it comes from the provider; nothing in it was looked at."""


class CallbackUnreadable(FhirmsgError):
    """A callback comes from the provider and is not what it documents; nothing was taken."""


class ProviderUnknown(FhirmsgError):
    """No provider of this name is set up, or it does not call back."""


class JournalUnavailable(FhirmsgError):
    """The journal file cannot be read or written, so nothing can be kept on this host."""


class DecisionLogUnavailable(FhirmsgError):
    """The decision log cannot be read or written, so a decision cannot be kept on this host."""
