"""How long to wait before asking again: full jitter below a growing ceiling, and what the server asks."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pipedrive_assets.settings import PipedriveSettings


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The pace of retries for one class of errors: the ceiling is ``base_seconds`` times 2 per retry.

    After ``most_in_a_row`` errors of the class in a row a call is given up, whatever its retries (None: any
    number).
    """

    name: str
    base_seconds: float
    most_in_a_row: int | None = None


SERVER = RetryPolicy("server", base_seconds=1.0)
MAINTENANCE = RetryPolicy("maintenance", base_seconds=4.0)
"""503 is scheduled maintenance (reference section 3.3): over in minutes rather than in a second."""
CONNECTION = RetryPolicy("connection", base_seconds=1.0)
BURST = RetryPolicy("burst", base_seconds=2.0, most_in_a_row=3)
"""As long as the burst window (reference section 2.3). Who calls on after 429 is blocked (section 2.5)."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Retry pace as configured.

    ``cap_seconds`` limits the own waiting only, never what a server asks for. Without ``jitter`` the waits
    are the ceilings themselves (1, 2, 4, 8, 16 s for the server policy).
    """

    max_retries: int
    cap_seconds: float
    jitter: bool
    random: Random

    @classmethod
    def from_settings(cls, settings: PipedriveSettings, random: Random) -> Backoff:
        """As the rate-limit and retry settings say."""
        return cls(
            max_retries=settings.max_retry_attempts,
            cap_seconds=settings.rate_limit_max_delay,
            jitter=settings.rate_limit_jitter,
            random=random,
        )

    def delay_seconds(
        self, policy: RetryPolicy, retries: int, retry_after: float | None, *, in_a_row: int = 1
    ) -> float | None:
        """Seconds to wait after ``retries`` retries have been made; None when no further one may be.

        ``in_a_row`` errors of the policy came last. ``retry_after`` is a lower bound: asking earlier than the
        server said only makes things worse.
        """
        if retries >= self.max_retries:
            return None
        if policy.most_in_a_row is not None and in_a_row >= policy.most_in_a_row:
            return None
        ceiling = min(self.cap_seconds, policy.base_seconds * 2.0**retries)
        wait = self.random.uniform(0.0, ceiling) if self.jitter else ceiling
        return max(wait, retry_after or 0.0)
