"""DuckDB is the truth: schema, transactions, locks and the records of every room above."""
