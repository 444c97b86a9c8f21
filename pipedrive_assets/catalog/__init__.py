"""What Pipedrive has: one :class:`EntitySpec` per entity, and nothing about how it is fetched or stored."""
