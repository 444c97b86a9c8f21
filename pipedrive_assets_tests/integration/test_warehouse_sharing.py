"""One file, many users: threads, processes, readers that hold it, writers that die, files that are none."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import filelock
import pytest

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.warehouse import CoverageSpan, IntervalSet, MergeCounts, Warehouse
from pipedrive_assets.warehouse.connection import in_transaction
from pipedrive_assets_tests.warehouse_rows import DEALS, at, batch, open_warehouse

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print("holding", flush=True)
sys.stdin.readline()
connection.close()
"""

DIE_HALFWAY = """
import os, sys
from pathlib import Path
from pipedrive_assets.warehouse import merge
from pipedrive_assets_tests.warehouse_rows import DEALS, at, batch, open_warehouse
from pipedrive_assets.warehouse import CoverageSpan, coverage

warehouse = open_warehouse(Path(sys.argv[1]))
warehouse.commit(batch(DEALS, {"id": 1}, coverage=(CoverageSpan("live", None, at(1)),)))
coverage.append = lambda *_, **__: os._exit(9)  # after the rows are written, before the commit
span = CoverageSpan("live", at(1), at(2))
warehouse.commit(batch(DEALS, {"id": 1, "title": "half"}, {"id": 2}, coverage=(span,)))
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the file open for reading until a line is sent to it."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        try:
            yield process
        finally:
            process.kill()


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


@pytest.fixture
def warehouse(path: Path) -> Iterator[Warehouse]:
    opened = open_warehouse(path)
    yield opened
    opened.close()


def test_a_reader_that_keeps_the_file_is_named_and_progress_is_kept(warehouse: Warehouse, path: Path) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    impatient = open_warehouse(path, lock_timeout=0.3)
    with holder(path) as reader:
        with pytest.raises(PipedriveWarehouseException, match=rf"pid {reader.pid}\)") as raised:
            impatient.commit(batch(DEALS, {"id": 2}))
        assert raised.value.retryable
        assert "PIPEDRIVE_WAREHOUSE_LOCK_TIMEOUT" in str(raised.value)
    assert impatient.commit(batch(DEALS, {"id": 2})) == MergeCounts(created=1)
    assert impatient.row_count("deals") == 2
    impatient.close()


def test_a_reader_that_lets_go_in_time_is_waited_for(
    warehouse: Warehouse, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    caplog.set_level("INFO", logger="pipedrive_assets")
    with holder(path) as reader:
        timer = threading.Timer(0.3, release, (reader,))
        timer.start()
        assert warehouse.commit(batch(DEALS, {"id": 2})).created == 1
        timer.join()
        (event,) = [record.message for record in caplog.records if "waited_for" in record.message]
        assert f"(pid {reader.pid})" in event


def test_a_disk_that_fails_on_closing_does_not_block_the_next_operation(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))

    def fail_on_leaving() -> None:
        with warehouse._connector.open(read_only=False) as connection:
            connection.execute("DETACH warehouse")  # so that ours finds nothing to detach

    with pytest.raises(PipedriveWarehouseException, match="could not be closed in order"):
        fail_on_leaving()
    assert warehouse.row_count("deals") == 1


def test_readers_of_other_processes_do_not_keep_us_from_reading(warehouse: Warehouse, path: Path) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    with holder(path):
        assert warehouse.row_count("deals") == 1


def test_a_lock_file_that_is_never_released_is_an_error_with_a_name(warehouse: Warehouse, path: Path) -> None:
    impatient = open_warehouse(path, lock_timeout=0.1)
    with filelock.FileLock(f"{path}.lock"), pytest.raises(PipedriveWarehouseException, match="is held by"):
        impatient.commit(batch(DEALS, {"id": 1}))
    impatient.close()


def test_threads_of_one_process_take_turns(warehouse: Warehouse) -> None:
    def write(number: int) -> MergeCounts:
        span = CoverageSpan("live", at(number), at(number + 1))
        return warehouse.commit(batch(DEALS, {"id": number}, {"id": number // 2}, coverage=(span,)))

    with ThreadPoolExecutor(8) as pool:
        counts = sum(pool.map(write, range(24)), MergeCounts())
    assert counts.created == warehouse.row_count("deals") == 24
    assert warehouse.duplicate_keys(DEALS) == 0
    assert warehouse.coverage("deals") == {"live": IntervalSet.of(at(0), at(24))}


def test_two_warehouse_objects_of_one_process_take_turns(warehouse: Warehouse, path: Path) -> None:
    other = open_warehouse(path)

    def write(number: int) -> None:
        (warehouse, other)[number % 2].commit(batch(DEALS, {"id": number}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(12)))
    assert warehouse.row_count("deals") == 12
    other.close()


def _write_many(path: Path, first: int) -> None:
    warehouse = open_warehouse(path)
    for number in range(first, first + 5):
        warehouse.commit(batch(DEALS, {"id": number}, {"id": 0, "update_time": at(number)}))
    warehouse.close()


def test_processes_that_create_and_fill_one_warehouse_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, 1 + 5 * number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    warehouse = open_warehouse(path)
    found = warehouse.query(
        "SELECT count(*) AS n, max(update_time) AS newest FROM pipedrive.deals"
    ).to_pylist()
    assert found == [{"n": 16, "newest": at(15).replace(tzinfo=None)}]
    assert warehouse.query("FROM pipedrive_meta.version WHERE version = 1").num_rows == 1
    warehouse.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_go_on_using_the_warehouse(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    child = os.fork()
    if child == 0:  # pragma: no cover - runs in the child
        signal.alarm(30)
        os._exit(0 if warehouse.commit(batch(DEALS, {"id": 2})).created == 1 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert warehouse.row_count("deals") == 2


def test_a_process_killed_in_a_transaction_leaves_the_last_batch_that_was_whole(path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIE_HALFWAY, str(path)], check=False)
    assert died.returncode == 9
    warehouse = open_warehouse(path)
    assert warehouse.query("SELECT id, title FROM pipedrive.deals").to_pylist() == [{"id": 1, "title": None}]
    assert warehouse.coverage("deals") == {"live": IntervalSet.of(None, at(1))}
    assert warehouse.commit(batch(DEALS, {"id": 2})).created == 1
    warehouse.close()


@pytest.mark.parametrize("content", [b"", b"this is no database" * 1000])
def test_a_file_that_is_no_warehouse_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    warehouse = open_warehouse(path)
    for use in (lambda: warehouse.commit(batch(DEALS, {"id": 1})), lambda: warehouse.coverage("deals")):
        with pytest.raises(PipedriveWarehouseException, match="is damaged or is no DuckDB file"):
            use()
    assert path.read_bytes() == content
    warehouse.close()


def test_a_damaged_warehouse_is_refused_and_left_alone(warehouse: Warehouse, path: Path) -> None:
    warehouse.commit(batch(DEALS, *({"id": number, "title": str(number)} for number in range(1000))))
    content = bytearray(path.read_bytes())
    content[100:5000] = os.urandom(4900)
    path.write_bytes(content)
    with pytest.raises(PipedriveWarehouseException, match="Restore a backup"):
        warehouse.commit(batch(DEALS, {"id": 1}))
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_to_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", Path("/proc/nowhere")):
        warehouse = open_warehouse(folder / "w.duckdb")
        with pytest.raises(PipedriveWarehouseException, match="cannot be written to"):
            warehouse.commit(batch(DEALS, {"id": 1}))
        warehouse.close()


def test_a_catalog_that_cannot_be_reached_is_one_clear_error() -> None:
    warehouse = Warehouse(
        "nosuchengine:somewhere", lock_timeout=1, memory_limit_mb=256, threads=1, clock=SystemClock()
    )
    with pytest.raises(PipedriveWarehouseException, match="cannot be opened") as raised:
        warehouse.coverage("deals")
    assert "\n" not in str(raised.value)
    warehouse.close()


@pytest.mark.parametrize("target", ["", ":memory:"])
def test_a_warehouse_in_memory_is_refused(target: str) -> None:
    with pytest.raises(PipedriveWarehouseException, match="PIPEDRIVE_WAREHOUSE"):
        Warehouse(target, lock_timeout=1, memory_limit_mb=256, threads=1, clock=SystemClock())


class _CountingClock(SystemClock):
    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_a_transaction_that_another_writer_beat_is_done_again() -> None:
    clock = _CountingClock()
    with duckdb.connect(":memory:") as ours, ours.cursor() as theirs:
        ours.execute("CREATE TABLE counter AS SELECT 1 AS value")
        rivals = [10, 100]

        def work() -> int:
            ours.execute("SELECT value FROM counter").fetchall()
            if rivals:
                theirs.execute("UPDATE counter SET value = value + ?", [rivals.pop(0)])
            ours.execute("UPDATE counter SET value = value + 1")
            return 7

        assert in_transaction(ours, work, clock=clock) == 7
        assert ours.execute("SELECT value FROM counter").fetchone() == (112,)
    assert len(clock.slept) == 2


def test_a_transaction_that_always_loses_gives_up_with_the_conflict() -> None:
    clock = _CountingClock()
    with duckdb.connect(":memory:") as ours, ours.cursor() as theirs:
        ours.execute("CREATE TABLE counter AS SELECT 1 AS value")

        def work() -> None:
            ours.execute("SELECT value FROM counter").fetchall()
            theirs.execute("UPDATE counter SET value = value + 1")
            ours.execute("UPDATE counter SET value = 0")

        with pytest.raises(duckdb.TransactionException, match=r"[Cc]onflict"):
            in_transaction(ours, work, clock=clock)
        assert ours.execute("SELECT value > 1 FROM counter").fetchone() == (True,)


def test_memory_and_threads_are_always_limited(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    found = warehouse.query("SELECT current_setting('threads') AS t, current_setting('memory_limit') AS m")
    (limits,) = found.to_pylist()
    assert limits["t"] == 1
    assert limits["m"].startswith("244.1 MiB")
