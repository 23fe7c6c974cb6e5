"""The Python interface: the same agents without magics, in notebooks, scripts and tests."""
