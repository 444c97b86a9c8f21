"""Lists that change while they are read: what stays in the list is never missed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import asdict
from itertools import count as count_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.pages import PageToken
from pipedrive_assets.api.walks import CursorWalk, OffsetWalk, SinglePage, UncheckedOffsetWalk, Walk
from pipedrive_assets.exceptions import PipedriveDataException


class OffsetList:
    """A v1 list on the server: rows by place, changed between pages."""

    def __init__(self, ids: list[object]) -> None:
        self.ids = ids
        self.untouched = set(ids)
        self.requests = 0

    def page(self, start: int, limit: int) -> tuple[list[dict[str, object]], dict[str, object]]:
        self.requests += 1
        rows = [{"id": row_id} for row_id in self.ids[start : start + limit]]
        more = start + limit < len(self.ids)
        return rows, {"more_items_in_collection": more, **({"next_start": start + limit} if more else {})}

    def delete(self, place: int) -> None:
        self.untouched.discard(self.ids.pop(place))

    def append(self, row_id: object) -> None:
        self.ids.append(row_id)

    def insert(self, place: int, row_id: object) -> None:
        self.ids.insert(place, row_id)

    def move_to_front(self, place: int) -> None:
        row_id = self.ids.pop(place)
        self.untouched.discard(row_id)
        self.ids.insert(0, row_id)


def read(
    server: OffsetList,
    new_walk: Callable[[str | None], Walk],
    limits: Callable[[], int],
    between: Callable[[], None] = lambda: None,
    resume: Callable[[], bool] = lambda: False,
) -> list[object]:
    """Read to the end; ``between`` changes the list, ``resume`` hands over to another process."""
    delivered: list[object] = []
    token: PageToken | None = PageToken()
    walk = new_walk(None)
    while token is not None:
        limit = max(limits(), walk.smallest_limit)
        rows, more = server.page(int(walk.params(token).get("start", 0)), limit)
        step = walk.advance(token, limit, rows, more)
        delivered += [row["id"] for row in step.rows]
        token = step.next
        assert server.requests < 5_000
        if token is not None and resume():
            token = PageToken(**json.loads(json.dumps(asdict(token))))
            walk = new_walk(token.last_id)
        between()
    return delivered


@given(
    count=st.integers(0, 80),
    seed=st.randoms(use_true_random=False),
    deletions=st.integers(0, 6),
    largest=st.integers(1, 12),
    resumes=st.booleans(),
)
def test_rows_that_stay_in_a_list_sorted_by_id_are_never_missed(
    count: int, seed: random.Random, deletions: int, largest: int, resumes: bool
) -> None:
    server = OffsetList(list(range(1, count + 1)))
    fresh_ids = iter(range(1_000, 100_000))

    def change() -> None:
        if server.requests > 60:
            return
        for _ in range(seed.randint(0, deletions)):
            if server.ids:
                server.delete(seed.randrange(len(server.ids)))
        if seed.random() < 0.3:
            server.append(next(fresh_ids))

    delivered = read(
        server,
        lambda last_id: OffsetWalk("id", by_id=True, last_id=last_id),
        lambda: seed.randint(1, largest),
        change,
        lambda: resumes and seed.random() < 0.3,
    )
    assert server.untouched <= set(delivered)
    assert len(delivered) == len(set(delivered))


@given(
    count=st.integers(0, 80),
    seed=st.randoms(use_true_random=False),
    deletions=st.integers(0, 4),
    resumes=st.booleans(),
)
def test_rows_that_stay_unedited_in_a_newest_first_list_are_never_missed(
    count: int, seed: random.Random, deletions: int, resumes: bool
) -> None:
    server = OffsetList(list(range(1, count + 1)))
    fresh_ids = iter(range(1_000, 100_000))

    def change() -> None:
        if server.requests > 60:
            return
        for _ in range(seed.randint(0, deletions)):
            if server.ids:
                server.delete(seed.randrange(len(server.ids)))
        for _ in range(seed.randint(0, 2)):
            if server.ids:
                server.move_to_front(seed.randrange(len(server.ids)))
        if seed.random() < 0.3:
            server.insert(0, next(fresh_ids))

    delivered = read(
        server,
        lambda last_id: OffsetWalk("id", by_id=False, last_id=last_id),
        lambda: seed.randint(1, 12),
        change,
        lambda: resumes and seed.random() < 0.3,
    )
    assert server.untouched <= set(delivered)


@given(count=st.integers(0, 60), seed=st.randoms(use_true_random=False), deletions=st.integers(0, 4))
def test_rows_with_uuid_ids_are_never_missed_whatever_order_the_server_sorts_them_in(
    count: int, seed: random.Random, deletions: int
) -> None:
    numbers = count_from(1)

    def fresh_id() -> str:
        # As good as random, and never the same twice, however the test data shrink.
        return hashlib.sha256(str(next(numbers)).encode()).hexdigest()

    server = OffsetList([fresh_id() for _ in range(count)])

    def change() -> None:
        if server.requests > 60:
            return
        for _ in range(seed.randint(0, deletions)):
            if server.ids:
                server.delete(seed.randrange(len(server.ids)))
        if seed.random() < 0.5:
            server.insert(seed.randint(0, len(server.ids)), fresh_id())

    delivered = read(
        server,
        lambda last_id: OffsetWalk("id", by_id=True, last_id=last_id),
        lambda: seed.randint(1, 12),
        change,
    )
    assert server.untouched <= set(delivered)


@pytest.mark.parametrize(
    ("rows", "limit", "requests"), [(0, 500, 1), (500, 500, 1), (501, 500, 2), (9, 5, 2)]
)
def test_an_unchanged_offset_list_costs_no_request_more_than_the_overlap_needs(
    rows: int, limit: int, requests: int
) -> None:
    server = OffsetList(list(range(1, rows + 1)))
    delivered = read(server, lambda last: OffsetWalk("id", by_id=True, last_id=last), lambda: limit)
    assert delivered == list(range(1, rows + 1))
    assert server.requests == requests


def test_a_list_that_shrank_below_the_offset_is_read_again_from_further_up() -> None:
    server = OffsetList(list(range(1, 21)))
    walk = OffsetWalk("id", by_id=True)
    rows, more = server.page(0, 10)
    first = walk.advance(PageToken(), 10, rows, more)
    assert first.next == PageToken(start=9, last_id="10")
    for _ in range(15):
        server.delete(0)
    rows, more = server.page(9, 10)
    assert rows == []
    back = walk.advance(first.next, 10, rows, more)
    assert back.rows == []
    assert back.next == PageToken(start=4, last_id="10")


def test_a_cursor_list_ends_only_where_the_cursor_is_null_or_absent() -> None:
    walk = CursorWalk()
    step = walk.advance(PageToken(), 500, [], {"next_cursor": "a"})
    assert step.next == PageToken(cursor="a")
    assert walk.params(PageToken(cursor="a")) == {"cursor": "a"}
    assert walk.advance(PageToken(cursor="a"), 500, [{"id": 1}], {"next_cursor": None}).next is None
    assert walk.advance(PageToken(cursor="a"), 500, [{"id": 1}], {}).next is None


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"]])
def test_a_cursor_given_twice_is_an_error_and_no_loop(cursors: list[str]) -> None:
    walk = CursorWalk()
    token = PageToken()
    with pytest.raises(PipedriveDataException, match="given twice"):
        for cursor in cursors:
            following = walk.advance(token, 500, [{"id": 1}], {"next_cursor": cursor}).next
            assert following is not None
            token = following


def test_a_list_without_paging_is_one_page() -> None:
    assert SinglePage().advance(PageToken(), 0, [{"id": 1}], {"more_items_in_collection": True}).next is None


def test_rows_that_nothing_identifies_are_read_place_by_place() -> None:
    walk = UncheckedOffsetWalk()
    step = walk.advance(PageToken(), 2, [{}, {}], {"more_items_in_collection": True, "next_start": 2})
    assert step.next == PageToken(start=2)
    assert walk.params(PageToken(start=2)) == {"start": "2"}
    assert walk.advance(PageToken(start=2), 2, [{}], {"more_items_in_collection": False}).next is None


@pytest.mark.parametrize("walk", [UncheckedOffsetWalk(), OffsetWalk("id", by_id=True)])
def test_a_list_that_promises_more_but_gives_nothing_is_an_error(walk: Walk) -> None:
    with pytest.raises(PipedriveDataException, match="gives none"):
        walk.advance(PageToken(), 10, [], {"more_items_in_collection": True})


def test_a_row_without_its_id_is_an_error() -> None:
    with pytest.raises(PipedriveDataException, match="has no id"):
        OffsetWalk("id", by_id=True).advance(PageToken(), 10, [{"name": "x"}], {})


@given(
    st.builds(
        PageToken,
        cursor=st.none() | st.text(),
        start=st.none() | st.integers(0, 10**9),
        last_id=st.none() | st.text(),
    )
)
def test_a_page_token_survives_json(token: PageToken) -> None:
    assert PageToken(**json.loads(json.dumps(asdict(token)))) == token


def test_an_unchanged_newest_first_list_is_read_straight_through() -> None:
    server = OffsetList(list(range(40, 0, -1)))
    delivered = read(server, lambda last: OffsetWalk("id", by_id=False, last_id=last), lambda: 11)
    assert delivered == list(range(40, 0, -1))
    assert server.requests == 4


def test_a_scan_sorted_by_id_goes_on_where_it_was_although_its_last_row_is_gone() -> None:
    server = OffsetList(list(range(1, 41)))
    rows, more = server.page(0, 20)
    token = OffsetWalk("id", by_id=True).advance(PageToken(), 20, rows, more).next
    assert token is not None
    server.delete(19)
    resumed = OffsetWalk("id", by_id=True, last_id=token.last_id)
    starts = []
    while token is not None:
        starts.append(token.start)
        rows, more = server.page(token.start or 0, 20)
        token = resumed.advance(token, 20, rows, more).next
    assert starts == [19, 9, 28]
