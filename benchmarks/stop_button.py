"""How long a cell takes to end after the stop button, in a real kernel.

``python benchmarks/stop_button.py [--rounds N] [--json]``: seconds from the interrupt to the cell's
reply, while the model streams, while it has not begun to answer, while a tool sleeps, while an async
tool waits and while a tool computes. Half a second is the most a person should wait.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

_TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "kernel")]

from kernel_notebook import Notebook, Ran  # noqa: E402
from scripted_server import ScriptedServer  # noqa: E402
from test_kernel_stop import SLEEPS  # noqa: E402

TOOLS = {"sleeping tool": "wait", "async tool": "doze", "computing tool": "spin"}


def stop(notebook: Notebook, server: ScriptedServer, place: str) -> float:
    """Stop one run at *place*; return the seconds until its cell had ended."""
    asked = len(server.received)
    shown = "waiting"
    if place == "stream":
        server.say(" ".join(f"word{number}" for number in range(900)), pieces=900, delay=0.02)
        shown = "word3"
    elif place == "before the first word":
        server.hang(60)
    else:
        server.call(TOOLS[place], {"seconds": 60})

    def arrived(ran: Ran) -> bool:
        if place == "before the first word":
            return len(server.received) > asked
        return shown in ran.text

    request = notebook.send("%%agent\nGo on.", stdin=True)
    ran = notebook.finish(request, when=arrived, then=notebook.interrupt)
    assert ran.ename == "Stopped", ran
    return ran.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    places = ["stream", "before the first word", *TOOLS]
    seconds: dict[str, list[float]] = {place: [] for place in places}
    with tempfile.TemporaryDirectory() as folder, ScriptedServer() as server:
        notebook = Notebook(
            Path(folder) / ".letta",
            LETTA_MODEL="openai/scripted",
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY="test",
        )
        try:
            notebook.run(SLEEPS, "tools")
            server.say("Ready.")
            notebook.run("%%agent\nReady?")  # imports are another story
            for _ in range(options.rounds):
                for place in places:
                    seconds[place].append(stop(notebook, server, place))
        finally:
            notebook.close()
    result = {
        place: {"median": round(statistics.median(taken), 3), "max": round(max(taken), 3)}
        for place, taken in seconds.items()
    }
    if options.json:
        print(json.dumps(result))
    else:
        for place, figures in result.items():
            print(f"{place:<22} median {figures['median']:.3f} s   max {figures['max']:.3f} s")


if __name__ == "__main__":
    main()
