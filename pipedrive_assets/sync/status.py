"""How far the copy is, without asking the API: what ``status`` shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.catalog import spec as spec_of
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.breaker import BreakerSnapshot
from pipedrive_assets.state.store import StateStore


class EntityStatus(BaseModel):
    """One entity's copy: rows, how complete, how fresh.

    ``watermark``: everything that changed before it is held (None: the past is not complete). ``head``: end
    of the newest interval. ``lag_seconds``: time since ``head`` (None: never synced).
    """

    model_config = ConfigDict(frozen=True)

    entity: str
    tier: str
    rows: int | None
    watermark: datetime | None
    head: datetime | None
    lag_seconds: float | None


class StatusReport(BaseModel):
    """Everything ``pipedrive-assets status`` prints; ``runs`` are the last syncs, newest first.

    ``warnings`` say where settings and the API tell different limits.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    account: AccountIdentity | None
    entities: tuple[EntityStatus, ...]
    budget: BudgetState
    warnings: tuple[str, ...]
    breaker: BreakerSnapshot
    runs: tuple[dict[str, Any], ...]


def entity_status(
    state: StateStore, account: str, names: tuple[str, ...], now: float
) -> tuple[EntityStatus, ...]:
    """How far each of ``names`` is, by the state store's mirror of the coverage; ``now`` in epoch seconds."""
    marks = state.watermarks(account).all()
    today = datetime.fromtimestamp(now, UTC)
    rows: list[EntityStatus] = []
    for name in names:
        mark = marks.get(name)
        head = mark.head if mark else None
        rows.append(
            EntityStatus(
                entity=name,
                tier=spec_of(name).tier.value,
                rows=mark.rows if mark else None,
                watermark=mark.watermark if mark else None,
                head=head,
                lag_seconds=None if head is None else (today - head).total_seconds(),
            )
        )
    return tuple(rows)
