"""The step loop, the context window, compaction and prompts."""
