"""What Prometheus reads is what the server saw: every figure compared with the sandbox's own counts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from pipedrive_assets.alerts.dispatch import look
from pipedrive_assets.alerts.metrics import exposition
from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.cli import main
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.clocks import ManualClock
from pipedrive_assets_tests.e2e.deployment import free_port, until
from pipedrive_assets_tests.integration.conftest import SettingsFor

Samples = dict[str, dict[tuple[str, ...], float]]


def read(text: str) -> Samples:
    """Name → label values in order of their names → value, as Prometheus would read them."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def scraped(settings: PipedriveSettings) -> Samples:
    return read(exposition(lambda: open_session(settings)))


def test_requests_and_tokens_are_those_the_server_counted(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    settings = settings_for(sandbox)
    with open_session(settings) as session:
        for entity in ("deals", "persons", "users"):
            session.sync(entity)
    found = scraped(settings)
    requests: Counter[tuple[str, ...]] = Counter()
    tokens: Counter[tuple[str, ...]] = Counter()
    for record in sandbox.log:
        key = (f"{record.version}:{record.path}", str(record.status))
        requests[key] += 1
        tokens[key] += record.cost
    assert found["pipedrive_requests_total"] == dict(requests)
    assert found["pipedrive_tokens_total"] == dict(tokens)
    assert found["pipedrive_budget_spent_tokens"][()] == sum(tokens.values())
    assert sum(found["pipedrive_lane_spent_tokens"].values()) == sum(tokens.values())
    assert found["pipedrive_budget_left_tokens"][()] == sandbox.limits.remaining
    assert all(seconds > 0 for seconds in found["pipedrive_request_seconds_total"].values())


def test_error_answers_and_repetitions_are_counted_by_status(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    settings = settings_for(sandbox, rate_limit_max_delay=0.01, rate_limit_jitter=False)
    sandbox.faults.add("status", path="/v2/persons", status=503, count=2)
    sandbox.faults.add("status", path="/v2/products", status=403)
    with open_session(settings) as session:
        for entity in ("persons", "products"):
            session.sync(entity)
    found = scraped(settings)
    requests = Counter((f"{each.version}:{each.path}", str(each.status)) for each in sandbox.log)
    assert found["pipedrive_requests_total"] == dict(requests)
    assert found["pipedrive_requests_total"][("v2:/persons", "503")] == 2
    assert sum(found["pipedrive_request_retries_total"].values()) == 2


def test_a_200_that_is_no_answer_is_not_counted_as_one(sandbox: Sandbox, settings_for: SettingsFor) -> None:
    settings = settings_for(sandbox, max_retry_attempts=0)
    with open_session(settings) as session:
        session.identify()
        for kind in ("html", "success_false", "invalid_json"):
            sandbox.faults.add(kind, path="/v2/persons", status=200, count=1)
            with pytest.raises(PipedriveException):
                session.client.get(Version.V2, "/persons", cost=10, lane=Lane.PUSH)
        session.client.get(Version.V2, "/persons", cost=10, lane=Lane.PUSH)
    requests = scraped(settings)["pipedrive_requests_total"]
    assert {status: count for (path, status), count in requests.items() if path == "v2:/persons"} == {
        "mangled": 2,
        "refused": 1,
        "200": 1,
    }


def test_rows_lag_syncs_and_memory_are_by_entity(sandbox: Sandbox, settings_for: SettingsFor) -> None:
    settings = settings_for(sandbox)
    with open_session(settings) as session:
        results = {name: session.sync(name) for name in ("deals", "persons")}
    sandbox.faults.add("status", path="/v2/organizations", status=422)
    with open_session(settings) as session, pytest.raises(PipedriveException):
        session.sync("organizations")
    found = scraped(settings)
    for name in ("deals", "persons"):
        assert found["pipedrive_entity_rows"][(name,)] == len(sandbox.rows(name))
    assert all(600 <= lag < 700 for lag in found["pipedrive_entity_lag_seconds"].values())
    assert found["pipedrive_syncs_last_day"] == {
        ("deals", "complete"): 1,
        ("persons", "complete"): 1,
        ("organizations", "failed"): 1,
    }
    for name, result in results.items():
        assert found["pipedrive_rows_fetched_last_day"][(name,)] == result.fetched
        assert found["pipedrive_last_sync_seconds"][(name,)] == pytest.approx(result.seconds, abs=0.01)
        assert found["pipedrive_last_sync_peak_rss_bytes"][(name,)] > 50e6
        assert found["pipedrive_last_sync_memory_percent"][(name,)] > 0


def test_breaker_health_and_alerts_are_shown(sandbox: Sandbox, settings_for: SettingsFor) -> None:
    settings = settings_for(sandbox, max_retry_attempts=0, circuit_breaker_threshold=1, alerting_enabled=True)
    with open_session(settings) as session:
        session.sync("users")
        sandbox.faults.add("status", path="/v2/", status=500)
        with pytest.raises(PipedriveException):
            session.sync("deals")
        session.health.check()
        look(session, [])
    found = scraped(settings)
    assert found["pipedrive_circuit_breaker_state"] == {("closed",): 0, ("open",): 1, ("half_open",): 0}
    assert found["pipedrive_circuit_breaker_failures"][()] == 1
    assert found["pipedrive_api_health"][("unhealthy",)] == 1
    assert found["pipedrive_alert_raised"][("circuit_breaker_open", "critical")] == 1
    assert found["pipedrive_account_info"] == {("Sandbox Industries", "8087566"): 1}
    # Nobody looks any more: what was raised then is no figure of now, and neither is an old verdict.
    off = settings.model_copy(update={"alerting_enabled": False})
    assert "pipedrive_alert_raised" not in scraped(off)
    a_day_on = ManualClock(time.time() + 86_400)
    later = read(exposition(lambda: open_session(settings, clock=a_day_on)))
    assert later["pipedrive_api_health"] == {
        ("degraded",): 0,
        ("healthy",): 0,
        ("unhealthy",): 0,
        ("unknown",): 1,
    }


def test_before_the_first_sync_there_is_something_to_read(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    found = scraped(settings_for(sandbox))
    assert found["pipedrive_circuit_breaker_state"][("closed",)] == 1
    assert len(sandbox.log) == 0


def environment(settings: PipedriveSettings, **variables: str) -> Mapping[str, str]:
    assert settings.token is not None
    return {
        "DAGSTER_HOME": str(settings.dagster_home),
        "PIPEDRIVE_TOKEN": settings.token.get_secret_value(),
        "PIPEDRIVE_BASE_URL": settings.base_url,
        **variables,
    }


def test_the_command_prints_them_and_says_so_where_monitoring_is_off(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    settings = settings_for(sandbox)
    printed = CliRunner().invoke(main, ["metrics"], env=environment(settings))
    assert printed.exit_code == 0
    assert "pipedrive_budget_tokens" in read(printed.stdout)
    env = environment(settings, PIPEDRIVE_MONITORING_ENABLED="false")
    refused = CliRunner().invoke(main, ["metrics"], env=env)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "PIPEDRIVE_MONITORING_ENABLED" in refused.stderr


def test_served_they_are_new_at_each_scrape_until_it_is_stopped(
    sandbox: Sandbox, settings_for: SettingsFor, tmp_path: Path
) -> None:
    settings, port = settings_for(sandbox), free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "pipedrive-assets"),
                "metrics",
                "--serve",
                "--port",
                str(port),
            ],
            env={"PATH": "/usr/bin", "PYTHONPATH": str(Path(__file__).parents[2]), **environment(settings)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            until(lambda: scrape(port) is not None, 30)
            before = scrape(port)
            with open_session(settings) as session:
                session.sync("persons")
            after = scrape(port)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    assert before is not None
    assert after is not None
    assert "pipedrive_requests_total" not in before
    assert sum(after["pipedrive_requests_total"].values()) == len(sandbox.log)


def scrape(port: int) -> Samples | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return read(answer.read().decode())
    except OSError:
        time.sleep(0.1)
        return None
