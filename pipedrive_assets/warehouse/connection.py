"""Opens the warehouse for one operation at a time, and says who is in the way when it cannot.

A DuckDB file belongs to one process while it is open for writing. So it is attached per operation, under a
lock file that our own processes queue on, and detached again. DuckDB itself (threads, buffers: 14 ms to
start, measured) stays warm in memory between operations; attaching and detaching takes 1 ms.

A target with a scheme (``ducklake:``, ``md:``) serves many writers itself and takes no lock file.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import duckdb
import filelock
import psutil

from pipedrive_assets.clock import Clock
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.warehouse.duckdb_errors import in_one_line, is_busy, meaning
from pipedrive_assets.warehouse.names import CATALOG_ALIAS, literal

Result = TypeVar("Result")
logger = get_logger(__name__)

_POLL_SECONDS = 0.02
_CONFLICT_ATTEMPTS = 6
_SCHEME = re.compile(r"^[a-z][a-z0-9]+:", re.IGNORECASE)
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


class Connector:
    """Attaches ``target`` for the length of one operation.

    ``target`` is a file path or an ATTACH string with a scheme; ``lock_timeout`` is in seconds. Threads of
    one process take turns, and so do processes.
    """

    def __init__(
        self, target: str, *, lock_timeout: float, memory_limit_mb: int, threads: int, clock: Clock
    ) -> None:
        if not target or target.startswith(":memory:"):
            raise PipedriveWarehouseException(
                "PIPEDRIVE_WAREHOUSE must name a file or a catalog; one in memory would forget every batch"
            )
        # One letter and a colon is a drive, not a scheme.
        self.path: Path | None = None if _SCHEME.match(target) else Path(target).expanduser().absolute()
        self.target = str(self.path or target)
        self._lock_timeout = lock_timeout
        self._memory_limit_mb = memory_limit_mb
        self._threads = threads
        self._clock = clock
        self._turn = threading.Lock()
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._engine_pid = 0

    def exists(self) -> bool:
        """Whether there may be anything to read; never creates anything."""
        return self.path is None or self.path.exists()

    @contextmanager
    def open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with the warehouse attached as ``warehouse``; detached on leaving.

        Raises ``PipedriveWarehouseException`` where the file is held by somebody else for longer than the
        lock timeout (naming the process), is damaged, is of a newer format, or cannot be reached; and for
        every DuckDB error inside the block. Nothing is ever overwritten.
        """
        deadline = self._clock.monotonic() + self._lock_timeout
        if not self._turn.acquire(timeout=self._lock_timeout):
            raise self._busy(f"another thread of this process ({os.getpid()})")
        try:
            with self._file_lock(deadline, read_only=read_only):
                connection = self._attached(deadline, read_only=read_only)
                try:
                    yield connection
                except duckdb.Error as error:
                    raise self._failed(error) from error
                finally:
                    self._detach(connection)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Stop DuckDB; the next operation starts it again."""
        with self._turn:
            if self._engine is not None and self._engine_pid == os.getpid():
                self._engine.close()
            self._engine = None

    def _attached(self, deadline: float, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        mode = " (READ_ONLY)" if read_only else ""
        announced = False
        while True:
            connection = self._warm_engine().cursor()
            try:
                connection.execute(f"ATTACH {literal(self.target)} AS {CATALOG_ALIAS}{mode}")
            except duckdb.Error as error:
                connection.close()
                if not is_busy(error):
                    raise self._failed(error, "cannot be opened") from error
                held = _HOLDER.search(str(error))
                who = f"{held['program']} (pid {held['pid']})" if held else in_one_line(error)
                if self._clock.monotonic() >= deadline:
                    raise self._busy(who) from error
                if not announced:
                    log_event(logger, "warehouse_waited_for", warehouse=self.target, holder=who)
                    announced = True
                self._clock.sleep(_POLL_SECONDS)
            else:
                return connection

    def _detach(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.close()  # rolls back what was left open, else DETACH would wait for it
        engine = self._warm_engine()
        try:
            with engine.cursor() as cursor:
                cursor.execute(f"DETACH {CATALOG_ALIAS}")
        except duckdb.Error as error:
            # A full disk, say. What was committed is in the write-ahead log; a DuckDB that still holds the
            # file would only be in the way of the next operation.
            engine.close()
            self._engine = None
            raise self._failed(error, "could not be closed in order") from error

    def _warm_engine(self) -> duckdb.DuckDBPyConnection:
        # DuckDB's threads do not survive a fork: a child process starts its own.
        if self._engine is None or self._engine_pid != os.getpid():
            config: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": f"{self._memory_limit_mb}MB",
                "threads": self._threads,
                # Else a name that is no table would be looked up among the variables of our own functions.
                "python_enable_replacements": False,
            }
            if self.path is not None:
                config["temp_directory"] = f"{self.path}.tmp"
            self._engine = duckdb.connect(":memory:", config=config)
            self._engine_pid = os.getpid()
        return self._engine

    @contextmanager
    def _file_lock(self, deadline: float, *, read_only: bool) -> Iterator[None]:
        if self.path is None:
            yield
            return
        # A lock object per operation: one shared object would count entries of this process, not owners.
        lock = filelock.FileLock(f"{self.path}.lock", thread_local=False)
        if not self._acquired(lock, deadline, read_only=read_only):
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _acquired(self, lock: filelock.BaseFileLock, deadline: float, *, read_only: bool) -> bool:
        assert self.path is not None  # noqa: S101 - for the type checker
        while True:
            try:
                if not read_only:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(blocking=False)
            except filelock.Timeout as error:
                if self._clock.monotonic() >= deadline:
                    raise self._busy(_holder_of(self.path)) from error
                self._clock.sleep(_POLL_SECONDS)
            except OSError as error:
                if read_only:  # where no lock file can be made, nobody of ours can be writing
                    return False
                raise PipedriveWarehouseException(
                    f"{self.path.parent} cannot be written to ({error.strerror or error}); "
                    "set PIPEDRIVE_WAREHOUSE to a file in a writable folder"
                ) from error
            else:
                return True

    def _busy(self, who: str) -> PipedriveWarehouseException:
        return PipedriveWarehouseException(
            f"{self.target} is held by {who}, waited for {self._lock_timeout:g} s; close it there, "
            "or raise PIPEDRIVE_WAREHOUSE_LOCK_TIMEOUT. Progress is kept",
            retryable=True,
        )

    def _failed(self, error: duckdb.Error, otherwise: str = "") -> PipedriveWarehouseException:
        """``error`` with what it means, or ``otherwise`` where that is not known."""
        said = in_one_line(error)
        told = meaning(error) or otherwise
        return PipedriveWarehouseException(
            f"{self.target} {told} ({said})" if told else f"{self.target}: {said}"
        )


def in_transaction(
    connection: duckdb.DuckDBPyConnection, work: Callable[[], Result], *, clock: Clock
) -> Result:
    """Run ``work`` in one transaction and return its result; everything is rolled back on an error.

    Where another writer of a shared catalog came first, the whole of it is done again, a few times.
    """
    attempt = 0
    while True:
        attempt += 1
        connection.execute("BEGIN TRANSACTION")
        try:
            result = work()
            connection.execute("COMMIT")
        except BaseException as error:
            _roll_back(connection)
            if not isinstance(error, duckdb.TransactionException) or attempt >= _CONFLICT_ATTEMPTS:
                raise
            clock.sleep(_POLL_SECONDS * 2**attempt)
        else:
            return result


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.TransactionException):  # a failed COMMIT has ended the transaction already
        connection.execute("ROLLBACK")


def _holder_of(path: Path) -> str:
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(Path(file.path) == path for file in process.open_files()):
                return f"{process.name()} (pid {process.pid})"
        except psutil.Error:
            continue
    return "another process"
