"""What a materialization shows about itself: counts, costs, coverage, and a look at the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.defs.partitions import Calendar, Window
from pipedrive_assets.sync.result import CoverageSpan, SyncResult, SyncStatus

if TYPE_CHECKING:
    from pipedrive_assets.warehouse.store import Warehouse

Metadata = dg.MetadataValue[Any] | int | float | str | bool

PREVIEW_ROWS = 10
PREVIEW_COLUMNS = 12
PREVIEW_CELL = 40
SHOWN_SPANS = 20


def counts(result: SyncResult) -> dict[str, Metadata]:
    """Figures of one sync; the UI plots them over time."""
    metadata: dict[str, Metadata] = {
        "status": result.status.value,
        "mode": result.mode.value,
        "fetched": result.fetched,
        "created": result.created,
        "updated": result.updated,
        "unchanged": result.unchanged,
        "quarantined": result.quarantined,
        "pages": result.pages,
        "requests": result.requests,
        "tokens": result.tokens,
        "retries": result.retries,
        "coverage": dg.MetadataValue.md(coverage_table(result.coverage_after)),
    }
    if result.reason:
        metadata["reason"] = result.reason
    if result.status is SyncStatus.SKIPPED:
        metadata["skipped"] = True
    if result.error_samples:
        metadata["error_samples"] = dg.MetadataValue.json(
            [sample.model_dump(mode="json") for sample in result.error_samples]
        )
    return metadata


def performance(result: SyncResult) -> dict[str, Metadata]:
    """How fast the sync was and what memory it took; left out where performance logging is off."""
    return {
        "seconds": round(result.seconds, 3),
        "rows_per_second": round(result.rows_per_second, 1),
        "requests_per_second": round(result.requests_per_second, 2),
        "peak_rss_mb": result.peak_rss_mb,
    }


def stored(warehouse: Warehouse, spec: EntitySpec) -> dict[str, Metadata]:
    """How many rows the table has, and the last that came in."""
    return {
        "dagster/row_count": warehouse.row_count(spec.name),
        "preview": dg.MetadataValue.md(preview(warehouse, spec)),
    }


def rows_by_partition(
    warehouse: Warehouse, spec: EntitySpec, calendar: Calendar, keys: Sequence[str], window: Window
) -> dict[str, int]:
    """Rows of the table by the partition in which they last changed; empty where rows have no such time.

    The first partition also holds what is older and what has no time at all.
    """
    if spec.update_column is None or warehouse.row_count(spec.name) == 0:
        return {}
    from pipedrive_assets.warehouse.names import data_table, identifier

    moment = identifier(spec.update_column)
    counted = warehouse.query(
        f"""
        SELECT date_trunc(?, {moment}) AS period, count(*) AS "rows"
        FROM {data_table(spec.name)}
        WHERE ? OR {moment} >= ?
        GROUP BY 1
        """,  # noqa: S608  (identifiers are quoted, values bound)
        [calendar.unit, window.since is None, (window.since or calendar.first_start).replace(tzinfo=None)],
    )
    found: Counter[str] = Counter()
    for row in counted.to_pylist():
        period = calendar.first_start if row["period"] is None else row["period"].replace(tzinfo=UTC)
        found[calendar.key_of(max(period, calendar.first_start))] += row["rows"]
    return {key: found[key] for key in keys}


def coverage_table(spans: Sequence[CoverageSpan]) -> str:
    """Markdown: which intervals of ``update_time`` the warehouse holds, newest first."""
    if not spans:
        return "nothing yet"
    newest = sorted(spans, key=lambda span: span.until, reverse=True)[:SHOWN_SPANS]
    lines = [
        f"| {span.stream} | {f'{span.since:%Y-%m-%d %H:%M:%S}' if span.since else 'the beginning'} "
        f"| {span.until:%Y-%m-%d %H:%M:%S} |"
        for span in newest
    ]
    return "\n".join(["| list | from (UTC) | to (UTC) |", "|---|---|---|", *lines])


def preview(warehouse: Warehouse, spec: EntitySpec) -> str:
    """Markdown table of the rows that came in last: key and first columns, long values cut."""
    import pandas

    table = warehouse.preview(spec.name, PREVIEW_ROWS)
    # Arrow's own types: pandas' would turn an id column with a gap into floats.
    frame = table.select(table.column_names[:PREVIEW_COLUMNS]).to_pandas(types_mapper=pandas.ArrowDtype)
    if frame.empty:
        return "no rows"
    shown = frame.astype(object).where(frame.notna(), "").map(_cell)
    header = "| " + " | ".join(shown.columns) + " |"
    ruler = "|" + "---|" * len(shown.columns)
    return "\n".join(
        [header, ruler, *("| " + " | ".join(row) + " |" for row in shown.itertuples(index=False))]
    )


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= PREVIEW_CELL else text[: PREVIEW_CELL - 1] + "…"
