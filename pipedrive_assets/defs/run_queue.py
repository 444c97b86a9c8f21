"""Dagster's run queue with one rule more: a repeated run waits in a queue of its own.

Dagster gives the repetition of a lost run the tags of the run it repeats, its queue included. There it would
stand behind whatever has queued since, or keep that waiting. Named in ``dagster_home/dagster.yaml``; which
queue a run belongs to is :func:`pipedrive_assets.defs.run_tags.queue_of`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import dagster as dg

from pipedrive_assets.defs import run_tags
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = get_logger(__name__)


class PipedriveRunCoordinator(dg.QueuedRunCoordinator):
    """A ``QueuedRunCoordinator`` that moves repetitions of our runs to ``PIPEDRIVE_RETRY_QUEUE``."""

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Queue the run, under the name of the queue it belongs to."""
        run = context.dagster_run
        moved = _moved(run.tags)
        if moved:
            self._instance.add_run_tags(run.run_id, moved)
        return super().submit_run(context)


def _moved(tags: Mapping[str, str]) -> Mapping[str, str]:
    """The tag that a repeated run of ours gets; none for a first try, or a run that has no queue."""
    if run_tags.PARENT_RUN not in tags or run_tags.QUEUE not in tags:
        return {}
    try:
        return {run_tags.QUEUE: run_tags.queue_of(load_settings(), tags)}
    except PipedriveConfigException as error:
        # No reason to lose the run: it will say so itself, and better.
        log_event(_log, "retry_queue_unknown", logging.WARNING, reason=str(error))
        return {}
