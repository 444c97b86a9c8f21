"""Runs that wait for the next day's tokens: how one says that it does, and what it has left undone.

The step of a paused entity fails, so that no partition looks done which is not, and the run carries tags that
say until when. What is left is read from the run's own events, never from the tags: steps of several
processes may write those at once, and a repetition inherits them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.failures import as_failure
from pipedrive_assets.defs.reports import Metadata
from pipedrive_assets.exceptions import PipedriveException, PipedriveRateLimitException
from pipedrive_assets.state.server_clock import day_of, reset_after

ACCOUNT = "account"
PAUSED = "paused"
"""Key in the metadata of a step's failure."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a paused run has left undone; ``account`` is whether the account asset is among it."""

    entities: tuple[str, ...]
    account: bool


def pause(
    context: dg.AssetExecutionContext,
    name: str,
    reason: str,
    resumes_at: datetime | None,
    metadata: Mapping[str, Metadata],
) -> dg.Failure:
    """Mark the run as paused at the asset ``name``, and return what ends its step."""
    context.log.info(f"pipedrive/{name} waits for the next day's tokens: {reason}")
    facts: dict[str, Any] = {PAUSED: dg.MetadataValue.bool(True), **metadata}
    if resumes_at is not None:
        facts["resets_at"] = dg.MetadataValue.timestamp(resumes_at)
        run_id = context.run.run_id
        run = context.instance.get_run_by_id(run_id)
        before = run_tags.listed(run.tags if run is not None else {}, run_tags.PAUSED_ENTITIES)
        context.instance.add_run_tags(
            run_id,
            {
                run_tags.RESUMES_AT: resumes_at.astimezone(UTC).isoformat(),
                run_tags.PAUSED_ENTITIES: ",".join(dict.fromkeys([*before, name])),
            },
        )
    return dg.Failure(reason, metadata=facts, allow_retries=False)


def failure_of(
    context: dg.AssetExecutionContext, name: str, error: PipedriveException, now: datetime
) -> dg.Failure | None:
    """Like :func:`pause`, where ``error`` says that the day's tokens are spent; None where it does not.

    Until the reset that it names, or else the next one after ``now``.
    """
    if not (isinstance(error, PipedriveRateLimitException) and error.kind == "daily"):
        return None
    failure = as_failure(error)
    resumes_at = error.resets_at or reset_after(day_of(now.timestamp()))
    return pause(context, name, str(failure.description), resumes_at, {**failure.metadata, "tokens": 0})


def left_by(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Left:
    """What a run that was paused has left undone: what it paused at, and what it never came to.

    An entity that failed for another reason is no business of a resumption, nor what hangs below it.
    """
    planned = planned_steps(instance, run)
    done: set[str] = set()
    failed: set[str] = set()
    events = instance.get_records_for_run(
        run.run_id, of_type={dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}
    )
    for record in events.records:
        event = record.event_log_entry.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.is_step_success:
            done.add(event.step_key)
        elif not is_pause(event):
            failed.add(event.step_key)
    entities: list[str] = []
    for name in entities_of(planned):
        step = step_key(name)
        above = {step_key(ACCOUNT), step_key(CATALOG[name].parent or ACCOUNT)}
        if failed & {step, *above}:
            failed.add(step)
        elif step not in done:
            entities.append(name)
    account = step_key(ACCOUNT)
    return Left(tuple(entities), account in planned - done - failed)


def planned_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str]:
    """Keys of the steps that a run is made of."""
    if run.execution_plan_snapshot_id is None:
        return set()
    return set(instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute)


def entities_of(steps: Collection[str]) -> tuple[str, ...]:
    """The entities whose assets are materialized by ``steps``, parents before children."""
    return tuple(name for name in CATALOG if step_key(name) in steps)


def step_key(name: str) -> str:
    """Key of the step that materializes the asset ``pipedrive/<name>``."""
    return f"pipedrive__{name}"


def goes_on(run: dg.DagsterRun, failed_steps: Sequence[dg.DagsterEvent]) -> bool:
    """Whether a failed run only waits for the next day's tokens, and will be resumed then.

    By its steps, since a repetition inherits the tags; but a run without them, or of no partition, is one
    that nobody resumes.
    """
    if run_tags.RESUMES_AT not in run.tags or run_tags.range_of(run.tags) is None:
        return False
    return bool(failed_steps) and all(map(is_pause, failed_steps))


def is_pause(event: dg.DagsterEvent) -> bool:
    """Whether the failure of a step says that it waits for the next day's tokens."""
    told = event.step_failure_data.user_failure_data
    return told is not None and PAUSED in told.metadata
