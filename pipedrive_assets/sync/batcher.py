"""Gathers parsed pages and commits them together with what they prove: one transaction per batch.

A batch is about ten pages: large enough that opening the file and merging are cheap per row, small and
young enough that the first rows are queryable within seconds and a killed run loses little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from pipedrive_assets.api.pages import Page
from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.sync.context import SyncContext
from pipedrive_assets.sync.options import SyncOptions
from pipedrive_assets.sync.parsing import ParsedPage
from pipedrive_assets.sync.result import ErrorSample
from pipedrive_assets.warehouse.batch import (
    Batch,
    CoverageSpan,
    MergeCounts,
    Position,
    QuarantinedValue,
    ReplacedParents,
)
from pipedrive_assets.warehouse.schema import arrow_schema

PAGES_PER_BATCH = 10
BYTES_PER_BATCH = 16 * 1024 * 1024
SECONDS_PER_BATCH = 5.0
ERROR_SAMPLES = 20


@dataclass(slots=True)
class Tally:
    """Running totals of one ``sync_entity`` call; tokens, requests and retries as the client counted them."""

    fetched: int = 0
    quarantined: int = 0
    pages: int = 0
    requests: int = 0
    tokens: int = 0
    retries: int = 0
    merged: MergeCounts = field(default_factory=MergeCounts)
    samples: list[ErrorSample] = field(default_factory=list)
    spans: list[CoverageSpan] = field(default_factory=list)
    peak_rss_bytes: int = 0
    peak_memory_percent: float = 0.0

    def count_page(self, page: Page) -> None:
        """Add what one page cost."""
        self.pages += 1
        self.requests += page.requests
        self.tokens += page.tokens
        self.retries += page.retries


class Batcher:
    """Collects pages of one entity and commits them."""

    def __init__(self, spec: EntitySpec, options: SyncOptions, context: SyncContext, tally: Tally) -> None:
        self._spec = spec
        self._options = options
        self._context = context
        self._tally = tally
        self._pages: list[ParsedPage] = []
        self._opened_at = context.clock.monotonic()

    def add(self, page: ParsedPage) -> None:
        """Keep ``page`` for the next commit."""
        if not self._pages:
            self._opened_at = self._context.clock.monotonic()
        self._pages.append(page)
        self._tally.fetched += page.rows.num_rows + sum(1 for each in page.quarantine if each.column == "*")
        self._tally.quarantined += len(page.quarantine)
        for value in page.quarantine[: max(0, ERROR_SAMPLES - len(self._tally.samples))]:
            self._tally.samples.append(
                ErrorSample(key=value.key, column=value.column, value=value.value[:200], reason=value.reason)
            )

    @property
    def due(self) -> bool:
        """Whether what has been gathered should be committed now."""
        return bool(self._pages) and (
            len(self._pages) >= self._context.memory.pages_per_batch(PAGES_PER_BATCH)
            or sum(page.rows.nbytes for page in self._pages) >= BYTES_PER_BATCH
            or self._context.clock.monotonic() - self._opened_at >= SECONDS_PER_BATCH
            or self._context.memory.under_pressure
        )

    def commit(
        self,
        coverage: Iterable[CoverageSpan] = (),
        position: Position | None = None,
        replaces: ReplacedParents | None = None,
    ) -> None:
        """Write the gathered pages, and ``coverage``, ``position`` and ``replaces`` with them.

        Errors raised: ``PipedriveWarehouseException``; the pages are then kept, nothing is half written.
        """
        spans = tuple(coverage)
        if not (self._pages or spans or position or replaces):
            return
        batch = Batch(
            spec=self._spec,
            rows=self._rows(),
            run_id=self._context.run_id,
            source=self._options.source.value,
            quarantine=self._quarantine(),
            coverage=spans,
            position=position,
            replaces=replaces,
        )
        warehouse = self._context.warehouse
        counts = warehouse.compare(batch) if self._options.dry_run else warehouse.commit(batch)
        self._tally.merged += counts
        self._tally.spans += spans
        self._pages.clear()

    def _rows(self) -> pa.Table:
        if not self._pages:
            return arrow_schema(self._spec).empty_table()
        return pa.concat_tables([page.rows for page in self._pages])

    def _quarantine(self) -> tuple[QuarantinedValue, ...]:
        return tuple(value for page in self._pages for value in page.quarantine)
