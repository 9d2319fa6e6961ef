"""The crash matrix: each scene, dying just before and just after each of its effects.

    python -m tests.crash.matrix [scene ...]

plays all of it, or the scenes named, and prints the figures.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.scenes import ID, SCENES, judged
from tests.crash.stage import SORTS, a_stage

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Death:
    """One cell of the matrix: when a process dies in which scene. Without a kind it lives.

    number: which effect it is; 0 is the first of its kind.
    """

    scene: str
    provider: str
    where: str = "before"
    number: int = 0
    kind: str = ""

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return f"{self.scene}/{self.provider}: {self.where} effect {self.number} ({self.kind})"

    @property
    def fate(self) -> dict[str, str]:
        """The variables that bring it about."""
        return {"CRASH_KILL": f"{self.where}:{self.number or self.kind}"} if self.kind else {}


@dataclass(kw_only=True)
class Result:
    """What came of one cell."""

    death: Death
    killed: bool
    effects: list[str]
    faults: list[str]
    figures: Counter[str] = field(default_factory=Counter)


def play(death: Death, folder: Path, *, store: str | None = None) -> Result:
    """Play one cell; whatever goes wrong in it is a fault of it."""
    play_scene = SCENES[death.scene][0]
    name = f"{death.scene}-{death.provider}-{death.where}-{death.number}"
    with a_stage(
        folder / name, death.provider, store=store, fallback=death.scene == "followed"
    ) as stage:
        try:
            played = play_scene(stage, death.fate)
            faults = judged(played)
        except Exception as error:
            said = stage.started[-1].output.read_text()[-2000:]
            return Result(
                death=death,
                killed=False,
                effects=[],
                faults=[f"{type(error).__name__}: {error} {said}"],
            )
        copies = stage.references()
        statuses = Counter(each["status"] for each in stage.record())
        lost = SORTS[death.provider] != "neither" and copies[ID] == 0
        return Result(
            death=death,
            killed=played.doomed.killed,
            effects=played.effects,
            faults=faults,
            figures=Counter(
                kills=int(played.doomed.killed),
                messages=sum(copies.values()),
                doubled=sum(number - 1 for number in copies.values()),
                lost=int(lost),
                unknown=statuses["unknown"],
            ),
        )


def told(result: Result) -> Result:
    """Print what is wrong with a result at once; a long run is watched by somebody."""
    for fault in result.faults:
        print(f"{result.death.name}: {fault}", flush=True)
    return result


def play_all(deaths: Iterable[Death], folder: Path, *, at_once: int = _AT_ONCE) -> list[Result]:
    """Play several cells side by side, each on a stage of its own."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda death: told(play(death, folder)), deaths))


def cells(scenes: Iterable[str] = tuple(SCENES)) -> list[Death]:
    """Give the cells in which nobody dies: the dry runs."""
    return [
        Death(scene=scene, provider=provider) for scene in scenes for provider in SCENES[scene][1]
    ]


def deaths_in(dry: Iterable[Result]) -> list[Death]:
    """Give every cell in which a process dies, by what the dry runs did."""
    return [
        Death(
            scene=run.death.scene,
            provider=run.death.provider,
            where=where,
            number=number,
            kind=kind,
        )
        for run in dry
        for number, kind in enumerate(run.effects, 1)
        for where in ("before", "after")
    ]


def chosen(deaths: list[Death], number: int) -> list[Death]:
    """Choose so many such that each kind of step is there, then each scene, each side of a step."""
    keys = (
        lambda death: (death.kind,),
        lambda death: (death.scene, death.provider),
        lambda death: (death.kind, death.where),
        lambda death: (death.scene, death.kind, death.where),
    )
    found: dict[Death, None] = {}
    # As many deaths before an effect as after one.
    mixed = sorted(deaths, key=lambda death: (death.number % 2 == 0) == (death.where == "before"))
    for key in keys:
        seen = {key(death) for death in found}
        for death in mixed:
            if key(death) not in seen and len(found) < number:
                seen.add(key(death))
                found[death] = None
    return list(found)


def figures(results: Iterable[Result]) -> Counter[str]:
    """Add the figures up."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.figures)
    return total


def main(scenes: list[str]) -> int:
    """Play all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dry = play_all(cells(scenes or tuple(SCENES)), folder)
        results = play_all(deaths_in(dry), folder)
    unreached = [result for result in results if not result.killed]
    for result in unreached:
        print(f"not reached: {result.death.name}")
    print(f"{len(dry)} dry runs, {len(results)} deaths: {dict(figures(results))}")
    return int(any(result.faults for result in itertools.chain(dry, results)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
