"""The README's way into the UI without an account, as a person types and ends it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from pipedrive_assets_tests.e2e.deployment import ROOT, STARTS_WITHIN_SECONDS, answers, free_port, until

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or not (ROOT / ".venv" / "run").exists(),
    reason="make has not installed this checkout",
)


def test_the_ui_over_the_built_in_account_starts_and_ends_together_with_it(tmp_path: Path) -> None:
    ui, look_alike = free_port(), free_port()
    command = ["make", "dev-demo", f"DEV_PORT={ui}", f"SANDBOX_PORT={look_alike}", f"DEMO_HOME={tmp_path}"]
    # A real account's settings in the shell must not reach it.
    shell = {**os.environ, "PIPEDRIVE_TOKEN": "f" * 40, "PIPEDRIVE_COMPANY_DOMAIN": "a-real-one"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=shell, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            until(lambda: answers(f"http://127.0.0.1:{ui}/server_info"), STARTS_WITHIN_SECONDS)
            assert answers(f"http://127.0.0.1:{look_alike}/sandbox/state")
        finally:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole group
            try:
                process.wait(30)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(10)
    assert not _listens(ui)
    assert not _listens(look_alike)
    assert (tmp_path / "dagster.yaml").exists()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
