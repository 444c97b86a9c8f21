"""``docs/reliability.md`` promises nothing that has no test, and shows the rules as they are."""

from __future__ import annotations

import re
from pathlib import Path

from pipedrive_assets.api.error_table import markdown
from pipedrive_assets_tests.unit.test_traceability import is_test

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reliability.md").read_text()
TESTS = re.findall(r"pipedrive_assets_tests/[\w/]+\.py(?:::\w+)?", TEXT)


def test_every_test_it_names_exists() -> None:
    assert len(TESTS) > 20
    missing = [name for name in TESTS if not (is_test(name) if "::" in name else (ROOT / name).is_file())]
    assert missing == []


def test_the_table_of_errors_is_the_one_in_force() -> None:
    assert markdown().strip() in TEXT


def test_its_pictures_exist() -> None:
    pictures = re.findall(r"\]\((images/[^)]+)\)", TEXT)
    assert pictures
    assert [name for name in pictures if not (ROOT / "docs" / name).is_file()] == []
