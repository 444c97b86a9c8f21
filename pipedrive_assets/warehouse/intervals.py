"""Sets of half-open time intervals: what a stream's coverage is made of.

Pure values, no SQL: ``coverage.py`` stores them, ``sync/`` plans with them. A moment is an aware UTC
``datetime``; a start of None is minus infinity. There is no plus infinity: an interval ends at a moment
the server has already passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

# Compares below every moment an API can answer with, which None cannot.
_PAST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Interval:
    """The moments ``start <= t < end``; ``start`` None is minus infinity.

    Raises ``ValueError`` for an empty interval or a moment without a zone.
    """

    start: datetime | None
    end: datetime

    def __post_init__(self) -> None:
        if self.end.tzinfo is None or (self.start is not None and self.start.tzinfo is None):
            raise ValueError(f"interval [{self.start}, {self.end}) has a moment without a time zone")
        if self.floor >= self.end:
            raise ValueError(f"interval [{self.start}, {self.end}) is empty")

    @property
    def floor(self) -> datetime:
        """``start`` as a moment that compares: minus infinity is the first moment Python knows."""
        return _PAST if self.start is None else self.start

    def __contains__(self, moment: datetime) -> bool:
        return self.floor <= moment < self.end


def _from_floor(floor: datetime, end: datetime) -> Interval:
    return Interval(None if floor == _PAST else floor, end)


class IntervalSet:
    """An immutable set of moments, kept as disjoint, ordered, non-touching intervals."""

    __slots__ = ("_intervals",)

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        merged: list[Interval] = []
        for interval in sorted(intervals, key=lambda each: (each.floor, each.end)):
            if merged and interval.floor <= merged[-1].end:
                last = merged.pop()
                merged.append(_from_floor(last.floor, max(last.end, interval.end)))
            else:
                merged.append(interval)
        self._intervals = tuple(merged)

    @classmethod
    def of(cls, start: datetime | None, end: datetime) -> IntervalSet:
        """The set of ``start <= t < end``; empty where ``end`` is not after ``start``."""
        if start is not None and start >= end:
            return cls()
        return cls((Interval(start, end),))

    def union(self, other: IntervalSet) -> IntervalSet:
        """Moments in either set."""
        return IntervalSet((*self._intervals, *other._intervals))

    def subtract(self, other: IntervalSet) -> IntervalSet:
        """Moments in this set and not in ``other``: what is still to be fetched."""
        left: list[Interval] = []
        for interval in self._intervals:
            floor = interval.floor
            for hole in other._intervals:
                if hole.end <= floor:
                    continue
                if hole.floor >= interval.end:
                    break
                if hole.floor > floor:
                    left.append(_from_floor(floor, hole.floor))
                floor = hole.end
            if floor < interval.end:
                left.append(_from_floor(floor, interval.end))
        return IntervalSet(left)

    def intersect(self, other: IntervalSet) -> IntervalSet:
        """Moments in both sets."""
        return self.subtract(self.subtract(other))

    def contains(self, start: datetime | None, end: datetime) -> bool:
        """Whether every moment of ``[start, end)`` is in the set."""
        return not IntervalSet.of(start, end).subtract(self)

    @property
    def watermark(self) -> datetime | None:
        """Everything before this moment is in the set; None when its past is not covered."""
        if self._intervals and self._intervals[0].start is None:
            return self._intervals[0].end
        return None

    @property
    def head(self) -> datetime | None:
        """End of the newest interval; None for the empty set."""
        return self._intervals[-1].end if self._intervals else None

    __or__ = union
    __sub__ = subtract
    __and__ = intersect

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._intervals)

    def __len__(self) -> int:
        return len(self._intervals)

    def __contains__(self, moment: datetime) -> bool:
        return any(moment in interval for interval in self._intervals)

    def __eq__(self, other: object) -> bool:
        return self._intervals == other._intervals if isinstance(other, IntervalSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._intervals)

    def __repr__(self) -> str:
        spans = ", ".join(
            f"[{each.start.isoformat() if each.start else '-inf'}, {each.end.isoformat()})" for each in self
        )
        return f"IntervalSet({spans})"
