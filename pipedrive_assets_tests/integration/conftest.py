"""A sandbox account, a warehouse and a state store of its own for each test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.sync.session import Session, open_session

SettingsFor = Callable[..., PipedriveSettings]
OpenSession = Callable[..., AbstractContextManager[Session]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", seed=7, plan="ultimate")) as running:
        yield running


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    """For files whose tests only read: one account for all of them."""
    with Sandbox.start(SandboxConfig(scale="tiny", seed=7, plan="ultimate")) as running:
        yield running


@pytest.fixture
def settings_for(tmp_path: Path) -> SettingsFor:
    """Settings for a sandbox, with warehouse and state below the test's own folder."""

    def build(sandbox: Sandbox, folder: Path | None = None, **variables: Any) -> PipedriveSettings:
        environment = {
            "DAGSTER_HOME": str(folder or tmp_path),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_PLAN": "ultimate",
            "PIPEDRIVE_WAREHOUSE_LOCK_TIMEOUT": "20",
            **{f"PIPEDRIVE_{name.upper()}": str(value) for name, value in variables.items()},
        }
        return load_settings(environment)

    return build


@pytest.fixture
def session_for(settings_for: SettingsFor) -> OpenSession:
    """Opens a session for a sandbox; keywords are settings in lower case."""

    def build(
        sandbox: Sandbox, *, run_id: str | None = None, clock: Clock | None = None, **variables: Any
    ) -> AbstractContextManager[Session]:
        return open_session(settings_for(sandbox, **variables), run_id=run_id, clock=clock or SystemClock())

    return build


@pytest.fixture
def fresh_definitions() -> Iterator[None]:
    """Definitions of this test's environment: the module builds them once, where it is first imported."""
    sys.modules.pop("pipedrive_assets.definitions", None)
    yield
    sys.modules.pop("pipedrive_assets.definitions", None)
