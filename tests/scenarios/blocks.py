"""The building blocks of scenarios: `fixtures/scenarios/given/*.toml`, read strictly."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scenarios.words import UnknownWord, merged

FOLDER = Path(__file__).parents[2] / "fixtures" / "scenarios"

_BLOCK_KEYS = frozenset({"says", "resource", "like", "change", "brings", "as"})


class ScenarioError(Exception):
    """Scenario files have faults; each is told with the file and the scenario it stands in."""

    def __init__(self, faults: Iterable[str]) -> None:
        """Keep every fault."""
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True, kw_only=True)
class Block:
    """A thing that scenarios are built from: one FHIR resource, and the blocks that come with it.

    `says` is what an officer reads in place of the resource.
    """

    name: str
    says: str
    resource: dict[str, Any]
    brings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Library:
    """What `given/` holds. policies: changes of the base policy. request, evidence: defaults."""

    blocks: dict[str, Block]
    names: dict[str, str]
    policies: dict[str, dict[str, Any]]
    request: dict[str, Any]
    evidence: dict[str, dict[str, Any]]


def load_library(folder: Path = FOLDER) -> Library:
    """Read the building blocks. Raises ScenarioError."""
    raw: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    special: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / "given").glob("*.toml")):
        content = read_toml(path, faults)
        if path.stem in ("words", "policies", "message"):
            special[path.stem] = content
            continue
        for name, block in content.items():
            if name in raw:
                faults.append(f"{path.name}: {name} is there twice")
            raw[name] = block
    blocks: dict[str, Block] = {}
    for name in raw:
        try:
            blocks[name] = _block(name, raw)
        except (UnknownWord, KeyError, IndexError, TypeError, ValueError) as error:
            faults.append(f"given: {name}: {error}")
    if faults:
        raise ScenarioError(faults)
    message = special.get("message", {})
    return Library(
        blocks=blocks,
        names=special.get("words", {}),
        policies=special.get("policies", {}),
        request=message.get("request", {}),
        evidence=message.get("evidence", {}),
    )


def _block(name: str, raw: dict[str, dict[str, Any]]) -> Block:
    block = raw[name]
    if unknown := set(block) - _BLOCK_KEYS:
        raise ValueError(f"{sorted(unknown)[0]!r} is no key of a block")
    if not block.get("says"):
        raise ValueError("`says` is missing")
    if "like" in block:
        base = _block(block["like"], raw)
        resource = merged(base.resource, block.get("change", {}))
        brings = tuple(block.get("brings", base.brings))
    else:
        resource, brings = block["resource"], tuple(block.get("brings", ()))
    if unknown_blocks := [each for each in brings if each not in raw]:
        raise ValueError(f"brings {unknown_blocks[0]!r}, which is no block")
    resource = {**resource, "id": block.get("as", name)}
    return Block(name=name, says=block["says"], resource=resource, brings=brings)


def read_toml(path: Path, faults: list[str]) -> dict[str, Any]:
    """Read a file; what is wrong with it is added to the faults."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{path.name}: is not TOML: {error}")
        return {}
