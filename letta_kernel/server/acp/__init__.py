"""The Agent Client Protocol: an agent in the chat of an editor or of JupyterLab, over its own streams."""
