"""`fhirmsg serve`, with its effects numbered, a clock that is wrong, and an end to order.

    python -m tests.rigs.serve --effects FILE [--only REGEX] [--clock-offset SECONDS]
                               [--kill-at before:7] [--stop-at after:12]

Settings come from the environment as for the real one. First run it without an end, count the
effects of a send in FILE, then iterate. `--stop-at` stops it by SIGSTOP, until SIGCONT.
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from fhirmsg import clock


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--effects", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--kill-at")
    parser.add_argument("--stop-at")
    parser.add_argument("--clock-offset", type=float, default=0.0)
    told = parser.parse_args()
    if told.clock_offset:
        set_wall_clocks(told.clock_offset)

    # Only now: whoever imports a clock has to find the wrong one.
    from fhirmsg import app, logs
    from fhirmsg.config import Settings
    from tests.rigs.effects import (
        Effects,
        Moment,
        watched_journal,
        watched_provider,
        watched_session,
    )

    effects = Effects(
        told.effects,
        kill_at=Moment.parse(told.kill_at) if told.kill_at else None,
        stop_at=Moment.parse(told.stop_at) if told.stop_at else None,
        only=told.only,
    )
    settings = Settings.from_environment(os.environ)
    logs.configure(settings.log_level)
    built = app.build(
        settings,
        providers={
            name: watched_provider(effects, provider)
            for name, provider in app.providers_of(settings).items()
        },
        journal=watched_journal(effects, app.journal_of(settings)),
        session_factory=watched_session(effects),
    )
    raise SystemExit(app.serve(built, settings))


def set_wall_clocks(offset: float) -> None:
    """Set the wall clocks of this process wrong by so many seconds; the boot clock stays right."""
    right_now, right_time = clock.now, time.time

    def now() -> datetime:
        return right_now() + timedelta(seconds=offset)

    clock.now = now
    time.time = lambda: right_time() + offset


if __name__ == "__main__":
    main()
