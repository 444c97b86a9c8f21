"""Partitions as arithmetic: from keys to windows of ``update_time``, and from coverage back to keys.

A partition is one calendar period in UTC. Materializing partitions ``[a, b)`` of an entity guarantees that
the warehouse holds every record of it that last changed in ``[a, b)``. The first partition's window is open
to the past, the running one's to the future, so that a range of all partitions is a sync of everything.
Pure functions; the moment "now" is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    # The warehouse's package brings duckdb and pyarrow, which loading definitions has no use for.
    from pipedrive_assets.warehouse.intervals import IntervalSet


class Granularity(StrEnum):
    """Length of a partition; the value of ``PIPEDRIVE_PARTITION_GRANULARITY``."""

    MONTHLY = "monthly"
    WEEKLY = "weekly"
    DAILY = "daily"


# The formats differ in shape, so that keys of one granularity never show as green in another.
_FORMATS = {
    Granularity.MONTHLY: "%Y-%m",
    Granularity.WEEKLY: "%G-W%V-%u",
    Granularity.DAILY: "%Y-%m-%d",
}
_CRONS = {
    Granularity.MONTHLY: "0 0 1 * *",
    Granularity.WEEKLY: "0 0 * * 1",
    Granularity.DAILY: "0 0 * * *",
}


@dataclass(frozen=True, slots=True)
class Window:
    """The moments ``since <= t < until`` of ``update_time``; None is open."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class KeyRange:
    """First and last key of a contiguous range, both included."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """The partitions from the period that holds ``start_date`` to the one that is running."""

    granularity: Granularity
    start_date: date

    @property
    def key_format(self) -> str:
        """``strftime`` format of a key."""
        return _FORMATS[self.granularity]

    @property
    def unit(self) -> str:
        """What SQL's ``date_trunc`` calls a period; weeks begin on Monday there too."""
        return {Granularity.MONTHLY: "month", Granularity.WEEKLY: "week", Granularity.DAILY: "day"}[
            self.granularity
        ]

    @property
    def first_start(self) -> datetime:
        """Start of the first partition."""
        return self.period_start(datetime.combine(self.start_date, time(), UTC))

    def period_start(self, moment: datetime) -> datetime:
        """Start of the period that holds ``moment``."""
        day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        match self.granularity:
            case Granularity.MONTHLY:
                return day.replace(day=1)
            case Granularity.WEEKLY:
                return day - timedelta(days=day.weekday())
            case Granularity.DAILY:
                return day

    def next_start(self, start: datetime) -> datetime:
        """Start of the period after the one that begins at ``start``."""
        # From any period's start these reach into the next period and never past it.
        reach = {Granularity.MONTHLY: 31, Granularity.WEEKLY: 7, Granularity.DAILY: 1}[self.granularity]
        return self.period_start(start + timedelta(days=reach))

    def key_of(self, moment: datetime) -> str:
        """Key of the period that holds ``moment``."""
        return self.period_start(moment).strftime(self.key_format)

    def start_of(self, key: str) -> datetime:
        """Start of the partition ``key``; ``ValueError`` for a key of another shape."""
        return datetime.strptime(key, self.key_format).replace(tzinfo=UTC)

    def keys(self, now: datetime) -> list[str]:
        """Every key, oldest first, the running one included."""
        return [start.strftime(self.key_format) for start in self._starts(self.first_start, now)]

    def keys_between(self, span: KeyRange) -> list[str]:
        """The keys of ``span``."""
        return [
            start.strftime(self.key_format)
            for start in self._starts(self.start_of(span.start), self.start_of(span.end))
        ]

    def window_of(self, keys: Sequence[str], now: datetime) -> Window:
        """The window of a contiguous range of ``keys`` (at least one, any order)."""
        starts = sorted(self.start_of(key) for key in keys)
        first, last = starts[0], starts[-1]
        return Window(
            since=None if first <= self.first_start else first,
            until=None if last >= self.period_start(now) else self.next_start(last),
        )

    def partitions_covered(self, held: IntervalSet, keys: Sequence[str], now: datetime) -> list[str]:
        """Those of ``keys`` whose window lies wholly in ``held``; never the running one."""
        windows = ((key, self.window_of([key], now)) for key in keys)
        return [
            key
            for key, window in windows
            if window.until is not None and held.contains(window.since, window.until)
        ]

    def finished_by(
        self, own: IntervalSet, earlier: IntervalSet, keys: Sequence[str], now: datetime
    ) -> list[str]:
        """Those of ``keys`` that a run which ended early has finished.

        ``own`` is what the run covered itself, ``earlier`` what it could rely on: nothing, if it was asked
        to read everything again.
        """
        covered = self.partitions_covered(own | earlier, keys, now)
        return [key for key in covered if self._touches(own, self.window_of([key], now))]

    def range_from(self, moment: datetime | None, now: datetime) -> KeyRange:
        """From the partition that holds ``moment`` (None: the first) to the running one."""
        start = self.first_start if moment is None else max(self.first_start, min(moment, now))
        return KeyRange(self.key_of(start), self.key_of(max(now, self.first_start)))

    def definition(self) -> dg.TimeWindowPartitionsDefinition:
        """The same partitions as Dagster's; the running period counts as one."""
        return dg.TimeWindowPartitionsDefinition(
            # Dagster skips to the first period that begins after a start date in mid-period.
            start=self.first_start.strftime(self.key_format),
            fmt=self.key_format,
            cron_schedule=_CRONS[self.granularity],
            timezone="UTC",
            end_offset=1,
        )

    def _touches(self, held: IntervalSet, window: Window) -> bool:
        return any(
            (window.until is None or interval.floor < window.until)
            and (window.since is None or interval.end > window.since)
            for interval in held
        )

    def _starts(self, first: datetime, last: datetime) -> Iterator[datetime]:
        start = first
        while start <= last:
            yield start
            start = self.next_start(start)
