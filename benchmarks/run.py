"""Copies a sandbox account and prints what it took: ``python -m benchmarks.run [--scale small]``.

The sandbox runs in a process of its own and shares the machine's cores, so seconds are given beside a floor:
the time that the plan's burst limit would take for the same number of requests. JSON lies beside the table
in ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.floor import lowest_price
from pipedrive_assets.catalog import default_entities
from pipedrive_assets.sandbox.config import BURST_REQUESTS, DEFAULT_TOKEN
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.session import Session, open_session

COUNTS = ("rows", "requests", "tokens", "÷ floor")
TIMES = ("seconds", "÷ burst floor", "rows/s", "CPU s", "RSS +MB", "429")
RESULTS = Path(__file__).parent / "results"
WINDOW_SECONDS = 2.0
MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """One pass over all default entities."""

    what: str
    rows: int
    requests: int
    tokens: int
    floor_tokens: int
    seconds: float
    burst_floor_seconds: float
    rows_per_second: float
    cpu_seconds: float
    rss_above_start_mb: float
    refused_429: int


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="small", choices=["tiny", "small", "medium", "large"])
    parser.add_argument("--plan", default="ultimate", choices=list(BURST_REQUESTS))
    parser.add_argument("--latency-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    with (
        sandbox(arguments.scale, arguments.plan, arguments.latency_ms) as url,
        tempfile.TemporaryDirectory() as home,
    ):
        lowest = lowest_price(lambda entity: get(f"{url}/sandbox/rows/{entity}"), default_entities())
        settings = load_settings(
            {
                "DAGSTER_HOME": home,
                "PIPEDRIVE_TOKEN": DEFAULT_TOKEN,
                "PIPEDRIVE_BASE_URL": url,
                "PIPEDRIVE_PLAN": arguments.plan,
                "PIPEDRIVE_SEATS": "50",
            }
        )
        with open_session(settings) as session:
            session.account  # noqa: B018 - asked before the clock starts
            full = SyncOptions(mode=SyncMode.FULL)
            measured = [
                measure("full copy", session, full, url, arguments.plan, lowest),
                measure("nothing changed", session, SyncOptions(), url, arguments.plan, 0),
            ]
    show(measured, f"{arguments.scale}, {arguments.plan}, {arguments.latency_ms:g} ms")


def measure(what: str, session: Session, options: SyncOptions, url: str, plan: str, lowest: int) -> Measured:
    """Sync every default entity with ``options`` and count what the server saw."""
    process = psutil.Process()
    before, rss_before = len(get(f"{url}/sandbox/log")), process.memory_info().rss
    started, cpu_started = time.perf_counter(), time.process_time()
    results = [session.sync(entity, options) for entity in default_entities()]
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    requests = get(f"{url}/sandbox/log")[before:]
    rows = sum(result.fetched for result in results)
    return Measured(
        what=what,
        rows=rows,
        requests=len(requests),
        tokens=sum(request["cost"] for request in requests),
        floor_tokens=lowest,
        seconds=seconds,
        burst_floor_seconds=len(requests) / BURST_REQUESTS[plan] * WINDOW_SECONDS,
        rows_per_second=rows / seconds,
        cpu_seconds=cpu,
        rss_above_start_mb=(session.memory.peak_rss_bytes - rss_before) / MIB,
        refused_429=sum(request["status"] == 429 for request in requests),
    )


def show(measured: list[Measured], title: str) -> None:
    """Print the table and keep it as JSON."""
    table = Table(title=title)
    for name in (
        "",
        "rows",
        "requests",
        "tokens",
        "÷ floor",
        "seconds",
        "÷ burst floor",
        "rows/s",
        "CPU s",
        "RSS +MB",
        "429",
    ):
        table.add_column(name, justify="left" if not name else "right")
    for each in measured:
        table.add_row(
            each.what,
            f"{each.rows:,}",
            f"{each.requests:,}",
            f"{each.tokens:,}",
            f"{each.tokens / each.floor_tokens:.3f}" if each.floor_tokens else "",
            f"{each.seconds:.1f}",
            f"{each.seconds / each.burst_floor_seconds:.2f}",
            f"{each.rows_per_second:,.0f}",
            f"{each.cpu_seconds:.1f}",
            f"{each.rss_above_start_mb:.0f}",
            str(each.refused_429),
        )
    Console(width=130).print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{title.replace(', ', '-').replace(' ', '')}.json"
    path.write_text(json.dumps([asdict(each) for each in measured], indent=2))


@contextmanager
def sandbox(scale: str, plan: str, latency_ms: float) -> Iterator[str]:
    """A sandbox in its own process, with its pages written out beforehand; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipedrive_assets.sandbox", "--port", str(port), "--scale", scale]
    command += ["--plan", plan, "--seats", "50", "--latency-ms", str(latency_ms), "--warm"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until the sandbox answers; ``SystemExit`` if it ends instead."""
    while True:
        try:
            get(f"{url}/sandbox/state")
        except OSError:
            if process.poll() is not None:
                raise SystemExit("the sandbox did not start") from None
            time.sleep(0.1)
        else:
            return


def get(url: str) -> Any:
    """JSON of the sandbox's control API."""
    with urllib.request.urlopen(url, timeout=300) as answer:
        payload = json.load(answer)
    return payload.get("data", payload) if isinstance(payload, dict) else payload


if __name__ == "__main__":
    main()
