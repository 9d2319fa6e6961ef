"""The contract: `openapi.yaml`, and request bodies checked against it.

Texts are our own: a schema library's messages quote the value that is wrong, and a value can be
a telephone number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema_rs
import yaml

from fhirmsg.packaged import packaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a request, and where: `pointer` is a JSON pointer into the body."""

    pointer: str
    detail: str


@cache
def contract_text() -> str:
    """Give the document as written."""
    path = packaged("openapi.yaml", in_the_repository="openapi.yaml")
    return path.read_text(encoding="utf-8")


@cache
def contract() -> dict[str, Any]:
    """Give the document as data."""
    document: dict[str, Any] = yaml.safe_load(contract_text())
    return document


@cache
def validator_of(schema: str) -> jsonschema_rs.Draft202012Validator:
    """Give the validator of one of the document's schemas."""
    root = {"$ref": f"#/components/schemas/{schema}", "components": contract()["components"]}
    return jsonschema_rs.Draft202012Validator(root, validate_formats=True)


_TEXTS = {
    "type": "has the wrong JSON type",
    "enum": "is not one of the values allowed here",
    "const": "is not the value allowed here",
    "minLength": "is too short",
    "maxLength": "is too long",
    "maxItems": "has too many members",
    "minItems": "has too few members",
    "format": "is not a date and time with a zone, as in RFC 3339",
    "pattern": "has not the form allowed here",
}


def faults_of(body: object, schema: str) -> list[Fault]:
    """Give every way in which a body differs from a schema, in the order of their pointers."""
    faults: set[tuple[str, str]] = set()
    for error in validator_of(schema).iter_errors(body):
        faults |= set(_faults_of_error(error))
    return [Fault(pointer=pointer, detail=detail) for pointer, detail in sorted(faults)]


def _faults_of_error(error: Any) -> list[tuple[str, str]]:
    path = [str(step) for step in error.instance_path]
    kind = error.kind
    name = kind.name if hasattr(kind, "name") else ""
    if name == "required":
        return [(pointer_to([*path, str(kind.property)]), "is missing")]
    if name == "additionalProperties":
        return [
            (pointer_to([*path, _name_as_given(each)]), "is not a known field")
            for each in kind.unexpected
        ]
    return [(pointer_to(path), _TEXTS.get(name, "is not allowed here"))]


def _name_as_given(name: str) -> str:
    """Give a field's name if it looks like a name; somebody may have put a value in its place."""
    plain = name.isascii() and name.replace("_", "").isalpha() and len(name) <= 32
    return name if plain else "?"


def pointer_to(path: list[str]) -> str:
    """Write a JSON pointer (RFC 6901)."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)
