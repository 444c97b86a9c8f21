"""What limits a request has to keep: as settings say, as headers say, and which requests are searches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipedrive_assets.settings import PipedriveSettings, daily_budget
from pipedrive_assets.state.ledger import Observation

BURST_LIMITS: Mapping[str, int] = {"lite": 20, "growth": 40, "premium": 100, "ultimate": 120}
"""Requests per window by plan, for API tokens (reference section 2.3)."""

SEARCH_LIMIT = 10
"""Search requests per window, whatever the plan; they count in the general window too."""

_SEARCH = re.compile(r"/(?:search|itemSearch(?:/field)?|users/find)/?$")


def is_search(path: str) -> bool:
    """Whether a path belongs to the search API and its own window (reference section 2.3)."""
    return _SEARCH.search(path.partition("?")[0]) is not None


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """The settings that rule the limiter, in its own units (seconds, requests, tokens)."""

    settings: PipedriveSettings
    margin_seconds: float
    burst_limit: int
    lifetime_seconds: float

    @classmethod
    def from_settings(cls, settings: PipedriveSettings) -> LimitPolicy:
        """An unknown plan gets the smallest burst limit; the first answer's header corrects it."""
        return cls(
            settings=settings,
            margin_seconds=settings.burst_margin_ms / 1000,
            burst_limit=BURST_LIMITS[settings.plan or "lite"],
            # Connecting and reading may each take the timeout; only a lost reservation outlives twice that.
            lifetime_seconds=60.0 + 4 * settings.request_timeout,
        )

    @property
    def enabled(self) -> bool:
        """Whether budget and window are kept before the server complains."""
        return self.settings.rate_limiting_enabled

    def budget(self, header_limit: int | None) -> int:
        """The day's tokens."""
        return daily_budget(self.settings, header_limit).tokens

    def budget_origin(self, header_limit: int | None) -> str:
        """Where that figure comes from."""
        return daily_budget(self.settings, header_limit).origin


@dataclass(frozen=True, slots=True)
class LimitHeaders:
    """The rate-limit headers of an answer; every one may be missing (reference section 2.4)."""

    daily: Observation
    window_limit: int | None
    window_remaining: int | None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> LimitHeaders:
        """Parse headers of any case; what is no number counts as missing."""
        lower = {name.lower(): value for name, value in headers.items()}

        def number(name: str) -> int | None:
            text = lower.get(name, "").strip()
            return int(text) if text.isdecimal() else None

        window_limit = number("x-ratelimit-limit")
        return cls(
            daily=Observation(
                # A limit of zero would be kept, and nobody would ever ask again whether it still holds; that
                # nothing is left today is what the remainder says.
                limit=number("x-daily-ratelimit-token-limit") or None,
                remaining=number("x-daily-ratelimit-token-remaining"),
            ),
            window_limit=window_limit or None,
            window_remaining=number("x-ratelimit-remaining"),
        )
