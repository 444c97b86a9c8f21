"""What reading an entity costs, in API tokens, before a single request is made.

A request costs the same however many rows it answers (reference section 2.2), so prices are counts of
requests times ``token_cost``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipedrive_assets.catalog.registry import CATALOG
from pipedrive_assets.catalog.spec import EntitySpec, Incremental, PerParent, Stream, Tier, Variants

Rows = int | Sequence[int]
"""Rows of a stream: their sum, or one number for each of its lists (variant, parent, batch of parents)."""


def floor_tokens(spec: EntitySpec, rows_by_stream: Mapping[str, Rows], *, parents: int = 0) -> int:
    """Fewest tokens for which the whole entity can be read, with full pages only.

    ``rows_by_stream`` maps stream names to rows; a stream that is not named has none. ``parents`` is the
    number of parent records whose lists are read. A list costs one request even when it is empty. Where
    only the sum of a fanned-out stream's rows is known, the result is a lower bound.
    """
    return sum(
        stream.token_cost * _requests(stream, rows_by_stream.get(stream.name, 0), parents)
        for stream in spec.streams
    )


def incremental_price(
    specs: Iterable[EntitySpec], *, tier: Tier | None = None, rows: Mapping[str, int] | None = None
) -> int:
    """Tokens of one run over ``specs`` while nothing changes in the account.

    With ``tier``, only the streams of that tier count (an entity's tier, unless its stream has one).
    ``rows`` maps entity names to rows known to exist, which tells how many pages a list without a filter
    has, and how many parents there are; an unnamed entity counts as one full page and one record. A list
    per parent costs nothing where the parent can be asked for its changes, since none has changed.
    """
    known = rows or {}
    by_name = {spec.name: spec for spec in specs}
    return sum(
        stream.token_cost * _idle_requests(stream, known.get(spec.name, 0), by_name, known)
        for spec in by_name.values()
        for stream in spec.streams
        if tier is None or (stream.tier or spec.tier) is tier
    )


def _idle_requests(
    stream: Stream, rows: int, specs: Mapping[str, EntitySpec], known: Mapping[str, int]
) -> int:
    if isinstance(stream.fan, PerParent):
        parent = specs.get(stream.fan.parent) or CATALOG[stream.fan.parent]
        if all(listed.incremental is not Incremental.NONE for listed in parent.streams):
            return 0
        return _requests(stream, rows, known.get(stream.fan.parent, 1))
    if stream.incremental is not Incremental.NONE:
        return 1
    return _requests(stream, rows, parents=0)


def _requests(stream: Stream, rows: Rows, parents: int) -> int:
    lists = _lists(stream, parents)
    if not isinstance(rows, int):
        return sum(_pages(stream, count) for count in rows)
    return max(lists, _pages(stream, rows)) if lists else 0


def _lists(stream: Stream, parents: int) -> int:
    match stream.fan:
        case Variants(combinations):
            return len(combinations)
        case PerParent(batch=batch):
            return -(-parents // batch)
        case None:
            return 1


def _pages(stream: Stream, rows: int) -> int:
    return max(1, -(-rows // stream.page_max)) if stream.page_max else 1
