"""From the API's JSON values to one Arrow array per column.

A whole column is converted at once where it fits; where it does not, value by value, so that one bad
value costs the page its speed and nothing else. What does not fit becomes NULL and is reported to the
caller, which keeps it in ``_extra`` and in the quarantine.

Formats (reference section 6.2): v2 writes RFC 3339 in UTC, v1 ``YYYY-MM-DD HH:MM:SS`` in UTC, leads and
mail RFC 3339 with milliseconds; old records carry zero dates, which mean "none".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipedrive_assets.catalog.spec import ColumnType
from pipedrive_assets.warehouse.column_types import ARROW_TYPES

INT64_MAX = 2**63 - 1
EXACT_FLOAT_MAX = 2**53
ZERO_DATES = ("0000-", "-0001-")
EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that its column cannot hold: position in the page, the value, and why."""

    index: int
    value: Any
    reason: str


class ValueMisfit(ValueError):
    """Raised by a converter for a value that the column cannot hold."""


def to_array(values: Sequence[Any], column_type: ColumnType) -> tuple[pa.Array[Any], list[Misfit]]:
    """Convert one column of a page; the array is as long as ``values``, misfits are NULL in it."""
    fast = _FAST[column_type]
    try:
        return fast(values), []
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        OverflowError,
        TypeError,
        ValueError,
    ):
        return _one_by_one(values, column_type)


def _one_by_one(values: Sequence[Any], column_type: ColumnType) -> tuple[pa.Array[Any], list[Misfit]]:
    convert = _SLOW[column_type]
    misfits: list[Misfit] = []
    converted: list[Any] = []
    for index, value in enumerate(values):
        if value is None:
            converted.append(None)
            continue
        try:
            converted.append(convert(value))
        except ValueMisfit as error:
            misfits.append(Misfit(index, value, str(error)))
            converted.append(None)
    return pa.array(converted, ARROW_TYPES[column_type]), misfits


def json_text(value: Any) -> str:
    """``value`` as JSON with sorted keys: rows are compared by text, and the order of keys says nothing."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def parse_timestamp(text: str) -> datetime | None:
    """A moment in UTC without zone; None for zero dates and empty text; ``ValueMisfit`` otherwise."""
    if not text or text.startswith(ZERO_DATES):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # the year 0 or 10000, once moved to UTC
        raise ValueMisfit("not a timestamp") from None


# Whole columns -----------------------------------------------------------------------------------


_NONE = type(None)


def _fast_integer(values: Sequence[Any]) -> pa.Array[Any]:
    # Arrow silently cuts 1.5 to 1, so only true integers may go this way.
    if not {type(value) for value in values} <= {int, _NONE}:
        raise TypeError("not all integers")
    return pa.array(values, pa.int64())


def _fast_number(values: Sequence[Any]) -> pa.Array[Any]:
    if not {type(value) for value in values} <= {int, float, _NONE}:
        raise TypeError("not all numbers")
    return pa.array(values, pa.float64())


def _fast_text(values: Sequence[Any]) -> pa.Array[Any]:
    return pa.array(values, pa.string())


def _fast_timestamp(values: Sequence[Any]) -> pa.Array[Any]:
    text = pa.array(values, pa.string())
    if text.null_count == len(text):
        return pa.nulls(len(text), pa.timestamp("us"))
    try:
        moments = text.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        moments = text.cast(pa.timestamp("us"))
    micros = moments.cast(pa.int64())
    if pc.min(micros).as_py() < EARLIEST_US or pc.max(micros).as_py() > LATEST_US:
        # The year 0 or 10000, once moved to UTC: Arrow can hold it, and who reads it in Python cannot.
        raise ValueError("outside the calendar")
    return moments


def _fast_date(values: Sequence[Any]) -> pa.Array[Any]:
    return pa.array(values, pa.string()).cast(pa.date32())


def _fast_json(values: Sequence[Any]) -> pa.Array[Any]:
    return pa.array([None if value is None else json_text(value) for value in values], pa.string())


_FAST: dict[ColumnType, Callable[[Sequence[Any]], pa.Array[Any]]] = {
    ColumnType.INTEGER: _fast_integer,
    ColumnType.NUMBER: _fast_number,
    ColumnType.BOOLEAN: lambda values: pa.array(values, pa.bool_()),
    ColumnType.TEXT: _fast_text,
    ColumnType.TIMESTAMP: _fast_timestamp,
    ColumnType.DATE: _fast_date,
    ColumnType.JSON: _fast_json,
}


# Value by value ----------------------------------------------------------------------------------


def _integer(value: Any) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        try:
            value = int(text)
        except ValueError:
            raise ValueMisfit("not an integer") from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueMisfit("not an integer")
    if not -INT64_MAX - 1 <= value <= INT64_MAX:
        raise ValueMisfit("outside the 64-bit range")
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        raise ValueMisfit("not a number")
    if isinstance(value, int):
        # Beyond 2**53 a double cannot hold every integer; the exact digits go to _extra.
        if abs(value) > EXACT_FLOAT_MAX and int(float(value)) != value:
            raise ValueMisfit("loses digits as a double")
        return float(value)
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            return float(value)
        except ValueError:
            raise ValueMisfit("not a number") from None
    raise ValueMisfit("not a number")


def _boolean(value: Any) -> bool:
    # v1 mixes 0/1 and booleans (reference section 6.2); organization relationships write "true".
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value in ("0", "1", "false", "true"):
        return value in ("1", "true")
    raise ValueMisfit("not a boolean")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueMisfit("not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueMisfit("not valid Unicode") from None
    return value


def _timestamp(value: Any) -> datetime | None:
    if not isinstance(value, str):
        raise ValueMisfit("not a timestamp")
    return parse_timestamp(value)


def _date(value: Any) -> date | None:
    if not isinstance(value, str):
        raise ValueMisfit("not a date")
    if not value or value.startswith(ZERO_DATES):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueMisfit("not a date") from None


def _json(value: Any) -> str:
    try:
        return json_text(value)
    except TypeError:
        raise ValueMisfit("not representable as JSON") from None


_SLOW: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INTEGER: _integer,
    ColumnType.NUMBER: _number,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.TEXT: _text,
    ColumnType.TIMESTAMP: _timestamp,
    ColumnType.DATE: _date,
    ColumnType.JSON: _json,
}
