"""Syncs in processes of their own, which can be killed, starved of disk, or left to finish.

A fork server that has imported the product once starts a child within milliseconds; each child is a real
process with its own engine, connections and locks. It reports by lines of JSON in a file, so that a killed
one still tells how far it came, and logs into a file beside it.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipedrive_assets.exceptions import PipedriveCircuitOpenException, PipedriveException
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions
from pipedrive_assets.sync.session import Session, open_session
from pipedrive_assets_tests.clocks import ShiftedClock

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Task:
    """What a child does: sync each entity, ``rounds`` times over.

    ``file_bytes`` is the size beyond which no file may grow, as on a full disk. Where the breaker is open the
    child waits until it may try again, at most ``wait_for_breaker`` times an entity. ``clock_shift`` is how
    many seconds its clock is ahead of this machine's.
    """

    entities: tuple[str, ...]
    rounds: int = 1
    mode: SyncMode = SyncMode.INCREMENTAL
    source: Source = Source.CLI
    file_bytes: int | None = None
    wait_for_breaker: int = 0
    clock_shift: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """One sync of one entity, or the opening of the session; ``status`` is ``error`` where it raised."""

    entity: str
    status: str
    reason: str
    pages: int = 0
    created: int = 0


class Child:
    """A process that works on a task; use :func:`start`."""

    def __init__(self, environment: Mapping[str, str], task: Task, report: Path) -> None:
        self._report = report
        self._process = _FORKS.Process(target=_work, args=(dict(environment), task, str(report)), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> bool:
        """SIGKILL; whether that is what ended it."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._process.join(PATIENCE_SECONDS)
        return self._process.exitcode == -signal.SIGKILL

    def finish(self) -> list[Outcome]:
        """Wait for its orderly end; what it reported."""
        self._process.join(PATIENCE_SECONDS)
        if self.running:
            self.kill()
            raise AssertionError(f"a sync did not end within {PATIENCE_SECONDS:g} s: {self.log}")
        assert self._process.exitcode == 0, f"exit code {self._process.exitcode}: {self.log}"
        return self.outcomes

    @property
    def outcomes(self) -> list[Outcome]:
        """What it has reported so far."""
        text = self._report.read_text() if self._report.exists() else ""
        return [Outcome(**json.loads(line)) for line in text.splitlines()]

    @property
    def log(self) -> str:
        """The end of its log."""
        return _log_of(self._report).read_text()[-4000:] if _log_of(self._report).exists() else "no log"


def start(environment: Mapping[str, str], task: Task) -> Child:
    """Start a child whose settings are ``environment``; it reports into its ``DAGSTER_HOME``."""
    home = Path(environment["DAGSTER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    return Child(environment, task, home / f"report-{time.monotonic_ns()}.jsonl")


def _log_of(report: Path) -> Path:
    return report.with_suffix(".log")


def _work(environment: dict[str, str], task: Task, report: str) -> None:
    level = logging.INFO
    if task.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (task.file_bytes, task.file_bytes))
        level = logging.CRITICAL  # the log is a file too
    logging.basicConfig(
        filename=_log_of(Path(report)), level=level, format="%(asctime)s %(name)s %(message)s"
    )
    with Path(report).open("a", buffering=1) as lines:
        try:
            with open_session(load_settings(environment), clock=ShiftedClock(task.clock_shift)) as session:
                for outcome in _outcomes(session, task):
                    lines.write(json.dumps(outcome) + "\n")
        except PipedriveException as error:
            failed = {"entity": "session", "status": "error", "reason": f"{type(error).__name__}: {error}"}
            lines.write(json.dumps(failed) + "\n")


def _outcomes(session: Session, task: Task) -> Iterator[dict[str, Any]]:
    options = SyncOptions(mode=task.mode, source=task.source)
    for _ in range(task.rounds):
        for entity in task.entities:
            yield _sync(session, entity, options, task.wait_for_breaker)


def _sync(session: Session, entity: str, options: SyncOptions, waits: int) -> dict[str, Any]:
    for attempt in range(waits + 1):
        try:
            result = session.sync(entity, options)
        except PipedriveCircuitOpenException as closed:
            if attempt < waits:
                time.sleep(min(10.0, closed.retry_after or 0.0) + 0.01)
                continue
            return {"entity": entity, "status": "error", "reason": str(closed)}
        except PipedriveException as error:
            return {"entity": entity, "status": "error", "reason": f"{type(error).__name__}: {error}"}
        return {
            "entity": entity,
            "status": result.status.value,
            "reason": result.reason,
            "pages": result.pages,
            "created": result.created,
        }
    raise AssertionError("unreachable")
