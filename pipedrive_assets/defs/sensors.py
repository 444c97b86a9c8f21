"""The repair sensor: a run that was killed cannot say which partitions it finished; its coverage can.

For each run that failed or was canceled, or whose worker died, it emits the materialization events that
are missing for partitions the run has wholly covered. It looks at each ended run once (the cursor), emits
for no partition that was materialized since the run began (of a run that reads again, by itself), and leaves
a run that Dagster starts again to its successor. Ticks are short: a handful of runs, one read of the
warehouse, nothing of the network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.materialize import finished_partitions
from pipedrive_assets.defs.partitions import Calendar
from pipedrive_assets.defs.reported import REPAIRED_RUN, asked_of, covered_by_chain, tries_of
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.settings import PipedriveSettings

if TYPE_CHECKING:
    from pipedrive_assets.warehouse.store import Warehouse

SENSOR_NAME = "pipedrive_repair"
RUNS_PER_TICK = 5
LOCK_TIMEOUT_SECONDS = 5
BROKEN = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def build_repair_sensor(
    settings: PipedriveSettings, calendar: Calendar, enabled: Collection[str]
) -> dg.SensorDefinition:
    """The sensor; on by default where there is a token."""
    on = settings.token is not None

    @dg.sensor(
        name=SENSOR_NAME,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED,
        description="Marks the partitions that a killed run had finished.",
    )
    def repair(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        records = _ended_since(context.instance, context.cursor)
        if not records:
            return dg.SkipReason("no run has failed or was canceled since the last look")
        warehouse = _warehouse(settings)
        events: list[dg.AssetMaterialization] = []
        cursor = context.cursor
        try:
            for record in records:
                events += missing_events(context.instance, warehouse, record, calendar, enabled)
                cursor = _cursor_of(record)
        except PipedriveWarehouseException as error:
            # Somebody else has it: what was looked at is done, the rest is looked at again.
            if cursor == context.cursor:
                return dg.SkipReason(f"the warehouse is in use: {error}")
        finally:
            warehouse.close()
        return dg.SensorResult(asset_events=list(events), cursor=cursor)

    return repair


def missing_events(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    record: dg.RunRecord,
    calendar: Calendar,
    enabled: Collection[str],
) -> list[dg.AssetMaterialization]:
    """Materializations that an ended run owes: partitions it covered that nobody has reported since."""
    run = record.dagster_run
    asked = None if run.tags.get(run_tags.WILL_RETRY) == "true" else asked_of(record, calendar)
    if asked is None:
        return []
    options = asked.options
    run_ids = [*options.resumes, *tries_of(instance, run)]
    events: list[dg.AssetMaterialization] = []
    for entity in _entities_of(warehouse, run_ids, enabled):
        finished = finished_partitions(warehouse, CATALOG[entity], calendar, asked.keys, options, run_ids)
        reported = covered_by_chain(instance, entity_key(entity), finished, run_ids, options.mode)
        events += [
            dg.AssetMaterialization(
                asset_key=entity_key(entity), partition=key, metadata={REPAIRED_RUN: run.run_id}
            )
            for key in finished
            if key not in reported
        ]
    return events


def _ended_since(instance: dg.DagsterInstance, cursor: str | None) -> Sequence[dg.RunRecord]:
    """Broken runs that changed after the cursor, oldest first, each once."""
    moment, _, seen = (cursor or "").partition(" ")
    after = datetime.fromtimestamp(float(moment), UTC) if moment else None
    records = instance.get_run_records(
        dg.RunsFilter(statuses=BROKEN, updated_after=after),
        order_by="update_timestamp",
        ascending=True,
        limit=RUNS_PER_TICK + 1,
    )
    return [record for record in records if record.dagster_run.run_id != seen][:RUNS_PER_TICK]


def _cursor_of(record: dg.RunRecord) -> str:
    return f"{record.update_timestamp.timestamp()} {record.dagster_run.run_id}"


def _entities_of(warehouse: Warehouse, run_ids: Sequence[str], enabled: Collection[str]) -> Iterator[str]:
    if warehouse.account() is None:
        return
    marks = ", ".join("?" for _ in run_ids)
    rows = warehouse.query(
        f"SELECT DISTINCT entity FROM pipedrive_meta.coverage WHERE run_id IN ({marks}) ORDER BY entity",  # noqa: S608
        list(run_ids),
    )
    yield from (row["entity"] for row in rows.to_pylist() if row["entity"] in enabled)


def _warehouse(settings: PipedriveSettings) -> Warehouse:
    from pipedrive_assets.warehouse.store import Warehouse

    return Warehouse.from_settings(
        settings, SystemClock(), lock_timeout=min(settings.warehouse_lock_timeout, LOCK_TIMEOUT_SECONDS)
    )
