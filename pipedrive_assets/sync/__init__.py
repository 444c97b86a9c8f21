"""The one way a record gets from the API into the warehouse: ``sync_entity(spec, options, context)``."""
