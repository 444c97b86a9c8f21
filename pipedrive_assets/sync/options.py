"""What a caller may ask of a sync. One frozen model; every field changes behaviour."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.state.lanes import Lane


class SyncMode(StrEnum):
    """Which part of an entity is asked for."""

    INCREMENTAL = "incremental"
    """What the coverage does not hold yet inside the window, from the newest interval's end on."""
    WINDOW = "window"
    """Every record last changed in ``[since, until)``, whatever the coverage says."""
    FULL = "full"
    """Every record of the entity, whatever the coverage says."""


class Source(StrEnum):
    """Who asked; stored with each row as ``_source``."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    CLI = "cli"
    WEBHOOK = "webhook"
    RECONCILE = "reconcile"
    PUSH = "push"


class SyncOptions(BaseModel):
    """How one entity is to be synced.

    ``since``/``until`` bound ``update_time`` (UTC, whole seconds, half open; None is open). ``tier`` syncs
    only the streams of that tier (None: all), since an entity may have a stream too dear for its own rhythm
    (archived leads). ``limit`` stops after that many rows and then records no coverage. ``page_size`` caps
    the rows asked for per request. ``deadline`` is the moment (UTC) after which no further page is asked
    for. ``lane`` is on whose account tokens are spent, ``source`` what is stored as ``_source``. ``dry_run``
    fetches and compares but writes nothing. ``resumes`` names the runs whose rest this one is to read: what
    they have covered counts as read for it, and where they stopped it goes on, however long ago that was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: SyncMode = SyncMode.INCREMENTAL
    since: datetime | None = None
    until: datetime | None = None
    tier: Tier | None = None
    limit: int | None = Field(default=None, ge=1)
    page_size: int | None = Field(default=None, ge=1, le=500)
    deadline: datetime | None = None
    lane: Lane = Lane.INCREMENTAL
    source: Source = Source.MANUAL
    dry_run: bool = False
    resumes: tuple[str, ...] = ()

    @field_validator("since", "until", "deadline")
    @classmethod
    def _to_utc(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @field_validator("since", "until")
    @classmethod
    def _whole_seconds(cls, value: datetime | None) -> datetime | None:
        # v2 answers 400 to fractional seconds in a time filter (reference section 5.1).
        if value is not None and value.microsecond:
            raise ValueError(
                f"{value.isoformat()} has fractional seconds; the API's time filters take whole seconds"
            )
        return value

    @model_validator(mode="after")
    def _ordered(self) -> SyncOptions:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(
                f"since ({self.since.isoformat()}) must be before until ({self.until.isoformat()})"
            )
        if self.mode is SyncMode.FULL and (self.since or self.until):
            raise ValueError("mode full takes no since and no until; use mode window")
        return self
