"""Submits a run to the Dagster instance, for callers outside it (``sync-entities --async``).

Done the way ``dagster job launch`` does it: the run is created with the job's plan and handed to the run
queue, from which the daemon takes it. Dagster has no public function for that, so the private names it takes
are used in this module only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster._core.errors import DagsterHomeNotSetError

from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.build import calendar_of
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.defs.partitions import Calendar, KeyRange
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import PipedriveSettings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster._core.remote_representation.code_location import InProcessCodeLocation

MODULE = "pipedrive_assets.definitions"
LOCATION = "pipedrive_assets"
"""Name of the code location in ``workspace.yaml``: the daemon looks the run's code up by it."""
QUEUE_DAEMON = "QUEUED_RUN_COORDINATOR"
NO_QUEUE = (
    "the Dagster instance of DAGSTER_HOME does not queue runs: its dagster.yaml needs run_coordinator"
    " QueuedRunCoordinator, as in dagster_home/dagster.yaml"
)
NO_DAEMON = "no Dagster daemon takes runs from the queue: start `dagster dev` (or `make dev`) first"


def submit(
    entities: Sequence[str],
    *,
    partitions: KeyRange | None = None,
    tags: Mapping[str, str] | None = None,
    settings: PipedriveSettings | None = None,
) -> str:
    """Queue a run of ``sync_pipedrive_entity`` for ``entities``; returns its run id.

    ``partitions`` defaults to all of them; ``tags`` go on top of the job's and decide the queue. Raises
    ``PipedriveConfigException`` where there is no Dagster instance, no daemon, or no such entity asset.
    """
    settings = load_settings() if settings is None else settings
    span = partitions or partitions_between(settings, None, None, datetime.now(UTC))
    with _instance() as instance:
        _check_daemon(instance)
        own = tags or {}
        queue = {run_tags.QUEUE: run_tags.queue_of(settings, own)}
        run = _create_run(instance, entities, {**run_tags.range_tags(span), **queue, **own})
        # The queue needs no workspace: the daemon brings its own.
        instance.submit_run(run.run_id, workspace=cast("Any", None))
        return run.run_id


def partitions_between(
    settings: PipedriveSettings, since: datetime | None, until: datetime | None, now: datetime
) -> KeyRange:
    """The smallest range of whole partitions that holds ``[since, until)``; None is open."""
    calendar: Calendar = calendar_of(settings)
    span = calendar.range_from(since, now)
    if until is None or until >= now:
        return span
    last = calendar.key_of(max(until, calendar.first_start))
    if calendar.start_of(last) == until and calendar.start_of(last) > calendar.start_of(span.start):
        # The upper bound is exclusive: a whole period's end belongs to the period before.
        last = calendar.keys_between(KeyRange(span.start, last))[-2]
    return KeyRange(span.start, last)


def _create_run(
    instance: dg.DagsterInstance, entities: Sequence[str], tags: Mapping[str, str]
) -> dg.DagsterRun:
    from dagster._core.definitions.selector import JobSubsetSelector

    location = _location(instance)
    repository = next(iter(location.get_repositories().values()))
    selection = {entity_key(name) for name in entities}
    missing = selection - set(repository.asset_graph.get_all_asset_keys())
    if missing:
        names = ", ".join(sorted(key.path[-1] for key in missing))
        raise PipedriveConfigException(f"not enabled (PIPEDRIVE_ENABLED_ENTITIES): {names}")
    job = location.get_job(
        JobSubsetSelector(
            location_name=LOCATION,
            repository_name=repository.name,
            job_name=ENTITY_JOB,
            op_selection=None,
            asset_selection=selection,
        )
    )
    plan = location.get_execution_plan(
        job, {}, step_keys_to_execute=None, known_state=None, instance=instance
    ).execution_plan_snapshot
    return instance.create_run(
        job_name=ENTITY_JOB,
        run_id=None,
        run_config={},
        status=None,
        tags={**job.tags, **tags},
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=plan,
        job_snapshot=job.job_snapshot,
        parent_job_snapshot=job.parent_job_snapshot,
        asset_selection=frozenset(selection),
        asset_check_selection=None,
        resolved_op_selection=job.resolved_op_selection,
        op_selection=None,
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
        asset_graph=repository.asset_graph,
    )


def _location(instance: dg.DagsterInstance) -> InProcessCodeLocation:
    # In this process, since a code server for one submission would take longer than the submission.
    from dagster._core.remote_origin import InProcessCodeLocationOrigin
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), location_name=LOCATION)
    with warnings.catch_warnings():
        # Describing a schedule, Dagster warns of a property of its own that nobody here has set.
        warnings.filterwarnings("ignore", "Property `ScheduleDefinition", DeprecationWarning)
        return origin.create_location(instance)


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    try:
        instance = dg.DagsterInstance.get()
    except DagsterHomeNotSetError:
        raise PipedriveConfigException(
            "DAGSTER_HOME is not set: it names the folder of the Dagster instance that is to run this,"
            ' such as "$PWD/dagster_home"'
        ) from None
    with instance:
        yield instance


def _check_daemon(instance: dg.DagsterInstance) -> None:
    from dagster._core.run_coordinator import QueuedRunCoordinator

    if not isinstance(instance.run_coordinator, QueuedRunCoordinator):
        raise PipedriveConfigException(NO_QUEUE)
    status = instance.get_daemon_statuses([QUEUE_DAEMON]).get(QUEUE_DAEMON)
    if status is None or not status.healthy:
        raise PipedriveConfigException(NO_DAEMON)
