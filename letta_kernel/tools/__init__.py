"""From a function's source to a validated call."""
