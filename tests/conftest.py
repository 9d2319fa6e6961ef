"""What every test run shares: how hard hypothesis tries.

HYPOTHESIS_PROFILE=deep searches a hundred times longer than the default, "ci".
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.register_profile(
    "deep",
    max_examples=20_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

pytest_plugins = ["tests.authorization.plugin", "tests.hapi.plugin"]
