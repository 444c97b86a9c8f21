"""A process that syncs for weeks holds no more memory in the end than after its first few syncs."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from urllib3.connection import HTTPConnection

from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.sync.options import SyncOptions
from pipedrive_assets_tests.integration.conftest import OpenSession

SYNCS = 50
WARM_UP = 15
MOST_MB_PER_SYNC = 0.2
MOST_MB_IN_ALL = 15


def test_a_session_leaves_no_connection_behind(shared_sandbox: Sandbox, session_for: OpenSession) -> None:
    def connections() -> int:
        gc.collect()
        return sum(isinstance(each, HTTPConnection) for each in gc.get_objects())

    before = connections()
    for _ in range(3):
        with session_for(shared_sandbox) as session:
            session.sync("users", SyncOptions())
        del session
    assert connections() == before


@pytest.mark.soak
@pytest.mark.parametrize("way", ["library", "dagster"])
def test_fifty_repeated_syncs_in_one_process_do_not_grow(way: str, tmp_path: Path) -> None:
    with Sandbox.start(SandboxConfig(scale="small", seed=7)) as sandbox:
        ended = subprocess.run(
            [sys.executable, "-m", "pipedrive_assets_tests.sync_repeatedly", way, str(SYNCS)],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PIPEDRIVE_")},
                "DAGSTER_HOME": str(tmp_path),
                "PIPEDRIVE_TOKEN": sandbox.token,
                "PIPEDRIVE_BASE_URL": sandbox.url,
                "PIPEDRIVE_PLAN": "ultimate",
                "PIPEDRIVE_SEATS": "5",
            },
            capture_output=True,
            text=True,
            timeout=3000,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr[-2000:]
    held = json.loads(ended.stdout.splitlines()[-1])[WARM_UP:]
    slope = statistics.linear_regression(range(len(held)), held).slope
    growth = statistics.mean(held[-5:]) - statistics.mean(held[:5])
    print(f"{way}: {SYNCS} syncs, {held[0]:.0f} to {held[-1]:.0f} MB, {1000 * slope:+.0f} kB a sync")
    assert slope < MOST_MB_PER_SYNC
    assert growth < MOST_MB_IN_ALL
