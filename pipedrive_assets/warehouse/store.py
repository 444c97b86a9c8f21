"""``Warehouse``: everything other rooms may ask; one connection an operation, one transaction a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.clock import Clock
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.redaction import redact
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.warehouse import (
    account,
    changes,
    coverage,
    merge,
    positions,
    quarantine,
    reader,
    runs,
    schema,
    streams,
)
from pipedrive_assets.warehouse.account import BoundCompany
from pipedrive_assets.warehouse.batch import Batch, MergeCounts, Position
from pipedrive_assets.warehouse.connection import Connector, in_transaction
from pipedrive_assets.warehouse.intervals import IntervalSet
from pipedrive_assets.warehouse.moments import now_sql

Result = TypeVar("Result")


class Warehouse:
    """The attached warehouse; safe to share between threads, which then take turns.

    ``target`` is a file path or an ATTACH string, ``lock_timeout`` seconds to wait for whoever holds it.
    Every method raises ``PipedriveWarehouseException`` where the warehouse cannot be used; a method that
    only reads never creates a file, and finds nothing in one that does not exist.
    """

    def __init__(
        self, target: str, *, lock_timeout: float, memory_limit_mb: int, threads: int, clock: Clock
    ) -> None:
        self._connector = Connector(
            target, lock_timeout=lock_timeout, memory_limit_mb=memory_limit_mb, threads=threads, clock=clock
        )
        self._clock = clock
        self._ensured: set[EntitySpec] = set()
        self._held = threading.local()

    @classmethod
    def from_settings(
        cls, settings: PipedriveSettings, clock: Clock, *, lock_timeout: float | None = None
    ) -> Warehouse:
        """The warehouse of ``settings``; ``lock_timeout`` in seconds stands in for theirs."""
        return cls(
            settings.warehouse,
            lock_timeout=settings.warehouse_lock_timeout if lock_timeout is None else lock_timeout,
            memory_limit_mb=settings.warehouse_memory_limit_mb,
            threads=settings.warehouse_threads,
            clock=clock,
        )

    @property
    def target(self) -> str:
        """Where the warehouse is, to be shown: an absolute path, or the ATTACH string without passwords."""
        return redact(self._connector.target)

    def close(self) -> None:
        """Give back memory and threads; the warehouse can be used again afterwards."""
        self._connector.close()
        pa.default_memory_pool().release_unused()

    @contextmanager
    def together(self, *, read_only: bool = True) -> Iterator[None]:
        """Do what this thread asks inside in one opening of the warehouse, each in its own transaction.

        Opening and closing a file costs more than a small read. Keep it short: nobody else can write.
        A warehouse that does not exist yet is not created by a block that only reads.
        """
        if read_only and not self._connector.exists():
            yield
            return
        with self._connector.open(read_only=read_only) as connection:
            self._held.connection = connection
            try:
                yield
            finally:
                self._held.connection = None

    # -- writing ---------------------------------------------------------------------------------------

    def bind(self, company: AccountIdentity) -> None:
        """Bind the warehouse to ``company`` on first use; refuse a token of another one ever after."""
        self._write(
            lambda connection: account.bind(connection, company, target=self.target, now=now_sql(self._clock))
        )

    def ensure_entities(self, specs: Iterable[EntitySpec]) -> None:
        """Create the tables of ``specs``; add the columns that the catalog has gained since."""
        wanted = tuple(specs)
        if self._connector.exists() and self._ensured.issuperset(wanted):
            return
        self._write(lambda connection: self._ensure(connection, wanted))
        self._ensured.update(wanted)

    def commit(self, batch: Batch) -> MergeCounts:
        """Make rows, quarantine, coverage and position of ``batch`` true, all or nothing; say what changed.

        Rows that are unchanged or older than the stored ones are not written. Where another writer came
        first the whole transaction is done again.
        """
        rows = merge.incoming_rows(batch)

        def apply(connection: duckdb.DuckDBPyConnection) -> MergeCounts:
            spec, run_id, now = batch.spec, batch.run_id, now_sql(self._clock)
            self._ensure(connection, (spec,))
            connection.register("incoming", rows)
            counts = merge.classify(connection, spec)
            merge.write(connection, spec, counts, source=batch.source, run_id=run_id, now=now)
            if batch.replaces is not None:
                gone = merge.count_gone(connection, spec, batch.replaces)
                if gone:
                    merge.bury_gone(
                        connection, spec, batch.replaces, source=batch.source, run_id=run_id, now=now
                    )
                counts += MergeCounts(tombstoned=gone)
            if rows.column("_extra").null_count < rows.num_rows:
                known = tuple(column.name for column in spec.columns)
                changes.record_unknown_keys(connection, spec.name, known, run_id=run_id, now=now)
            quarantine.append(connection, spec.name, batch.quarantine, run_id=run_id)
            coverage.append(connection, spec.name, batch.coverage, run_id=run_id, now=now)
            if batch.position is not None:
                positions.append(connection, spec.name, batch.position, run_id=run_id, now=now)
            return counts

        counts = self._write(apply)
        self._ensured.add(batch.spec)
        return counts

    def bury_children_of_deleted(
        self, child_spec: EntitySpec, parent_spec: EntitySpec, *, run_id: str, source: str
    ) -> int:
        """Turn the live rows of a child entity whose parent is deleted into tombstones; how many there were.

        Deleted parents are not visited (see ``parent_ids``), so no batch would ever say that their children
        are gone. A child that comes back with its parent is live again by the next ``commit``.
        """

        def bury(connection: duckdb.DuckDBPyConnection) -> int:
            if not all(reader.has_table(connection, spec.name) for spec in (child_spec, parent_spec)):
                return 0
            return merge.bury_children_of_deleted(
                connection, child_spec, parent_spec, source=source, run_id=run_id, now=now_sql(self._clock)
            )

        return self._write(bury) if self._connector.exists() else 0

    def mark_stream(self, entity: str, stream: str, *, closed: bool, reason: str, run_id: str) -> None:
        """Record that the account's plan or rights do not open ``stream``, or that they do again.

        A stream never marked is open; nothing is written where the newest record says the same.
        """
        if (stream in self.closed_streams(entity)) != closed:
            self._write(
                lambda connection: streams.mark(
                    connection,
                    entity,
                    stream,
                    closed=closed,
                    reason=reason,
                    run_id=run_id,
                    now=now_sql(self._clock),
                )
            )

    def record_run(self, result: Mapping[str, Any]) -> None:
        """Record a finished sync: the fields of a ``SyncResult``, as ``model_dump()`` gives them."""
        self._write(lambda connection: runs.append(connection, result, now=now_sql(self._clock)))

    # -- reading ---------------------------------------------------------------------------------------

    def compare(self, batch: Batch) -> MergeCounts:
        """What ``commit`` would do, without doing it."""
        rows = merge.incoming_rows(batch)

        def look(connection: duckdb.DuckDBPyConnection) -> MergeCounts:
            connection.register("incoming", rows)
            exists = reader.has_table(connection, batch.spec.name)
            counts = merge.classify(connection, batch.spec, table_exists=exists)
            if batch.replaces is not None and exists:
                counts += MergeCounts(tombstoned=merge.count_gone(connection, batch.spec, batch.replaces))
            return counts

        keys = {tuple(row.values()) for row in rows.select(list(batch.spec.key)).to_pylist()}
        return self._read(look, MergeCounts(created=len(keys)))

    def account(self) -> BoundCompany | None:
        """The company the warehouse is bound to; None before the first ``bind``."""
        return self._read(account.bound, None)

    def coverage(self, entity: str) -> dict[str, IntervalSet]:
        """What the warehouse holds of each stream of ``entity``; a stream without any is left out."""
        return self._read(lambda connection: coverage.load(connection, entity), {})

    def spans_of_run(self, run_id: str, entity: str) -> dict[str, IntervalSet]:
        """What one run added to the coverage of ``entity``, by stream."""
        return self._read(lambda connection: coverage.load(connection, entity, run_id=run_id), {})

    def positions(self, entity: str) -> dict[tuple[str, str], Position]:
        """Where interrupted scans go on, by stream and query hash."""
        return self._read(lambda connection: positions.unfinished(connection, entity), {})

    def closed_streams(self, entity: str) -> set[str]:
        """Streams of ``entity`` that the account's plan or rights were last found not to open."""
        return self._read(lambda connection: streams.load_closed(connection, entity), set())

    def runs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The last recorded syncs, newest first, with the fields that ``record_run`` was given."""
        return self._read(lambda connection: runs.recent(connection, limit), [])

    def parent_ids(
        self,
        parent: EntitySpec,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        positive_column: str | None = None,
        children: tuple[str, str] | None = None,
    ) -> list[int | str]:
        """Sorted keys of the live parents that last changed in ``[since, until)`` (aware UTC).

        None is open; without ``since`` the rows that have no time are included; a parent without an update
        column is never filtered by time. ``positive_column`` leaves out parents where that counter is zero
        (NULL is unknown, not zero), but for those that still have live rows in ``children`` (an entity and
        its column with the parent's key), whose last child may have gone.
        """

        def find(connection: duckdb.DuckDBPyConnection) -> list[int | str]:
            return reader.parent_ids(
                connection,
                parent,
                since=since,
                until=until,
                positive_column=positive_column,
                children=children if children and reader.has_table(connection, children[0]) else None,
            )

        return self._read_table(parent.name, find, [])

    def row_count(self, entity: str) -> int:
        """Rows of ``pipedrive.<entity>``, tombstones included."""
        return self._read_table(entity, lambda connection: reader.row_count(connection, entity), 0)

    def preview(self, entity: str, rows: int = 10) -> pa.Table:
        """The rows that came in last; a table without columns where the entity was never synced."""
        return self._read_table(
            entity, lambda connection: reader.preview(connection, entity, rows), pa.table({})
        )

    def duplicate_keys(self, spec: EntitySpec) -> int:
        """How many keys of the entity have more than one row."""
        return self._read_table(spec.name, lambda connection: reader.duplicate_keys(connection, spec), 0)

    def null_counts(self, spec: EntitySpec, columns: Sequence[str]) -> dict[str, int]:
        """NULLs by column among the entity's rows that are not deleted."""
        return self._read_table(
            spec.name,
            lambda connection: reader.null_counts(connection, spec.name, columns),
            dict.fromkeys(columns, 0),
        )

    def quarantine_count(self, entity: str) -> int:
        """Distinct values of the entity that did not fit their column."""
        return self._read(lambda connection: quarantine.count(connection, entity), 0)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> pa.Table:
        """Run one reading SQL statement of a user's on ``pipedrive.<entity>``, ``pipedrive_meta.<name>``."""
        if not self._connector.exists():
            raise PipedriveWarehouseException(f"no warehouse at {self.target} yet; sync something first")
        with self._open(read_only=True) as connection:
            self._version(connection)
            return reader.query(connection, sql, parameters)

    # -- how -------------------------------------------------------------------------------------------

    def _ensure(self, connection: duckdb.DuckDBPyConnection, specs: Sequence[EntitySpec]) -> None:
        # Which ones are done is remembered by the caller, once the transaction is.
        missing = [spec for spec in specs if spec not in self._ensured]
        if missing:
            stored = schema.stored_columns(connection)
            for spec in missing:
                schema.ensure_table(connection, spec, stored.get(spec.name), now_sql(self._clock))

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        held = getattr(self._held, "connection", None)
        if held is not None:
            yield held
            return
        with self._connector.open(read_only=read_only) as connection:
            yield connection

    def _version(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Version of the warehouse, 0 for one that is empty; what is newer, or no warehouse, is refused."""
        version = schema.version_of(connection, self.target)
        if version == 0:
            schema.refuse_strangers(connection, self.target)
        return version

    def _write(self, work: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        with self._open(read_only=False) as connection:
            version = self._version(connection)
            if version == 0:  # new, or somebody removed the file meanwhile
                self._ensured.clear()

            def migrated() -> Result:
                schema.migrate(connection, version, now_sql(self._clock))
                return work(connection)

            return in_transaction(connection, migrated, clock=self._clock)

    def _read(self, work: Callable[[duckdb.DuckDBPyConnection], Result], nothing: Result) -> Result:
        if not self._connector.exists():
            return nothing
        with self._open(read_only=True) as connection:
            if self._version(connection) == 0:
                return nothing
            return work(connection)

    def _read_table(
        self, entity: str, work: Callable[[duckdb.DuckDBPyConnection], Result], nothing: Result
    ) -> Result:
        def guarded(connection: duckdb.DuckDBPyConnection) -> Result:
            return work(connection) if reader.has_table(connection, entity) else nothing

        return self._read(guarded, nothing)
