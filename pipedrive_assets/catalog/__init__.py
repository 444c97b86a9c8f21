"""What Pipedrive has: one :class:`EntitySpec` per entity, and nothing about how it is fetched or stored."""

from pipedrive_assets.catalog.registry import (
    CATALOG,
    CATALOG_VERSION,
    default_entities,
    resolve_entities,
    spec,
)
from pipedrive_assets.catalog.spec import EntitySpec

__all__ = ["CATALOG", "CATALOG_VERSION", "EntitySpec", "default_entities", "resolve_entities", "spec"]
