"""What a step costs beside the model: ours next to bare HTTP, model clients and durable agent libraries.

    python benchmarks/step.py [--rounds N] [--json] [--peers PYTHON]

Every contender talks to the same instant scripted model on loopback, streamed, in a process of its own.
``--peers`` names a Python that has the peer libraries (``benchmarks/peers.txt``); those it lacks are left out.
Figures are medians in ms, and of which CPU, without each contender's first two steps, which are shown apart;
the last lines are what a step of ours takes of the best durable peer's. On a busy machine only CPU tells.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from step_contenders import CONTENDERS, DURABLE

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

SIZES = (0, 200)
OURS = "letta-kernel"
CLIENTS = ("httpx", "openai", "litellm")


def measure(
    python: str, name: str, url: str, messages: int, rounds: int
) -> list[list[float]] | None:
    """Return the seconds of each step, and of CPU, or None where the contender is not installed."""
    command = [python, str(HERE / "step_contenders.py"), name, url, str(messages), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        print(f"{name}: left out ({last[0]})", file=sys.stderr)
        return None
    taken: list[list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peers", default=sys.executable)
    options = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, str(HERE.parent / "tests" / "scripted_server.py"), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        rows = {}
        for name in CONTENDERS:
            python = sys.executable if name == OURS or name in CLIENTS else options.peers
            rows[name] = {
                size: measure(python, name, url, size, options.rounds + 2) for size in SIZES
            }
    finally:
        server.terminate()
        server.wait()
    report = {
        name: {
            str(size): {
                "median_ms": round(statistics.median(wall for wall, _ in seconds[2:]) * 1000, 2),
                "cpu_ms": round(statistics.median(cpu for _, cpu in seconds[2:]) * 1000, 2),
                "first_ms": round(seconds[0][0] * 1000, 1),
                "second_ms": round(seconds[1][0] * 1000, 1),
            }
            for size, seconds in sizes.items()
            if seconds
        }
        for name, sizes in rows.items()
    }
    if options.json:
        print(json.dumps(report))
        return
    print(f"{'ms a step, streamed':28}" + "".join(f"{f'at {s} messages':>20}" for s in SIZES))
    for name, sizes in report.items():
        mark = "*" if name in DURABLE else " "
        cells = "".join(
            f"{sizes[str(s)]['median_ms']:>12.1f} ({sizes[str(s)]['cpu_ms']:.1f})".rjust(20)
            if str(s) in sizes
            else f"{'-':>20}"
            for s in SIZES
        )
        print(f"{name + mark:28}{cells}")
    print("* the turn is on disk when the step is over; in brackets, of which CPU")
    for size in SIZES:
        if ours := report.get(OURS, {}).get(str(size)):
            others = [report[name] for name in DURABLE if name != OURS]
            peers = [sizes[str(size)] for sizes in others if str(size) in sizes]
            for what, words in (("median_ms", "step"), ("cpu_ms", "its CPU")) if peers else ():
                ratio = ours[what] / min(peer[what] for peer in peers)
                print(f"{words} at {size} messages / the best durable peer's: {ratio:.2f}")
            print(
                f"first and second step of a process at {size} messages: "
                f"{ours['first_ms']:.0f} ms, {ours['second_ms']:.0f} ms"
            )


if __name__ == "__main__":
    main()
