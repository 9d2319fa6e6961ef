"""Which kinds a granted scope lets be read whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from fhirmsg.fhir.scopes import DECIDING, DEFAULT_SCOPES, hidden_kinds, kinds_in, readable_kinds

CONSENT = frozenset({"Consent"})
SOURCE = Path(__file__).parents[2] / "fhirmsg" / "fhir"


@pytest.mark.parametrize(
    "scope",
    [
        "system/Consent.rs",
        "system/Consent.cruds",
        "system/Consent.crs",
        "system/*.rs",
        "system/*.cruds",
        "system/Consent.read",
        "system/Consent.*",
        "system/*.read",
        "system/*.*",
        "openid system/Patient.r system/Consent.rs launch",
        "system/Consent.rs?category=x system/Consent.rs",
        DEFAULT_SCOPES,
    ],
)
def test_consents_are_open(scope: str) -> None:
    assert hidden_kinds(scope, CONSENT) == frozenset()


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "system/Patient.rs",
        "system/Consent.r",
        "system/Consent.s",
        "system/Consent.r system/Consent.s",
        "system/Consent.",
        "system/Consent.cud",
        "system/Consent.sr",
        "system/Consent.rs?status=active",
        "system/*.rs?_security=N",
        "system/Consent.write",
        "system/*.write",
        "user/Consent.rs",
        "patient/Consent.rs",
        "user/*.*",
        "system/consent.rs",
        "SYSTEM/Consent.rs",
        "system/Consent.rs,system/Patient.rs",
        "system/Consent.rs\u00a0x",
        "system/Consent.reads",
        "system/ConsentX.rs",
        "xsystem/Consent.rs",
        "*",
        "system/*",
    ],
)
def test_consents_may_be_hidden(scope: str) -> None:
    assert hidden_kinds(scope, CONSENT) == CONSENT


def test_nothing_is_hidden_where_nothing_limits() -> None:
    assert hidden_kinds(None, DECIDING) == frozenset()


def test_only_kinds_that_decide_and_were_asked_for_are_told() -> None:
    paths = ["Patient/1", "Consent?patient=Patient/1", "Appointment/2", "Organization/3"]
    assert hidden_kinds("system/Patient.rs", kinds_in(paths)) == CONSENT


def test_the_default_scopes_open_everything_that_the_package_searches_and_writes() -> None:
    literals = [
        node.value
        for file in SOURCE.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    searched = {found[1] for text in literals if (found := re.match(r"([A-Z][A-Za-z]+)\?", text))}
    assert {"Consent", "RelatedPerson", "Communication", "Flag", "Task"} <= searched
    letters = dict(each.removeprefix("system/").split(".") for each in DEFAULT_SCOPES.split())
    assert {kind for kind in searched if "s" not in letters.get(kind, "")} == set()
    assert readable_kinds(DEFAULT_SCOPES) >= DECIDING
    # SMART wants the letters in this order.
    assert all("".join(sorted(each, key="cruds".index)) == each for each in letters.values())
