"""One materialization: a range of partitions of one entity becomes one call of ``session.sync``.

There is exactly one materialization event per partition, however the run ends. On success only the final
result emits them. A run that ends early logs those of the partitions it has wholly covered and then fails;
a killed one is repaired by the sensor from the coverage it has left in the warehouse. A run whose day has no
tokens left is paused: its steps fail too, and the resume sensor starts the rest of it after the reset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import TYPE_CHECKING

import dagster as dg

from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.defs import pause, reports, run_tags
from pipedrive_assets.defs.failures import as_failure
from pipedrive_assets.defs.partitions import Calendar, Window
from pipedrive_assets.defs.reported import covered_by_chain
from pipedrive_assets.defs.resources import PipedriveResource
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncResult, SyncStatus

if TYPE_CHECKING:
    from pipedrive_assets.sync.session import Session
    from pipedrive_assets.warehouse.intervals import IntervalSet
    from pipedrive_assets.warehouse.store import Warehouse


def materialize(
    context: dg.AssetExecutionContext, pipedrive: PipedriveResource, spec: EntitySpec, calendar: Calendar
) -> Iterator[dg.MaterializeResult[None]]:
    """Sync the partitions of this run; yields one result, or none where another run has the entity.

    Errors raised: ``dg.Failure``, after the partitions that are done were logged.
    """
    keys = list(context.partition_keys)
    now = datetime.fromtimestamp(pipedrive.clock().time(), UTC)
    window = calendar.window_of(keys, now)
    try:
        options = run_tags.sync_options(context.run.tags, window, _started_at(context, now))
        session = pipedrive.session()
    except PipedriveException as error:
        raise as_failure(error) from error
    try:
        result = session.sync(spec.name, options)
    except PipedriveException as error:
        paused = pause.failure_of(context, spec.name, error, now)
        if paused is not None:
            # Not even the account could be asked.
            raise paused from error
        failure = as_failure(error)
        if not failure.allow_retries or _is_last_try(context):
            _log_finished(context, session.warehouse, spec, calendar, keys, options)
        raise failure from error
    except Exception:
        if _is_last_try(context):
            _log_finished(context, session.warehouse, spec, calendar, keys, options)
        raise
    if result.status is SyncStatus.BUSY:
        context.log.info(f"{result.reason}; left to it")
        return
    if result.status is SyncStatus.PARTIAL:
        _log_finished(context, session.warehouse, spec, calendar, keys, options)
        raise dg.Failure(result.reason, metadata=reports.counts(result), allow_retries=False)
    if result.status is SyncStatus.PAUSED:
        _log_finished(context, session.warehouse, spec, calendar, keys, options)
        raise pause.pause(context, spec.name, result.reason, result.resumes_at, reports.counts(result))
    if result.status is SyncStatus.SKIPPED:
        context.log.warning(f"{spec.name} skipped: {result.reason}")
    yield dg.MaterializeResult(metadata=_metadata(context, session, spec, calendar, keys, window, result))


def finished_partitions(
    warehouse: Warehouse,
    spec: EntitySpec,
    calendar: Calendar,
    keys: Sequence[str],
    options: SyncOptions,
    run_ids: Sequence[str],
) -> list[str]:
    """Those of ``keys`` that the runs ``run_ids`` have wholly covered, as the warehouse has it.

    A partition is covered when every stream of the entity is. What earlier runs covered counts only where
    this one was asked for the rest.
    """
    from pipedrive_assets.warehouse.intervals import IntervalSet

    wanted = [stream.name for stream in spec.streams if options.tier in (None, stream.tier or spec.tier)]
    # What the account does not open holds no records, and never gets a coverage.
    closed = warehouse.closed_streams(spec.name)
    streams = [name for name in wanted if name not in closed] or wanted
    own = IntervalSet()
    for run_id in run_ids:
        own |= _in_all(warehouse.spans_of_run(run_id, spec.name), streams)
    earlier = IntervalSet()
    if options.mode is SyncMode.INCREMENTAL:
        earlier = _in_all(warehouse.coverage(spec.name), streams)
    return calendar.finished_by(own, earlier, keys, datetime.now(UTC))


def _in_all(coverage: dict[str, IntervalSet], streams: Sequence[str]) -> IntervalSet:
    from pipedrive_assets.warehouse.intervals import IntervalSet

    return reduce(
        lambda held, stream: held & coverage.get(stream, IntervalSet()),
        streams[1:],
        coverage.get(streams[0], IntervalSet()),
    )


def _log_finished(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    spec: EntitySpec,
    calendar: Calendar,
    keys: Sequence[str],
    options: SyncOptions,
) -> None:
    run_ids = [*options.resumes, context.run.run_id]
    try:
        finished = finished_partitions(warehouse, spec, calendar, keys, options, run_ids)
    except PipedriveException as error:
        # The first error is the one to tell; the sensor logs these partitions later.
        context.log.warning(f"partitions that are done are not logged yet: {error}")
        return
    if options.resumes:
        # The runs it resumes have reported theirs.
        reported = covered_by_chain(context.instance, context.asset_key, finished, run_ids, options.mode)
        finished = [key for key in finished if key not in reported]
    for key in finished:
        context.log_event(dg.AssetMaterialization(asset_key=context.asset_key, partition=key))
    if finished:
        context.log.info(
            f"{len(finished)} of {len(keys)} partitions are done: {finished[0]} to {finished[-1]}"
        )


def _metadata(
    context: dg.AssetExecutionContext,
    session: Session,
    spec: EntitySpec,
    calendar: Calendar,
    keys: Sequence[str],
    window: Window,
    result: SyncResult,
) -> dict[str, reports.Metadata]:
    metadata = reports.counts(result)
    if session.settings.performance_logging:
        metadata |= reports.performance(result)
    metadata |= reports.stored(session.warehouse, spec)
    for key, rows in reports.rows_by_partition(session.warehouse, spec, calendar, keys, window).items():
        context.add_asset_metadata({"dagster/partition_row_count": rows}, partition_key=key)
    return metadata


def _started_at(context: dg.AssetExecutionContext, now: datetime) -> datetime:
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if record is None or record.start_time is None:
        return now
    return datetime.fromtimestamp(record.start_time, UTC)


def _is_last_try(context: dg.AssetExecutionContext) -> bool:
    policy = context.assets_def.op.retry_policy
    return policy is None or context.retry_number >= policy.max_retries
