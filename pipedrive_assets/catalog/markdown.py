"""The data model as Markdown, rendered from the catalog; ``docs/data-model.md`` holds it between markers.

``python -m pipedrive_assets.catalog.markdown docs/data-model.md`` brings the file up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from pipedrive_assets.catalog.registry import CATALOG
from pipedrive_assets.catalog.spec import (
    Column,
    EntitySpec,
    Incremental,
    Paging,
    PerParent,
    Stream,
    Tier,
    Variants,
)

BEGIN = "<!-- begin: generated from the catalog -->"
END = "<!-- end: generated from the catalog -->"

_CHANGES = {
    Incremental.WINDOW: "`updated_since`, `updated_until`",
    Incremental.SINCE: "`updated_since`",
    Incremental.SORT_STOP: "newest first, until the watermark",
    Incremental.NONE: "whole list",
}
_TIERS = {
    Tier.CORE: "core",
    Tier.HOURLY: "hourly",
    Tier.DAILY: "daily",
    Tier.ON_DEMAND: "on demand",
}


def data_model_markdown() -> str:
    """All entities by group: what they are, where they come from, what they cost, and their columns."""
    by_group = sorted(CATALOG.values(), key=lambda spec: spec.group)
    parts = [_overview(CATALOG.values())]
    for group, specs in groupby(by_group, key=lambda spec: spec.group):
        parts.append(f"## Group `{group}`")
        parts.extend(_entity(spec) for spec in specs)
    return "\n\n".join(parts) + "\n"


def with_data_model(document: str) -> str:
    """``document`` with the text between the markers replaced; ``ValueError`` if a marker is missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document must hold the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{data_model_markdown()}\n{END}{after}"


def _overview(specs: Iterable[EntitySpec]) -> str:
    rows = [
        (
            f"[`{spec.name}`](#{spec.name})",
            spec.description,
            _TIERS[spec.tier],
            "on" if spec.default else "off",
        )
        for spec in specs
    ]
    return "## All entities, in sync order\n\n" + _table(("entity", "what it holds", "tier", "default"), rows)


def _entity(spec: EntitySpec) -> str:
    facts = [f"- Key: {', '.join(f'`{name}`' for name in spec.key)}", f"- Tier: {_TIERS[spec.tier]}"]
    if spec.update_column:
        facts.append(f"- Moves when a record changes: `{spec.update_column}`")
    if not spec.default:
        facts.append("- Off until named in `PIPEDRIVE_ENABLED_ENTITIES`")
    if spec.redacted:
        facts.append(f"- Never stored: {', '.join(f'`{name}`' for name in spec.redacted)}")
    streams = _table(
        ("list", "endpoint", "tokens a request", "rows a page", "changes asked for by"),
        [_stream(stream) for stream in spec.streams],
    )
    references = {reference.column: reference.entity for reference in spec.references}
    columns = [_column(column, spec, references.get(column.name)) for column in spec.columns]
    if spec.custom_fields:
        columns.append(
            ("`custom_fields`", "JSON", "Custom fields by their 40-character keys, unset ones left out")
        )
    return "\n\n".join(
        (
            f"### {spec.name}",
            spec.description,
            "\n".join(facts),
            streams,
            _table(("column", "type", "meaning"), columns),
        )
    )


def _stream(stream: Stream) -> tuple[str, ...]:
    name = f"{stream.name} ({_TIERS[stream.tier]})" if stream.tier else stream.name
    endpoint = f"`GET /api/{stream.version}{stream.path}`"
    match stream.fan:
        case Variants(combinations):
            endpoint += f", {len(combinations)} combinations of parameters"
        case PerParent(parent=parent, batch=1):
            endpoint += f", for each of `{parent}`"
        case PerParent(parent=parent, batch=batch):
            endpoint += f", for {batch} of `{parent}` at a time"
    page = str(stream.page_max) if stream.paging is not Paging.NONE else "all"
    return name, endpoint, str(stream.token_cost), page, _CHANGES[stream.incremental]


def _column(column: Column, spec: EntitySpec, entity: str | None) -> tuple[str, ...]:
    meaning = column.description
    if entity:
        meaning += f" → [`{entity}`](#{entity})"
    if column.name in spec.key:
        meaning += " (key)"
    if column.computed:
        meaning += " (computed)"
    return f"`{column.name}`", column.type.value, meaning


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def main(paths: list[str]) -> None:
    """Rewrite the generated part of each file named."""
    for path in map(Path, paths):
        path.write_text(with_data_model(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
