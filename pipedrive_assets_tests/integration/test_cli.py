"""The commands, against the sandbox over real HTTP: what they print, how they end, what they leave behind."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from pipedrive_assets.cli import main
from pipedrive_assets.cli.app import COMMANDS
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.settings import load_settings
from pipedrive_assets.warehouse.store import Warehouse
from pipedrive_assets_tests.equality import assert_equal_copy

WRONG_TOKEN = "0123456789abcdef0123456789abcdef01234567"
Cli = Callable[..., Result]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str | None]:
    """Nothing of the developer's own, and a home that does not exist yet."""
    mine = {name: None for name in os.environ if name.startswith(("PIPEDRIVE_", "DAGSTER_"))}
    return {**mine, "DAGSTER_HOME": str(tmp_path / "home")}


@pytest.fixture
def cli(sandbox: Sandbox, environment: dict[str, str | None]) -> Cli:
    """Runs a command against the sandbox; keywords are settings in lower case."""

    def run(*arguments: str, **settings: str) -> Result:
        variables = {
            **environment,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_PLAN": "ultimate",
            **{f"PIPEDRIVE_{name.upper()}": value for name, value in settings.items()},
        }
        return CliRunner().invoke(main, arguments, env=variables)

    return run


@pytest.fixture
def warehouse(environment: dict[str, str | None]) -> Warehouse:
    settings = load_settings({"DAGSTER_HOME": str(environment["DAGSTER_HOME"])})
    return Warehouse(settings.warehouse, lock_timeout=20, memory_limit_mb=256, threads=1, clock=SystemClock())


def one_object(result: Result) -> dict[str, Any]:
    """What ``--json`` printed: exactly one object, alone on standard output."""
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    assert result.stdout.count("\n") == 1
    return found


def tables(warehouse: Warehouse) -> set[str]:
    found = warehouse.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'pipedrive'"
    )
    return set(found.column("table_name").to_pylist())


# How a command ends -------------------------------------------------------------------------------


def test_every_command_has_help_and_is_listed():
    listed = CliRunner().invoke(main, ["--help"]).stdout
    for name in COMMANDS:
        assert name in listed
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    "command", ["sync-entities", "sync-custom-fields", "test-connection", "status", "budget"]
)
def test_a_missing_token_is_one_clear_line_and_nothing_is_written(command, environment, tmp_path):
    result = CliRunner().invoke(main, [command], env={**environment, "PIPEDRIVE_TOKEN": None})
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: PIPEDRIVE_TOKEN is not set")
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sync-entities", "sync-custom-fields", "test-connection"])
def test_a_wrong_token_is_one_clear_line_with_what_to_do_and_no_warehouse(cli, command, warehouse):
    result = cli(command, token=WRONG_TOKEN)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: Pipedrive answered 401 [token]")
    assert "Check PIPEDRIVE_TOKEN" in line
    assert WRONG_TOKEN not in result.output
    assert not Path(warehouse.target).exists()


def test_with_json_an_error_is_one_object_too(cli):
    result = cli("test-connection", "--json", token=WRONG_TOKEN)
    assert result.exit_code == 1
    found = one_object(result)
    assert found["ok"] is False
    assert found["error"]["type"] == "PipedriveAuthException"
    assert WRONG_TOKEN not in result.stdout


def test_wrong_settings_are_a_line_each(cli):
    result = cli("sync-entities", seats="0", nonsense="1")
    assert result.exit_code == 1
    assert [line.split("=")[0] for line in result.stderr.splitlines()] == [
        "Error: PIPEDRIVE_SEATS",
        "Error: PIPEDRIVE_NONSENSE",
    ]


def test_a_server_that_cannot_be_reached_is_one_line_with_what_to_check(cli):
    result = cli("test-connection", base_url="http://127.0.0.1:9", max_retry_attempts="0")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "PIPEDRIVE_BASE_URL" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sync-entities", "--entity", "dealz"], "did you mean deals"),
        (["sync-entities", "--full-data", "--since", "2026-01-01"], "takes no --since"),
        (["sync-entities", "--since", "yesterday"], "is no time such as"),
        (["sync-entities", "--since", "2026-01-01T00:00:00.5"], "fractions of a second"),
        (["sync-entities", "--since", "2026-02-01", "--until", "2026-01-01"], "must be before until"),
        (["sync-entities", "--limit", "0"], "--limit"),
        (["sync-entities", "--limit", "5", "--async"], "--limit"),
        (["sync-custom-fields", "--entity", "horse"], "no entity"),
        (["query"], "SQL"),
        (["query", "SELECT 1", "--json", "--csv"], "exclude each other"),
        (["sandbox", "--scale", "huge"], "--scale"),
        (["sync-everything"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_two_and_nothing_is_asked(cli, sandbox, arguments, said):
    result = cli(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(sandbox.log) == 0


def test_what_was_not_foreseen_is_a_line_without_a_traceback_unless_verbose(cli, environment):
    home = Path(str(environment["DAGSTER_HOME"]))
    home.write_text("a file where a folder should be")
    result = cli("demo")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert result.stderr.count("\n") == 1


# sync-entities ------------------------------------------------------------------------------------


def test_every_enabled_entity_is_copied_and_a_second_run_changes_nothing(cli, sandbox, warehouse):
    first = cli("sync-entities", "--full-data", "--json")
    assert first.exit_code == 0, first.stderr
    found = one_object(first)
    names = [result["entity"] for result in found["results"]]
    assert found["ok"] is True
    assert names.index("deals") < names.index("deal_products")
    assert_equal_copy(warehouse, {name: sandbox.rows(name) for name in names})

    sandbox.log.clear()
    second = one_object(cli("sync-entities", "--json"))
    assert second["totals"]["created"] == second["totals"]["updated"] == second["totals"]["tombstoned"] == 0
    assert second["totals"]["tokens"] == sandbox.log.tokens
    assert_equal_copy(warehouse, {name: sandbox.rows(name) for name in names})


def test_named_entities_alone_are_synced_and_reported_line_by_line(cli, sandbox, warehouse):
    result = cli("sync-entities", "--entity", "stages", "--entity", "users")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["users", "stages", sandbox.config.company_name]
    assert f"{len(sandbox.rows('users'))} rows" in lines[0]
    assert "2 of 2 entities" in lines[-1]
    assert tables(warehouse) == {"users", "stages"}


def test_rows_say_that_the_command_line_brought_them(cli, warehouse):
    assert cli("sync-entities", "--entity", "users").exit_code == 0
    assert warehouse.query("SELECT DISTINCT _source FROM pipedrive.users").to_pylist() == [{"_source": "cli"}]


def test_a_limit_stops_early_succeeds_and_claims_nothing(cli, warehouse):
    result = cli(
        "sync-entities", "--entity", "deals", "--limit", "5", "--json", max_batch_size="5", min_batch_size="5"
    )
    assert result.exit_code == 0, result.stderr
    (deals,) = one_object(result)["results"]
    assert deals["status"] == "partial"
    assert warehouse.row_count("deals") == deals["fetched"] <= 10
    assert warehouse.coverage("deals") == {}


def test_since_and_until_are_what_the_server_is_asked(cli, sandbox):
    result = cli(
        "sync-entities", "--entity", "persons", "--since", "2025-01-01", "--until", "2025-02-01T00:00:00Z"
    )
    assert result.exit_code == 0, result.stderr
    asked = [record.params for record in sandbox.log.for_path("/persons")]
    assert asked
    assert {(params["updated_since"], params["updated_until"]) for params in asked} == {
        ("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z")
    }


def test_an_entity_that_is_closed_to_the_token_is_skipped_and_the_others_go_on(cli, sandbox, warehouse):
    sandbox.faults.add("status", path="/persons", status=403)
    result = cli("sync-entities", "--entity", "persons", "--entity", "deals")
    assert result.exit_code == 0, result.stderr
    assert "persons: skipped" in result.stdout
    assert warehouse.row_count("deals") == len(sandbox.rows("deals"))


def test_an_entity_that_fails_is_named_and_the_others_go_on(cli, sandbox, warehouse):
    sandbox.faults.add("status", path="/persons", status=500)
    result = cli(
        "sync-entities", "--entity", "persons", "--entity", "deals", "--json", max_retry_attempts="0"
    )
    assert result.exit_code == 1
    found = one_object(result)
    assert found["ok"] is False
    assert list(found["errors"]) == ["persons"]
    assert [each["entity"] for each in found["results"]] == ["deals"]
    assert result.stderr.startswith("Error: persons: Pipedrive answered 500")
    assert warehouse.row_count("deals") == len(sandbox.rows("deals"))


def test_when_the_days_budget_is_gone_nothing_more_is_tried(cli, sandbox):
    result = cli(
        "sync-entities", "--entity", "users", "--entity", "persons", "--entity", "deals", "--json",
        daily_token_budget="25",
    )  # fmt: skip
    assert result.exit_code == 3
    found = one_object(result)
    assert [each["entity"] for each in found["results"]] == ["users", "persons"]
    assert (found["ok"], found["errors"], found["not_tried"]) == (False, {}, ["deals"])
    reset = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    paused = found["results"][1]
    assert paused["status"] == "paused"
    assert datetime.fromisoformat(paused["resumes_at"]) == reset
    assert datetime.fromisoformat(found["resumes_at"]) == reset
    assert result.stderr.splitlines()[-1] == (
        f"Paused at persons, before deals: the day's tokens are spent, progress is kept. The budget resets at"
        f" {reset:%Y-%m-%d %H:%M} UTC; go on then with the same command and --resume {found['run_id']}"
    )
    assert sandbox.log.tokens <= 25


def test_without_a_token_left_a_command_asks_nothing_and_ends_as_paused(cli, sandbox):
    for command in (("test-connection",), ("sync-entities", "--entity", "users")):
        result = cli(*command, "--json", daily_token_budget="0")
        assert result.exit_code == 3
        assert one_object(result)["error"]["facts"]["kind"] == "daily"
    assert len(sandbox.log) == 0


def test_a_resumed_command_reads_only_what_the_paused_one_has_left(cli, sandbox, warehouse):
    command = ("sync-entities", "--entity", "persons", "--entity", "deals", "--full-data", "--json")
    small = {"min_batch_size": "10", "max_batch_size": "10", "incremental_schedule_enabled": "false"}
    first = cli(*command, daily_token_budget="60", **small)
    assert first.exit_code == 3
    rest = cli(*command, "--resume", one_object(first)["run_id"], **small)
    assert rest.exit_code == 0, rest.stderr
    lists = [record for record in sandbox.log if record.path != "/users/me"]
    assert len({(record.raw_path, *sorted(record.params.items())) for record in lists}) == len(lists)
    assert_equal_copy(warehouse, {name: sandbox.rows(name) for name in ("persons", "deals")})


def test_no_enabled_entity_is_an_error(cli):
    result = cli("sync-entities", enabled_entities="")
    assert result.exit_code == 1
    assert "PIPEDRIVE_ENABLED_ENTITIES" in result.stderr


def test_retries_and_names_that_do_nothing_are_told_in_a_sentence(cli, sandbox):
    sandbox.faults.add("status", path="/users$", status=503, count=1)
    result = cli("sync-entities", "--entity", "users", rate_limit_max_delay="0.01", cache_enabled="true")
    assert result.exit_code == 0
    warning, retry = result.stderr.splitlines()
    assert warning.startswith("Warning: PIPEDRIVE_CACHE_ENABLED is not used")
    assert retry.startswith("Retrying v1:/users in ")


def test_verbose_logs_each_page_to_standard_error_alone(cli):
    result = cli("--verbose", "sync-entities", "--entity", "users", "--json")
    assert one_object(result)["ok"] is True
    assert "page_fetched entity=users" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [(["--async"], {}), ([], {"prefer_async": "true"})],
    ids=["flag", "setting"],
)
def test_a_run_is_submitted_by_flag_or_setting_and_a_missing_daemon_is_named(
    cli, arguments, settings, environment
):
    home = Path(str(environment["DAGSTER_HOME"]))
    home.mkdir()
    result = cli("sync-entities", "--entity", "users", *arguments, **settings)
    assert result.exit_code == 1
    assert "Dagster" in result.stderr
    assert "Traceback" not in result.output


def test_in_process_overrides_the_setting(cli):
    assert cli("sync-entities", "--entity", "users", "--in-process", prefer_async="true").exit_code == 0


# sync-custom-fields -------------------------------------------------------------------------------


def test_custom_fields_are_the_field_definitions_alone(cli, warehouse, sandbox):
    result = cli("sync-custom-fields")
    assert result.exit_code == 0, result.stderr
    found = tables(warehouse)
    assert {"deal_fields", "person_fields"} <= found
    assert all(name.endswith("_fields") for name in found)
    assert_equal_copy(warehouse, {name: sandbox.rows(name) for name in found})


def test_custom_fields_of_one_entity_go_by_its_name(cli, warehouse):
    assert cli("sync-custom-fields", "--entity", "deal").exit_code == 0
    assert tables(warehouse) == {"deal_fields"}


# status, config, test-connection ------------------------------------------------------------------


def test_status_works_before_anything_was_synced_and_asks_nothing(cli, sandbox):
    result = cli("status")
    assert result.exit_code == 0, result.stderr
    assert "deals" in result.stdout
    assert len(sandbox.log) == 0


def test_status_shows_rows_lag_budget_breaker_and_the_last_syncs(cli, sandbox):
    cli("sync-entities", "--entity", "users")
    text = cli("status").stdout
    assert sandbox.config.company_name in text
    assert "Circuit breaker: closed" in text
    assert "tokens spent today" in text
    assert "Last syncs" in text
    found = one_object(cli("status", "--json"))
    users = next(each for each in found["entities"] if each["entity"] == "users")
    assert users["rows"] == len(sandbox.rows("users"))
    assert 0 <= users["lag_seconds"] < 7200
    assert found["runs"][0]["entity"] == "users"
    assert found["breaker"]["state"] == "closed"
    assert found["budget"]["spent"] == sandbox.log.tokens
    assert one_object(cli("status", "--json", "--runs", "0"))["runs"] == []


def test_config_shows_settings_entities_and_prices_but_no_secret(cli, sandbox):
    found = one_object(cli("config", "--json", enabled_entities="default,+deal_followers,-goals"))
    assert found["settings"]["PIPEDRIVE_TOKEN"] == "***"
    assert found["settings"]["PIPEDRIVE_BASE_URL"] == sandbox.url
    assert found["entities"]["deal_followers"] is True
    assert found["entities"]["goals"] is False
    assert found["schedules"]["tokens_per_day"] > 0
    text = cli("config").stdout
    assert sandbox.token not in text
    assert "tokens a day" in text
    assert len(sandbox.log) == 0


def test_config_warns_where_the_schedules_stretch_and_of_names_that_do_nothing(cli):
    result = cli("config", "--json", daily_token_budget="500", cache_enabled="true")
    warnings = one_object(result)["warnings"]
    assert any("PIPEDRIVE_CACHE_ENABLED is not used" in line for line in warnings)
    assert any("schedule runs every" in line for line in warnings)


def test_config_needs_no_token_and_can_show_entities_alone(environment):
    result = CliRunner().invoke(main, ["config", "--entities"], env=environment)
    assert result.exit_code == 0
    assert "PIPEDRIVE_" not in result.stdout
    assert "deals" in result.stdout


def test_the_connection_test_names_company_and_user_and_writes_no_warehouse(cli, sandbox, warehouse):
    text = cli("test-connection").stdout
    assert sandbox.config.company_name in text
    assert sandbox.token not in text
    found = one_object(cli("test-connection", "--json"))
    assert found["account"]["company_id"] == sandbox.config.company_id
    assert found["auth_method"] == "token"
    # Asked each time, since a remembered answer proves nothing.
    assert len(sandbox.log.for_path("/users/me")) == 2
    assert not Path(warehouse.target).exists()


# query --------------------------------------------------------------------------------------------


def test_a_query_prints_a_table_or_csv_or_one_object(cli, sandbox):
    cli("sync-entities", "--entity", "users")
    sql = "SELECT id, name, created AS n, 1 AS n FROM pipedrive.users ORDER BY id LIMIT 2"
    users = sorted(sandbox.rows("users"), key=lambda row: row["id"])[:2]

    text = cli("query", sql).stdout.splitlines()
    assert text[0].split()[:2] == ["id", "name"]
    assert text[-1] == "2 rows"

    rows = list(csv.reader(io.StringIO(cli("query", sql, "--csv").stdout)))
    assert rows[0] == ["id", "name", "n", "n"]
    assert [row[1] for row in rows[1:]] == [user["name"] for user in users]

    found = one_object(cli("query", sql, "--json"))
    assert found["columns"] == ["id", "name", "n", "n"]
    assert [row[0] for row in found["rows"]] == [user["id"] for user in users]
    assert found["count"] == 2


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE pipedrive.users", "one statement that reads"),
        ("SELECT 1; SELECT 2", "one statement that reads"),
        ("SELECT * FROM pipedrive.nothing", "nothing"),
        ("SELEC 1", "SELEC"),
    ],
)
def test_a_query_that_cannot_be_answered_is_one_line(cli, sql, said):
    cli("sync-entities", "--entity", "users")
    result = cli("query", sql)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_query_without_a_warehouse_says_so_and_makes_none(cli, warehouse):
    result = cli("query", "SELECT 1")
    assert result.exit_code == 1
    assert "no warehouse" in result.stderr
    assert not Path(warehouse.target).exists()


# sandbox and demo ---------------------------------------------------------------------------------


def test_the_sandbox_command_serves_until_it_is_told_to_stop(environment):
    command = [sys.executable, "-c", "from pipedrive_assets.cli import main; main()"]
    with subprocess.Popen(
        [*command, "sandbox", "--port", "0", "--scale", "tiny", "--daily-budget", "100", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            found = json.loads(process.stdout.readline())
            answer = requests.get(
                f"{found['url']}/api/v1/users/me", headers={"x-api-token": found["token"]}, timeout=20
            )
            assert answer.status_code == 200
            assert answer.headers["x-daily-ratelimit-token-limit"] == "100"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_demo_copies_an_account_then_finds_nothing_changed_then_answers_a_question(environment):
    result = CliRunner().invoke(main, ["demo", "--scale", "tiny", "--json"], env=environment)
    assert result.exit_code == 0, result.stderr
    found = one_object(result)
    assert {each["status"] for each in found["results"]} == {"complete"}
    assert sum(each["fetched"] for each in found["results"]) > 500
    tokens = sum(each["tokens"] for each in found["results"])
    assert found["floor_tokens"] <= tokens <= 1.02 * found["floor_tokens"]
    assert found["second_run"]["created"] == found["second_run"]["updated"] == 0
    assert found["example"]
    assert Path(found["warehouse"]).is_relative_to(str(environment["DAGSTER_HOME"]))


def test_what_the_demo_tells_a_newcomer_to_type_works_as_printed(environment, tmp_path):
    shell = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    script = Path(sys.executable).with_name("pipedrive-assets")
    demo = subprocess.run(
        [script, "demo", "--scale", "tiny"], env=shell, cwd=tmp_path, capture_output=True, text=True
    )
    assert demo.returncode == 0, demo.stderr
    (printed,) = [line for line in demo.stdout.splitlines() if " query " in line]
    pasted = subprocess.run(
        printed, shell=True, env=shell, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert pasted.returncode == 0, pasted.stderr
    assert "first_name" in pasted.stdout
