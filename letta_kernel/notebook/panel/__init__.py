"""What JupyterLab's panels ask a kernel, and what they are told: remote calls over comms."""
