"""Runs as spans: sent to a collector while they happen, or written to files afterwards."""
