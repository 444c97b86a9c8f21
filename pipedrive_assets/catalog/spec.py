"""The vocabulary in which an entity is described: what a row of the catalog may say.

Nothing here knows HTTP, SQL or Dagster. ``api/`` reads streams, ``warehouse/`` reads columns and keys,
``sync/`` reads both, ``defs/`` reads groups and tiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Version(StrEnum):
    """API version; the client adds ``/api/v1`` or ``/api/v2``."""

    V1 = "v1"
    V2 = "v2"


class Paging(StrEnum):
    """How a list is continued (reference section 4)."""

    CURSOR = "cursor"
    OFFSET = "offset"
    NONE = "none"


class Incremental(StrEnum):
    """Which changes a list can be asked for (reference section 5.3, column "inc")."""

    WINDOW = "window"
    """``updated_since`` (inclusive) and ``updated_until`` (exclusive)."""
    SINCE = "since"
    """``updated_since`` only; the upper bound is kept by the client."""
    SORT_STOP = "sort_stop"
    """No filter, but ``sort=update_time DESC``: read until the watermark is passed."""
    NONE = "none"
    """The whole list, each time."""


class Tier(StrEnum):
    """How fresh an entity is kept by the schedules."""

    CORE = "core"
    HOURLY = "hourly"
    DAILY = "daily"
    ON_DEMAND = "on_demand"


class ColumnType(StrEnum):
    """Type of a warehouse column; timestamps are UTC without zone, to the microsecond."""

    INTEGER = "BIGINT"
    NUMBER = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    TEXT = "VARCHAR"
    TIMESTAMP = "TIMESTAMP"
    DATE = "DATE"
    JSON = "JSON"


class Computed(StrEnum):
    """Where a column comes from that no API property holds."""

    PARENT_ID = "parent_id"
    """Id of the record below which the list was read (followers, changelogs, comments)."""
    CONTENT_HASH = "content_hash"
    """Hash of parent id and record, for lists whose rows have no id."""
    ARCHIVED_STREAM = "archived_stream"
    """True for rows of the stream named ``archived``."""


@dataclass(frozen=True, slots=True)
class Column:
    """One typed column, named as the API names it."""

    name: str
    type: ColumnType
    description: str
    required: bool = False
    computed: Computed | None = None


@dataclass(frozen=True, slots=True)
class Variants:
    """A list that is complete only as the union of several parameter combinations (goals, mail folders)."""

    combinations: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class PerParent:
    """A list that exists only below records of another entity.

    ``parameter`` is a placeholder of the path (``{id}``) or a query parameter (``deal_ids``). With
    ``batch`` above one, that many parent ids go into one comma-separated value. ``only_where_positive``
    names a counter column of the parent: parents whose counter is zero have no children and are skipped
    in a full scan.
    """

    parent: str
    parameter: str
    batch: int = 1
    only_where_positive: str | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """One list of an entity.

    ``page_max`` is the endpoint's largest ``limit`` (0: it takes none); ``token_cost`` is the price of
    one request (``x-token-cost`` of the OpenAPI file). ``rows_key`` names the property of ``data`` that
    holds the rows where ``data`` is not itself the list. ``sort_fields`` are the properties it can be
    sorted by (v2 ``sort_by``, v1 ``sort``; empty: it takes no sort). ``optional_fields`` are values of
    ``include_fields`` that some plans do not open: a caller that is refused asks again without them.
    ``tier`` is set where a stream is refreshed less often than its entity.
    """

    name: str
    version: Version
    path: str
    paging: Paging
    page_max: int
    token_cost: int
    incremental: Incremental = Incremental.NONE
    params: tuple[tuple[str, str], ...] = ()
    fan: Variants | PerParent | None = None
    rows_key: str | None = None
    sort_fields: tuple[str, ...] = ()
    optional_fields: tuple[str, ...] = ()
    tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that holds the id of a record of another entity."""

    column: str
    entity: str


class CustomFields(StrEnum):
    """Where a record carries its custom fields (reference section 6.3)."""

    NESTED = "nested"
    """v2: an object ``custom_fields`` keyed by 40-hex hash."""
    FLAT = "flat"
    """v1 leads: 40-hex keys (and ``<hash>_currency`` and the like) at the top level."""


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """Everything the product knows about one Pipedrive entity.

    ``update_column`` names the column that moves when a record changes (None: the API gives none).
    Tables are ``pipedrive.<name>``; every entity with ``custom_fields`` also has a JSON column of that name.
    ``redacted`` names properties that are secrets: they are dropped from each row before anything is kept.
    """

    name: str
    description: str
    group: str
    tier: Tier
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    streams: tuple[Stream, ...]
    update_column: str | None = None
    custom_fields: CustomFields | None = None
    references: tuple[Reference, ...] = ()
    redacted: tuple[str, ...] = ()
    default: bool = True

    @property
    def parent(self) -> str | None:
        """Entity whose records this one's lists hang below, if any."""
        for stream in self.streams:
            if isinstance(stream.fan, PerParent):
                return stream.fan.parent
        return None

    @property
    def parent_column(self) -> str | None:
        """Column that holds the id of the parent record, if the entity has a parent."""
        if self.parent is None:
            return None
        for column in self.columns:
            if column.computed is Computed.PARENT_ID:
                return column.name
        return next(reference.column for reference in self.references if reference.entity == self.parent)

    def column(self, name: str) -> Column:
        """The column called ``name``; ``KeyError`` if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")
