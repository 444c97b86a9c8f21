"""Every operation that the sandbox serves."""

from __future__ import annotations

from pipedrive_assets.sandbox.field_writes import field_write_routes
from pipedrive_assets.sandbox.reads import read_routes
from pipedrive_assets.sandbox.routing import Route
from pipedrive_assets.sandbox.search import search_routes
from pipedrive_assets.sandbox.special_reads import special_routes
from pipedrive_assets.sandbox.writes import write_routes


def all_routes() -> list[Route]:
    """All routes, reads first."""
    return [*read_routes(), *special_routes(), *search_routes(), *write_routes(), *field_write_routes()]
