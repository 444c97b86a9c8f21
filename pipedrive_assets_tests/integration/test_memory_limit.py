"""Syncs in processes of their own under a memory limit: bounded, whole, and resumable where it must end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipedrive_assets.cli import main
from pipedrive_assets.exceptions import PipedriveMemoryException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets_tests.equality import assert_equal_copy
from pipedrive_assets_tests.warehouse_rows import open_warehouse

MIB = 1 << 20
PAGE = 20
HEADROOM_MB = 200
Child = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def account() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="small", seed=7)) as running:
        yield running


@pytest.fixture
def environment(account: Sandbox, tmp_path: Path) -> dict[str, str]:
    account.log.clear()
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PIPEDRIVE_")}
    return {
        **mine,
        "DAGSTER_HOME": str(tmp_path),
        "PIPEDRIVE_TOKEN": account.token,
        "PIPEDRIVE_BASE_URL": account.url,
        "PIPEDRIVE_PLAN": "ultimate",
        "PIPEDRIVE_SEATS": "5",
        "PIPEDRIVE_MIN_BATCH_SIZE": "2",
        "PIPEDRIVE_MAX_BATCH_SIZE": str(PAGE),
    }


@pytest.fixture
def child(environment: dict[str, str]) -> Child:
    """Runs a job of ``memory_child`` to its end; ``before`` is a shell command that goes first."""

    def run(*, before: str = ":", **job: Any) -> dict[str, Any]:
        command = [sys.executable, "-m", "pipedrive_assets_tests.memory_child", json.dumps(job)]
        ended = subprocess.run(
            ["sh", "-c", f'{before} && exec "$@"', "sh", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert ended.returncode == 0, f"ended with {ended.returncode}: {ended.stderr[-2000:]}"
        report: dict[str, Any] = json.loads(ended.stdout)
        return report

    return run


def assert_whole(account: Sandbox, home: Path, *entities: str) -> None:
    warehouse = open_warehouse(home / "storage" / "warehouse.duckdb")
    assert_equal_copy(warehouse, {name: account.rows(name) for name in entities})
    warehouse.close()


def page_sizes(account: Sandbox, path: str) -> list[int]:
    return [int(record.params["limit"]) for record in account.log.for_path(path)]


def asked(account: Sandbox, path: str) -> list[dict[str, str]]:
    """What each request asked for, but for how many rows."""
    found = (dict(record.params) for record in account.log.for_path(path))
    return [{name: value for name, value in params.items() if name != "limit"} for params in found]


# Within the limit ---------------------------------------------------------------------------------


def test_pages_shrink_while_memory_is_short_and_grow_back_and_no_row_is_lost(
    account: Sandbox, tmp_path: Path, child: Child
) -> None:
    report = child(
        entities=["activities"], headroom_mb=HEADROOM_MB, ballast_mb=135, ballast_from=5, ballast_to=40
    )
    assert report["error"] is None
    assert report["limit_origin"] == "setting"
    assert report["peak_mb"] <= report["limit_mb"]
    sizes = page_sizes(account, "/activities")
    assert sizes[0] == PAGE
    assert 2 <= min(sizes) < PAGE
    assert sizes[-1] == PAGE
    assert_whole(account, tmp_path, "activities")


def test_a_list_far_larger_than_the_room_that_is_left_is_read_within_it(
    account: Sandbox, tmp_path: Path, environment: dict[str, str], child: Child
) -> None:
    environment["PIPEDRIVE_MAX_BATCH_SIZE"] = "500"
    entities = ["deals", "activities", "persons", "notes"]
    report = child(entities=entities, headroom_mb=120)
    assert report["error"] is None
    assert report["peak_mb"] <= report["limit_mb"]
    assert_whole(account, tmp_path, *entities)


# Out of memory ------------------------------------------------------------------------------------


def test_a_sync_that_ran_out_of_memory_goes_on_in_another_process_without_paying_a_page_twice(
    account: Sandbox, tmp_path: Path, child: Child
) -> None:
    ended = child(entities=["activities"], headroom_mb=HEADROOM_MB, ballast_mb=210, ballast_from=30)
    assert ended["error"]["type"] == PipedriveMemoryException.__name__
    assert ended["error"]["retryable"]
    details = ended["error"]["context"]["details"]
    assert ended["error"]["context"]["entity"] == "activities"
    assert details["stream"] == "live"
    assert details["position"]["last_id"]
    assert details["used_mb"] > 0.95 * details["limit_mb"]
    sizes = page_sizes(account, "/activities")
    assert sizes[-1] == 2, "the smallest page was tried before giving up"
    before = asked(account, "/activities")
    assert before[-1]["cursor"] not in json.dumps(ended["error"])

    warehouse = open_warehouse(tmp_path / "storage" / "warehouse.duckdb")
    assert warehouse.row_count("activities") == details["rows"] > 0
    warehouse.close()

    again = child(entities=["activities"], headroom_mb=HEADROOM_MB)
    assert again["error"] is None
    resumed = page_sizes(account, "/activities")[len(before) :]
    assert resumed[0] < PAGE, "a new process must not begin with the pages that filled the last one"
    assert resumed[-1] == PAGE
    paid = asked(account, "/activities")
    assert all(paid.count(params) == 1 for params in paid)
    assert_whole(account, tmp_path, "activities")


def test_a_limit_below_what_the_process_itself_needs_is_one_line_that_names_the_setting(
    account: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    few = {"PIPEDRIVE_MEMORY_LIMIT_MB": "64", "PIPEDRIVE_MIN_BATCH_SIZE": "10"}
    arguments = ["sync-entities", "--entity", "deals", "--entity", "activities", "--entity", "users"]
    rows: list[int] = []
    for _ in range(3):
        account.log.clear()
        result = CliRunner().invoke(main, arguments, env={**environment, **few})
        assert result.exit_code == 1
        told = [line for line in result.stderr.splitlines() if line.startswith("Error: ") and "deals" in line]
        assert len(told) == 1
        assert "64 MB (setting limit) are in use; this process had" in told[0]
        assert "Progress is kept. Raise PIPEDRIVE_MEMORY_LIMIT_MB" in told[0]
        assert "Error: not tried after that: activities" in result.stderr
        assert 1 <= len(account.log.for_path("/deals")) <= 6
        warehouse = open_warehouse(tmp_path / "storage" / "warehouse.duckdb")
        rows.append(warehouse.row_count("deals"))
        warehouse.close()
    assert rows[0] < rows[1] < rows[2], "each run gets further"


# In a container -----------------------------------------------------------------------------------


@pytest.fixture
def container() -> Iterator[Callable[[int], Path]]:
    """Makes control groups (version 1) with a limit, as a container runtime does."""
    made: list[Path] = []

    def make(limit_bytes: int) -> Path:
        group = Path("/sys/fs/cgroup/memory") / f"pipedrive-test-{os.getpid()}-{len(made)}"
        try:
            group.mkdir()
            made.append(group)
            (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error}")
        return group

    yield make
    for group in made:
        group.rmdir()


def sync_in_container(
    account: Sandbox, home: Path, child: Child, group: Path, entities: Sequence[str]
) -> dict[str, Any]:
    report = child(before=f"echo $$ > {group}/cgroup.procs", entities=entities)
    kills = dict(line.split() for line in (group / "memory.oom_control").read_text().splitlines())
    assert kills["oom_kill"] == "0"
    assert report["limit_origin"] == "cgroup"
    assert report["limit_mb"] == int((group / "memory.limit_in_bytes").read_text()) // MIB
    assert report["error"] is None
    assert_whole(account, home, *entities)
    return report


def test_in_a_small_container_a_sync_is_whole_and_never_killed(
    account: Sandbox,
    tmp_path: Path,
    environment: dict[str, str],
    child: Child,
    container: Callable[[int], Path],
) -> None:
    environment["PIPEDRIVE_MAX_BATCH_SIZE"] = "500"
    group = container(320 * MIB)
    sync_in_container(account, tmp_path, child, group, ["deals", "activities", "persons", "notes"])


@pytest.mark.soak
@pytest.mark.parametrize("limit_mb", [512, 320, 256])
def test_in_a_container_of_any_size_a_hundred_thousand_records_are_whole_and_never_killed(
    limit_mb: int, tmp_path: Path, environment: dict[str, str], container: Callable[[int], Path], child: Child
) -> None:
    entities = ["deals", "activities", "persons", "organizations", "notes"]
    with Sandbox.start(SandboxConfig(scale="medium", seed=7)) as large:
        environment.update(PIPEDRIVE_BASE_URL=large.url, PIPEDRIVE_MAX_BATCH_SIZE="500")
        report = sync_in_container(large, tmp_path, child, container(limit_mb * MIB), entities)
        pages = len(page_sizes(large, "/activities"))
    print(
        f"container of {limit_mb} MB: peak {report['peak_mb']:.0f} MB, {report['fetched']:,} rows,", end=" "
    )
    print(f"{pages} pages of activities")
