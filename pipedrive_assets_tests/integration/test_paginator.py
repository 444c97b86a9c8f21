"""Every kind of list of the sandbox, read through real HTTP, quiet and while it changes."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipedrive_assets.api.pages import ListRequest, Page, PageToken, PipedriveCursorException
from pipedrive_assets.api.paginator import PipedrivePaginator
from pipedrive_assets.catalog import CATALOG, spec
from pipedrive_assets.catalog.spec import Paging, Stream, Variants
from pipedrive_assets.exceptions import PipedriveApiException, PipedriveDataException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets_tests.clocks import SkippingClock
from pipedrive_assets_tests.scripted_server import Reply, ScriptedServer
from pipedrive_assets_tests.wiring import Wired, wired

BY_ID = {"sort": "id ASC"}


CONFIG = SandboxConfig(scale="tiny", seed=11, plan="ultimate", daily_budget=10_000_000, burst_limit=100_000)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One to edit."""
    with Sandbox.start(CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(CONFIG) as running:
        yield running


@pytest.fixture
def still(shared_sandbox: Sandbox) -> Sandbox:
    """One that nobody edits, with an empty log."""
    shared_sandbox.log.clear()
    return shared_sandbox


def paginator_for(sandbox: Sandbox, folder: Path) -> AbstractContextManager[Wired]:
    environment = {
        "DAGSTER_HOME": str(folder),
        "PIPEDRIVE_TOKEN": sandbox.token,
        "PIPEDRIVE_BASE_URL": sandbox.url,
        # What the limiter does is tested elsewhere; here it would only make the tests wait.
        "PIPEDRIVE_RATE_LIMITING_ENABLED": "false",
    }
    return wired(load_settings(environment), SkippingClock())


@pytest.fixture
def paginator(sandbox: Sandbox, tmp_path: Path) -> Iterator[PipedrivePaginator]:
    with paginator_for(sandbox, tmp_path) as parts:
        yield parts.paginator


@pytest.fixture
def reader(still: Sandbox, tmp_path: Path) -> Iterator[PipedrivePaginator]:
    """Reads the sandbox that nobody edits."""
    with paginator_for(still, tmp_path) as parts:
        yield parts.paginator


def listing(
    entity: str, params: Mapping[str, str] | None = None, *, page_size: int | None = None, **changes: Any
) -> ListRequest:
    stream = spec(entity).streams[0]
    return ListRequest(
        entity=entity,
        stream=stream,
        path=stream.path,
        params={**dict(stream.params), **(params or {})},
        lane=Lane.BACKFILL,
        page_size=page_size,
        **{"id_key": spec(entity).key[0], **changes},
    )


def ids(pages: Iterator[Page]) -> list[Any]:
    return [row["id"] for page in pages for row in page.rows]


def expected_ids(sandbox: Sandbox, entity: str) -> set[Any]:
    return {row["id"] for row in sandbox.rows(entity)}


def plain_streams() -> list[Any]:
    """Every list of the catalog that needs no parent."""
    return [
        pytest.param(entity, stream, id=f"{entity}-{stream.name}")
        for entity, entity_spec in CATALOG.items()
        for stream in entity_spec.streams
        if stream.fan is None or isinstance(stream.fan, Variants)
    ]


@pytest.mark.parametrize(("entity", "stream"), plain_streams())
def test_every_list_is_the_same_in_small_pages_as_in_one_and_short_ones_cost_one_request(
    still: Sandbox, reader: PipedrivePaginator, entity: str, stream: Stream
) -> None:
    entity_spec = spec(entity)
    combination = dict(stream.fan.combinations[0]) if isinstance(stream.fan, Variants) else {}
    key = entity_spec.key[0] if entity_spec.column(entity_spec.key[0]).computed is None else None

    def read(page_size: int | None) -> list[dict[str, Any]]:
        params = {**dict(stream.params), **combination}
        request = ListRequest(entity, stream, stream.path, params, Lane.BACKFILL, page_size, key)
        return [row for page in reader.pages(request) for row in page.rows]

    whole = read(None)
    if len(whole) < (stream.page_max or 10_000):
        assert len(still.log) == 1
    small = read(7)
    assert small == whole
    if stream.paging is not Paging.NONE:
        assert all(int(record.params["limit"]) <= stream.page_max for record in still.log)


@pytest.mark.parametrize("entity", ["deals", "persons", "activities", "products"])
def test_a_cursor_list_is_complete(still: Sandbox, reader: PipedrivePaginator, entity: str) -> None:
    read = ids(reader.pages(listing(entity, page_size=9)))
    assert len(read) == len(set(read))
    live = {row["id"] for row in still.rows(entity) if not row.get("is_archived")}
    assert live <= set(read)


def test_a_page_says_what_it_cost_and_when_it_was_asked(still: Sandbox, reader: PipedrivePaginator) -> None:
    pages = list(reader.pages(listing("deals", page_size=25)))
    assert [page.limit for page in pages] == [25] * len(pages)
    assert sum(page.tokens for page in pages) == sum(record.cost for record in still.log)
    assert sum(page.requests for page in pages) == len(still.log)
    assert all(page.requested_at <= page.server_time.replace(microsecond=999_999) for page in pages)
    assert [page.next is None for page in pages] == [False] * (len(pages) - 1) + [True]


def test_pages_are_asked_for_only_as_they_are_taken(still: Sandbox, reader: PipedrivePaginator) -> None:
    pages = reader.pages(listing("deals", page_size=10))
    next(pages)
    assert len(still.log) == 1


@pytest.mark.parametrize(
    ("entity", "params"), [("deals", {}), ("notes", BY_ID), ("files", {"sort": "update_time DESC"})]
)
def test_another_process_goes_on_from_any_page(
    reader: PipedrivePaginator, entity: str, params: dict[str, str]
) -> None:
    request = listing(entity, params, page_size=6)
    pages = list(reader.pages(request))
    for number, page in enumerate(pages[:-1], start=1):
        assert page.next is not None
        resumed = reader.pages(request, PageToken(**json.loads(json.dumps(asdict(page.next)))))
        assert ids(resumed) == ids(iter(pages[number:]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sort", ["id ASC", "update_time DESC"])
@pytest.mark.parametrize("entity", ["notes", "files", "leads"])
def test_an_offset_list_that_is_edited_while_it_is_read_loses_no_row_that_stays(
    sandbox: Sandbox, paginator: PipedrivePaginator, entity: str, sort: str, seed: int
) -> None:
    dice = random.Random(seed)
    edit = {"notes": {"content": "new"}, "files": {"description": "new"}, "leads": {"title": "new"}}[entity]
    staying = set(ids(paginator.pages(listing(entity, {"sort": sort}))))

    def pick(most: int) -> list[Any]:
        return dice.sample(sorted(staying, key=str), min(len(staying), dice.randint(0, most)))

    def change(*_: Any) -> None:
        for victim in pick(2):
            sandbox.account.delete(entity, victim)
            staying.discard(victim)
        for victim in pick(1):
            sandbox.account.update(entity, victim, **edit)
            if sort == "update_time DESC":
                # It is the newest now, and the next incremental run brings it.
                staying.discard(victim)

    sandbox.account.hook_before_page(change)
    read = ids(paginator.pages(listing(entity, {"sort": sort}, page_size=5)))
    assert staying <= set(read)
    if sort == "id ASC":
        assert len(read) == len(set(read))


@pytest.mark.parametrize("seed", range(4))
def test_a_cursor_list_that_is_edited_while_it_is_read_loses_no_row_that_stays(
    sandbox: Sandbox, paginator: PipedrivePaginator, seed: int
) -> None:
    dice = random.Random(seed)
    untouched = {row["id"] for row in sandbox.rows("persons")}

    def change(*_: Any) -> None:
        alive = sorted(untouched)
        for victim in dice.sample(alive, min(len(alive), 2)):
            sandbox.account.delete("persons", victim)
            untouched.discard(victim)
        sandbox.account.create("persons", name="New")

    sandbox.account.hook_before_page(change)
    assert untouched <= set(ids(paginator.pages(listing("persons", page_size=8))))


def test_a_cursor_that_repeats_is_an_error_and_no_loop(tmp_path: Path) -> None:
    page = Reply(body={"success": True, "data": [{"id": 1}], "additional_data": {"next_cursor": "again"}})
    with ScriptedServer(lambda _: page).running() as server:
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": "1" * 40,
            "PIPEDRIVE_BASE_URL": server.url,
        }
        with (
            wired(load_settings(environment), SkippingClock()) as parts,
            pytest.raises(PipedriveDataException, match="given twice") as caught,
        ):
            list(parts.paginator.pages(listing("deals")))
        assert caught.value.context.entity == "deals"
        assert len(server.seen) == 2


@pytest.mark.parametrize("mangled", [b"", b"{}", b'{"success":true}'])
def test_a_list_that_came_without_its_rows_is_fetched_again(mangled: bytes, tmp_path: Path) -> None:
    whole = Reply(body={"success": True, "data": [{"id": 1}], "additional_data": {"next_cursor": None}})
    with ScriptedServer(lambda _: whole).running() as server:
        server.replies(Reply(body=mangled), whole)
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": "1" * 40,
            "PIPEDRIVE_BASE_URL": server.url,
        }
        with wired(load_settings(environment), SkippingClock()) as parts:
            (page,) = parts.paginator.pages(listing("deals"))
    assert (page.rows, page.retries) == ([{"id": 1}], 1)


def test_pages_say_whether_the_servers_time_is_known(tmp_path: Path) -> None:
    page = {"success": True, "data": [{"id": 1}]}
    dated, undated = Reply(body=page), Reply(body=page, headers={"Date": ""})
    with ScriptedServer(lambda _: dated).running() as server:
        server.replies(undated, dated, undated)
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": "1" * 40,
            "PIPEDRIVE_BASE_URL": server.url,
        }
        with wired(load_settings(environment), SkippingClock()) as parts:
            known = [next(parts.paginator.pages(listing("deals"))).server_time_known for _ in range(3)]
    assert known == [False, True, True]


def test_a_refused_cursor_has_its_own_exception(reader: PipedrivePaginator) -> None:
    with pytest.raises(PipedriveCursorException) as caught:
        next(reader.pages(listing("deals"), PageToken(cursor="no such cursor")))
    assert caught.value.status == 400
    assert type(PipedriveCursorException.from_dict(caught.value.to_dict())) is PipedriveCursorException


def test_a_refused_parameter_is_not_mistaken_for_a_refused_cursor(reader: PipedrivePaginator) -> None:
    with pytest.raises(PipedriveApiException) as caught:
        next(reader.pages(listing("deals", {"no_such_parameter": "1"})))
    assert not isinstance(caught.value, PipedriveCursorException)


def test_a_failed_page_is_fetched_again_and_nothing_is_lost(
    sandbox: Sandbox, paginator: PipedrivePaginator
) -> None:
    sandbox.faults.add("reset", path="/notes$", nth=2)
    sandbox.faults.add("truncate", path="/notes$", nth=2)
    sandbox.faults.add("status", path="/notes$", status=503, nth=2)
    pages = list(paginator.pages(listing("notes", BY_ID, page_size=10)))
    assert set(ids(iter(pages))) == expected_ids(sandbox, "notes")
    assert sum(page.retries for page in pages) == 3


def test_each_page_is_told_in_one_line(reader: PipedrivePaginator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="pipedrive_assets")
    pages = list(reader.pages(listing("deals", page_size=25)))
    lines = [record for record in caplog.records if record.getMessage().startswith("page_fetched ")]
    assert len(lines) == len(pages)
    assert "entity=deals stream=live rows=25 limit=25 tokens=10 retries=0" in lines[0].getMessage()
    assert lines[0].levelno == logging.INFO
