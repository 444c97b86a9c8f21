"""``query``: one reading SQL statement on the copy."""

from __future__ import annotations

import csv
import sys

import click

from pipedrive_assets.cli.output import Output, json_option
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.settings import load_settings
from pipedrive_assets.warehouse.moments import python_values
from pipedrive_assets.warehouse.store import Warehouse


@click.command()
@click.argument("sql")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@json_option
@click.pass_obj
def query(output: Output, sql: str, as_csv: bool) -> None:
    """Run one SQL query on the copy: pipedrive.ENTITY, pipedrive_meta.TABLE.

    For example: pipedrive-assets query "SELECT status, count(*) FROM pipedrive.deals GROUP BY status"
    """
    if as_csv and output.as_json:
        raise click.UsageError("--csv and --json exclude each other")
    settings = load_settings()
    warehouse = Warehouse.from_settings(settings, SystemClock())
    try:
        table = warehouse.query(sql)
    finally:
        warehouse.close()
    # By position, not by name: a join may give two columns of one name.
    columns = [python_values(column) for column in table.columns]
    rows = list(zip(*columns, strict=True))
    if output.as_json:
        output.emit({"columns": table.column_names, "rows": rows, "count": len(rows)})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(rows)
    else:
        output.table(table.column_names, rows)
        output.say(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}")
