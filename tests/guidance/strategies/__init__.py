"""What hypothesis draws from: provision trees, Consents, people, evidence and whole cases.

Values come from small pools around the boundaries that matter, so that matches, near misses and
collisions are all frequent.
"""

from __future__ import annotations

from tests.guidance.strategies.cases import *  # noqa: F403
from tests.guidance.strategies.consents import *  # noqa: F403
from tests.guidance.strategies.departures import *  # noqa: F403
from tests.guidance.strategies.draws import *  # noqa: F403
from tests.guidance.strategies.evidence import *  # noqa: F403
from tests.guidance.strategies.people import *  # noqa: F403
