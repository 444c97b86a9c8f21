"""``docs/traceability.md`` names every row of the specification, and nothing in it that does not exist."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "traceability.md"
PACKAGE = "pipedrive_assets"
EXPECTED = [f"S{number}" for number in range(1, 117)] + [
    f"F{number}" for number in range(1, 73) if number not in (18, 19)
]
"""The specification has no F18 and no F19: tables stand in their place."""
ROW = re.compile(r"^\| (?P<cells>[SF]\d+ \|.*) \|$", re.MULTILINE)
QUOTED = re.compile(r"`([^`]+)`")
STATUS = re.compile(r"done|not yet|(?P<kind>partly|not applicable): \S.*")
MOST_WORDS = 12


@dataclass(frozen=True)
class Row:
    """One line of a table: what is asked for, code and tests that are named, and how far it is."""

    name: str
    requirement: str
    symbols: tuple[str, ...]
    tests: tuple[str, ...]
    status: str


def parsed(text: str) -> list[Row]:
    lines = [[cell.strip() for cell in match["cells"].split(" | ")] for match in ROW.finditer(text)]
    assert all(len(cells) == 5 for cells in lines), [cells[0] for cells in lines if len(cells) != 5]
    return [
        Row(name, requirement, tuple(QUOTED.findall(code)), tuple(QUOTED.findall(tests)), status)
        for name, requirement, code, tests, status in lines
    ]


def exists(symbol: str) -> bool:
    """Whether a file, a module, or an attribute, field or method below a module is there."""
    if not symbol.startswith(f"{PACKAGE}."):
        return (ROOT / symbol).is_file()
    parts = symbol.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return has_chain(found, parts[length:])
    return False


def has_chain(found: Any, names: list[str]) -> bool:
    for at, name in enumerate(names):
        fields = getattr(found, "model_fields", {}) | getattr(found, "__dataclass_fields__", {})
        if name in fields:
            # A field has no attributes of its own to speak of.
            return at == len(names) - 1
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


@cache
def functions_of(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef))


def is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    return function.startswith("test_") and function in functions_of(ROOT / path)


def badly_told(row: Row) -> str:
    """What is wrong with how a row is told; empty where nothing is."""
    if not 0 < len(row.requirement.split()) <= MOST_WORDS:
        return f"{row.name}: {len(row.requirement.split())} words"
    if not STATUS.fullmatch(row.status) or "`" in row.status:
        return f"{row.name}: {row.status!r} is no status"
    if row.status == "done" and not (row.symbols and row.tests):
        return f"{row.name}: done, but by what, and shown by what?"
    if row.status == "not yet" and (row.symbols or row.tests):
        return f"{row.name}: not yet, but there is something"
    return ""


DOCUMENTED = parsed(DOCUMENT.read_text(encoding="utf-8"))


def test_every_row_is_there_once_and_in_order() -> None:
    assert [row.name for row in DOCUMENTED] == EXPECTED


def test_every_row_is_told_briefly_with_a_status_that_says_enough() -> None:
    assert [problem for row in DOCUMENTED if (problem := badly_told(row))] == []


def test_every_symbol_exists() -> None:
    named = {symbol for row in DOCUMENTED for symbol in row.symbols}
    assert named
    assert sorted(symbol for symbol in named if not exists(symbol)) == []


def test_every_test_exists() -> None:
    named = {test for row in DOCUMENTED for test in row.tests}
    assert named
    assert sorted(test for test in named if not is_test(test)) == []


@pytest.mark.parametrize(
    "symbol",
    [
        "pipedrive_assets.sync.entity.sync_entities_all",
        "pipedrive_assets.sync.nowhere.sync_entity",
        "pipedrive_assets.settings_fields.Errors.circuit_breaker_colour",
        "pipedrive_assets.settings_fields.Errors.circuit_breaker_timeout.unit",
        "pipedrive_assets.sync.result.SyncResult.tokens_lost",
        "sync_entity",
        "docs/nowhere.md",
        "docs",
    ],
)
def test_a_symbol_that_is_not_there_is_noticed(symbol: str) -> None:
    assert not exists(symbol)


@pytest.mark.parametrize(
    "symbol",
    [
        "pipedrive_assets.sync.entity",
        "pipedrive_assets.warehouse.store.Warehouse.commit",
        "pipedrive_assets.settings_fields.Errors.circuit_breaker_timeout",
        "pipedrive_assets.sync.result.SyncResult.tokens",
        "pipedrive_assets.catalog.spec.Stream.token_cost",
        "Makefile",
    ],
)
def test_a_symbol_that_is_there_is_found(symbol: str) -> None:
    assert exists(symbol)


@pytest.mark.parametrize(
    "name",
    [
        "pipedrive_assets_tests/unit/test_traceability.py::test_that_nobody_wrote",
        "pipedrive_assets_tests/unit/test_traceability.py::parsed",
        "pipedrive_assets_tests/unit/test_traceability.py",
        "pipedrive_assets_tests/unit/test_nowhere.py::test_every_test_exists",
        "pipedrive_assets_tests/unit/test_traceability.py::test_a_symbol_that_is_there_is_found[Makefile]",
    ],
)
def test_a_test_that_is_not_there_is_noticed(name: str) -> None:
    assert not is_test(name)


@pytest.mark.parametrize(
    "cells",
    [
        "S1 | what | `a` |  | done",
        "S1 | what |  | `t` | done",
        "S1 | what |  |  | partly:",
        "S1 | what |  |  | partly",
        "S1 | what |  |  | not applicable",
        "S1 | what |  |  | done soon",
        "S1 | what | `a` |  | not yet",
        "S1 |  |  |  | not yet",
        "S1 | one two three four five six seven eight nine ten eleven twelve thirteen |  |  | not yet",
    ],
)
def test_a_row_that_is_badly_told_is_noticed(cells: str) -> None:
    (row,) = parsed(f"| {cells} |\n")
    assert badly_told(row)


def test_a_row_that_is_missing_doubled_or_broken_is_noticed() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("| S10 |"))
    assert len(parsed(text.replace(line, ""))) == len(EXPECTED) - 1
    assert len(parsed(text.replace(line, 2 * line))) == len(EXPECTED) + 1
    with pytest.raises(AssertionError, match="S10"):
        parsed(text.replace(line, "| S10 | too few cells | done |\n"))
