"""Starts `dagster dev` as a person would, on a free port, with the repository's own instance settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_SECONDS = 90
ENDS_WITHIN_SECONDS = 120

LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


@dataclass
class Deployment:
    """A running `dagster dev` and the account it syncs from."""

    url: str
    env: Mapping[str, str]
    sandbox: Sandbox

    def ask(self, query: str, params: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": {"params": params}}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            (value,) = json.load(answer)["data"].values()
        return dict(value)

    def materialized(self, instance: dg.DagsterInstance, entity: str) -> list[str]:
        records = instance.fetch_materializations(entity_key(entity), limit=1000).records
        return sorted(record.partition_key or "" for record in records)


@contextmanager
def deployed(home: Path, sandbox: Sandbox, **variables: str) -> Iterator[Deployment]:
    """A webserver, daemon and code server for ``sandbox``; ended by their own process group."""
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", home)
    shutil.copy(ROOT / "workspace.yaml", home)
    port = free_port()
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PIPEDRIVE_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DAGSTER_HOME": str(home),
        "PIPEDRIVE_TOKEN": sandbox.token,
        "PIPEDRIVE_BASE_URL": sandbox.url,
        "PIPEDRIVE_PLAN": "ultimate",
        # Nothing may run by itself while a test looks on.
        "PIPEDRIVE_INCREMENTAL_SCHEDULE_ENABLED": "false",
        "PIPEDRIVE_HOURLY_SCHEDULE_ENABLED": "false",
        "PIPEDRIVE_CUSTOM_FIELDS_SCHEDULER_ENABLED": "false",
        **{f"PIPEDRIVE_{name.upper()}": value for name, value in variables.items()},
    }
    with (home / "dev.log").open("w") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), "dev", "--host", "127.0.0.1", "--port", str(port)],
            # Not in the checkout: Dagster prefers a developer's .env there, with a real account, to ``env``.
            cwd=home,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deployment = Deployment(f"http://127.0.0.1:{port}", env, sandbox)
            until(lambda: answers(f"{deployment.url}/server_info"), STARTS_WITHIN_SECONDS)
            yield deployment
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ended(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    """Wait for a run's end; how it ended."""

    def status() -> dg.DagsterRunStatus:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    ends = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    until(lambda: status() in ends, ENDS_WITHIN_SECONDS)
    return status()


def answers(url: str) -> bool:
    """Whether a server answers there, and well."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Poll another process; there is nothing to wait on but time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"did not come true within {seconds} s"
        time.sleep(0.2)
