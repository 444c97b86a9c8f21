"""Where rows land: one DuckDB catalog with the tables people query and the records of how they came about.

Belongs here: connection, tables, merge, coverage, positions, quarantine, reading. Does not: HTTP, Dagster,
the decision what to fetch. ``sync/`` hands in a ``Batch``; people and ``defs/`` read from ``Warehouse``.
"""

from pipedrive_assets.warehouse.batch import (
    Batch,
    Covered,
    MergeCounts,
    Position,
    QuarantinedValue,
    ReplacedParents,
)
from pipedrive_assets.warehouse.intervals import Interval, IntervalSet

__all__ = [
    "Batch",
    "Covered",
    "Interval",
    "IntervalSet",
    "MergeCounts",
    "Position",
    "QuarantinedValue",
    "ReplacedParents",
]
