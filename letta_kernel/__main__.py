"""Launch the kernel: ``python -m letta_kernel -f CONNECTION_FILE``."""

if __name__ == "__main__":
    from letta_kernel.kernel import main

    main()
