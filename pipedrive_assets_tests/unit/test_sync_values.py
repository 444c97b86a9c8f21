from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog.spec import ColumnType
from pipedrive_assets.sync.values import to_array

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(ANY_JSON, max_size=8), st.sampled_from(ColumnType))
def test_every_value_is_either_in_the_column_or_reported(values: list[object], kind: ColumnType) -> None:
    array, misfits = to_array(values, kind)
    assert len(array) == len(values)
    reported = {misfit.index for misfit in misfits}
    for index, value in enumerate(values):
        if index in reported:
            assert array[index].as_py() is None
        elif array[index].as_py() is None:
            empty_text = isinstance(value, str) and (
                not value.strip() or value.startswith(("0000-", "-0001-"))
            )
            assert value is None or (kind is not ColumnType.TEXT and empty_text)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_kept_exactly(values: list[int | None]) -> None:
    array, misfits = to_array(values, ColumnType.INTEGER)
    assert (array.to_pylist(), misfits) == (values, [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04:05.678Z", datetime(2024, 1, 2, 3, 4, 5, 678000)),
        ("2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T05:04:05+02:00", datetime(2024, 1, 2, 3, 4, 5)),
        ("0000-00-00 00:00:00", None),
        ("-0001-11-30 00:00:00", None),
        ("", None),
    ],
)
def test_each_documented_timestamp_form_is_read_as_utc(value: str, expected: datetime | None) -> None:
    array, misfits = to_array([value], ColumnType.TIMESTAMP)
    assert (array.to_pylist(), misfits) == ([expected], [])
    mixed, misfits = to_array([value, "2020-01-01 00:00:00", "2020-01-01T00:00:00Z"], ColumnType.TIMESTAMP)
    assert (mixed[0].as_py(), misfits) == (expected, [])


@given(st.datetimes(min_value=datetime(1901, 1, 1), max_value=datetime(2200, 1, 1)))
def test_a_timestamp_survives_whole_column_and_single_value_conversion_alike(moment: datetime) -> None:
    text = moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    fast, _ = to_array([text], ColumnType.TIMESTAMP)
    slow, _ = to_array([text, "0000-00-00 00:00:00"], ColumnType.TIMESTAMP)
    assert fast[0].as_py() == slow[0].as_py() == moment


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (ColumnType.INTEGER, "17", 17),
        (ColumnType.INTEGER, 3.0, 3),
        (ColumnType.NUMBER, "12.50", 12.5),
        (ColumnType.NUMBER, 3, 3.0),
        (ColumnType.BOOLEAN, 1, True),
        (ColumnType.BOOLEAN, "0", False),
        (ColumnType.DATE, "2024-02-29", date(2024, 2, 29)),
        (ColumnType.DATE, "0000-00-00", None),
        (ColumnType.JSON, {"a": [1, None]}, '{"a":[1,null]}'),
    ],
)
def test_lossless_forms_are_accepted(kind: ColumnType, value: object, expected: object) -> None:
    array, misfits = to_array([value], kind)
    assert (array.to_pylist(), misfits) == ([expected], [])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ColumnType.INTEGER, 1.5),
        (ColumnType.INTEGER, True),
        (ColumnType.INTEGER, 2**63),
        (ColumnType.NUMBER, 2**53 + 1),
        (ColumnType.NUMBER, False),
        (ColumnType.BOOLEAN, 2),
        (ColumnType.BOOLEAN, "yes"),
        (ColumnType.TEXT, 5),
        (ColumnType.TIMESTAMP, 1700000000),
        (ColumnType.TIMESTAMP, "soon"),
        (ColumnType.DATE, "2024-13-01"),
    ],
)
def test_a_value_that_would_lose_something_is_a_misfit(kind: ColumnType, value: object) -> None:
    array, misfits = to_array([None, value], kind)
    assert array.to_pylist() == [None, None]
    assert [(misfit.index, misfit.value) for misfit in misfits] == [(1, value)]
