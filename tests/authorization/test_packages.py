"""The packages of the authorization server are pinned, and come from whichever registry is set."""

from __future__ import annotations

import json
import re

from tests.authorization.server import HERE


def test_every_package_is_pinned_by_its_content_and_names_no_registry() -> None:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    locked = json.loads((HERE / "package-lock.json").read_text())["packages"]
    packages = [package for path, package in locked.items() if path]
    assert len(packages) > 10
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    assert not [package for package in packages if "resolved" in package]
