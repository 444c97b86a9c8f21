"""The state store as a file: created once, migrated forward, refused when it is newer or damaged."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import PipedriveStateException
from pipedrive_assets.state import migrate, tables
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.store import StateStore

MIGRATIONS = Path(migrate.__file__).with_name("migrations")
IDENTITY = AccountIdentity(7, "Ärger & Söhne", "aerger", 11, "Zoë", is_admin=True)


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def test_opening_creates_the_folder_and_reopening_keeps_what_was_stored(tmp_path: Path) -> None:
    url = url_of(tmp_path / "deep" / "er" / "100%" / "state.db")
    with StateStore.open(url, clock=SystemClock()) as store:
        assert store.account_of("k" * 64) is None
        store.remember_account("k" * 64, IDENTITY)
    with StateStore.open(url, clock=SystemClock()) as store:
        assert store.account_of("k" * 64) == IDENTITY
        assert store.account_of("j" * 64) is None


def test_migrations_build_exactly_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    StateStore.open(url_of(path), clock=SystemClock()).close()
    engine = create_engine(url_of(path))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrate.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == migrate.REVISIONS


def test_a_store_of_a_newer_version_is_refused_with_advice_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    StateStore.open(url_of(path), clock=SystemClock()).close()
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(PipedriveStateException, match=r"newer version.*9999.*upgrade pipedrive-assets"):
        StateStore.open(url_of(path), clock=SystemClock())
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"these are my holiday notes, not a database" * 100)
    before = path.read_bytes()
    with pytest.raises(PipedriveStateException, match="not a database"):
        StateStore.open(url_of(path), clock=SystemClock())
    assert path.read_bytes() == before


def test_a_store_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    StateStore.open(url_of(path), clock=SystemClock()).close()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(PipedriveStateException, match="state store"):
        StateStore.open(url_of(path), clock=SystemClock())


@pytest.mark.parametrize(
    "url", ["not a url", "sqlite://", "sqlite:///:memory:", "postgresql://u:secret@h/db", "redis://h"]
)
def test_an_unusable_url_is_refused_in_one_line_without_secrets(url: str) -> None:
    with pytest.raises(PipedriveStateException) as caught:
        StateStore.open(url, clock=SystemClock())
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_processes_that_create_the_store_at_the_same_moment_all_succeed(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pipedrive_assets.clock import SystemClock\n"
        "from pipedrive_assets.state.store import StateStore\n"
        "sys.stdin.readline()\n"
        "store = StateStore.open(sys.argv[1], clock=SystemClock())\n"
        "assert store.ledger('a').day().own_spent == 0\n"
        "store.close()\n"
    )
    url = url_of(tmp_path / "new" / "state.db")
    processes = [
        subprocess.Popen([sys.executable, "-c", script, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], outputs


def test_a_transaction_that_raises_leaves_no_trace(tmp_path: Path) -> None:
    with StateStore.open(url_of(tmp_path / "state.db"), clock=SystemClock()) as store:
        with pytest.raises(ZeroDivisionError), store.transaction():
            store.remember_account("k" * 64, IDENTITY)
            raise ZeroDivisionError
        assert store.account_of("k" * 64) is None


def test_watermarks_come_back_as_they_were_set_and_never_step_back(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
    with StateStore.open(url_of(tmp_path / "state.db"), clock=SystemClock()) as store:
        mirror = store.watermarks("7")
        mirror.set("deals", moment, moment + timedelta(hours=1), 500, moment)
        mirror.set("deals", None, None, 1, moment - timedelta(seconds=1))
        mirror.set("notes", None, None, None, moment)
        deals = mirror.get("deals")
        assert deals is not None
        assert (deals.watermark, deals.head, deals.rows) == (moment, moment + timedelta(hours=1), 500)
        assert set(mirror.all()) == {"deals", "notes"}
        assert store.watermarks("8").all() == {}
