"""Agent files: an agent as one JSON document in Letta's format (``.af``), to keep, share or move."""
