"""Whether the service runs, and whether it can work."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether messages can be decided now; `details` say for each part why not, in plain words."""

    ready: bool
    details: dict[str, str] = field(default_factory=dict)
