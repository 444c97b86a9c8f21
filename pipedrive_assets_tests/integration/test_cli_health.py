"""``health``: what it says of an API that is well, down, or not asked yet, and how it exits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipedrive_assets.cli import main
from pipedrive_assets.sandbox import Sandbox

Cli = Callable[..., Result]


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


def one_object(result: Result) -> dict[str, Any]:
    """What ``--json`` printed: exactly one object, alone on standard output."""
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_without_a_check_nothing_is_asked(cli: Cli, sandbox: Sandbox) -> None:
    result = cli("health")
    assert result.exit_code == 0
    assert "The API is unknown: nothing was asked in the last 15 minutes" in result.stdout
    assert len(sandbox.log) == 0


def test_a_check_asks_once_and_is_remembered(cli: Cli, sandbox: Sandbox) -> None:
    result = cli("health", "--check")
    assert result.exit_code == 0
    assert "The API is healthy" in result.stdout
    assert "Circuit breaker: closed" in result.stdout
    assert [record.path for record in sandbox.log] == ["/users/me"]
    result = cli("health")
    assert "The API is healthy" in result.stdout
    assert "Last checks" in result.stdout
    assert len(sandbox.log) == 1


def test_an_unhealthy_api_exits_with_1_and_says_why_in_both_forms(cli: Cli, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=503)
    result = cli("health", "--check", health_failure_threshold="1")
    assert result.exit_code == 1
    assert "The API is unhealthy" in result.stdout
    assert "Pipedrive answered 503" in result.stdout
    # One attempt, whatever the retries of other requests.
    assert len(sandbox.log) == 1
    result = cli("health", "--json")
    assert result.exit_code == 1
    found = one_object(result)
    assert (found["ok"], found["verdict"], found["failure_percent"]) == (False, "unhealthy", 100.0)
    assert found["breaker"]["state"] == "closed"
    assert sandbox.token not in result.output


def test_history_is_every_check_of_a_day_oldest_first(cli: Cli) -> None:
    for _ in range(7):
        assert cli("health", "--check").exit_code == 0
    assert len(one_object(cli("health", "--json"))["samples"]) == 5
    samples = one_object(cli("health", "--history", "--json"))["samples"]
    assert len(samples) == 7
    assert [sample["at"] for sample in samples] == sorted(sample["at"] for sample in samples)
    assert {sample["source"] for sample in samples} == {"probe"}


def test_what_a_sync_asked_is_part_of_the_window(cli: Cli, sandbox: Sandbox) -> None:
    assert cli("sync-entities", enabled_entities="deals").exit_code == 0
    asked = len(sandbox.log)
    found = one_object(cli("health", "--json"))
    assert (found["verdict"], found["window"]["requests"]) == ("healthy", asked)
    assert found["window"]["tokens"] == sandbox.log.tokens
    assert len(sandbox.log) == asked


def test_switched_off_it_refuses_to_probe(cli: Cli, sandbox: Sandbox) -> None:
    result = cli("health", "--check", health_monitoring_enabled="false")
    assert result.exit_code == 1
    assert "PIPEDRIVE_HEALTH_MONITORING_ENABLED is off" in result.stderr
    assert cli("health", health_monitoring_enabled="false").exit_code == 0
    assert len(sandbox.log) == 0
