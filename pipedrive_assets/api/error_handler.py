"""What an answer or a failed connection means: an exception, and a rule that says what follows from it.

Classified from the status, the exception's type, headers and body, never from message texts (the wording of a
403 apart, see :meth:`PipedriveApiException.from_response`). The rules are a table: what is retried at which
pace, what may be repeated although it may have arrived, what costs tokens, what counts for the circuit
breaker.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
import requests
import urllib3.exceptions as transport

from pipedrive_assets.api.retry import BURST, CONNECTION, MAINTENANCE, SERVER, Backoff, RetryPolicy
from pipedrive_assets.api.transport import Answer
from pipedrive_assets.exceptions import (
    ErrorContext,
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveConnectionException,
    PipedriveException,
    PipedriveRateLimitException,
    PipedriveServerException,
)

_IDEMPOTENT = frozenset({"GET", "PUT", "PATCH", "DELETE"})
_SAMPLE_BYTES = 200


class Failure(StrEnum):
    """Classes of errors; each has one rule."""

    BURST = "burst"
    """429 of the 2-second window."""
    DAILY = "daily"
    """429 of the day's token budget."""
    TOKEN = "token"  # noqa: S105 - a class of errors, not a password
    """401."""
    ABUSE = "abuse"
    """403 as an HTML page: blocked for calling on after 429."""
    REFUSED = "refused"
    """Any other answer that would be the same next time."""
    SERVER = "server"
    """5xx that passes, and 408."""
    MAINTENANCE = "maintenance"
    """503."""
    MANGLED = "mangled"
    """A 2xx whose body is not the JSON object it should be, or lacks the rows it was asked for."""
    UNSENT = "unsent"
    """No connection: the name is unknown, the connection refused or not made in time."""
    LOST = "lost"
    """The connection broke after the request may have arrived: reset, timeout, truncated body."""
    UNTRUSTED = "untrusted"
    """The server's certificate cannot be verified."""
    UNUSABLE = "unusable"
    """The request could not even be put together."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from a failure.

    ``policy`` is None for what is not retried. ``arrived``: the server may have acted on the request, so that
    only idempotent methods are repeated. ``charged``: it is taken to cost its tokens (reference section 10,
    Q5). ``trips``: it counts for the circuit breaker. ``penalizes``: no request at all may go out before the
    wait is over.
    """

    policy: RetryPolicy | None = None
    arrived: bool = True
    charged: bool = True
    trips: bool = False
    penalizes: bool = False


RULES: Mapping[Failure, Rule] = {
    Failure.BURST: Rule(BURST, arrived=False, charged=False, penalizes=True),
    Failure.DAILY: Rule(charged=False),
    Failure.TOKEN: Rule(charged=False),
    Failure.ABUSE: Rule(penalizes=True),
    Failure.REFUSED: Rule(),
    Failure.SERVER: Rule(SERVER, trips=True),
    Failure.MAINTENANCE: Rule(MAINTENANCE, trips=True),
    Failure.MANGLED: Rule(SERVER, trips=True),
    Failure.UNSENT: Rule(CONNECTION, arrived=False, charged=False, trips=True),
    Failure.LOST: Rule(CONNECTION, trips=True),
    Failure.UNTRUSTED: Rule(arrived=False, charged=False, trips=True),
    Failure.UNUSABLE: Rule(arrived=False, charged=False),
}

_CONNECTION_FAILURES: tuple[tuple[type[BaseException], Failure, str], ...] = (
    (ssl.SSLCertVerificationError, Failure.UNTRUSTED, "the server's certificate cannot be verified"),
    (transport.NameResolutionError, Failure.UNSENT, "the host name is unknown"),
    (transport.ConnectTimeoutError, Failure.UNSENT, "no connection in time"),
    (requests.ConnectTimeout, Failure.UNSENT, "no connection in time"),
    (transport.NewConnectionError, Failure.UNSENT, "the connection was refused"),
    (transport.ReadTimeoutError, Failure.LOST, "no answer in time"),
    (requests.ReadTimeout, Failure.LOST, "no complete answer in time"),
    (transport.IncompleteRead, Failure.LOST, "the answer was cut off"),
    (transport.DecodeError, Failure.LOST, "the answer could not be decompressed"),
    (transport.ProtocolError, Failure.LOST, "the connection was reset"),
    (requests.exceptions.InvalidURL, Failure.UNUSABLE, "the URL is invalid"),
    (requests.exceptions.InvalidHeader, Failure.UNUSABLE, "a header is invalid"),
    (requests.exceptions.InvalidSchema, Failure.UNUSABLE, "the URL's scheme is unknown"),
)
"""From the most telling type to the least: requests wraps what urllib3 raised, the first match decides."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An attempt that brought what was asked for."""

    answer: Answer
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that did not; ``answer`` is None where none came."""

    error: PipedriveException
    kind: Failure
    answer: Answer | None

    @property
    def rule(self) -> Rule:
        """What follows from it."""
        return RULES[self.kind]

    @property
    def penalty_seconds(self) -> float:
        """Seconds in which nobody may send anything; mostly zero."""
        return (self.error.retry_after or 0.0) if self.rule.penalizes else 0.0


class PipedriveErrorHandler:
    """Classifies attempts and decides whether, and when, another one is made."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff

    def judge_answer(
        self, answer: Answer, *, context: ErrorContext, url: str, rows_at: Sequence[str] = ()
    ) -> Accepted | Failed:
        """Classify a complete answer (reference sections 2.5, 3.2, 3.3).

        ``rows_at`` names the keys that lead to the rows of a list. An answer without them is mangled: to take
        it for an empty list would declare everything deleted. Null stands for an empty list (section 3.1).
        """
        if not 200 <= answer.status < 300:
            return _refused(answer.status, answer, answer.body, context, url)
        if not answer.body:
            if context.method != "DELETE":
                return _mangled(answer, context, url, "is empty")
            return Accepted(answer, payload={})
        try:
            payload = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return _mangled(answer, context, url, "is not JSON")
        if not isinstance(payload, dict):
            return _mangled(answer, context, url, "is not a JSON object")
        if payload.get("success") is False:
            return _refused(_status_within(payload), answer, payload, context, url)
        missing = _missing(payload, rows_at)
        if missing is not None:
            return _mangled(answer, context, url, f"has no {missing!r}")
        return Accepted(answer, payload)

    def judge_failure(self, failure: requests.RequestException, *, context: ErrorContext) -> Failed:
        """Classify a request that got no complete answer."""
        kind, reason = _connection_failure(failure)
        error = PipedriveConnectionException(
            f"{context.method} {context.endpoint}: {reason}",
            context=context.filled(details={"failure": kind.value, "cause": type(failure).__name__}),
            retryable=RULES[kind].policy is not None,
        )
        error.__cause__ = failure
        return Failed(error, kind, answer=None)

    def delay_seconds(self, method: str, failed: Failed, retries: int, *, in_a_row: int = 1) -> float | None:
        """Seconds until the next attempt; None if there is to be none.

        A request that may have arrived is repeated only if doing it twice changes nothing (POST is not).
        """
        rule = failed.rule
        if rule.policy is None or (rule.arrived and method not in _IDEMPOTENT):
            return None
        return self._backoff.delay_seconds(rule.policy, retries, failed.error.retry_after, in_a_row=in_a_row)


def failure_of(error: PipedriveApiException) -> Failure:
    """The class of an error answer, from the exception that stands for it."""
    if isinstance(error, PipedriveRateLimitException):
        return Failure.DAILY if error.kind == "daily" else Failure.BURST
    if isinstance(error, PipedriveAuthException):
        by_kind = {"token": Failure.TOKEN, "abuse": Failure.ABUSE}
        return by_kind.get(error.kind, Failure.REFUSED)
    if isinstance(error, PipedriveServerException):
        return Failure.MAINTENANCE if error.status == 503 else Failure.SERVER
    return Failure.REFUSED


def _refused(status: int, answer: Answer, body: Any, context: ErrorContext, url: str) -> Failed:
    error = PipedriveApiException.from_response(status, answer.headers, body, context=context, url=url)
    return Failed(error, failure_of(error), answer)


def _mangled(answer: Answer, context: ErrorContext, url: str, complaint: str) -> Failed:
    """Something between the API and here spoiled the answer; the request itself was understood."""
    error = PipedriveServerException(
        f"Pipedrive answered {answer.status} to {context.method} {context.endpoint}: the body {complaint}",
        status=answer.status,
        url=url,
        headers=answer.headers,
        body=answer.body[:_SAMPLE_BYTES],
        context=context,
    )
    return Failed(error, Failure.MANGLED, answer)


def _missing(payload: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first of the nested ``keys`` that is absent; what is no object lacks none."""
    place: Any = payload
    for key in keys:
        if not isinstance(place, Mapping):
            return None
        if key not in place:
            return key
        place = place[key]
    return None


def _status_within(payload: Mapping[str, Any]) -> int:
    """The status that a body with ``success: false`` under a 2xx stands for; 400 if it names none."""
    for key in ("errorCode", "code", "statusCode"):
        value = payload.get(key)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return 400


def _connection_failure(failure: BaseException) -> tuple[Failure, str]:
    chain = list(_causes(failure))
    for kind, outcome, reason in _CONNECTION_FAILURES:
        if any(isinstance(cause, kind) for cause in chain):
            return outcome, reason
    return Failure.LOST, f"the connection failed ({type(failure).__name__})"


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """``failure`` and everything wrapped in it: requests and urllib3 use arguments, ``reason`` and causes."""
    waiting: list[BaseException] = [failure]
    seen: set[int] = set()
    while waiting:
        error = waiting.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        wrapped = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
        waiting.extend(inner for inner in wrapped if isinstance(inner, BaseException))
