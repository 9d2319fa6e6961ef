"""Settings: everything a process is told, checked whole before anything starts.

One file for each part of it; a new part is a function of `Variables` and a field of `Settings`.
"""

from __future__ import annotations

from fhirmsg.config.settings import Settings

__all__ = ["Settings"]
