"""What a sync works with, handed in by the composition root; and what it tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.paginator import PipedrivePaginator
from pipedrive_assets.clock import Clock
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.warehouse.store import Warehouse


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync has come, after each page: totals since its start."""

    entity: str
    stream: str
    rows: int
    pages: int
    tokens: int


def ignore_progress(_: Progress) -> None:
    """For callers that do not watch."""


@dataclass(frozen=True, slots=True)
class SyncContext:
    """The collaborators of one run; shared by every entity it syncs."""

    settings: PipedriveSettings
    paginator: PipedrivePaginator
    memory: PipedriveMemoryManager
    warehouse: Warehouse
    state: StateStore
    account: str
    run_id: str
    clock: Clock
    on_progress: Callable[[Progress], None] = ignore_progress

    def server_time(self) -> datetime:
        """What time it is at the server, as far as its answers have told (aware UTC)."""
        return self.state.ledger(self.account).server_time()
