"""Run the command line as a module: ``python -m letta_kernel.cli``."""

from letta_kernel.cli import main

if __name__ == "__main__":
    main()
