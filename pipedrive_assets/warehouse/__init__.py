"""Where rows land: one DuckDB catalog with the tables people query and the records of how they came about.

Belongs here: connection, tables, merge, coverage, positions, quarantine, reading. Does not: HTTP, Dagster,
the decision what to fetch. ``sync/`` hands in a ``Batch``; people and ``defs/`` read from ``Warehouse``.
"""

from pipedrive_assets.warehouse.account import BoundCompany
from pipedrive_assets.warehouse.batch import (
    Batch,
    CoverageSpan,
    MergeCounts,
    Position,
    QuarantinedValue,
    ReplacedParents,
)
from pipedrive_assets.warehouse.intervals import Interval, IntervalSet
from pipedrive_assets.warehouse.schema import arrow_schema
from pipedrive_assets.warehouse.store import Warehouse

__all__ = [
    "Batch",
    "BoundCompany",
    "CoverageSpan",
    "Interval",
    "IntervalSet",
    "MergeCounts",
    "Position",
    "QuarantinedValue",
    "ReplacedParents",
    "Warehouse",
    "arrow_schema",
]
