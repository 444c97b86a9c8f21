"""Run tags: how a run is told what to do, and how a sync's options follow from them.

A run without these tags was started by a person in the UI. What somebody materializes by hand is read
again whatever the coverage says; scheduled runs ask only for what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.defs.partitions import KeyRange, Window
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions

QUEUE = "pipedrive/queue"
MODE = "pipedrive/mode"
SOURCE = "pipedrive/source"
LANE = "pipedrive/lane"
TIER = "pipedrive/tier"
RESUMES_AT = "pipedrive/resumes_at"
"""On a paused run: when the budget resets (ISO, UTC)."""
PAUSED_ENTITIES = "pipedrive/paused_entities"
RESUMES = "pipedrive/resumes"
"""On a run that goes on with paused ones: their ids, oldest first."""

MAX_RUNTIME = "dagster/max_runtime"
BACKFILL = "dagster/backfill"
PARTITION = "dagster/partition"
PARENT_RUN = "dagster/parent_run_id"
ROOT_RUN = "dagster/root_run_id"
WILL_RETRY = "dagster/will_retry"
PRIORITY = "dagster/priority"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

Word = TypeVar("Word", bound=StrEnum)


def range_tags(span: KeyRange) -> dict[str, str]:
    """Tags that make one run of a contiguous range of partitions."""
    return {RANGE_START: span.start, RANGE_END: span.end}


def range_of(tags: Mapping[str, str]) -> KeyRange | None:
    """The partitions a run was started for; None for a run of none."""
    if RANGE_START in tags and RANGE_END in tags:
        return KeyRange(tags[RANGE_START], tags[RANGE_END])
    if PARTITION in tags:
        return KeyRange(tags[PARTITION], tags[PARTITION])
    return None


def mode_of(tags: Mapping[str, str]) -> SyncMode:
    """Which part of the partitions a run reads."""
    return _word(tags, MODE, SyncMode) or SyncMode.WINDOW


def queue_of(settings: PipedriveSettings, tags: Mapping[str, str]) -> str:
    """Name of the queue for a run with ``tags``: one each for repetitions, webhooks and all other syncs.

    The instance limits the runs of each queue by itself, so that a full one holds up no other.
    """
    if PARENT_RUN in tags:
        return settings.retry_queue
    return settings.webhook_queue if tags.get(SOURCE) == Source.WEBHOOK else settings.sync_queue


def sync_options(tags: Mapping[str, str], window: Window, started_at: datetime) -> SyncOptions:
    """What a run with ``tags`` asks of each of its entities.

    ``started_at`` (UTC) is the run's start: with ``dagster/max_runtime`` the sync stops between two pages
    before Dagster would kill the run. Raises ``PipedriveConfigException`` for a value that is none.
    """
    mode = mode_of(tags)
    source = _word(tags, SOURCE, Source) or (Source.BACKFILL if BACKFILL in tags else Source.MANUAL)
    # Only what keeps the newest partition fresh may spend what the schedules need.
    fresh_only = window.until is None and window.since is not None
    return SyncOptions(
        mode=mode,
        since=None if mode is SyncMode.FULL else window.since,
        until=None if mode is SyncMode.FULL else window.until,
        tier=_word(tags, TIER, Tier),
        deadline=deadline(tags, started_at),
        lane=lane_of(tags) or (Lane.INCREMENTAL if fresh_only else Lane.BACKFILL),
        source=source,
        resumes=listed(tags, RESUMES),
    )


def lane_of(tags: Mapping[str, str]) -> Lane | None:
    """On whose account a run spends; None where its tags leave that to its window."""
    return _word(tags, LANE, Lane)


def listed(tags: Mapping[str, str], tag: str) -> tuple[str, ...]:
    """The words of a tag that holds several, separated by commas."""
    return tuple(word for word in tags.get(tag, "").split(",") if word)


def deadline(tags: Mapping[str, str], started_at: datetime) -> datetime | None:
    """The moment after which a run asks for no further page; None without ``dagster/max_runtime``.

    A tenth of the time, a minute at most, is left for the page in flight and the events of the run.
    """
    text = tags.get(MAX_RUNTIME)
    if text is None:
        return None
    try:
        seconds = float(text)
        return started_at.astimezone(UTC) + timedelta(seconds=seconds - min(60.0, seconds / 10))
    except (ValueError, OverflowError):
        # Also "inf" and "nan", and what ends after the last year there is.
        raise PipedriveConfigException(f"run tag {MAX_RUNTIME}={text!r} is no number of seconds") from None


def _word(tags: Mapping[str, str], tag: str, words: type[Word]) -> Word | None:
    text = tags.get(tag)
    if text is None:
        return None
    try:
        return words(text)
    except ValueError:
        allowed = ", ".join(words)
        raise PipedriveConfigException(f"run tag {tag}={text!r} must be one of {allowed}") from None
