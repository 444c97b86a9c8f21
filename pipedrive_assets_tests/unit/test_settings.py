"""Settings: every name of the seed is known, a wrong one is named in one line, defaults are the seed's."""

from __future__ import annotations

import logging
import os
import pickle
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import PipedriveSettings, daily_budget, load_settings, variables
from pipedrive_assets.settings_fields import SECTIONS
from pipedrive_assets.settings_retired import LATER, RETIRED, known_names

TOKEN = "5a4db0c5e1f2a3b4c5d6e7f8091a2b3c4d5e6f70"

SEED_TEXT = """
AUTH_METHOD TOKEN CLIENT_ID CLIENT_SECRET REDIRECT_URL
AUTO_SYNC ENABLED_ENTITIES SCHEDULER_ENABLED SCHEDULER_FREQUENCY SCHEDULER_TIME SCHEDULER_FORCE
SCHEDULER_SYNC_CUSTOM_FIELDS SCHEDULER_LIMIT CUSTOM_FIELDS_SCHEDULER_ENABLED CUSTOM_FIELDS_SCHEDULER_FREQUENCY
CUSTOM_FIELDS_SCHEDULER_FORCE
WEBHOOKS_AUTO_SYNC WEBHOOKS_DETECT_CUSTOM_FIELDS WEBHOOK_PATH WEBHOOK_BASIC_AUTH WEBHOOK_USERNAME
WEBHOOK_PASSWORD WEBHOOK_IP_WHITELIST WEBHOOK_SIGNATURE WEBHOOK_SECRET WEBHOOK_LOGGING WEBHOOK_LOG_CHANNEL
WEBHOOK_LOG_LEVEL
MERGE_HEURISTIC_DETECTION MERGE_DETECTION_WINDOW MERGE_AUTO_MIGRATE MERGE_STRATEGY
CACHE_ENABLED CACHE_DRIVER CACHE_CUSTOM_FIELDS_TTL CACHE_PIPELINES_TTL CACHE_STAGES_TTL CACHE_USERS_TTL
CACHE_AUTO_REFRESH CACHE_PREFIX
RATE_LIMITING_ENABLED DAILY_TOKEN_BUDGET RATE_LIMIT_MAX_DELAY RATE_LIMIT_JITTER
MAX_RETRY_ATTEMPTS CIRCUIT_BREAKER_THRESHOLD CIRCUIT_BREAKER_TIMEOUT REQUEST_TIMEOUT
ADAPTIVE_PAGINATION MEMORY_THRESHOLD MIN_BATCH_SIZE MAX_BATCH_SIZE FORCE_GC
MEMORY_ALERT_THRESHOLD MEMORY_CRITICAL_THRESHOLD
HEALTH_MONITORING_ENABLED HEALTH_CHECK_INTERVAL HEALTH_ENDPOINT HEALTH_CHECK_TIMEOUT HEALTH_FAILURE_THRESHOLD
HEALTH_DEGRADATION_THRESHOLD HEALTH_CACHE_TTL
MONITORING_ENABLED PERFORMANCE_LOGGING FAILURE_RATE_THRESHOLD
SYNC_QUEUE WEBHOOK_QUEUE RETRY_QUEUE JOB_TIMEOUT JOB_MAX_TRIES PREFER_ASYNC BATCH_PROCESSING
ALERTING_ENABLED ALERT_MAIL_ENABLED ALERT_MAIL_TO ALERT_MAIL_FROM ALERT_SLACK_ENABLED ALERT_SLACK_WEBHOOK
ALERT_SLACK_CHANNEL ALERT_LOG_ENABLED ALERT_LOG_LEVEL
"""
DOCUMENTED_ONLY_TEXT = """
API_DELAY API_DELAY_ENABLED SCHEDULER_FULL_DATA SCHEDULER_MEMORY_LIMIT BASE_URL TIMEOUT RETRY_ATTEMPTS DEBUG
AUTHORIZED_EMAILS AUTHORIZED_USER_IDS WEBHOOK_BASIC_AUTH_ENABLED WEBHOOK_BASIC_AUTH_USERNAME
WEBHOOK_BASIC_AUTH_PASSWORD
"""
SEED = SEED_TEXT.split()
DOCUMENTED_ONLY = DOCUMENTED_ONLY_TEXT.split()

SEED_DEFAULTS = {
    "auth_method": "token",
    "scheduler_enabled": False,
    "scheduler_frequency": 24,
    "scheduler_time": "02:00",
    "scheduler_sync_custom_fields": True,
    "custom_fields_scheduler_enabled": True,
    "custom_fields_scheduler_frequency": 1,
    "rate_limiting_enabled": True,
    "rate_limit_max_delay": 16,
    "rate_limit_jitter": True,
    "max_retry_attempts": 3,
    "circuit_breaker_threshold": 5,
    "circuit_breaker_timeout": 300,
    "request_timeout": 30,
    "adaptive_pagination": True,
    "memory_threshold": 80,
    "min_batch_size": 10,
    "max_batch_size": 500,
    "force_gc": True,
    "sync_queue": "pipedrive-sync",
    "webhook_queue": "pipedrive-webhooks",
    "retry_queue": "pipedrive-retry",
    "job_timeout": 3600,
    "job_max_tries": 3,
    "prefer_async": False,
    "batch_processing": True,
}


def refused(**env: str) -> list[str]:
    with pytest.raises(PipedriveConfigException) as caught:
        load_settings({f"PIPEDRIVE_{name}": value for name, value in env.items()})
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", SEED + DOCUMENTED_ONLY)
def test_every_variable_of_the_seed_is_a_setting_or_explained(name):
    places = [
        name in each
        for each in (
            {variable.removeprefix("PIPEDRIVE_") for variable in variables()},
            {entry.name for entry in RETIRED},
            {entry.name for entry in LATER},
        )
    ]
    assert places.count(True) == 1


def test_no_setting_is_retired_or_announced_for_later_at_the_same_time():
    assert not set(variables()) & known_names()
    assert len(known_names()) == len(RETIRED) + len(LATER)


@pytest.mark.parametrize(("name", "default"), SEED_DEFAULTS.items())
def test_defaults_are_the_seeds(name, default):
    assert getattr(load_settings({}), name) == default


def test_every_field_is_described_and_belongs_to_one_section():
    described = [name for section in SECTIONS for name in section.model_fields]
    assert len(described) == len(set(described))
    assert set(described) == set(variables().values())
    assert all(field.description for section in SECTIONS for field in section.model_fields.values())


def test_variables_become_typed_attributes():
    settings = load_settings(
        {
            "PIPEDRIVE_DAILY_TOKEN_BUDGET": "5000",
            "PIPEDRIVE_RATE_LIMIT_JITTER": "false",
            "PIPEDRIVE_START_DATE": "2020-05-01",
            "PIPEDRIVE_TOKEN_COSTS": '{"deals": 11, "v1:/notes/{id}": 3}',
            "PIPEDRIVE_TOKEN": f" {TOKEN}\n",
            "UNRELATED": "x",
        }
    )
    assert settings.daily_token_budget == 5000
    assert settings.rate_limit_jitter is False
    assert settings.start_date == date(2020, 5, 1)
    assert settings.token_costs == {"deals": 11, "v1:/notes/{id}": 3}
    assert settings.token is not None
    assert settings.token.get_secret_value() == TOKEN


def test_settings_built_in_code_do_not_read_the_environment(monkeypatch):
    monkeypatch.setenv("PIPEDRIVE_SEATS", "9")
    assert PipedriveSettings().seats == 1
    assert load_settings().seats == 9
    assert load_settings({}).seats == 1


def test_settings_are_frozen_and_copied_with_changes():
    settings = load_settings({})
    with pytest.raises(ValueError, match="frozen"):
        settings.seats = 2  # type: ignore[misc]
    assert settings.model_copy(update={"seats": 2}).seats == 2
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_an_empty_value_counts_as_not_set_but_for_the_entities():
    env = {"PIPEDRIVE_TOKEN": " ", "PIPEDRIVE_SEATS": "", "PIPEDRIVE_ENABLED_ENTITIES": ""}
    settings = load_settings(env)
    assert (settings.token, settings.seats, settings.enabled_entities) == (None, 1, "")
    assert load_settings({}).enabled_entities == "default"


def test_storage_lies_below_dagster_home_and_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"DAGSTER_HOME": "/srv/dagster"})
    assert settings.warehouse == "/srv/dagster/storage/warehouse.duckdb"
    assert settings.state_url == "sqlite:////srv/dagster/storage/pipedrive_state.db"
    here = load_settings({})
    assert Path(here.warehouse) == tmp_path / "dagster_home" / "storage" / "warehouse.duckdb"
    assert here.storage_dir == tmp_path / "dagster_home" / "storage"
    assert list(tmp_path.iterdir()) == []
    own = load_settings({"PIPEDRIVE_WAREHOUSE": "lake.duckdb", "PIPEDRIVE_STATE_URL": "postgresql://x/y"})
    assert (own.warehouse, own.state_url) == ("lake.duckdb", "postgresql://x/y")


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "https://api.pipedrive.com"),
        ({"PIPEDRIVE_COMPANY_DOMAIN": "acme"}, "https://acme.pipedrive.com"),
        ({"PIPEDRIVE_BASE_URL": "http://127.0.0.1:8100/"}, "http://127.0.0.1:8100"),
        (
            {"PIPEDRIVE_COMPANY_DOMAIN": "acme", "PIPEDRIVE_BASE_URL": "https://eu.example.com"},
            "https://eu.example.com",
        ),
    ],
)
def test_the_base_url_is_the_one_given_else_the_companys_else_the_common_one(env, url):
    settings = load_settings(env)
    assert settings.base_url == url
    assert settings.warnings == ()


WRONG = [
    ("MEMORY_THRESHOLD", "30", "must be a whole number from 50 to 95 (percent)"),
    ("MEMORY_THRESHOLD", "lots", "must be a whole number from 50 to 95 (percent)"),
    ("MAX_BATCH_SIZE", "501", "must be a whole number from 1 to 500 (rows)"),
    ("MAX_RETRY_ATTEMPTS", "11", "must be a whole number from 0 to 10"),
    ("CIRCUIT_BREAKER_THRESHOLD", "0", "must be a whole number from 1 to 1000"),
    ("CIRCUIT_BREAKER_TIMEOUT", "3601", "must be a number above 0 and up to 3600 (seconds)"),
    ("DAILY_TOKEN_BUDGET", "-1", "must be a whole number from 0 to 1000000000 (tokens)"),
    ("DAILY_TOKEN_BUDGET", "1.5", "must be a whole number from 0 to 1000000000 (tokens)"),
    ("REQUEST_TIMEOUT", "0", "must be a number above 0 and up to 600 (seconds)"),
    ("REQUEST_TIMEOUT", "nan", "must be a number above 0 and up to 600 (seconds)"),
    ("REQUEST_DEADLINE", "10", "must not be below PIPEDRIVE_REQUEST_TIMEOUT=30 (seconds)"),
    ("MEMORY_LIMIT_MB", "1", "must be a whole number from 64 (MB)"),
    ("FORCE_GC", "maybe", "must be true or false"),
    ("PLAN", "gold", "must be lite, growth, premium or ultimate"),
    ("PARTITION_GRANULARITY", "hourly", "must be monthly, weekly or daily"),
    ("EXECUTOR", "celery", "must be in_process or multiprocess"),
    ("START_DATE", "01.02.2024", "must be a date such as 2024-01-31"),
    ("SCHEDULER_TIME", "24:00", "must be a time of day between 00:00 and 23:59"),
    ("SCHEDULER_TIME", "2:00", "must be a time of day between 00:00 and 23:59"),
    ("SCHEDULER_TIMEZONE", "Mars/Olympus", "must be a time zone of the IANA database, such as Europe/Berlin"),
    ("SCHEDULER_TIMEZONE", "../etc", "must be a time zone of the IANA database, such as Europe/Berlin"),
    ("SYNC_QUEUE", "a b", "must be 1 to 63 letters, digits, dots, dashes or underscores"),
    (
        "COMPANY_DOMAIN",
        "acme.pipedrive.com",
        "must be the part before .pipedrive.com: lower-case letters, digits and dashes",
    ),
    ("BASE_URL", "acme.pipedrive.com", "must be scheme and host only, such as https://acme.pipedrive.com"),
    (
        "BASE_URL",
        "https://acme.pipedrive.com/api/v2",
        "must be scheme and host only, such as https://acme.pipedrive.com",
    ),
    (
        "BASE_URL",
        "ftp://acme.pipedrive.com",
        "must be scheme and host only, such as https://acme.pipedrive.com",
    ),
    ("BASE_URL", "https://h:port", "must be scheme and host only, such as https://acme.pipedrive.com"),
    ("AUTH_METHOD", "oauth", "must be token; OAuth is not in this version, set PIPEDRIVE_TOKEN"),
    ("AUTH_METHOD", "basic", "must be token"),
    ("TOKEN_COSTS", "deals=1", 'must be JSON, such as {"deals": 10, "v2:/deals/archived": 20}'),
    ("TOKEN_COSTS", '{"deals": "x"}', 'must be JSON such as {"deals": 10}'),
    ("TOKEN_COSTS", '{"deals": -1}', "must map entities or v1:/path, v2:/path to 0 to 1000 tokens"),
    ("MIN_BATCH_SIZE", "500x", "must be a whole number from 1 to 500 (rows)"),
]


@pytest.mark.parametrize(("name", "value", "rule"), WRONG)
def test_a_wrong_value_gives_one_line_with_key_value_and_what_is_allowed(name, value, rule):
    assert refused(**{name: value}) == [f"PIPEDRIVE_{name}={value}: {rule}"]


def test_the_smallest_batch_may_not_be_above_the_largest():
    assert refused(MIN_BATCH_SIZE="400", MAX_BATCH_SIZE="300") == [
        "PIPEDRIVE_MIN_BATCH_SIZE=400: must not be above PIPEDRIVE_MAX_BATCH_SIZE=300"
    ]


def test_memory_is_alerted_of_before_it_is_critical():
    (line,) = refused(MEMORY_ALERT_THRESHOLD="90", MEMORY_CRITICAL_THRESHOLD="80")
    assert line.startswith("PIPEDRIVE_MEMORY_ALERT_THRESHOLD=90: must not be above")
    assert line.endswith("PIPEDRIVE_MEMORY_CRITICAL_THRESHOLD=80 (percent)")


def test_a_user_and_password_in_the_base_url_are_refused_and_not_shown():
    (line,) = refused(BASE_URL="https://me:hunter2@acme.pipedrive.com")
    assert "must be scheme and host only" in line
    assert "hunter2" not in line


def test_a_token_that_cannot_be_one_is_refused_without_being_shown():
    (line,) = refused(TOKEN=f'"{TOKEN}"')
    assert line.startswith("PIPEDRIVE_TOKEN=***: must be letters and digits")
    assert TOKEN not in line


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "DAILY_TOKENS_BUDGET",
            "5",
            "PIPEDRIVE_DAILY_TOKENS_BUDGET=5: is not a setting; did you mean PIPEDRIVE_DAILY_TOKEN_BUDGET?",
        ),
        (
            "ENABLED_ENTITY",
            "deals",
            "PIPEDRIVE_ENABLED_ENTITY=deals: is not a setting; did you mean PIPEDRIVE_ENABLED_ENTITIES?",
        ),
        (
            "XYZ",
            "1",
            "PIPEDRIVE_XYZ=1: is not a setting; see docs/configuration.md for all names",
        ),
    ],
)
def test_an_unknown_name_is_an_error_that_names_its_neighbours(name, value, line):
    (shown,) = refused(**{name: value})
    assert shown.startswith(line.rstrip("?"))


@pytest.mark.parametrize("name", ["API_TOKEN", "TOKN", "ENABLED_ENTITIEZ"])
def test_a_token_under_a_wrong_name_is_not_shown(name):
    (line,) = refused(**{name: TOKEN})
    assert TOKEN not in line
    assert "***" in line


def test_several_problems_are_several_lines_of_one_error():
    lines = refused(SEATS="0", FORCE_GC="x", NONSENSE="1", RATE_LIMIT_MAX_DELAY="-3")
    assert len(lines) == 4
    assert {line.split("=")[0] for line in lines} == {
        "PIPEDRIVE_SEATS",
        "PIPEDRIVE_FORCE_GC",
        "PIPEDRIVE_NONSENSE",
        "PIPEDRIVE_RATE_LIMIT_MAX_DELAY",
    }


@given(name=st.sampled_from(sorted(variables())), value=st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_either_a_value_or_one_line_per_problem(name, value):
    try:
        load_settings({name: value})
    except PipedriveConfigException as error:
        assert len(str(error).splitlines()) == len(error.problems) == 1
        assert str(error).startswith(f"{name}=")


@pytest.mark.parametrize("entry", RETIRED, ids=lambda entry: entry.name)
def test_a_retired_variable_gives_one_warning_that_says_why(entry, caplog):
    with caplog.at_level(logging.WARNING, "pipedrive_assets"):
        settings = load_settings({f"PIPEDRIVE_{entry.name}": "hush-hush"})
    (line,) = settings.warnings
    assert line.startswith(f"PIPEDRIVE_{entry.name} is not used: {entry.why}")
    assert line.endswith(f"; use {entry.instead}" if entry.instead else entry.why)
    assert "hush-hush" not in line
    assert [record.pipedrive["reason"] for record in caplog.records] == [line]


@pytest.mark.parametrize("entry", LATER, ids=lambda entry: entry.name)
def test_a_variable_of_a_later_feature_gives_one_warning(entry):
    (line,) = load_settings({f"PIPEDRIVE_{entry.name}": "hush-hush"}).warnings
    assert line == f"PIPEDRIVE_{entry.name} has no effect in this version ({entry.meaning})"


def test_what_a_retired_variable_points_to_exists():
    targets = [entry.instead for entry in RETIRED if entry.instead.startswith("PIPEDRIVE_")]
    assert targets
    assert set(targets) <= set(variables()) | known_names()


def test_a_token_sent_in_the_clear_is_warned_of():
    (line,) = load_settings({"PIPEDRIVE_BASE_URL": "http://example.com"}).warnings
    assert "unencrypted" in line


def test_secrets_are_in_no_representation():
    env = {
        "PIPEDRIVE_TOKEN": TOKEN,
        "PIPEDRIVE_STATE_URL": "postgresql://me:wordofpass@db/state",
        "PIPEDRIVE_WAREHOUSE": "md:lake?motherduck_token=abcdef123456",
    }
    settings = load_settings(env)
    shown = f"{settings!r} {settings} {settings.model_dump(exclude={'warehouse', 'state_url'})}"
    for secret in (TOKEN, "wordofpass", "abcdef123456"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("env", "header", "budget"),
    [
        ({"DAILY_TOKEN_BUDGET": "10000"}, 30_000, (10_000, "setting")),
        ({"DAILY_TOKEN_BUDGET": "0"}, 30_000, (0, "setting")),
        ({"PLAN": "growth", "SEATS": "5"}, 90_000, (90_000, "header")),
        ({"PLAN": "growth", "SEATS": "5"}, None, (300_000, "plan")),
        ({"PLAN": "lite"}, None, (30_000, "plan")),
        ({"PLAN": "premium"}, None, (150_000, "plan")),
        ({"PLAN": "ultimate"}, None, (210_000, "plan")),
        ({"SEATS": "5"}, None, (10_000, "fallback")),
        ({}, 0, (0, "header")),
    ],
)
def test_the_budget_is_the_setting_else_the_header_else_the_plan_else_ten_thousand(env, header, budget):
    settings = load_settings({f"PIPEDRIVE_{name}": value for name, value in env.items()})
    assert daily_budget(settings, header) == budget


def test_this_test_run_has_no_settings_of_the_developer():
    assert not [name for name in os.environ if name.startswith("PIPEDRIVE_")]
