"""How long the letta kernel takes to start, beside plain ipykernel, interleaved in one run.

``python benchmarks/kernel_start.py [--rounds N] [--json]``: seconds from launching the process until it
has answered kernel_info and run a first empty-handed cell (``1``), median over the rounds, and the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from jupyter_client.manager import KernelManager

KERNELS = {
    "ipykernel": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "letta": [sys.executable, "-m", "letta_kernel", "-f", "{connection_file}"],
}


@contextlib.contextmanager
def running(command: list[str], home: str) -> Iterator[KernelManager]:
    """Start a kernel, wait for its first result; shut it down behind the block."""
    manager = KernelManager()
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv = command
    env = {**os.environ, "LETTA_HOME": home, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    manager.start_kernel(env=env, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive("1", timeout=60, output_hook=lambda message: None)
        yield manager
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def start_once(command: list[str], home: str) -> float:
    """Return the seconds from launching a kernel to its first result."""
    began = time.perf_counter()
    with running(command, home):
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in KERNELS}
    with tempfile.TemporaryDirectory() as home:
        for command in KERNELS.values():  # files into the page cache, byte code written
            start_once(command, home)
        for number in range(options.rounds):
            order = list(KERNELS) if number % 2 else list(reversed(KERNELS))
            for name in order:
                seconds[name].append(start_once(KERNELS[name], home))
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    result = {
        "ipykernel_seconds": round(medians["ipykernel"], 3),
        "letta_seconds": round(medians["letta"], 3),
        "ratio": round(medians["letta"] / medians["ipykernel"], 3),
        "rounds": options.rounds,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"ipykernel  {result['ipykernel_seconds']:.3f} s")
        print(f"letta      {result['letta_seconds']:.3f} s")
        print(f"ratio      {result['ratio']:.3f}   ({options.rounds} rounds each, medians)")


if __name__ == "__main__":
    main()
