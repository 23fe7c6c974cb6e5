"""What an agent remembers: blocks, archival memory and recall."""
