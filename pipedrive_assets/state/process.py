"""Who owns a reservation or a lease, and whether that process still lives.

A pid alone is not an identity: it is reused, and containers on one machine count their own. An owner is
therefore (host with pid namespace, pid, start time of the process).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

START_TOLERANCE_SECONDS = 2.0
"""Start times are computed from the boot time, which moves a little when the wall clock is corrected."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One operating-system process, told apart from a later one with the same pid."""

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> ProcessId:
        """The calling process."""
        return _process(os.getpid())

    def known_dead(self, observer: ProcessId) -> bool:
        """Whether ``observer`` can tell that this process is gone; False for a process of another host."""
        if self.host != observer.host:
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(process.create_time() - self.started) > START_TOLERANCE_SECONDS
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started:.2f}"


@lru_cache(maxsize=1)
def _process(pid: int) -> ProcessId:
    """By pid, so that a forked child does not take itself for its parent."""
    return ProcessId(host=_host(), pid=pid, started=psutil.Process(pid).create_time())


def _host() -> str:
    """Host name and pid namespace: two containers may share the one, never both."""
    namespace = Path("/proc/self/ns/pid")
    try:
        return f"{socket.gethostname()}/{namespace.readlink().name}"
    except OSError:
        return socket.gethostname()
