"""What tools cost: making a schema, and a call in the notebook, in the warm sandbox, in a fresh process.

Run as ``python benchmarks/tools.py [--json]``. All figures of one run are taken side by side, so that their
ratios mean something on a busy machine too; each is the median of its rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from letta_kernel.records import Tool
from letta_kernel.tools.arguments import parse_arguments
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.sandbox import Sandbox
from letta_kernel.tools.schema import schema_from_source

PLAIN = '''
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b
'''

MODEL = '''
from pydantic import BaseModel, Field

class Item(BaseModel):
    name: str
    price: float = Field(ge=0)

class Order(BaseModel):
    items: list[Item]
    note: str | None = None

def total(order: Order, kind: str = "net") -> float:
    """Add up an order.

    Args:
        order: What was ordered.
        kind: Net or gross.
    """
    return sum(item.price for item in order.items)
'''


class Host:
    """Holds one live function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def lookup(self, tool: Tool) -> Callable[..., Any]:
        """Return it."""
        return self.function


def seconds(work: Callable[[], Any]) -> float:
    """Return how long *work* takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(rounds: int) -> dict[str, float]:
    """Return milliseconds by name."""
    names: dict[str, Any] = {"__name__": "benchmark"}
    exec(MODEL, names)
    plain_names: dict[str, Any] = {}
    exec(PLAIN, plain_names)
    add = plain_names["add"]
    tool = Tool(**schema_from_source(PLAIN), source=PLAIN)
    sandboxed = tool.model_copy(update={"runs_in": "sandbox"})
    warm = Sandbox()
    warm.warm()
    notebook, away = Executor(Host(add)), Executor(None, warm)
    raw = '{"a": 1, "b": 2}'

    def in_notebook() -> None:
        notebook.run(tool, parse_arguments(tool, raw, add))

    def in_sandbox() -> None:
        assert away.run(sandboxed, parse_arguments(sandboxed, raw)).text == "3"

    def in_fresh_process() -> None:
        fresh = Sandbox()
        outcome = Executor(None, fresh).run(sandboxed, parse_arguments(sandboxed, raw))
        fresh.close()
        assert outcome.text == "3"

    works: dict[str, tuple[Callable[[], Any], int]] = {
        "schema, plain types": (lambda: schema_from_source(PLAIN), 20),
        "schema, nested models": (lambda: schema_from_source(MODEL, namespace=names), 20),
        "schema, foreign classes (sandbox)": (lambda: schema_from_source(MODEL), 1),
        "bare Python call": (lambda: add(1, 2), 1000),
        "call in the notebook": (in_notebook, 50),
        "call in the warm sandbox": (in_sandbox, 2),
        "call in a fresh process": (in_fresh_process, 1),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for work, _ in works.values():
        work()  # imports and caches
    for _ in range(rounds):
        for name, (work, count) in works.items():
            found[name] += [seconds(lambda work=work, n=count: [work() for _ in range(n)]) / count]
    warm.close()
    return {name: statistics.median(times) * 1000 for name, times in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.rounds)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:36} {value:10.3f} ms")
    ratio = found["call in a fresh process"] / found["call in the warm sandbox"]
    print(f"a warm sandbox call is {ratio:.0f} times faster than a fresh process")


if __name__ == "__main__":
    main()
