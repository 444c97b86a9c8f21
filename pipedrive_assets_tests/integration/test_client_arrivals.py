"""The burst window as the server counts it: by arrivals, which lie anywhere between sending and answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets_tests.scripted_server import Reply, ScriptedServer, Seen
from pipedrive_assets_tests.wiring import wired

LIMIT = 20
"""Requests per window of the smallest plan."""


class Network:
    """A server behind a way that takes time: longer on a new connection, and back again."""

    def __init__(self, *, connecting: float = 0.0, answering: float = 0.0) -> None:
        self.arrivals: list[float] = []
        self._connecting = connecting
        self._answering = answering
        self._known: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Reply:
        with self._lock:
            cold = seen.client not in self._known
            self._known.add(seen.client)
        if cold:
            time.sleep(self._connecting)
        with self._lock:
            self.arrivals.append(time.monotonic())
        time.sleep(self._answering)
        return Reply()

    def most_in_a_window(self) -> int:
        times = sorted(self.arrivals)
        return max(sum(start <= other < start + 2.0 for other in times) for start in times)


@contextmanager
def client_of(network: Network, folder: Path) -> Iterator[PipedriveClient]:
    with ScriptedServer(network).running() as server:
        environment = {
            "DAGSTER_HOME": str(folder),
            "PIPEDRIVE_TOKEN": "1" * 40,
            "PIPEDRIVE_BASE_URL": server.url,
            "PIPEDRIVE_PLAN": "lite",
        }
        with wired(load_settings(environment), SystemClock()) as parts:
            yield parts.client


def ask(client: PipedriveClient, times: int, *, threads: int) -> None:
    def one(_: int) -> None:
        client.get(Version.V2, "/stages", cost=5, lane=Lane.INCREMENTAL)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(times)))


@pytest.mark.parametrize("connecting", [0.25, 2.4])
def test_slow_new_connections_do_not_let_the_window_overflow(connecting: float, tmp_path: Path) -> None:
    network = Network(connecting=connecting)
    with client_of(network, tmp_path) as client:
        ask(client, 3 * LIMIT, threads=8)
    assert len(network.arrivals) == 3 * LIMIT
    assert network.most_in_a_window() <= LIMIT


def test_a_constant_latency_costs_no_throughput(tmp_path: Path) -> None:
    network = Network(answering=0.15)
    with client_of(network, tmp_path) as client:
        ask(client, 3 * LIMIT + 1, threads=12)
    assert network.most_in_a_window() <= LIMIT
    # Two windows of 2 s with their margins of 0.1 s, once all connections are open.
    times = sorted(network.arrivals)
    assert times[3 * LIMIT] - times[LIMIT] < 2 * 2.1 + 0.25
