"""A small mirror of the warehouse's coverage, so that status and sensors need not open the warehouse file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select

from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far an entity is known; all times UTC.

    Everything before ``watermark`` is held (None: nothing yet), ``head`` is the newest end of any interval.
    """

    entity: str
    watermark: datetime | None
    head: datetime | None
    rows: int | None
    recorded_at: datetime


class WatermarkMirror:
    """The watermarks of one account; the coverage in the warehouse remains the truth."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self._account = account

    def set(
        self,
        entity: str,
        watermark: datetime | None,
        head: datetime | None,
        rows: int | None,
        recorded_at: datetime,
    ) -> None:
        """Replace the entry of ``entity``, unless one recorded later is already there."""
        with self._database.begin() as connection:
            existing = self.get(entity)
            if existing is not None and existing.recorded_at > recorded_at:
                return
            self._database.upsert(
                connection,
                tables.watermarks,
                {
                    "account": self._account,
                    "entity": entity,
                    "watermark": watermark.timestamp() if watermark else None,
                    "head": head.timestamp() if head else None,
                    "rows": rows,
                    "recorded_at": recorded_at.timestamp(),
                },
            )

    def get(self, entity: str) -> Watermark | None:
        """The entry of one entity, None before its first sync."""
        marks = tables.watermarks
        with self._database.read() as connection:
            row = connection.execute(
                select(marks).where(marks.c.account == self._account, marks.c.entity == entity)
            ).one_or_none()
        return None if row is None else _watermark(row)

    def all(self) -> dict[str, Watermark]:
        """Every entry, by entity."""
        marks = tables.watermarks
        with self._database.read() as connection:
            rows = connection.execute(
                select(marks).where(marks.c.account == self._account).order_by(marks.c.entity)
            ).all()
        return {row.entity: _watermark(row) for row in rows}


def _watermark(row: Row[Any]) -> Watermark:
    return Watermark(
        entity=row.entity,
        watermark=_moment(row.watermark),
        head=_moment(row.head),
        rows=row.rows,
        recorded_at=datetime.fromtimestamp(row.recorded_at, UTC),
    )


def _moment(epoch_seconds: float | None) -> datetime | None:
    return None if epoch_seconds is None else datetime.fromtimestamp(epoch_seconds, UTC)
