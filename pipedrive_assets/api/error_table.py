"""The rules of the error handler as a table for people: ``python -m pipedrive_assets.api.error_table``.

The figures come from the rules and policies themselves, so that the table cannot promise anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from pipedrive_assets.api.error_handler import RULES, Failure, Rule
from pipedrive_assets.api.retry import Backoff
from pipedrive_assets.settings import PipedriveSettings

_WHAT: Mapping[Failure, tuple[str, str]] = {
    Failure.BURST: ("429 of the two-second window", "`PipedriveRateLimitException` (burst)"),
    Failure.DAILY: ("429 with no tokens left for the day", "`PipedriveRateLimitException` (daily)"),
    Failure.TOKEN: ("401", "`PipedriveAuthException` (token)"),
    Failure.ABUSE: ("403 as an HTML page: Cloudflare's block", "`PipedriveAuthException` (abuse)"),
    Failure.REFUSED: (
        "402, 403 (permission, scope, limit of the plan), every other 3xx and 4xx, 501, `success: false`",
        "`PipedriveQuotaException`, `PipedriveAuthException` or `PipedriveApiException`",
    ),
    Failure.SERVER: ("408, 500, 502, 504, 520 to 527", "`PipedriveServerException`"),
    Failure.MAINTENANCE: ("503", "`PipedriveServerException`"),
    Failure.MANGLED: ("2xx without the JSON object or the rows it should have", "`PipedriveServerException`"),
    Failure.UNSENT: (
        "unknown host name, refused connection, no connection in time",
        "`PipedriveConnectionException`",
    ),
    Failure.LOST: (
        "reset, no answer in time, answer cut off or not to be unpacked",
        "`PipedriveConnectionException`",
    ),
    Failure.UNTRUSTED: ("certificate that cannot be verified", "`PipedriveConnectionException`"),
    Failure.UNUSABLE: ("address or header that no request can be made of", "`PipedriveConnectionException`"),
}

_HEAD = (
    "What came",
    "Exception",
    "Waits before each retry (s)",
    "POST repeated",
    "Tokens counted",
    "Counts for the breaker",
    "Pauses everybody",
)


def markdown(settings: PipedriveSettings | None = None) -> str:
    """A Markdown table with a line for each class of errors, as ``settings`` (default: the defaults) have it.

    Waits are the longest: jitter draws each between zero and that, and what the server asks for is a lower
    bound.
    """
    chosen = (settings or PipedriveSettings()).model_copy(update={"rate_limit_jitter": False})
    backoff = Backoff.from_settings(chosen, Random(0))  # noqa: S311 - nothing is drawn
    lines = [_HEAD, ("---",) * len(_HEAD), *(_line(failure, RULES[failure], backoff) for failure in Failure)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _line(failure: Failure, rule: Rule, backoff: Backoff) -> tuple[str, ...]:
    what, exception = _WHAT[failure]
    waits: list[str] = []
    if rule.policy is not None:
        while (
            wait := backoff.delay_seconds(rule.policy, len(waits), None, in_a_row=len(waits) + 1)
        ) is not None:
            waits.append(f"{wait:g}")
    repeated = bool(waits) and not rule.arrived
    return (
        what,
        exception,
        ", ".join(waits) or "not retried",
        _yes(repeated),
        _yes(rule.charged),
        _yes(rule.trips),
        _yes(rule.penalizes),
    )


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


if __name__ == "__main__":
    print(markdown(), end="")
