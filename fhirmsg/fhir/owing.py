"""What the FHIR server could not take is kept in the journal, to be written when it is back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from fhirmsg.errors import JournalUnavailable
from fhirmsg.fhir.client import Resource
from fhirmsg.ports import Journal, Owed

log = logging.getLogger("fhirmsg.record")

SETTLEMENT = "settlement"
CREATE = "create"
TASK = "task"
CLOSE_TASK = "close-task"
CONSENT = "declined"


class Owing:
    """Keeps writes in a journal; without one it keeps nothing. Thread-safe; never raises."""

    def __init__(self, journal: Journal | None) -> None:
        """Keep them in this journal."""
        self._journal = journal

    def create(self, resource: Resource) -> bool:
        """Keep a resource that is to be created; tells whether it is kept."""
        return self.keep(CREATE, str(uuid4()), {"resource": resource})

    def keep(self, form: str, key: str, content: Mapping[str, Any]) -> bool:
        """Keep a write of this form, once for each key; tells whether it is kept."""
        if self._journal is None:
            return False
        try:
            self._journal.keep(Owed.WRITE, f"{form}:{key}", {"form": form, **content})
        except JournalUnavailable:
            log.error("write not kept", extra={"kind": form})
            return False
        return True
