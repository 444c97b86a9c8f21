"""Every setting with its type, range, unit, default and meaning; one class per section of the documentation.

The attribute ``daily_token_budget`` is the variable ``PIPEDRIVE_DAILY_TOKEN_BUDGET``. What a value must look
like is in :mod:`pipedrive_assets.settings_values`; what spans several fields, and reading the environment, in
:mod:`pipedrive_assets.settings`. The first sentence of a class is its title in ``docs/configuration.md``.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue, SecretStr

from pipedrive_assets.settings_values import (
    ALERT_CONDITIONS,
    AlertConditions,
    BaseUrl,
    ClockTime,
    CompanyDomain,
    LaneReserves,
    QueueName,
    TimeZone,
    Token,
    TokenCosts,
)


def setting(default: Any, description: str, *, unit: str = "", secret: bool = False, **rules: Any) -> Any:
    """A field with the facts that its documentation and its error messages are made of."""
    extra: dict[str, JsonValue] = {"unit": unit, "secret": secret}
    return Field(default, description=description, json_schema_extra=extra, **{"repr": not secret, **rules})


class Connection(BaseModel):
    """Connection: which Pipedrive account, and how to reach it."""

    auth_method: Literal["token"] = setting(
        "token", "How the API is authenticated; OAuth is not in this version."
    )
    token: Token | None = setting(
        None, "API token of the user whose view of the account is copied; best an admin's.", secret=True
    )
    company_domain: CompanyDomain | None = setting(
        None, "The part of the company's address before .pipedrive.com."
    )
    base_url: BaseUrl = setting(
        "",
        "Scheme and host of the API; /api/v2 and /api/v1 are added. Without it"
        " https://COMPANY_DOMAIN.pipedrive.com, and without that https://api.pipedrive.com.",
    )
    request_timeout: float = setting(
        30,
        "Longest wait for a connection, and for the next bytes of an answer.",
        unit="seconds",
        gt=0,
        le=600,
    )
    request_deadline: float = setting(
        300, "Longest time for one call with all its retries and waits.", unit="seconds", gt=0, le=86_400
    )


class Storage(BaseModel):
    """Storage: where rows and state land."""

    warehouse: str = setting(
        "",
        "DuckDB file, or any string DuckDB can ATTACH. Without it warehouse.duckdb in $DAGSTER_HOME/storage"
        " (./dagster_home/storage where DAGSTER_HOME is not set).",
        repr=False,  # may hold a password, as may the state's address
    )
    warehouse_lock_timeout: float = setting(
        60, "Longest wait for another process that holds the warehouse.", unit="seconds", ge=0, le=3600
    )
    warehouse_memory_limit_mb: int = setting(
        512,
        "Memory DuckDB may use; in a sync no more than half of the memory limit.",
        unit="MB",
        ge=128,
        le=1_048_576,
    )
    warehouse_threads: int = setting(2, "Threads DuckDB may use.", ge=1, le=256)
    state_url: str = setting(
        "",
        "Database of what survives a process: token ledger, breaker, leases. Without it"
        " sqlite: pipedrive_state.db beside the default warehouse.",
        repr=False,
    )


class Scope(BaseModel):
    """Scope: what is copied, and how it is cut into partitions."""

    enabled_entities: str = setting(
        "default",
        "Entities to copy: names separated by commas, or `default` with changes, as in"
        " `default,+deal_followers,-goals`. Empty: none.",
    )
    start_date: date = setting(
        date(2024, 1, 1), "Start of the first partition, UTC; that partition also holds whatever is older."
    )
    partition_granularity: Literal["monthly", "weekly", "daily"] = setting(
        "monthly", "Length of a partition. It does not influence freshness."
    )
    sync_overlap: int = setting(
        600,
        "How much of the newest time is read again by the next run, since Pipedrive's lists lag its writes.",
        unit="seconds",
        ge=0,
        le=86_400,
    )


class Budget(BaseModel):
    """Budget: tokens per day and requests per two seconds."""

    plan: Literal["lite", "growth", "premium", "ultimate"] | None = setting(
        None, "Plan of the account; decides the burst limit, and the daily budget where nothing else does."
    )
    seats: int = setting(1, "Paid seats of the account; the daily budget grows with them.", ge=1, le=100_000)
    rate_limiting_enabled: bool = setting(
        True,
        "Keep within the budget and the burst limit. Switched off, 429 and Retry-After are still obeyed.",
    )
    daily_token_budget: int | None = setting(
        None,
        "Tokens to spend per day; 0 refuses every request; above the account's own limit that limit holds."
        " Not set: the last response's header, else 30,000 times seats times the plan's factor, else 10,000"
        " (the default of the package this one follows).",
        unit="tokens",
        ge=0,
        le=1_000_000_000,
    )
    lane_reserves: LaneReserves = setting(
        {"push": 5, "repair": 5, "incremental": 50},
        "Share of the budget that less urgent work leaves to each lane, in the order push, repair,"
        " incremental, backfill; it melts away as the day goes by. For incremental never more than the core"
        " schedule costs a day while nothing changes. A lane that is not named gets none.",
        unit="percent",
    )
    rate_limit_max_delay: float = setting(
        16,
        "Longest delay of our own back-off; what the server asks for is kept, up to a day.",
        unit="seconds",
        gt=0,
        le=3600,
    )
    rate_limit_jitter: bool = setting(
        True, "Draw each back-off delay between zero and its bound, so that clients do not retry in step."
    )
    burst_margin_ms: int = setting(
        100,
        "Added to the two-second window, because timers wake late and requests would crowd together.",
        unit="milliseconds",
        ge=0,
        le=2000,
    )
    token_costs: TokenCosts = setting(
        {},
        "Price of a request where it differs from the published one, as JSON:"
        ' `{"deals": 10, "v1:/notes": 20}`.'
        " Empty by default, unlike the seed: its invented prices would make the ledger wrong.",
        unit="tokens",
    )


class Errors(BaseModel):
    """Errors: retries and the circuit breaker."""

    max_retry_attempts: int = setting(
        3, "Retries after a failed request, so at most one more request than this.", ge=0, le=10
    )
    circuit_breaker_threshold: int = setting(
        5, "Failures in a row (no connection, 5xx) after which no more requests are made.", ge=1, le=1000
    )
    circuit_breaker_timeout: float = setting(
        300,
        "Time until one request is let through again; doubles each time that fails, up to an hour.",
        unit="seconds",
        gt=0,
        le=3600,
    )


class Memory(BaseModel):
    """Memory: page sizes that adapt."""

    adaptive_pagination: bool = setting(
        True, "Gather less, and ask for smaller pages, while memory is short."
    )
    memory_threshold: int = setting(
        80, "Share of the memory limit above which batches, then pages shrink.", unit="percent", ge=50, le=95
    )
    memory_alert_threshold: int = setting(
        85,
        "Share of the memory limit above which a warning is given, and an alert raised.",
        unit="percent",
        ge=50,
        le=100,
    )
    memory_critical_threshold: int = setting(
        95,
        "Share of the memory limit above which a sync that cannot ask for less stops, progress kept.",
        unit="percent",
        ge=50,
        le=100,
    )
    min_batch_size: int = setting(10, "Fewest rows to ask for in a page.", unit="rows", ge=1, le=500)
    max_batch_size: int = setting(
        500,
        "Most rows to ask for in a page; an endpoint's own maximum goes first.",
        unit="rows",
        ge=1,
        le=500,
    )
    force_gc: bool = setting(True, "Collect garbage after each batch.")
    memory_limit_mb: int | None = setting(
        None,
        "Memory limit of this process; below 300 a sync is slow. Not set: the container's, for all its"
        " processes together, else the machine's.",
        unit="MB",
        ge=64,
    )


class Health(BaseModel):
    """Health: how the API is doing, asked for when nobody else asks."""

    health_monitoring_enabled: bool = setting(
        True,
        "Watch the API: probes, verdict, history, and the asset pipedrive/api_health. Switched off, the"
        " circuit breaker still guards every request.",
    )
    health_check_interval: int = setting(
        300,
        "Time between probes. None is sent while other requests succeed.",
        unit="seconds",
        ge=30,
        le=86_400,
    )
    health_endpoint: Literal["users/me", "leadSources", "pipelines", "currencies"] = setting(
        "users/me",
        "What a probe asks for: users/me and leadSources cost 2 tokens, pipelines (v2, one row) 5,"
        " currencies 20. The package this one follows asks for currencies: every five minutes, that is"
        " 5,760 tokens a day, more than half of a budget of 10,000; users/me takes 576 and shows as much.",
    )
    health_check_timeout: float = setting(
        10, "Longest wait for a probe's answer; it is not repeated.", unit="seconds", gt=0, le=600
    )
    health_failure_threshold: int = setting(
        3, "Failed probes in a row that count as unhealthy.", ge=1, le=100
    )
    health_degradation_threshold: int = setting(
        1000,
        "Mean time of an answer, over 15 minutes, above which the API counts as degraded and gets half as"
        " many requests per window.",
        unit="milliseconds",
        ge=1,
        le=600_000,
    )
    health_cache_ttl: int = setting(
        60, "How long a verdict is good for before it is formed anew.", unit="seconds", ge=0, le=86_400
    )


class Monitoring(BaseModel):
    """Monitoring: what is kept of requests and runs, and when it becomes a warning."""

    monitoring_enabled: bool = setting(
        True,
        "Keep figures of requests and syncs, and add the checks api_is_healthy, failure_rate_is_low,"
        " memory_is_sufficient and budget_is_sufficient to every entity.",
    )
    performance_logging: bool = setting(
        True,
        "Tell how fast each sync was and what memory it took: in its metadata, and in the log line"
        " sync_performance.",
    )
    failure_rate_threshold: float = setting(
        10,
        "Share of failures above which the API counts as degraded (requests, over 15 minutes) and the check"
        " failure_rate_is_low fails (runs and rows of an entity, over 24 hours).",
        unit="percent",
        gt=0,
        le=100,
    )


class Alerts(BaseModel):
    """Alerts: who is told when something is wrong, and how. What makes a channel useless is a warning."""

    alerting_enabled: bool = setting(
        False, "Watch for the conditions below and tell people; each channel has a switch of its own."
    )
    alert_conditions: AlertConditions = setting(
        "all",
        "Conditions to watch, separated by commas, or all: " + ", ".join(ALERT_CONDITIONS) + ".",
    )
    alert_runbook_url: str = setting(
        "docs/runbook.md", "Where the runbook is for those who get alerts; each links its entry there."
    )
    alert_mail_enabled: bool = setting(False, "Tell by mail.")
    alert_mail_to: str = setting("", "Receivers of mails, separated by commas.")
    alert_mail_from: str = setting("", "Sender of mails. Not set: the first receiver.")
    alert_smtp_host: str = setting("localhost", "Mail server.")
    alert_smtp_port: int | None = setting(
        None, "Its port. Not set: 25, with starttls 587, with tls 465.", ge=1, le=65_535
    )
    alert_smtp_security: Literal["none", "starttls", "tls"] = setting(
        "starttls", "How the way to the mail server is encrypted; its certificate is checked."
    )
    alert_smtp_username: str | None = setting(
        None, "User to log in as at the mail server; not set: no login."
    )
    alert_smtp_password: SecretStr | None = setting(None, "That user's password.", secret=True)
    alert_slack_enabled: bool = setting(False, "Tell in Slack.")
    alert_slack_webhook: SecretStr | None = setting(None, "Address of the incoming webhook.", secret=True)
    alert_slack_channel: str = setting(
        "#alerts", "Channel to post to, where the webhook leaves a choice; most are bound to one."
    )
    alert_log_enabled: bool = setting(True, "Tell in the log: of the sensor's tick, and of the process.")
    alert_log_level: Literal["debug", "info", "warning", "error", "critical"] = setting(
        "error", "Level of these lines."
    )


class Runs(BaseModel):
    """Runs: queues, time limits, and how Dagster executes them."""

    sync_queue: QueueName = setting("pipedrive-sync", "Queue (run tag pipedrive/queue) of syncs.")
    webhook_queue: QueueName = setting("pipedrive-webhooks", "Queue of runs that a webhook brought about.")
    retry_queue: QueueName = setting(
        "pipedrive-retry",
        "Queue of runs that repeat another; needs the run coordinator of dagster_home/dagster.yaml.",
    )
    job_timeout: int = setting(
        3600,
        "Time after which a run stops at the next page, progress kept.",
        unit="seconds",
        ge=60,
        le=604_800,
    )
    job_max_tries: int = setting(3, "Tries of a step whose process was lost.", ge=1, le=10)
    prefer_async: bool = setting(False, "Let `sync-entities` submit runs to Dagster, as with `--async`.")
    batch_processing: bool = setting(
        True, "One run for all entities of a schedule; switched off, a run for each."
    )
    executor: Literal["in_process", "multiprocess"] = setting(
        "in_process", "Steps of a run in one process (faster for small entities) or a process each."
    )


class Schedules(BaseModel):
    """Schedules: what runs by itself once a token is set."""

    scheduler_enabled: bool = setting(False, "The schedule that syncs every entity.")
    scheduler_frequency: int = setting(
        24, "Hours between its runs, counted from SCHEDULER_TIME.", unit="hours", ge=1, le=24
    )
    scheduler_time: ClockTime = setting("02:00", "Its time of day.")
    scheduler_timezone: TimeZone = setting("UTC", "Time zone of all schedules.")
    scheduler_sync_custom_fields: bool = setting(True, "Whether it syncs the custom field definitions too.")
    incremental_schedule_enabled: bool = setting(True, "The schedule that keeps the core entities fresh.")
    incremental_schedule_minutes: int = setting(
        15, "Minutes between its runs.", unit="minutes", ge=1, le=1440
    )
    hourly_schedule_enabled: bool = setting(True, "The hourly schedule of the entities that change less.")
    custom_fields_scheduler_enabled: bool = setting(True, "The schedule of the custom field definitions.")
    custom_fields_scheduler_frequency: int = setting(1, "Hours between its runs.", unit="hours", ge=1, le=24)


SECTIONS: tuple[type[BaseModel], ...] = (
    Connection,
    Storage,
    Scope,
    Budget,
    Errors,
    Memory,
    Health,
    Monitoring,
    Alerts,
    Runs,
    Schedules,
)
