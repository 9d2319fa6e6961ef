"""Mutation testing of the core: `python -m tests.mutation [FOLDER]`, then `mutmut run` in there.

mutmut leaves decorated functions alone, and every rule and every derived fact is one. So a copy is
made in which decorators are applied by an assignment behind the function: it means the same, and
all of it is mutated. Needs the extra `dev`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import libcst as cst

ROOT = Path(__file__).parents[2]
COPIED = ("fhirmsg", "tests", "fixtures", "openapi.yaml", "README.md")
# Left as they are: a class method gets its class in another way.
_KEPT = frozenset({"classmethod", "staticmethod", "overload", "cache"})

# Words of sentences are data; what they say is looked at by people.
SETTINGS = r"""
[tool.pytest.ini_options]
addopts = "--strict-markers"
markers = ["hapi: runs against a real server"]

[tool.mutmut]
source_paths = ["fhirmsg"]
only_mutate = ["fhirmsg/guidance/*"]
do_not_mutate = ["fhirmsg/guidance/evidence_table.py", "fhirmsg/guidance/wording/tables.py"]
also_copy = ["fhirmsg", "tests", "fixtures", "openapi.yaml", "README.md"]
do_not_mutate_patterns = [
  "^\\s*(sentence=|yield f?\"|return f?\"|[+(]? *f?\"[^\"]* [^\"]*\"|says=|holds=|bound_to=)",
]
pytest_add_cli_args = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--timeout=60"]
pytest_add_cli_args_test_selection = [
  "tests/guidance",
  "--ignore=tests/guidance/invariants",
  "--deselect=tests/guidance/test_guards.py::test_a_rule_that_is_not_asked_would_have_found_nothing",
  "--deselect=tests/guidance/test_guards.py::test_the_guidance_imports_itself_and_the_standard_library_alone",
  "--deselect=tests/guidance/test_guards.py::test_the_guidance_reads_no_clock_no_network_and_no_file",
]
timeout_constant = 5.0
"""


class _Undecorated(cst.CSTTransformer):
    """Applies the decorators of functions by assignments behind them."""

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement]:
        names = {_name_of(each.decorator) for each in updated_node.decorators}
        if not updated_node.decorators or names & _KEPT:
            return updated_node
        name: cst.BaseExpression = cst.Name(updated_node.name.value)
        value = name
        for each in reversed(updated_node.decorators):
            value = cst.Call(func=each.decorator, args=[cst.Arg(value)])
        assignment = cst.SimpleStatementLine(
            [cst.Assign(targets=[cst.AssignTarget(cst.Name(updated_node.name.value))], value=value)]
        )
        return cst.FlattenSentinel([updated_node.with_changes(decorators=()), assignment])


def _name_of(decorator: cst.BaseExpression) -> str:
    called = decorator.func if isinstance(decorator, cst.Call) else decorator
    return called.value if isinstance(called, cst.Name) else ""


def main() -> None:
    """Make the copy."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "mutation")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "target")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    for path in (folder / "fhirmsg" / "guidance").rglob("*.py"):
        tree = cst.parse_module(path.read_text("utf-8"))
        path.write_text(tree.visit(_Undecorated()).code, "utf-8")
    (folder / "pyproject.toml").write_text(SETTINGS, "utf-8")
    print(f"cd {folder} && mutmut run && mutmut results")


if __name__ == "__main__":
    main()
