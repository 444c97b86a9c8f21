"""UTC moments on their way into and out of SQL, where a TIMESTAMP has no zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from pipedrive_assets.clock import Clock


@overload
def to_sql(moment: datetime) -> datetime: ...
@overload
def to_sql(moment: None) -> None: ...
def to_sql(moment: datetime | None) -> datetime | None:
    """An aware moment as the naive UTC value a TIMESTAMP column takes; a naive one is UTC already."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


@overload
def from_sql(moment: datetime) -> datetime: ...
@overload
def from_sql(moment: None) -> None: ...
def from_sql(moment: datetime | None) -> datetime | None:
    """A TIMESTAMP column's value as an aware UTC moment."""
    return None if moment is None else moment.replace(tzinfo=UTC)


def now_sql(clock: Clock) -> datetime:
    """This machine's time as a TIMESTAMP column takes it; for records of our own doing only."""
    return datetime.fromtimestamp(clock.time(), UTC).replace(tzinfo=None)
