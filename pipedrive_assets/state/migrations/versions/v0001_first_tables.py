"""First tables: accounts, ledger, window, breaker, leases, watermarks.

The columns are written out, not taken from ``tables.py``, because that file moves on and this one must not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tokens",
        sa.Column("token_key", sa.String(64), primary_key=True),
        sa.Column("company_id", sa.Integer, nullable=False),
        sa.Column("company_name", sa.String, nullable=False),
        sa.Column("company_domain", sa.String, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("user_name", sa.String, nullable=False),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        sa.Column("remembered_at", sa.Double, nullable=False),
    )
    op.create_table(
        "server_clocks",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("host", sa.String, primary_key=True),
        sa.Column("offset_seconds", sa.Double, nullable=False),
        sa.Column("learned_at", sa.Double, nullable=False),
    )
    op.create_table(
        "ledger_limits",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("header_limit", sa.Integer, nullable=False),
        sa.Column("observed_at", sa.Double, nullable=False),
    )
    op.create_table(
        "ledger_days",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("own_spent", sa.Integer, nullable=False),
        sa.Column("server_limit", sa.Integer),
        sa.Column("server_spent", sa.Integer),
        sa.Column("observed_at", sa.Double),
        sa.Column("exhausted", sa.Boolean, nullable=False),
    )
    op.create_table(
        "ledger_spend",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("endpoint", sa.String, primary_key=True),
        sa.Column("lane", sa.String(16), primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
    )
    op.create_table(
        "reservations",
        sa.Column("reservation_id", sa.String(32), primary_key=True),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("slot_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("reclaimed_tokens", sa.Integer),
    )
    op.create_index("reservations_of_account", "reservations", ["account", "reclaimed_tokens"])
    op.create_table(
        "windows",
        sa.Column("window_key", sa.String, primary_key=True),
        sa.Column("header_limit", sa.Integer),
        sa.Column("not_before", sa.Double, nullable=False),
    )
    op.create_table(
        "window_slots",
        sa.Column("slot_id", sa.Integer, primary_key=True),
        sa.Column("window_key", sa.String, nullable=False),
        sa.Column("slot_at", sa.Double, nullable=False),
    )
    op.create_index("window_slots_by_time", "window_slots", ["window_key", "slot_at"])
    op.create_table(
        "breakers",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("opens", sa.Integer, nullable=False),
        sa.Column("next_try_at", sa.Double, nullable=False),
        sa.Column("probe_owner", sa.String),
        sa.Column("probe_expires_at", sa.Double),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("lease_id", sa.String(32), nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_table(
        "watermarks",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("entity", sa.String, primary_key=True),
        sa.Column("watermark", sa.Double),
        sa.Column("head", sa.Double),
        sa.Column("rows", sa.Integer),
        sa.Column("recorded_at", sa.Double, nullable=False),
    )
