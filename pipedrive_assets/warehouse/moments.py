"""UTC moments on their way into and out of SQL, where a TIMESTAMP has no zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, overload

import numpy
import pyarrow as pa

from pipedrive_assets.clock import Clock

_INFINITE_DAYS = 2**31 - 1
_INFINITE_MICROSECONDS = 2**63 - 1


@overload
def to_sql(moment: datetime) -> datetime: ...
@overload
def to_sql(moment: None) -> None: ...
def to_sql(moment: datetime | None) -> datetime | None:
    """An aware moment as the naive UTC value a TIMESTAMP column takes; a naive one is UTC already."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


@overload
def from_sql(moment: datetime) -> datetime: ...
@overload
def from_sql(moment: None) -> None: ...
def from_sql(moment: datetime | None) -> datetime | None:
    """A TIMESTAMP column's value as an aware UTC moment."""
    return None if moment is None else moment.replace(tzinfo=UTC)


def now_sql(clock: Clock) -> datetime:
    """This machine's time as a TIMESTAMP column takes it; for records of our own doing only."""
    return datetime.fromtimestamp(clock.time(), UTC).replace(tzinfo=None)


def python_values(column: pa.ChunkedArray[Any]) -> list[Any]:
    """The column's values; a moment that Python has no year for is a text, as DuckDB writes it."""
    try:
        values: list[Any] = column.to_pylist()
    except OverflowError:
        values = [_python_value(scalar) for scalar in column]
    return values


def _python_value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except OverflowError:
        kind = scalar.type
        if pa.types.is_struct(kind):
            return {name: _python_value(inner) for name, inner in scalar.items()}
        if pa.types.is_map(kind):
            return [tuple(_python_value(inner).values()) for inner in scalar.values]
        if pa.types.is_list(kind):
            return [_python_value(inner) for inner in scalar.values]
        return _far_moment(scalar)


def _far_moment(scalar: Any) -> str:
    is_date = pa.types.is_date(scalar.type)
    if abs(scalar.value) == (_INFINITE_DAYS if is_date else _INFINITE_MICROSECONDS):
        return "infinity" if scalar.value > 0 else "-infinity"
    return str(numpy.datetime64(scalar.value, "D" if is_date else scalar.type.unit)).replace("T", " ")
