"""``--async``: the same sync as a run of the Dagster instance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from pipedrive_assets.cli.output import Output
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.build import calendar_of
from pipedrive_assets.defs.launch import partitions_between, submit
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.defs.schedules import known_watermarks, range_due
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.sync.options import SyncMode, SyncOptions


def submit_run(
    output: Output, settings: PipedriveSettings, entities: Sequence[str], options: SyncOptions
) -> None:
    """Submit one run, or one per entity where batch processing is off, and print the run ids.

    Dagster counts in partitions, so a window is widened to whole ones.
    """
    if options.limit is not None:
        raise click.UsageError("--limit is for a sync in this process; a run of Dagster is always complete")
    span = partitions_of(settings, entities, options)
    tags = {
        run_tags.MODE: options.mode.value,
        run_tags.SOURCE: options.source.value,
        run_tags.LANE: options.lane.value,
        **({run_tags.RESUMES: ",".join(options.resumes)} if options.resumes else {}),
    }
    groups = [tuple(entities)] if settings.batch_processing else [(name,) for name in entities]
    run_ids = [submit(group, partitions=span, tags=tags, settings=settings) for group in groups]
    for run_id, group in zip(run_ids, groups, strict=True):
        output.say(f"Run {run_id} submitted: {', '.join(group)}, partitions {span.start} to {span.end}")
    if output.as_json:
        output.emit(
            {
                "ok": True,
                "run_ids": run_ids,
                "entities": list(entities),
                "partitions": {"start": span.start, "end": span.end},
                "tags": tags,
            }
        )


def partitions_of(settings: PipedriveSettings, entities: Sequence[str], options: SyncOptions) -> KeyRange:
    """The range of partitions that holds what ``options`` ask for."""
    now = datetime.fromtimestamp(SystemClock().time(), UTC)
    if options.mode is SyncMode.INCREMENTAL:
        return range_due(calendar_of(settings), entities, known_watermarks(settings), now)
    return partitions_between(settings, options.since, options.until, now)
