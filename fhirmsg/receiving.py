"""Receiving: what providers call back with is authenticated, kept in the journal, and answered.

It is put on the record afterwards (`catching_up.py`), so that neither an outage of the FHIR
server nor the end of this process loses any of it, and no provider has to wait.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fhirmsg.errors import ProviderUnknown
from fhirmsg.ports import Callback, Journal, Owed, Provider, TakesReplies, TellsReceipts

log = logging.getLogger("fhirmsg.receiving")


class Receiving:
    """Takes callbacks. Thread-safe.

    Both methods give how many were new, and raise ProviderUnknown, CallbackRefused,
    CallbackUnreadable or JournalUnavailable; then nothing was taken.
    """

    def __init__(self, providers: Mapping[str, Provider], journal: Journal) -> None:
        """Take those of these providers."""
        self._providers = providers
        self._journal = journal

    def receipts(self, name: str, callback: Callback) -> int:
        """Take receipts."""
        provider = self._providers.get(name)
        if not isinstance(provider, TellsReceipts):
            raise ProviderUnknown(f"No provider is set up here that sends receipts to {_PATH}.")
        items = []
        for receipt in provider.receipts(callback):
            content = receipt.as_json()
            key = f"{name}:{receipt.reference}:{receipt.delivery}:{content['at'] or ''}"
            items.append((Owed.RECEIPT, key, {"provider": name, **content}))
        return self._keep(name, items)

    def replies(self, name: str, callback: Callback) -> int:
        """Take what people answer."""
        provider = self._providers.get(name)
        if not isinstance(provider, TakesReplies):
            raise ProviderUnknown(f"No provider is set up here that sends replies to {_PATH}.")
        items = [
            (Owed.REPLY, f"{name}:{reply.id}", {"provider": name, **reply.as_json()})
            for reply in provider.replies(callback)
        ]
        return self._keep(name, items)

    def _keep(self, name: str, items: list[tuple[Owed, str, dict[str, object]]]) -> int:
        new = self._journal.keep_all(items) if items else 0
        log.info("callback taken", extra={"provider": name, "count": len(items)})
        return new


_PATH = "this address"
