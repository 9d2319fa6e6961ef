"""Several real serving processes before one FHIR server, on one host or on several.

    with fleet(tmp_path, hapi, 3) as processes: ...              # one host: they share a journal
    with fleet(tmp_path, hapi, 3, hosts=3) as processes: ...     # a journal each
    with watched(environment, effects, kill_at="after:7") as process: ...

See `tests.serving.Serving` for what can be done with one: kill, pause, resume.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.serving import Serving, serving, write_settings


@contextmanager
def fleet(
    folder: Path,
    fhir_base_url: str,
    count: int,
    *,
    hosts: int = 1,
    clock_offsets: tuple[float, ...] = (),
    **extra: str,
) -> Iterator[list[Serving]]:
    """Run so many processes; the n-th is on host n modulo `hosts`, which has one journal.

    They share policy, clients, record key and the outbox's file, as processes of one deployment
    share a provider. clock_offsets: seconds by which the wall clock of each is wrong.
    """
    environments = []
    for number in range(count):
        journal = folder.resolve() / f"journal-{number % hosts}.sqlite3"
        extra["FHIRMSG_JOURNAL_FILE"] = str(journal)
        environments.append(write_settings(folder, fhir_base_url, **extra))
    offsets = [*clock_offsets, *[0.0] * (count - len(clock_offsets))]
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        # Together, as after a restart of the host; entered in this thread, as stacks want it.
        contexts = [
            serving(environment, module=_module(offset))
            for environment, offset in zip(environments, offsets, strict=True)
        ]
        starting = [pool.submit(context.__enter__) for context in contexts]
        for context in contexts:
            stack.push(context.__exit__)
        yield [each.result() for each in starting]


@contextmanager
def watched(
    environment: dict[str, str],
    effects: Path,
    *,
    kill_at: str | None = None,
    stop_at: str | None = None,
    clock_offset: float = 0.0,
    only: str = "",
) -> Iterator[Serving]:
    """Run one process of `tests.rigs.serve`, its effects in a file."""
    options = {
        "--effects": str(effects),
        "--kill-at": kill_at,
        "--stop-at": stop_at,
        "--only": only,
        "--clock-offset": str(clock_offset),
    }
    told = [f"{name}={value}" for name, value in options.items() if value]
    with serving(environment, module=("tests.rigs.serve", *told)) as process:
        yield process


def _module(offset: float) -> tuple[str, ...]:
    if not offset:
        return ("fhirmsg", "serve")
    return ("tests.rigs.serve", f"--clock-offset={offset}")
