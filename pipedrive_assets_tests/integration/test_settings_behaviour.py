"""Settings, each by what changes when its value does: over real HTTP, in real files, in real definitions."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import filelock
import pytest
from click.testing import CliRunner, Result

from pipedrive_assets.cli import main
from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.exceptions import PipedriveConnectionException, PipedriveWarehouseException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets_tests.clocks import SkippingClock
from pipedrive_assets_tests.integration.conftest import OpenSession

FULL = SyncOptions(mode=SyncMode.FULL)
Cli = Callable[..., Result]


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """One account for all tests, since none of them writes to it."""
    shared_sandbox.faults.clear()
    shared_sandbox.log.clear()
    return shared_sandbox


@pytest.fixture
def cli(sandbox: Sandbox, tmp_path: Path) -> Cli:
    """Runs a command against the sandbox; keywords are settings in lower case."""

    def run(*arguments: str, home: Path = tmp_path, **settings: Any) -> Result:
        mine = {name: None for name in os.environ if name.startswith(("PIPEDRIVE_", "DAGSTER_"))}
        variables = {
            **mine,
            "DAGSTER_HOME": str(home),
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_TOKEN": sandbox.token,
            **{f"PIPEDRIVE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        return CliRunner().invoke(main, arguments, env=variables)

    return run


def one_object(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


# Connection ---------------------------------------------------------------------------------------


def test_auth_method_is_told_and_another_is_refused_before_anything_is_asked(
    cli: Cli, sandbox: Sandbox
) -> None:
    assert " by token." in cli("test-connection", auth_method="token").stdout
    sandbox.log.clear()
    refused = cli("test-connection", auth_method="oauth")
    assert refused.exit_code == 1
    assert "OAuth is not in this version" in refused.stderr
    assert len(sandbox.log) == 0


@pytest.mark.parametrize("company_domain", ["acme", "globex"])
def test_company_domain_is_the_host_that_is_called(
    company_domain: str, sandbox: Sandbox, session_for: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy() as (url, asked):
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", url)
        with (
            session_for(sandbox, base_url="", company_domain=company_domain, max_retry_attempts=0) as session,
            pytest.raises(PipedriveConnectionException),
        ):
            session.identify()
    assert asked == [f"{company_domain}.pipedrive.com:443"]


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that lets nobody through; its address, and the hosts it was asked for."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                asked.append(lines.readline().decode().split()[1])
                while lines.readline().strip():
                    pass
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        thread.join(5)


def test_base_url_is_the_server_that_is_called(sandbox: Sandbox, session_for: OpenSession) -> None:
    with Sandbox.start(SandboxConfig(scale="tiny")) as other:
        with session_for(sandbox, base_url=other.url) as session:
            session.identify()
        assert (len(sandbox.log), len(other.log)) == (0, 1)


@pytest.mark.parametrize(("request_timeout", "answered"), [(0.1, False), (5, True)])
def test_request_timeout_is_how_long_an_answer_is_waited_for(
    request_timeout: float, answered: bool, session_for: OpenSession
) -> None:
    with (
        Sandbox.start(SandboxConfig(scale="tiny", latency_ms=400)) as slow,
        session_for(slow, request_timeout=request_timeout, max_retry_attempts=0) as session,
    ):
        if answered:
            assert session.identify().company_id == slow.config.company_id
        else:
            with pytest.raises(PipedriveConnectionException):
                session.identify()


# Storage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one.duckdb", "elsewhere/two.duckdb"])
def test_warehouse_is_where_rows_land(
    name: str, sandbox: Sandbox, session_for: OpenSession, tmp_path: Path
) -> None:
    with session_for(sandbox, warehouse=tmp_path / name) as session:
        session.sync("users", FULL)
        assert session.warehouse.row_count("users") == len(sandbox.rows("users"))
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.duckdb")] == [Path(name)]


def test_dagster_home_is_where_warehouse_and_state_lie(cli: Cli, tmp_path: Path) -> None:
    for name in ("first", "second"):
        home = tmp_path / name
        assert cli("sync-entities", "--entity", "users", home=home).exit_code == 0
        found = {path.name for path in (home / "storage").iterdir()}
        assert {"warehouse.duckdb", "pipedrive_state.db"} <= found


@pytest.mark.parametrize("seconds", [2, 9])
def test_warehouse_lock_timeout_is_how_long_another_process_is_waited_for(
    seconds: int, sandbox: Sandbox, session_for: OpenSession, tmp_path: Path
) -> None:
    clock = SkippingClock()
    path = tmp_path / "held.duckdb"
    with (
        session_for(sandbox, clock=clock, warehouse=path, warehouse_lock_timeout=seconds) as session,
        filelock.FileLock(f"{path}.lock"),
        pytest.raises(PipedriveWarehouseException, match="is held by"),
    ):
        session.sync("users", FULL)
    assert sum(clock.slept) == pytest.approx(seconds, abs=0.5)


def test_warehouse_memory_limit_mb_is_what_a_query_may_use(cli: Cli) -> None:
    assert cli("sync-entities", "--entity", "users").exit_code == 0
    hungry = "SELECT len(list(i)) AS n FROM range(20000000) numbers(i)"
    assert one_object(cli("query", hungry, "--json", warehouse_memory_limit_mb=2048))["rows"] == [
        [20_000_000]
    ]
    short = cli("query", hungry, warehouse_memory_limit_mb=128)
    assert short.exit_code == 1
    assert "Out of Memory" in short.stderr


@pytest.mark.parametrize("threads", [1, 3])
def test_warehouse_threads_is_how_many_threads_a_query_gets(threads: int, cli: Cli) -> None:
    assert cli("sync-entities", "--entity", "users").exit_code == 0
    found = one_object(cli("query", "SELECT current_setting('threads')", "--json", warehouse_threads=threads))
    assert found["rows"] == [[threads]]


def test_state_url_is_where_spending_is_remembered(cli: Cli, tmp_path: Path) -> None:
    one, other = (f"sqlite:///{tmp_path / name}.db" for name in ("one", "other"))
    assert cli("sync-entities", "--entity", "users", state_url=one).exit_code == 0
    assert one_object(cli("status", "--json", state_url=one))["budget"]["spent"] > 0
    assert one_object(cli("status", "--json", state_url=other))["budget"]["spent"] == 0


# Scope --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "first", "second"),
    [
        ({"START_DATE": "2025-06-11"}, "2025-06", "2025-07"),
        ({"START_DATE": "2026-02-01"}, "2026-02", "2026-03"),
        ({"START_DATE": "2026-02-04", "PARTITION_GRANULARITY": "daily"}, "2026-02-04", "2026-02-05"),
        ({"START_DATE": "2026-02-04", "PARTITION_GRANULARITY": "weekly"}, "2026-W06-1", "2026-W07-1"),
    ],
)
def test_start_date_and_partition_granularity_cut_the_partitions(
    variables: dict[str, str], first: str, second: str
) -> None:
    settings = load_settings({f"PIPEDRIVE_{name}": value for name, value in variables.items()})
    partitions = build_defs(settings).resolve_asset_graph().get(entity_key("deals")).partitions_def
    assert partitions is not None
    with dg.DagsterInstance.ephemeral() as instance:
        keys = partitions.get_partition_keys(datetime(2026, 11, 23, tzinfo=UTC), instance)
    assert list(keys[:2]) == [first, second]


@pytest.mark.parametrize("sync_overlap", [0, 600, 7200])
def test_sync_overlap_is_how_much_of_the_newest_time_is_read_again(
    sync_overlap: int, session_for: OpenSession
) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    config = SandboxConfig(scale="tiny", now=f"{now:%Y-%m-%dT%H:%M:%SZ}", frozen=True, plan="ultimate")
    with Sandbox.start(config) as frozen, session_for(frozen, sync_overlap=sync_overlap) as session:
        session.sync("persons", FULL)
        frozen.log.clear()
        frozen.clock.advance(3600)
        session.sync("persons", SyncOptions())
        (request,) = frozen.log.for_path("/persons")
    asked = datetime.fromisoformat(request.params["updated_since"])
    # Counted from the moment before the first request, at most a second before its answer.
    assert timedelta(0) <= now - timedelta(seconds=sync_overlap) - asked <= timedelta(seconds=1)


# Budget --------------------------------------------------------------------------------


@pytest.mark.parametrize(("plan", "seats", "budget"), [("growth", 1, 60_000), ("growth", 4, 240_000)])
def test_seats_multiply_the_plans_budget(plan: str, seats: int, budget: int, cli: Cli) -> None:
    found = one_object(cli("status", "--json", plan=plan, seats=seats))["budget"]
    assert (found["budget"], found["origin"]) == (budget, "plan")


# Runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_executor_is_what_runs_the_steps_of_every_job(executor: str) -> None:
    defs = build_defs(load_settings({"PIPEDRIVE_EXECUTOR": executor}))
    jobs = (defs.resolve_job_def(ENTITY_JOB), defs.resolve_implicit_global_asset_job_def())
    assert {job.executor_def.name for job in jobs} == {executor}
