"""The documentation of the settings, and that every setting is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pipedrive_assets
from pipedrive_assets.settings import variables
from pipedrive_assets.settings_docs import configuration_markdown
from pipedrive_assets.settings_retired import known_names

PACKAGE = Path(pipedrive_assets.__file__).parent
DOCUMENT = PACKAGE.parent / "docs" / "configuration.md"
DECLARED_IN = {"settings_fields.py", "settings_retired.py", "settings_docs.py", "settings_problems.py"}


def test_the_document_is_what_the_generator_writes():
    assert DOCUMENT.read_text(encoding="utf-8") == configuration_markdown(), "run `make docs`"


def test_the_module_prints_the_document():
    printed = subprocess.run(
        [sys.executable, "-m", "pipedrive_assets.settings_docs"], capture_output=True, check=True, timeout=60
    )
    assert printed.stdout.decode() == configuration_markdown()


@pytest.mark.parametrize("variable", sorted({*variables(), *known_names()}))
def test_every_variable_has_one_row_in_the_document(variable):
    assert configuration_markdown().count(f"| `{variable}` |") >= 1


def test_every_row_has_as_many_cells_as_its_table():
    for table in configuration_markdown().split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1


def attributes_read() -> set[str]:
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
        if path.name not in DECLARED_IN and "sandbox" not in path.parts
    ]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_setting_is_read_somewhere_in_the_package():
    assert set(variables().values()) - attributes_read() == set()


def test_nothing_but_the_settings_reads_the_environment():
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert readers == {"settings.py"}
