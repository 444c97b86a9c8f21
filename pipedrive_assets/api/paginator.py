"""Reads a list page by page, whatever its kind of paging, and ends only when the API says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.pages import ListRequest, Page, PageToken, PipedriveCursorException
from pipedrive_assets.api.response import ApiResponse
from pipedrive_assets.api.walks import CursorWalk, OffsetWalk, SinglePage, Step, UncheckedOffsetWalk, Walk
from pipedrive_assets.catalog.spec import Paging
from pipedrive_assets.exceptions import PipedriveApiException, PipedriveDataException
from pipedrive_assets.logs import get_logger, log_event

_log = get_logger(__name__)

_BY_ID = "id ASC"
"""The v1 sort under which a row with a smaller id cannot come later."""


class PipedrivePaginator:
    """Generates the pages of any list (reference section 4); safe to share between threads."""

    def __init__(self, client: PipedriveClient, memory: PipedriveMemoryManager) -> None:
        self._client = client
        self._memory = memory

    def pages(self, request: ListRequest, resume: PageToken | None = None) -> Iterator[Page]:
        """Ask for page after page, each only when the one before has been taken.

        ``resume`` is the ``next`` of a page that this list gave before, in this process or another. Rows come
        at least once: a row that stays in the list, unedited, from the first request to the last is never
        missed, whatever is added, edited or deleted around it.

        Errors raised: those of :meth:`PipedriveClient.request`; ``PipedriveCursorException`` where the
        server refuses the cursor; ``PipedriveDataException`` for an answer that breaks the API's contract.
        """
        token = resume or PageToken()
        walk = _walk(request, token)
        while True:
            limit = self._limit(request, walk)
            response = self._fetch(request, token, limit, walk)
            step = _advance(walk, request, token, limit, response)
            self._log_page(request, token, limit, step, response)
            yield Page(
                rows=step.rows,
                next=step.next,
                server_time=response.server_time,
                server_time_known=response.server_time_known,
                requested_at=response.requested_at_server,
                tokens=response.tokens,
                requests=response.requests,
                retries=response.retries,
                wait_seconds=response.wait_seconds,
                seconds=response.seconds,
                limit=limit,
            )
            if step.next is None:
                return
            token = step.next

    def _limit(self, request: ListRequest, walk: Walk) -> int:
        size = self._memory.page_size(request.stream.page_max)
        if size and request.page_size is not None:
            size = min(size, request.page_size)
        return max(size, walk.smallest_limit) if size else 0

    def _fetch(self, request: ListRequest, token: PageToken, limit: int, walk: Walk) -> ApiResponse:
        params = {**request.params, **walk.params(token)}
        if limit:
            params["limit"] = str(limit)
        stream = request.stream
        try:
            return self._client.get(
                stream.version,
                request.path,
                params=params,
                cost=stream.token_cost,
                entity=request.entity,
                lane=request.lane,
                deadline=request.deadline,
                rows_at=("data",) if stream.rows_key is None else ("data", stream.rows_key),
            )
        except PipedriveApiException as error:
            if token.cursor is None or error.status != 400:
                raise
            # The other parameters were accepted on the page that gave this cursor.
            raise PipedriveCursorException(
                error.message,
                status=error.status,
                url=error.url,
                headers=error.headers,
                body=error.body,
                code=error.code,
                context=error.context,
            ) from error

    @staticmethod
    def _log_page(
        request: ListRequest, token: PageToken, limit: int, step: Step, response: ApiResponse
    ) -> None:
        log_event(
            _log,
            "page_fetched",
            entity=request.entity,
            stream=request.stream.name,
            rows=len(step.rows),
            limit=limit,
            tokens=response.tokens,
            retries=response.retries,
            wait_ms=round(response.wait_seconds * 1000),
            ms=round(response.seconds * 1000),
            cursor=token.cursor or token.start,
            more=step.next is not None,
        )


def _walk(request: ListRequest, token: PageToken) -> Walk:
    paging = request.stream.paging
    if paging is Paging.CURSOR:
        return CursorWalk()
    if paging is Paging.NONE:
        return SinglePage()
    if request.id_key is None:
        return UncheckedOffsetWalk()
    by_id = request.params.get("sort") == _BY_ID
    return OffsetWalk(request.id_key, by_id=by_id, last_id=token.last_id)


def _advance(walk: Walk, request: ListRequest, token: PageToken, limit: int, response: ApiResponse) -> Step:
    try:
        return walk.advance(token, limit, _rows(request, response), _paging_block(response.payload))
    except PipedriveDataException as error:
        raise error.with_context(entity=request.entity, endpoint=request.path, method="GET") from None


def _rows(request: ListRequest, response: ApiResponse) -> list[dict[str, Any]]:
    """The rows of an answer, known to have some; an empty v1 list may be null (reference section 3.1)."""
    data, key = response.data, request.stream.rows_key
    if key is not None and isinstance(data, Mapping):
        data = data.get(key)
    if data is None:
        return []
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise PipedriveDataException(f"the list came as {type(data).__name__}, not as a list of objects")
    return data


def _paging_block(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the answer says about more rows; v1 keeps it below ``pagination``, mostly (section 4.2)."""
    additional = payload.get("additional_data")
    if not isinstance(additional, Mapping):
        return {}
    pagination = additional.get("pagination")
    return {**additional, **pagination} if isinstance(pagination, Mapping) else additional
