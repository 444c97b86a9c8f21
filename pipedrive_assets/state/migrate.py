"""Brings a state store to the schema of this version, forward only.

A store of a newer version, or a file that is no store, is refused and left as it is.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from pipedrive_assets.exceptions import PipedriveStateException
from pipedrive_assets.state.database import Database
from pipedrive_assets.state.tables import metadata

VERSION_TABLE = "pipedrive_state_version"
"""Not Alembic's default name, so that a store may share a database with Dagster, which uses that one."""

REVISIONS = ("0001", "0002")
"""Every schema version, oldest first; a test holds it against ``migrations/versions``."""


def migrate(database: Database) -> None:
    """Create or upgrade the tables; safe when several processes open a new store at the same moment.

    :raises PipedriveStateException: the store is of a newer version, not a database, or not writable
    """
    with database.creation_lock():
        with database.read() as connection:
            found = stored_revision(connection)
            strange = [] if found else _tables_of_others(connection)
        if found is not None and found not in REVISIONS:
            raise PipedriveStateException(
                f"the state store at {database.place} was written by a newer version of pipedrive-assets "
                f"(schema {found}, this one knows up to {REVISIONS[-1]}): upgrade pipedrive-assets, or point "
                "PIPEDRIVE_STATE_URL at another place"
            )
        if strange:
            raise PipedriveStateException(
                f"the database at {database.place} has tables of another program that are called like ours "
                f"({', '.join(strange)}); nothing was changed. Point PIPEDRIVE_STATE_URL at another file"
            )
        # Not before: what is refused is left as it was, to the byte.
        database.use_write_ahead_log()
        if found == REVISIONS[-1]:
            return
        with database.begin() as connection:
            _upgrade(connection)


def stored_revision(connection: Connection) -> str | None:
    """Schema version of the store, None where there is none yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.scalar(select(table(VERSION_TABLE, column("version_num")).c.version_num))
    return version


def _tables_of_others(connection: Connection) -> list[str]:
    return sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))


def _upgrade(connection: Connection) -> None:
    # Imported here because a store that is up to date, the usual case, needs none of it: 0.2 s of start-up.
    from alembic import command
    from alembic.config import Config

    config = Config()
    script_location = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", script_location.replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
