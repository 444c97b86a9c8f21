from __future__ import annotations

from pathlib import Path

from pipedrive_assets.defs.known_budget import LastLimits, last_limits
from pipedrive_assets.defs.pricing import CORE, plan_schedules
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.settings import load_settings
from pipedrive_assets_tests.integration.conftest import OpenSession, SettingsFor


def test_schedules_are_priced_against_the_budget_that_the_last_answer_named(
    sandbox: Sandbox, session_for: OpenSession, settings_for: SettingsFor
) -> None:
    settings = settings_for(sandbox, plan="")
    assert last_limits(settings) == LastLimits()
    with session_for(sandbox, plan="") as session:
        session.sync("users")
    assert last_limits(settings) == (sandbox.limits.budget, sandbox.config.requests_per_window)
    before = plan_schedules(settings)
    after = plan_schedules(settings, header_limit=last_limits(settings).daily)
    assert before[CORE].interval_minutes > after[CORE].interval_minutes == 15
    assert after.budget_origin == "header"


def test_asking_for_the_known_budget_creates_nothing_and_never_fails(tmp_path: Path) -> None:
    state = tmp_path / "storage" / "pipedrive_state.db"
    settings = load_settings({"DAGSTER_HOME": str(tmp_path), "PIPEDRIVE_TOKEN": "0" * 40})
    assert last_limits(settings) == LastLimits()
    assert not state.parent.exists()
    state.parent.mkdir()
    state.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    assert last_limits(settings) == LastLimits()
