"""Whatever a user gives us: one clear line that says what, where and what to do, and nothing overwritten."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipedrive_assets.cli import main
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets_tests.damage import DAMAGES, Damage, digest, write_protected
from pipedrive_assets_tests.equality import assert_equal_copy
from pipedrive_assets_tests.warehouse_rows import open_warehouse

Cli = Callable[..., Result]
SYNC = ("sync-entities", "--entity", "users")
QUERY = ("query", "SELECT count(*) FROM pipedrive.users")
TOUCHING = {"state": (("status",), SYNC), "warehouse": (("status",), SYNC, QUERY)}
BELOW_A_FILE_SIZE = """
import resource, sys
from pipedrive_assets.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""
FILES = {"state": "pipedrive_state.db", "warehouse": "warehouse.duckdb"}


@pytest.fixture(scope="module")
def good_home(shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which something was synced, to be copied by each test."""
    home = tmp_path_factory.mktemp("good")
    assert run(home, shared_sandbox, *SYNC).exit_code == 0
    return home


@pytest.fixture
def home(good_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good_home, tmp_path / "home"))


@pytest.fixture
def cli(home: Path, shared_sandbox: Sandbox) -> Cli:
    """Runs a command in ``home``; keywords are settings in lower case."""

    def command(*arguments: str, **settings: str) -> Result:
        return run(home, shared_sandbox, *arguments, **settings)

    return command


def environment(home: Path, sandbox: Sandbox, **settings: str) -> dict[str, str]:
    return {
        "DAGSTER_HOME": str(home),
        "PIPEDRIVE_BASE_URL": sandbox.url,
        "PIPEDRIVE_TOKEN": sandbox.token,
        "PIPEDRIVE_PLAN": "ultimate",
        "PIPEDRIVE_SEATS": "5",
        "PIPEDRIVE_WAREHOUSE_LOCK_TIMEOUT": "5",
        **{f"PIPEDRIVE_{name.upper()}": value for name, value in settings.items()},
    }


def run(home: Path, sandbox: Sandbox, *arguments: str, **settings: str) -> Result:
    mine = {name: None for name in os.environ if name.startswith(("PIPEDRIVE_", "DAGSTER_"))}
    return CliRunner().invoke(main, arguments, env={**mine, **environment(home, sandbox, **settings)})


def errors(result: Result) -> list[str]:
    """The lines on standard error; each has to be an error of ours, told to a person."""
    lines = result.stderr.splitlines()
    assert all(line.startswith("Error: ") for line in lines), result.stderr
    assert "not foreseen" not in result.stderr
    assert "Traceback" not in result.output
    return lines


def the_error(result: Result) -> str:
    assert result.exit_code == 1, result.output
    (line,) = errors(result)
    return line


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_bad_file_is_one_line_with_its_place_and_the_remedy_and_is_left_as_it_was(
    damage: Damage, home: Path, cli: Cli
) -> None:
    path = home / "storage" / FILES[damage.of]
    damage.do(path)
    before = digest(path)
    for command in TOUCHING[damage.of]:
        line = the_error(cli(*command))
        assert str(path) in line
        assert re.search(damage.told, line), line
    shown = cli("config", "--json")
    assert shown.exit_code == 0
    (warning,) = [text for text in json.loads(shown.stdout)["warnings"] if str(path) in text]
    assert re.search(damage.told, warning)
    assert digest(path) == before


@pytest.mark.parametrize("of", ["state", "warehouse"])
def test_a_file_that_may_not_be_written_can_be_read_but_a_sync_says_so(of: str, home: Path, cli: Cli) -> None:
    path = home / "storage" / FILES[of]
    before = digest(path)
    with write_protected(path):
        assert cli(*QUERY).exit_code == 0
        assert cli("status").exit_code == 0
        line = the_error(cli(*SYNC))
    assert str(path) in line
    assert "rights" in line
    assert digest(path) == before


def test_a_folder_that_may_not_be_written_is_one_line(home: Path, cli: Cli) -> None:
    with write_protected(home / "storage"):
        (home / "storage" / f"{FILES['state']}.lock").exists()
        line = the_error(cli(*SYNC))
    assert str(home / "storage") in line
    assert "writable folder" in line


@pytest.mark.parametrize("command", [("status",), SYNC])
def test_a_home_that_cannot_be_made_is_one_line_and_nothing_is_asked(
    command: tuple[str, ...], tmp_path: Path, shared_sandbox: Sandbox
) -> None:
    (tmp_path / "file").write_text("no folder")
    shared_sandbox.log.clear()
    line = the_error(run(tmp_path / "file" / "home", shared_sandbox, *command))
    assert str(tmp_path / "file" / "home") in line
    assert "DAGSTER_HOME" in line
    assert shared_sandbox.log.for_path("/users") == []
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_warehouse_below_a_file_is_one_line(home: Path, cli: Cli) -> None:
    (home / "file").write_text("no folder")
    line = the_error(cli(*SYNC, warehouse=str(home / "file" / "warehouse.duckdb")))
    assert str(home / "file") in line
    assert "set PIPEDRIVE_WAREHOUSE to a file in a writable folder" in line


# A full disk --------------------------------------------------------------------------------------


@pytest.fixture
def limited(home: Path, shared_sandbox: Sandbox) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs a command in a process whose files may not grow beyond so many bytes, as on a full disk."""

    def command(size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", BELOW_A_FILE_SIZE, str(size), *arguments],
            env={**os.environ, **environment(home, shared_sandbox)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    yield command
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_full_disk_under_the_warehouse_is_one_line_and_what_was_committed_is_kept(
    home: Path,
    cli: Cli,
    shared_sandbox: Sandbox,
    limited: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    path = home / "storage" / FILES["warehouse"]
    ended = limited(
        path.stat().st_size + 4096, "sync-entities", "--entity", "activities", "--entity", "deals"
    )
    assert ended.returncode == 1
    first = ended.stderr.splitlines()[0]
    assert first.startswith("Error: ")
    assert str(path) in first
    assert "has no room left on its disk" in first
    assert json.loads(cli(*QUERY, "--json").stdout)["rows"] == [[len(shared_sandbox.rows("users"))]]
    assert cli("sync-entities", "--entity", "activities", "--entity", "deals").exit_code == 0
    warehouse = open_warehouse(path)
    assert_equal_copy(
        warehouse, {name: shared_sandbox.rows(name) for name in ("users", "activities", "deals")}
    )
    warehouse.close()


def test_a_full_disk_under_the_state_store_is_one_line(
    home: Path, cli: Cli, limited: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ended = limited(0, *SYNC)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert str(home / "storage" / FILES["state"]) in line
    assert "full" in line
    assert cli(*SYNC).exit_code == 0


# Settings and options -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("status",), SYNC, QUERY, ("config",)])
def test_several_wrong_settings_are_a_line_each_in_every_command(command: tuple[str, ...], cli: Cli) -> None:
    result = cli(*command, seats="0", plan="gold", max_batch_size="501", nonsense="1")
    assert result.exit_code == 1
    named = [line.removeprefix("Error: ").split("=")[0] for line in errors(result)]
    assert named == ["PIPEDRIVE_PLAN", "PIPEDRIVE_SEATS", "PIPEDRIVE_MAX_BATCH_SIZE", "PIPEDRIVE_NONSENSE"]
    assert result.stdout == ""


def test_settings_that_do_not_fit_together_are_all_named(cli: Cli) -> None:
    result = cli(
        "status",
        min_batch_size="400",
        max_batch_size="300",
        request_deadline="5",
        memory_alert_threshold="99",
    )
    assert [line.split("=")[0] for line in errors(result)] == [
        "Error: PIPEDRIVE_MIN_BATCH_SIZE",
        "Error: PIPEDRIVE_MEMORY_ALERT_THRESHOLD",
        "Error: PIPEDRIVE_REQUEST_DEADLINE",
    ]


@pytest.mark.parametrize("command", [("status",), ("sync-entities",), ("config",)])
def test_unknown_entities_in_the_settings_are_all_named_with_what_they_may_have_meant(
    command: tuple[str, ...], cli: Cli
) -> None:
    result = cli(*command, enabled_entities="dealz,+personz")
    assert result.exit_code == 1
    deals, persons = errors(result)
    assert deals.startswith("Error: PIPEDRIVE_ENABLED_ENTITIES: Pipedrive has no entity 'dealz'")
    assert "did you mean deals" in deals
    assert "did you mean persons" in persons


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--entity", "dealz"), "did you mean deals"),
        (("--entity", "dealz", "--entity", "personz"), "did you mean persons"),
        (("--since", "2026-02-01", "--until", "2026-01-01"), "must be before until"),
        (("--since", "2026-02-01", "--until", "2026-02-01"), "must be before until"),
        (("--since", "2999-01-01"), "is in the future"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], said: str, cli: Cli, shared_sandbox: Sandbox
) -> None:
    shared_sandbox.log.clear()
    result = cli("sync-entities", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert shared_sandbox.log.for_path("/deals") == []


# Queries ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("'-infinity'::TIMESTAMP", "-infinity"),
        ("'infinity'::TIMESTAMPTZ", "infinity"),
        ("'infinity'::DATE", "infinity"),
        ("'200000-01-01'::DATE", "200000-01-01"),
        ("'12026-01-02 03:04:05'::TIMESTAMP", "12026-01-02 03:04:05.000000"),
        ("['infinity'::DATE, NULL]", ["infinity", None]),
        ("{'at': '-infinity'::TIMESTAMP}", {"at": "-infinity"}),
        ("MAP {'a': 'infinity'::DATE}", [["a", "infinity"]]),
    ],
)
def test_a_moment_beyond_what_python_can_hold_is_shown_as_a_text(value: str, shown: object, cli: Cli) -> None:
    result = cli("query", "--json", f"SELECT {value} AS moment")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == [[shown]]
    assert cli("query", f"SELECT {value} AS moment").exit_code == 0
