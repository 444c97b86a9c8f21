"""What goes into the warehouse in one transaction, and what came of it.

``sync/`` builds a ``Batch`` from about ten parsed pages; ``store.py`` commits it. Values only: no SQL here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from pipedrive_assets.catalog.spec import EntitySpec


@dataclass(frozen=True, slots=True)
class QuarantinedValue:
    """One value that did not fit its column.

    ``key`` is the record's key as text (parts of a composite key joined by ``/``), ``value`` the API's
    value as JSON text, ``observed_at`` the server's time before the request (aware UTC).
    """

    key: str
    column: str
    value: str
    reason: str
    observed_at: datetime


class CoverageSpan(NamedTuple):
    """The warehouse holds every record of ``stream`` last changed in ``[since, until)``.

    Aware UTC moments; ``since`` None is minus infinity.
    """

    stream: str
    since: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """How far a scan of one stream has come; stored with the rows it brought.

    ``token`` is the JSON form of the next page's token (None: the first page is next, or, when
    ``finished``, there is none). ``last_update_time`` and ``last_id`` are those of the last row kept, to
    resume where a token is refused. ``t0`` is the server's time at the scan's first response. ``rows`` and
    ``pages`` count from the start of the scan. ``run_id`` is told on reading: whose position it is.
    """

    stream: str
    query_hash: str
    token: Mapping[str, Any] | None
    last_update_time: datetime | None
    last_id: str | None
    t0: datetime
    catalog_version: str
    rows: int = 0
    pages: int = 0
    finished: bool = False
    run_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ReplacedParents:
    """The batch holds all children of these parents: children it does not hold become tombstones.

    ``parent_column`` is the column of the child that holds the parent's key. ``observed_at`` (aware UTC) is
    when the lists were read: a child seen later than that stays.
    """

    parent_column: str
    parent_ids: tuple[int | str, ...]
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one entity and everything that must become true together with them.

    ``rows`` has exactly the columns of ``arrow_schema(spec)``, in any order; an empty table is allowed
    (a finished scan that found nothing still records coverage). Duplicate keys are allowed.
    ``source`` is the value stored as ``_source``.
    """

    spec: EntitySpec
    rows: pa.Table
    run_id: str
    source: str
    quarantine: tuple[QuarantinedValue, ...] = ()
    coverage: tuple[CoverageSpan, ...] = ()
    position: Position | None = None
    replaces: ReplacedParents | None = None


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What a merge did, in distinct keys: each key of the batch counts once, tombstones besides.

    ``stale`` rows were older than the stored ones and were left out.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    tombstoned: int = 0

    def __add__(self, other: MergeCounts) -> MergeCounts:
        return MergeCounts(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.stale + other.stale,
            self.tombstoned + other.tombstoned,
        )

    @property
    def written(self) -> int:
        """Rows that the table holds differently now."""
        return self.created + self.updated + self.tombstoned
