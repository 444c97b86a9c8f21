"""Short constructors for the three kinds of list Pipedrive has (reference section 4)."""

from __future__ import annotations

from pipedrive_assets.catalog.spec import Incremental, Paging, PerParent, Stream, Tier, Variants, Version

V2_PAGE_MAX = 500
"""Largest ``limit`` of v2 lists (reference section 4.1)."""
V1_PAGE_MAX = 500
"""Largest ``limit`` of v1 lists that document no other (reference section 4.2)."""
V2_SORT = ("id", "update_time", "add_time")
"""``sort_by`` values that most sortable v2 lists take (reference appendix C)."""

Params = tuple[tuple[str, str], ...]


def cursor_list(
    path: str,
    *,
    token_cost: int = 10,
    name: str = "live",
    version: Version = Version.V2,
    incremental: Incremental = Incremental.NONE,
    params: Params = (),
    fan: PerParent | None = None,
    sort_fields: tuple[str, ...] = (),
    optional_fields: tuple[str, ...] = (),
) -> Stream:
    """A list continued by an opaque cursor, 500 rows a page."""
    return Stream(
        name=name,
        version=version,
        path=path,
        paging=Paging.CURSOR,
        page_max=V2_PAGE_MAX,
        token_cost=token_cost,
        incremental=incremental,
        params=params,
        fan=fan,
        sort_fields=sort_fields,
        optional_fields=optional_fields,
    )


def offset_list(
    path: str,
    *,
    token_cost: int = 20,
    name: str = "live",
    page_max: int = V1_PAGE_MAX,
    incremental: Incremental = Incremental.NONE,
    fan: Variants | PerParent | None = None,
    sort_fields: tuple[str, ...] = (),
    tier: Tier | None = None,
) -> Stream:
    """A v1 list continued by ``start``."""
    return Stream(
        name=name,
        version=Version.V1,
        path=path,
        paging=Paging.OFFSET,
        page_max=page_max,
        token_cost=token_cost,
        incremental=incremental,
        fan=fan,
        sort_fields=sort_fields,
        tier=tier,
    )


def whole_list(
    path: str,
    *,
    token_cost: int = 20,
    version: Version = Version.V1,
    fan: Variants | PerParent | None = None,
    rows_key: str | None = None,
) -> Stream:
    """A list answered whole, in one request."""
    return Stream(
        name="live",
        version=version,
        path=path,
        paging=Paging.NONE,
        page_max=0,
        token_cost=token_cost,
        fan=fan,
        rows_key=rows_key,
    )
