"""DuckDB, the truth, and LanceDB, an index that can be made anew."""
