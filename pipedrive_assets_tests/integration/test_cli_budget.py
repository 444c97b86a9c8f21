"""``budget`` and the lanes, end to end: the command, the ledger and the sandbox count the same tokens."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipedrive_assets.cli import main
from pipedrive_assets.sandbox import Sandbox, SandboxConfig

Cli = Callable[..., Result]
LANES = ["push", "repair", "incremental", "backfill"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An account with 420 tokens a day, five minutes after midnight by its own clock."""
    config = SandboxConfig(
        scale="tiny", seed=7, plan="ultimate", daily_budget=420, now="2026-05-04T00:05:00Z", frozen=True
    )
    with Sandbox.start(config) as running:
        yield running


@pytest.fixture
def cli(sandbox: Sandbox, tmp_path: Path) -> Cli:
    """Runs a command against the sandbox; keywords are settings in lower case."""

    def run(*arguments: str, **settings: str) -> Result:
        variables = {
            **{name: None for name in os.environ if name.startswith(("PIPEDRIVE_", "DAGSTER_"))},
            "DAGSTER_HOME": str(tmp_path / "home"),
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_TOKEN": sandbox.token,
            **{f"PIPEDRIVE_{name.upper()}": value for name, value in settings.items()},
        }
        return CliRunner().invoke(main, arguments, env=variables)

    return run


def found(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert isinstance(printed, dict)
    return printed


# Lanes -------------------------------------------------------------------------------------------


def test_a_backfill_stops_at_the_reserve_schedules_at_that_of_pushes_and_midnight_fills_both(
    cli: Cli, sandbox: Sandbox
) -> None:
    few = {"enabled_entities": "users,goals,leads,deals,notes,files,call_logs"}
    # The first answer names day and budget.
    assert cli("test-connection").exit_code == 0

    cli("sync-entities", "--full-data", **few)
    kept_from_backfills = 249  # 5, 5 and 50 percent of 420 tokens, nearly the whole day being still to come
    assert kept_from_backfills <= sandbox.limits.remaining < kept_from_backfills + 20
    before = len(sandbox.log)
    cli("sync-entities", "--full-data", "--entity", "users")
    assert len(sandbox.log) == before, "what does not fit is not asked"

    assert cli("sync-entities", "--entity", "deals").exit_code == 0
    cli("sync-entities", **few)
    kept_from_schedules = 40
    assert kept_from_schedules <= sandbox.limits.remaining < kept_from_schedules + 20
    assert 429 not in {record.status for record in sandbox.log}, "the ledger refuses, not the server"

    sandbox.clock.set("2026-05-05T00:05:00Z")
    # A fresh answer tells the new day; until then the ledger holds what it knows.
    assert cli("test-connection").exit_code == 0
    assert cli("sync-entities", "--full-data", "--entity", "users").exit_code == 0
    assert sandbox.limits.remaining < 420
    assert 429 not in {record.status for record in sandbox.log}


# The command -------------------------------------------------------------------------------------


def test_the_budget_is_shown_before_the_first_sync_and_nothing_is_asked(cli: Cli, sandbox: Sandbox) -> None:
    text = cli("budget", plan="growth").stdout
    assert "0 of 60,000 tokens spent (plan)" in text
    for cut in ("endpoint", "entity", "day"):
        assert "Nothing was spent." in cli("budget", "--by", cut).stdout
    shown = found(cli("budget", "--json"))
    assert (shown["budget"]["budget"], shown["budget"]["origin"]) == (10_000, "fallback")
    assert [lane["lane"] for lane in shown["forecast"]["lanes"]] == LANES
    assert len(sandbox.log) == 0


def test_every_token_is_shown_once_by_lane_endpoint_entity_and_day(cli: Cli, sandbox: Sandbox) -> None:
    for entity in ("users", "deals", "leads"):
        assert cli("sync-entities", "--entity", entity).exit_code == 0
    assert cli("sync-entities", "--entity", "stages", "--full-data").exit_code == 0
    spent = sandbox.log.tokens
    shown = found(cli("budget", "--json"))
    assert shown["budget"]["spent"] == spent
    assert shown["budget"]["remaining"] == sandbox.limits.remaining == 420 - spent
    assert shown["budget"]["by_lane"] == {"push": 0, "repair": 0, "incremental": spent - 5, "backfill": 5}

    asked = Counter(f"{record.version}:{record.path}" for record in sandbox.log)
    by_endpoint = found(cli("budget", "--by", "endpoint", "--json"))["lines"]
    assert {line["endpoint"]: line["requests"] for line in by_endpoint} == asked
    assert [line["tokens"] for line in by_endpoint] == sorted(
        (line["tokens"] for line in by_endpoint), reverse=True
    )
    for cut, names in (
        ("endpoint", set(asked)),
        ("entity", {"users", "deals", "leads", "stages"}),
        ("day", {"2026-05-04"}),
    ):
        lines = found(cli("budget", "--by", cut, "--json"))["lines"]
        assert {line[cut] for line in lines} == names
        assert sum(line["tokens"] for line in lines) == spent
        assert sum(line["requests"] for line in lines) == len(sandbox.log)
        text = cli("budget", "--by", cut).stdout.splitlines()
        assert text[-1].split() == ["in", "all", *map(str, (len(sandbox.log), spent, 0, 0, spent - 5, 5))]


def test_yesterdays_tokens_are_shown_by_day_and_gone_from_today(cli: Cli, sandbox: Sandbox) -> None:
    assert cli("sync-entities", "--entity", "users").exit_code == 0
    yesterday = sandbox.log.tokens
    sandbox.clock.set("2026-05-05T00:05:00Z")
    assert cli("test-connection").exit_code == 0
    assert found(cli("budget", "--json"))["budget"]["spent"] == 2
    lines = found(cli("budget", "--by", "day", "--json"))["lines"]
    assert [(line["day"], line["tokens"]) for line in lines] == [
        ("2026-05-05", 2),
        ("2026-05-04", yesterday),
    ]
    assert len(found(cli("budget", "--by", "day", "--days", "1", "--json"))["lines"]) == 1
    both = found(cli("budget", "--by", "endpoint", "--days", "2", "--json"))["lines"]
    assert sum(line["tokens"] for line in both) == yesterday + 2


def test_the_forecast_goes_on_at_the_rate_of_the_last_hour(cli: Cli, sandbox: Sandbox) -> None:
    assert cli("sync-entities", "--entity", "leads").exit_code == 0
    spent = sandbox.log.tokens
    shown = found(cli("budget", "--json"))
    rate = shown["forecast"]["rate"]
    assert rate == {"tokens_per_hour": spent, "over": "last hour"}
    assert shown["forecast"]["projected_spent"] == pytest.approx(spent * (1 + 23.9), abs=spent)
    dry = [datetime.fromisoformat(lane["dry_at"]) for lane in shown["forecast"]["lanes"]]
    assert dry == sorted(dry, reverse=True)
    assert shown["forecast"]["at"] < dry[-1].isoformat() < "2026-05-04T06"
    text = cli("budget").stdout
    assert f"At the rate of the last hour ({spent} tokens an hour)" in text
    assert "2026-05-04 0" in next(line for line in text.splitlines() if line.startswith("backfill"))


def test_without_monitoring_the_forecast_goes_on_at_the_days_average(cli: Cli) -> None:
    off = {"monitoring_enabled": "false", "health_monitoring_enabled": "false"}
    assert cli("sync-entities", "--entity", "leads", **off).exit_code == 0
    assert found(cli("budget", "--json", **off))["forecast"]["rate"]["over"] == "today"


def test_the_next_runs_are_shown_with_their_price_and_whether_they_can_be_paid(
    cli: Cli, sandbox: Sandbox
) -> None:
    rich = found(cli("budget", "--json", plan="ultimate"))
    assert {each["name"] for each in rich["schedules"]} == {"core", "hourly", "custom_fields"}
    assert all(each["short_at"] is None for each in rich["schedules"])
    now = datetime.fromisoformat(rich["forecast"]["at"])
    for each in rich["schedules"]:
        assert now < datetime.fromisoformat(each["next_at"]) <= now + timedelta(hours=1)
        assert each["runs"] * each["tokens_per_run"] == each["tokens"]
    assert cli("sync-entities", "--entity", "leads").exit_code == 0
    poor = cli("budget", "--json")
    # With 420 tokens the core schedule runs once a day, at midnight: that is the next day's.
    core = next(each for each in found(poor)["schedules"] if each["name"] == "core")
    assert core == {
        "name": "core",
        "next_at": "2026-05-05T00:00:00+00:00",
        "tokens_per_run": 110,
        "runs": 0,
        "tokens": 0,
        "short_at": None,
    }
    assert any("schedule" in line for line in found(poor)["warnings"])
    text = cli("budget")
    assert "while nothing changes" in text.stdout
    assert "every day instead of every 15 minutes" in text.stderr
    assert len(found(cli("budget", "--json", incremental_schedule_enabled="false"))["schedules"]) == 2


@pytest.mark.parametrize("command", ["budget", "config", "status"])
def test_settings_and_headers_that_disagree_are_told_by_every_command_that_shows_them(
    cli: Cli, command: str
) -> None:
    wrong = {"daily_token_budget": "5000", "plan": "growth"}
    assert cli(command, **wrong).stderr.count("Pipedrive's answers name") == 0
    assert cli("sync-entities", "--entity", "users", **wrong).exit_code == 0
    said = [line for line in cli(command, **wrong).stderr.splitlines() if "answers name" in line]
    assert len(said) == 3
    assert "420 holds" in said[0]
    assert "set PIPEDRIVE_PLAN=ultimate" in said[2]
    warnings = found(cli(command, "--json", **wrong))["warnings"]
    assert [line for line in warnings if "answers name" in line] == [
        line.removeprefix("Warning: ") for line in said
    ]


def test_a_spent_day_and_a_limiter_that_is_off_are_said(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.limits.set_budget(2)
    cli("sync-entities", "--entity", "users", rate_limiting_enabled="false")
    result = cli("budget", rate_limiting_enabled="false")
    assert "no tokens are left" in result.stderr
    assert "PIPEDRIVE_RATE_LIMITING_ENABLED is off" in result.stderr
    shown = found(cli("budget", "--json"))
    assert shown["budget"]["exhausted"] is True
    assert {lane["left"] for lane in shown["forecast"]["lanes"]} == {0}


def test_days_without_what_they_count_is_wrong_usage(cli: Cli) -> None:
    result = cli("budget", "--days", "3")
    assert result.exit_code == 2
    assert "--days goes with --by" in result.stderr
