"""The catalog says what the official contract says; and were it not so, the comparison would notice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.spec import Column, ColumnType, EntitySpec, Incremental, Paging, Stream
from pipedrive_assets_tests.contract.catalog_comparison import differences

every_entity = pytest.mark.parametrize("spec", CATALOG.values(), ids=CATALOG.keys())

OTHER_TYPE = {
    ColumnType.INTEGER: ColumnType.NUMBER,
    ColumnType.NUMBER: ColumnType.INTEGER,
    ColumnType.BOOLEAN: ColumnType.INTEGER,
    ColumnType.TEXT: ColumnType.TIMESTAMP,
    ColumnType.TIMESTAMP: ColumnType.TEXT,
    ColumnType.DATE: ColumnType.TIMESTAMP,
    ColumnType.JSON: ColumnType.INTEGER,
}


@every_entity
def test_an_entity_agrees_with_the_contract(spec: EntitySpec) -> None:
    assert differences(spec) == []


@every_entity
def test_dropping_any_column_is_noticed(spec: EntitySpec) -> None:
    for dropped in _api_columns(spec):
        columns = tuple(column for column in spec.columns if column is not dropped)
        assert any(dropped.name in text for text in differences(replace(spec, columns=columns)))


@every_entity
def test_a_column_that_the_api_does_not_have_is_noticed(spec: EntitySpec) -> None:
    phantom = Column("phantom", ColumnType.TEXT, "A property that nobody has seen")
    assert any("phantom" in text for text in differences(replace(spec, columns=(*spec.columns, phantom))))


@every_entity
def test_a_column_of_another_type_is_noticed(spec: EntitySpec) -> None:
    for column in _api_columns(spec):
        if column.name == "doi_status":
            continue  # Its type is documented nowhere.
        other = replace(column, type=OTHER_TYPE[column.type])
        columns = tuple(other if one is column else one for one in spec.columns)
        assert any(column.name in text for text in differences(replace(spec, columns=columns)))


@every_entity
def test_a_wrong_stream_is_noticed(spec: EntitySpec) -> None:
    for index, stream in enumerate(spec.streams):
        for mutant in _mutants(stream):
            streams = (*spec.streams[:index], mutant, *spec.streams[index + 1 :])
            assert differences(replace(spec, streams=streams)), mutant


def test_only_legacy_teams_may_be_deprecated() -> None:
    renamed = replace(CATALOG["legacy_teams"], name="teams")
    assert differences(renamed) == ["live: deprecated: True"]


def test_a_password_that_is_no_longer_redacted_is_noticed() -> None:
    assert differences(replace(CATALOG["webhooks"], redacted=())) == [
        "live: has a property http_auth_password that no column holds"
    ]


def test_a_folder_that_mail_threads_do_not_have_is_noticed() -> None:
    spec = CATALOG["mail_threads"]
    stream = replace(spec.streams[0], fan=None, params=(("folder", "spam"),))
    assert "live: folder does not take 'spam'" in differences(replace(spec, streams=(stream,)))


def _api_columns(spec: EntitySpec) -> list[Column]:
    return [column for column in spec.columns if column.computed is None]


def _mutants(stream: Stream) -> Iterator[Stream]:
    yield replace(stream, token_cost=stream.token_cost + 1)
    yield replace(stream, page_max=stream.page_max + 1)
    yield replace(stream, path=f"{stream.path}s")
    yield replace(stream, params=(*stream.params, ("colour", "blue")))
    yield replace(stream, rows_key=f"{stream.rows_key}s")
    yield replace(stream, sort_fields=(*stream.sort_fields, "colour"))
    yield from (replace(stream, paging=paging) for paging in Paging if paging is not stream.paging)
    claims = {Incremental.WINDOW, Incremental.SINCE} - {stream.incremental}
    yield from (replace(stream, incremental=claim) for claim in claims)
    if stream.fan is not None:
        required_by_query = "{id}" not in stream.path and stream.rows_key is None
        if required_by_query:
            yield replace(stream, fan=None)
