"""The database of a project (DuckDB is the truth): schema, transactions, locks, records."""
