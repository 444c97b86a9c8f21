"""A complete, correct, queryable copy of a Pipedrive account, kept by Dagster in DuckDB."""
