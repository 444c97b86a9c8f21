"""Every condition, provoked in the account, reaches mail and Slack through the running daemon."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import PREFIX, load_settings
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.e2e.deployment import LAUNCH, Deployment, deployed, ended, until
from pipedrive_assets_tests.mail_server import Mailbox, mail_server
from pipedrive_assets_tests.scripted_server import Reply, ScriptedServer

WITHIN_SECONDS = 100
"""Longer than it takes to hear of a failed run and then to look around."""
BREAKER_SECONDS = 3
SECRET = "T000/B000/verysecretpath"

CONDITIONS = {
    "api_unhealthy",
    "circuit_breaker_open",
    "high_failure_rate",
    "memory_threshold",
    "rate_limit_exhaustion",
}


def work(
    home: Path, sandbox: Sandbox, entities: Iterable[str] = (), probes: int = 0, **variables: Any
) -> None:
    """Sync and probe in a process of ours beside the daemon's, on the same home."""
    settings = load_settings(
        {
            "DAGSTER_HOME": str(home),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_PLAN": "ultimate",
            "PIPEDRIVE_MAX_RETRY_ATTEMPTS": "0",
            "PIPEDRIVE_CIRCUIT_BREAKER_TIMEOUT": str(BREAKER_SECONDS),
            **{f"{PREFIX}{name.upper()}": str(value) for name, value in variables.items()},
        }
    )
    with open_session(settings) as session:
        for _ in range(probes):
            session.health.check(force=True)
        for entity in entities:
            try:
                session.sync(entity)
            except PipedriveException:
                continue


def provoke(home: Path, sandbox: Sandbox) -> int:
    """Bring about every condition that the state store tells of; returns the tokens spent."""
    work(home, sandbox, ["users", "activities", "files", "notes", "goals", "leads", "call_logs"])
    used = psutil.Process().memory_info().rss / (1 << 20)
    work(home, sandbox, ["currencies"], memory_limit_mb=int(used / 0.9), memory_critical_threshold=100)
    sandbox.faults.add("status", path="/(deals|persons|products)", status=422)
    work(home, sandbox, ["deals", "persons", "products"])
    sandbox.faults.add("hang", path="/users/me", seconds=1)
    work(home, sandbox, probes=3, health_check_timeout=0.2)
    sandbox.faults.clear()
    sandbox.faults.add("status", path="/organizations", status=503)
    work(home, sandbox, ["organizations"], circuit_breaker_threshold=1)
    return sandbox.limits.budget - sandbox.limits.remaining


def told(box: Mailbox, slack: ScriptedServer) -> list[tuple[set[str], set[str]]]:
    """Beginnings and ends by condition, as each channel has them."""
    texts = [str(mail.get_content()) for mail in box.mails]
    posts = [json.loads(seen.body)["attachments"][0]["text"] for seen in slack.seen]
    return [(_conditions(each, "What: "), _conditions(each, "Over: ")) for each in (texts, posts)]


def _conditions(texts: list[str], begins: str) -> set[str]:
    return {
        line.removeprefix("Condition: ").split(" ")[0]
        for text in texts
        if text.startswith(begins)
        for line in text.splitlines()
        if line.startswith("Condition: ")
    }


def failed_run(running: Deployment, instance: dg.DagsterInstance) -> str:
    """Launch a run as from the UI and see it fail."""
    launched = running.ask(
        LAUNCH,
        {
            "selector": {
                "repositoryLocationName": "pipedrive_assets",
                "repositoryName": "__repository__",
                "pipelineName": ENTITY_JOB,
                "assetSelection": [{"path": list(entity_key("products").path)}],
            },
            "executionMetadata": {
                "tags": [
                    {"key": "dagster/asset_partition_range_start", "value": "2026-01"},
                    {"key": "dagster/asset_partition_range_end", "value": "2026-01"},
                ]
            },
        },
    )
    run_id = str(launched["run"]["runId"])
    assert ended(instance, run_id) is dg.DagsterRunStatus.FAILURE
    return run_id


def test_every_condition_and_a_failed_run_arrive_once_and_what_is_over_too(tmp_path: Path) -> None:
    with (
        Sandbox.start(SandboxConfig(scale="tiny", seed=7)) as sandbox,
        mail_server() as box,
        ScriptedServer(lambda _: Reply(body=b"ok")).running() as slack,
    ):
        spent = provoke(tmp_path, sandbox)
        variables = {
            "alerting_enabled": "true",
            "alert_mail_enabled": "true",
            "alert_mail_to": "data@example.com",
            "alert_smtp_host": box.host,
            "alert_smtp_port": str(box.port),
            "alert_smtp_security": "none",
            "alert_slack_enabled": "true",
            "alert_slack_webhook": f"{slack.url}/services/{SECRET}",
            "daily_token_budget": str(int(spent / 0.82)),
            # What is left is for the run below.
            "lane_reserves": "{}",
            "health_monitoring_enabled": "false",
            "job_max_tries": "1",
            "start_date": "2026-01-01",
        }
        with deployed(tmp_path, sandbox, **variables) as running:
            until(lambda: all(begun >= CONDITIONS for begun, _ in told(box, slack)), WITHIN_SECONDS)
            # What was provoked above is over, as far as time allows; a run fails now.
            sandbox.faults.clear()
            until(lambda: breaker_closed(tmp_path, sandbox), 10 * BREAKER_SECONDS)
            sandbox.faults.add("status", path="/products", status=422)
            with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
                run_id = failed_run(running, instance)
            name = f"run_failure:{ENTITY_JOB}:products"
            until(lambda: all(name in begun for begun, _ in told(box, slack)), WITHIN_SECONDS)
            until(lambda: all("circuit_breaker_open" in over for _, over in told(box, slack)), WITHIN_SECONDS)
        log = (tmp_path / "dev.log").read_text()
    expected = sorted([*CONDITIONS, name])
    subjects = [str(mail["Subject"]) for mail in box.mails]
    assert len([each for each in subjects if not each.startswith("[recovered]")]) == len(expected)
    assert run_id in "".join(str(mail.get_content()) for mail in box.mails)
    assert "circuit_breaker_open" in log  # the log channel is on by default
    everything = log + "".join(mail.as_string() for mail in box.mails)
    assert sandbox.token not in everything
    assert SECRET not in everything


def breaker_closed(home: Path, sandbox: Sandbox) -> bool:
    """Whether a request gets through again."""
    before = len(sandbox.log)
    work(home, sandbox, probes=1)
    return len(sandbox.log) > before
