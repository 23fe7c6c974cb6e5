"""The notebook side of agents: the magics' commands, its variables, its functions as tools."""
