"""The setting of the journal: which file of this host it is, and that it can be used."""

from __future__ import annotations

import os

from fhirmsg.environment import Variables
from fhirmsg.errors import JournalUnavailable
from fhirmsg.journalfile import JournalFile


def journal_file(variables: Variables) -> str | None:
    """Read the path of the journal, and open it once; made here when missing.

    That its disk is persistent and not a network's cannot be seen from here.
    """
    name, what = "JOURNAL_FILE", "name a file on a persistent volume of this host"
    path = variables.text(name, what=what)
    if not path:
        return None
    if not os.path.isabs(path):
        # Processes started in different folders would each have a journal of its own.
        variables.fault(name, f"does not begin at the root; {what}, as /var/lib/fhirmsg/journal")
    elif not os.path.isdir(os.path.dirname(path)):
        variables.fault(name, f"{path} is in no folder that is there; make it, or {what}")
    else:
        try:
            JournalFile(path).database.close()
        except JournalUnavailable as error:
            variables.fault(name, f"{path} cannot be used; {what}. {error}")
    return path
