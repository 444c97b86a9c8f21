"""A sync may be killed at any moment: the next one goes on where it was, and pays for hardly a page twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import pytest

from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.chaos import children
from pipedrive_assets_tests.chaos.children import Child, Task
from pipedrive_assets_tests.chaos.conftest import EnvironmentFor
from pipedrive_assets_tests.chaos.schedules import replayable, seeds
from pipedrive_assets_tests.equality import assert_equal_copy

TASK = Task(("notes", "deals", "activities"))
"""A list by offset, whose only way on is its stored position, and lists by cursor; 8 to 80 pages each."""
PAGE_ROWS = {"max_batch_size": 20, "min_batch_size": 20}

UNCOMMITTED_PAGES = 10
"""Pages gathered between two commits are lost with the process that gathered them."""
PAGES_PAID_AGAIN = UNCOMMITTED_PAGES + 1
"""Of the list that is resumed, at most one page is fetched again besides."""

MOMENTS = ("commit", "request", "answer", "time")


@dataclass
class Toll:
    """What the kills of one test did; ``paid_again``: pages that each sync after a kill fetched again."""

    kills: Counter[str] = field(default_factory=Counter)
    inside_commit: int = 0
    paid_again: list[int] = field(default_factory=list)
    copies: int = 0

    def __str__(self) -> str:
        again = self.paid_again
        return (
            f"{self.kills.total()} kills ({dict(self.kills)}, {self.inside_commit} inside a commit),"
            f" {self.copies} equal copies, pages paid again after a kill: {sum(again) / len(again):.1f}"
            f" on average, {max(again)} at most"
        )


@pytest.mark.parametrize("seed", seeds([11]))
def test_a_killed_sync_is_resumed_to_an_equal_copy(
    environment_for: EnvironmentFor, tmp_path: Path, seed: int
) -> None:
    kill_and_resume(environment_for, tmp_path, seed, kills=6)


@pytest.mark.soak
@pytest.mark.parametrize("seed", seeds([random.SystemRandom().getrandbits(32)]))
def test_a_hundred_killed_syncs_are_resumed_to_equal_copies(
    environment_for: EnvironmentFor, tmp_path: Path, seed: int
) -> None:
    kill_and_resume(environment_for, tmp_path, seed, kills=100)


def kill_and_resume(environment_for: EnvironmentFor, tmp_path: Path, seed: int, *, kills: int) -> None:
    """Kill ``kills`` syncs; whenever one comes through, compare, and begin again with nothing."""
    toll = Toll()
    with replayable(seed) as drawn, Sandbox.start(SandboxConfig(scale="small", burst_limit=5000)) as sandbox:
        while toll.kills.total() < kills:
            environment = environment_for(sandbox, home=tmp_path / f"home-{toll.copies}", **PAGE_ROWS)
            sandbox.log.clear()
            again, came_through = 0, False
            while not came_through:
                if toll.kills.total() < kills:
                    came_through = not one_kill(sandbox, environment, drawn, toll)
                else:
                    children.start(environment, TASK).finish()
                    came_through = True
                toll.paid_again.append(pages_paid_again(sandbox) - again)
                again += toll.paid_again[-1]
            check_copy(sandbox, environment)
            toll.copies += 1
    print(f"seed {seed}: {toll}")
    assert max(toll.paid_again) <= PAGES_PAID_AGAIN, toll
    assert toll.inside_commit, toll


def one_kill(sandbox: Sandbox, environment: Mapping[str, str], drawn: Random, toll: Toll) -> bool:
    """Start a sync and kill it at a random point; False if it came through before.

    That point is while a page is asked for, some milliseconds after a page was, after a random time, or while
    a transaction is being written.
    """
    moment = MOMENTS[toll.kills.total() % len(MOMENTS)]
    page, commits = drawn.randint(1, 40), drawn.randint(1, 4)
    pause, seconds = drawn.uniform(0.0, 0.03), drawn.uniform(0.05, 1.5)
    log = Path(load_settings(environment).warehouse + ".wal")
    child = children.start(environment, TASK)
    with page_counter(sandbox, page, child if moment == "request" else None) as reached:
        match moment:
            case "request":
                wait_until(child, lambda: False)
            case "answer":
                wait_until(child, reached.is_set)
                time.sleep(pause)
            case "time":
                ends = time.monotonic() + seconds
                wait_until(child, lambda: time.monotonic() >= ends)
            case "commit":
                for _ in range(commits - 1):
                    wait_until(child, log.exists)
                    wait_until(child, lambda: not log.exists())
                wait_until(child, log.exists)
        killed = child.kill()
    if not killed:
        child.finish()
        return False
    toll.kills[moment] += 1
    toll.inside_commit += log.exists()
    return True


@contextmanager
def page_counter(sandbox: Sandbox, page: int, victim: Child | None) -> Iterator[threading.Event]:
    """An event that is set when so many pages have been asked for; a victim is killed before the answer."""
    reached, numbers = threading.Event(), count(1)

    def before_page(version: str, path: str, params: dict[str, str]) -> None:
        if next(numbers) == page:
            reached.set()
            if victim is not None:
                os.kill(victim.pid, signal.SIGKILL)

    sandbox.account.hook_before_page(before_page)
    try:
        yield reached
    finally:
        sandbox.account.hooks.remove(before_page)


def wait_until(child: Child, happened: Callable[[], bool]) -> None:
    """Wait, closely, for something to happen while a child runs."""
    while child.running and not happened():
        time.sleep(0.0002)


def pages_paid_again(sandbox: Sandbox) -> int:
    """Pages that were answered more than once; asking for what has changed since is no such page."""
    answered = Counter(
        (record.path, *sorted(record.params.items()))
        for record in sandbox.log
        if record.status == 200 and ("updated_since" not in record.params or "cursor" in record.params)
    )
    return sum(times - 1 for times in answered.values())


def check_copy(sandbox: Sandbox, environment: Mapping[str, str]) -> None:
    """The copy is equal, and the ledger knows of at least what the server has charged."""
    with open_session(load_settings(environment)) as session:
        with session.warehouse.together():
            assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in TASK.entities})
        budget = session.budget()
        assert budget.spent + budget.reserved >= sandbox.log.tokens
