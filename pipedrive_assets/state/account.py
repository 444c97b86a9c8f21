"""Whose account a token opens, remembered so that only the first process ever has to ask."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import select

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database


@dataclass(frozen=True, slots=True)
class AccountIdentity:
    """The company and the user behind a token (``GET /v1/users/me``)."""

    company_id: int
    company_name: str
    company_domain: str
    user_id: int
    user_name: str
    is_admin: bool


class AccountBook:
    """Identities by token fingerprint; the token itself is never stored."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def find(self, token_key: str) -> AccountIdentity | None:
        """The identity remembered for a fingerprint, None if it was never seen."""
        with self._database.read() as connection:
            row = connection.execute(
                select(tables.tokens).where(tables.tokens.c.token_key == token_key)
            ).one_or_none()
        if row is None:
            return None
        return AccountIdentity(
            company_id=row.company_id,
            company_name=row.company_name,
            company_domain=row.company_domain,
            user_id=row.user_id,
            user_name=row.user_name,
            is_admin=row.is_admin,
        )

    def remember(self, token_key: str, identity: AccountIdentity) -> None:
        """Store or replace the identity behind a fingerprint."""
        with self._database.begin() as connection:
            self._database.upsert(
                connection,
                tables.tokens,
                {"token_key": token_key, **asdict(identity), "remembered_at": self._clock.time()},
            )
