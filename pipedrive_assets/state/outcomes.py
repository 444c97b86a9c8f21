"""How syncs ended, kept for a month where checks, metrics and alerts can read it without the warehouse.

The warehouse's ``sync_runs`` remain the full record; this one is also written when the warehouse cannot be.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

KEPT_SECONDS = 30 * 86_400

_outcomes = tables.sync_outcomes
_COLUMNS = [column for column in _outcomes.c if column.name not in ("outcome_id", "account")]


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """One sync of one entity that wrote, or tried to; ``finished_at`` in epoch seconds.

    ``memory_percent`` is the peak's share of the memory limit; ``error`` is empty unless the sync failed.
    """

    entity: str
    run_id: str
    status: str
    source: str
    finished_at: float
    seconds: float
    fetched: int
    quarantined: int
    tokens: int
    requests: int
    retries: int
    peak_rss_mb: float
    memory_percent: float
    error: str = ""


class OutcomeLog:
    """The outcomes of one account; append-only, older ones fall out."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self._account = account

    def record(self, outcome: SyncOutcome) -> None:
        """Append one outcome and drop what is older than a month."""
        with self._database.begin() as connection:
            connection.execute(insert(_outcomes), {"account": self._account, **asdict(outcome)})
            oldest = self._clock.time() - KEPT_SECONDS
            connection.execute(
                delete(_outcomes).where(
                    _outcomes.c.account == self._account, _outcomes.c.finished_at < oldest
                )
            )

    def since(self, at: float, entity: str | None = None) -> tuple[SyncOutcome, ...]:
        """Outcomes of the syncs that ended at ``at`` (epoch seconds) or later, of all entities or of one."""
        query = (
            select(*_COLUMNS)
            .where(_outcomes.c.account == self._account, _outcomes.c.finished_at >= at)
            .order_by(_outcomes.c.finished_at, _outcomes.c.outcome_id)
        )
        if entity is not None:
            query = query.where(_outcomes.c.entity == entity)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(SyncOutcome(**row._mapping) for row in rows)
