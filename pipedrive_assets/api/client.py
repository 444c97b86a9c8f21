"""The one door to the API: every request passes breaker, rate limit, HTTP, judgement and settlement.

Nothing else retries. What comes out is a checked answer, or the last error of a call that was given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import metadata
from random import Random
from types import TracebackType
from typing import Any, Self

import requests

from pipedrive_assets.api.auth import Auth
from pipedrive_assets.api.call import Call, Effort, endpoint_of
from pipedrive_assets.api.circuit_breaker import CircuitBreaker
from pipedrive_assets.api.error_handler import Accepted, Failed, Failure, PipedriveErrorHandler
from pipedrive_assets.api.rate_limit import PipedriveRateLimitManager
from pipedrive_assets.api.request_journal import RequestJournal
from pipedrive_assets.api.response import ApiResponse
from pipedrive_assets.api.retry import Backoff
from pipedrive_assets.api.round_trips import Trip
from pipedrive_assets.api.server_clock import ServerClock
from pipedrive_assets.api.transport import Answer, Transport
from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.clock import Clock
from pipedrive_assets.error_answer import http_date
from pipedrive_assets.exceptions import ErrorContext, PipedriveDataException, PipedriveException
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.stats import RequestStats

_PACKAGE = "pipedrive-assets"
_IDENTITY_PATH = "/users/me"
_IDENTITY_COST = 2


class PipedriveClient:
    """Requests to one account; safe to share between threads. Close it, or use it in a ``with`` statement.

    ``stats`` counts every request; without it nobody does.
    """

    def __init__(
        self,
        settings: PipedriveSettings,
        auth: Auth,
        limiter: PipedriveRateLimitManager,
        breaker: CircuitBreaker,
        *,
        clock: Clock,
        random: Random,
        stats: RequestStats | None = None,
    ) -> None:
        self._settings = settings
        self._journal = RequestJournal(stats)
        self._limiter = limiter
        self._breaker = breaker
        self._clock = clock
        self._server_clock = ServerClock(clock)
        self._errors = PipedriveErrorHandler(Backoff.from_settings(settings, random))
        self._transport = Transport(
            settings.base_url,
            auth,
            user_agent=_user_agent(),
            timeout_seconds=settings.request_timeout,
            clock=clock,
        )

    def request(
        self,
        method: str,
        version: Version,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json_body: Any = None,
        cost: int,
        entity: str | None = None,
        lane: Lane,
        deadline: float | None = None,
        rows_at: Sequence[str] = (),
    ) -> ApiResponse:
        """Make one call, with as many attempts as the error policy allows.

        ``path`` comes without ``/api/v2``; ``cost`` is the published price in tokens, over which the setting
        ``token_costs`` prevails. The call with all its waits ends before ``deadline`` (monotonic seconds) and
        within the configured time per call, whichever is earlier. ``rows_at`` names the keys under which a
        list's rows must be, as in :meth:`PipedriveErrorHandler.judge_answer`.

        Errors raised: ``PipedriveApiException`` and its children for error answers, of which
        ``PipedriveRateLimitException`` also before anything is sent; ``PipedriveConnectionException`` for
        none; ``PipedriveCircuitOpenException`` while nothing may be sent.
        """
        endpoint = endpoint_of(version, path)
        own_deadline = self._clock.monotonic() + self._settings.request_deadline
        call = Call(
            method=method,
            path=f"/api/{version.value}{path}",
            params=params,
            json_body=json_body,
            cost=self._price(endpoint, entity, cost),
            endpoint=endpoint,
            lane=lane,
            deadline=own_deadline if deadline is None else min(deadline, own_deadline),
            context=ErrorContext(entity=entity, endpoint=endpoint, method=method),
            rows_at=rows_at,
        )
        return self._attempts(call)

    def get(
        self,
        version: Version,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        cost: int,
        entity: str | None = None,
        lane: Lane,
        deadline: float | None = None,
        rows_at: Sequence[str] = (),
    ) -> ApiResponse:
        """:meth:`request` with ``GET``."""
        return self.request(
            "GET",
            version,
            path,
            params=params,
            cost=cost,
            entity=entity,
            lane=lane,
            deadline=deadline,
            rows_at=rows_at,
        )

    def probe(
        self,
        version: Version,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        cost: int,
        timeout: float,
    ) -> ApiResponse:
        """One attempt within ``timeout`` seconds at a request whose only purpose is to see it answered.

        It passes breaker and limits and counts for them like any other, but is sent even when Pipedrive has
        said that no tokens are left. Errors raised: those of :meth:`request`.
        """
        endpoint = endpoint_of(version, path)
        call = Call(
            method="GET",
            path=f"/api/{version.value}{path}",
            params=params,
            json_body=None,
            cost=self._price(endpoint, None, cost),
            endpoint=endpoint,
            lane=Lane.INCREMENTAL,
            deadline=self._clock.monotonic() + timeout,
            context=ErrorContext(endpoint=endpoint, method="GET"),
            probe=True,
        )
        effort = Effort()
        outcome = self._attempt(call, effort)
        if isinstance(outcome, Failed):
            raise outcome.error
        return self._response(outcome, effort)

    def identity(self, *, lane: Lane = Lane.INCREMENTAL) -> AccountIdentity:
        """Whose token this is (``GET /v1/users/me``, 2 tokens, reference section 1.1).

        Errors raised: those of :meth:`request`; ``PipedriveDataException`` for an answer without a company.
        """
        response = self.get(Version.V1, _IDENTITY_PATH, cost=_IDENTITY_COST, entity="users", lane=lane)
        data = response.data
        try:
            return AccountIdentity(
                company_id=int(data["company_id"]),
                company_name=str(data["company_name"]),
                company_domain=str(data["company_domain"]),
                user_id=int(data["id"]),
                user_name=str(data["name"]),
                is_admin=any(right.get("admin") is True for right in data.get("access") or ()),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PipedriveDataException(
                f"{_IDENTITY_PATH} does not say whose token this is ({error!r})",
                context=ErrorContext(entity="users", endpoint=_IDENTITY_PATH, method="GET"),
            ) from error

    def close(self) -> None:
        """Close all connections and write what was counted; a later request opens new ones."""
        self._transport.close()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _price(self, endpoint: str, entity: str | None, cost: int) -> int:
        overrides = self._settings.token_costs
        return overrides.get(endpoint, overrides.get(entity or "", cost))

    def _attempts(self, call: Call) -> ApiResponse:
        effort = Effort()
        outcome = self._attempt(call, effort)
        last: Failure | None = None
        in_a_row = 0
        while isinstance(outcome, Failed):
            error = outcome.error
            in_a_row = in_a_row + 1 if outcome.kind is last else 1
            last = outcome.kind
            delay = self._errors.delay_seconds(
                call.method, outcome, retries=effort.requests - 1, in_a_row=in_a_row
            )
            if delay is None or self._clock.monotonic() + delay >= call.deadline:
                raise error.with_context(details={"requests": effort.requests, "tokens": effort.tokens})
            self._journal.retry(call, error, attempt=effort.requests, delay=delay)
            self._clock.sleep(delay)
            effort.wait_seconds += delay
            try:
                outcome = self._attempt(call, effort)
            except PipedriveException as closed:
                # Breaker or budget closed between two attempts: what failed before them is the reason.
                raise closed from error
        return self._response(outcome, effort)

    def _attempt(self, call: Call, effort: Effort) -> Accepted | Failed:
        """One way through breaker, rate limit, HTTP and judgement; settled also when it is interrupted."""
        self._breaker.before_request()
        try:
            return self._admitted(call, effort)
        except BaseException:
            # No outcome to report: refused by the rate limit, or interrupted. Let somebody else probe.
            self._breaker.abandon()
            raise

    def _admitted(self, call: Call, effort: Effort) -> Accepted | Failed:
        permit = self._limiter.acquire(
            call.cost,
            call.endpoint,
            call.lane,
            call.deadline,
            entity=call.context.entity or "",
            probe=call.probe,
        )
        sent = self._clock.monotonic()
        effort.wait_seconds += permit.wait_seconds
        effort.requests += 1
        answer: Answer | None = None
        charged = call.cost
        try:
            outcome = self._exchange(call, call.context.filled(attempt=effort.requests))
            answer = outcome.answer
            if isinstance(outcome, Failed) and not outcome.rule.charged:
                charged = 0
        finally:
            self._limiter.settle(
                permit,
                charged=charged,
                headers=None if answer is None else answer.headers,
                server_time=None if answer is None else _date(answer),
                trip=None if answer is None else Trip(answer.sent, answer.answered, answer.warm),
            )
        seconds = self._clock.monotonic() - sent
        effort.tokens += charged
        effort.seconds += seconds
        self._report(outcome)
        self._journal.attempt(
            call,
            outcome,
            attempt=effort.requests,
            charged=charged,
            seconds=seconds,
            wait_seconds=permit.wait_seconds,
        )
        return outcome

    def _exchange(self, call: Call, context: ErrorContext) -> Accepted | Failed:
        try:
            answer = self._transport.send(
                call.method,
                call.path,
                params=call.params,
                json_body=call.json_body,
                deadline=call.deadline,
            )
        except requests.RequestException as failure:
            return self._errors.judge_failure(failure, context=context)
        if (date := _date(answer)) is not None:
            self._server_clock.observe(date, sent=answer.sent, received=answer.received)
        return self._errors.judge_answer(
            answer, context=context, url=self._transport.url(call.path), rows_at=call.rows_at
        )

    def _report(self, outcome: Accepted | Failed) -> None:
        """Tell those who guard the next request, of this process or another."""
        if isinstance(outcome, Accepted):
            self._breaker.success()
            return
        if outcome.rule.trips:
            self._breaker.failure(outcome.error)
        elif outcome.answer is not None:
            # An error answer is an answer: the server is up.
            self._breaker.success()
        else:
            # Nothing went out, so nothing was learned about the server.
            self._breaker.abandon()
        if outcome.penalty_seconds:
            self._limiter.penalize(outcome.penalty_seconds)

    def _response(self, accepted: Accepted, effort: Effort) -> ApiResponse:
        answer = accepted.answer
        return ApiResponse(
            status=answer.status,
            headers=answer.headers,
            payload=accepted.payload,
            server_time=_date(answer) or self._server_clock.at(answer.received),
            requested_at_server=self._server_clock.at(answer.sent),
            tokens=effort.tokens,
            requests=effort.requests,
            retries=effort.requests - 1,
            wait_seconds=effort.wait_seconds,
            seconds=effort.seconds,
            bytes=answer.wire_bytes,
            server_time_known=self._server_clock.known,
        )


def _user_agent() -> str:
    try:
        return f"{_PACKAGE}/{metadata.version(_PACKAGE)}"
    except metadata.PackageNotFoundError:
        return _PACKAGE


def _date(answer: Answer) -> datetime | None:
    return http_date(answer.headers.get("date", ""))
