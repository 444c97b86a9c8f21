"""What the tests of this folder share: a home of its own for each test, and settings that lose no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest

from pipedrive_assets.sandbox import Sandbox


class EnvironmentFor(Protocol):
    """The variables of a process that syncs a sandbox; keywords are settings in lower case."""

    def __call__(self, sandbox: Sandbox, **variables: Any) -> dict[str, str]: ...


@pytest.fixture
def environment_for(tmp_path: Path) -> EnvironmentFor:
    def build(sandbox: Sandbox, *, home: Path = tmp_path, **variables: Any) -> dict[str, str]:
        settings = {
            "token": sandbox.token,
            "base_url": sandbox.url,
            "plan": "ultimate",
            "max_batch_size": 5,
            "min_batch_size": 5,
            # Retries and pauses as ever, but none that a test would have to sit through.
            "rate_limit_max_delay": 0.05,
            "circuit_breaker_timeout": 0.2,
            **variables,
        }
        return {
            "DAGSTER_HOME": str(home),
            **{f"PIPEDRIVE_{name.upper()}": str(value) for name, value in settings.items()},
        }

    return build
