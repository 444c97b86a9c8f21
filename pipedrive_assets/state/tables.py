"""The tables of the state store. ``migrations/`` creates them; a test compares both.

Times are seconds since the epoch (``Double``), because SQLite has no time type and whole microseconds
survive in a double. Days are ISO dates of the server's calendar (UTC).
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, String, Table

metadata = MetaData()

tokens = Table(
    "tokens",
    metadata,
    Column("token_key", String(64), primary_key=True),
    Column("company_id", Integer, nullable=False),
    Column("company_name", String, nullable=False),
    Column("company_domain", String, nullable=False),
    Column("user_id", Integer, nullable=False),
    Column("user_name", String, nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("remembered_at", Double, nullable=False),
)

server_clocks = Table(
    "server_clocks",
    metadata,
    Column("account", String, primary_key=True),
    Column("host", String, primary_key=True),
    Column("offset_seconds", Double, nullable=False),
    Column("learned_at", Double, nullable=False),
)

ledger_limits = Table(
    "ledger_limits",
    metadata,
    Column("account", String, primary_key=True),
    Column("header_limit", Integer, nullable=False),
    Column("observed_at", Double, nullable=False),
)

ledger_days = Table(
    "ledger_days",
    metadata,
    Column("account", String, primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("own_spent", Integer, nullable=False),
    Column("server_limit", Integer),
    Column("server_spent", Integer),
    Column("observed_at", Double),
    Column("exhausted", Boolean, nullable=False),
)

ledger_spend = Table(
    "ledger_spend",
    metadata,
    Column("account", String, primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("endpoint", String, primary_key=True),
    Column("lane", String(16), primary_key=True),
    # On whose behalf; empty where a request belonged to no entity.
    Column("entity", String, primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
)

reservations = Table(
    "reservations",
    metadata,
    Column("reservation_id", String(32), primary_key=True),
    Column("account", String, nullable=False),
    Column("day", String(10), nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("lane", String(16), nullable=False),
    Column("entity", String, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("slot_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    # NULL while open; after a reclaim what was counted as spent, so that a late answer is not counted twice.
    Column("reclaimed_tokens", Integer),
    Index("reservations_of_account", "account", "reclaimed_tokens"),
)

windows = Table(
    "windows",
    metadata,
    Column("window_key", String, primary_key=True),
    Column("header_limit", Integer),
    Column("not_before", Double, nullable=False),
    # Requests per window that others with the same token are expected to send.
    Column("others", Integer, nullable=False),
    Column("others_seen_at", Double, nullable=False),
)

window_slots = Table(
    "window_slots",
    metadata,
    Column("slot_id", Integer, primary_key=True),
    Column("window_key", String, nullable=False),
    Column("slot_at", Double, nullable=False),
    Index("window_slots_by_time", "window_key", "slot_at"),
)

breakers = Table(
    "breakers",
    metadata,
    Column("account", String, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("opens", Integer, nullable=False),
    Column("next_try_at", Double, nullable=False),
    Column("probe_owner", String),
    Column("probe_expires_at", Double),
    Column("changed_at", Double, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("account", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("lease_id", String(32), nullable=False),
    Column("owner", String, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("account", String, primary_key=True),
    Column("entity", String, primary_key=True),
    Column("watermark", Double),
    Column("head", Double),
    Column("rows", Integer),
    Column("recorded_at", Double, nullable=False),
)

request_minutes = Table(
    "request_minutes",
    metadata,
    Column("account", String, primary_key=True),
    # Whole minutes since the epoch.
    Column("minute", Integer, primary_key=True),
    Column("requests", Integer, nullable=False),
    # No answer, or one that counts for the circuit breaker.
    Column("failures", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("wait_seconds", Double, nullable=False),
    Column("last_success_at", Double),
)

request_totals = Table(
    "request_totals",
    metadata,
    Column("account", String, primary_key=True),
    Column("endpoint", String, primary_key=True),
    # The HTTP status as text, or what became of a request without an answer.
    Column("status", String(16), primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("wait_seconds", Double, nullable=False),
)

health_samples = Table(
    "health_samples",
    metadata,
    Column("account", String, primary_key=True),
    Column("at", Double, primary_key=True),
    # probe or traffic: whether a request was made for it.
    Column("source", String(16), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("reason", String, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("latency_ms", Double),
    Column("failure_percent", Double, nullable=False),
    Column("tokens_left", Integer),
    Column("memory_percent", Double),
)

health_states = Table(
    "health_states",
    metadata,
    Column("account", String, primary_key=True),
    Column("verdict", String(16), nullable=False),
    Column("reason", String, nullable=False),
    Column("since", Double, nullable=False),
    Column("checked_at", Double, nullable=False),
    # Probes that failed in a row.
    Column("failures", Integer, nullable=False),
    Column("probed_at", Double),
)

sync_outcomes = Table(
    "sync_outcomes",
    metadata,
    Column("outcome_id", Integer, primary_key=True),
    Column("account", String, nullable=False),
    Column("entity", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("status", String(16), nullable=False),
    Column("source", String(16), nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("fetched", Integer, nullable=False),
    Column("quarantined", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("peak_rss_mb", Double, nullable=False),
    Column("memory_percent", Double, nullable=False),
    Column("error", String, nullable=False),
    Index("sync_outcomes_by_time", "account", "finished_at"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("account", String, primary_key=True),
    Column("condition", String, primary_key=True),
    Column("severity", String(16), nullable=False),
    Column("raised", Boolean, nullable=False),
    # When it last changed between raised and not.
    Column("since", Double, nullable=False),
    Column("detail", String, nullable=False),
    # The worst severity that people were told of this raising; empty: nothing yet.
    Column("told_severity", String(16), nullable=False),
)

# One row for each channel, so that a channel that is down neither holds up nor repeats the others'.
alert_messages = Table(
    "alert_messages",
    metadata,
    Column("message_id", Integer, primary_key=True),
    Column("account", String, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("condition", String, nullable=False),
    # raised or recovered.
    Column("kind", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("since", Double, nullable=False),
    Column("detail", String, nullable=False),
    # What it counts for at most once, such as a budget's day; empty: nothing but the hour.
    Column("occasion", String, nullable=False),
    Column("queued_at", Double, nullable=False),
    # While one process delivers it no other may.
    Column("claimed_until", Double, nullable=False),
    Column("delivered_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("error", String, nullable=False),
    Index("alert_messages_by_condition", "account", "condition", "queued_at"),
)

events = Table(
    "events",
    metadata,
    Column("event_id", Integer, primary_key=True),
    Column("account", String, nullable=False),
    Column("at", Double, nullable=False),
    Column("name", String, nullable=False),
    Column("detail", String, nullable=False),
    Index("events_by_time", "account", "at"),
)
