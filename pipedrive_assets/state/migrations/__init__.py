"""Forward-only migrations of the state store, run by :mod:`pipedrive_assets.state.migrate`."""
