"""Everything that can go wrong, typed by what a caller can do about it.

::

    PipedriveException                      context, retryable, retry_after, advice
    ├── PipedriveApiException               the server answered, and the answer is an error
    │   ├── PipedriveRateLimitException     429: burst (wait seconds) or daily (stop until resets_at)
    │   ├── PipedriveAuthException          401, 403: token, permission, scope or abuse block
    │   ├── PipedriveQuotaException         402, and 403 where a limit of the plan is reached
    │   └── PipedriveServerException        408, 500, 502, 503, 504, 520 to 527
    ├── PipedriveConnectionException        no answer, or half of one
    ├── PipedriveMemoryException            memory limit reached between two pages
    ├── PipedriveCircuitOpenException       not even asked: the circuit breaker is open
    ├── PipedriveDataException              an answer that breaks its own contract (a repeated cursor)
    ├── PipedriveConfigException            a setting is wrong
    ├── PipedriveStateException             the state store cannot be used
    └── PipedriveWarehouseException         the warehouse cannot be used

``retryable`` means: the same call may succeed if made again soon, by whoever made it. What waits for a reset
(the daily budget) or for a person (token, plan) is not retryable. Which response becomes which of these is
decided in one place, :meth:`PipedriveApiException.from_response`.

All of them survive pickling and a round trip through :meth:`PipedriveException.to_dict`, since Dagster
carries errors across processes, and none of them carries a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self

from pipedrive_assets.error_answer import ErrorAnswer, read_answer
from pipedrive_assets.redaction import redact, redact_value


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """Where an error happened; secrets are masked on construction.

    ``endpoint`` is the path without query, ``attempt`` counts from 1, ``details`` holds plain JSON.
    """

    entity: str | None = None
    endpoint: str | None = None
    method: str | None = None
    attempt: int | None = None
    status: int | None = None
    request_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("entity", "endpoint", "method", "request_id", "details"):
            object.__setattr__(self, name, redact_value(getattr(self, name)))

    def filled(self, **facts: Any) -> ErrorContext:
        """A copy in which fields that are still None take the value from ``facts``; details are united."""
        details = {**facts.pop("details", {}), **self.details}
        missing = {name: value for name, value in facts.items() if getattr(self, name) is None}
        return replace(self, details=details, **missing)


class PipedriveException(Exception):
    """Base of the tree: a message, where it happened, and whether to try again.

    ``retry_after`` is a lower bound in seconds, set by the server or by the limit that was hit.
    """

    retryable_by_default: ClassVar[bool] = False
    facts: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes a subclass adds; each is also a keyword of its constructor."""

    def __init__(
        self,
        message: str,
        *,
        context: ErrorContext | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = redact(message)
        super().__init__(self.message)
        self.context = context or ErrorContext()
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.retry_after = retry_after

    @property
    def advice(self) -> str:
        """What a person can do about it, one sentence; empty where nothing helps but trying again."""
        return ""

    @property
    def explained(self) -> str:
        """The message, and after it the advice as a sentence of its own."""
        return f"{self.message.rstrip('.')}. {self.advice}" if self.advice else self.message

    def with_context(self, **facts: Any) -> Self:
        """Fill in fields of the context that are not known yet, and return the exception itself."""
        self.context = self.context.filled(**facts)
        return self

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types; :meth:`from_dict` builds an equal exception."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "retryable": self.retryable,
            "retry_after": self.retry_after,
            "context": asdict(self.context),
            "facts": {name: _encoded(getattr(self, name)) for name in self.facts},
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> PipedriveException:
        """The exception that ``data`` describes; ``ValueError`` for a type that is not in the tree."""
        for known in _tree(PipedriveException):
            if known.__name__ == data["type"]:
                return _rebuilt(known, data)
        raise ValueError(f"no Pipedrive exception is called {data['type']!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.to_dict())


class PipedriveApiException(PipedriveException):
    """The server answered with an error; ``body`` is parsed JSON, or the beginning of a text.

    ``url`` has no query secrets and no user part, ``code`` is the API's machine code, if it gave one.
    """

    facts: ClassVar[tuple[str, ...]] = ("status", "url", "headers", "body", "code")

    def __init__(
        self,
        message: str,
        *,
        status: int,
        url: str = "",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        code: str = "",
        **base: Any,
    ) -> None:
        super().__init__(message, **base)
        self.status = status
        self.url = redact(url)
        self.headers: dict[str, str] = redact_value(headers or {})
        self.body: Any = redact_value(body)
        self.code = code
        self.context = self.context.filled(status=status)

    @staticmethod
    def from_response(
        status: int,
        headers: Mapping[str, str],
        body: bytes | str | Any,
        *,
        context: ErrorContext | None = None,
        url: str = "",
        now: datetime | None = None,
    ) -> PipedriveApiException:
        """The exception for an error response, chosen by status, headers and body, never by wording.

        The exception to the last is 403, where the wording is all the API offers to tell a missing scope or
        a reached limit from a missing permission (reference sections 2.5, 3.2, 3.3). A status that is in no
        table is not retryable. ``now`` (UTC) stands in for a missing ``Date`` header.
        """
        answer = read_answer(status, headers, body, now=now)
        kind, facts = _classified(answer)
        context = (context or ErrorContext()).filled(
            status=status, request_id=answer.headers.get("x-correlation-id")
        )
        return kind(
            _sentence(answer, context, facts),
            status=status,
            url=url,
            headers=answer.headers,
            body=answer.body,
            code=answer.code,
            context=context,
            **facts,
        )


class PipedriveRateLimitException(PipedriveApiException):
    """A limit was hit: ``burst`` passes within seconds, ``daily`` not before ``resets_at`` (UTC).

    Also raised before a request is made, when the ledger shows that it would not fit into the day's budget.
    """

    facts: ClassVar[tuple[str, ...]] = (*PipedriveApiException.facts, "kind", "resets_at")

    def __init__(
        self,
        message: str,
        *,
        kind: Literal["burst", "daily"],
        resets_at: datetime | str | None = None,
        status: int = 429,
        **base: Any,
    ) -> None:
        base.setdefault("retryable", kind == "burst")
        super().__init__(message, status=status, **base)
        self.kind = kind
        self.resets_at = _moment(resets_at)

    @property
    def advice(self) -> str:
        """When to go on."""
        if self.kind == "burst":
            return ""
        when = f"at {self.resets_at:%Y-%m-%d %H:%M} UTC" if self.resets_at else "at midnight UTC"
        return f"Progress is kept; the budget resets {when}."


class PipedriveAuthException(PipedriveApiException):
    """The server knows the caller not at all (``token``) or refuses the call (``permission``, ``scope``).

    ``abuse`` is Cloudflare's block of clients that kept calling after a 429: it lasts minutes and every
    further request prolongs it, so it is not retryable although ``retry_after`` says when it may be over.
    """

    facts: ClassVar[tuple[str, ...]] = (*PipedriveApiException.facts, "kind")

    def __init__(
        self, message: str, *, kind: Literal["token", "permission", "scope", "abuse"], **base: Any
    ) -> None:
        super().__init__(message, **base)
        self.kind = kind

    @property
    def advice(self) -> str:
        """Which setting or right to look at."""
        return {
            "token": "Check PIPEDRIVE_TOKEN; the token is in Pipedrive under Personal preferences > API.",
            "permission": "The token has its user's rights; use the token of a user who may see this.",
            "scope": "Check PIPEDRIVE_BASE_URL, and that the app has the scope of this endpoint.",
            "abuse": "Wait some minutes before anything calls the API again with this token.",
        }[self.kind]


class PipedriveQuotaException(PipedriveApiException):
    """The plan does not open this: the account is unpaid (402) or a limit of the plan is reached (403)."""

    @property
    def advice(self) -> str:
        """Where to look."""
        return "See the plan and its usage in Pipedrive under Company settings > Billing."


class PipedriveServerException(PipedriveApiException):
    """The server failed; ``retry_after`` is what it asked for, if it did."""

    retryable_by_default: ClassVar[bool] = True


class PipedriveConnectionException(PipedriveException):
    """No answer, or half of one: name, refusal, reset, timeout, truncated body.

    A certificate that cannot be verified is raised with ``retryable=False``.
    """

    retryable_by_default: ClassVar[bool] = True

    @property
    def advice(self) -> str:
        """What to check."""
        return "Check the network, PIPEDRIVE_COMPANY_DOMAIN and PIPEDRIVE_BASE_URL."


class PipedriveMemoryException(PipedriveException):
    """Memory ran short between two pages; what was committed is kept, and a repetition goes on from there."""

    retryable_by_default: ClassVar[bool] = True

    @property
    def advice(self) -> str:
        """Where the limit that was hit can be raised."""
        remedy = {
            "setting": "Raise PIPEDRIVE_MEMORY_LIMIT_MB",
            "cgroup": "Give the container more memory",
        }.get(str(self.context.details.get("limit_origin")), "Give the machine more memory")
        return (
            f"Progress is kept. {remedy}, or lower PIPEDRIVE_WAREHOUSE_MEMORY_LIMIT_MB, DuckDB's part of it."
        )


class PipedriveCircuitOpenException(PipedriveException):
    """Calls failed in a row, so this one was not made; the next is let through at ``next_try_at`` (UTC)."""

    facts: ClassVar[tuple[str, ...]] = ("next_try_at",)

    def __init__(self, message: str, *, next_try_at: datetime | str | None = None, **base: Any) -> None:
        super().__init__(message, **base)
        self.next_try_at = _moment(next_try_at)

    @property
    def advice(self) -> str:
        """When to try again."""
        when = f" after {self.next_try_at:%Y-%m-%d %H:%M:%S} UTC" if self.next_try_at else ""
        return f"Pipedrive seems to be down; try again{when}."


class PipedriveDataException(PipedriveException):
    """An answer breaks the API's own contract: a cursor repeated, a list that is no list."""


class PipedriveConfigException(PipedriveException):
    """One or more settings are wrong; the message has one line for each of ``problems``."""

    facts: ClassVar[tuple[str, ...]] = ("problems",)

    def __init__(self, message: str = "", *, problems: tuple[str, ...] = (), **base: Any) -> None:
        self.problems = tuple(redact(problem) for problem in problems) or (redact(message),)
        super().__init__(message or "\n".join(self.problems), **base)


class PipedriveStateException(PipedriveException):
    """The state store cannot be opened or used."""


class PipedriveWarehouseException(PipedriveException):
    """The warehouse cannot be opened, is locked for too long, or belongs to another company."""


_STATUSES: Mapping[int, type[PipedriveApiException]] = {
    401: PipedriveAuthException,
    402: PipedriveQuotaException,
    403: PipedriveAuthException,
    429: PipedriveRateLimitException,
    **dict.fromkeys((408, 500, 502, 503, 504, *range(520, 528)), PipedriveServerException),
}
"""Every status that is not here (400, 404, 405, 410, 415, 422, 501, …) is final (reference section 3.3)."""


def _classified(answer: ErrorAnswer) -> tuple[type[PipedriveApiException], dict[str, Any]]:
    kind = _STATUSES.get(answer.status, PipedriveApiException)
    if kind is PipedriveRateLimitException:
        if answer.daily_budget_spent:
            # Retry-After is useless here: the budget comes back at midnight and not before.
            return kind, {"kind": "daily", "resets_at": answer.next_reset}
        return kind, {"kind": "burst", "retry_after": answer.burst_wait_seconds}
    if kind is PipedriveAuthException:
        refusal = answer.refusal
        if refusal == "limit":
            return PipedriveQuotaException, {}
        return kind, {"kind": refusal, "retry_after": answer.block_seconds if refusal == "abuse" else None}
    if kind is PipedriveServerException:
        return kind, {"retry_after": answer.seconds("retry-after")}
    return kind, {}


def _sentence(answer: ErrorAnswer, context: ErrorContext, facts: Mapping[str, Any]) -> str:
    call = " ".join(part for part in (context.method, context.endpoint) if part) or "the request"
    said = answer.text or ("an HTML page" if answer.is_html else "no reason given")
    kind = f" [{facts['kind']}]" if "kind" in facts else ""
    code = f" ({answer.code})" if answer.code and answer.code != str(answer.status) else ""
    return f"Pipedrive answered {answer.status}{kind} to {call}: {said}{code}"


def _tree(root: type[PipedriveException]) -> Iterator[type[PipedriveException]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _rebuilt(kind: type[PipedriveException], data: Mapping[str, Any]) -> PipedriveException:
    return kind(
        data["message"],
        context=ErrorContext(**data["context"]),
        retryable=data["retryable"],
        retry_after=data["retry_after"],
        **data["facts"],
    )


def _encoded(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _moment(value: datetime | str | None) -> datetime | None:
    """UTC; texts come back from ``to_dict``."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
