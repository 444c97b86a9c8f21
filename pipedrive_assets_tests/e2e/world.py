"""What the tests run against: one installation of the product with a Dagster instance of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg
import pytest

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs.build import calendar_of
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.defs.partitions import Calendar, KeyRange
from pipedrive_assets.defs.run_tags import range_tags
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.warehouse.store import Warehouse

VOLATILE = "_synced_at, _run_id, _source, _observed_at"
"""Columns that say when and by whom a version was seen, which differs between two ways to the same copy."""


@dataclass
class World:
    """One checkout of the product against one account: environment, definitions, instance, warehouse."""

    env: Mapping[str, str]
    instance: dg.DagsterInstance
    settings: PipedriveSettings
    defs: dg.Definitions
    monkeypatch: pytest.MonkeyPatch

    @property
    def calendar(self) -> Calendar:
        return calendar_of(self.settings)

    def run(
        self, entities: Sequence[str], span: KeyRange, *, job: str = ENTITY_JOB, **tags: str
    ) -> dg.ExecuteInProcessResult:
        """Run ``entities`` for the partitions of ``span``; keywords are tags without ``pipedrive/``."""
        self.enter()
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=[entity_key(name) for name in entities],
            tags={**range_tags(span), **{f"pipedrive/{name}": value for name, value in tags.items()}},
            raise_on_error=False,
        )

    def enter(self) -> None:
        """Make this world's variables the environment, which a run reads anew."""
        for key, value in self.env.items():
            self.monkeypatch.setenv(key, value)

    def materialized(self, entity: str) -> list[str]:
        """Partition of every materialization event of an entity, in key order; repeated where repeated."""
        found = self.instance.fetch_materializations(entity_key(entity), limit=10_000)
        return sorted(record.partition_key or "" for record in found.records)

    def metadata(self, entity: str) -> Mapping[str, Any]:
        """Metadata of the entity's latest materialization, as plain values."""
        event = self.instance.get_latest_materialization_event(entity_key(entity))
        assert event is not None and event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        warehouse = Warehouse(
            self.settings.warehouse, lock_timeout=10, memory_limit_mb=256, threads=1, clock=SystemClock()
        )
        try:
            yield warehouse
        finally:
            warehouse.close()

    def table(self, entity: str) -> list[dict[str, Any]]:
        """The entity's rows without what differs from run to run."""
        with self.warehouse() as warehouse:
            return warehouse.query(
                f'SELECT * EXCLUDE ({VOLATILE}) FROM pipedrive."{entity}" ORDER BY ALL'
            ).to_pylist()


class MakeWorld(Protocol):
    """Builds a world below the test's folder; variables without ``PIPEDRIVE_``, in lower case."""

    def __call__(self, sandbox: Sandbox, name: str = "home", **variables: Any) -> World: ...
