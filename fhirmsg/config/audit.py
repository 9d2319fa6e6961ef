"""The decision log's file, for a FHIR server that takes no AuditEvent."""

from __future__ import annotations

import os

from fhirmsg.environment import Variables


def decision_log(variables: Variables) -> str | None:
    """Read the path of the decision log, None when there is to be none."""
    name, what = "DECISION_LOG", "name a file in a folder that is there and can be written"
    path = variables.text(name, default="", what=what)
    if not path:
        return None
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        variables.fault(name, f"is not right; {what}")
    return path
