"""The brain: the step loop, the context window, compaction and prompts."""
