"""What a notebook gives the agents: the magics' commands, its variables, its functions as tools."""
