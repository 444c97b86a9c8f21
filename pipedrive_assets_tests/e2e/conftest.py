"""A sandbox account, and a Dagster instance with warehouse and state of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets_tests.e2e.world import MakeWorld, World


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", seed=7)) as running:
        yield running


@pytest.fixture
def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    instances: list[dg.DagsterInstance] = []

    def build(sandbox: Sandbox, name: str = "home", **variables: Any) -> World:
        home = tmp_path / name
        home.mkdir()
        env = {
            "DAGSTER_HOME": str(home),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_PLAN": "ultimate",
            "PIPEDRIVE_WAREHOUSE": str(home / "warehouse.duckdb"),
            "PIPEDRIVE_STATE_URL": f"sqlite:///{home / 'state.db'}",
            "PIPEDRIVE_JOB_MAX_TRIES": "1",
            **{f"PIPEDRIVE_{key.upper()}": str(value) for key, value in variables.items()},
        }
        # In memory: an event on disk costs ten times as much, and only killed processes need one.
        instance = dg.DagsterInstance.ephemeral(str(home))
        instances.append(instance)
        settings = load_settings(env)
        world = World(env, instance, settings, build_defs(settings), monkeypatch)
        world.enter()
        return world

    yield build
    for instance in instances:
        instance.dispose()


@pytest.fixture
def world(make_world: MakeWorld, sandbox: Sandbox) -> World:
    return make_world(sandbox)
