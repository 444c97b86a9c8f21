"""One database for many threads and processes: engine, transactions, and all that depends on the dialect.

Every read-modify-write runs in :meth:`Database.begin`. On SQLite that is ``BEGIN IMMEDIATE``: a deferred
transaction that reads first and writes later fails at once when another writer came between, whatever the
busy timeout. A future dialect is added here and nowhere else in ``state/``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, Executable, Table, bindparam, create_engine, event
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pipedrive_assets.exceptions import PipedriveStateException
from pipedrive_assets.state.sqlite_errors import is_busy, meaning

BUSY_TIMEOUT_SECONDS = 60.0
READ_ONLY = "pipedrive_read_only"


class Database:
    """An engine and the transactions of this process on it; threads and forked children may share it."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._engine = _sqlite_engine(self._url)
        self._pid = os.getpid()
        self._writer = threading.RLock()
        self._joined = threading.local()

    @property
    def place(self) -> str:
        """Where the database is, fit for messages: never with a password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One atomic read-modify-write; a nested call of the same thread joins the outer transaction.

        Threads of this process queue on a lock first: SQLite's own waiting is a sleep that doubles, and
        thirty threads sleeping out of turn are far slower than thirty threads in a row.
        """
        self._after_fork()
        joined: Connection | None = getattr(self._joined, "connection", None)
        if joined is not None:
            yield joined
            return
        with self._writer, self._reported(), self._engine.connect() as connection, connection.begin():
            self._joined.connection = connection
            try:
                yield connection
            finally:
                self._joined.connection = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view that waits for no writer; inside :meth:`begin` it sees that transaction."""
        self._after_fork()
        joined: Connection | None = getattr(self._joined, "connection", None)
        if joined is not None:
            yield joined
            return
        with self._reported(), self._engine.connect() as raw:
            connection = raw.execution_options(**{READ_ONLY: True})
            with connection.begin():
                yield connection

    @contextmanager
    def creation_lock(self) -> Iterator[None]:
        """Held while tables are created or migrated, so that only one process does it."""
        lock = FileLock(f"{self._url.database}.lock", timeout=BUSY_TIMEOUT_SECONDS)
        try:
            lock.acquire()
        except OSError as error:
            raise PipedriveStateException(
                f"the state store at {self.place} cannot be locked ({error.strerror or error}); set"
                " PIPEDRIVE_STATE_URL (or DAGSTER_HOME) to a file in a writable folder"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def upsert(
        self,
        connection: Connection,
        table: Table,
        values: Mapping[str, Any],
        *,
        add: tuple[str, ...] = (),
        keep: tuple[str, ...] = (),
    ) -> None:
        """Insert one row; where its key exists, replace the other columns, but sum those in ``add``.

        Columns in ``keep`` are set on insertion only.
        """
        connection.execute(_upsert(table, tuple(values), add, keep), dict(values))

    def use_write_ahead_log(self) -> None:
        """Let readers go on beside a writer; a property of the file, kept by it."""
        with self._reported(), self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 - for the type checker
            driver.execute("PRAGMA journal_mode = WAL").close()

    def close(self) -> None:
        """Close every connection of this process."""
        self._engine.dispose(close=os.getpid() == self._pid)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise PipedriveStateException(
                f"the state store at {self.place} {meaning(cause)} ({cause})", retryable=is_busy(cause)
            ) from error

    def _after_fork(self) -> None:
        """A child must neither use its parent's connections nor wait for a lock that nobody here holds."""
        if os.getpid() != self._pid:
            self._engine.dispose(close=False)
            self._writer = threading.RLock()
            self._joined = threading.local()
            self._pid = os.getpid()


@cache
def _upsert(table: Table, names: tuple[str, ...], add: tuple[str, ...], keep: tuple[str, ...]) -> Executable:
    """Built once for each use: composing a statement takes ten times as long as running it."""
    insert = sqlite_insert(table).values({name: bindparam(name) for name in names})
    keys = [column.name for column in table.primary_key]
    changed = {
        name: (table.c[name] + insert.excluded[name]) if name in add else insert.excluded[name]
        for name in names
        if name not in keys and name not in keep
    }
    return insert.on_conflict_do_update(index_elements=keys, set_=changed)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise PipedriveStateException(
            "PIPEDRIVE_STATE_URL is not a database URL; use sqlite:////absolute/path/state.db"
        ) from error
    if parsed.get_backend_name() != "sqlite":
        raise PipedriveStateException(
            f"PIPEDRIVE_STATE_URL names {parsed.get_backend_name()!r}; this version keeps its state in SQLite"
        )
    if parsed.database in (None, "", ":memory:"):
        raise PipedriveStateException(
            "the state store must be a file that other processes can share; use sqlite:////absolute/path/state.db"
        )
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    """SQLite in WAL mode whose transactions are begun by us, not by the driver."""
    folder = Path(url.database or "").absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PipedriveStateException(
            f"the folder of the state store, {folder}, cannot be made ({error.strerror or error}); set"
            " PIPEDRIVE_STATE_URL (or DAGSTER_HOME) to a file in a writable folder"
        ) from error
    # No bound on connections: writers queue on a lock already, and a second queue would only add timeouts.
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
        pool_size=4,
        max_overflow=-1,
        pool_reset_on_return=None,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            # In WAL mode this survives a killed process; only a power cut may lose the last commits.
            cursor.execute("PRAGMA synchronous = NORMAL")
        finally:
            cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
