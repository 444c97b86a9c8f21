"""``pipedrive_meta.account``: the one company a warehouse holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.warehouse.names import meta_table


@dataclass(frozen=True, slots=True)
class BoundCompany:
    """The company a warehouse was bound to at its first use."""

    company_id: int
    company_name: str
    company_domain: str


def bound(connection: duckdb.DuckDBPyConnection) -> BoundCompany | None:
    """The company this warehouse holds; None before the first binding."""
    row = connection.execute(
        f"""
        SELECT company_id, company_name, company_domain
        FROM {meta_table("account")}
        ORDER BY recorded_at, company_id
        LIMIT 1
        """
    ).fetchone()
    return None if row is None else BoundCompany(*row)


def bind(
    connection: duckdb.DuckDBPyConnection, company: AccountIdentity, *, target: str, now: datetime
) -> None:
    """Bind the warehouse to ``company``, or check that it is; another company is refused."""
    owner = bound(connection)
    if owner is None:
        connection.execute(
            f"INSERT INTO {meta_table('account')} VALUES (?, ?, ?, ?)",
            [company.company_id, company.company_name, company.company_domain, now],
        )
    elif owner.company_id != company.company_id:
        raise PipedriveWarehouseException(
            f"{target} is bound to company {owner.company_id} ({owner.company_name}), this token belongs to "
            f"{company.company_id} ({company.company_name}); use another PIPEDRIVE_WAREHOUSE"
        )
