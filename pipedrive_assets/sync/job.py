"""One call of ``sync_entity`` while it runs: what was asked, with what, and how far it has come."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pipedrive_assets.api.pages import ListRequest
from pipedrive_assets.catalog.spec import EntitySpec, Stream
from pipedrive_assets.exceptions import ErrorContext
from pipedrive_assets.state.leases import Lease
from pipedrive_assets.sync.batcher import Tally
from pipedrive_assets.sync.context import Progress, SyncContext
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.parsing import PageFacts, ParsedPage, PipedriveParsingService
from pipedrive_assets.warehouse.batch import Position
from pipedrive_assets.warehouse.intervals import IntervalSet

STALE = timedelta(hours=24)
"""Who asks for everything, or for a window again, wants it as it is now: what an interrupted run read longer
ago than this is read anew."""


@dataclass(slots=True)
class EntityJob:
    """The state that the scans of one entity share.

    ``positions`` are those of interrupted scans, by stream and query hash; ``closed_streams`` those that the
    account did not open last time; ``resumed`` is what the runs to be resumed have covered, by stream.
    ``remarks`` go into the result's reason. ``stopped`` says why the job
    ends before its lists do (empty while it does not).
    """

    spec: EntitySpec
    options: SyncOptions
    context: SyncContext
    catalog_version: str
    parser: PipedriveParsingService
    tally: Tally = field(default_factory=Tally)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    closed_streams: set[str] = field(default_factory=set)
    resumed: dict[str, IntervalSet] = field(default_factory=dict)
    lease: Lease | None = None
    remarks: list[str] = field(default_factory=list)
    stopped: str = ""

    def parse(self, records: Sequence[Any], facts: PageFacts) -> ParsedPage:
        """Parse one page."""
        return self.parser.parse(records, facts)

    def update_time(self, record: Any) -> datetime | None:
        """When ``record`` last changed by its own word (aware UTC)."""
        return self.parser.update_time(record) if isinstance(record, Mapping) else None

    def list_request(self, stream: Stream, path: str, params: Mapping[str, str]) -> ListRequest:
        """The request for one list of this entity."""
        key = self.spec.key
        plain = len(key) == 1 and self.spec.column(key[0]).computed is None
        return ListRequest(
            entity=self.spec.name,
            stream=stream,
            path=path,
            params=params,
            lane=self.options.lane,
            page_size=self.options.page_size,
            id_key=key[0] if plain else None,
        )

    def room(self) -> int | None:
        """How many rows may still be fetched; None without a limit."""
        if self.options.limit is None:
            return None
        return max(0, self.options.limit - self.tally.fetched)

    def should_stop(self) -> bool:
        """Whether the job has to end between two pages; ``stopped`` then says why."""
        room = self.room()
        if room == 0:
            self.stopped = f"stopped at the limit of {self.options.limit} rows"
        deadline = self.options.deadline
        if deadline is not None and self.context.clock.time() >= deadline.timestamp():
            self.stopped = f"stopped at the deadline {deadline.isoformat()}; the next run goes on from here"
        if self.lease is not None and self.lease.lost:
            self.stopped = "stopped, since another run has taken over the lease of the entity"
        return bool(self.stopped)

    def take_position(self, stream: Stream, query_hash: str) -> Position | None:
        """Where an earlier run left the scan with this query; given once, since it is used up by resuming.

        A run with a limit starts anew: it proves nothing, so it must not move a position either. What a run
        has left that is to be resumed counts whatever its age.
        """
        position = self.positions.pop((stream.name, query_hash), None)
        if position is None or self.options.limit is not None:
            return None
        if position.catalog_version != self.catalog_version:
            return None
        if self.options.mode is SyncMode.INCREMENTAL or position.run_id in self.options.resumes:
            return position
        return position if self.context.server_time() - position.t0 <= STALE else None

    def after_commit(self) -> None:
        """Keep the lease, remember the peak of memory and give back what is not needed."""
        if self.lease is not None:
            # The heartbeat notices a lost lease only at its next beat.
            self.lease.renew()
        memory, tally = self.context.memory, self.tally
        sample = memory.sample()
        tally.peak_rss_bytes = max(tally.peak_rss_bytes, sample.rss_bytes)
        tally.peak_memory_percent = max(tally.peak_memory_percent, sample.percent)
        # DuckDB keeps its buffers between operations, a hundred MB of them; it starts anew in 14 ms.
        memory.after_batch(give_back=self.context.warehouse.close)

    def require_memory(self, stream: Stream, position: Position | None) -> None:
        """Between a commit and the next page: end here if memory is critical whatever was tried.

        ``position`` is the one committed last; None where the run keeps none. Errors raised:
        ``PipedriveMemoryException``, which says how far the job has come.
        """
        committed = {"stream": stream.name, "rows": self.tally.fetched, "pages": self.tally.pages}
        context = ErrorContext(
            entity=self.spec.name,
            endpoint=stream.path,
            details={**committed, "position": None if position is None else _told(position)},
        )
        self.context.memory.require_headroom(stream.page_max, context=context)

    def report_page(self, stream: Stream) -> None:
        """Tell whoever watches how far the job has come."""
        tally = self.tally
        self.context.on_progress(
            Progress(self.spec.name, stream.name, tally.fetched, tally.pages, tally.tokens)
        )


def _told(position: Position) -> dict[str, Any]:
    """A position for messages: enough to tell two apart, without the cursor itself."""
    token = json.dumps(position.token, sort_keys=True)
    return {
        "last_id": position.last_id,
        "last_update_time": None if position.last_update_time is None else str(position.last_update_time),
        "fingerprint": hashlib.sha256(token.encode()).hexdigest()[:12],
    }
