"""Spending by entity; what monitoring remembers: requests, health, outcomes of syncs, alerts, events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables; what was spent before is kept, under no entity."""
    op.rename_table("ledger_spend", "ledger_spend_0001")
    op.create_table(
        "ledger_spend",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("endpoint", sa.String, primary_key=True),
        sa.Column("lane", sa.String(16), primary_key=True),
        sa.Column("entity", sa.String, primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
    )
    op.execute(
        "INSERT INTO ledger_spend (account, day, endpoint, lane, entity, requests, tokens) "
        "SELECT account, day, endpoint, lane, '', requests, tokens FROM ledger_spend_0001"
    )
    op.drop_table("ledger_spend_0001")
    op.add_column(
        "reservations", sa.Column("entity", sa.String, nullable=False, server_default=sa.text("''"))
    )
    op.add_column("windows", sa.Column("others", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column(
        "windows", sa.Column("others_seen_at", sa.Double, nullable=False, server_default=sa.text("0"))
    )
    op.create_table(
        "request_minutes",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("refusals", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("wait_seconds", sa.Double, nullable=False),
        sa.Column("last_success_at", sa.Double),
    )
    op.create_table(
        "request_totals",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("endpoint", sa.String, primary_key=True),
        sa.Column("status", sa.String(16), primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("wait_seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "health_samples",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("at", sa.Double, primary_key=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("latency_ms", sa.Double),
        sa.Column("failure_percent", sa.Double, nullable=False),
        sa.Column("tokens_left", sa.Integer),
        sa.Column("memory_percent", sa.Double),
    )
    op.create_table(
        "health_states",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("checked_at", sa.Double, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("probed_at", sa.Double),
    )
    op.create_table(
        "sync_outcomes",
        sa.Column("outcome_id", sa.Integer, primary_key=True),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("entity", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("finished_at", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("fetched", sa.Integer, nullable=False),
        sa.Column("quarantined", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("peak_rss_mb", sa.Double, nullable=False),
        sa.Column("memory_percent", sa.Double, nullable=False),
        sa.Column("error", sa.String, nullable=False),
    )
    op.create_index("sync_outcomes_by_time", "sync_outcomes", ["account", "finished_at"])
    op.create_table(
        "alerts",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("condition", sa.String, primary_key=True),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("raised", sa.Boolean, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("told_severity", sa.String(16), nullable=False),
    )
    op.create_table(
        "alert_messages",
        sa.Column("message_id", sa.Integer, primary_key=True),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("condition", sa.String, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("occasion", sa.String, nullable=False),
        sa.Column("queued_at", sa.Double, nullable=False),
        sa.Column("claimed_until", sa.Double, nullable=False),
        sa.Column("delivered_at", sa.Double),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.String, nullable=False),
    )
    op.create_index("alert_messages_by_condition", "alert_messages", ["account", "condition", "queued_at"])
    op.create_table(
        "events",
        sa.Column("event_id", sa.Integer, primary_key=True),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
    )
    op.create_index("events_by_time", "events", ["account", "at"])
