"""What a sandbox can be told when it starts: size, plan, latency, and the open questions it answers.

Defaults follow the simulator column of reference section 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BURST_REQUESTS = {"lite": 20, "growth": 40, "premium": 100, "ultimate": 120}
"""Requests an API token may make in any two seconds (reference 2.3)."""

DAILY_MULTIPLIER = {"lite": 1, "growth": 2, "premium": 5, "ultimate": 7}
"""Factor of 30,000 tokens a day and seat (reference 2.1)."""

SEARCH_REQUESTS = 10
"""Search requests in any two seconds, on every plan (reference 2.3)."""

DEFAULT_TOKEN = "5a4db0c5e1f2a3b4c5d6e7f8091a2b3c4d5e6f70"  # noqa: S105 - a made-up token of a made-up account

_MEDIUM = {
    "deals": 20_000,
    "persons": 15_000,
    "organizations": 5_000,
    "activities": 60_000,
    "products": 2_000,
    "notes": 8_000,
    "files": 4_000,
    "leads": 4_000,
    "projects": 500,
    "tasks": 2_500,
    "call_logs": 1_000,
    "mail_threads": 1_500,
}

SCALES: dict[str, dict[str, int]] = {
    "tiny": {
        "deals": 60,
        "persons": 45,
        "organizations": 20,
        "activities": 80,
        "products": 24,
        "notes": 40,
        "files": 24,
        "leads": 24,
        "projects": 12,
        "tasks": 24,
        "call_logs": 12,
        "mail_threads": 12,
    },
    "small": {
        "deals": 1_200,
        "persons": 800,
        "organizations": 400,
        "activities": 1_600,
        "products": 400,
        "notes": 800,
        "files": 400,
        "leads": 400,
        "projects": 60,
        "tasks": 240,
        "call_logs": 120,
        "mail_threads": 120,
    },
    "medium": _MEDIUM,
    # Seven times medium is 866,000 rows; products, installments and the children make it a million.
    "large": {name: count * 7 for name, count in _MEDIUM.items()},
}


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Settings of one sandbox; times are seconds unless a name says otherwise.

    ``now`` (ISO, UTC) starts the server clock there instead of at the real time; with ``frozen`` it stands
    still until moved. ``index_lag_seconds`` hides writes from lists until that much server time has passed.
    ``retry_after_header`` adds ``Retry-After`` to burst refusals; ``daily_headers`` sends the undocumented
    token headers; ``nulls_first`` says to which end lists sort rows without a time; ``gzip`` compresses
    answers for clients that accept it; ``v1_empty_as_null`` writes empty v1 lists as ``null``, as some of
    Pipedrive's do (reference 3.1).
    """

    scale: Literal["tiny", "small", "medium", "large"] = "tiny"
    seed: int = 7
    plan: Literal["lite", "growth", "premium", "ultimate"] = "ultimate"
    seats: int = 5
    daily_budget: int | None = None
    host: str = "127.0.0.1"
    port: int = 0
    tokens: tuple[str, ...] = (DEFAULT_TOKEN,)
    company_id: int = 8_087_566
    company_name: str = "Sandbox Industries"
    company_domain: str = "sandbox-industries"
    now: str | None = None
    frozen: bool = False
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    index_lag_seconds: float = 0.0
    nulls_first: bool = True
    retry_after_header: bool = True
    daily_headers: bool = True
    abuse_block: bool = True
    burst_limit: int | None = None
    gzip: bool = False
    v1_empty_as_null: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Rows per main entity at this scale."""
        return SCALES[self.scale]

    @property
    def tokens_per_day(self) -> int:
        """The company's daily budget."""
        if self.daily_budget is not None:
            return self.daily_budget
        return 30_000 * DAILY_MULTIPLIER[self.plan] * self.seats

    @property
    def requests_per_window(self) -> int:
        """Requests one token may make in two seconds."""
        return self.burst_limit if self.burst_limit is not None else BURST_REQUESTS[self.plan]
